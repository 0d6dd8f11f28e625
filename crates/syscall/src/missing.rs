//! Which system calls programs wanted and we lack: counted, listed once each in the log, shown in /proc/multios/missing.

use alloc::string::String;
use core::fmt::Write;
use core::sync::atomic::{AtomicU32, Ordering};

use abi::{SYSCALL_COUNT, syscall_name};

/// Counters of calls that were answered with ENOSYS.
pub struct MissingCalls {
    counts: [AtomicU32; SYSCALL_COUNT],
    /// Numbers Linux does not know either.
    unknown: AtomicU32,
}

impl Default for MissingCalls {
    fn default() -> Self {
        Self::new()
    }
}

impl MissingCalls {
    /// All zero.
    pub const fn new() -> Self {
        Self { counts: [const { AtomicU32::new(0) }; SYSCALL_COUNT], unknown: AtomicU32::new(0) }
    }

    /// Counts one use of call `number`; whether it was the first.
    pub fn note(&self, number: u64) -> bool {
        let counter = usize::try_from(number).ok().and_then(|at| self.counts.get(at)).unwrap_or(&self.unknown);
        // Saturate: a program may call for years.
        counter.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |n| n.checked_add(1)) == Ok(0)
    }

    /// One line per missing call: number, name, uses.
    pub fn report(&self) -> String {
        let mut text = String::new();
        for (number, counter) in self.counts.iter().enumerate() {
            let uses = counter.load(Ordering::Relaxed);
            if uses > 0 {
                let _ = writeln!(text, "{number:3} {} {uses}", syscall_name(number as u64));
            }
        }
        let uses = self.unknown.load(Ordering::Relaxed);
        if uses > 0 {
            let _ = writeln!(text, "  - (no such call) {uses}");
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn first_use_is_told_apart_and_all_are_counted() {
        let missing = MissingCalls::new();
        assert!(missing.note(0));
        assert!(!missing.note(0));
        assert!(missing.note(u64::MAX));
        assert_eq!(missing.report(), "  0 read 2\n  - (no such call) 1\n");
    }
}
