//! Tests make the n-th allocation of their thread fail.

use std::cell::Cell;

std::thread_local! {
    static LEFT: Cell<Option<u64>> = const { Cell::new(None) };
}

/// Makes every allocation of this thread fail after `count` more have succeeded; `None`: none fails.
pub(crate) fn fail_frames_after(count: Option<u64>) {
    LEFT.with(|left| left.set(count));
}

pub(super) fn fails() -> bool {
    LEFT.with(|left| match left.get() {
        None => false,
        Some(0) => true,
        Some(count) => {
            left.set(Some(count - 1));
            false
        }
    })
}
