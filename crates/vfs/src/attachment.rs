//! Something an inode carries for those who open it: the pipe of a fifo, the socket bound to a name.

use alloc::sync::Arc;
use core::any::Any;

use sync::{Rank, SpinLock};

/// A slot in an inode for a live object that is not file content.
pub struct Attachment {
    object: SpinLock<Option<Arc<dyn Any + Send + Sync>>>,
}

impl Default for Attachment {
    fn default() -> Self {
        Self::new()
    }
}

impl Attachment {
    /// An empty slot.
    pub const fn new() -> Self {
        Self { object: SpinLock::new(Rank::INODE, None) }
    }

    /// The object, if there is one of that type.
    pub fn get<T: Any + Send + Sync>(&self) -> Option<Arc<T>> {
        let object = self.object.lock().clone();
        object?.downcast().ok()
    }

    /// The object, made by `make` if the slot is empty; `None` if it holds one of another type.
    pub fn get_or_insert<T: Any + Send + Sync>(&self, make: impl FnOnce() -> Arc<T>) -> Option<Arc<T>> {
        if let Some(object) = self.object.lock().clone() {
            return object.downcast().ok();
        }
        let made: Arc<dyn Any + Send + Sync> = make();
        let object = self.object.lock().get_or_insert_with(|| made.clone()).clone();
        object.downcast().ok()
    }

    /// Puts `object` into the slot if it is empty; whether it was.
    pub fn set<T: Any + Send + Sync>(&self, object: Arc<T>) -> bool {
        let mut slot = self.object.lock();
        if slot.is_some() {
            drop(slot);
            return false;
        }
        *slot = Some(object);
        true
    }

    /// Empties the slot.
    pub fn clear(&self) {
        let old = self.object.lock().take();
        drop(old);
    }
}
