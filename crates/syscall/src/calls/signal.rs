//! Signal state of the caller: actions, masks, alternate stack, waiting for signals, returning from handlers.

use abi::linux::general as linux;
use abi::{Errno, KernelSigaction, SigSet, SigaltStack, Signal};
use process::signal::frame::{self, SavedFrame};
use process::signal::{Action, AltStackError, MINSIGSTKSZ, Restart, SigInfo};

use crate::clock::nanos;
use crate::wait::{interruptible, until};
use crate::{Caller, Registers, SysError, SysResult};

/// Size of a signal set on x86-64; every call checks it.
const SET_SIZE: u64 = 8;

pub(crate) fn sys_rt_sigaction(caller: Caller<'_>, number: u64, new: u64, old: u64, size: u64) -> SysResult {
    check_size(size)?;
    let signal = signal(number)?;
    let wanted = if new == 0 { None } else { Some(caller.memory().read::<KernelSigaction>(new)?) };
    let signals = caller.process.signals();
    let previous = match wanted {
        Some(_) if signal.is_unblockable() => return Err(Errno::EINVAL.into()),
        Some(raw) => signals.set_action(signal, Action::from(raw)),
        None => signals.action(signal),
    };
    caller.memory().write_opt(old, &KernelSigaction::from(previous))?;
    Ok(0)
}

pub(crate) fn sys_rt_sigprocmask(caller: Caller<'_>, how: u64, new: u64, old: u64, size: u64) -> SysResult {
    check_size(size)?;
    let current = caller.thread.signals().mask();
    if new != 0 {
        let given = SigSet(caller.memory().read::<u64>(new)?);
        let mask = match how as u32 {
            linux::SIG_BLOCK => current.union(given),
            linux::SIG_UNBLOCK => current.difference(given),
            linux::SIG_SETMASK => given,
            _ => return Err(Errno::EINVAL.into()),
        };
        caller.set_mask(mask);
    }
    caller.memory().write_opt(old, &current.0)?;
    Ok(0)
}

pub(crate) fn sys_rt_sigpending(caller: Caller<'_>, out: u64, size: u64) -> SysResult {
    if size > SET_SIZE {
        return Err(Errno::EINVAL.into());
    }
    let pending = caller.process.signals().pending_for(caller.thread.signals());
    let bytes = pending.0.to_le_bytes();
    caller.memory().write_bytes(out, bytes.get(..size as usize).unwrap_or_default())?;
    Ok(0)
}

pub(crate) async fn sys_rt_sigsuspend(caller: Caller<'_>, mask: u64, size: u64) -> SysResult {
    check_size(size)?;
    let mask = SigSet(caller.memory().read::<u64>(mask)?);
    caller.set_temporary_mask(mask);
    let _ = interruptible(caller.thread, core::future::pending::<()>()).await;
    Err(SysError::Restart(Restart::NoHand))
}

pub(crate) async fn sys_rt_sigtimedwait(
    caller: Caller<'_>,
    wanted: u64,
    info: u64,
    timeout: u64,
    size: u64,
) -> SysResult {
    check_size(size)?;
    let wanted = SigSet(caller.memory().read::<u64>(wanted)?).difference(SigSet::UNBLOCKABLE);
    let deadline = match timeout {
        0 => None,
        address => {
            let span = nanos(caller.memory().read(address)?).ok_or(Errno::EINVAL)?;
            Some(caller.system.platform.now() + span)
        }
    };
    let signals = caller.process.signals();
    let own = caller.thread.signals();
    // Whoever sends one of them kicks this thread's task: looking again at each poll is enough.
    let arrival = core::future::poll_fn(|_| match signals.take_or_wait(own, wanted) {
        Some(info) => core::task::Poll::Ready(info),
        None => core::task::Poll::Pending,
    });
    let outcome = until(caller.system, deadline, interruptible(caller.thread, arrival)).await;
    let kick = signals.end_wait(own);
    caller.kick_own(kick);
    match outcome {
        Some(Ok(taken)) => {
            let taken = super::posix_timers::taken(caller, taken);
            if info != 0 {
                caller.memory().write_bytes(info, &taken.to_bytes())?;
            }
            Ok(u64::from(taken.signal.number()))
        }
        // Never restarted (signal(7)).
        Some(Err(_)) => Err(Errno::EINTR.into()),
        None => Err(Errno::EAGAIN.into()),
    }
}

