//! Frames as file systems see them.

use hal::FrameStore;
use types::PhysAddr;

use super::{Frames, Purpose};

impl FrameStore for Frames {
    fn alloc(&self) -> Option<PhysAddr> {
        self.alloc_zeroed(Purpose::FileData)
    }

    fn retain(&self, frame: PhysAddr) {
        Self::retain(self, frame);
    }

    fn release(&self, frame: PhysAddr) {
        Self::release(self, frame);
    }

    fn read(&self, frame: PhysAddr, offset: usize, out: &mut [u8]) {
        if self.references(frame) != 0 {
            self.direct_map().read(frame, offset, out);
        }
    }

    fn write(&self, frame: PhysAddr, offset: usize, data: &[u8]) {
        if self.references(frame) != 0 {
            self.direct_map().write(frame, offset, data);
        }
    }
}
