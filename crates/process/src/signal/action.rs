//! What a process does about each signal.

use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;

use abi::linux::general as linux;
use abi::{KernelSigaction, SigSet, Signal};
use bitflags::bitflags;

bitflags! {
    /// `SA_` flags of sigaction(2). Unknown bits are kept out, as Linux does, so that programs can probe for them.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
    pub struct ActionFlags: u32 {
        /// SIGCHLD: not for stops.
        const NOCLDSTOP = linux::SA_NOCLDSTOP;
        /// SIGCHLD: children leave no zombie.
        const NOCLDWAIT = linux::SA_NOCLDWAIT;
        /// The handler takes three arguments. (It gets them anyway.)
        const SIGINFO = linux::SA_SIGINFO;
        /// Expose tag bits of fault addresses; none on x86-64.
        const EXPOSE_TAGBITS = linux::SA_EXPOSE_TAGBITS;
        /// `restorer` is valid.
        const RESTORER = linux::SA_RESTORER;
        /// Run on the alternate stack.
        const ONSTACK = linux::SA_ONSTACK;
        /// Restart interrupted calls.
        const RESTART = linux::SA_RESTART;
        /// Do not block the signal in its own handler.
        const NODEFER = linux::SA_NODEFER;
        /// Back to the default action before the handler runs.
        const RESETHAND = linux::SA_RESETHAND;
    }
}

/// One signal's action, as `rt_sigaction` sets it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Action {
    /// Address of the handler; 0 is the default action, 1 ignores.
    pub handler: u64,
    /// Flags.
    pub flags: ActionFlags,
    /// Where the handler returns to.
    pub restorer: u64,
    /// Blocked while the handler runs, besides the signal itself.
    pub mask: SigSet,
}

impl Action {
    /// `SIG_DFL`.
    pub const DEFAULT: Self = Self { handler: 0, flags: ActionFlags::empty(), restorer: 0, mask: SigSet::EMPTY };
    /// `SIG_IGN`.
    pub const IGNORE: Self = Self { handler: 1, ..Self::DEFAULT };

    /// Whether it is `SIG_DFL`.
    pub const fn is_default(&self) -> bool {
        self.handler == 0
    }

    /// Whether it is `SIG_IGN`.
    pub const fn is_ignore(&self) -> bool {
        self.handler == 1
    }

    /// Whether it runs a handler.
    pub const fn is_caught(&self) -> bool {
        self.handler > 1
    }

    /// Whether `signal` does nothing if it is delivered with this action.
    pub const fn ignores(&self, signal: Signal) -> bool {
        self.is_ignore()
            || self.is_default() && matches!(default_action(signal), DefaultAction::Ignore | DefaultAction::Continue)
    }
}

impl From<KernelSigaction> for Action {
    fn from(raw: KernelSigaction) -> Self {
        Self {
            handler: raw.handler,
            flags: ActionFlags::from_bits_truncate(raw.flags as u32),
            restorer: raw.restorer,
            mask: SigSet(raw.mask).difference(SigSet::UNBLOCKABLE),
        }
    }
}

impl From<Action> for KernelSigaction {
    fn from(action: Action) -> Self {
        Self {
            handler: action.handler,
            flags: u64::from(action.flags.bits()),
            restorer: action.restorer,
            mask: action.mask.0,
        }
    }
}

/// What happens without a handler (signal(7)).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DefaultAction {
    /// End the process.
    Terminate,
    /// End it with a core dump.
    Core,
    /// Nothing.
    Ignore,
    /// Stop it.
    Stop,
    /// Continue it if it is stopped, else nothing.
    Continue,
}

/// The default action of `signal`.
pub const fn default_action(signal: Signal) -> DefaultAction {
    match signal {
        Signal::QUIT | Signal::ILL | Signal::TRAP | Signal::ABRT | Signal::BUS | Signal::FPE | Signal::SEGV => {
            DefaultAction::Core
        }
        Signal::XCPU | Signal::XFSZ | Signal::SYS => DefaultAction::Core,
        Signal::CHLD | Signal::URG | Signal::WINCH => DefaultAction::Ignore,
        Signal::STOP | Signal::TSTP | Signal::TTIN | Signal::TTOU => DefaultAction::Stop,
        Signal::CONT => DefaultAction::Continue,
        _ => DefaultAction::Terminate,
    }
}

/// The actions for all 64 signals; only those that differ from the default take memory.
#[derive(Clone, Debug, Default)]
pub struct Dispositions {
    stored: SigSet,
    // Ascending by signal: the entry of a stored signal is at the number of stored signals below it. Forked processes share
    // them until one changes its own; none while all is default.
    actions: Option<Arc<Vec<Action>>>,
}

impl Dispositions {
    /// Everything default.
    pub const fn new() -> Self {
        Self { stored: SigSet::EMPTY, actions: None }
    }

    /// The action for `signal`.
    pub fn get(&self, signal: Signal) -> Action {
        if !self.stored.contains(signal) {
            return Action::DEFAULT;
        }
        let actions = self.actions.as_deref().map_or(&[][..], Vec::as_slice);
        actions.get(self.place(signal)).copied().unwrap_or(Action::DEFAULT)
    }

