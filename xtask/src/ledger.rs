//! What `VERIFICATION.md` names: the tests of each numbered demand on processes and scheduling, and whether what the page speaks of exists.
//!
//! The page drives the runs, too: the programs and scripts that it names in the kernel's column of rows P1 to P20 and S1 to S6 are
//! run on one CPU and on four, those of the latter on eight as well. A test that is renamed or removed therefore fails the check instead of leaving a row without a test.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::{build, paths};

/// The page.
pub const PAGE: &str = "VERIFICATION.md";
/// Known traps and their cases.
const TRAPS: &str = "docs/traps.md";
/// The letters of the demands whose rows are checked, and how many rows each has: processes and scheduling.
const DEMANDS: [(char, usize); 2] = [('P', 20), ('S', 6)];
/// Where scripts and programs of the booted kernel are.
const GUEST_TESTS: [&str; 3] = ["tests/system", "tests/differential", "tests/programs"];

/// A row P1 to S6, as the page has it.
struct Row {
    name: String,
    host: Vec<String>,
    kernel: Vec<String>,
}

/// The scripts and programs that the rows and the list of traps name, by the names that the suites use (`limits.sh`, `namespaces`).
pub fn named_tests() -> Result<Vec<String>> {
    let page = page(paths::root())?;
    let mut words: Vec<String> = rows(&page).into_iter().flat_map(|row| row.kernel).collect();
    words.extend(traps(&fs::read_to_string(paths::root().join(TRAPS))?).into_iter().flat_map(|(_, cases)| cases));
    Ok(names(&words))
}

/// Those that the rows of scheduling name.
pub fn scheduling_tests() -> Result<Vec<String>> {
    let page = page(paths::root())?;
    let rows = rows(&page).into_iter().filter(|row| row.name.starts_with('S'));
    Ok(names(&rows.flat_map(|row| row.kernel).collect::<Vec<_>>()))
}

fn names(words: &[String]) -> Vec<String> {
    let mut names: Vec<String> = words
        .iter()
        .flat_map(|word| guest_tests(paths::root(), word))
        .filter_map(|file| Some(file.file_name()?.to_string_lossy().trim_end_matches(".c").to_owned()))
        .collect();
    names.sort();
    names.dedup();
    names
}

/// The numbered traps, each with the files of its cases.
fn traps(page: &str) -> Vec<(String, Vec<String>)> {
    let trap = |line: &str| {
        let cells = cells(line)?;
        let &[number, _, cases] = cells.as_slice() else { return None };
        number.parse::<usize>().ok()?;
        let file = |name: String| if name.ends_with(".sh") { name } else { name + ".c" };
        Some((number.to_owned(), words(cases).into_iter().map(file).collect()))
    };
    page.lines().filter_map(trap).collect()
}

/// Everything that the page and the list of traps name and that is not there; `cases` are those of the suites, each after
/// its suite's name.
pub fn violations(root: &Path, cases: &[String]) -> Result<Vec<String>> {
    let page = page(root)?;
    let mut found = missing_places(root, &page);
    let rows = rows(&page);
    for (letter, number) in DEMANDS.into_iter().flat_map(|(letter, count)| (1..=count).map(move |n| (letter, n))) {
        let name = format!("{letter}{number}");
        match rows.iter().filter(|row| row.name == name).count() {
            1 => {}
            count => found.push(format!("{PAGE}: {count} rows for {name}")),
        }
    }
    for row in &rows {
        let host: Vec<_> = row.host.iter().filter(|word| !host_test(root, word)).collect();
        let kernel: Vec<_> = row.kernel.iter().filter(|word| !kernel_test(root, word, cases)).collect();
        found.extend([host, kernel].concat().iter().map(|word| format!("{PAGE}: {}: no test {word}", row.name)));
        for (side, words) in [("on the host", &row.host), ("in the kernel", &row.kernel)] {
            if words.is_empty() {
                found.push(format!("{PAGE}: {}: no test {side}", row.name));
            }
        }
    }
    for (number, cases) in traps(&fs::read_to_string(root.join(TRAPS)).unwrap_or_default()) {
        let missing = cases.iter().filter(|case| guest_tests(root, case).is_empty());
        found.extend(missing.map(|case| format!("{TRAPS}: {number}: no case {case}")));
        if cases.is_empty() {
            found.push(format!("{TRAPS}: {number}: no case"));
        }
    }
    Ok(found)
}

fn page(root: &Path) -> Result<String> {
    fs::read_to_string(root.join(PAGE)).with_context(|| format!("cannot read {PAGE}"))
}

