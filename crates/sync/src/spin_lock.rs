//! A spin lock that knows its place in the lock order.

use core::fmt;
use core::marker::PhantomData;
use core::ops::{Deref, DerefMut};

use spin::mutex::spin::{SpinMutex, SpinMutexGuard};

use crate::Rank;
use crate::held::{Held, Place};
use crate::hooks::Relax;

/// Mutual exclusion between CPUs, for short sections: no waiting, no wake-up, no drop of foreign values inside.
///
/// The guard is not `Send`, so holding one over `.await` in a process's future does not compile:
///
/// ```compile_fail
/// fn needs_send<T: Send>(_: T) {}
/// let lock = sync::SpinLock::new(sync::Rank::PIPE, 0);
/// needs_send(lock.lock());
/// ```
pub struct SpinLock<T: ?Sized> {
    place: Place,
    inner: SpinMutex<T, Relax>,
}

impl<T> SpinLock<T> {
    /// An open lock of that rank around `value`.
    pub const fn new(rank: Rank, value: T) -> Self {
        Self { place: Place::new(rank), inner: SpinMutex::new(value) }
    }

    /// The value, once nobody else has the lock.
    pub fn into_inner(self) -> T {
        self.inner.into_inner()
    }
}

impl<T: ?Sized> SpinLock<T> {
    /// Spins until the lock is free, and takes it.
    #[inline]
    pub fn lock(&self) -> SpinGuard<'_, T> {
        let held = self.place.acquire();
        SpinGuard { inner: self.inner(), _held: held, _not_send: PhantomData }
    }

    /// [`SpinLock::lock`] with `rank` in place of the lock's own: for a second lock of one kind (a child directory under
    /// its parent). The caller answers for the order among such locks.
    #[inline]
    pub fn lock_as(&self, rank: Rank) -> SpinGuard<'_, T> {
        let held = Held::acquire(rank);
        SpinGuard { inner: self.inner(), _held: held, _not_send: PhantomData }
    }

    #[inline]
    fn inner(&self) -> SpinMutexGuard<'_, T, Relax> {
        match self.inner.try_lock() {
            Some(inner) => inner,
            None => self.spin(),
        }
    }

    /// Apart, so that the code of the usual case stays small wherever a lock is taken.
    #[cold]
    #[inline(never)]
    fn spin(&self) -> SpinMutexGuard<'_, T, Relax> {
        self.inner.lock()
    }

    /// Takes the lock if it is free.
    #[inline]
    pub fn try_lock(&self) -> Option<SpinGuard<'_, T>> {
        let inner = self.inner.try_lock()?;
        Some(SpinGuard { inner, _held: self.place.acquire_any(), _not_send: PhantomData })
    }

    /// The value through exclusive access, without locking.
    pub fn get_mut(&mut self) -> &mut T {
        self.inner.get_mut()
    }
}

impl<T: ?Sized + fmt::Debug> fmt::Debug for SpinLock<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.inner.try_lock() {
            Some(value) => f.debug_tuple("SpinLock").field(&&*value).finish(),
            None => f.write_str("SpinLock(<locked>)"),
        }
    }
}

/// Access to the value of a locked [`SpinLock`]; dropping it unlocks.
pub struct SpinGuard<'a, T: ?Sized> {
    inner: SpinMutexGuard<'a, T, Relax>,
    _held: Held,
    _not_send: PhantomData<*const ()>,
}

impl<T: ?Sized> Deref for SpinGuard<'_, T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        &self.inner
    }
}

impl<T: ?Sized> DerefMut for SpinGuard<'_, T> {
    #[inline]
    fn deref_mut(&mut self) -> &mut T {
        &mut self.inner
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ascending_ranks_nest() {
        let tree = SpinLock::new(Rank::PROCESS_TREE, 1);
        let frames = SpinLock::new(Rank::FRAMES, 2);
        let outer = tree.lock();
        let inner = frames.lock();
        assert_eq!(*outer + *inner, 3);
    }

    #[test]
    #[should_panic(expected = "lock order")]
    fn descending_ranks_panic() {
        let tree = SpinLock::new(Rank::PROCESS_TREE, 1);
        let frames = SpinLock::new(Rank::FRAMES, 2);
        let _inner = frames.lock();
        let _outer = tree.lock();
    }

    #[test]
    fn guards_may_be_dropped_in_any_order() {
        let a = SpinLock::new(Rank::PROCESS_TREE, ());
        let b = SpinLock::new(Rank::PIPE, ());
        let c = SpinLock::new(Rank::FRAMES, ());
        let held_a = a.lock();
        let held_b = b.lock();
        drop(held_a);
        let held_c = c.lock();
        drop(held_b);
        drop(held_c);
        let _again = a.lock();
    }

    #[test]
    fn counts_of_many_threads_add_up() {
        let counter = std::sync::Arc::new(SpinLock::new(Rank::PIPE, 0_u64));
        let threads: std::vec::Vec<_> = (0..4)
            .map(|_| {
                let counter = counter.clone();
                std::thread::spawn(move || (0..10_000).for_each(|_| *counter.lock() += 1))
            })
            .collect();
        threads.into_iter().for_each(|thread| thread.join().unwrap());
        assert_eq!(*counter.lock(), 40_000);
    }
}
