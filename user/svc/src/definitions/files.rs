//! Which files there are: two directories, one over the other, with drop-ins and templates.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// The vendor's directory and the administrator's; the later one wins.
pub const DIRECTORIES: [&str; 2] = ["/usr/lib/svc", "/etc/svc"];
/// Ending of definition files.
pub const EXTENSION: &str = "svc";

/// The files of one service, in the order in which they are laid over each other.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Files {
    /// The file itself; a drop-in may be there without one.
    pub(super) main: Option<PathBuf>,
    /// By file name, so that the administrator's replaces the vendor's of the same name.
    pub(super) drop_ins: BTreeMap<String, PathBuf>,
}

/// By name of service or, with a trailing `@`, of template.
pub(super) type Index = BTreeMap<String, Files>;

/// What is in the directories, the later ones over the earlier ones. A directory that is not there is empty.
pub(super) fn index(directories: &[PathBuf]) -> io::Result<Index> {
    let mut index = Index::new();
    for directory in directories {
        for (path, name) in sorted(directory)? {
            if let Some(service) = name.strip_suffix(&format!(".{EXTENSION}.d")) {
                for (path, name) in sorted(&path)? {
                    if name.ends_with(&format!(".{EXTENSION}")) {
                        index.entry(service.to_owned()).or_default().drop_ins.insert(name, path);
                    }
                }
            } else if let Some(service) = name.strip_suffix(&format!(".{EXTENSION}")) {
                index.entry(service.to_owned()).or_default().main = Some(path);
            }
        }
    }
    Ok(index)
}

fn sorted(directory: &Path) -> io::Result<Vec<(PathBuf, String)>> {
    let entries = match fs::read_dir(directory) {
        Ok(entries) => entries,
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            return Ok(Vec::new());
        }
        Err(error) => return Err(error),
    };
    let mut found = Vec::new();
    for entry in entries {
        let entry = entry?;
        found.push((entry.path(), entry.file_name().to_string_lossy().into_owned()));
    }
    found.sort();
    Ok(found)
}
