//! Levels, keys, weights, and what a task asks for.

use crate::class::{Class, Credit};

/// Levels in each class.
pub const LEVELS: u8 = 6;
/// Keys: classes times levels.
pub(crate) const KEYS: usize = 30;

/// Priority within a class: 0 goes first, 5 last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Level(u8);

impl Level {
    /// First in its class.
    pub const TOP: Self = Self(0);
    /// Where a task starts unless told otherwise: two above it for a boost, three below for decay.
    pub const DEFAULT: Self = Self(2);
    /// Last in its class.
    pub const BOTTOM: Self = Self(LEVELS - 1);

    /// Level `n`; numbers too large are the last level.
    pub const fn new(n: u8) -> Self {
        if n < LEVELS { Self(n) } else { Self::BOTTOM }
    }

    /// Its number, `0..LEVELS`.
    pub const fn number(self) -> u8 {
        self.0
    }

    /// `by` levels nearer to the top.
    #[must_use]
    pub const fn raised(self, by: u8) -> Self {
        Self(self.0.saturating_sub(by))
    }

    /// `by` levels nearer to the bottom.
    #[must_use]
    pub const fn lowered(self, by: u8) -> Self {
        Self::new(self.0.saturating_add(by))
    }
}

/// Class and level in one number that sorts by urgency: 0 is the top of System, 29 the bottom of Background.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key(u8);

impl Key {
    /// Number of the first key whose level goes by virtual time.
    pub(crate) const FIRST_FAIR: u8 = LEVELS;

    /// The key of a level of a class.
    pub const fn new(class: Class, level: Level) -> Self {
        Self(class as u8 * LEVELS + level.0)
    }

    /// Key number `n`; numbers too large are the last key.
    pub const fn from_number(n: u8) -> Self {
        if (n as usize) < KEYS { Self(n) } else { Self(KEYS as u8 - 1) }
    }

    /// Its number, `0..30`.
    pub const fn number(self) -> u8 {
        self.0
    }

    /// Its class.
    pub const fn class(self) -> Class {
        match self.0 / LEVELS {
            0 => Class::System,
            1 => Class::Interactive,
            2 => Class::User,
            3 => Class::Service,
            _ => Class::Background,
        }
    }

    /// Its level in that class.
    pub const fn level(self) -> Level {
        Level(self.0 % LEVELS)
    }
}

/// How a task behaves within its class.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Flavour {
    /// Boosted when it mostly sleeps, lowered when it mostly computes, where its class does so.
    Adaptive = 0,
    /// Never boosted: work in bulk that nobody waits for.
    Batch = 1,
    /// Stays at its level, shares it by slices.
    Fixed = 2,
    /// Stays at its level and at the head of its queue until it blocks or yields; the starvation bound still holds.
    Fifo = 3,
}

impl Flavour {
    const fn from_bits(bits: u32) -> Self {
        match bits & 3 {
            0 => Self::Adaptive,
            1 => Self::Batch,
            2 => Self::Fixed,
            _ => Self::Fifo,
        }
    }
}

/// What a task asks for; changed by [`Scheduler::set_priority`](crate::Scheduler::set_priority).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Policy {
    /// Which class.
    pub class: Class,
    /// Level in it, before boost and decay.
    pub level: Level,
    /// Share within the level: -20 (largest) to 19.
    pub nice: i8,
    /// Behaviour within the class.
    pub flavour: Flavour,
    /// Order within a level of System, `0..64`: 0 goes first. Nothing in other classes.
    pub rank: u8,
    /// Nobody has chosen the class; see [`Policy::given`].
    pub given: bool,
}

impl Policy {
    /// An ordinary task of `class`.
    pub const fn new(class: Class) -> Self {
        Self { class, level: Level::DEFAULT, nice: 0, flavour: Flavour::Adaptive, rank: 0, given: false }
    }

    /// The same at another level.
    #[must_use]
    pub const fn at(self, level: Level) -> Self {
        Self { level, ..self }
    }

    /// The same with another nice value, brought into -20..=19.
    #[must_use]
    pub const fn nice(self, nice: i8) -> Self {
        let nice = if nice < -20 { -20 } else { nice };
        Self { nice: if nice > 19 { 19 } else { nice }, ..self }
    }

    /// The same with another flavour.
    #[must_use]
    pub const fn flavour(self, flavour: Flavour) -> Self {
        Self { flavour, ..self }
    }

    /// The same with another rank; numbers too large are the last rank.
    #[must_use]
    pub const fn rank(self, rank: u8) -> Self {
        Self { rank: if rank < RANKS { rank } else { RANKS - 1 }, ..self }
    }

    /// The same with a class that was not chosen but given for what the task is. Then what it does counts as well: in System and Interactive
    /// one that computes goes with the ordinary programs of User until it sleeps again, and a service goes with them until it
    /// computes, since one that mostly sleeps answers somebody. In System it goes behind all others.
    #[must_use]
    pub const fn given(self) -> Self {
        match self.class {
            Class::System => Self { given: true, level: Level::BOTTOM, rank: RANKS - 1, ..self },
            _ => Self { given: true, ..self },
        }
    }

