//! Where things are: the workspace, its build directories, scratch space.
//!
//! Everything written goes below the target directory or into a temporary directory of this process, so that two
//! commands at the same time never write the same file.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use anyhow::{Context, Result};
use tempfile::TempDir;

/// The root of the workspace.
pub fn root() -> &'static Path {
    static ROOT: OnceLock<PathBuf> = OnceLock::new();
    ROOT.get_or_init(|| {
        // `cargo xtask` says where the checkout is; when the binary is run by itself, it is where it was built.
        let manifest = std::env::var_os("CARGO_MANIFEST_DIR").unwrap_or_else(|| env!("CARGO_MANIFEST_DIR").into());
        Path::new(&manifest).parent().unwrap_or(Path::new(".")).to_owned()
    })
}

/// The build directory: `CARGO_TARGET_DIR` or `target/`.
pub fn target() -> PathBuf {
    match std::env::var_os("CARGO_TARGET_DIR") {
        Some(dir) => root().join(dir),
        None => root().join("target"),
    }
}

/// A directory of this process, removed at its end.
pub fn scratch() -> Result<TempDir> {
    let base = target().join("xtask");
    fs::create_dir_all(&base).with_context(|| format!("cannot create {}", base.display()))?;
    tempfile::Builder::new().prefix("run-").tempdir_in(&base).context("cannot create a scratch directory")
}

/// Waits until no other xtask holds `name`; released when the value is dropped.
pub fn lock(name: &str) -> Result<File> {
    let base = target().join("xtask");
    fs::create_dir_all(&base)?;
    let path = base.join(format!("{name}.lock"));
    let file = File::create(&path).with_context(|| format!("cannot create {}", path.display()))?;
    file.lock().with_context(|| format!("cannot lock {}", path.display()))?;
    Ok(file)
}
