//! Content of a regular file: frames where something was written, holes elsewhere.

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::sync::Arc;

use abi::linux::general as linux;
use sync::{Rank, SpinLock};
use types::{PAGE_SIZE, PhysAddr};

use super::Shared;
use crate::{MAX_FILE_SIZE, Result, VfsError};

/// Pages in a leaf of the page map: small enough that a lone page in a sparse file costs little.
const LEAF_PAGES: u64 = 16;

const PAGE: u64 = PAGE_SIZE as u64;
const NO_FRAME: u64 = u64::MAX;
const ZEROS: [u8; PAGE_SIZE] = [0; PAGE_SIZE];

/// Frames of consecutive pages, or [`NO_FRAME`].
type Leaf = [u64; LEAF_PAGES as usize];

/// Pages and length of a regular file.
pub(super) struct Content {
    shared: Arc<Shared>,
    pages: SpinLock<Pages>,
}

struct Pages {
    size: u64,
    count: u64,
    seals: u32,
    writable_mappings: u32,
    leaves: BTreeMap<u64, Box<Leaf>>,
}

impl Content {
    pub(super) fn new(shared: Arc<Shared>, seals: u32) -> Self {
        let pages = Pages { size: 0, count: 0, seals, writable_mappings: 0, leaves: BTreeMap::new() };
        Self { shared, pages: SpinLock::new(Rank::FILE_PAGES, pages) }
    }

    pub(super) fn size(&self) -> u64 {
        self.pages.lock().size
    }

    /// Length and allocated bytes.
    pub(super) fn sizes(&self) -> (u64, u64) {
        let pages = self.pages.lock();
        (pages.size, pages.count * PAGE)
    }

    pub(super) fn read(&self, offset: u64, out: &mut [u8]) -> usize {
        let pages = self.pages.lock();
        let Some(left) = pages.size.checked_sub(offset) else { return 0 };
        let count = usize::try_from(left).unwrap_or(usize::MAX).min(out.len());
        let mut at = offset;
        let mut rest = out.get_mut(..count).unwrap_or(&mut []);
        while !rest.is_empty() {
            let within = (at % PAGE) as usize;
            let length = (PAGE_SIZE - within).min(rest.len());
            let (part, tail) = rest.split_at_mut_checked(length).unwrap_or((&mut [], &mut []));
            match pages.frame(at / PAGE) {
                Some(frame) => self.shared.store.read(frame, within, part),
                None => part.fill(0),
            }
            at += length as u64;
            rest = tail;
        }
        count
    }

    /// Writes; bytes taken, fewer if memory ends on the way.
    pub(super) fn write(&self, offset: u64, data: &[u8]) -> Result<usize> {
        let mut pages = self.pages.lock();
        self.write_locked(&mut pages, offset, data)
    }

    /// Writes at the end but not beyond `limit`; bytes taken and the new end.
    pub(super) fn append(&self, data: &[u8], limit: u64) -> Result<(usize, u64)> {
        let mut pages = self.pages.lock();
        let offset = pages.size;
        let room = limit.checked_sub(offset).filter(|room| *room > 0).ok_or(VfsError::FileTooBig)?;
        let fits = usize::try_from(room).unwrap_or(usize::MAX).min(data.len());
        let taken = self.write_locked(&mut pages, offset, data.get(..fits).unwrap_or(data))?;
        Ok((taken, offset + taken as u64))
    }

