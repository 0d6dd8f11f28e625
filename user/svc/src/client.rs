//! Talking to the supervisor: one request, one reply.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use services::wire::{HEADER, Reply, Request, WireError};

/// Where the supervisor listens.
pub const DEVICE: &str = "/dev/svc";

/// Somebody who answers; tests have their own.
pub trait Supervisor {
    /// Asks, and waits for the answer.
    ///
    /// # Errors
    /// The device's, or `InvalidData` if what comes back is no reply.
    fn ask(&mut self, request: &Request) -> io::Result<Reply>;

    /// Waits until there is more to see than in the last answer, or for so long; `None` for ever.
    ///
    /// # Errors
    /// The device's.
    fn wait(&mut self, limit: Option<Duration>) -> io::Result<()>;
}

/// The kernel's supervisor.
#[derive(Debug)]
pub struct Device {
    file: File,
}

impl Device {
    /// Opens the device.
    ///
    /// # Errors
    /// Why it cannot be opened; `NotFound` on a kernel without a supervisor.
    pub fn open() -> io::Result<Self> {
        Self::open_at(Path::new(DEVICE))
    }

    fn open_at(path: &Path) -> io::Result<Self> {
        Ok(Self { file: OpenOptions::new().read(true).write(true).open(path)? })
    }
}

impl AsFd for Device {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

impl Supervisor for Device {
    fn ask(&mut self, request: &Request) -> io::Result<Reply> {
        let mut frame = Vec::new();
        request.encode(&mut frame).map_err(bad)?;
        // One write is one request: a second write for the rest would be another.
        let written = self.file.write(&frame)?;
        if written != frame.len() {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "the request was taken only in part"));
        }
        frame.clear();
        frame.resize(HEADER, 0);
        self.file.read_exact(&mut frame)?;
        let length = Reply::length(&frame).map_err(bad)?.unwrap_or(HEADER);
        frame.resize(length, 0);
        self.file.read_exact(frame.get_mut(HEADER..).unwrap_or_default())?;
        Reply::decode(&frame).map_err(bad)
    }

    fn wait(&mut self, limit: Option<Duration>) -> io::Result<()> {
        let limit = limit.and_then(|limit| Timespec::try_from(limit).ok());
        let mut there = [PollFd::new(&self.file, PollFlags::PRI)];
        match poll(&mut there, limit.as_ref()) {
            // Who was interrupted looks again.
            Ok(_) | Err(rustix::io::Errno::INTR) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
}

fn bad(error: WireError) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("{error:?}"))
}
