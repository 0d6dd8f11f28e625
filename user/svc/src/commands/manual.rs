//! Completion and manual pages, made from the command line's own description.

use std::fs;
use std::path::PathBuf;

use clap::ArgMatches;
use clap_complete::Shell;

use super::{App, IN_PART, Outcome, Stop, USAGE};

impl App<'_> {
    pub(super) fn completion(&mut self, matches: &ArgMatches) -> Outcome {
        let shell = matches.get_one::<Shell>("shell").copied().unwrap_or(Shell::Bash);
        let mut text = Vec::new();
        clap_complete::generate(shell, &mut crate::cli::command(), "svc", &mut text);
        self.out.write_all(&text)?;
        Ok(0)
    }

    pub(super) fn man(&mut self, matches: &ArgMatches) -> Outcome {
        if let Some(directory) = matches.get_one::<PathBuf>("dir") {
            for (name, text) in pages()? {
                let file = directory.join(format!("{name}.1"));
                fs::write(&file, text)
                    .map_err(|error| Stop::Failed(IN_PART, format!("cannot write {}: {error}", file.display())))?;
            }
            return Ok(0);
        }
        let wanted = matches.get_one::<String>("page").map_or("svc".to_owned(), |page| format!("svc-{page}"));
        let page = pages()?.into_iter().find(|(name, _)| *name == wanted);
        let (_, text) = page.ok_or_else(|| Stop::Failed(USAGE, format!("there is no command {wanted}")))?;
        self.out.write_all(&text)?;
        Ok(0)
    }
}

/// `svc` and one page for each command: name and text.
fn pages() -> Result<Vec<(String, Vec<u8>)>, Stop> {
    let mut command = crate::cli::command();
    // Gives the commands their full names and the arguments that all have.
    command.build();
    let mut pages = Vec::new();
    for page in command.get_subcommands().chain([&command]) {
        let name = page.get_display_name().unwrap_or("svc").to_owned();
        let mut text = Vec::new();
        clap_mangen::Man::new(page.clone()).render(&mut text)?;
        pages.push((name, text));
    }
    Ok(pages)
}