    fn write_locked(&self, pages: &mut Pages, offset: u64, data: &[u8]) -> Result<usize> {
        let room = MAX_FILE_SIZE.checked_sub(offset).filter(|room| *room > 0).ok_or(VfsError::FileTooBig)?;
        let fits = usize::try_from(room).unwrap_or(usize::MAX).min(data.len());
        let mut rest = data.get(..fits).unwrap_or(data);
        let sealed = pages.seals & (linux::F_SEAL_WRITE | linux::F_SEAL_FUTURE_WRITE) != 0;
        let grows = offset + rest.len() as u64 > pages.size;
        if sealed || (grows && pages.seals & linux::F_SEAL_GROW != 0) {
            return Err(VfsError::NotPermitted);
        }
        let mut at = offset;
        while !rest.is_empty() {
            let within = (at % PAGE) as usize;
            let length = (PAGE_SIZE - within).min(rest.len());
            let (part, tail) = rest.split_at_checked(length).unwrap_or((rest, &[]));
            let frame = match self.frame_or_new(pages, at / PAGE) {
                Ok(frame) => frame,
                Err(error) if at == offset => return Err(error),
                Err(_) => break,
            };
            if at == offset {
                self.clear_tail(pages, offset);
            }
            self.shared.store.write(frame, within, part);
            at += length as u64;
            pages.size = pages.size.max(at);
            rest = tail;
        }
        Ok((at - offset) as usize)
    }

    /// What a mapping may have written behind the end must not come to light when the end moves to `new`.
    fn clear_tail(&self, pages: &Pages, new: u64) {
        let within = (pages.size % PAGE) as usize;
        if new <= pages.size || within == 0 {
            return;
        }
        if let Some(frame) = pages.frame(pages.size / PAGE) {
            let page_start = pages.size - within as u64;
            let end = usize::try_from(new - page_start).unwrap_or(PAGE_SIZE).min(PAGE_SIZE);
            self.shared.store.write(frame, within, ZEROS.get(within..end).unwrap_or(&[]));
        }
    }

    pub(super) fn truncate(&self, len: u64) -> Result<()> {
        let (freed, last) = {
            let mut pages = self.pages.lock();
            let forbidden = if len > pages.size { linux::F_SEAL_GROW } else { linux::F_SEAL_SHRINK };
            if len != pages.size && pages.seals & forbidden != 0 {
                return Err(VfsError::NotPermitted);
            }
            self.clear_tail(&pages, len);
            let shrinks = len < pages.size;
            pages.size = len;
            if !shrinks {
                return Ok(());
            }
            let first = len.div_ceil(PAGE);
            let mut freed = pages.leaves.split_off(&(first / LEAF_PAGES));
            // The leaf on the border keeps its first pages.
            let border = freed.remove(&(first / LEAF_PAGES)).map(|leaf| {
                let keep = (first % LEAF_PAGES) as usize;
                let mut kept = leaf.clone();
                let mut gone = leaf;
                kept.iter_mut().skip(keep).for_each(|frame| *frame = NO_FRAME);
                gone.iter_mut().take(keep).for_each(|frame| *frame = NO_FRAME);
                if keep != 0 {
                    pages.leaves.insert(first / LEAF_PAGES, kept);
                }
                gone
            });
            if let Some(gone) = border {
                freed.insert(first / LEAF_PAGES, gone);
            }
            let within = (len % PAGE) as usize;
            if within != 0
                && let Some(frame) = pages.frame(len / PAGE)
            {
                self.shared.store.write(frame, within, ZEROS.get(within..).unwrap_or(&[]));
            }
            let count = freed.values().map(|leaf| frames_in(leaf)).sum::<u64>();
            pages.count -= count;
            (freed, count)
        };
        for leaf in freed.values() {
            self.release(leaf);
        }
        self.shared.pages.give(last);
        Ok(())
    }

    /// Allocates pages `offset..offset + len`, or with `keep_size` unset also moves the end.
    pub(super) fn allocate(&self, offset: u64, len: u64, keep_size: bool) -> Result<()> {
        let end = offset.checked_add(len).filter(|end| *end <= MAX_FILE_SIZE).ok_or(VfsError::FileTooBig)?;
        {
            let pages = self.pages.lock();
            if end > pages.size && !keep_size && pages.seals & linux::F_SEAL_GROW != 0 {
                return Err(VfsError::NotPermitted);
            }
        }
        for index in offset / PAGE..end.div_ceil(PAGE) {
            // Page by page, so that others get their turn.
            let mut pages = self.pages.lock();
            self.frame_or_new(&mut pages, index)?;
        }
        let mut pages = self.pages.lock();
        if !keep_size && end > pages.size {
            self.clear_tail(&pages, end);
            pages.size = end;
        }
        Ok(())
    }