    /// The same as urgent as `key` at least, whatever it does: somebody of that key waits for all of it.
    #[must_use]
    pub const fn hastened(self, key: Key) -> Self {
        if self.key().0 <= key.0 {
            return self;
        }
        let (class, level) = (key.class(), key.level());
        Self { class, level, flavour: Flavour::Fixed, rank: RANKS - 1, given: false, ..self }
    }

    /// With the class that counts for a task that slept and ran as `credit` says.
    const fn standing(self, credit: Credit) -> Self {
        let ordinary = match self.class {
            Class::System | Class::Interactive => credit.is_hog(),
            Class::Service => !credit.is_hog(),
            Class::User | Class::Background => false,
        };
        if self.given && ordinary { Self { class: Class::User, level: Level::DEFAULT, ..self } } else { self }
    }

    /// Key before boost, decay and inheritance.
    pub const fn key(self) -> Key {
        Key::new(self.class, self.level)
    }

    /// Weight of its nice value.
    pub fn weight(self) -> Weight {
        Weight::of_nice(self.nice)
    }

    /// The same in a byte.
    pub(crate) fn share(self) -> Share {
        Share::of_nice(self.nice)
    }

    /// Where a task of this policy and that credit waits.
    pub(crate) fn place(self, credit: Credit) -> Place {
        let policy = self.standing(credit);
        let key = Key::new(policy.class, policy.class.rules().level(policy, credit));
        let rank = if matches!(policy.class, Class::System) { policy.rank } else { 0 };
        let debt = credit.debt() << DEBT_SHIFT;
        Place(u16::from(key.0) << RANK_BITS | u16::from(rank) | debt | (policy.flavour as u16) << FLAVOUR_SHIFT)
    }

    /// As one word; the bits from [`Policy::BITS`] on are free.
    pub(crate) const fn to_bits(self) -> u32 {
        let class = self.key().0 as u32 | (self.given as u32) << 7;
        class | (self.flavour as u32) << 5 | (self.nice as u8 as u32) << 8 | (self.rank as u32) << 16
    }

    /// Bits of the word.
    pub(crate) const BITS: u32 = 22;

    pub(crate) const fn from_bits(bits: u32) -> Self {
        let key = Key::from_number(bits as u8 & 31);
        let flavour = Flavour::from_bits(bits >> 5);
        let rank = (bits >> 16) as u8 % RANKS;
        let given = bits >> 7 & 1 != 0;
        Self { class: key.class(), level: key.level(), nice: (bits >> 8) as u8 as i8, flavour, rank, given }
    }
}

/// Ranks in a level of System.
pub(crate) const RANKS: u8 = 1 << RANK_BITS;
const RANK_BITS: u32 = 6;
const DEBT_SHIFT: u32 = 11;
const FLAVOUR_SHIFT: u32 = 14;

/// Where a task waits: key and, in System, rank; and how it behaves there, and whether it is a hog.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place(u16);

impl Place {
    pub(crate) const fn to_bits(self) -> u16 {
        self.0
    }

    pub(crate) const fn from_bits(bits: u16) -> Self {
        Self(bits)
    }

    /// The place that somebody more urgent lends.
    pub(crate) const fn at_key(self, key: Key) -> Self {
        Self((key.0 as u16) << RANK_BITS | self.0 >> FLAVOUR_SHIFT << FLAVOUR_SHIFT)
    }

    /// Key and rank as one number: less is more urgent.
    #[inline]
    pub(crate) const fn urgency(self) -> Urgency {
        Urgency((self.0 & 0x7ff) as u32)
    }

    #[inline]
    pub(crate) const fn key(self) -> Key {
        Key((self.0 >> RANK_BITS & 31) as u8)
    }

    /// [`Credit::debt`], unless the place is lent.
    #[inline]
    pub(crate) const fn debt(self) -> u16 {
        self.0 >> DEBT_SHIFT & 3
    }

    #[inline]
    pub(crate) const fn rank(self) -> u32 {
        (self.0 & (RANKS as u16 - 1)) as u32
    }

    pub(crate) const fn flavour(self) -> Flavour {
        Flavour::from_bits((self.0 >> FLAVOUR_SHIFT) as u32)
    }

    /// Whether its level goes by virtual time, not by arrival.
    #[inline]
    pub(crate) const fn is_fair(self) -> bool {
        self.urgency().0 >= Urgency::FIRST_FAIR.0
    }
}

/// Key and rank as one number: less is more urgent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Urgency(pub(crate) u32);

impl Urgency {
    /// Above all.
    pub(crate) const MOST: Self = Self(0);
    /// Below all: of a CPU that runs nothing.
    pub(crate) const NONE: Self = Self(u32::MAX);
    const FIRST_FAIR: Self = Self((LEVELS as u32) << RANK_BITS);
    const FIRST_BACKGROUND: Self = Self((Class::Background as u32 * LEVELS as u32) << RANK_BITS);

