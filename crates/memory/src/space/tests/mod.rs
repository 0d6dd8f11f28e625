//! Address spaces against a software MMU and a naive model.

mod failing;
mod figures;
mod hardware;
mod image;
mod lock;
mod model;
mod operations;
mod racing;
mod share;

use std::boxed::Box;
use std::sync::Arc;

use crate::testing::machine;
use crate::{Frames, KernelLayout, KernelTables, PagingFeatures, Prot};
use hardware::Hardware;

const RW: Prot = Prot::READ.union(Prot::WRITE);

/// A machine for ever, with kernel tables.
struct World {
    frames: &'static Frames,
    hardware: &'static Hardware,
    kernel: &'static KernelTables,
}

impl World {
    fn new(pages: u64) -> Self {
        let frames = machine(pages, 0);
        let layout = KernelLayout { ram: &[], image: &[], features: PagingFeatures::default() };
        let kernel = Box::leak(Box::new(KernelTables::build(frames, &layout).unwrap()));
        Self { frames, hardware: Box::leak(Box::new(Hardware::new(frames))), kernel }
    }

    fn space(&self, shared_level: u32) -> Arc<super::AddressSpace> {
        let space =
            super::AddressSpace::with_shared_level(self.frames, self.hardware, self.kernel.root(), shared_level);
        Arc::new(space.unwrap())
    }

    fn free(&self) -> u64 {
        self.frames.stats().free
    }
}
