//! User memory that a call reads from or writes to piece by piece: one buffer or a vector of them.

use abi::linux::general as linux;
use abi::{Errno, IoVec};
use smallvec::SmallVec;
use types::{PAGE_SIZE, USER_END};

use crate::{Caller, SysResult, UserMemory};

/// Most bytes one call moves (MAX_RW_COUNT).
const MAX_BYTES: u64 = 0x7fff_f000;
/// Bytes moved per step: a page, so that pipes' atomic writes are one step.
pub(crate) const STEP: usize = PAGE_SIZE;
/// Below this many bytes a smaller bounce buffer saves clearing a page.
const SMALL: usize = 256;

/// Buffers of the caller and how far they have been used.
pub(crate) struct Buffers {
    parts: SmallVec<[IoVec; 4]>,
    // Of the first part.
    used: u64,
    first: usize,
    left: u64,
}

impl Buffers {
    /// One buffer, as of read(2).
    ///
    /// # Errors
    /// EFAULT if it is not all below the end of user memory, EINVAL for a length beyond the largest.
    pub(crate) fn one(base: u64, len: u64) -> SysResult<Self> {
        check_range(base, len)?;
        let left = len.min(MAX_BYTES);
        let mut parts = SmallVec::new();
        parts.push(IoVec { base, len: left });
        Ok(Self { parts, used: 0, first: 0, left })
    }

    /// A vector of buffers, as of readv(2).
    ///
    /// # Errors
    /// EINVAL for too many or too long ones, EFAULT.
    pub(crate) fn vector(caller: Caller<'_>, vector: u64, count: u64) -> SysResult<Self> {
        if count > u64::from(linux::UIO_MAXIOV) {
            return Err(Errno::EINVAL.into());
        }
        let mut parts = SmallVec::new();
        let mut left: u64 = 0;
        for i in 0..count {
            let at = vector.checked_add(i * size_of::<IoVec>() as u64).ok_or(Errno::EFAULT)?;
            let mut part: IoVec = caller.memory().read(at)?;
            if part.len > i64::MAX as u64 {
                return Err(Errno::EINVAL.into());
            }
            check_range(part.base, part.len)?;
            part.len = part.len.min(MAX_BYTES - left);
            left += part.len;
            parts.try_reserve(1).map_err(|_| Errno::ENOMEM)?;
            parts.push(part);
        }
        Ok(Self { parts, used: 0, first: 0, left })
    }

    /// Leaves no more than `most` bytes.
    pub(crate) fn truncate(&mut self, most: u64) {
        if self.left <= most {
            return;
        }
        let mut left = most;
        for part in &mut self.parts {
            part.len = part.len.min(left);
            left -= part.len;
        }
        self.left = most;
    }

    /// Bytes not used yet.
    pub(crate) fn left(&self) -> u64 {
        self.left
    }

    /// Copies the next bytes in without using them up; how many could be read.
    pub(crate) fn peek(&self, memory: UserMemory<'_>, out: &mut [u8]) -> usize {
        let mut done = 0;
        let mut skip = self.used;
        for part in self.parts.iter().skip(self.first) {
            let len = usize::try_from(part.len - skip).unwrap_or(usize::MAX).min(out.len() - done);
            let Some(piece) = out.get_mut(done..done + len) else { break };
            let copied = if piece.is_empty() { 0 } else { memory.read_some(part.base + skip, piece) };
            done += copied;
            if copied < len || done == out.len() {
                break;
            }
            skip = 0;
        }
        done
    }

    /// Copies `data` out to the next bytes and uses them up; how many could be written.
    pub(crate) fn put(&mut self, memory: UserMemory<'_>, data: &[u8]) -> usize {
        let mut done = 0;
        while let Some(part) = self.parts.get(self.first) {
            let rest = data.get(done..).unwrap_or_default();
            if rest.is_empty() {
                break;
            }
            let room = usize::try_from(part.len - self.used).unwrap_or(usize::MAX);
            let piece = rest.get(..room.min(rest.len())).unwrap_or_default();
            let copied = if piece.is_empty() { 0 } else { memory.write_some(part.base + self.used, piece) };
            let faulted = copied < piece.len();
            self.advance(copied as u64);
            done += copied;
            if faulted {
                break;
            }
            if room == 0 {
                self.first += 1;
                self.used = 0;
            }
        }
        done
    }

    /// Uses up `count` bytes.
    pub(crate) fn advance(&mut self, count: u64) {
        let mut count = count.min(self.left);
        self.left -= count;
        while count > 0 {
            let Some(part) = self.parts.get(self.first) else { return };
            let here = count.min(part.len - self.used);
            self.used += here;
            count -= here;
            if self.used == part.len {
                self.first += 1;
                self.used = 0;
            }
        }
    }

    /// Looks whether the next `count` bytes are there at all, before something is taken that could not be given back.
    ///
    /// # Errors
    /// EFAULT.
    pub(crate) fn probe(&self, memory: UserMemory<'_>, count: usize) -> SysResult<()> {
        let mut byte = [0];
        let mut left = count as u64;
        let mut skip = self.used;
        for part in self.parts.iter().skip(self.first) {
            let here = left.min(part.len - skip);
            if here > 0 {
                memory.read_bytes(part.base + skip, &mut byte)?;
                memory.read_bytes(part.base + skip + here - 1, &mut byte)?;
            }
            left -= here;
            skip = 0;
            if left == 0 {
                break;
            }
        }
        Ok(())
    }
}

fn check_range(base: u64, len: u64) -> SysResult<()> {
    match base.checked_add(len) {
        Some(end) if end <= USER_END => Ok(()),
        _ => Err(Errno::EFAULT.into()),
    }
}

/// Lends a kernel buffer for moving `len` bytes, of at most [`STEP`] bytes.
pub(crate) fn with_step<T>(len: u64, work: impl FnOnce(&mut [u8]) -> T) -> T {
    if len <= SMALL as u64 { small_step(len as usize, work) } else { page_step(len, work) }
}

#[inline(never)]
fn small_step<T>(len: usize, work: impl FnOnce(&mut [u8]) -> T) -> T {
    let mut buffer = [0; SMALL];
    work(buffer.get_mut(..len).unwrap_or_default())
}

#[inline(never)]
fn page_step<T>(len: u64, work: impl FnOnce(&mut [u8]) -> T) -> T {
    let mut buffer = [0; STEP];
    let len = usize::try_from(len).unwrap_or(STEP).min(STEP);
    work(buffer.get_mut(..len).unwrap_or_default())
}