    /// Sets the action for `signal`; what it was. SIGKILL and SIGSTOP keep theirs: the caller refuses them (EINVAL).
    pub fn set(&mut self, signal: Signal, action: Action) -> Action {
        if signal.is_unblockable() {
            return self.get(signal);
        }
        let place = self.place(signal);
        let plain = action == Action::DEFAULT;
        let stored = self.stored.contains(signal);
        if plain && !stored {
            return Action::DEFAULT;
        }
        // At most 62 entries: a bounded allocation.
        let actions = Arc::make_mut(self.actions.get_or_insert_default());
        if !stored {
            actions.insert(place, action);
            self.stored = self.stored.with(signal);
            return Action::DEFAULT;
        }
        if plain {
            self.stored = self.stored.without(signal);
            return actions.remove(place);
        }
        actions.get_mut(place).map_or(action, |slot| core::mem::replace(slot, action))
    }

    /// Keeps what exec leaves of them: ignored signals stay ignored (without flags), all else is default.
    pub fn reset_for_exec(&mut self) {
        self.stored = self.ignored();
        let kept = self.stored.0.count_ones() as usize;
        self.actions = (kept != 0).then(|| Arc::new(vec![Action::IGNORE; kept]));
    }

    /// Handlers back to default, ignored ones stay (`CLONE_CLEAR_SIGHAND`).
    pub fn clear_handlers(&mut self) {
        for signal in members(self.stored) {
            if !self.get(signal).is_ignore() {
                self.set(signal, Action::DEFAULT);
            }
        }
    }

    /// Whether `signal` does nothing if it is delivered: ignored, or default with "ignore" as default action.
    pub fn ignores(&self, signal: Signal) -> bool {
        self.get(signal).ignores(signal)
    }

    /// Signals set to `SIG_IGN` (the `SigIgn` line of /proc/PID/status).
    pub fn ignored(&self) -> SigSet {
        members(self.stored).filter(|&s| self.get(s).is_ignore()).fold(SigSet::EMPTY, SigSet::with)
    }

    /// Signals with a handler (`SigCgt`).
    pub fn caught(&self) -> SigSet {
        members(self.stored).filter(|&s| self.get(s).is_caught()).fold(SigSet::EMPTY, SigSet::with)
    }

    /// Whether children leave no zombie: SIGCHLD ignored explicitly, or `SA_NOCLDWAIT`.
    pub fn reaps_children(&self) -> bool {
        let action = self.get(Signal::CHLD);
        action.is_ignore() || action.flags.contains(ActionFlags::NOCLDWAIT)
    }

    /// Whether SIGCHLD is wanted when a child stops or continues.
    pub fn reports_stops(&self) -> bool {
        !self.get(Signal::CHLD).flags.contains(ActionFlags::NOCLDSTOP)
    }

    fn place(&self, signal: Signal) -> usize {
        let below = (1_u64 << (signal.number() - 1)) - 1;
        (self.stored.0 & below).count_ones() as usize
    }
}

/// The members of `set`, lowest first.
pub(crate) fn members(set: SigSet) -> impl Iterator<Item = Signal> {
    let mut rest = set;
    core::iter::from_fn(move || {
        let signal = rest.first()?;
        rest = rest.without(signal);
        Some(signal)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn handler(address: u64) -> Action {
        Action { handler: address, ..Action::DEFAULT }
    }

    #[test]
    fn compact_table_agrees_with_an_array_of_64() {
        let mut table = Dispositions::new();
        let mut model = [Action::DEFAULT; 65];
        let mut seed = 0x9e37_79b9_u64;
        for _ in 0..10_000 {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let signal = Signal::new((seed >> 33) % 64 + 1).unwrap();
            let action = handler((seed >> 40) % 3 * 0x1000);
            table.set(signal, action);
            if !signal.is_unblockable() {
                model[usize::from(signal.number())] = action;
            }
            for number in 1..=64 {
                assert_eq!(table.get(Signal::new(number).unwrap()), model[number as usize]);
            }
        }
    }

    #[test]
    fn exec_keeps_ignored_signals_and_drops_handlers() {
        let mut table = Dispositions::new();
        table.set(Signal::INT, Action::IGNORE);
        table.set(Signal::TERM, handler(0x1000));
        table.set(Signal::CHLD, Action { flags: ActionFlags::NOCLDWAIT, ..Action::DEFAULT });
        assert!(table.reaps_children());
        let mut after = table.clone();
        after.reset_for_exec();
        assert!(after.get(Signal::INT).is_ignore());
        assert_eq!(after.get(Signal::TERM), Action::DEFAULT);
        assert!(!after.reaps_children());
        assert_eq!((after.ignored(), after.caught()), (SigSet::EMPTY.with(Signal::INT), SigSet::EMPTY));
    }

    #[test]
    fn kill_and_stop_keep_their_default_action() {
        let mut table = Dispositions::new();
        table.set(Signal::KILL, Action::IGNORE);
        table.set(Signal::STOP, handler(0x1000));
        assert_eq!(table.get(Signal::KILL), Action::DEFAULT);
        assert_eq!(table.get(Signal::STOP), Action::DEFAULT);
        assert_eq!(default_action(Signal::STOP), DefaultAction::Stop);
    }
}
