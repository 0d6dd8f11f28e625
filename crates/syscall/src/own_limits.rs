//! MultiOS's own limits, enforced at the moment they are crossed: by error, signal, delay or end, as their policy says.
//!
//! A process under none of them (the usual case) pays one look at a flag per call on files. Each crossing is counted in
//! the process and kept in a log, `/proc/multios/violations`.

use core::fmt::Write;
use core::future::Future;
use core::pin::Pin;
use core::task::Poll;

use abi::linux::general as linux;
use abi::{Errno, Signal};
use alloc::sync::Arc;
use hal::PageFault;
use memory::FaultOutcome;
use process::signal::{Restart, SigInfo};
use process::{LimitDecision, NAME_LEN, OwnResource, Resource};
use sync::{Rank, SpinLock};
use types::{Nanos, Pid};

use crate::wait::{Sleep, interruptible};
use crate::{Caller, Process, SysError, SysResult, System};

/// Crossings that are kept.
const KEPT: usize = 64;
/// Pages that a process under a limit with a signal for policy gets until the next signal: 256 KiB.
const PAGES_PER_SIGNAL: u64 = 64;

/// Which way bytes go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    /// To the program.
    Read,
    /// From it.
    Write,
}

/// The latest crossings.
pub struct ViolationLog {
    entries: SpinLock<([Option<Entry>; KEPT], usize)>,
}

#[derive(Clone, Copy)]
struct Entry {
    at: Nanos,
    pid: Pid,
    name: [u8; NAME_LEN],
    limit: Crossed,
    value: u64,
    decision: LimitDecision,
}

/// Which limit was crossed.
#[derive(Clone, Copy)]
enum Crossed {
    /// One of the process.
    Own(OwnResource),
    /// Its cell's share of the CPUs.
    CpuShare,
}

impl core::fmt::Display for Crossed {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Own(resource) => write!(f, "{resource:?}"),
            Self::CpuShare => f.write_str("CpuShare"),
        }
    }
}

impl Default for ViolationLog {
    fn default() -> Self {
        Self::new()
    }
}

impl ViolationLog {
    /// None.
    pub const fn new() -> Self {
        Self { entries: SpinLock::new(Rank::VIOLATIONS, ([None; KEPT], 0)) }
    }

    fn keep(&self, entry: Entry) {
        let mut entries = self.entries.lock();
        let (kept, next) = &mut *entries;
        if let Some(slot) = kept.get_mut(*next % KEPT) {
            *slot = Some(entry);
        }
        *next = next.wrapping_add(1);
    }

    /// One line per crossing, oldest first: time, process, name, resource, value that was asked for, what was done.
    ///
    /// # Errors
    /// Those of `out`.
    pub fn report(&self, out: &mut dyn Write) -> core::fmt::Result {
        let (kept, next) = *self.entries.lock();
        for at in 0..KEPT {
            let Some(Some(entry)) = kept.get((next + at) % KEPT) else { continue };
            let Entry { at, pid, name, limit, value, decision } = entry;
            let name = alloc::string::String::from_utf8_lossy(name);
            let name = name.trim_end_matches('\0').escape_default();
            let (seconds, micros) = (at.0 / 1_000_000_000, at.0 / 1000 % 1_000_000);
            writeln!(out, "{seconds}.{micros:06} {pid} {name} {limit} {value} {decision:?}")?;
        }
        Ok(())
    }
}

impl System {
    /// Records that `process` crosses its limit on `resource` with `value`, and does what `decision` says.
    ///
    /// # Errors
    /// EDQUOT where the operation is refused.
    pub(crate) fn crossed(
        &'static self,
        process: &Arc<Process>,
        resource: OwnResource,
        value: u64,
        decision: LimitDecision,
    ) -> SysResult<()> {
        process.violations().note(resource);
        let (at, pid, name) = (self.platform.now(), process.pid(), process.name());
        self.violations.keep(Entry { at, pid, name, limit: Crossed::Own(resource), value, decision });
        let send = |signal| self.run(self.processes.signal_process(process, SigInfo::kernel(signal)));
        match decision {
            LimitDecision::Allow | LimitDecision::Throttle(_) => Ok(()),
            LimitDecision::Fail => Err(Errno::EDQUOT.into()),
            LimitDecision::Signal(signal) => {
                send(signal);
                Ok(())
            }
            LimitDecision::FailAndSignal(signal) => {
                send(signal);
                Err(Errno::EDQUOT.into())
            }
            LimitDecision::Kill => {
                send(Signal::KILL);
                Err(Errno::EDQUOT.into())
            }
        }
    }
}

// ---- Bytes read and written

/// Whether call `number` moves bytes, and can be put off.
pub(crate) const fn moves_bytes(number: u32) -> bool {
    super::calls::io::is_transfer(number)
        || matches!(
            number,
            linux::__NR_sendto
                | linux::__NR_recvfrom
                | linux::__NR_sendmsg
                | linux::__NR_recvmsg
                | linux::__NR_sendmmsg
                | linux::__NR_recvmmsg
                | linux::__NR_sendfile
                | linux::__NR_splice
                | linux::__NR_tee
                | linux::__NR_copy_file_range
        )
}

