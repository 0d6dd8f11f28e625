//! Load averages: how many threads wanted a CPU, averaged over 1, 5 and 15 minutes (proc(5), /proc/loadavg).

use core::sync::atomic::{AtomicU64, Ordering};

use types::Nanos;

/// Binary places behind the point.
pub(crate) const FRACTION_BITS: u32 = 11;
const ONE: u64 = 1 << FRACTION_BITS;
/// Time between two samples.
const PERIOD: Nanos = Nanos::from_secs(5);
/// e^(-5 s / 1, 5, 15 min) in fixed point, as Linux has them.
const DECAY: [u64; 3] = [1884, 2014, 2037];
/// Samples after which every average has forgotten its past: idle gaps longer than that count as that.
const FORGET_AFTER: u64 = 2000;

/// The three averages, in fixed point with `FRACTION_BITS` binary places.
#[derive(Default)]
pub struct LoadAverage {
    averages: [AtomicU64; 3],
    next_sample: AtomicU64,
}

impl LoadAverage {
    /// All zero.
    pub const fn new() -> Self {
        Self { averages: [const { AtomicU64::new(0) }; 3], next_sample: AtomicU64::new(PERIOD.0) }
    }

    /// The averages over 1, 5 and 15 minutes.
    pub fn averages(&self) -> [u64; 3] {
        [0, 1, 2].map(|i| self.averages.get(i).map_or(0, |average| average.load(Ordering::Relaxed)))
    }

    /// Takes the samples that are due at `now`, with `runnable` threads. Cheap when none is.
    pub fn sample(&self, now: Nanos, runnable: u64) {
        let due = self.next_sample.load(Ordering::Relaxed);
        if now.0 < due {
            return;
        }
        let missed = (now.0 - due) / PERIOD.0 + 1;
        // One CPU takes the samples.
        let next = due + missed * PERIOD.0;
        if self.next_sample.compare_exchange(due, next, Ordering::Relaxed, Ordering::Relaxed).is_err() {
            return;
        }
        let active = runnable * ONE;
        for (average, decay) in self.averages.iter().zip(DECAY) {
            let mut value = average.load(Ordering::Relaxed);
            for _ in 0..missed.min(FORGET_AFTER) {
                let rounding = if active >= value { ONE - 1 } else { 0 };
                value = (value * decay + active * (ONE - decay) + rounding) / ONE;
            }
            average.store(value, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn constant_load_is_reached_and_forgotten() {
        let load = LoadAverage::new();
        load.sample(Nanos::from_secs(3600), 3);
        assert_eq!(load.averages().map(|average| average / ONE), [3, 3, 2]);
        load.sample(Nanos::from_secs(2 * 3600), 0);
        assert_eq!(load.averages()[0], 0);
    }

    #[test]
    fn nothing_is_sampled_before_its_time() {
        let load = LoadAverage::new();
        load.sample(Nanos::from_secs(4), 100);
        assert_eq!(load.averages(), [0; 3]);
    }
}
