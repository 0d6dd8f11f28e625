//! Signal numbers and sets of them (signal(7)).

/// A signal, 1 to 64; 1–31 classic, 32–64 real-time.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Signal(u8);

macro_rules! signals {
    ($($name:ident = $number:literal, $doc:literal;)*) => {
        impl Signal {
            $(#[doc = $doc] pub const $name: Self = Self($number);)*

            /// Its name without `SIG` (`"KILL"`), `"RT"` for a real-time signal.
            pub const fn name(self) -> &'static str {
                match self.0 {
                    $($number => stringify!($name),)*
                    _ => "RT",
                }
            }
        }
    };
}

signals! {
    HUP = 1, "Hang-up of the controlling terminal.";
    INT = 2, "Interrupt from the keyboard.";
    QUIT = 3, "Quit from the keyboard.";
    ILL = 4, "Illegal instruction.";
    TRAP = 5, "Trace or breakpoint trap.";
    ABRT = 6, "Abort.";
    BUS = 7, "Bad memory access.";
    FPE = 8, "Arithmetic error.";
    KILL = 9, "Kill; cannot be caught.";
    USR1 = 10, "User-defined.";
    SEGV = 11, "Invalid memory reference.";
    USR2 = 12, "User-defined.";
    PIPE = 13, "Write to a pipe without reader.";
    ALRM = 14, "Timer of `alarm`.";
    TERM = 15, "Termination.";
    STKFLT = 16, "Unused.";
    CHLD = 17, "A child stopped, continued or ended.";
    CONT = 18, "Continue if stopped.";
    STOP = 19, "Stop; cannot be caught.";
    TSTP = 20, "Stop from the keyboard.";
    TTIN = 21, "Terminal input for a background process.";
    TTOU = 22, "Terminal output of a background process.";
    URG = 23, "Urgent data on a socket.";
    XCPU = 24, "CPU time limit exceeded.";
    XFSZ = 25, "File size limit exceeded.";
    VTALRM = 26, "Virtual timer.";
    PROF = 27, "Profiling timer.";
    WINCH = 28, "Window size changed.";
    IO = 29, "I/O possible.";
    PWR = 30, "Power failure.";
    SYS = 31, "Bad system call.";
}

impl Signal {
    /// Highest number.
    pub const MAX: u8 = 64;
    /// First real-time signal as the kernel counts them.
    pub const RTMIN: Self = Self(32);

    /// The signal of that number, if it is one.
    pub const fn new(number: u64) -> Option<Self> {
        if number >= 1 && number <= Self::MAX as u64 { Some(Self(number as u8)) } else { None }
    }

    /// Its number, 1 to 64.
    pub const fn number(self) -> u8 {
        self.0
    }

    /// Whether sends of it queue up rather than merge.
    pub const fn is_realtime(self) -> bool {
        self.0 >= Self::RTMIN.0
    }

    /// SIGKILL or SIGSTOP: never caught, blocked or ignored.
    pub const fn is_unblockable(self) -> bool {
        self.0 == Self::KILL.0 || self.0 == Self::STOP.0
    }
}

impl core::fmt::Debug for Signal {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        if self.is_realtime() { write!(f, "SIGRT{}", self.0 - 32) } else { write!(f, "SIG{}", self.name()) }
    }
}

/// A set of signals as Linux lays it out: bit n-1 is signal n.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct SigSet(pub u64);

impl SigSet {
    /// No signal.
    pub const EMPTY: Self = Self(0);
    /// Every signal.
    pub const ALL: Self = Self(u64::MAX);
    /// SIGKILL and SIGSTOP.
    pub const UNBLOCKABLE: Self = Self::EMPTY.with(Signal::KILL).with(Signal::STOP);

    /// Whether `signal` is a member.
    pub const fn contains(self, signal: Signal) -> bool {
        self.0 & Self::bit(signal) != 0
    }

    /// This set and `signal`.
    #[must_use]
    pub const fn with(self, signal: Signal) -> Self {
        Self(self.0 | Self::bit(signal))
    }

    /// This set less `signal`.
    #[must_use]
    pub const fn without(self, signal: Signal) -> Self {
        Self(self.0 & !Self::bit(signal))
    }

    /// Members of either.
    #[must_use]
    pub const fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Members of this one that `other` lacks.
    #[must_use]
    pub const fn difference(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// Members of both.
    #[must_use]
    pub const fn intersection(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// Whether there is none.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The lowest-numbered member.
    pub const fn first(self) -> Option<Signal> {
        if self.0 == 0 { None } else { Some(Signal(self.0.trailing_zeros() as u8 + 1)) }
    }

    const fn bit(signal: Signal) -> u64 {
        1 << (signal.0 - 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_outside_1_to_64_are_no_signals() {
        assert_eq!(Signal::new(0), None);
        assert_eq!(Signal::new(65), None);
        assert_eq!(Signal::new(9), Some(Signal::KILL));
        assert!(Signal::new(64).is_some_and(Signal::is_realtime));
    }

    #[test]
    fn first_is_the_lowest() {
        let set = SigSet::EMPTY.with(Signal::TERM).with(Signal::HUP);
        assert_eq!(set.first(), Some(Signal::HUP));
        assert_eq!(set.without(Signal::HUP).first(), Some(Signal::TERM));
        assert_eq!(SigSet::EMPTY.first(), None);
    }
}
