//! What happens between leaving user mode and going back: calls, faults, signals.

use abi::Signal;
use abi::linux::general as linux;
use alloc::boxed::Box;
use core::task::Poll;
use hal::{Exception, PageFault, Trap, UserContext};
use memory::{FaultKind, FaultOutcome};
use process::signal::frame::{self, FaultRecord};
use process::signal::{Caught, Delivery, Restart, SigInfo, StopTicket, finish_interrupted};
use process::{ExitStatus, filter};

use types::USER_END;

use crate::calls::{posix_timers, signal};
use crate::{
    Call, Caller, Registers, SysError, SysResult, Thread, Waiting, detour, dispatch, native, out_of_memory, own_limits,
};

/// Vector of a page fault.
const PAGE_FAULT: u64 = 14;

/// Whether the thread goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// Back to user mode.
    User,
    /// The thread ends.
    Exit,
    /// The process is stopped: [`parked`], and [`attend`] once more.
    Stopped,
    /// Its cell does not let it go on: [`held`](crate::held), and [`attend`] once more.
    Held,
}

/// What must follow a served trap.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Served {
    /// Nothing: back to user mode.
    Done,
    /// [`attend`]: there is a signal, or an interrupted call to decide about.
    Attend,
    /// The thread has called exit(2).
    Exit(ExitStatus),
}

/// A trap that has been looked at; [`served`] takes what it comes to.
pub enum Serving<'a> {
    /// A call that is over.
    Answered(SysResult),
    /// Anything else that is over.
    Settled,
    /// A call that has to wait, or may have to.
    Call(Waiting<'a>),
    /// A fault for which memory has to be found first; what this answers means nothing.
    Fault(Waiting<'a>),
}

/// Serves the reason for which user mode ended, as far as it need not wait.
#[inline(never)]
pub fn serve<'a>(caller: Caller<'a>, registers: &'a mut Registers<'_>, trap: Trap) -> Serving<'a> {
    match trap {
        Trap::Syscall if caller.thread.is_detoured() => Serving::Call(Box::pin(detour::call(caller, registers))),
        Trap::Syscall => match dispatch::begin(caller, registers) {
            Call::Done(result) => Serving::Answered(result),
            Call::Waits(waiting) => Serving::Call(waiting),
            Call::AwaitsChild(release) => Serving::Call(Box::pin(release)),
        },
        Trap::NativeCall => Serving::Call(Box::pin(native_call(caller, registers))),
        Trap::PageFault(fault) => match page_fault(caller, &fault) {
            Settled::ShortOfMemory => Serving::Fault(Box::pin(async move {
                out_of_memory::make_room(caller, fault).await;
                Ok(0)
            })),
            Settled::Yes => Serving::Settled,
        },
        Trap::Exception(exception) => {
            self::exception(caller, registers, &exception);
            Serving::Settled
        }
        Trap::Interrupt { .. } => Serving::Settled,
    }
}

/// What must follow a trap; with the result of the call, if it was one.
pub fn served(caller: Caller<'_>, registers: &mut Registers<'_>, result: Option<SysResult>) -> Served {
    let interrupted = matches!(result, Some(Err(SysError::Restart(_))));
    if let Some(result) = result {
        registers.context.rax = return_value(result);
    }
    if let Some(status) = registers.exit.take() {
        return Served::Exit(status);
    }
    if interrupted || caller.thread.signals().needs_attention() { Served::Attend } else { Served::Done }
}

async fn native_call(caller: Caller<'_>, registers: &mut Registers<'_>) -> SysResult {
    if caller.thread.is_filtered()
        && let Some(result) = detour::refuse(caller, registers, filter::ARCH_I386, registers.context.rax)
    {
        return result;
    }
    native::dispatch(caller, registers).await
}

/// Serves rt_sigreturn(2), which never waits, without the ceremony of the others.
pub fn sigreturn(caller: Caller<'_>, registers: &mut Registers<'_>) {
    registers.context.rax = return_value(signal::sys_rt_sigreturn(caller, registers));
}

