//! All definitions together: from files to units that fit, with every problem on the way.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::path::PathBuf;

use services::wire::Unit;
use services::{Definition, Name};

use super::check;
use super::files::{self, DIRECTORIES, EXTENSION, Files, Index};
use super::problem::{At, Problem};
use super::tree::{self, Table, Value};
use super::unit;

/// Started at boot, unless the kernel's command line says `svc.target=NAME`.
pub const DEFAULT_TARGET: &str = "multi-user";

/// Where definitions come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// Directories, the later ones over the earlier ones.
    Directories(Vec<PathBuf>),
    /// Single files, and directories.
    Paths(Vec<PathBuf>),
}

impl Source {
    /// The system's own.
    pub fn system() -> Self {
        Self::Directories(DIRECTORIES.iter().map(PathBuf::from).collect())
    }

    /// Names of the services that have a file of their own; none is read.
    ///
    /// # Errors
    /// A directory that cannot be read.
    pub fn names(&self) -> io::Result<Vec<String>> {
        let is_one = |(name, files): &(String, Files)| files.main.is_some() && !name.ends_with('@');
        Ok(self.index()?.into_iter().filter(is_one).map(|(name, _)| name).collect())
    }

    fn index(&self) -> io::Result<Index> {
        match self {
            Self::Directories(directories) => files::index(directories),
            Self::Paths(paths) => {
                let mut index = Index::new();
                for path in paths {
                    if path.is_dir() {
                        index.append(&mut files::index(std::slice::from_ref(path))?);
                    } else {
                        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
                        let name = name.strip_suffix(&format!(".{EXTENSION}")).map_or(name.clone(), str::to_owned);
                        index.insert(name, Files { main: Some(path.clone()), ..Files::default() });
                    }
                }
                Ok(index)
            }
        }
    }
}

/// Text that is laid over the files of one service, as if it were the last drop-in.
#[derive(Clone, Debug, Default)]
pub struct Overlay {
    /// Which service; it is read even if nobody needs this instance of a template.
    pub name: String,
    /// What problems call it.
    pub file: String,
    /// The text.
    pub text: String,
}

/// A set of definitions.
#[derive(Debug, Default)]
pub struct Set {
    /// What was read, also of services with problems, where their readable part is.
    units: Vec<Unit>,
    tables: BTreeMap<Name, Table>,
    /// Services with problems of their own.
    bad: BTreeSet<Name>,
    problems: Vec<Problem>,
    files: usize,
}

impl Set {
    /// Reads all of it, and finds every problem; only what cannot be read at all is an error.
    ///
    /// # Errors
    /// A directory or a file that cannot be read.
    pub fn read(source: &Source) -> io::Result<Self> {
        Self::read_over(source, Overlay::default())
    }

    /// As `read`, with something laid over one service.
    ///
    /// # Errors
    /// A directory or a file that cannot be read.
    pub fn read_over(source: &Source, overlay: Overlay) -> io::Result<Self> {
        let index = source.index()?;
        let mut set = Self::default();
        let mut todo: Vec<String> = index.keys().cloned().collect();
        todo.extend(Some(overlay.name.clone()).filter(|name| name.contains('@')));
        let mut done = BTreeSet::new();
        // A dependency on `worker@3` makes that instance of the template, which may bring more.
        while let Some(name) = todo.pop() {
            if !done.insert(name.clone()) {
                continue;
            }
            if !set.add(&index, &name, &overlay)? {
                continue;
            }
            let last = set.units.last().map_or(&[][..], |unit| &unit.definition.dependencies);
            todo.extend(last.iter().map(|dependency| dependency.on.to_string()).filter(|on| on.contains('@')));
        }
        set.make_targets();
        set.units.sort_by(|a, b| a.definition.name.cmp(&b.definition.name));
        check::whole(&mut set);
        set.problems.sort();
        set.problems.dedup();
        Ok(set)
    }

