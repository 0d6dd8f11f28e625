//! What is said over `/dev/svc`: one [`Request`] in, one [`Reply`] out, each in a frame of its own.
//!
//! ```text
//! u32 length of what follows | u16 version | u16 kind | payload          all little-endian
//! ```
//!
//! Text is a u16 length and UTF-8, a list a u32 count and its elements, a choice a byte and its fields. Reading checks
//! everything, takes nothing that is longer than [`MAX_FRAME`], and allocates in proportion to the bytes that are there,
//! never to a count that somebody wrote. The kernel and the programs of `user/` share this one description.

mod codec;
mod definition;
mod replay;
mod reply;
mod request;
mod unit;

pub use codec::WireError;
pub use replay::{ReplayPart, ReplaySet};
pub use reply::{
    AuditPart, BootStep, Endpoint, Explanation, Failure, Happening, HappeningPart, InstanceStatus, Link, LogPart,
    PlanStep, Reply, Row, Status, Throttled,
};
pub use request::{Direction, Emergency, LoadMode, Power, Request, Verb};
pub use unit::Unit;

/// Spoken by this build; another is refused.
pub const VERSION: u16 = 1;
/// Longest frame: a full set (1,024 services, 16,384 dependencies) takes about a third of it.
pub const MAX_FRAME: usize = 4 << 20;
/// Bytes in front of the payload.
pub const HEADER: usize = 8;

#[cfg(test)]
mod tests;
