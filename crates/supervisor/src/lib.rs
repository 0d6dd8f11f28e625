//! The supervisor: what stands between the reconciler of `services`, which only decides, and the kernel, which only acts.
//!
//! [`Supervisor`] takes in what happened (cells that ended, notifications, requests, time) and keeps [`Order`]s for the
//! kernel; [`Services`] holds it under its one lock and lets the kernel's task carry the orders out without that lock.
//! What the kernel must be able to do is [`World`]; a test brings one of its own.
//!
//! Order within one instant: cells, then time, then requests.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;
#[cfg(test)]
extern crate std;

mod access;
mod awaited;
mod balance_news;
mod balancing;
mod cell_id;
mod explain;
mod happenings;
mod launch;
mod notify;
mod order;
mod output;
mod request;
mod rows;
mod services_lock;
mod sets;
mod supervisor;
#[cfg(test)]
mod tests;
mod text;
mod world;

pub use balancing::Balancing;
pub use cell_id::CellId;
pub use happenings::Watch;
pub use launch::{Launch, NOTIFY_NAME};
pub use notify::{Notice, parse_notice};
pub use order::{Order, Pause};
pub use output::Output;
pub use services_lock::Services;
pub use supervisor::{Settings, SignOfLife, Supervisor};
pub use text::{FILES, File};
pub use world::{Facts, World};