impl Caller<'_> {
    /// Whether the bandwidth limit has something to say before more bytes are moved.
    pub(crate) fn owes_bandwidth(self) -> bool {
        self.process.bandwidth_debt(self.system.platform.now()) != LimitDecision::Allow
    }

    /// Waits until the bytes moved so far are paid for, or does what else the bandwidth limit asks for.
    pub(crate) async fn pay_bandwidth(self) -> SysResult<()> {
        loop {
            let now = self.system.platform.now();
            let decision = self.process.bandwidth_debt(now);
            if decision == LimitDecision::Allow {
                return Ok(());
            }
            self.system.crossed(self.process, OwnResource::Bandwidth, 0, decision)?;
            let LimitDecision::Throttle(wait) = decision else { return Ok(()) };
            if let Some(cell) = self.process.cell() {
                cell.note_io_delay(now, now + wait);
            }
            let sleep = Sleep::new(self.system, now + wait);
            interruptible(self.thread, sleep).await.map_err(|_| SysError::Restart(Restart::Sys))?;
        }
    }

    /// How many of `wanted` bytes may go that way: none are refused that the limit has room for.
    pub(crate) fn room(self, way: Way, wanted: u64) -> SysResult<u64> {
        if !self.process.is_limited() || wanted == 0 {
            return Ok(wanted);
        }
        let (resource, total) = self.moved(way);
        let limits = self.process.limits();
        let decision = limits.check_own(resource, total.saturating_add(wanted));
        if decision != LimitDecision::Fail {
            return Ok(wanted);
        }
        match limits.own(resource).value.saturating_sub(total) {
            0 => {
                self.system.crossed(self.process, resource, total.saturating_add(wanted), decision)?;
                Ok(0)
            }
            room => Ok(room),
        }
    }

    /// Whether all of `wanted` bytes may go that way, since they cannot be cut.
    pub(crate) fn room_for_all(self, way: Way, wanted: u64) -> SysResult<()> {
        if self.room(way, wanted)? == wanted {
            return Ok(());
        }
        let (resource, total) = self.moved(way);
        self.system.crossed(self.process, resource, total.saturating_add(wanted), LimitDecision::Fail)
    }

    /// Counts a call that moved so many bytes.
    #[inline]
    pub(crate) fn charge_io(self, way: Way, bytes: u64) {
        let total = match way {
            Way::Read => self.thread.charge_read(bytes),
            Way::Write => self.thread.charge_write(bytes),
        };
        if self.process.is_limited() {
            self.after_io(way, bytes, total);
        }
    }

    #[cold]
    fn after_io(self, way: Way, bytes: u64, total: u64) {
        self.process.spend_bandwidth(bytes, self.system.platform.now());
        let (resource, _) = self.moved(way);
        let limits = self.process.limits();
        let limit = limits.own(resource).value;
        // The call that crosses it, not those after.
        if total > limit && total - bytes <= limit {
            let _ = self.system.crossed(self.process, resource, total, limits.check_own(resource, total));
        }
    }

    fn moved(self, way: Way) -> (OwnResource, u64) {
        let used = self.process.usage();
        match way {
            Way::Read => (OwnResource::BytesRead, used.read_bytes.get()),
            Way::Write => (OwnResource::BytesWritten, used.write_bytes.get()),
        }
    }
}

// ---- Shares of the CPUs

/// Shortest time without a throttled moment before the next is recorded again.
const QUIET: Nanos = Nanos::from_secs(1);

/// Why a thread is kept from user mode.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kept {
    /// Its cell's share is used up until then.
    Until(Nanos),
    /// Its cell stands still.
    Frozen,
}

impl Caller<'_> {
    /// Whether the caller's cell lets it go back to user mode: if it asked to be asked.
    pub(crate) fn may_return(self) -> bool {
        !self.thread.signals().is_held() || self.kept().is_none()
    }

    #[cold]
    fn kept(self) -> Option<Kept> {
        // Forgotten first: what changes after the look is told again.
        self.thread.signals().release();
        let cell = self.process.cell()?;
        let kept = if cell.is_frozen() {
            Kept::Frozen
        } else {
            let now = self.system.platform.now();
            let share = cell.cpu_share()?;
            let until = share.exhausted(now)?;
            let throttled = share.throttled();
            if throttled.count() == 0 || now > throttled.until() + QUIET {
                let (pid, name) = (self.process.pid(), self.process.name());
                let (limit, value) = (Crossed::CpuShare, share.thousandths().into());
                let decision = LimitDecision::Throttle(until - now);
                self.system.violations.keep(Entry { at: now, pid, name, limit, value, decision });
            }
            if share.note_throttled(now, until) {
                cell.note_wait(now, until);
            }
            Kept::Until(until)
        };
        self.thread.signals().hold();
        Some(kept)
    }
}