    /// Reads the files of one service; whether that gave a unit.
    fn add(&mut self, index: &Index, name: &str, overlay: &Overlay) -> io::Result<bool> {
        let template = name.split_once('@').map(|(template, instance)| (format!("{template}@"), instance));
        // A template is checked as if it had an instance, which is then left out.
        let (instance, probe) = match &template {
            Some((_, "")) => ("i", true),
            Some((_, instance)) => (*instance, false),
            None => ("", false),
        };
        let full = if probe { format!("{name}{instance}") } else { name.to_owned() };
        let layers: Vec<&Files> = [template.as_ref().and_then(|(template, _)| index.get(template)), index.get(name)]
            .into_iter()
            .flatten()
            .collect();
        let own = index.get(name).and_then(|files| files.main.as_ref());
        let Some(main) = own.or_else(|| layers.iter().find_map(|files| files.main.as_ref())) else {
            if let Some(lost) = index.get(name).and_then(|files| files.drop_ins.values().next()) {
                let at = At::start(&lost.display().to_string());
                self.problems.push(Problem::new(at, format!("there is no {name}.{EXTENSION} that this belongs to")));
            }
            return Ok(false);
        };
        let file = main.display().to_string();
        let mut problems = Vec::new();
        let Ok(service) = Name::new(&full) else {
            let field = services::ServiceError::InvalidDefinition(services::Field::Name);
            let message = format!("the file's name is no service's: {}", super::problem::describe(field));
            self.problems.push(Problem::new(At::start(&file), message));
            self.files += 1;
            return Ok(false);
        };
        let mut table = self.parse(main, &mut problems)?;
        for path in layers.iter().flat_map(|files| files.drop_ins.values()) {
            let over = self.parse(path, &mut problems)?;
            table.merge(over);
        }
        if overlay.name == name && !overlay.text.is_empty() {
            table.merge(tree::parse(&overlay.file, &overlay.text, &mut problems));
        }
        if template.is_some() {
            table.expand(&full, instance);
        }
        // Of a file that is broken only what stands before the break is judged.
        let broken: Vec<At> = problems.iter().map(|problem| problem.at.clone()).collect();
        let found = RefCell::default();
        let unit = unit::parse(service.clone(), &file, &table, &found);
        let mut found = found.into_inner();
        if broken.is_empty() {
            found.extend(check::alone(&unit.definition, &table, &file));
        }
        found.retain(|problem| !broken.iter().any(|at| at.file == problem.at.file && at.line <= problem.at.line));
        problems.append(&mut found);
        if !problems.is_empty() {
            self.bad.insert(service.clone());
        }
        self.problems.append(&mut problems);
        if probe {
            return Ok(false);
        }
        self.tables.insert(service, table);
        self.units.push(unit);
        Ok(true)
    }

    fn parse(&mut self, path: &PathBuf, problems: &mut Vec<Problem>) -> io::Result<Table> {
        let file = path.display().to_string();
        self.files += 1;
        let bytes =
            fs::read(path).map_err(|error| io::Error::new(error.kind(), format!("cannot read {file}: {error}")))?;
        match String::from_utf8(bytes) {
            Ok(text) => Ok(tree::parse(&file, &text, problems)),
            Err(error) => {
                let good =
                    String::from_utf8_lossy(error.as_bytes().get(..error.utf8_error().valid_up_to()).unwrap_or(&[]));
                let line = good.matches('\n').count() as u32 + 1;
                let column = good.rsplit('\n').next().map_or(0, |last| last.chars().count()) as u32 + 1;
                let at = At { line, column, ..At::start(&file) };
                problems.push(Problem::new(at, "this is not UTF-8".into()));
                Ok(Table::default())
            }
        }
    }

    /// Makes the targets that are named under `[install]` and that nobody wrote.
    fn make_targets(&mut self) {
        let named: BTreeSet<Name> = self.units.iter().filter_map(|unit| unit.definition.install.clone()).collect();
        for name in named {
            if !self.units.iter().any(|unit| unit.definition.name == name) {
                let description = format!("Everything installed in {name}");
                self.units.push(Unit::bare(Definition { description, ..Definition::target(name) }));
            }
        }
    }

    /// Where a service says in which target it is installed.
    pub(super) fn installed_at(&self, name: &Name) -> Option<At> {
        let Value::Table(install) = &self.tables.get(name)?.get("install")?.value else { return None };
        Some(install.get("target")?.at.clone())
    }

    /// Every problem, in the order of files and lines.
    pub fn problems(&self) -> &[Problem] {
        &self.problems
    }

    /// Those in the files of one service.
    pub fn problems_of(&self, name: &str) -> Vec<Problem> {
        let (main, drop_ins) = (format!("/{name}.{EXTENSION}"), format!("/{name}.{EXTENSION}.d/"));
        let of_it = |problem: &&Problem| problem.at.file.ends_with(&main) || problem.at.file.contains(&drop_ins);
        self.problems.iter().filter(of_it).cloned().collect()
    }

    /// How many files were read.
    pub const fn files(&self) -> usize {
        self.files
    }

    /// How many services there are, good or bad.
    pub fn len(&self) -> usize {
        self.units.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.units.is_empty()
    }

    /// All units, also those of services with problems as far as they could be read.
    pub fn units(&self) -> &[Unit] {
        &self.units
    }

    /// The unit of that name, if it has no problem of its own.
    pub fn unit(&self, name: &str) -> Option<&Unit> {
        self.units.iter().find(|unit| unit.definition.name.as_str() == name && !self.is_bad(&unit.definition.name))
    }

    /// The merged files of a service, with the place of each key.
    pub fn table(&self, name: &str) -> Option<&Table> {
        self.tables.iter().find(|(known, _)| known.as_str() == name).map(|(_, table)| table)
    }

    pub(super) fn is_bad(&self, name: &Name) -> bool {
        self.bad.contains(name)
    }

    pub(super) fn push(&mut self, problem: Problem) {
        self.problems.push(problem);
    }

    /// What can be loaded: the units without problems of their own. Whether they fit together, the supervisor judges.
    pub fn into_units(self) -> Vec<Unit> {
        let Self { units, bad, .. } = self;
        units.into_iter().filter(|unit| !bad.contains(&unit.definition.name)).collect()
    }
}
