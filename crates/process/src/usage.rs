//! What a thread or process has used.

use core::sync::atomic::{AtomicU64, Ordering};

use types::Nanos;

macro_rules! counters {
    ($($(#[$doc:meta])* $name:ident),* $(,)?) => {
        /// Running counters. One is kept per thread and one per process; both are charged at the moment of use.
        ///
        /// Every field is an independent sum: relaxed atomics, no lock.
        #[derive(Debug, Default)]
        pub struct ResourceUsage { $($(#[$doc])* pub $name: Counter,)* }

        /// A reading of [`ResourceUsage`], or the sum of several.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
        pub struct UsageSnapshot { $($(#[$doc])* pub $name: u64,)* }

        impl ResourceUsage {
            /// The counters now.
            #[must_use]
            pub fn snapshot(&self) -> UsageSnapshot {
                UsageSnapshot { $($name: self.$name.get(),)* }
            }
        }

        impl UsageSnapshot {
            /// Adds another reading. Peaks are maxima: the larger one stays.
            pub fn add(&mut self, other: &Self) {
                let peak = self.peak_memory.max(other.peak_memory);
                $(self.$name = self.$name.saturating_add(other.$name);)*
                self.peak_memory = peak;
            }
        }
    };
}

counters! {
    /// Nanoseconds in user mode.
    user_ns,
    /// Nanoseconds in the kernel.
    system_ns,
    /// Page faults served without reading a file.
    minor_faults,
    /// Page faults that read a file.
    major_faults,
    /// Times it gave the CPU up to wait.
    voluntary_switches,
    /// Times it lost the CPU.
    involuntary_switches,
    /// Bytes read.
    read_bytes,
    /// Bytes written.
    write_bytes,
    /// Read calls.
    read_operations,
    /// Write calls.
    write_operations,
    /// Signals delivered.
    signals,
    /// Most bytes of memory held at once.
    peak_memory,
}

/// One sum.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// Adds `n`; the sum afterwards.
    #[inline]
    pub fn add(&self, n: u64) -> u64 {
        self.0.fetch_add(n, Ordering::Relaxed).wrapping_add(n)
    }

    /// Keeps the larger of the counter and `value`.
    #[inline]
    pub fn raise_to(&self, value: u64) {
        if self.get() < value {
            self.0.fetch_max(value, Ordering::Relaxed);
        }
    }

    /// The sum now.
    #[inline]
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    /// Starts again at zero.
    pub fn reset(&self) {
        self.0.store(0, Ordering::Relaxed);
    }
}

impl UsageSnapshot {
    /// User and system time together.
    #[must_use]
    pub const fn cpu_time(&self) -> Nanos {
        Nanos(self.user_ns.saturating_add(self.system_ns))
    }
}

impl ResourceUsage {
    /// User and system time together.
    pub fn cpu_time(&self) -> Nanos {
        Nanos(self.user_ns.get().saturating_add(self.system_ns.get()))
    }

    /// Adds everything of a reading.
    pub fn add(&self, other: &UsageSnapshot) {
        let UsageSnapshot {
            user_ns,
            system_ns,
            minor_faults,
            major_faults,
            voluntary_switches,
            involuntary_switches,
            read_bytes,
            write_bytes,
            read_operations,
            write_operations,
            signals,
            peak_memory,
        } = *other;
        self.user_ns.add(user_ns);
        self.system_ns.add(system_ns);
        self.minor_faults.add(minor_faults);
        self.major_faults.add(major_faults);
        self.voluntary_switches.add(voluntary_switches);
        self.involuntary_switches.add(involuntary_switches);
        self.read_bytes.add(read_bytes);
        self.write_bytes.add(write_bytes);
        self.read_operations.add(read_operations);
        self.write_operations.add(write_operations);
        self.signals.add(signals);
        self.peak_memory.raise_to(peak_memory);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_add_and_peaks_do_not() {
        let usage = ResourceUsage::default();
        usage.user_ns.add(5);
        usage.system_ns.add(7);
        usage.peak_memory.raise_to(100);
        let mut total = UsageSnapshot { user_ns: 1, peak_memory: 60, ..Default::default() };
        total.add(&usage.snapshot());
        assert_eq!((total.user_ns, total.peak_memory, total.cpu_time()), (6, 100, Nanos(13)));
        usage.add(&total);
        assert_eq!((usage.user_ns.get(), usage.peak_memory.get()), (11, 100));
        usage.peak_memory.raise_to(3);
        assert_eq!(usage.peak_memory.get(), 100);
    }
}
