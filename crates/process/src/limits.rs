//! Resource limits: POSIX's sixteen and MultiOS's own, and what happens when one is crossed.

use abi::{Signal, linux::general as linux};
use types::Nanos;

use crate::{ProcessError, Result};

/// No limit.
pub const UNLIMITED: u64 = u64::MAX;

/// One of the sixteen limits of getrlimit(2), by Linux's numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Resource {
    /// CPU seconds.
    CpuSeconds = linux::RLIMIT_CPU as u8,
    /// Bytes of a file written.
    FileSize = linux::RLIMIT_FSIZE as u8,
    /// Bytes of data segment and heap.
    Data = linux::RLIMIT_DATA as u8,
    /// Bytes of stack.
    Stack = linux::RLIMIT_STACK as u8,
    /// Bytes of a core dump.
    Core = linux::RLIMIT_CORE as u8,
    /// Bytes resident; kept, not enforced, as on Linux.
    ResidentSet = linux::RLIMIT_RSS as u8,
    /// Processes and threads of the user.
    Processes = linux::RLIMIT_NPROC as u8,
    /// One more than the highest descriptor.
    Files = linux::RLIMIT_NOFILE as u8,
    /// Bytes locked in memory.
    LockedMemory = linux::RLIMIT_MEMLOCK as u8,
    /// Bytes of address space.
    AddressSpace = linux::RLIMIT_AS as u8,
    /// File locks.
    Locks = linux::RLIMIT_LOCKS as u8,
    /// Queued signals of the user.
    PendingSignals = linux::RLIMIT_SIGPENDING as u8,
    /// Bytes in message queues.
    MessageQueues = linux::RLIMIT_MSGQUEUE as u8,
    /// 20 less the lowest nice value allowed.
    Nice = linux::RLIMIT_NICE as u8,
    /// Highest real-time priority allowed.
    RealTimePriority = linux::RLIMIT_RTPRIO as u8,
    /// Microseconds of real-time CPU without blocking.
    RealTimeMicros = linux::RLIMIT_RTTIME as u8,
}

/// Number of [`Resource`]s.
pub const RESOURCE_COUNT: usize = 16;

impl Resource {
    /// All, by number.
    pub const ALL: [Self; RESOURCE_COUNT] = [
        Self::CpuSeconds,
        Self::FileSize,
        Self::Data,
        Self::Stack,
        Self::Core,
        Self::ResidentSet,
        Self::Processes,
        Self::Files,
        Self::LockedMemory,
        Self::AddressSpace,
        Self::Locks,
        Self::PendingSignals,
        Self::MessageQueues,
        Self::Nice,
        Self::RealTimePriority,
        Self::RealTimeMicros,
    ];

    /// The resource of that number.
    ///
    /// # Errors
    /// `InvalidArgument`.
    pub fn from_linux(number: u32) -> Result<Self> {
        let at = usize::try_from(number).map_err(|_| ProcessError::InvalidArgument)?;
        Self::ALL.get(at).copied().ok_or(ProcessError::InvalidArgument)
    }
}

/// A soft limit, which is enforced, and the hard one up to which it may be raised.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limit {
    /// In force.
    pub soft: u64,
    /// Ceiling of `soft`.
    pub hard: u64,
}

impl Limit {
    /// None at all.
    pub const NONE: Self = Self::both(UNLIMITED);

    /// The same value for both.
    #[must_use]
    pub const fn both(value: u64) -> Self {
        Self { soft: value, hard: value }
    }
}

/// What MultiOS limits beyond POSIX (per process).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum OwnResource {
    /// Bytes of memory held now.
    Memory = 0,
    /// Bytes of memory ever held at once.
    PeakMemory = 1,
    /// Bytes of stack touched.
    StackUsed = 2,
    /// Bytes of heap held.
    Heap = 3,
    /// Nanoseconds of CPU.
    CpuTime = 4,
    /// Bytes read.
    BytesRead = 5,
    /// Bytes written.
    BytesWritten = 6,
    /// Bytes read and written per second.
    Bandwidth = 7,
    /// Children, zombies included.
    Children = 8,
    /// Processes made per second.
    CreationRate = 9,
}

/// Number of [`OwnResource`]s.
pub const OWN_RESOURCE_COUNT: usize = 10;

impl OwnResource {
    /// All, by number.
    pub const ALL: [Self; OWN_RESOURCE_COUNT] = [
        Self::Memory,
        Self::PeakMemory,
        Self::StackUsed,
        Self::Heap,
        Self::CpuTime,
        Self::BytesRead,
        Self::BytesWritten,
        Self::Bandwidth,
        Self::Children,
        Self::CreationRate,
    ];