/// Waits until the caller's cell lets it go back to user mode, or there is a signal to look at.
pub async fn held(caller: Caller<'_>) {
    let mut sleep: Option<Sleep> = None;
    core::future::poll_fn(|cx| {
        if caller.thread.signals().has_deliverable() {
            return Poll::Ready(());
        }
        // Whoever thaws the cell wakes the task.
        match caller.kept() {
            None => Poll::Ready(()),
            Some(Kept::Frozen) => {
                sleep = None;
                Poll::Pending
            }
            Some(Kept::Until(until)) => {
                let sleep = sleep.insert(Sleep::new(caller.system, until));
                Pin::new(sleep).poll(cx)
            }
        }
    })
    .await;
}

// ---- Processes

/// Whether call `number` may make a process.
pub(crate) const fn makes_process(number: u32) -> bool {
    matches!(number, linux::__NR_fork | linux::__NR_vfork | linux::__NR_clone | linux::__NR_clone3)
}

/// Asks the limits on children and their rate before such a call; waits if they say so.
pub(crate) async fn await_creation(caller: Caller<'_>, number: u32, args: [u64; 6]) -> SysResult<()> {
    let [first, ..] = args;
    let flags = match number {
        linux::__NR_clone => first,
        linux::__NR_clone3 => caller.memory().read(first)?,
        _ => 0,
    };
    if flags & u64::from(linux::CLONE_THREAD) != 0 {
        return Ok(());
    }
    loop {
        let now = caller.system.platform.now();
        let (decision, resource) = caller.system.processes.ask_creation(caller.process, now);
        if decision == LimitDecision::Allow {
            return Ok(());
        }
        caller.system.crossed(caller.process, resource, 1, decision)?;
        let LimitDecision::Throttle(wait) = decision else { return Ok(()) };
        let sleep = Sleep::new(caller.system, now + wait);
        interruptible(caller.thread, sleep).await.map_err(|_| SysError::Restart(Restart::NoIntr))?;
    }
}

// ---- Memory

/// A page fault at the limit on memory. Whether the access is to be tried again.
pub(crate) fn memory_limit(caller: Caller<'_>) -> bool {
    if let Some(cell) = caller.process.cell() {
        let quota = cell.memory();
        if quota.used() >= quota.limit() {
            crate::services::over_memory(caller.system, cell);
            return false;
        }
        if !caller.process.is_limited() {
            // Others have given some back meanwhile.
            return true;
        }
    }
    let limits = caller.process.limits();
    let own = |resource| limits.own(resource).value;
    let resource = if own(OwnResource::PeakMemory) < own(OwnResource::Memory) {
        OwnResource::PeakMemory
    } else {
        OwnResource::Memory
    };
    let value = (caller.space.resident_pages() + 1) * types::PAGE_SIZE as u64;
    let decision = limits.check_own(resource, value.max(own(resource).saturating_add(1)));
    let passes = caller.system.crossed(caller.process, resource, value, decision).is_ok();
    if passes {
        caller.space.lift_resident_limit(PAGES_PER_SIGNAL);
    }
    passes
}

/// A page fault of the kernel on the caller's memory that met the limit. Whether the copy is to go on.
pub fn memory_limit_in_copy(caller: Caller<'_>, fault: &PageFault) -> bool {
    caller.process.is_limited() && caller.space.fault(fault) == FaultOutcome::Limit && memory_limit(caller)
}

/// A page fault where nothing is mapped: whether the stack met its limit there, and the access is to be tried again.
pub(crate) fn stack_limit(caller: Caller<'_>, address: u64) -> bool {
    let limits = caller.process.limits();
    let limit = limits.own(OwnResource::StackUsed).value;
    let top = caller.process.image_ranges().stack_start;
    let Some(size) = top.checked_sub(address).filter(|size| *size <= limits.soft(Resource::Stack)) else {
        return false;
    };
    let decision = limits.check_own(OwnResource::StackUsed, size);
    if decision == LimitDecision::Allow {
        return false;
    }
    let passes = caller.system.crossed(caller.process, OwnResource::StackUsed, size.max(limit), decision).is_ok();
    if passes {
        let without = memory::SpaceLimits {
            stack: limits.soft(Resource::Stack),
            ..crate::calls::resource::space_limits(caller.process)
        };
        caller.space.set_limits(without);
    }
    passes
}

/// brk(2) under the limit on the heap: whether it may end at `end`.
pub(crate) fn heap_limit(caller: Caller<'_>, end: u64) -> bool {
    let size = end.saturating_sub(caller.space.brk_start());
    let decision = caller.process.limits().check_own(OwnResource::Heap, size);
    decision == LimitDecision::Allow || caller.system.crossed(caller.process, OwnResource::Heap, size, decision).is_ok()
}
