//! Importance: six levels, five classes, and how Linux's nice values and policies map to them.

use abi::linux::general as linux;

use crate::{ProcessError, Result};

/// How urgent a process is; higher levels run first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
#[repr(u8)]
pub enum PriorityLevel {
    /// Runs when nothing else wants to.
    Idle = 0,
    /// Below the ordinary.
    Low = 1,
    /// The ordinary.
    #[default]
    Normal = 2,
    /// Above the ordinary.
    High = 3,
    /// Real time: before every ordinary process.
    RealTime = 4,
    /// Before everything; what the system cannot do without.
    Critical = 5,
}

impl PriorityLevel {
    /// All, lowest first.
    pub const ALL: [Self; 6] = [Self::Idle, Self::Low, Self::Normal, Self::High, Self::RealTime, Self::Critical];

    /// The level of that number.
    ///
    /// # Errors
    /// `InvalidPriority`.
    pub fn from_number(number: u64) -> Result<Self> {
        Self::ALL.into_iter().find(|level| *level as u64 == number).ok_or(ProcessError::InvalidPriority)
    }
}

impl PriorityClass {
    /// All, most urgent first.
    pub const ALL: [Self; 5] = [Self::System, Self::Interactive, Self::User, Self::Service, Self::Background];

    /// The class of that number.
    ///
    /// # Errors
    /// `InvalidPriority`.
    pub fn from_number(number: u64) -> Result<Self> {
        Self::ALL.into_iter().find(|class| *class as u64 == number).ok_or(ProcessError::InvalidPriority)
    }

    /// Its name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::System => "System",
            Self::Interactive => "Interactive",
            Self::User => "User",
            Self::Service => "Service",
            Self::Background => "Background",
        }
    }
}

/// What kind of work a process does; decides slices and boosts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
#[repr(u8)]
pub enum PriorityClass {
    /// Part of the system.
    System = 0,
    /// A person waits for it.
    Interactive = 1,
    /// An ordinary program.
    #[default]
    User = 2,
    /// A supervised service.
    Service = 3,
    /// Whenever there is time.
    Background = 4,
}

/// Linux's scheduling policies (sched(7)).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
#[repr(u8)]
pub enum SchedulingPolicy {
    /// SCHED_OTHER: shares by nice value.
    #[default]
    Other = 0,
    /// SCHED_FIFO: real time, runs until it blocks.
    Fifo = 1,
    /// SCHED_RR: real time, in turns with its equals.
    RoundRobin = 2,
    /// SCHED_BATCH: as `Other`, never interactive.
    Batch = 3,
    /// SCHED_IDLE: below every nice value.
    Idle = 5,
}

impl SchedulingPolicy {
    /// The policy of that number in Linux's interface; SCHED_DEADLINE is not offered.
    ///
    /// # Errors
    /// `InvalidArgument`.
    pub const fn from_linux(number: u32) -> Result<Self> {
        match number {
            linux::SCHED_NORMAL => Ok(Self::Other),
            linux::SCHED_FIFO => Ok(Self::Fifo),
            linux::SCHED_RR => Ok(Self::RoundRobin),
            linux::SCHED_BATCH => Ok(Self::Batch),
            linux::SCHED_IDLE => Ok(Self::Idle),
            _ => Err(ProcessError::InvalidArgument),
        }
    }

    /// Its number in Linux's interface.
    #[must_use]
    pub const fn to_linux(self) -> u32 {
        self as u32
    }

    /// SCHED_FIFO or SCHED_RR.
    #[must_use]
    pub const fn is_real_time(self) -> bool {
        matches!(self, Self::Fifo | Self::RoundRobin)
    }

    /// The static priorities it allows (sched_get_priority_min/max).
    #[must_use]
    pub const fn priority_range(self) -> (u8, u8) {
        if self.is_real_time() { (1, 99) } else { (0, 0) }
    }
}