pub(crate) fn sys_sigaltstack(caller: Caller<'_>, rsp: u64, new: u64, old: u64) -> SysResult {
    let own = caller.thread.signals();
    let current = own.altstack().report(rsp);
    if new != 0 {
        let wanted = caller.memory().read::<SigaltStack>(new)?;
        let minimum = caller.system.platform.fp_layout().min_stack();
        set_altstack(caller, &wanted, rsp, minimum.max(MINSIGSTKSZ))?;
    }
    caller.memory().write_opt(old, &current)?;
    Ok(0)
}

fn set_altstack(caller: Caller<'_>, wanted: &SigaltStack, rsp: u64, minimum: u64) -> SysResult<()> {
    caller.thread.signals().set_altstack(wanted, rsp, minimum).map_err(|error| {
        SysError::Errno(match error {
            AltStackError::InUse => Errno::EPERM,
            AltStackError::BadFlags => Errno::EINVAL,
            AltStackError::TooSmall => Errno::ENOMEM,
        })
    })
}

/// Goes back to where a handler interrupted the program. A frame that cannot be taken back is SIGSEGV.
pub(crate) fn sys_rt_sigreturn(caller: Caller<'_>, registers: &mut Registers<'_>) -> SysResult {
    if restore_frame(caller, registers).is_none() {
        let effect = caller.process.signals().force_bad_frame(caller.thread.signals(), Signal::USR1);
        caller.after_send(effect);
    }
    // The result register is part of what was restored, and no call is to be restarted.
    registers.context.orig_rax = u64::MAX;
    Ok(registers.context.rax)
}

fn restore_frame(caller: Caller<'_>, registers: &mut Registers<'_>) -> Option<()> {
    let memory = caller.memory();
    let address = frame::frame_address(registers.context.rsp);
    let mut bytes = [0; frame::SAVED_SIZE];
    memory.read_bytes(address, &mut bytes).ok()?;
    let saved = SavedFrame::parse(&bytes, registers.context).ok()?;
    match saved.fp_address {
        None => registers.fpu.reset(),
        Some(at) => {
            let layout = caller.system.platform.fp_layout();
            let read = |offset: usize, out: &mut [u8]| {
                at.checked_add(offset as u64).is_some_and(|from| memory.read_bytes(from, out).is_ok())
            };
            if !registers.fpu.load_from(&mut |area| frame::read_fp(area, &layout, at, read).is_ok()) {
                return None;
            }
        }
    }
    *registers.context = saved.context;
    caller.set_mask(saved.mask);
    // Linux ignores what is wrong with the saved alternate stack.
    let _ = set_altstack(caller, &saved.altstack, registers.context.rsp, MINSIGSTKSZ);
    Some(())
}

/// The signal of that number.
pub(crate) fn signal(number: u64) -> SysResult<Signal> {
    Signal::new(u64::from(number as u32)).ok_or(SysError::Errno(Errno::EINVAL))
}

/// A signal or none: number 0 asks only whether it could be sent.
pub(crate) fn signal_or_probe(number: u64) -> SysResult<Option<Signal>> {
    if number as u32 == 0 { Ok(None) } else { signal(number).map(Some) }
}

/// Details of a signal that a program made up.
pub(crate) fn read_info(caller: Caller<'_>, signal: Signal, address: u64) -> SysResult<SigInfo> {
    let mut bytes = [0; process::signal::SIGINFO_SIZE];
    caller.memory().read_bytes(address, &mut bytes)?;
    Ok(SigInfo::from_user(signal, &bytes))
}

fn check_size(size: u64) -> SysResult<()> {
    if size == SET_SIZE { Ok(()) } else { Err(Errno::EINVAL.into()) }
}

impl Caller<'_> {
    /// Changes the caller's mask.
    pub(crate) fn set_mask(self, mask: SigSet) {
        let kick = self.process.signals().set_mask(self.thread.signals(), mask);
        self.kick_own(kick);
    }

    /// Puts `mask` in force for the length of a call.
    pub(crate) fn set_temporary_mask(self, mask: SigSet) {
        let kick = self.process.signals().set_temporary_mask(self.thread.signals(), mask);
        self.kick_own(kick);
    }
}
