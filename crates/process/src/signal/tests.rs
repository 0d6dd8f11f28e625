//! The signal engine as a whole.