    /// The resource of that number.
    ///
    /// # Errors
    /// `InvalidResourceLimits`.
    pub fn from_number(number: u64) -> Result<Self> {
        let at = usize::try_from(number).map_err(|_| ProcessError::InvalidResourceLimits)?;
        Self::ALL.get(at).copied().ok_or(ProcessError::InvalidResourceLimits)
    }
}

/// What to do about a process that crosses one of MultiOS's own limits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
#[repr(u8)]
pub enum LimitPolicy {
    /// The operation fails.
    #[default]
    Fail,
    /// The operation succeeds, the process gets a signal.
    Signal(Signal),
    /// The operation is put off until it fits.
    Throttle,
    /// The process is killed.
    Kill,
}

/// A limit of MultiOS's own with its policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OwnLimit {
    /// Highest value allowed.
    pub value: u64,
    /// What crossing it means.
    pub policy: LimitPolicy,
}

/// All limits of a process. Shared copy-on-write from parent to child.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResourceLimits {
    linux: [Limit; RESOURCE_COUNT],
    own: [OwnLimit; OWN_RESOURCE_COUNT],
}

/// What the caller must do about a use that was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LimitDecision {
    /// Nothing: it fits.
    Allow,
    /// Refuse the operation.
    Fail,
    /// Let it pass, send this signal to the process.
    Signal(Signal),
    /// Refuse it and send this signal (RLIMIT_FSIZE: SIGXFSZ and EFBIG).
    FailAndSignal(Signal),
    /// Wait that long, then try again.
    Throttle(Nanos),
    /// Kill the process.
    Kill,
}

impl Default for ResourceLimits {
    fn default() -> Self {
        Self::new()
    }
}

impl ResourceLimits {
    /// What the first process starts with: Linux's defaults where it has some.
    #[must_use]
    pub const fn new() -> Self {
        let mut linux = [Limit::NONE; RESOURCE_COUNT];
        let defaults = [
            (Resource::Stack, Limit { soft: 8 << 20, hard: UNLIMITED }),
            (Resource::Core, Limit { soft: 0, hard: UNLIMITED }),
            (Resource::Processes, Limit::both(65_536)),
            (Resource::Files, Limit { soft: 1024, hard: 4096 }),
            (Resource::LockedMemory, Limit::both(8 << 20)),
            (Resource::PendingSignals, Limit::both(65_536)),
            (Resource::MessageQueues, Limit::both(819_200)),
            (Resource::Nice, Limit::both(0)),
            (Resource::RealTimePriority, Limit::both(0)),
        ];
        let mut rest: &[(Resource, Limit)] = &defaults;
        while let [(resource, limit), tail @ ..] = rest {
            let mut slots: &mut [Limit] = &mut linux;
            let mut skip = *resource as u8;
            while let [first, more @ ..] = slots {
                if skip == 0 {
                    *first = *limit;
                    break;
                }
                skip -= 1;
                slots = more;
            }
            rest = tail;
        }
        Self { linux, own: [OwnLimit { value: UNLIMITED, policy: LimitPolicy::Fail }; OWN_RESOURCE_COUNT] }
    }

    /// A limit.
    #[must_use]
    pub fn get(&self, resource: Resource) -> Limit {
        self.linux.get(resource as usize).copied().unwrap_or(Limit::NONE)
    }

    /// The soft value of a limit.
    #[must_use]
    pub fn soft(&self, resource: Resource) -> u64 {
        self.get(resource).soft
    }

    /// Changes a limit (setrlimit, prlimit). `nr_open` bounds [`Resource::Files`].
    ///
    /// # Errors
    /// `InvalidResourceLimits` if soft is above hard; `PermissionDenied` if the hard limit would rise without
    /// CAP_SYS_RESOURCE (`privileged`), or above `nr_open` for descriptors.
    pub fn set(&mut self, resource: Resource, new: Limit, privileged: bool, nr_open: u64) -> Result<()> {
        if new.soft > new.hard {
            return Err(ProcessError::InvalidResourceLimits);
        }
        if resource == Resource::Files && new.hard > nr_open {
            return Err(ProcessError::PermissionDenied);
        }
        let slot = self.linux.get_mut(resource as usize).ok_or(ProcessError::InvalidArgument)?;
        if new.hard > slot.hard && !privileged {
            return Err(ProcessError::PermissionDenied);
        }
        *slot = new;
        Ok(())
    }

