//! Names of sockets outside the file system.

use alloc::collections::BTreeMap;
use alloc::format;
use alloc::sync::{Arc, Weak};

use sync::{Rank, SpinLock};

use super::Socket;
use crate::{Result, VfsError};

/// The abstract names of one network namespace.
pub struct AbstractNames {
    names: SpinLock<Names>,
}

#[derive(Default)]
struct Names {
    sockets: BTreeMap<Arc<[u8]>, Weak<Socket>>,
    next: u32,
}

impl AbstractNames {
    /// None taken.
    pub fn new() -> Arc<Self> {
        Arc::new(Self { names: SpinLock::new(Rank::SOCKET_NAMES, Names::default()) })
    }

    /// The socket of that name.
    pub fn find(&self, name: &[u8]) -> Option<Arc<Socket>> {
        self.names.lock().sockets.get(name)?.upgrade()
    }

    /// # Errors
    /// [`VfsError::AddressInUse`].
    pub(super) fn take(&self, name: &Arc<[u8]>, socket: &Weak<Socket>) -> Result<()> {
        let mut names = self.names.lock();
        if names.sockets.get(name).is_some_and(|owner| owner.strong_count() > 0) {
            return Err(VfsError::AddressInUse);
        }
        names.sockets.insert(name.clone(), socket.clone());
        Ok(())
    }

    /// A free name of five hexadecimal digits, as Linux gives.
    ///
    /// # Errors
    /// [`VfsError::NoSpace`] if all are taken.
    pub(super) fn take_any(&self, socket: &Weak<Socket>) -> Result<Arc<[u8]>> {
        for _ in 0..=0xf_ffff_u32 {
            let number = {
                let mut names = self.names.lock();
                names.next = (names.next + 1) & 0xf_ffff;
                names.next
            };
            let name: Arc<[u8]> = format!("{number:05x}").into_bytes().into();
            if self.take(&name, socket).is_ok() {
                return Ok(name);
            }
        }
        Err(VfsError::NoSpace)
    }

    /// Frees a name if it is still that socket's.
    pub(super) fn release(&self, name: &[u8], socket: &Weak<Socket>) {
        let gone = {
            let mut names = self.names.lock();
            let own = names.sockets.get(name).is_some_and(|owner| owner.ptr_eq(socket));
            if own { names.sockets.remove_entry(name) } else { None }
        };
        drop(gone);
    }
}
