//! The heap that grows at its end.

use types::USER_END;

use super::area::Area;
use super::{AddressSpace, Inner, Let, PAGE};
use crate::{MapFlags, MemoryError, Prot, Sharing};

impl AddressSpace {
    /// Sets where the heap begins (and ends, for now): after the program's last segment.
    pub fn set_brk_start(&self, start: u64) {
        let mut inner = self.inner.lock();
        inner.layout.brk_start = start;
        inner.layout.brk_end = start;
    }

    /// Moves the end of the heap and gives the new end, or the old one if that is not possible (`brk`).
    pub fn brk(&self, end: u64) -> u64 {
        let mut let_go = Let::new();
        let mut inner = self.inner.lock();
        if self.move_brk(&mut inner, end, &mut let_go).is_ok() {
            inner.layout.brk_end = end;
        }
        inner.layout.brk_end
    }

    fn move_brk(&self, inner: &mut Inner, end: u64, let_go: &mut Let) -> Result<(), MemoryError> {
        let layout = inner.layout;
        if end < layout.brk_start || end > USER_END || layout.brk_start == 0 || inner.dying {
            return Err(MemoryError::NoMemory);
        }
        let (old, new) = (layout.brk_end.next_multiple_of(PAGE), end.next_multiple_of(PAGE));
        if new <= old {
            return if new < old { self.remove_range(inner, new, old, let_go) } else { Ok(()) };
        }
        if !inner.is_free(old, new + PAGE) || !self.ops.frames.above_reserve() {
            return Err(MemoryError::NoMemory);
        }
        inner.check_limits(old, new, true)?;
        inner.check_count(old, new, 1)?;
        inner.add_area(Area {
            start: old,
            end: new,
            prot: Prot::READ | Prot::WRITE,
            max_prot: Prot::all(),
            sharing: Sharing::Private,
            flags: MapFlags::empty(),
            source: None,
        });
        Ok(())
    }
}
