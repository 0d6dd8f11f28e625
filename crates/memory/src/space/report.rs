//! What `/proc` shows of a space.

use alloc::vec::Vec;

use super::tables::TOP_LEVEL;
use super::{AddressSpace, PAGE};
use crate::{AreaInfo, MemoryError, Prot, Usage};

impl AddressSpace {
    /// All areas, lowest first.
    ///
    /// # Errors
    ///
    /// `NoMemory`.
    pub fn areas(&self) -> Result<Vec<AreaInfo>, MemoryError> {
        let mut list = Vec::new();
        loop {
            let inner = self.inner.lock();
            let count = inner.areas.count();
            if list.capacity() >= count {
                let heap = inner.layout.brk_start..inner.layout.brk_end.next_multiple_of(PAGE);
                list.extend(inner.areas.iter_from(0).map(|area| area.info(heap.clone())));
                return Ok(list);
            }
            drop(inner);
            list.try_reserve_exact(count + 8).map_err(|_| MemoryError::NoMemory)?;
        }
    }

    /// Pages that are present.
    pub fn resident_pages(&self) -> u64 {
        self.inner.lock().counts.resident
    }

    /// Sizes. O(areas + page tables).
    pub fn usage(&self) -> Usage {
        let inner = self.inner.lock();
        let counts = inner.counts;
        let mut usage = Usage {
            size: counts.size,
            peak_size: counts.peak_size,
            resident: counts.resident,
            peak_resident: counts.peak_resident,
            data: counts.data,
            heap: (inner.layout.brk_end.saturating_sub(inner.layout.brk_start)).div_ceil(PAGE),
            tables: self.ground.ops.tables_below(self.root, TOP_LEVEL),
            areas: inner.areas.count() as u64,
            locked: counts.locked,
            ..Usage::default()
        };
        for area in inner.areas.iter_from(0) {
            let pages = area.len() / PAGE;
            if area.grows_down() {
                usage.stack += pages;
            } else if area.prot.contains(Prot::EXEC) && !area.prot.contains(Prot::WRITE) {
                usage.code += pages;
            }
            if area.source.is_some() {
                usage.shared += pages;
            }
        }
        usage
    }
}
