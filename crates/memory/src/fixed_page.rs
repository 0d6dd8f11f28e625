//! Pages of the kernel's own that programs are shown.

use alloc::sync::Arc;
use core::fmt;

use types::{PAGE_SIZE, PhysAddr};

use crate::{Frames, PageAccess, Pager, PagerError};

/// An object of one page, which is there for ever.
pub struct FixedPage {
    frames: &'static Frames,
    frame: PhysAddr,
    name: &'static str,
}

impl FixedPage {
    /// The page at `frame`, which nobody ever frees, called `name` in /proc/PID/maps.
    pub fn new(frames: &'static Frames, frame: PhysAddr, name: &'static str) -> Self {
        // A reference that is never given back.
        frames.retain(frame);
        Self { frames, frame, name }
    }
}

impl Pager for FixedPage {
    fn page(&self, index: u64, _access: PageAccess) -> Result<PhysAddr, PagerError> {
        if index != 0 {
            return Err(PagerError::BeyondEnd);
        }
        self.frames.retain(self.frame);
        Ok(self.frame)
    }

    fn len_bytes(&self) -> u64 {
        PAGE_SIZE as u64
    }

    fn id(&self) -> crate::ObjectId {
        crate::ObjectId::default()
    }

    fn write_name(&self, out: &mut dyn fmt::Write) -> fmt::Result {
        out.write_str(self.name)
    }
}

/// What every program is shown of the kernel: a page of data and, after it, a page of code that reads them.
#[derive(Clone)]
pub struct KernelPages {
    /// To be read, whatever the program asks for.
    pub data: Arc<dyn Pager>,
    /// To be run; a program may ask for a copy that it can change.
    pub code: Arc<dyn Pager>,
}

impl KernelPages {
    /// Bytes of both.
    pub const LEN: u64 = 2 * PAGE_SIZE as u64;
}