    /// Makes a hole; bytes of partly covered pages become zero.
    pub(super) fn punch(&self, offset: u64, len: u64) -> Result<()> {
        let end = offset.saturating_add(len);
        let mut at = offset;
        while at < end {
            let index = at / PAGE;
            let within = (at % PAGE) as usize;
            let length = (PAGE - at % PAGE).min(end - at);
            let freed = {
                let mut pages = self.pages.lock();
                if pages.seals & (linux::F_SEAL_WRITE | linux::F_SEAL_FUTURE_WRITE) != 0 {
                    return Err(VfsError::NotPermitted);
                }
                let Some((next, _)) = pages.leaves.range(index / LEAF_PAGES..).next() else { return Ok(()) };
                if *next > index / LEAF_PAGES {
                    at = next * LEAF_PAGES * PAGE;
                    continue;
                }
                if length == PAGE {
                    pages.take(index)
                } else {
                    if let Some(frame) = pages.frame(index) {
                        let zeros = ZEROS.get(..length as usize).unwrap_or(&[]);
                        self.shared.store.write(frame, within, zeros);
                    }
                    None
                }
            };
            if let Some(frame) = freed {
                self.shared.store.release(frame);
                self.shared.pages.give(1);
            }
            at += length;
        }
        Ok(())
    }

    /// The frame of a page with one more reference.
    pub(super) fn page(&self, index: u64) -> Result<PhysAddr> {
        let mut pages = self.pages.lock();
        if index >= pages.size.div_ceil(PAGE) {
            return Err(VfsError::BadAddress);
        }
        let frame = self.frame_or_new(&mut pages, index)?;
        self.shared.store.retain(frame);
        Ok(frame)
    }

    /// Whether a page has memory.
    pub(super) fn has_page(&self, index: u64) -> bool {
        self.pages.lock().frame(index).is_some()
    }

    /// Frames of the pages from `first` on that are there and within the file, each with one more reference.
    pub(super) fn pages_at_hand(&self, first: u64, frames: &mut [Option<PhysAddr>]) {
        let pages = self.pages.lock();
        let pages_left = usize::try_from(pages.size.div_ceil(PAGE).saturating_sub(first)).unwrap_or(usize::MAX);
        let wanted = frames.len().min(pages_left);
        let (mut index, mut rest) = (first, frames.get_mut(..wanted).unwrap_or(&mut []));
        while !rest.is_empty() {
            let within = (index % LEAF_PAGES) as usize;
            let length = (LEAF_PAGES as usize - within).min(rest.len());
            let (part, tail) = rest.split_at_mut_checked(length).unwrap_or((&mut [], &mut []));
            let leaf = pages.leaves.get(&(index / LEAF_PAGES)).and_then(|leaf| leaf.get(within..));
            for (slot, frame) in part.iter_mut().zip(leaf.unwrap_or(&[])) {
                if *frame != NO_FRAME {
                    let frame = PhysAddr::new_truncate(*frame);
                    self.shared.store.retain(frame);
                    *slot = Some(frame);
                }
            }
            index += length as u64;
            rest = tail;
        }
    }

    pub(super) fn seek_data(&self, offset: u64) -> Result<u64> {
        let pages = self.pages.lock();
        let end = pages.size.div_ceil(PAGE);
        if offset >= pages.size {
            return Err(VfsError::NoDeviceOrAddress);
        }
        let start = offset / PAGE;
        for (number, leaf) in pages.leaves.range(start / LEAF_PAGES..) {
            let first = number * LEAF_PAGES;
            for (index, frame) in (first..).zip(leaf.iter()) {
                if index >= start && index < end && *frame != NO_FRAME {
                    return Ok(offset.max(index * PAGE));
                }
            }
        }
        Err(VfsError::NoDeviceOrAddress)
    }

    pub(super) fn seek_hole(&self, offset: u64) -> Result<u64> {
        let pages = self.pages.lock();
        if offset >= pages.size {
            return Err(VfsError::NoDeviceOrAddress);
        }
        let mut index = offset / PAGE;
        while pages.frame(index).is_some() {
            index += 1;
        }
        Ok((index * PAGE).max(offset).min(pages.size))
    }

