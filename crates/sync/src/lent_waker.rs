//! A waker for the length of a poll: it takes no reference of its own, so a poll costs no counting.

use alloc::sync::Arc;
use alloc::task::Wake;
use core::marker::PhantomData;
use core::mem::ManuallyDrop;
use core::ops::Deref;
use core::task::Waker;

/// A waker that stands for a reference somebody else holds; clones of it are ordinary wakers.
pub struct LentWaker<'a> {
    waker: ManuallyDrop<Waker>,
    lender: PhantomData<&'a ()>,
}

impl<'a> LentWaker<'a> {
    /// Of `task`, whose reference it stands for.
    #[inline]
    pub fn new<W: Wake + Send + Sync + 'static>(task: &'a Arc<W>) -> Self {
        // SAFETY: the pointer is that of an `Arc` which outlives `'a`; this second one is never dropped, so that the count stays right.
        let same = unsafe { Arc::from_raw(Arc::as_ptr(task)) };
        Self { waker: ManuallyDrop::new(Waker::from(same)), lender: PhantomData }
    }
}

impl Deref for LentWaker<'_> {
    type Target = Waker;

    #[inline]
    fn deref(&self) -> &Waker {
        &self.waker
    }
}

#[cfg(test)]
mod tests {
    use core::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    struct Count(AtomicUsize);

    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[test]
    fn only_clones_hold_the_task() {
        let task = Arc::new(Count(AtomicUsize::new(0)));
        let kept = {
            let lent = LentWaker::new(&task);
            assert_eq!(Arc::strong_count(&task), 1);
            lent.wake_by_ref();
            lent.clone()
        };
        assert_eq!((Arc::strong_count(&task), task.0.load(Ordering::Relaxed)), (2, 1));
        assert!(kept.will_wake(&LentWaker::new(&task)) && kept.will_wake(&Waker::from(task.clone())));
        kept.wake();
        assert_eq!((Arc::strong_count(&task), task.0.load(Ordering::Relaxed)), (1, 2));
    }
}
