//! What a caller may ask.

use alloc::boxed::Box;
use alloc::vec::Vec;

use super::codec::{choice, message};
use super::unit::Unit;
use crate::definition::Name;
use crate::error::Role;
use crate::reconciler::StopMode;

/// One request. None of them waits: whoever wants to see the end asks for the status.
#[derive(Clone, Debug, PartialEq)]
pub enum Request {
    /// All instances: `Reply::Rows`.
    List,
    /// All there is to know about a service: `Reply::Status`.
    Status(Name),
    /// Do something with one service: `Reply::Ok`.
    Control {
        /// What.
        verb: Verb,
        /// With which.
        name: Name,
        /// For those that stop it: what happens to who needs it.
        mode: StopMode,
    },
    /// Run so many instances: `Reply::Ok`.
    Scale {
        /// Of which service.
        name: Name,
        /// How many.
        count: u16,
    },
    /// Why a service, or anything, is not as wished: `Reply::Why`.
    Why(Option<Name>),
    /// Who started it: `Reply::Chain`, the one that was asked for first.
    WhyStarted(Name),
    /// What a command would do: `Reply::Plan`.
    Plan {
        /// Which command.
        verb: Verb,
        /// On which service.
        name: Name,
    },
    /// What it needs, or who needs it: `Reply::Links`.
    Deps {
        /// Whose; `None` for all.
        name: Option<Name>,
        /// Which way.
        direction: Direction,
    },
    /// Replaces the whole set: `Reply::Loaded`, or `Reply::Mistakes` and nothing changed.
    Load {
        /// What happens with mistakes.
        mode: LoadMode,
        /// The set.
        units: Vec<Unit>,
    },
    /// Replaces or adds one definition: as `Load`.
    Update(Box<Unit>),
    /// Goes back to an earlier set, by its number, or the one before: as `Load`.
    Rollback(Option<u32>),
    /// What each instance uses: `Reply::Rows`.
    Top,
    /// What the instances of a service wrote, from that byte on: `Reply::Log`.
    Log {
        /// Which service.
        name: Name,
        /// Byte since boot.
        from: u64,
    },
    /// Changes of state from that number on: `Reply::Happenings`.
    Events(u64),
    /// The audit ring from that sequence number on: `Reply::Audit`.
    Audit(u64),
    /// How the start went: `Reply::Boot`.
    Boot,
    /// Stops everything and the machine: `Reply::Ok`, then the end.
    Shutdown(Power),
    /// Stops everything that this one does not need, and starts it: `Reply::Ok`.
    Isolate(Name),
    /// `Reply::Ok`.
    Emergency(Emergency),
    /// The definition as loaded: `Reply::Unit`.
    Show(Name),
    /// Instances that take work for an endpoint or a service the caller may see: `Reply::Found`.
    Lookup(Name),
    /// What the supervisor was told since boot, to be told again elsewhere: `Reply::Replay`.
    Replay,
}

impl Request {
    /// The role that it needs.
    pub const fn role(&self) -> Role {
        match self {
            Self::List
            | Self::Status(_)
            | Self::Why(_)
            | Self::WhyStarted(_)
            | Self::Plan { .. }
            | Self::Deps { .. }
            | Self::Top
            | Self::Log { .. }
            | Self::Events(_)
            | Self::Audit(_)
            | Self::Boot
            | Self::Show(_)
            | Self::Lookup(_)
            | Self::Replay => Role::Observe,
            Self::Control { verb, .. } => verb.role(),
            Self::Scale { .. } | Self::Load { .. } | Self::Update(_) | Self::Rollback(_) => Role::Configure,
            Self::Shutdown(_) | Self::Isolate(_) | Self::Emergency(_) => Role::Emergency,
        }
    }
}

/// What can be done with one service.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Verb {
    /// Want it.
    Start,
    /// Do not want it.
    Stop,
    /// Stop and start, as one operation.
    Restart,
    /// Tell it to read its configuration again.
    Reload,
    /// Want it from boot on, and now.
    Enable,
    /// Do not want it at the next boot.
    Disable,
    /// Forget its failures.
    Reset,
    /// Keep it down, whoever needs it.
    Hold,
    /// Lift a hold.
    Unhold,
    /// Restart its instances one after the other.
    Roll,
    /// Let it stand still.
    Pause,
    /// Let it go on.
    Resume,
}

impl Verb {
    /// The role that it needs.
    pub const fn role(self) -> Role {
        match self {
            Self::Start
            | Self::Stop
            | Self::Restart
            | Self::Reload
            | Self::Reset
            | Self::Roll
            | Self::Pause
            | Self::Resume => Role::Operate,
            Self::Enable | Self::Disable | Self::Hold | Self::Unhold => Role::Configure,
        }
    }
}

/// Which way along the dependencies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Direction {
    /// What it needs.
    Needs,
    /// Who needs it.
    NeededBy,
}

/// What a load does with mistakes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum LoadMode {
    /// Sets the bad ones aside, says so, takes the rest.
    Boot,
    /// Takes all or nothing.
    Replace,
    /// Only says what is wrong.
    Check,
}

/// What follows when everything has stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Power {
    /// The machine goes off.
    Off,
    /// It starts again.
    Restart,
    /// It stands still.
    Halt,
}

/// Steps into and out of an emergency.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Emergency {
    /// Everything that is not kept in an emergency stops.
    Enter,
    /// Back to normal.
    Leave,
    /// Every cell is killed, and the machine starts again.
    KillAll,
}

choice!(Verb {
    0 => Start,
    1 => Stop,
    2 => Restart,
    3 => Reload,
    4 => Enable,
    5 => Disable,
    6 => Reset,
    7 => Hold,
    8 => Unhold,
    9 => Roll,
    10 => Pause,
    11 => Resume,
});
choice!(Direction { 0 => Needs, 1 => NeededBy });
choice!(LoadMode { 0 => Boot, 1 => Replace, 2 => Check });
choice!(Power { 0 => Off, 1 => Restart, 2 => Halt });
choice!(Emergency { 0 => Enter, 1 => Leave, 2 => KillAll });
message!(Request {
    0x01 => List,
    0x02 => Status(name),
    0x03 => Control { verb, name, mode },
    0x04 => Scale { name, count },
    0x05 => Why(name),
    0x06 => WhyStarted(name),
    0x07 => Plan { verb, name },
    0x08 => Deps { name, direction },
    0x09 => Load { mode, units },
    0x0a => Update(unit),
    0x0b => Rollback(number),
    0x0c => Top,
    0x0d => Log { name, from },
    0x0e => Events(from),
    0x0f => Audit(from),
    0x10 => Boot,
    0x11 => Shutdown(power),
    0x12 => Isolate(name),
    0x13 => Emergency(step),
    0x14 => Show(name),
    0x15 => Lookup(name),
    0x16 => Replay,
});
