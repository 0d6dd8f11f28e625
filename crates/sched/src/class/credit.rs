//! How a task has lately divided its time between sleep and work.

use types::Nanos;

/// Grows as a task sleeps and shrinks twice as fast as it runs: only a task that uses less than a third of a CPU keeps
/// it. Nanoseconds, `0..=FULL`.
///
/// (The idea is `sleep_avg` of Linux 2.6's O(1) scheduler; the factor 2 and the hard cap bound what a pretender gains: at
/// most [`Credit::FULL`] / 4 / 2 = 12.5 ms of boosted work before it is an ordinary task again.)
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Credit(u32);

impl Credit {
    /// A tenth of a second: the span in which a person takes an answer for immediate.
    pub(crate) const FULL: Self = Self(100_000_000);
    /// A new task: neither sleeper nor hog, for 2 ms of work. More would let a stream of short tasks keep everybody else out.
    pub(crate) const NEUTRAL: Self = Self(29_000_000);
    #[cfg(test)]
    pub(crate) const NONE: Self = Self(0);

    pub(crate) const fn from_bits(bits: u32) -> Self {
        Self(bits)
    }

    pub(crate) const fn to_bits(self) -> u32 {
        self.0
    }

    pub(crate) fn slept(self, time: Nanos) -> Self {
        let time = u32::try_from(time.0).unwrap_or(u32::MAX);
        Self(self.0.saturating_add(time).min(Self::FULL.0))
    }

    pub(crate) fn ran(self, time: Nanos) -> Self {
        let time = u32::try_from(time.0).unwrap_or(u32::MAX);
        Self(self.0.saturating_sub(time.saturating_mul(2)))
    }

    /// In the upper quarter.
    pub(crate) const fn is_sleeper(self) -> bool {
        self.0 >= Self::FULL.0 / 4 * 3
    }

    /// In the lower quarter.
    pub(crate) const fn is_hog(self) -> bool {
        self.0 < Self::FULL.0 / 4
    }

    pub(crate) const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// How far it is used up: 0, 1 for a hog, 2 for one that has none left.
    pub(crate) const fn debt(self) -> u16 {
        self.is_hog() as u16 + self.is_empty() as u16
    }

    /// What is left to a task with that debt at most: a hog's first sleep makes it an ordinary task.
    pub(crate) const fn of_debt(debt: u16) -> Self {
        match debt {
            0 => Self::NEUTRAL,
            1 => Self(Self::FULL.0 / 4 - 1),
            _ => Self(0),
        }
    }
}