    pub(super) fn seals(&self) -> u32 {
        self.pages.lock().seals
    }

    /// F_ADD_SEALS.
    pub(super) fn add_seals(&self, seals: u32) -> Result<()> {
        const KNOWN: u32 = linux::F_SEAL_SEAL
            | linux::F_SEAL_SHRINK
            | linux::F_SEAL_GROW
            | linux::F_SEAL_WRITE
            | linux::F_SEAL_FUTURE_WRITE
            | linux::F_SEAL_EXEC;
        if seals & !KNOWN != 0 {
            return Err(VfsError::InvalidArgument);
        }
        let mut pages = self.pages.lock();
        if pages.seals & linux::F_SEAL_SEAL != 0 {
            return Err(VfsError::NotPermitted);
        }
        if seals & linux::F_SEAL_WRITE != 0 && pages.writable_mappings != 0 {
            return Err(VfsError::Busy);
        }
        pages.seals |= seals;
        Ok(())
    }

    /// One more mapping through which the file can change.
    pub(super) fn map_writable(&self) -> Result<()> {
        let mut pages = self.pages.lock();
        if pages.seals & (linux::F_SEAL_WRITE | linux::F_SEAL_FUTURE_WRITE) != 0 {
            return Err(VfsError::NotPermitted);
        }
        pages.writable_mappings = pages.writable_mappings.saturating_add(1);
        Ok(())
    }

    pub(super) fn unmap_writable(&self) {
        let mut pages = self.pages.lock();
        pages.writable_mappings = pages.writable_mappings.saturating_sub(1);
    }

    fn frame_or_new(&self, pages: &mut Pages, index: u64) -> Result<PhysAddr> {
        if let Some(frame) = pages.frame(index) {
            return Ok(frame);
        }
        self.shared.pages.take()?;
        let Some(frame) = self.shared.store.alloc() else {
            self.shared.pages.give(1);
            return Err(VfsError::NoMemory);
        };
        pages.put(index, frame);
        Ok(frame)
    }

    fn release(&self, leaf: &Leaf) {
        for frame in leaf.iter().filter(|frame| **frame != NO_FRAME) {
            self.shared.store.release(PhysAddr::new_truncate(*frame));
        }
    }
}

impl Drop for Content {
    fn drop(&mut self) {
        let pages = self.pages.get_mut();
        let (count, leaves) = (pages.count, core::mem::take(&mut pages.leaves));
        for leaf in leaves.values() {
            self.release(leaf);
        }
        self.shared.pages.give(count);
    }
}

impl Pages {
    fn frame(&self, index: u64) -> Option<PhysAddr> {
        let frame = *self.leaves.get(&(index / LEAF_PAGES))?.get((index % LEAF_PAGES) as usize)?;
        (frame != NO_FRAME).then(|| PhysAddr::new_truncate(frame))
    }

    fn put(&mut self, index: u64, frame: PhysAddr) {
        let leaf = self.leaves.entry(index / LEAF_PAGES).or_insert_with(|| Box::new([NO_FRAME; LEAF_PAGES as usize]));
        if let Some(slot) = leaf.get_mut((index % LEAF_PAGES) as usize) {
            *slot = frame.as_u64();
            self.count += 1;
        }
    }

    fn take(&mut self, index: u64) -> Option<PhysAddr> {
        let leaf = self.leaves.get_mut(&(index / LEAF_PAGES))?;
        let slot = leaf.get_mut((index % LEAF_PAGES) as usize)?;
        let frame = core::mem::replace(slot, NO_FRAME);
        if frame == NO_FRAME {
            return None;
        }
        self.count -= 1;
        if frames_in(leaf) == 0 {
            self.leaves.remove(&(index / LEAF_PAGES));
        }
        Some(PhysAddr::new_truncate(frame))
    }
}

fn frames_in(leaf: &Leaf) -> u64 {
    leaf.iter().filter(|frame| **frame != NO_FRAME).count() as u64
}