/// Delivers signals, begins stops and ends: all that must happen before user mode.
pub fn attend(caller: Caller<'_>, registers: &mut Registers<'_>) -> Next {
    loop {
        let Some(delivery) = caller.process.signals().next_deliverable(caller.thread.signals()) else {
            finish_interrupted(registers.context, None);
            return if caller.may_return() { Next::User } else { Next::Held };
        };
        match delivery {
            Delivery::Handler(mut caught) => {
                caught.info = posix_timers::taken(caller, caught.info);
                finish_interrupted(registers.context, Some(caught.action.flags));
                caller.thread.charge_signal();
                enter_handler(caller, registers, &caught);
            }
            Delivery::Terminate { info, core } => {
                // No dump is written; the parent is told as Linux would, which writes none where the limit forbids it.
                let core = core && caller.process.limit(process::Resource::Core) != 0;
                let status = ExitStatus::Signaled { signal: info.signal, core };
                caller.system.run(caller.system.processes.begin_group_exit(caller.process, status));
                return Next::Exit;
            }
            Delivery::StopRequested(ticket) => stop(caller, ticket),
            Delivery::Stop { report } => {
                if let Some(signal) = report {
                    caller.system.run(caller.system.processes.report_stopped(caller.process, signal));
                }
                return Next::Stopped;
            }
            Delivery::Exit => return Next::Exit,
        }
    }
}

/// The register form of a result.
pub fn return_value(result: Result<u64, SysError>) -> u64 {
    match result {
        Ok(value) => value,
        Err(SysError::Errno(errno)) => errno.to_return_value() as u64,
        Err(SysError::Restart(restart)) => restart.mark(),
    }
}

/// Waits until the process is continued or killed.
pub fn parked(thread: &Thread) -> impl Future<Output = ()> {
    core::future::poll_fn(|_| {
        // Whoever ends the stop kicks the task.
        if thread.signals().is_stopped() { Poll::Pending } else { Poll::Ready(()) }
    })
}

/// Stops the process, unless the signal came from a terminal nobody could continue it from.
fn stop(caller: Caller<'_>, ticket: StopTicket) {
    if ticket.signal != Signal::STOP && caller.system.processes.group_is_orphaned(caller.process.pgid()) {
        return;
    }
    let kick = caller.process.signals().begin_stop(caller.thread.signals(), ticket);
    caller.kick_own(kick);
}

fn enter_handler(caller: Caller<'_>, registers: &mut Registers<'_>, caught: &Caught) {
    let entered = write_frame(caller, registers, caught);
    let signals = caller.process.signals();
    match entered {
        Some(()) => {
            let kick = signals.handler_entered(caller.thread.signals(), caught);
            caller.kick_own(kick);
        }
        None => {
            let effect = signals.force_bad_frame(caller.thread.signals(), caught.info.signal);
            caller.after_send(effect);
        }
    }
}

fn write_frame(caller: Caller<'_>, registers: &mut Registers<'_>, caught: &Caught) -> Option<()> {
    let layout = caller.system.platform.fp_layout();
    let trapno = registers.context.vector;
    // What is mapped in the kernel's half is nobody's business: a fault there always says that a page was present.
    let hidden = trapno == PAGE_FAULT && caught.info.address() >= USER_END;
    let fault = FaultRecord {
        trapno,
        error_code: registers.context.error_code | u64::from(hidden),
        address: caught.info.address(),
    };
    let altstack = caller.thread.signals().altstack();
    let built = frame::build(registers.context, caught, &altstack, &fault, &layout).ok()?;
    let memory = caller.memory();
    let written = registers.fpu.save_to(&mut |image| {
        frame::seal_fp(&layout, image);
        memory.write_bytes(built.fp_address, image).is_ok()
    });
    if !written {
        return None;
    }
    if let Some(tail) = layout.tail() {
        memory.write_bytes(built.fp_address + layout.size as u64, &tail).ok()?;
    }
    memory.write_bytes(built.address, &built.bytes).ok()?;
    built.enter(registers.context);
    Some(())
}

/// What a page fault came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Settled {
    /// The program goes on, or finds a signal.
    Yes,
    /// No frame is left.
    ShortOfMemory,
}

