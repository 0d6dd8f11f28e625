//! Which ranks a CPU holds: checked in debug builds, nothing at all in release builds.

#[cfg(debug_assertions)]
mod checked {
    use core::sync::atomic::{AtomicU8, AtomicU16, Ordering};

    use types::MAX_CPUS;

    use crate::Rank;

    /// Deepest nesting that is tracked.
    const DEPTH: usize = 16;

    struct Stack {
        len: AtomicU16,
        ranks: [AtomicU8; DEPTH],
    }

    // Each CPU writes its own entry only, with interrupts off: relaxed is enough.
    static HELD: [Stack; MAX_CPUS] =
        [const { Stack { len: AtomicU16::new(0), ranks: [const { AtomicU8::new(0) }; DEPTH] } }; MAX_CPUS];

    /// A lock's own place in the order.
    pub(crate) struct Place(Rank);

    impl Place {
        pub(crate) const fn new(rank: Rank) -> Self {
            Self(rank)
        }

        pub(crate) fn acquire(&self) -> Held {
            Held::acquire(self.0)
        }

        /// For `try_lock`, which cannot deadlock.
        pub(crate) fn acquire_any(&self) -> Held {
            Held::acquire_any(self.0)
        }
    }

    /// Proof of a lock held by this CPU.
    pub(crate) struct Held(Rank);

    fn stack() -> Option<&'static Stack> {
        HELD.get(crate::current_cpu().index())
    }

    impl Held {
        pub(crate) fn acquire(rank: Rank) -> Self {
            if let Some(stack) = stack() {
                let len = usize::from(stack.len.load(Ordering::Relaxed)).min(DEPTH);
                for held in stack.ranks.iter().take(len) {
                    let held = held.load(Ordering::Relaxed);
                    assert!(held < rank.0, "lock order: rank {} wanted while {} is held", rank.0, held);
                }
            }
            Self::acquire_any(rank)
        }

        fn acquire_any(rank: Rank) -> Self {
            if let Some(stack) = stack() {
                let len = stack.len.load(Ordering::Relaxed);
                if let Some(slot) = stack.ranks.get(usize::from(len)) {
                    slot.store(rank.0, Ordering::Relaxed);
                }
                stack.len.store(len + 1, Ordering::Relaxed);
            }
            Self(rank)
        }
    }

    impl Drop for Held {
        fn drop(&mut self) {
            let Some(stack) = stack() else { return };
            let len = usize::from(stack.len.load(Ordering::Relaxed));
            let mut from = len.min(DEPTH);
            while let Some(at) = from.checked_sub(1) {
                if stack.ranks.get(at).is_some_and(|rank| rank.load(Ordering::Relaxed) == self.0.0) {
                    for (slot, next) in stack.ranks.iter().skip(at).zip(stack.ranks.iter().skip(at + 1)) {
                        slot.store(next.load(Ordering::Relaxed), Ordering::Relaxed);
                    }
                    break;
                }
                from = at;
            }
            stack.len.store(len.saturating_sub(1) as u16, Ordering::Relaxed);
        }
    }
}

#[cfg(not(debug_assertions))]
mod unchecked {
    use crate::Rank;

    /// Nothing: a lock need not know its place where nobody asks.
    pub(crate) struct Place;

    impl Place {
        pub(crate) const fn new(_rank: Rank) -> Self {
            Self
        }

        #[inline(always)]
        pub(crate) fn acquire(&self) -> Held {
            Held
        }

        #[inline(always)]
        pub(crate) fn acquire_any(&self) -> Held {
            Held
        }
    }

    /// Nothing: release builds trust the checks of the debug build.
    pub(crate) struct Held;

    impl Held {
        #[inline(always)]
        pub(crate) fn acquire(_rank: Rank) -> Self {
            Self
        }
    }
}

#[cfg(debug_assertions)]
pub(crate) use checked::{Held, Place};
#[cfg(not(debug_assertions))]
pub(crate) use unchecked::{Held, Place};
