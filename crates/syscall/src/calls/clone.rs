//! fork, vfork, clone, clone3.

use alloc::sync::Arc;
use core::pin::Pin;
use core::task::{Context, Poll};

use abi::linux::general as linux;
use abi::{CloneArgs, Errno, Wire};
use process::signal::Restart;
use process::{CloneCall, CloneFlags, CloneRequest, ProcessError};
use types::{Capabilities, USER_END};

use super::namespaces;
use crate::{Call, Caller, NewThread, Process, Registers, SysError, SysResult, VectorState};

/// A process or thread that has been made and runs.
pub(crate) struct Made {
    /// Its number.
    number: u32,
    /// The process that the caller has to wait for.
    vfork: Option<Arc<Process>>,
}

/// What all four calls come to.
struct Wanted {
    flags: CloneFlags,
    exit_signal: u64,
    /// Stack pointer of the child; 0 for the parent's.
    stack: u64,
    parent_tid: u64,
    child_tid: u64,
    pidfd: u64,
    tls: u64,
}

pub(crate) fn sys_fork(caller: Caller<'_>, registers: &mut Registers<'_>) -> SysResult<Made> {
    clone(caller, registers, CloneCall::Clone, Wanted::plain(CloneFlags::FORK))
}

pub(crate) fn sys_vfork(caller: Caller<'_>, registers: &mut Registers<'_>) -> SysResult<Made> {
    clone(caller, registers, CloneCall::Clone, Wanted::plain(CloneFlags::VFORK_CALL))
}

pub(crate) fn sys_clone(caller: Caller<'_>, registers: &mut Registers<'_>) -> SysResult<Made> {
    let [flags, stack, parent_tid, child_tid, tls, _] = registers.context.syscall_args();
    let exit_signal = flags & u64::from(linux::CSIGNAL);
    // The upper half is not part of clone's flags.
    let flags = CloneFlags::from_bits_truncate(flags & 0xffff_ff00);
    // clone(2) stores a pidfd where it would store the child's tid.
    let pidfd = if flags.contains(CloneFlags::PIDFD) { parent_tid } else { 0 };
    let wanted = Wanted { flags, exit_signal, stack, parent_tid, child_tid, pidfd, tls };
    clone(caller, registers, CloneCall::Clone, wanted)
}

pub(crate) fn sys_clone3(caller: Caller<'_>, registers: &mut Registers<'_>) -> SysResult<Made> {
    /// CLONE_ARGS_SIZE_VER0.
    const SMALLEST: u64 = 64;
    let [address, size, ..] = registers.context.syscall_args();
    if size < SMALLEST {
        return Err(Errno::EINVAL.into());
    }
    if size > types::PAGE_SIZE as u64 {
        return Err(Errno::E2BIG.into());
    }
    let args = read_clone_args(caller, address, size as usize)?;
    let flags = CloneFlags::from_bits(args.flags).ok_or(Errno::EINVAL)?;
    if args.flags & u64::from(linux::CSIGNAL) != 0 || (args.stack == 0) != (args.stack_size == 0) {
        return Err(Errno::EINVAL.into());
    }
    let stack = args.stack.checked_add(args.stack_size).filter(|top| *top <= USER_END).ok_or(Errno::EINVAL)?;
    if (args.set_tid == 0) != (args.set_tid_size == 0) {
        return Err(Errno::EINVAL.into());
    }
    if args.set_tid_size != 0 {
        // Choosing numbers is for checkpoint and restore, which is not offered.
        return Err(Errno::EPERM.into());
    }
    let wanted = Wanted {
        flags,
        exit_signal: args.exit_signal,
        stack,
        parent_tid: args.parent_tid,
        child_tid: args.child_tid,
        pidfd: args.pidfd,
        tls: args.tls,
    };
    clone(caller, registers, CloneCall::Clone3, wanted)
}

/// unshare(2): a table of descriptors, places or views of one's own.
pub(crate) fn sys_unshare(caller: Caller<'_>, flags: u64) -> SysResult {
    let flags = CloneFlags::from_bits_retain(flags);
    let alone = CloneFlags::THREAD.union(CloneFlags::SIGHAND).union(CloneFlags::VM);
    let known = alone.union(CloneFlags::FS).union(CloneFlags::FILES).union(CloneFlags::SYSVSEM);
    if !known.union(CloneFlags::NAMESPACES).contains(flags) {
        return Err(Errno::EINVAL.into());
    }
    // What threads share cannot be split off; a process of one thread shares nothing of it.
    let vm_shared = flags.contains(CloneFlags::VM) && caller.process.space_is_shared();
    if flags.intersects(alone) && (caller.process.thread_count() > 1 || vm_shared) {
        return Err(Errno::EINVAL.into());
    }
    if flags.intersects(CloneFlags::NAMESPACES) {
        // Refused before anything changes.
        if flags.intersects(CloneFlags::NEWUSER | CloneFlags::NEWNET | CloneFlags::NEWCGROUP) {
            return Err(Errno::EINVAL.into());
        }
        caller.require(Capabilities::SYS_ADMIN)?;
    }
    if flags.intersects(CloneFlags::FS | CloneFlags::NEWNS) {
        caller.thread.unshare_fs();
    }
    if flags.contains(CloneFlags::FILES) {
        caller.thread.unshare_files()?;
    }
    if flags.intersects(CloneFlags::NAMESPACES) {
        namespaces::unshare(caller, flags)?;
    }
    Ok(0)
}

impl Wanted {
    fn plain(flags: CloneFlags) -> Self {
        let exit_signal = u64::from(abi::Signal::CHLD.number());
        Self { flags, exit_signal, stack: 0, parent_tid: 0, child_tid: 0, pidfd: 0, tls: 0 }
    }
}

