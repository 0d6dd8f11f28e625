//! Services that are not there though somebody wrote them down: left out at boot, or not loaded yet.

use std::collections::BTreeSet;

use services::wire::{Failure, Row};
use services::{Name, ServiceError};

use super::{App, Outcome, Stop};
use crate::definitions::{Problem, Set};

/// A service that was left out, and what is wrong with its files.
#[derive(Debug)]
pub(crate) struct Invalid {
    pub(crate) name: String,
    pub(crate) problems: Vec<Problem>,
}

impl App<'_> {
    /// Those that have files with mistakes and are not among `rows`. Whoever may not read the files sees none.
    pub(super) fn invalid(&self, rows: &[Row]) -> Vec<Invalid> {
        let loaded: BTreeSet<&str> = rows.iter().map(|row| row.service.as_str()).collect();
        let Ok(written) = self.source.names() else { return Vec::new() };
        let missing: Vec<String> = written.into_iter().filter(|name| !loaded.contains(name.as_str())).collect();
        // Files are read only where there is something to find.
        let Some(set) = Some(&missing).filter(|names| !names.is_empty()).and_then(|_| Set::read(&self.source).ok())
        else {
            return Vec::new();
        };
        let all = missing.into_iter().map(|name| Invalid { problems: set.problems_of(&name), name });
        all.filter(|one| !one.problems.is_empty()).collect()
    }

    /// What to say of a service that the supervisor does not know.
    pub(super) fn unknown(&self, name: &Name, mut failure: Failure) -> Outcome {
        let written = self.source.names().unwrap_or_default();
        if failure.error != ServiceError::NotFound || !written.iter().any(|known| known == name.as_str()) {
            return Err(Stop::Refused(failure));
        }
        let problems = Set::read(&self.source).map(|set| set.problems_of(name.as_str())).unwrap_or_default();
        let Some(first) = problems.first() else {
            failure.notes.push("a file of that name is there, but not loaded: `svc load` takes it".into());
            return Err(Stop::Refused(failure));
        };
        let lines: String = problems.iter().map(|problem| format!("\n{problem}")).collect();
        Err(Stop::Failed(first.code, format!("{name} is invalid, so it was not loaded{lines}")))
    }
}
