//! Files that are mapped: when one of them shrinks, whoever maps it must not go on seeing what it has lost.

use alloc::collections::BTreeMap;
use alloc::sync::Arc;

use memory::PrivateCopies;
use sync::{Rank, SpinLock};

use crate::System;

/// How many mappings there are of each file, by the file's address in the kernel. Programs that are executed are not among
/// them: nobody can write to those.
pub struct MappedFiles(SpinLock<BTreeMap<usize, usize>>);

impl MappedFiles {
    /// None.
    #[expect(clippy::new_without_default, reason = "there is one, made by name")]
    pub fn new() -> Self {
        Self(SpinLock::new(Rank::MAPPED_FILES, BTreeMap::new()))
    }

    pub(crate) fn add(&self, object: usize) {
        *self.0.lock().entry(object).or_insert(0) += 1;
    }

    pub(crate) fn remove(&self, object: usize) {
        let mut files = self.0.lock();
        if let Some(count) = files.get_mut(&object) {
            *count -= 1;
            if *count == 0 {
                files.remove(&object);
            }
        }
    }

    fn has(&self, object: usize) -> bool {
        self.0.lock().contains_key(&object)
    }
}

/// What [`MappedFiles`] knows a file or inode by: those of one file have one address.
pub(crate) fn object_of<T: ?Sized>(file: &Arc<T>) -> usize {
    Arc::as_ptr(file).cast::<()>() as usize
}

impl System {
    /// A file has become `len` bytes long: its pages beyond are unmapped wherever they are mapped.
    pub(crate) fn file_was_truncated(&self, object: usize, len: u64) {
        if let Some(first) = len.checked_next_multiple_of(types::PAGE_SIZE as u64) {
            self.unmap_file(object, first, u64::MAX, PrivateCopies::Drop);
        }
    }

    /// A file has got a hole of `len` bytes.
    pub(crate) fn file_got_hole(&self, object: usize, offset: u64, len: u64) {
        const PAGE: u64 = types::PAGE_SIZE as u64;
        let end = offset.saturating_add(len) & !(PAGE - 1);
        if let Some(first) = offset.checked_next_multiple_of(PAGE).filter(|first| *first < end) {
            self.unmap_file(object, first, end, PrivateCopies::Keep);
        }
    }

    /// O(processes), for files that are mapped; O(1) for others.
    fn unmap_file(&self, object: usize, from: u64, to: u64, private: PrivateCopies) {
        if !self.mapped_files.has(object) {
            return;
        }
        for space in self.processes.processes().filter_map(|process| process.space()) {
            // Without a frame to split a shared table, the pages stay: as if the truncation had come later.
            let _ = space.drop_object(object, from, to, private);
        }
    }
}
