//! /dev/null, zero, full and kmsg (null(4), full(4)).

use alloc::sync::Arc;

use crate::{Device, File, MapRequest, Mapping, OpenRequest, Positioning, Result, VfsError};

/// /dev/null: nothing to read, takes everything.
#[derive(Debug)]
pub struct NullDevice;

/// /dev/zero: zeros without end, takes everything.
#[derive(Debug)]
pub struct ZeroDevice;

/// /dev/full: zeros without end, takes nothing.
#[derive(Debug)]
pub struct FullDevice;

/// The kernel's log as /dev/kmsg reads and writes it.
pub trait KernelLog: Send + Sync {
    /// Adds a line.
    fn write(&self, text: &[u8]);
    /// The record after `position`, and the position after it; nothing if there is none yet.
    fn read(&self, position: u64, out: &mut [u8]) -> Option<(usize, u64)>;
}

/// /dev/kmsg.
pub struct LogDevice {
    log: Arc<dyn KernelLog>,
    position: core::sync::atomic::AtomicU64,
}

impl LogDevice {
    /// The device over `log`.
    pub fn new(log: Arc<dyn KernelLog>) -> Self {
        Self { log, position: core::sync::atomic::AtomicU64::new(0) }
    }
}

impl File for NullDevice {
    fn read(&self, _offset: u64, _out: &mut [u8]) -> Result<usize> {
        Ok(0)
    }

    fn write(&self, _offset: u64, data: &[u8]) -> Result<usize> {
        Ok(data.len())
    }

    fn positioning(&self) -> Positioning {
        Positioning::Ignored
    }
}

impl File for ZeroDevice {
    fn read(&self, _offset: u64, out: &mut [u8]) -> Result<usize> {
        out.fill(0);
        Ok(out.len())
    }

    fn write(&self, _offset: u64, data: &[u8]) -> Result<usize> {
        Ok(data.len())
    }

    fn positioning(&self) -> Positioning {
        Positioning::Ignored
    }

    fn map(self: Arc<Self>, _request: MapRequest) -> Result<Mapping> {
        Ok(Mapping::Anonymous)
    }
}

impl File for FullDevice {
    fn read(&self, _offset: u64, out: &mut [u8]) -> Result<usize> {
        out.fill(0);
        Ok(out.len())
    }

    fn write(&self, _offset: u64, _data: &[u8]) -> Result<usize> {
        Err(VfsError::NoSpace)
    }

    fn positioning(&self) -> Positioning {
        Positioning::Ignored
    }
}

impl File for LogDevice {
    fn read(&self, _offset: u64, out: &mut [u8]) -> Result<usize> {
        use core::sync::atomic::Ordering;
        // Readers that share an open file share its position; a record shown twice then does no harm.
        let (count, next) = self.log.read(self.position.load(Ordering::Relaxed), out).ok_or(VfsError::WouldBlock)?;
        self.position.store(next, Ordering::Relaxed);
        Ok(count)
    }

    fn write(&self, _offset: u64, data: &[u8]) -> Result<usize> {
        self.log.write(data);
        Ok(data.len())
    }
}

/// Each opener gets the one file: it has no state.
macro_rules! stateless {
    ($($device:ident)*) => {$(
        impl Device for $device {
            fn open(&self, _request: &OpenRequest<'_>) -> Result<Arc<dyn File>> {
                Ok(Arc::new($device))
            }
        }
    )*};
}

stateless!(NullDevice ZeroDevice FullDevice);

impl Device for LogDevice {
    fn open(&self, _request: &OpenRequest<'_>) -> Result<Arc<dyn File>> {
        Ok(Arc::new(Self::new(self.log.clone())))
    }
}