/// A page fault of the program: settled, or a signal.
fn page_fault(caller: Caller<'_>, fault: &PageFault) -> Settled {
    let info = match caller.space.fault(fault) {
        FaultOutcome::Resolved(kind) => {
            charge_fault(caller, kind);
            return Settled::Yes;
        }
        FaultOutcome::NoMapping if caller.process.is_limited() && own_limits::stack_limit(caller, fault.address) => {
            return Settled::Yes;
        }
        FaultOutcome::Limit if own_limits::memory_limit(caller) => return Settled::Yes,
        FaultOutcome::Limit => SigInfo::fault(Signal::BUS, linux::BUS_ADRERR as i32, fault.address),
        FaultOutcome::NoMapping => SigInfo::fault(Signal::SEGV, linux::SEGV_MAPERR as i32, fault.address),
        FaultOutcome::Access => SigInfo::fault(Signal::SEGV, linux::SEGV_ACCERR as i32, fault.address),
        FaultOutcome::Bus => SigInfo::fault(Signal::BUS, linux::BUS_ADRERR as i32, fault.address),
        FaultOutcome::OutOfMemory => return Settled::ShortOfMemory,
    };
    force(caller, info);
    Settled::Yes
}

/// Counts a fault that memory management settled.
pub fn charge_fault(caller: Caller<'_>, kind: FaultKind) {
    caller.thread.charge_fault(match kind {
        FaultKind::Minor => process::FaultKind::Minor,
        FaultKind::Major => process::FaultKind::Major,
    });
}

/// Any other exception of the program: always a signal (Intel SDM vol. 3, 6.15; Linux's choice of signal and code).
fn exception(caller: Caller<'_>, registers: &mut Registers<'_>, exception: &Exception) {
    let rip = registers.context.rip;
    let info = match exception.vector {
        0 => SigInfo::fault(Signal::FPE, linux::FPE_INTDIV as i32, rip),
        1 => SigInfo::fault(Signal::TRAP, linux::TRAP_TRACE as i32, rip),
        3 => SigInfo::kernel(Signal::TRAP),
        6 => SigInfo::fault(Signal::ILL, linux::ILL_ILLOPN as i32, rip),
        11 | 12 => SigInfo::kernel(Signal::BUS),
        16 | 19 => SigInfo::fault(Signal::FPE, floating_point_code(registers, exception.vector), rip),
        17 => SigInfo::fault(Signal::BUS, linux::BUS_ADRALN as i32, 0),
        // 4 overflow, 5 bounds, 10 invalid TSS, 13 general protection, and what no program should be able to cause.
        _ => SigInfo::kernel(Signal::SEGV),
    };
    force(caller, info);
}

/// Which floating-point error it was: from the unmasked flags of the x87 status word or MXCSR.
fn floating_point_code(registers: &mut Registers<'_>, vector: u8) -> i32 {
    let mut head = [0; 32];
    registers.fpu.save_to(&mut |image| {
        head.copy_from_slice(image.get(..32).unwrap_or(&[0; 32]));
        true
    });
    let word = |at: usize| {
        head.get(at..at + 4)
            .map_or(0, |bytes| bytes.iter().rev().fold(0_u32, |value, byte| value << 8 | u32::from(*byte)))
    };
    let raised = if vector == 16 {
        let (control, status) = (word(0) & 0xffff, word(0) >> 16);
        status & !control & 0x3f
    } else {
        let mxcsr = word(24);
        mxcsr & !(mxcsr >> 7) & 0x3f
    };
    (if raised & 1 != 0 {
        linux::FPE_FLTINV
    } else if raised & 4 != 0 {
        linux::FPE_FLTDIV
    } else if raised & 8 != 0 {
        linux::FPE_FLTOVF
    } else if raised & 0x12 != 0 {
        linux::FPE_FLTUND
    } else {
        linux::FPE_FLTRES
    }) as i32
}

/// Sends the caller a signal that it cannot put off.
pub(crate) fn force(caller: Caller<'_>, info: SigInfo) {
    let signals = caller.process.signals();
    let own = caller.thread.signals();
    let effect = if info.signal == Signal::KILL { signals.force_fatal(own, info) } else { signals.force(own, info) };
    caller.after_send(effect);
}

/// Whether a call ended because a signal came, and what becomes of it is not decided yet.
pub fn was_interrupted(context: &UserContext) -> bool {
    Restart::of(context).is_some()
}
