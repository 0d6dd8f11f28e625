//! No counting outside of tests.

/// Counts nothing.
pub(crate) struct Steps;

impl Steps {
    pub(crate) const fn new() -> Self {
        Self
    }

    #[inline]
    pub(crate) fn count(&self) {}
}