fn cells(line: &str) -> Option<Vec<&str>> {
    let inside = line.trim().strip_prefix('|')?.strip_suffix('|')?;
    Some(inside.split('|').map(str::trim).collect())
}

/// What stands between backquotes.
fn words(cell: &str) -> Vec<String> {
    cell.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

fn rows(page: &str) -> Vec<Row> {
    let row = |line: &str| {
        let cells = cells(line)?;
        let &[name, _, host, kernel] = cells.as_slice() else { return None };
        let (letter, number) = (name.chars().next()?, name.get(1..)?);
        number.parse::<usize>().ok().filter(|_| DEMANDS.iter().any(|(demand, _)| *demand == letter))?;
        Some(Row { name: name.to_owned(), host: words(host), kernel: words(kernel) })
    };
    page.lines().filter_map(row).collect()
}

/// `NAME.sh`, `NAME.c` or `PREFIX*.c`: the files.
fn guest_tests(root: &Path, word: &str) -> Vec<PathBuf> {
    if !(word.ends_with(".sh") || word.ends_with(".c")) {
        return Vec::new();
    }
    GUEST_TESTS.iter().flat_map(|dir| matching(&root.join(dir), word)).collect()
}

/// `test SUITE NAME`: a case of that suite whose name contains this; else a script or program.
fn kernel_test(root: &Path, word: &str, cases: &[String]) -> bool {
    match word.strip_prefix("test ").and_then(|rest| rest.split_once(' ')) {
        Some((suite, name)) => cases.iter().any(|case| {
            let case = case.strip_prefix(suite).and_then(|case| case.strip_prefix(' '));
            case.is_some_and(|case| case.contains(name))
        }),
        None => !guest_tests(root, word).is_empty(),
    }
}

/// The cases of the suites whose cases have names of their own.
pub fn cases() -> Vec<String> {
    let system = crate::system::names().into_iter().map(|name| format!("system {name}"));
    system.chain(crate::boot::names().into_iter().map(|name| format!("boot {name}"))).collect()
}

/// A file of crate `process`, or `-p CRATE FILTER`: a crate with a test whose path contains the filter.
fn host_test(root: &Path, word: &str) -> bool {
    let (name, filter) = match word.strip_prefix("-p ") {
        Some(rest) => rest.split_once(' ').map_or((rest, None), |(name, filter)| (name, Some(filter))),
        None => ("process", Some(word)),
    };
    let root = root.join("crates").join(name);
    match filter {
        None => has_tests(&root),
        Some(file) if file.ends_with(".rs") => {
            ["", "src", "src/tests"].iter().any(|dir| has_tests(&root.join(dir).join(file)))
        }
        Some(filter) => sources(&root).iter().any(|file| {
            let path = file.with_extension("").to_string_lossy().into_owned();
            let test = |text: String| text.contains("#[test]") && text.contains(&format!("fn {filter}"));
            path.split('/').any(|part| part == filter) || fs::read_to_string(file).is_ok_and(test)
        }),
    }
}

/// Whether a file, a directory, or the `tests` beside the file have a test.
fn has_tests(place: &Path) -> bool {
    if place.is_dir() {
        return sources(place).iter().any(|file| has_tests(file));
    }
    let Ok(text) = fs::read_to_string(place) else { return false };
    // `mod tests;`, also with a path of its own: the tests are in another file.
    text.contains("#[test]") || text.contains("proptest!") || text.contains("#[cfg(test)]")
}

fn sources(dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for path in build::sorted(dir).unwrap_or_default() {
        if path.is_dir() {
            found.extend(sources(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
    found
}

/// Places that the first columns name, and crates that commands name, which are not there.
fn missing_places(root: &Path, page: &str) -> Vec<String> {
    let mut found = Vec::new();
    for cells in page.lines().filter_map(cells) {
        let first = cells.first().map(|cell| words(cell)).unwrap_or_default();
        for place in first.iter().filter(|place| place.contains('/') && !place.starts_with('/')) {
            let (dir, name) = place.rsplit_once('/').unwrap_or(("", place));
            if matching(&root.join(dir), name).is_empty() {
                found.push(format!("{PAGE}: no {place}"));
            }
        }
        for command in cells.iter().flat_map(|cell| words(cell)) {
            let Some((_, rest)) = command.split_once(" -p ") else { continue };
            let name = rest.split(' ').next().unwrap_or_default();
            if !["crates", "user", ""].iter().any(|dir| root.join(dir).join(name).join("Cargo.toml").exists()) {
                found.push(format!("{PAGE}: no crate {name}"));
            }
        }
    }
    found
}

/// The entries of `dir` that fit `pattern`, in which one `*` may stand for anything.
fn matching(dir: &Path, pattern: &str) -> Vec<PathBuf> {
    let (before, after) = pattern.split_once('*').unwrap_or((pattern, ""));
    let fits = |name: &str| match pattern.contains('*') {
        true => name.len() >= before.len() + after.len() && name.starts_with(before) && name.ends_with(after),
        false => name == pattern || name == format!("{pattern}.rs"),
    };
    let name = |path: &Path| path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    build::sorted(dir).unwrap_or_default().into_iter().filter(|path| fits(&name(path))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fixture(row: &str) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| {
            let path = dir.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        write("crates/process/Cargo.toml", "");
        write("crates/process/src/usage.rs", "#[test] fn counted() {}");
        write("crates/process/src/bare.rs", "fn nothing() {}");
        write("tests/programs/sig_a.c", "");
        write("tests/system/guide.sh", "");
        let numbers = DEMANDS.into_iter().flat_map(|(letter, count)| (1..=count).map(move |n| format!("{letter}{n}")));
        let others = numbers.filter(|name| name != "P1");
        let rows: Vec<_> = others.map(|name| format!("| {name} | x | `usage.rs` | `guide.sh` |")).collect();
        write(PAGE, &format!("{row}\n{}\n", rows.join("\n")));
        dir
    }

    fn check(row: &str) -> Vec<String> {
        violations(fixture(row).path(), &["system a thousand shells".into(), "boot direct".into()]).unwrap()
    }

    #[test]
    fn rows_that_name_existing_tests_pass() {
        for row in [
            "| P1 | x | `usage.rs` | `guide.sh` (all), `sig_*.c` |",
            "| P1 | x | `-p process usage` | `test system thousand` |",
            "| P1 | x | `-p process counted` | `sig_a.c` |",
            "| P1 | x | `usage.rs` | `test boot direct` |",
        ] {
            assert_eq!(check(row), [""; 0], "{row}");
        }
    }

    #[test]
    fn rows_that_name_what_is_not_there_fail() {
        for row in [
            "| P1 | x | `gone.rs` | `guide.sh` |",
            "| P1 | x | `bare.rs` | `guide.sh` |",
            "| P1 | x | `-p gone` | `guide.sh` |",
            "| P1 | x | `-p process gone` | `guide.sh` |",
            "| P1 | x | `usage.rs` | `gone.c` |",
            "| P1 | x | `usage.rs` | `gone*.c` |",
            "| P1 | x | `usage.rs` | `test system gone` |",
            "| P1 | x | `usage.rs` | `test boot thousand` |",
            "| P1 | x | `usage.rs` | by hand |",
            "| P1 | x | nothing | `guide.sh` |",
            "| P2 | a second time | `usage.rs` | `guide.sh` |",
            "| P1 | x | `usage.rs` | `guide.sh` |\n| S6 | a second time | `usage.rs` | `guide.sh` |",
            "| `crates/gone` | x |",
            "| P1 | x | `usage.rs` | `guide.sh` |\n| a | `cargo test -p gone` |",
        ] {
            assert!(!check(row).is_empty(), "{row}");
        }
    }

    #[test]
    fn traps_need_their_cases() {
        let dir = fixture("| P1 | x | `usage.rs` | `guide.sh` |");
        fs::create_dir(dir.path().join("docs")).unwrap();
        let check = |row: &str| {
            fs::write(dir.path().join(TRAPS), row).unwrap();
            violations(dir.path(), &[]).unwrap().len()
        };
        assert_eq!(check("| 1 | a trap | `sig_a`, `guide.sh` |"), 0);
        assert_eq!(check("| 1 | a trap | `sig_a`, `gone` |"), 1);
        assert_eq!(check("| 1 | a trap | nobody |"), 1);
    }

    #[test]
    fn the_page_itself_holds() {
        assert_eq!(violations(paths::root(), &cases()).unwrap(), [""; 0]);
    }

    #[test]
    fn the_page_itself_names_programs_for_the_runs() {
        let names = named_tests().unwrap();
        assert!(
            ["guide.sh", "namespaces", "scheduling", "sig_altstack", "wait_rules"]
                .iter()
                .all(|name| names.iter().any(|have| have == name))
        );
        let names = scheduling_tests().unwrap();
        assert!(names.iter().any(|name| name == "wakeups") && !names.iter().any(|name| name == "namespaces"));
    }
}
