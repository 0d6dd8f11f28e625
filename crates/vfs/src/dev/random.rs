//! /dev/random and /dev/urandom (random(4)).

use alloc::sync::Arc;

use crate::{Device, File, OpenRequest, Positioning, Result};

/// Where random bytes come from.
pub trait RandomSource: Send + Sync {
    /// Fills `out`; never waits.
    fn fill(&self, out: &mut [u8]);
    /// Stirs in what somebody wrote to the device.
    fn mix(&self, data: &[u8]);
}

/// Both devices: seeded well before the first program runs, they do not differ.
#[derive(Clone)]
pub struct RandomDevice(pub Arc<dyn RandomSource>);

impl Device for RandomDevice {
    fn open(&self, _request: &OpenRequest<'_>) -> Result<Arc<dyn File>> {
        Ok(Arc::new(self.clone()))
    }
}

impl File for RandomDevice {
    fn read(&self, _offset: u64, out: &mut [u8]) -> Result<usize> {
        self.0.fill(out);
        Ok(out.len())
    }

    fn write(&self, _offset: u64, data: &[u8]) -> Result<usize> {
        self.0.mix(data);
        Ok(data.len())
    }

    fn positioning(&self) -> Positioning {
        Positioning::Ignored
    }
}