    /// A limit of MultiOS's own.
    #[must_use]
    pub fn own(&self, resource: OwnResource) -> OwnLimit {
        let none = OwnLimit { value: UNLIMITED, policy: LimitPolicy::Fail };
        self.own.get(resource as usize).copied().unwrap_or(none)
    }

    /// Whether any limit of MultiOS's own is in force.
    #[must_use]
    pub fn binds(&self) -> bool {
        self.own.iter().any(|limit| limit.value != UNLIMITED)
    }

    /// Sets a limit of MultiOS's own. Without privilege it can only fall.
    ///
    /// # Errors
    /// `PermissionDenied`; `InvalidResourceLimits` for a policy that the resource cannot have: only rates throttle.
    pub fn set_own(&mut self, resource: OwnResource, new: OwnLimit, privileged: bool) -> Result<()> {
        let rate = matches!(resource, OwnResource::Bandwidth | OwnResource::CreationRate);
        if new.policy == LimitPolicy::Throttle && !rate {
            return Err(ProcessError::InvalidResourceLimits);
        }
        let slot = self.own.get_mut(resource as usize).ok_or(ProcessError::InvalidArgument)?;
        if new.value > slot.value && !privileged {
            return Err(ProcessError::PermissionDenied);
        }
        *slot = new;
        Ok(())
    }

    /// Asks whether `total`, the use of `resource` there would be after an operation, is allowed. Not for rates.
    #[must_use]
    pub fn check_own(&self, resource: OwnResource, total: u64) -> LimitDecision {
        let limit = self.own(resource);
        if total <= limit.value {
            return LimitDecision::Allow;
        }
        match limit.policy {
            LimitPolicy::Fail | LimitPolicy::Throttle => LimitDecision::Fail,
            LimitPolicy::Signal(signal) => LimitDecision::Signal(signal),
            LimitPolicy::Kill => LimitDecision::Kill,
        }
    }

    /// Asks whether a write may make a file end at `end` bytes; how many bytes of `wanted` from `start` on fit.
    ///
    /// RLIMIT_FSIZE: a write that starts at the limit is refused with SIGXFSZ; one that crosses it is cut short.
    #[must_use]
    pub fn check_file_size(&self, start: u64, wanted: u64) -> (LimitDecision, u64) {
        let limit = self.soft(Resource::FileSize);
        if wanted == 0 || start.saturating_add(wanted) <= limit {
            return (LimitDecision::Allow, wanted);
        }
        match limit.saturating_sub(start) {
            0 => (LimitDecision::FailAndSignal(Signal::XFSZ), 0),
            fits => (LimitDecision::Allow, fits),
        }
    }

    /// Asks about CPU time used so far. `warned` is the second in which SIGXCPU was last sent (0: never); the caller
    /// keeps it, and sets it to the returned second.
    ///
    /// RLIMIT_CPU: SIGXCPU at the soft limit and each second after, SIGKILL at the hard one.
    #[must_use]
    pub fn check_cpu_time(&self, used: Nanos, warned: u64) -> (LimitDecision, u64) {
        let limit = self.get(Resource::CpuSeconds);
        let seconds = used.secs();
        if limit.hard != UNLIMITED && seconds >= limit.hard {
            return (LimitDecision::Kill, warned);
        }
        if limit.soft != UNLIMITED && seconds >= limit.soft && seconds > warned {
            return (LimitDecision::Signal(Signal::XCPU), seconds.max(1));
        }
        match self.check_own(OwnResource::CpuTime, used.0) {
            LimitDecision::Allow => (LimitDecision::Allow, warned),
            LimitDecision::Signal(_) if seconds.max(1) <= warned => (LimitDecision::Allow, warned),
            decision => (decision, seconds.max(1)),
        }
    }
}

/// A token bucket: at most `rate` units per second, a burst of one second's worth.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct RateMeter {
    // Time up to which the allowance is used up; at most one second ahead of the clock.
    paid_until: Nanos,
}

impl RateMeter {
    /// Charges `units` that were used at `now`, whatever the limit says.
    pub fn spend(&mut self, limit: OwnLimit, units: u64, now: Nanos) {
        if limit.value != UNLIMITED && units > 0 {
            let from = self.paid_until.max(now.saturating_sub(Nanos(SECOND)));
            self.paid_until = from + cost(units, limit.value);
        }
    }

