//! Reading and writing user memory by walking its tables: right on the host, for other processes' spaces, and as the slow path
//! behind the kernel's hardware copies.

use alloc::vec::Vec;

use types::{PhysAddr, USER_END};

use super::fault::Access;
use super::{AddressSpace, Inner, PAGE};
use crate::{FaultOutcome, MemoryError, Pte};

impl AddressSpace {
    /// The frame of the page at `address`, made accessible for `access`.
    #[inline]
    pub(super) fn page_for(&self, inner: &mut Inner, address: u64, access: Access) -> Result<PhysAddr, FaultOutcome> {
        if address >= USER_END {
            return Err(FaultOutcome::NoMapping);
        }
        // A read fault maps, a write fault may first map and then copy: never more than twice.
        for _ in 0..3 {
            let entry = self.ground.ops.walk(self.root, address);
            if entry.has(Pte::PRESENT) && (access != Access::Write || entry.is_writable()) {
                return Ok(entry.frame());
            }
            match self.resolve(inner, address, access) {
                FaultOutcome::Resolved(_) => {}
                outcome => return Err(outcome),
            }
        }
        Err(FaultOutcome::Access)
    }

    /// Calls `visit` with frame, offset and length of each piece of `address .. address + len`, page by page, under the lock.
    /// Gives the bytes before the first page that is not accessible.
    fn for_pieces(&self, address: u64, len: u64, access: Access, mut visit: impl FnMut(PhysAddr, usize, usize)) -> u64 {
        let mut done = 0;
        while done < len {
            let Some(at) = address.checked_add(done) else { break };
            let offset = at % PAGE;
            let piece = (PAGE - offset).min(len - done);
            let mut inner = self.inner.lock();
            let Ok(frame) = self.page_for(&mut inner, at, access) else { break };
            visit(frame, offset as usize, piece as usize);
            done += piece;
        }
        done
    }

    /// Copies from user memory; faults pages in. Gives the bytes copied before the first that cannot be read: fewer than
    /// asked for means a fault there.
    pub fn read(&self, address: u64, out: &mut [u8]) -> usize {
        let map = self.ground.ops.frames.direct_map();
        let mut rest = &mut *out;
        self.for_pieces(address, rest.len() as u64, Access::Read, |frame, offset, len| {
            if let Some((piece, after)) = core::mem::take(&mut rest).split_at_mut_checked(len) {
                map.read(frame, offset, piece);
                rest = after;
            }
        }) as usize
    }

    /// Copies to user memory as the user's own stores would (breaks copy-on-write); result as for [`AddressSpace::read`].
    pub fn write(&self, address: u64, data: &[u8]) -> usize {
        let map = self.ground.ops.frames.direct_map();
        let mut rest = data;
        self.for_pieces(address, data.len() as u64, Access::Write, |frame, offset, len| {
            if let Some((piece, after)) = rest.split_at_checked(len) {
                map.write(frame, offset, piece);
                rest = after;
            }
        }) as usize
    }

    /// Writes zeroes; result as for [`AddressSpace::read`].
    pub fn zero(&self, address: u64, len: u64) -> u64 {
        let map = self.ground.ops.frames.direct_map();
        let in_page = address % PAGE;
        // The usual case: the rest of a program's last page of data.
        if len == PAGE - in_page && self.copy_head(&mut self.inner.lock(), address & !(PAGE - 1), in_page as usize) {
            return len;
        }
        self.for_pieces(address, len, Access::Write, |frame, offset, len| {
            map.zero_part(frame, offset, len);
        })
    }

    /// Copies a zero-terminated string without its zero.
    ///
    /// # Errors
    ///
    /// `Fault`; `Invalid` if there is no zero within `max` bytes; `NoMemory`.
    pub fn read_cstr(&self, address: u64, max: usize) -> Result<Vec<u8>, MemoryError> {
        /// What most strings fit in.
        const PIECE: usize = 128;
        let mut string = Vec::new();
        while string.len() < max {
            let mut piece = [0; PIECE];
            let at = address.checked_add(string.len() as u64).ok_or(MemoryError::Fault)?;
            // Not beyond the page: what follows the string may be unmapped.
            let len = PIECE.min(max - string.len()).min((PAGE - at % PAGE) as usize);
            let Some(piece) = piece.get_mut(..len) else { break };
            if self.read(at, piece) != len {
                return Err(MemoryError::Fault);
            }
            let end = piece.iter().position(|byte| *byte == 0);
            let text = end.and_then(|end| piece.get(..end)).unwrap_or(piece);
            string.try_reserve(text.len()).map_err(|_| MemoryError::NoMemory)?;
            string.extend_from_slice(text);
            if end.is_some() {
                return Ok(string);
            }
        }
        Err(MemoryError::Invalid)
    }
}