    /// How urgent a task must be at least to take the CPU from one of this urgency: more urgent. Those of Background do not take it
    /// from each other.
    #[inline]
    pub(crate) const fn threshold(self) -> Self {
        if self.0 < Self::FIRST_BACKGROUND.0 { self } else { Self::FIRST_BACKGROUND }
    }
}

/// Share of a CPU among the tasks of a level; nice 0 weighs 1024.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Weight(pub(crate) u32);

/// Linux's weights of nice -20..=19 (`kernel/sched/core.c`, documented in sched-nice-design.rst): each step is a factor of
/// 1.25, so that one step of nice moves about a tenth of a CPU between two tasks.
const NICE_WEIGHTS: [u32; 64] = [
    88761, 71755, 56483, 46273, 36291, 29154, 23254, 18705, 14949, 11916, 9548, 7620, 6100, 4904, 3906, 3121, 2501,
    1991, 1586, 1277, 1024, 820, 655, 526, 423, 335, 272, 215, 172, 137, 110, 87, 70, 56, 45, 36, 29, 23, 18,
    15, // No nice value; there to make it a power of two.
    15, 15, 15, 15, 15, 15, 15, 15, 15, 15, 15, 15, 15, 15, 15, 15, 15, 15, 15, 15, 15, 15, 15, 15,
];

/// A weight in a byte: its place in the table.
#[derive(Clone, Copy)]
pub(crate) struct Share(u8);

impl Share {
    fn of_nice(nice: i8) -> Self {
        Self((i16::from(nice) + 20).clamp(0, 39) as u8)
    }

    pub(crate) const fn from_bits(bits: u8) -> Self {
        Self(bits)
    }

    pub(crate) const fn to_bits(self) -> u8 {
        self.0
    }

    #[inline]
    pub(crate) fn weight(self) -> Weight {
        Weight(NICE_WEIGHTS.get(usize::from(self.0 % 64)).copied().unwrap_or(1024))
    }
}

impl Weight {
    /// Weight of nice 0.
    pub const UNIT: Self = Self(1024);

    /// Weight of a nice value.
    pub fn of_nice(nice: i8) -> Self {
        Share::of_nice(nice).weight()
    }

    /// The number.
    pub const fn get(self) -> u32 {
        self.0
    }

    /// How far `ran` nanoseconds move a task of this weight in virtual time.
    pub(crate) const fn virtual_time(self, ran: u64) -> u64 {
        // 2^34 ns (17 s) times 1024 fits easily; a longer run in one go is charged as that.
        let ran = if ran > 1 << 34 { 1 << 34 } else { ran };
        // Most weigh as much as nice 0, and a division costs as much as the rest.
        if self.0 == Self::UNIT.0 { ran } else { ran * 1024 / self.0 as u64 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn policy_survives_packing() {
        for class in Class::ALL {
            for level in 0..LEVELS {
                for nice in -20..20 {
                    for flavour in [Flavour::Adaptive, Flavour::Batch, Flavour::Fixed, Flavour::Fifo] {
                        let rank = (nice + 20) as u8;
                        let policy = Policy::new(class).at(Level::new(level)).nice(nice).flavour(flavour).rank(rank);
                        assert_eq!(Policy::from_bits(policy.to_bits()), policy);
                        assert_eq!(Policy::from_bits(policy.given().to_bits()), policy.given());
                        assert!(policy.to_bits() < 1 << Policy::BITS);
                        let place = policy.place(Credit::NEUTRAL);
                        assert_eq!((place.key().class(), place.flavour()), (class, flavour));
                        assert_eq!(place.is_fair(), class != Class::System);
                        assert_eq!(place.at_key(Key::new(Class::User, Level::TOP)).flavour(), flavour);
                        assert_eq!((policy.key().class(), policy.key().level().number()), (class, level));
                    }
                }
            }
        }
    }

    #[test]
    fn who_is_waited_for_is_as_urgent_as_who_waits() {
        let (own, interactive) = (Policy::new(Class::Service).nice(5), Key::new(Class::Interactive, Level::DEFAULT));
        let hastened = own.given().hastened(interactive);
        assert_eq!((hastened.key(), hastened.nice, hastened.given), (interactive, 5, false));
        assert_eq!(hastened.place(Credit::NONE).key(), interactive, "even if it only computes");
        assert_eq!(Policy::new(Class::System).hastened(interactive), Policy::new(Class::System));
        assert_eq!(own.hastened(own.key()), own);
        assert_eq!(hastened.hastened(Key::new(Class::System, Level::BOTTOM)).rank, RANKS - 1, "behind real time");
    }

    #[test]
    fn weights_follow_nice() {
        assert_eq!(Weight::of_nice(0), Weight::UNIT);
        assert_eq!(Weight::of_nice(-128).get(), 88761);
        assert_eq!(Weight::of_nice(127).get(), 15);
        assert!((-20..19).all(|nice| Weight::of_nice(nice) > Weight::of_nice(nice + 1)));
        assert_eq!(Weight::of_nice(19).virtual_time(15), 1024);
    }
}
