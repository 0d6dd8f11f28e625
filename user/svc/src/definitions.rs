//! Definition files: TOML, one service each, with drop-ins and templates; every mistake of every file at once.
//!
//! ```text
//! /usr/lib/svc/NAME.svc         the vendor's
//! /etc/svc/NAME.svc             the administrator's, in its place
//! {either}/NAME.svc.d/*.svc     laid over it key by key, the vendor's first
//! {either}/NAME@.svc            a template: `%i` is what stands behind the `@`
//! ```

mod check;
mod files;
mod problem;
mod quantity;
mod section;
mod set;
mod tree;
mod unit;
mod words;

pub use files::{DIRECTORIES, EXTENSION};
pub use problem::{At, Problem, describe, mistakes, report};
pub use quantity::{duration, show_duration, show_signal, show_size, size};
pub use set::{DEFAULT_TARGET, Overlay, Set, Source};
pub use tree::{Entry, Table, Value};
pub use words::verb;

#[cfg(test)]
mod tests;
