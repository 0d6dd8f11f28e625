//! What becomes of a system call that a signal interrupted.
//!
//! A call that ends early leaves one of four marks in `rax`, the numbers of Linux's internal errnos, which user space
//! never sees: before it returns to user mode the thread turns the mark into a restart or into `EINTR`.

use abi::Errno;
use hal::UserContext;

use super::ActionFlags;

/// Number of `restart_syscall`.
const RESTART_SYSCALL: u64 = abi::linux::general::__NR_restart_syscall as u64;
/// Bytes of `syscall` and of `int 0x80`.
const INSTRUCTION: u64 = 2;

/// How an interrupted call wants to go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Restart {
    /// Again, unless a handler without `SA_RESTART` runs (`ERESTARTSYS`): read, wait, futex without timeout, …
    Sys,
    /// Again in any case (`ERESTARTNOINTR`): fork, exec.
    NoIntr,
    /// Again, unless any handler runs (`ERESTARTNOHAND`): sigsuspend, pause, ppoll, select.
    NoHand,
    /// By `restart_syscall` with the time that is left, unless any handler runs (`ERESTART_RESTARTBLOCK`): nanosleep,
    /// poll, futex with timeout. The caller keeps what `restart_syscall` needs.
    Block,
}

impl Restart {
    const MARKS: [(Self, i64); 4] =
        [(Self::Sys, -512), (Self::NoIntr, -513), (Self::NoHand, -514), (Self::Block, -516)];

    /// The mark left in `rax`.
    pub fn mark(self) -> u64 {
        Self::MARKS.iter().find(|(restart, _)| *restart == self).map_or(0, |(_, mark)| *mark as u64)
    }

    /// The mark that an interrupted call left in `context`; none outside a call.
    pub fn of(context: &UserContext) -> Option<Self> {
        if context.orig_rax == u64::MAX {
            return None;
        }
        Self::MARKS.iter().find(|(_, mark)| *mark as u64 == context.rax).map(|(restart, _)| *restart)
    }
}

/// Turns the mark of an interrupted call, if there is one, into what user space is to see: before the frame of a handler
/// is built (`handler` its flags), or before the return to user mode if none ran (`None`).
pub fn finish_interrupted(context: &mut UserContext, handler: Option<ActionFlags>) {
    let Some(restart) = Restart::of(context) else { return };
    let interrupted = match (restart, handler) {
        (_, None) | (Restart::NoIntr, _) => false,
        (Restart::Sys, Some(flags)) => !flags.contains(ActionFlags::RESTART),
        (Restart::NoHand | Restart::Block, Some(_)) => true,
    };
    if interrupted {
        context.rax = -i64::from(Errno::EINTR.number()) as u64;
    } else {
        context.rax = if restart == Restart::Block { RESTART_SYSCALL } else { context.orig_rax };
        context.rip = context.rip.wrapping_sub(INSTRUCTION);
    }
    // Once is enough: a second signal finds no call to restart.
    context.orig_rax = u64::MAX;
}

#[cfg(test)]
mod tests {
    use super::*;

    fn interrupted(restart: Restart) -> UserContext {
        let mut context = UserContext::new(0x40_1002, 0x7000);
        context.orig_rax = 35;
        context.rax = restart.mark();
        context
    }

    fn outcome(restart: Restart, handler: Option<ActionFlags>) -> (i64, u64) {
        let mut context = interrupted(restart);
        finish_interrupted(&mut context, handler);
        assert_eq!(context.orig_rax, u64::MAX);
        (context.rax as i64, context.rip)
    }

    #[test]
    fn without_a_handler_every_call_goes_on() {
        for restart in [Restart::Sys, Restart::NoIntr, Restart::NoHand] {
            assert_eq!(outcome(restart, None), (35, 0x40_1000));
        }
        assert_eq!(outcome(Restart::Block, None), (219, 0x40_1000));
    }

    #[test]
    fn sa_restart_decides_for_ordinary_calls_only() {
        let plain = Some(ActionFlags::empty());
        let restarting = Some(ActionFlags::RESTART);
        assert_eq!(outcome(Restart::Sys, plain), (-4, 0x40_1002));
        assert_eq!(outcome(Restart::Sys, restarting), (35, 0x40_1000));
        assert_eq!(outcome(Restart::NoHand, restarting), (-4, 0x40_1002));
        assert_eq!(outcome(Restart::Block, restarting), (-4, 0x40_1002));
        assert_eq!(outcome(Restart::NoIntr, plain), (35, 0x40_1000));
    }

    #[test]
    fn a_finished_call_or_a_fault_is_left_alone() {
        let mut context = interrupted(Restart::Sys);
        context.rax = 7;
        let before = context;
        finish_interrupted(&mut context, None);
        assert_eq!(context, before);
        let mut fault = interrupted(Restart::Sys);
        fault.orig_rax = u64::MAX;
        let before = fault;
        finish_interrupted(&mut fault, None);
        assert_eq!(fault, before);
    }
}