/// How a thread is scheduled: everything the scheduler wants to know about its importance. Fits a word, so that it is
/// kept in an atomic.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub struct Scheduling {
    /// Linux's policy.
    pub policy: SchedulingPolicy,
    /// Static priority of a real-time policy, 1 to 99; else 0.
    pub rt_priority: u8,
    /// Nice value, -20 to 19.
    pub nice: i8,
    /// Kind of work.
    pub class: PriorityClass,
    /// Somebody has chosen the class: what the process is and does changes it no more.
    pub chosen: bool,
    /// SCHED_RESET_ON_FORK: children start ordinary.
    pub reset_on_fork: bool,
}

/// Lowest nice value: most important.
pub const NICE_MIN: i8 = -20;
/// Highest nice value: least important.
pub const NICE_MAX: i8 = 19;
/// Static priority from which a real-time process counts as critical.
pub const CRITICAL_RT_PRIORITY: u8 = 90;

impl Scheduling {
    /// The level it stands for.
    ///
    /// Nice bands: -20 to -6 High, -5 to 4 Normal, 5 to 19 Low. The default of 0 is Normal, `nice` without a number
    /// (+10) is Low, and the conventional -10 of important daemons is High.
    #[must_use]
    pub const fn level(&self) -> PriorityLevel {
        match self.policy {
            SchedulingPolicy::Fifo | SchedulingPolicy::RoundRobin if self.rt_priority >= CRITICAL_RT_PRIORITY => {
                PriorityLevel::Critical
            }
            SchedulingPolicy::Fifo | SchedulingPolicy::RoundRobin => PriorityLevel::RealTime,
            SchedulingPolicy::Idle => PriorityLevel::Idle,
            SchedulingPolicy::Other | SchedulingPolicy::Batch => match self.nice {
                i8::MIN..=-6 => PriorityLevel::High,
                -5..=4 => PriorityLevel::Normal,
                5..=i8::MAX => PriorityLevel::Low,
            },
        }
    }

    /// The same thread at `level`: a representative policy and nice value of that level.
    #[must_use]
    pub const fn at_level(self, level: PriorityLevel) -> Self {
        let (policy, rt_priority, nice) = match level {
            PriorityLevel::Idle => (SchedulingPolicy::Idle, 0, NICE_MAX),
            PriorityLevel::Low => (SchedulingPolicy::Other, 0, 10),
            PriorityLevel::Normal => (SchedulingPolicy::Other, 0, 0),
            PriorityLevel::High => (SchedulingPolicy::Other, 0, -10),
            PriorityLevel::RealTime => (SchedulingPolicy::RoundRobin, 50, 0),
            PriorityLevel::Critical => (SchedulingPolicy::RoundRobin, 99, 0),
        };
        Self { policy, rt_priority, nice, ..self }
    }

    /// What a child starts with (SCHED_RESET_ON_FORK honoured).
    #[must_use]
    pub const fn for_child(self) -> Self {
        // What makes the first process part of the system does not make its children so.
        let class = match self.class {
            PriorityClass::System if !self.chosen => PriorityClass::User,
            class => class,
        };
        if !self.reset_on_fork {
            return Self { class, ..self };
        }
        let real_time = self.policy.is_real_time();
        let policy = if real_time { SchedulingPolicy::Other } else { self.policy };
        let nice = if self.nice < 0 || real_time { 0 } else { self.nice };
        Self { policy, rt_priority: 0, nice, class, reset_on_fork: false, ..self }
    }

    /// Real time, or an urgent class by somebody's choice: those it waits for are to hurry.
    #[must_use]
    pub const fn is_critical(self) -> bool {
        let urgent = matches!(self.class, PriorityClass::System | PriorityClass::Interactive);
        self.policy.is_real_time() || (self.chosen && urgent)
    }

    /// The bit of the word that says so.
    pub(crate) const CRITICAL: u32 = 1 << 24;

    /// As one word.
    #[must_use]
    pub(crate) const fn to_bits(self) -> u32 {
        self.policy as u32
            | (self.class as u32) << 3
            | (self.reset_on_fork as u32) << 6
            | (self.chosen as u32) << 7
            | (self.is_critical() as u32) << Self::CRITICAL.trailing_zeros()
            | (self.rt_priority as u32) << 8
            | (self.nice as u8 as u32) << 16
    }

