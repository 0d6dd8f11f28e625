//! Waiting on several futexes at once (futex_waitv(2)).

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::future::Future;
use core::hash::Hash;
use core::pin::Pin;
use core::task::{Context, Poll};

use super::table::Node;
use super::{FutexTable, WaitError};

/// Future that ends when one of several futexes is woken, with its index.
#[derive(Debug)]
#[must_use]
pub struct WaitMany<'a, K: Copy + Ord + Hash, C> {
    table: &'a FutexTable<K>,
    keys: Vec<(K, u32)>,
    nodes: Vec<Arc<Node<K>>>,
    check: Option<C>,
}

// Nothing in it refers to itself.
impl<K: Copy + Ord + Hash, C> Unpin for WaitMany<'_, K, C> {}

impl<K: Copy + Ord + Hash> FutexTable<K> {
    /// Waits on all `keys` (each with its bitset); `check(i)` looks at the i-th word after all are queued.
    ///
    /// `None` if memory is short.
    pub fn wait_many<C, E>(&self, keys: Vec<(K, u32)>, check: C) -> Option<WaitMany<'_, K, C>>
    where
        C: FnMut(usize) -> Result<bool, E>,
    {
        let mut nodes = Vec::new();
        nodes.try_reserve(keys.len()).ok()?;
        Some(WaitMany { table: self, keys, nodes, check: Some(check) })
    }
}

impl<K: Copy + Ord + Hash, C> WaitMany<'_, K, C> {
    /// Leaves all queues; the index of a futex that was woken, of several the last one, as on Linux.
    pub fn cancel(&mut self) -> Option<usize> {
        let mut woken = None;
        for (index, node) in self.nodes.drain(..).enumerate() {
            if self.table.dequeue(&node).is_some() {
                woken = Some(index);
            }
        }
        woken
    }
}

impl<K: Copy + Ord + Hash, C, E> Future for WaitMany<'_, K, C>
where
    C: FnMut(usize) -> Result<bool, E>,
{
    type Output = Result<usize, WaitError<E>>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        if let Some(mut check) = this.check.take() {
            for (key, bitset) in &this.keys {
                this.nodes.push(this.table.enqueue(*key, *bitset, cx.waker()));
            }
            for index in 0..this.keys.len() {
                let refused = match check(index) {
                    Ok(true) => continue,
                    Ok(false) => WaitError::Mismatch,
                    Err(error) => WaitError::Memory(error),
                };
                return Poll::Ready(this.cancel().ok_or(refused));
            }
            return Poll::Pending;
        }
        let mut woken = false;
        for node in &this.nodes {
            woken |= node.woken_by().is_some() || this.table.set_waker(node, cx.waker()).is_some();
        }
        if !woken {
            return Poll::Pending;
        }
        Poll::Ready(this.cancel().ok_or(WaitError::Mismatch))
    }
}

impl<K: Copy + Ord + Hash, C> Drop for WaitMany<'_, K, C> {
    fn drop(&mut self) {
        for node in self.nodes.drain(..) {
            self.table.leave(&node);
        }
    }
}
