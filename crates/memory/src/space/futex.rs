//! Words that user threads and the kernel change together.

use alloc::sync::Arc;
use core::sync::atomic::{AtomicU32, Ordering};

use types::USER_END;

use super::fault::Access;
use super::{AddressSpace, PAGE};
use crate::{FutexKey, FutexScope, MemoryError};

impl AddressSpace {
    /// Calls `act` with the word at `address`, under the space's lock.
    fn with_word<R>(&self, address: u64, access: Access, act: impl FnOnce(&AtomicU32) -> R) -> Result<R, MemoryError> {
        if !address.is_multiple_of(4) {
            return Err(MemoryError::Invalid);
        }
        let mut inner = self.inner.lock();
        let frame = self.page_for(&mut inner, address, access).map_err(|_| MemoryError::Fault)?;
        Ok(act(self.ground.ops.frames.direct_map().word(frame, (address % PAGE) as usize)))
    }

    /// Loads an aligned word.
    ///
    /// # Errors
    ///
    /// `Fault`; `Invalid` if not aligned.
    pub fn load_u32(&self, address: u64) -> Result<u32, MemoryError> {
        self.with_word(address, Access::Read, |word| word.load(Ordering::SeqCst))
    }

    /// Replaces an aligned word if it is `expected`; gives what was there.
    ///
    /// # Errors
    ///
    /// As for [`AddressSpace::load_u32`].
    pub fn compare_exchange_u32(&self, address: u64, expected: u32, new: u32) -> Result<u32, MemoryError> {
        self.with_word(address, Access::Write, |word| {
            word.compare_exchange(expected, new, Ordering::SeqCst, Ordering::SeqCst).unwrap_or_else(|found| found)
        })
    }

    /// Replaces an aligned word by what `change` makes of it, atomically; gives the old one. `change` may run several times
    /// and takes no lock.
    ///
    /// # Errors
    ///
    /// As for [`AddressSpace::load_u32`].
    pub fn fetch_update_u32(&self, address: u64, change: &mut dyn FnMut(u32) -> u32) -> Result<u32, MemoryError> {
        self.with_word(address, Access::Write, |word| {
            let mut old = word.load(Ordering::SeqCst);
            while let Err(found) = word.compare_exchange_weak(old, change(old), Ordering::SeqCst, Ordering::SeqCst) {
                old = found;
            }
            old
        })
    }

    /// Identity of the futex word at `address`.
    ///
    /// # Errors
    ///
    /// `Invalid` if not aligned; `Fault` beyond user memory, and of a word that may be shared if it cannot be read.
    #[inline]
    pub fn futex_key(&self, address: u64, scope: FutexScope) -> Result<FutexKey, MemoryError> {
        if !address.is_multiple_of(4) {
            return Err(MemoryError::Invalid);
        }
        if address >= USER_END {
            return Err(MemoryError::Fault);
        }
        let private = FutexKey::Private { space: self.root.as_u64(), address };
        match scope {
            FutexScope::Private => Ok(private),
            FutexScope::Shared => self.shared_key(address, private),
        }
    }

    /// Identity of a word that is `private` unless it is in a shared mapping.
    fn shared_key(&self, address: u64, private: FutexKey) -> Result<FutexKey, MemoryError> {
        let mut inner = self.inner.lock();
        // What the word is part of is known only of memory that could be read.
        self.page_for(&mut inner, address, Access::Read).map_err(|_| MemoryError::Fault)?;
        let area = inner.areas.find(address).ok_or(MemoryError::Fault)?;
        Ok(match &area.source {
            Some(source) if area.is_shared() => {
                // Mappings of one file have a pager each, and are one object all the same.
                let object = match source.pager.object() {
                    0 => Arc::as_ptr(&source.pager).cast::<()>() as u64,
                    object => object as u64,
                };
                FutexKey::Shared { object, offset: source.offset + (address - area.start) }
            }
            _ => private,
        })
    }
}
