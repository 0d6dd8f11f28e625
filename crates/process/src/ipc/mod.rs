//! System V IPC (sysvipc(7)): objects named by numbers, shared by whoever may use them, there until somebody removes them.
//!
//! This module has what the three kinds share: identifiers, keys, owners and rights. [`sem`] has sets of semaphores,
//! [`msg`] message queues; a segment of shared memory is a [`Table`] entry whose content the caller supplies.

pub mod msg;
pub mod sem;
#[cfg(test)]
mod tests;

use alloc::collections::BTreeMap;
use alloc::sync::Arc;

use abi::linux::general as linux;
use sync::{Rank, SpinLock};
use types::{Capabilities, Credentials, Gid, Uid};

/// IPC_PRIVATE: always a new object.
pub const PRIVATE: i32 = 0;
/// IPC_CREAT.
pub const CREATE: u32 = 0o1000;
/// IPC_EXCL.
pub const EXCLUSIVE: u32 = 0o2000;
/// IPC_NOWAIT.
pub const NO_WAIT: u32 = 0o4000;
/// Bits of an identifier that are the place in the table.
const INDEX_BITS: u32 = 15;
/// Fewest places before they are used again.
const FEWEST_PLACES: u32 = 64;

/// Why an operation on an IPC object did not happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IpcError {
    /// No object has that identifier, or an argument makes no sense.
    Invalid,
    /// No object has that key.
    NotFound,
    /// An object has that key already.
    Exists,
    /// The rights do not suffice.
    AccessDenied,
    /// Only owner, creator or administrator may.
    NotPermitted,
    /// As many objects as there may be.
    NoSpace,
    /// No memory.
    NoMemory,
    /// It was removed while the caller waited.
    Removed,
    /// It would have to wait.
    WouldBlock,
    /// No message of that kind.
    NoMessage,
    /// The message is longer than the buffer, or too many operations at once.
    TooBig,
    /// A semaphore would leave its range.
    OutOfRange,
    /// No semaphore has that number.
    NoSemaphore,
}

/// Owner and rights of an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Permissions {
    /// Its key; [`PRIVATE`] for none.
    pub key: i32,
    /// Owner.
    pub uid: Uid,
    /// Owning group.
    pub gid: Gid,
    /// Who made it.
    pub creator_uid: Uid,
    /// The maker's group.
    pub creator_gid: Gid,
    /// Nine permission bits; execution means nothing.
    pub mode: u32,
    /// How often its place in the table had been used before.
    pub sequence: u16,
}

impl Permissions {
    /// Rights of a new object.
    pub const fn new(key: i32, mode: u32, by: &Credentials) -> Self {
        Self {
            key,
            uid: by.euid,
            gid: by.egid,
            creator_uid: by.euid,
            creator_gid: by.egid,
            mode: mode & 0o777,
            sequence: 0,
        }
    }

    /// Checks that `who` has the rights `want`: bits of 0o444 to read, 0o222 to change.
    ///
    /// # Errors
    /// [`IpcError::AccessDenied`].
    pub fn check(&self, who: &Credentials, want: u32) -> Result<(), IpcError> {
        let wanted = (want >> 6 | want >> 3 | want) & 7;
        let granted = if who.euid == self.uid || who.euid == self.creator_uid {
            self.mode >> 6
        } else if in_group(who, self.gid) || in_group(who, self.creator_gid) {
            self.mode >> 3
        } else {
            self.mode
        };
        if wanted & !granted == 0 || who.capable(Capabilities::IPC_OWNER) {
            return Ok(());
        }
        Err(IpcError::AccessDenied)
    }

    /// Checks that `who` may change or remove the object.
    ///
    /// # Errors
    /// [`IpcError::NotPermitted`].
    pub fn check_owner(&self, who: &Credentials) -> Result<(), IpcError> {
        let owns = who.euid == self.uid || who.euid == self.creator_uid || who.capable(Capabilities::SYS_ADMIN);
        if owns { Ok(()) } else { Err(IpcError::NotPermitted) }
    }

    /// IPC_SET.
    pub const fn set(&mut self, uid: Uid, gid: Gid, mode: u32) {
        self.uid = uid;
        self.gid = gid;
        self.mode = self.mode & !0o777 | mode & 0o777;
    }
}

fn in_group(who: &Credentials, group: Gid) -> bool {
    who.egid == group || who.in_group(group)
}

/// Something with owner and rights.
pub trait Object: Send + Sync {
    /// They.
    fn permissions(&self) -> Permissions;
    /// Whether objects of this kind can go without being removed.
    const FADES: bool = false;
    /// Whether nobody can use it any more, so that its place is free.
    fn is_gone(&self) -> bool {
        false
    }
}

/// Objects with their identifiers.
pub type Listed<T> = alloc::vec::Vec<(i32, Arc<T>)>;

/// Objects of one kind, by identifier and key.
#[derive(Debug)]
pub struct Table<T> {
    limit: u32,
    inner: SpinLock<Inner<T>>,
}

#[derive(Debug)]
struct Inner<T> {
    objects: BTreeMap<u32, (i32, Arc<T>)>,
    keys: BTreeMap<i32, u32>,
    cursor: u32,
    last: Option<u32>,
    sequence: u16,
}

impl<T: Object> Table<T> {
    /// A table for at most `limit` objects.
    pub const fn new(limit: u32) -> Self {
        let inner = Inner { objects: BTreeMap::new(), keys: BTreeMap::new(), cursor: 0, last: None, sequence: 0 };
        Self { limit, inner: SpinLock::new(Rank::IPC, inner) }
    }

