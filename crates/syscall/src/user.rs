//! Typed access to the caller's memory. Copy once, then validate: user space may change it at any time.

use alloc::vec::Vec;

use abi::{Errno, Wire, Zeroed};
use memory::AddressSpace;
use types::{PAGE_SIZE, USER_END};

use crate::{Platform, SysResult};

/// The caller's memory.
#[derive(Clone, Copy)]
pub struct UserMemory<'a> {
    platform: &'static dyn Platform,
    space: &'a AddressSpace,
}

impl<'a> UserMemory<'a> {
    /// Memory of `space`, which must be the calling thread's own.
    pub fn new(platform: &'static dyn Platform, space: &'a AddressSpace) -> Self {
        Self { platform, space }
    }

    /// Copies in all of `out`.
    ///
    /// # Errors
    /// EFAULT where a byte cannot be read.
    pub fn read_bytes(self, from: u64, out: &mut [u8]) -> SysResult<()> {
        if self.platform.copy_in(self.space, from, out) == out.len() { Ok(()) } else { Err(Errno::EFAULT.into()) }
    }

    /// Copies out all of `data`.
    ///
    /// # Errors
    /// EFAULT where a byte cannot be written; those before it have been.
    pub fn write_bytes(self, to: u64, data: &[u8]) -> SysResult<()> {
        if self.platform.copy_out(self.space, to, data) == data.len() { Ok(()) } else { Err(Errno::EFAULT.into()) }
    }

    /// Copies out as much of `data` as can be; how many bytes.
    pub fn write_some(self, to: u64, data: &[u8]) -> usize {
        self.platform.copy_out(self.space, to, data)
    }

    /// Copies in as much of `out` as can be; how many bytes.
    pub fn read_some(self, from: u64, out: &mut [u8]) -> usize {
        self.platform.copy_in(self.space, from, out)
    }

    /// Reads an aligned word in one access; nothing where it cannot be read.
    #[inline]
    pub fn read_word(self, from: u64) -> Option<u32> {
        self.platform.load_word(self.space, from)
    }

    /// Reads a structure or number.
    ///
    /// # Errors
    /// EFAULT.
    pub fn read<T: Wire>(self, from: u64) -> SysResult<T> {
        let mut bytes = T::Bytes::zeroed();
        self.read_bytes(from, bytes.as_mut())?;
        Ok(T::from_bytes(&bytes))
    }

    /// Writes a structure or number.
    ///
    /// # Errors
    /// EFAULT.
    pub fn write<T: Wire>(self, to: u64, value: &T) -> SysResult<()> {
        self.write_bytes(to, value.to_bytes().as_ref())
    }

    /// Writes a structure unless `to` is null.
    ///
    /// # Errors
    /// EFAULT.
    pub fn write_opt<T: Wire>(self, to: u64, value: &T) -> SysResult<()> {
        if to == 0 { Ok(()) } else { self.write(to, value) }
    }

    /// Reads `count` structures.
    ///
    /// # Errors
    /// EFAULT; ENOMEM where there is no room for them.
    pub fn read_array<T: Wire>(self, from: u64, count: usize) -> SysResult<Vec<T>> {
        let mut items = Vec::new();
        items.try_reserve_exact(count).map_err(|_| Errno::ENOMEM)?;
        for i in 0..count as u64 {
            let offset = i.checked_mul(T::SIZE as u64).and_then(|at| from.checked_add(at)).ok_or(Errno::EFAULT)?;
            items.push(self.read(offset)?);
        }
        Ok(items)
    }

    /// Reads `len` bytes into a new buffer.
    ///
    /// # Errors
    /// EFAULT; ENOMEM where there is no room for them.
    pub fn read_vec(self, from: u64, len: usize) -> SysResult<Vec<u8>> {
        let mut buffer = Vec::new();
        buffer.try_reserve_exact(len).map_err(|_| Errno::ENOMEM)?;
        buffer.resize(len, 0);
        self.read_bytes(from, &mut buffer)?;
        Ok(buffer)
    }

    /// Reads a NUL-terminated string of fewer than `limit` bytes, without its NUL.
    ///
    /// # Errors
    /// EFAULT; `too_long` where there is no NUL among the first `limit` bytes; ENOMEM.
    pub fn read_string(self, from: u64, limit: usize, too_long: Errno) -> SysResult<Vec<u8>> {
        let mut string = Vec::new();
        self.read_string_into(from, limit, too_long, &mut string)?;
        Ok(string)
    }

    /// As [`UserMemory::read_string`], in place of what `string` held.
    ///
    /// # Errors
    /// As [`UserMemory::read_string`].
    pub fn read_string_into(self, from: u64, limit: usize, too_long: Errno, string: &mut Vec<u8>) -> SysResult<()> {
        string.clear();
        let mut at = from;
        while string.len() < limit {
            // Never across a page in one copy: the string may end just before an unmapped page.
            let in_page = PAGE_SIZE - (at as usize & (PAGE_SIZE - 1));
            let mut chunk = [0; 128];
            let want = in_page.min(chunk.len()).min(limit - string.len());
            let chunk = chunk.get_mut(..want).unwrap_or_default();
            if at >= USER_END {
                return Err(Errno::EFAULT.into());
            }
            self.read_bytes(at, chunk)?;
            let end = chunk.iter().position(|byte| *byte == 0);
            string.try_reserve(want).map_err(|_| Errno::ENOMEM)?;
            string.extend_from_slice(chunk.get(..end.unwrap_or(want)).unwrap_or_default());
            if end.is_some() {
                return Ok(());
            }
            at += want as u64;
        }
        Err(too_long.into())
    }

    /// Reads a path name: at most 4,095 bytes and a NUL.
    ///
    /// # Errors
    /// EFAULT, ENAMETOOLONG, ENOMEM.
    pub fn read_path(self, from: u64) -> SysResult<Vec<u8>> {
        self.read_string(from, 4096, Errno::ENAMETOOLONG)
    }
}