    /// What the limit says while more was used than is paid for.
    #[must_use]
    pub fn debt(&self, limit: OwnLimit, now: Nanos) -> LimitDecision {
        if limit.value == UNLIMITED || self.paid_until <= now {
            return LimitDecision::Allow;
        }
        match limit.policy {
            LimitPolicy::Fail => LimitDecision::Fail,
            LimitPolicy::Signal(signal) => LimitDecision::Signal(signal),
            LimitPolicy::Throttle => LimitDecision::Throttle(self.paid_until - now),
            LimitPolicy::Kill => LimitDecision::Kill,
        }
    }

    /// Takes `units` at `now` under `limit`.
    pub fn take(&mut self, limit: OwnLimit, units: u64, now: Nanos) -> LimitDecision {
        if limit.value == UNLIMITED || units == 0 {
            return LimitDecision::Allow;
        }
        if limit.value == 0 {
            return match limit.policy {
                LimitPolicy::Kill => LimitDecision::Kill,
                _ => LimitDecision::Fail,
            };
        }
        let cost = cost(units, limit.value);
        let from = self.paid_until.max(now.saturating_sub(Nanos(SECOND)));
        let until = from + cost;
        // A single request larger than the burst passes when the bucket is full, else it never could.
        let full = from <= now.saturating_sub(Nanos(SECOND)) || self.paid_until == Nanos::ZERO;
        if until <= now || full {
            self.paid_until = until;
            return LimitDecision::Allow;
        }
        match limit.policy {
            LimitPolicy::Fail => LimitDecision::Fail,
            LimitPolicy::Kill => LimitDecision::Kill,
            LimitPolicy::Signal(signal) => {
                self.paid_until = until;
                LimitDecision::Signal(signal)
            }
            LimitPolicy::Throttle => LimitDecision::Throttle(until.saturating_sub(now).min(cost)),
        }
    }
}

const SECOND: u64 = 1_000_000_000;