    /// The identifier for `key`: of a new object by `make` if there is none and `flags` say so. `fits` looks at one that
    /// is there.
    ///
    /// # Errors
    /// [`IpcError::NotFound`], [`IpcError::Exists`], [`IpcError::AccessDenied`], [`IpcError::NoSpace`]; those of `fits`
    /// and `make`.
    pub fn get(
        &self,
        key: i32,
        flags: u32,
        who: &Credentials,
        fits: impl FnOnce(&T) -> Result<(), IpcError>,
        make: impl FnOnce(Permissions) -> Result<T, IpcError>,
    ) -> Result<i32, IpcError> {
        let gone = self.sweep();
        drop(gone);
        let mut inner = self.inner.lock();
        let found = inner.keys.get(&key).filter(|_| key != PRIVATE).and_then(|index| inner.objects.get(index)).cloned();
        if let Some((id, object)) = found {
            drop(inner);
            if flags & (CREATE | EXCLUSIVE) == CREATE | EXCLUSIVE {
                return Err(IpcError::Exists);
            }
            fits(&object)?;
            object.permissions().check(who, flags & 0o666)?;
            return Ok(id);
        }
        if key != PRIVATE && flags & CREATE == 0 {
            return Err(IpcError::NotFound);
        }
        let (index, sequence) = inner.free_place(self.limit)?;
        let mut permissions = Permissions::new(key, flags, who);
        permissions.sequence = sequence;
        // Small, and refused earlier where memory is short.
        let object = Arc::new(make(permissions)?);
        let id = (u32::from(sequence) << INDEX_BITS | index) as i32;
        inner.objects.insert(index, (id, object));
        if key != PRIVATE {
            inner.keys.insert(key, index);
        }
        inner.sequence = sequence;
        inner.last = Some(index);
        inner.cursor = index + 1;
        Ok(id)
    }

    /// The object with that identifier.
    ///
    /// # Errors
    /// [`IpcError::Invalid`].
    pub fn find(&self, id: i32) -> Result<Arc<T>, IpcError> {
        let index = id as u32 & ((1 << INDEX_BITS) - 1);
        let inner = self.inner.lock();
        let object = inner.objects.get(&index).filter(|(known, _)| *known == id && id >= 0);
        let object = object.map(|(_, object)| object.clone()).ok_or(IpcError::Invalid)?;
        drop(inner);
        if object.is_gone() { Err(IpcError::Invalid) } else { Ok(object) }
    }

    /// The object at a place, and its identifier (IPC_STAT by index).
    ///
    /// # Errors
    /// [`IpcError::Invalid`].
    pub fn at(&self, index: i32) -> Result<(i32, Arc<T>), IpcError> {
        let inner = self.inner.lock();
        let entry = u32::try_from(index).ok().and_then(|index| inner.objects.get(&index));
        let (id, object) = entry.cloned().ok_or(IpcError::Invalid)?;
        drop(inner);
        if object.is_gone() { Err(IpcError::Invalid) } else { Ok((id, object)) }
    }

    /// Takes an object out: nobody finds it any more. Gives it for the caller to drop.
    pub fn remove(&self, id: i32) -> Option<Arc<T>> {
        let index = id as u32 & ((1 << INDEX_BITS) - 1);
        let mut inner = self.inner.lock();
        if inner.objects.get(&index)?.0 != id {
            return None;
        }
        inner.keys.retain(|_, at| *at != index);
        inner.objects.remove(&index).map(|(_, object)| object)
    }

    /// Takes an object's key away: it is found by its identifier only.
    pub fn forget_key(&self, id: i32) {
        let index = id as u32 & ((1 << INDEX_BITS) - 1);
        self.inner.lock().keys.retain(|_, at| *at != index);
    }

    /// All objects with their identifiers, in order of their places, and the highest place in use.
    ///
    /// # Errors
    /// [`IpcError::NoMemory`].
    pub fn all(&self) -> Result<(Listed<T>, u32), IpcError> {
        drop(self.sweep());
        let inner = self.inner.lock();
        let mut list = alloc::vec::Vec::new();
        list.try_reserve_exact(inner.objects.len()).map_err(|_| IpcError::NoMemory)?;
        list.extend(inner.objects.values().cloned());
        let highest = inner.objects.last_key_value().map_or(0, |(index, _)| *index);
        Ok((list, highest))
    }

    /// Takes out what is gone.
    fn sweep(&self) -> alloc::vec::Vec<Arc<T>> {
        let mut gone = alloc::vec::Vec::new();
        if !T::FADES {
            return gone;
        }
        let mut inner = self.inner.lock();
        while let Some(index) = inner.objects.iter().find(|(_, (_, object))| object.is_gone()).map(|(index, _)| *index)
        {
            inner.keys.retain(|_, at| *at != index);
            gone.extend(inner.objects.remove(&index).map(|(_, object)| object));
        }
        gone
    }
}

impl<T> Inner<T> {
    /// A free place and the sequence number of what goes there: as in Linux, places are used in turn.
    fn free_place(&self, limit: u32) -> Result<(u32, u16), IpcError> {
        let used = self.objects.len() as u32;
        if used >= limit {
            return Err(IpcError::NoSpace);
        }
        let places = (used * 3 / 2).max(FEWEST_PLACES).min(limit);
        let start = if self.cursor < places { self.cursor } else { 0 };
        let place = (start..places).chain(0..start).find(|index| !self.objects.contains_key(index));
        let index = place.ok_or(IpcError::NoSpace)?;
        let again = self.last.is_some_and(|last| index <= last);
        // An identifier stays positive.
        Ok((index, if again { self.sequence.wrapping_add(1) } else { self.sequence }))
    }
}

/// Rights to read an object.
pub const READ: u32 = linux::S_IRUSR | linux::S_IRGRP | linux::S_IROTH;
/// Rights to change an object.
pub const ALTER: u32 = linux::S_IWUSR | linux::S_IWGRP | linux::S_IWOTH;
