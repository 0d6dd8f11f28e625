//! The descriptors that a service begins with, beside sockets.

use alloc::sync::Arc;
use core::fmt;

use process::Cell;
use services::Readiness;
use supervisor::Output;
use vfs::{File, FileType, Metadata, Result, VfsError};

use super::KernelWorld;

/// Standard output and error: the service's ring.
pub(super) struct OutputFile(pub(super) Arc<Output>);

impl File for OutputFile {
    fn read(&self, _offset: u64, _out: &mut [u8]) -> Result<usize> {
        Err(VfsError::BadDescriptor)
    }

    fn write(&self, _offset: u64, data: &[u8]) -> Result<usize> {
        self.0.write(data);
        Ok(data.len())
    }

    fn metadata(&self) -> Metadata {
        Metadata::new(FileType::Fifo, 0o600)
    }

    fn describe(&self, out: &mut dyn fmt::Write) -> fmt::Result {
        out.write_str("svc:[output]")
    }
}

/// The descriptor to which a service writes a line when it is ready.
pub(super) struct ReadyFile {
    pub(super) world: KernelWorld,
    pub(super) cell: Arc<Cell>,
    pub(super) number: u16,
}

impl File for ReadyFile {
    fn read(&self, _offset: u64, _out: &mut [u8]) -> Result<usize> {
        Err(VfsError::BadDescriptor)
    }

    fn write(&self, _offset: u64, data: &[u8]) -> Result<usize> {
        if data.contains(&b'\n')
            && let Some(services) = self.world.0.services.get()
        {
            let now = self.world.0.platform.now();
            let how = Readiness::Descriptor(self.number);
            services.with(&self.world, |supervisor| supervisor.seems_ready(now, &self.cell, how));
        }
        Ok(data.len())
    }

    fn metadata(&self) -> Metadata {
        Metadata::new(FileType::Fifo, 0o600)
    }

    fn describe(&self, out: &mut dyn fmt::Write) -> fmt::Result {
        out.write_str("svc:[ready]")
    }
}