/// The time that `units` take at `rate` a second; for ever at none.
fn cost(units: u64, rate: u64) -> Nanos {
    let time = (u128::from(units) * u128::from(SECOND)).checked_div(u128::from(rate));
    Nanos(time.and_then(|time| u64::try_from(time).ok()).unwrap_or(u64::MAX / 2))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_linuxes() {
        for (number, resource) in Resource::ALL.into_iter().enumerate() {
            assert_eq!(resource as usize, number);
            assert_eq!(Resource::from_linux(number as u32), Ok(resource));
        }
        assert_eq!(Resource::from_linux(16), Err(ProcessError::InvalidArgument));
        let limits = ResourceLimits::new();
        assert_eq!(limits.soft(Resource::Stack), 8 << 20);
        assert_eq!(limits.get(Resource::Files), Limit { soft: 1024, hard: 4096 });
        assert_eq!(limits.get(Resource::CpuSeconds), Limit::NONE);
    }

    #[test]
    fn soft_above_hard_is_refused_and_hard_only_falls() {
        let mut limits = ResourceLimits::new();
        let files = Resource::Files;
        assert_eq!(
            limits.set(files, Limit { soft: 9, hard: 8 }, true, 1 << 20),
            Err(ProcessError::InvalidResourceLimits)
        );
        assert_eq!(limits.set(files, Limit::both(5000), false, 1 << 20), Err(ProcessError::PermissionDenied));
        assert_eq!(limits.set(files, Limit::both(100), false, 1 << 20), Ok(()));
        assert_eq!(limits.set(files, Limit::both(101), false, 1 << 20), Err(ProcessError::PermissionDenied));
        assert_eq!(limits.set(files, Limit::both(101), true, 1 << 20), Ok(()));
        assert_eq!(limits.set(files, Limit::both(UNLIMITED), true, 1 << 20), Err(ProcessError::PermissionDenied));
        assert_eq!(limits.get(files), Limit::both(101));
    }

    #[test]
    fn write_across_the_file_size_limit_is_cut_and_at_it_refused() {
        let mut limits = ResourceLimits::new();
        limits.set(Resource::FileSize, Limit::both(100), false, 0).unwrap();
        assert_eq!(limits.check_file_size(0, 100), (LimitDecision::Allow, 100));
        assert_eq!(limits.check_file_size(90, 20), (LimitDecision::Allow, 10));
        assert_eq!(limits.check_file_size(100, 1), (LimitDecision::FailAndSignal(Signal::XFSZ), 0));
        assert_eq!(limits.check_file_size(100, 0), (LimitDecision::Allow, 0));
    }

    #[test]
    fn cpu_limit_warns_each_second_and_then_kills() {
        let mut limits = ResourceLimits::new();
        limits.set(Resource::CpuSeconds, Limit { soft: 1, hard: 3 }, false, 0).unwrap();
        let mut warned = 0;
        let mut seen = std::vec::Vec::new();
        for tenth in 0..=30 {
            let (decision, second) = limits.check_cpu_time(Nanos::from_millis(tenth * 100), warned);
            warned = second;
            if decision != LimitDecision::Allow {
                seen.push((tenth, decision));
            }
        }
        let xcpu = LimitDecision::Signal(Signal::XCPU);
        assert_eq!(seen, [(10, xcpu), (20, xcpu), (30, LimitDecision::Kill)]);
    }

    #[test]
    fn own_limits_follow_their_policy() {
        let mut limits = ResourceLimits::new();
        for (policy, decision) in [
            (LimitPolicy::Fail, LimitDecision::Fail),
            (LimitPolicy::Signal(Signal::USR1), LimitDecision::Signal(Signal::USR1)),
            (LimitPolicy::Kill, LimitDecision::Kill),
        ] {
            limits.set_own(OwnResource::Memory, OwnLimit { value: 10, policy }, false).unwrap();
            assert_eq!(limits.check_own(OwnResource::Memory, 10), LimitDecision::Allow);
            assert_eq!(limits.check_own(OwnResource::Memory, 11), decision);
        }
        let more = OwnLimit { value: 11, policy: LimitPolicy::Fail };
        assert_eq!(limits.set_own(OwnResource::Memory, more, false), Err(ProcessError::PermissionDenied));
        let throttle = OwnLimit { value: 1, policy: LimitPolicy::Throttle };
        assert_eq!(limits.set_own(OwnResource::Memory, throttle, true), Err(ProcessError::InvalidResourceLimits));
    }

    #[test]
    fn throttled_rate_is_kept_over_any_ten_seconds() {
        let limit = OwnLimit { value: 1000, policy: LimitPolicy::Throttle };
        let mut meter = RateMeter::default();
        let (mut now, mut done) = (Nanos::from_secs(5), 0);
        let end = Nanos::from_secs(15);
        while now < end {
            match meter.take(limit, 100, now) {
                LimitDecision::Allow => done += 100,
                LimitDecision::Throttle(wait) => {
                    assert!(wait > Nanos::ZERO);
                    now += wait;
                }
                other => panic!("{other:?}"),
            }
        }
        // Ten seconds' worth, and a burst of one second.
        assert!((10_000..=11_100).contains(&done), "{done}");
    }

    #[test]
    fn bytes_moved_are_paid_for_before_the_next() {
        let limit = OwnLimit { value: 1000, policy: LimitPolicy::Throttle };
        let mut meter = RateMeter::default();
        let (mut now, mut moved) = (Nanos::from_secs(5), 0);
        while now < Nanos::from_secs(15) {
            match meter.debt(limit, now) {
                LimitDecision::Allow => {
                    meter.spend(limit, 700, now);
                    moved += 700;
                }
                LimitDecision::Throttle(wait) => now += wait,
                other => panic!("{other:?}"),
            }
        }
        // Ten seconds' worth, a burst of one second, and the last request.
        assert!((10_000..=11_700).contains(&moved), "{moved}");
        let refuse = OwnLimit { value: 1, policy: LimitPolicy::Fail };
        assert_eq!(meter.debt(refuse, Nanos::from_secs(5)), LimitDecision::Fail);
        assert_eq!(meter.debt(OwnLimit { value: UNLIMITED, ..refuse }, Nanos::from_secs(5)), LimitDecision::Allow);
        let mut stuck = RateMeter::default();
        stuck.spend(OwnLimit { value: 0, ..limit }, 1, now);
        assert!(matches!(stuck.debt(limit, Nanos::from_secs(1 << 30)), LimitDecision::Throttle(_)));
    }

    #[test]
    fn request_larger_than_the_burst_passes_alone() {
        let limit = OwnLimit { value: 10, policy: LimitPolicy::Throttle };
        let mut meter = RateMeter::default();
        assert_eq!(meter.take(limit, 100, Nanos::from_secs(50)), LimitDecision::Allow);
        assert!(matches!(meter.take(limit, 1, Nanos::from_secs(51)), LimitDecision::Throttle(_)));
        assert_eq!(meter.take(limit, 1, Nanos::from_secs(61)), LimitDecision::Allow);
    }
}
