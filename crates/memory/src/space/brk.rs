//! The heap that grows at its end.

use types::USER_END;

use super::area::Area;
use super::{AddressSpace, Inner, Let, PAGE};
use crate::{MemoryError, Prot, Sharing};

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
        let old = inner.layout.brk_end;
        if self.move_brk(&mut inner, end, &mut let_go).is_err() {
            return old;
        }
        inner.layout.brk_end = end;
        if inner.locking.future.is_empty() {
            return end;
        }
        drop(inner);
        let (old, new) = (old.next_multiple_of(PAGE), end.next_multiple_of(PAGE));
        // As for mappings, what cannot be brought in comes when it is touched.
        let _ = self.bring_in(old.min(new), new);
        end
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
        if !inner.is_free(old, new + PAGE) || !self.ground.ops.frames.above_reserve() {
            return Err(MemoryError::NoMemory);
        }
        let flags = inner.locking.future;
        inner.check_locked(flags, new - old)?;
        inner.check_limits(old, new, true)?;
        inner.check_count(old, new, 1)?;
        inner.add_area(Area {
            start: old,
            end: new,
            prot: Prot::READ | Prot::WRITE,
            max_prot: Prot::all(),
            sharing: Sharing::Private,
            flags,
            source: None,
        });
        Ok(())
    }
}
