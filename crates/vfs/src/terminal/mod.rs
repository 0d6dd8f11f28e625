//! Terminals: the console and pseudo-terminals, with Linux's line discipline, job control and ioctls.
//!
//! ```text
//!   keyboard ─► Terminal::receive ─► input.rs ──► TerminalFile::read      (program)
//!               or PtyMaster::write     │ echo
//!   screen   ◄─ hal::Console       ◄─ output.rs ◄─ TerminalFile::write
//!               or PtyMaster::read
//! ```
//! A terminal knows the session it controls and that session's foreground process group. It sends no signals: what
//! must be sent comes back as [`Effects`], or goes to [`TerminalEvents`] where a file operation has nobody to return
//! it to. Before a process reads, writes or changes a terminal, the system-call gate asks [`Terminal::job_control`].

mod device;
mod effects;
mod file;
mod input;
mod ioctl;
mod job;
mod output;
mod pty;
mod termios;

#[cfg(test)]
mod host_tests;
#[cfg(test)]
mod tests;

pub use device::{ControlCaller, Steal, Terminal};
pub use effects::{Effects, NoEvents, TerminalEvents};
pub use file::TerminalFile;
pub use ioctl::ioctl_access;
pub use job::{Access, JobCaller, JobControl, SignalHandling};
pub use pty::{PTMX, PtyMaster, Ptys, SLAVE_MAJOR};
