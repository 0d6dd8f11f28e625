//! `cargo xtask check`: formatting, lints, the rules of the house, documentation and its links.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Result;

use crate::tools::{KERNEL_TARGET, KernelToolchain};
use crate::{build, ledger, paths, process, rules};

/// The command; nonzero when anything is found.
pub fn check() -> Result<u8> {
    let mut failed: Vec<&str> = Vec::new();
    let mut note = |what: &'static str, good: bool| {
        println!("{:<8} {what}", if good { "ok" } else { "FAILED" });
        if !good {
            failed.push(what);
        }
    };
    note("layers and unsafe", list(&rules::violations(&rules::read(&metadata()?)?)));
    note("tests that VERIFICATION.md names", list(&ledger::violations(paths::root(), &ledger::cases())?));
    note("links", list(&broken_links(paths::root())?));
    for (subcommand, component) in [("fmt", "rustfmt"), ("clippy", "clippy")] {
        if process::answer("cargo", &[subcommand, "--version"]).is_none() {
            println!(
                "         note: no {component} here: rustup component add {component} (Debian's compiler comes without)"
            );
        }
    }
    note("rustfmt", run(cargo(&["fmt", "--all", "--check"]))?);
    note("clippy, host", run(cargo(&["clippy", "--all-targets", "--", "-Dwarnings"]))?);
    let packages = ["xtask", "init", "msh", "testrun", "svc", "echod"].iter().flat_map(|name| ["--package", name]);
    let tools: Vec<&str> = ["clippy"].into_iter().chain(packages).chain(["--", "-Dwarnings"]).collect();
    note("clippy, tools and programs", run(cargo(&tools))?);
    note("clippy, kernel", clippy_kernel()?);
    note("documentation", run(documentation())?);
    if !failed.is_empty() {
        println!("\nfailed: {}", failed.join("; "));
    }
    Ok(u8::from(!failed.is_empty()))
}

fn cargo(args: &[&str]) -> Command {
    let mut cargo = Command::new("cargo");
    cargo.current_dir(paths::root()).args(args);
    cargo
}

fn run(mut command: Command) -> Result<bool> {
    let words = process::words(&command);
    let output = process::with_progress(&words, || command.output())?;
    if !output.status.success() {
        print!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    }
    Ok(output.status.success())
}

fn list(found: &[String]) -> bool {
    found.iter().for_each(|line| println!("  {line}"));
    found.is_empty()
}

fn metadata() -> Result<String> {
    let output = process::step("cargo metadata", &mut cargo(&["metadata", "--no-deps", "--format-version", "1"]))?;
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

fn clippy_kernel() -> Result<bool> {
    let mut clippy = cargo(&["clippy", "--package", "kernel", "--target", KERNEL_TARGET]);
    let toolchain = KernelToolchain::find_or_install()?;
    if toolchain != KernelToolchain::Rustup {
        // Debian's compiler and rustup's clippy do not share metadata; the host run has linted all crates but the kernel.
        println!("         note: no clippy for {KERNEL_TARGET} here, the kernel crate itself is only compiled");
        clippy = cargo(&["check", "--package", "kernel", "--target", KERNEL_TARGET]);
        toolchain.apply(&mut clippy);
    } else {
        clippy.args(["--", "-Dwarnings"]);
    }
    clippy.env("CARGO_TARGET_DIR", paths::target().join("kernel"));
    run(clippy)
}

fn documentation() -> Command {
    let mut doc = cargo(&["doc", "--no-deps", "--quiet"]);
    doc.env("RUSTDOCFLAGS", "-Dwarnings");
    doc
}

/// Links in Markdown files to files that are not there.
fn broken_links(root: &Path) -> Result<Vec<String>> {
    let mut files = Vec::new();
    markdown(root, &mut files)?;
    let mut broken = Vec::new();
    for file in files {
        let text = std::fs::read_to_string(&file)?;
        let dir = file.parent().unwrap_or(root);
        for link in links(&text) {
            if !dir.join(&link).exists() {
                broken.push(format!("{}: no {link}", file.strip_prefix(root).unwrap_or(&file).display()));
            }
        }
    }
    Ok(broken)
}

fn markdown(dir: &Path, files: &mut Vec<PathBuf>) -> Result<()> {
    for path in build::sorted(dir)? {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if path.is_dir() && !path.is_symlink() && name != "target" && !name.starts_with('.') {
            markdown(&path, files)?;
        } else if name.ends_with(".md") {
            files.push(path);
        }
    }
    Ok(())
}

/// Targets of relative links, without their anchors; code blocks are passed over.
fn links(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut code = false;
    for line in text.lines() {
        if line.trim_start().starts_with("```") {
            code = !code;
        }
        if code {
            continue;
        }
        for part in line.split("](").skip(1) {
            let target = part.split(')').next().unwrap_or_default();
            let target = target.split('#').next().unwrap_or_default();
            if !target.is_empty() && !target.contains("://") && !target.starts_with("mailto:") {
                found.push(target.to_owned());
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn relative_links_are_found_outside_of_code() {
        let text = "[a](docs/a.md#x) [b](https://x.y) [c](#here)\n```\n[d](d.md)\n```\n[e](../e)";
        assert_eq!(links(text), ["docs/a.md", "../e"]);
    }

    #[test]
    fn a_broken_link_is_reported_with_its_file() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("a.md"), "[gone](gone.md) [here](a.md)").unwrap();
        assert_eq!(broken_links(dir.path()).unwrap(), ["a.md: no gone.md"]);
    }
}
