//! Limits of MultiOS's own, crossed by real processes.

use std::process::ExitCode;

pub(crate) fn run() -> ExitCode {
    ExitCode::SUCCESS
}

pub(crate) fn one(_: &str) -> ExitCode {
    ExitCode::SUCCESS
}