    /// From the word of [`Scheduling::to_bits`].
    #[must_use]
    pub(crate) const fn from_bits(bits: u32) -> Self {
        let policy = match bits & 7 {
            1 => SchedulingPolicy::Fifo,
            2 => SchedulingPolicy::RoundRobin,
            3 => SchedulingPolicy::Batch,
            5 => SchedulingPolicy::Idle,
            _ => SchedulingPolicy::Other,
        };
        let class = match bits >> 3 & 7 {
            0 => PriorityClass::System,
            1 => PriorityClass::Interactive,
            3 => PriorityClass::Service,
            4 => PriorityClass::Background,
            _ => PriorityClass::User,
        };
        Self {
            policy,
            rt_priority: (bits >> 8) as u8,
            nice: (bits >> 16) as u8 as i8,
            class,
            chosen: bits >> 7 & 1 != 0,
            reset_on_fork: bits >> 6 & 1 != 0,
        }
    }
}

/// What the caller of a scheduling change may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SchedulingRights {
    /// CAP_SYS_NICE.
    pub privileged: bool,
    /// RLIMIT_NICE, as the limit counts: 20 less the lowest nice value allowed.
    pub nice_limit: u64,
    /// RLIMIT_RTPRIO.
    pub rt_priority_limit: u64,
}

/// The nice value `setpriority(2)` sets: clamped to the range, allowed by right or limit.
///
/// # Errors
/// `AccessDenied`, as Linux answers here.
pub fn new_nice(current: i8, wanted: i32, rights: &SchedulingRights) -> Result<i8> {
    let nice = wanted.clamp(i32::from(NICE_MIN), i32::from(NICE_MAX)) as i8;
    let lowest_allowed = 20_i64.saturating_sub(rights.nice_limit.min(40) as i64);
    if nice < current && !rights.privileged && i64::from(nice) < lowest_allowed {
        return Err(ProcessError::AccessDenied);
    }
    Ok(nice)
}