fn clone(caller: Caller<'_>, registers: &mut Registers<'_>, call: CloneCall, wanted: Wanted) -> SysResult<Made> {
    let flags = wanted.flags;
    let exit_signal = flags.validate(call, wanted.exit_signal)?;
    if flags.contains(CloneFlags::INTO_CGROUP) || flags.contains(CloneFlags::NEWIPC | CloneFlags::SYSVSEM) {
        return Err(Errno::EINVAL.into());
    }
    // Both are rare: nothing but two tests for everybody else.
    let split = if flags.intersects(CloneFlags::NAMESPACES) { Some(namespaces::split(caller, flags)?) } else { None };
    let elsewhere = caller.thread.has_children_elsewhere();
    if elsewhere && flags.contains(CloneFlags::THREAD) {
        return Err(Errno::EINVAL.into());
    }
    let pids = match &split {
        Some(split) => split.set.pids.clone(),
        None if elsewhere => caller.thread.namespaces().pids.clone(),
        None => None,
    };
    if flags.contains(CloneFlags::SETTLS) && wanted.tls >= USER_END {
        return Err(Errno::EPERM.into());
    }
    let space = if flags.contains(CloneFlags::VM) { caller.space.clone() } else { caller.space.fork()? };
    let request = CloneRequest {
        flags,
        exit_signal,
        space: space.clone(),
        namespaces: split.as_ref().map(|split| split.set.clone()),
        pids,
        clear_child_tid: if flags.contains(CloneFlags::CHILD_CLEARTID) { wanted.child_tid } else { 0 },
        now: caller.system.platform.now(),
    };
    let thread = match caller.system.processes.clone_thread(caller.thread, request) {
        Ok(thread) => thread,
        Err(ProcessError::Restart) => return Err(SysError::Restart(Restart::NoIntr)),
        Err(error) => return Err(error.into()),
    };
    let child = thread.process().clone();
    if let (Some(split), Some(places)) = (&split, thread.fs()) {
        split.relocate(&places);
    }
    // Each side gets the number that it knows the child by.
    let number = caller.process.shown(thread.tid().0);
    let own_number = child.shown(thread.tid().0);

    let memory = caller.memory();
    let prepare = || -> SysResult<()> {
        if flags.contains(CloneFlags::PIDFD) {
            let fd = super::pidfd::install(caller, &child)?;
            memory.write(wanted.pidfd, &fd)?;
        }
        Ok(())
    };
    if let Err(error) = prepare() {
        caller.system.run(caller.system.processes.abandon(&thread));
        return Err(error);
    }
    if flags.contains(CloneFlags::PARENT_SETTID) {
        // A bad address is the program's own loss, as on Linux.
        let _ = memory.write(wanted.parent_tid, &number);
    }
    if flags.contains(CloneFlags::CHILD_SETTID) {
        // In the child's memory, which may be a copy that is not active here.
        let _ = space.write(wanted.child_tid, &own_number.to_le_bytes());
    }
    if !flags.contains(CloneFlags::THREAD) {
        super::timers::watch_cpu_limit(caller.system, &child);
    }
    let (process, start) = (child.clone(), *registers.context);
    let mut new = NewThread { process, thread: thread.clone(), start, vector: VectorState::OfCaller };
    new.start.rax = 0;
    new.start.orig_rax = u64::MAX;
    if wanted.stack != 0 {
        new.start.rsp = wanted.stack;
    }
    if flags.contains(CloneFlags::SETTLS) {
        new.start.fs_base = wanted.tls;
    }
    if caller.system.platform.start_thread(new).is_err() {
        caller.system.run(caller.system.processes.abandon(&thread));
        return Err(Errno::ENOMEM.into());
    }
    Ok(Made { number, vfork: flags.contains(CloneFlags::VFORK).then_some(child) })
}

/// The end of all four calls: with `VFORK` a wait for the child.
pub(crate) fn finish(caller: Caller<'_>, made: SysResult<Made>) -> Call<'_> {
    match made {
        Ok(Made { number, vfork: Some(child) }) => Call::AwaitsChild(VforkRelease { caller, child, number }),
        Ok(Made { number, vfork: None }) => Call::Done(Ok(u64::from(number))),
        Err(error) => Call::Done(Err(error)),
    }
}

/// Sleeps until the child of a vfork has executed a program or ended. Only the end of the own process ends it early: a stop
/// or a handler has to wait, for the child runs on this thread's stack.
pub struct VforkRelease<'a> {
    caller: Caller<'a>,
    child: Arc<Process>,
    number: u32,
}

impl Future for VforkRelease<'_> {
    type Output = SysResult;

    fn poll(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<SysResult> {
        // Whoever releases or kills it kicks the task.
        let Caller { process, thread, .. } = self.caller;
        if self.child.vfork_released() || process.signals().is_fatally_hit(thread.signals()) {
            return Poll::Ready(Ok(u64::from(self.number)));
        }
        Poll::Pending
    }
}

fn read_clone_args(caller: Caller<'_>, address: u64, size: usize) -> SysResult<CloneArgs> {
    let mut bytes = [0; CloneArgs::SIZE];
    let known = size.min(bytes.len());
    caller.memory().read_bytes(address, bytes.get_mut(..known).unwrap_or_default())?;
    // What a newer program says beyond what we know must be zero.
    let mut at = known;
    while at < size {
        let byte: u8 = caller.memory().read(address + at as u64)?;
        if byte != 0 {
            return Err(Errno::E2BIG.into());
        }
        at += 1;
    }
    Ok(CloneArgs::from_bytes(&bytes))
}
