//! Services for people: definition files become what the supervisor loads, and its answers become text.
//!
//! `svc` is the command on top; `init` uses [`definitions`] and [`client`] to load the set at boot. Reading files needs no
//! kernel of ours: it works the same on any Linux.
#![forbid(unsafe_code)]

pub mod cli;
pub mod client;
pub mod commands;
pub mod definitions;
mod json;
mod render;
