//! Waiting on one futex.

use alloc::sync::Arc;
use core::future::Future;
use core::hash::Hash;
use core::pin::Pin;
use core::task::{Context, Poll};

use super::FutexTable;
use super::table::Node;

/// Why a wait did not sleep.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WaitError<E> {
    /// The word does not hold the expected value (EAGAIN).
    Mismatch,
    /// The word could not be read.
    Memory(E),
}

/// Future of [`FutexTable::wait`].
#[derive(Debug)]
#[must_use]
pub struct FutexWait<'a, K: Copy + Ord + Hash, C> {
    table: &'a FutexTable<K>,
    key: K,
    bitset: u32,
    check: Option<C>,
    node: Option<Arc<Node<K>>>,
}

// Nothing in it refers to itself.
impl<K: Copy + Ord + Hash, C> Unpin for FutexWait<'_, K, C> {}

impl<'a, K: Copy + Ord + Hash, C> FutexWait<'a, K, C> {
    pub(super) const fn new(table: &'a FutexTable<K>, key: K, bitset: u32, check: C) -> Self {
        Self { table, key, bitset, check: Some(check), node: None }
    }

    /// Leaves the queue; `true` if a wake-up came first: then the wait has succeeded after all.
    pub fn cancel(&mut self) -> bool {
        self.node.take().is_some_and(|node| self.table.dequeue(&node).is_some())
    }

    fn leave(&mut self) {
        if let Some(node) = self.node.take() {
            self.table.leave(&node);
        }
    }
}

impl<K: Copy + Ord + Hash, C, E> Future for FutexWait<'_, K, C>
where
    C: FnOnce() -> Result<bool, E>,
{
    type Output = Result<(), WaitError<E>>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        if let Some(check) = this.check.take() {
            this.node = Some(this.table.enqueue(this.key, this.bitset, cx.waker()));
            let refused = match check() {
                Ok(true) => return Poll::Pending,
                Ok(false) => WaitError::Mismatch,
                Err(error) => WaitError::Memory(error),
            };
            this.leave();
            return Poll::Ready(Err(refused));
        }
        let Some(node) = &this.node else { return Poll::Ready(Ok(())) };
        if node.woken_by().is_some() || this.table.set_waker(node, cx.waker()).is_some() {
            this.node = None;
            return Poll::Ready(Ok(()));
        }
        Poll::Pending
    }
}

impl<K: Copy + Ord + Hash, C> Drop for FutexWait<'_, K, C> {
    fn drop(&mut self) {
        self.leave();
    }
}
