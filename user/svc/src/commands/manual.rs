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
        let command = matches.get_one::<String>("page").map(String::as_str);
        let wanted = command.map_or("svc".to_owned(), |page| format!("svc-{page}"));
        let page = pages()?.into_iter().find(|(name, _)| *name == wanted);
        let unknown = || Stop::Failed(USAGE, format!("there is no command {}", command.unwrap_or_default()));
        let (_, text) = page.ok_or_else(unknown)?;
        // A person has no formatter for it in the image.
        if self.formatted {
            self.out.write_all(&readable(&text))?;
        } else {
            self.out.write_all(&text)?;
        }
        Ok(0)
    }
}

/// `svc` and one page for each command: name and text.
fn pages() -> Result<Vec<(String, Vec<u8>)>, Stop> {
    let mut command = crate::cli::command();
    // Gives the commands their full names and the arguments that all have.
    command.build();
    let mut pages = Vec::new();
    for page in command.get_subcommands().filter(|page| page.get_name() != "help").chain([&command]) {
        let name = page.get_display_name().unwrap_or("svc").to_owned();
        let mut text = Vec::new();
        clap_mangen::Man::new(page.clone()).render(&mut text)?;
        pages.push((name, text));
    }
    Ok(pages)
}

/// A page for a terminal: without the formatter's requests.
pub(super) fn readable(page: &[u8]) -> Vec<u8> {
    let mut out = String::new();
    for line in String::from_utf8_lossy(page).lines() {
        let line = match line.split_once(' ') {
            Some((".SH", title)) => format!("\n{}", title.trim_matches('"')),
            Some((".TH" | ".ie", _)) => continue,
            _ if line.starts_with('.') => continue,
            _ => format!("    {line}"),
        };
        let line = ["\\fB", "\\fI", "\\fR", "\\&"].iter().fold(line, |line, mark| line.replace(mark, ""));
        out.push_str(&line.replace("\\-", "-").replace("\\*(Aq", "'").replace("\\(aq", "'"));
        out.push('\n');
    }
    out.trim_start().as_bytes().to_vec()
}
