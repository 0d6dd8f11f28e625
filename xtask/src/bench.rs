//! `cargo xtask bench`.
use anyhow::{Result, bail};
use clap::Args;

#[derive(Args)]
pub struct BenchArgs {
    /// Only rows whose name contains this
    pub filter: Option<String>,
}

/// The command.
pub fn bench(_args: &BenchArgs) -> Result<u8> {
    bail!("not there yet")
}
