//! Bad files and the report they get: each directory of `tests/check` is a set, its report is in `NAME.out`.
//!
//! `UPDATE=1 cargo test -p svc --test check` writes the reports anew; read the difference before committing it.

use std::fs;
use std::path::{Path, PathBuf};

use svc::definitions::{Set, Source, report};

#[test]
fn each_set_gets_exactly_its_report() {
    let root = Path::new("tests/check");
    let mut sets: Vec<PathBuf> = fs::read_dir(root).unwrap().map(|entry| entry.unwrap().path()).collect();
    sets.retain(|path| path.is_dir());
    sets.sort();
    assert!(sets.len() >= 8, "{sets:?}");
    let mut wrong = Vec::new();
    for directory in sets {
        let set = Set::read(&Source::Directories(vec![directory.clone()])).unwrap();
        let text = report(set.problems());
        let expected = directory.with_extension("out");
        if std::env::var_os("UPDATE").is_some() {
            fs::write(&expected, &text).unwrap();
        }
        if fs::read_to_string(&expected).unwrap_or_default() != text {
            wrong.push(format!("{}:\n{text}", expected.display()));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_definitions_of_the_image_have_no_mistakes() {
    let set = Set::read(&Source::Directories(vec!["image".into()])).unwrap();
    assert_eq!(report(set.problems()), "0 errors in 0 files\n");
    assert!(set.len() >= 3);
}