/// The scheduling that `sched_setscheduler(2)` sets.
///
/// # Errors
/// `InvalidArgument` for a priority outside the policy's range, `PermissionDenied` without the right.
pub fn new_policy(
    current: Scheduling,
    policy: SchedulingPolicy,
    rt_priority: u32,
    reset_on_fork: bool,
    rights: &SchedulingRights,
) -> Result<Scheduling> {
    let (lowest, highest) = policy.priority_range();
    let rt_priority = u8::try_from(rt_priority).map_err(|_| ProcessError::InvalidArgument)?;
    if rt_priority < lowest || rt_priority > highest {
        return Err(ProcessError::InvalidArgument);
    }
    if !rights.privileged {
        let limit = rights.rt_priority_limit;
        if policy.is_real_time() {
            let becomes_real_time = policy != current.policy && limit == 0;
            let rises = rt_priority > current.rt_priority && u64::from(rt_priority) > limit;
            if becomes_real_time || rises {
                return Err(ProcessError::PermissionDenied);
            }
        }
        // Leaving SCHED_IDLE needs the right to the nice value one then has.
        if current.policy == SchedulingPolicy::Idle && policy != SchedulingPolicy::Idle {
            new_nice(NICE_MAX, i32::from(current.nice), rights).map_err(|_| ProcessError::PermissionDenied)?;
        }
        if current.reset_on_fork && !reset_on_fork {
            return Err(ProcessError::PermissionDenied);
        }
    }
    Ok(Scheduling { policy, rt_priority, reset_on_fork, ..current })
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOBODY: SchedulingRights = SchedulingRights { privileged: false, nice_limit: 0, rt_priority_limit: 0 };
    const ROOT: SchedulingRights = SchedulingRights { privileged: true, ..NOBODY };
    const LEVELS: [PriorityLevel; 6] = [
        PriorityLevel::Idle,
        PriorityLevel::Low,
        PriorityLevel::Normal,
        PriorityLevel::High,
        PriorityLevel::RealTime,
        PriorityLevel::Critical,
    ];

    #[test]
    fn every_level_maps_to_linux_and_back() {
        for level in LEVELS {
            assert_eq!(Scheduling::default().at_level(level).level(), level);
        }
        assert_eq!(Scheduling::default().level(), PriorityLevel::Normal);
    }

    #[test]
    fn scheduling_survives_its_word() {
        for level in LEVELS {
            for class in [
                PriorityClass::System,
                PriorityClass::Interactive,
                PriorityClass::User,
                PriorityClass::Service,
                PriorityClass::Background,
            ] {
                for reset_on_fork in [false, true] {
                    for chosen in [false, true] {
                        let s = Scheduling { class, chosen, reset_on_fork, ..Scheduling::default().at_level(level) };
                        assert_eq!(Scheduling::from_bits(s.to_bits()), s);
                    }
                }
            }
        }
    }

    #[test]
    fn nice_is_clamped_and_may_always_rise() {
        assert_eq!(new_nice(0, 100, &NOBODY), Ok(19));
        assert_eq!(new_nice(0, 5, &NOBODY), Ok(5));
        assert_eq!(new_nice(0, -100, &ROOT), Ok(-20));
    }

    #[test]
    fn nice_falls_only_with_the_right_or_within_the_limit() {
        assert_eq!(new_nice(5, 0, &NOBODY), Err(ProcessError::AccessDenied));
        let limited = SchedulingRights { nice_limit: 21, ..NOBODY };
        assert_eq!(new_nice(5, -1, &limited), Ok(-1));
        assert_eq!(new_nice(5, -2, &limited), Err(ProcessError::AccessDenied));
        let unlimited = SchedulingRights { nice_limit: u64::MAX, ..NOBODY };
        assert_eq!(new_nice(5, -20, &unlimited), Ok(-20));
    }

    #[test]
    fn real_time_needs_right_or_limit() {
        let now = Scheduling::default();
        let limited = SchedulingRights { rt_priority_limit: 10, ..NOBODY };
        assert_eq!(new_policy(now, SchedulingPolicy::Fifo, 1, false, &NOBODY), Err(ProcessError::PermissionDenied));
        assert!(new_policy(now, SchedulingPolicy::Fifo, 10, false, &limited).is_ok());
        assert_eq!(new_policy(now, SchedulingPolicy::Fifo, 11, false, &limited), Err(ProcessError::PermissionDenied));
        assert!(new_policy(now, SchedulingPolicy::RoundRobin, 99, false, &ROOT).is_ok());
    }

    #[test]
    fn priority_must_fit_the_policy() {
        let now = Scheduling::default();
        for (policy, priority) in [
            (SchedulingPolicy::Fifo, 0),
            (SchedulingPolicy::Fifo, 100),
            (SchedulingPolicy::Other, 1),
            (SchedulingPolicy::Idle, 300),
        ] {
            assert_eq!(new_policy(now, policy, priority, false, &ROOT), Err(ProcessError::InvalidArgument));
        }
        assert_eq!(SchedulingPolicy::from_linux(6), Err(ProcessError::InvalidArgument));
    }

    #[test]
    fn children_of_the_first_process_are_ordinary_unless_somebody_chose() {
        let first = Scheduling { class: PriorityClass::System, ..Scheduling::default() };
        assert_eq!(first.for_child(), Scheduling::default());
        let chosen = Scheduling { chosen: true, ..first };
        assert_eq!(chosen.for_child(), chosen);
    }

    #[test]
    fn reset_on_fork_makes_ordinary_children() {
        let now = Scheduling { reset_on_fork: true, ..Scheduling::default().at_level(PriorityLevel::RealTime) };
        let child = now.for_child();
        assert_eq!((child.policy, child.rt_priority, child.reset_on_fork), (SchedulingPolicy::Other, 0, false));
        let kept = Scheduling { reset_on_fork: false, ..now };
        assert_eq!(kept.for_child(), kept);
    }
}
