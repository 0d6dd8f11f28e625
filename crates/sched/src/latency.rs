//! What each CPU did, with histograms of how long tasks waited for it.

use types::Nanos;

use crate::class::Class;
use crate::entity::NOTABLE;

/// Buckets of a histogram.
pub const LATENCY_BUCKETS: usize = 32;

/// Waits by their length: bucket `n` counts those of `2^n ..= 2^(n+1) - 1` ns, the last all longer ones (2 s).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Histogram([u64; LATENCY_BUCKETS]);

impl Histogram {
    /// Nothing counted.
    pub const fn new() -> Self {
        Self([0; LATENCY_BUCKETS])
    }

    pub(crate) fn record(&mut self, latency: Nanos) {
        let bucket = (latency.0 | 1).ilog2() as usize;
        if let Some(count) = self.0.get_mut(bucket.min(LATENCY_BUCKETS - 1)) {
            *count += 1;
        }
    }

    /// The counts.
    pub fn buckets(&self) -> &[u64; LATENCY_BUCKETS] {
        &self.0
    }

    /// Waits counted.
    pub fn count(&self) -> u64 {
        self.0.iter().sum()
    }

    /// Upper end of the bucket below which `per_mille` thousandths of the waits lie; `None` if there were none.
    pub fn percentile(&self, per_mille: u32) -> Option<Nanos> {
        let wanted = (self.count() * u64::from(per_mille.min(1000))).div_ceil(1000).max(1);
        let mut seen = 0;
        self.0.iter().enumerate().find_map(|(bucket, count)| {
            seen += count;
            (seen >= wanted).then(|| Nanos((2 << bucket) - 1))
        })
    }

    /// Counts waits that were too short to be recorded, in the bucket below those that are.
    pub fn add_short(&mut self, count: u64) {
        if let Some(bucket) = self.0.get_mut(NOTABLE.0.ilog2() as usize - 1) {
            *bucket += count;
        }
    }

    /// Adds the counts of another histogram.
    pub fn merge(&mut self, other: &Self) {
        self.0.iter_mut().zip(&other.0).for_each(|(mine, theirs)| *mine += theirs);
    }
}

impl Default for Histogram {
    fn default() -> Self {
        Self::new()
    }
}

/// What a CPU did so far.
#[derive(Clone, Copy, Debug, Default)]
pub struct CpuStats {
    /// Time that tasks ran here, by class; the rest was idle.
    pub class_time: [Nanos; 5],
    /// From a wake-up to the run, if that took 16 µs or more, by class of what ran.
    pub latency: [Histogram; 5],
    /// Wake-ups that queued a task here, by class; those that are in no histogram took less than 16 µs, or wait still.
    pub woken: [u64; 5],
    /// Of those, the ones made by another CPU.
    pub woken_from_afar: u64,
    /// Choices of a task.
    pub switches: u64,
    /// Choices for the sake of the starvation bound.
    pub rescues: u64,
    /// Tasks taken from other CPUs because this one had none.
    pub steals: u64,
    /// Tasks taken from other CPUs because they had more.
    pub pulls: u64,
    /// Tasks that came here from a CPU of another node: woken, stolen or pulled.
    pub node_moves: u64,
    /// Times that a task gave way to others of its own accord.
    pub yields: u64,
    /// Times that there was nothing left to run.
    pub idles: u64,
    /// Time that tasks waited before they ran here, waits below 16 µs left out.
    pub waited: Nanos,
    /// Tasks waiting at the moment.
    pub waiting: u32,
}

impl CpuStats {
    pub(crate) fn note_latency(&mut self, class: Class, waited: Nanos) {
        if let Some(histogram) = self.latency.get_mut(class as usize) {
            histogram.record(waited);
        }
    }

    pub(crate) fn count_wakes(&mut self, class: Class, count: u64) {
        if let Some(wakes) = self.woken.get_mut(class as usize) {
            *wakes += count;
        }
    }

    /// Time spent on tasks of `class`.
    pub fn time_of(&self, class: Class) -> Nanos {
        self.class_time.get(class as usize).copied().unwrap_or_default()
    }

    /// Wake-ups of tasks of `class`.
    pub fn woken_of(&self, class: Class) -> u64 {
        self.woken.get(class as usize).copied().unwrap_or_default()
    }

    /// Waits of 16 µs and more of `class`, from a wake-up on.
    pub fn latency_of(&self, class: Class) -> Histogram {
        self.latency.get(class as usize).copied().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_name_the_end_of_a_bucket() {
        let mut histogram = Histogram::new();
        assert_eq!(histogram.percentile(500), None);
        (0..999).for_each(|_| histogram.record(Nanos(1000)));
        histogram.record(Nanos::MAX);
        assert_eq!(histogram.percentile(500), Some(Nanos(1023)));
        assert_eq!(histogram.percentile(999), Some(Nanos(1023)));
        assert_eq!(histogram.percentile(1000), Some(Nanos((2 << 31) - 1)));
    }
}
