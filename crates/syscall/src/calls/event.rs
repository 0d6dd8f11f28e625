//! Events behind descriptors: eventfd, timerfd, signalfd.

use alloc::sync::{Arc, Weak};
use alloc::task::Wake;
use core::task::Waker;

use abi::linux::general as linux;
use abi::{Errno, Itimerspec, SigSet};
use process::signal::SigInfo;
use sync::{Moment, Rank, SpinLock, TimerToken, WaitQueue};
use types::Nanos;
use vfs::eventfd::{EventFd, EventFdMode};
use vfs::signalfd::{SignalFd, SignalRecord, SignalSource};
use vfs::timerfd::{OnSet, TimerBase, TimerClock, TimerFd, TimerSetting};

use crate::clock::{nanos, timespec};
use crate::{Caller, OpenFile, Process, SysResult, System, Thread};

pub(crate) fn sys_eventfd2(caller: Caller<'_>, initial: u64, flags: u64) -> SysResult {
    let flags = flags as u32;
    if flags & !(linux::EFD_SEMAPHORE | linux::EFD_CLOEXEC | linux::EFD_NONBLOCK) != 0 {
        return Err(Errno::EINVAL.into());
    }
    let mode = if flags & linux::EFD_SEMAPHORE != 0 { EventFdMode::Semaphore } else { EventFdMode::Counter };
    let file = OpenFile::anonymous(EventFd::new(initial as u32, mode), linux::O_RDWR | flags & linux::EFD_NONBLOCK);
    caller.install(file, flags & linux::EFD_CLOEXEC)
}

/// Which clock a timer runs by.
#[derive(Clone, Copy, PartialEq, Eq)]
enum ClockKind {
    Monotonic,
    Real,
}

/// The clock of one timer, and its place among the system's timers.
struct Driver {
    system: &'static System,
    kind: ClockKind,
    // Rank::INODE; never held while the queue of timers is used.
    token: SpinLock<Option<TimerToken>>,
}

impl TimerClock for Driver {
    fn now(&self, base: TimerBase) -> Nanos {
        match (self.kind, base) {
            (ClockKind::Real, TimerBase::Absolute) => {
                Nanos(u64::try_from(self.system.wall_clock.now_ns()).unwrap_or(0))
            }
            // A span of real time does not change when the clock is set.
            _ => self.system.platform.now(),
        }
    }

    fn arm(&self, timer: &Weak<TimerFd>, deadline: Option<(Nanos, TimerBase)>) {
        let token = deadline.map(|(deadline, base)| {
            let moment = match (self.kind, base) {
                (ClockKind::Real, TimerBase::Absolute) => Moment::real(deadline),
                _ => Moment::monotonic(deadline),
            };
            self.system.wake_at(moment, Waker::from(Arc::new(Expiry(timer.clone()))))
        });
        let old = core::mem::replace(&mut *self.token.lock(), token);
        if let Some(old) = old {
            self.system.timers.remove(old);
        }
    }

    fn watch(&self, timer: &Weak<TimerFd>) -> vfs::Result<()> {
        match self.kind {
            ClockKind::Monotonic => Ok(()),
            ClockKind::Real => self.system.wall_clock.watch(timer.clone()),
        }
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        if let Some(token) = self.token.get_mut().take() {
            self.system.timers.remove(token);
        }
    }
}

/// Tells a timer that its time has come.
struct Expiry(Weak<TimerFd>);

impl Wake for Expiry {
    fn wake(self: Arc<Self>) {
        if let Some(timer) = self.0.upgrade() {
            timer.expire();
        }
    }
}

pub(crate) fn sys_timerfd_create(caller: Caller<'_>, clock: u64, flags: u64) -> SysResult {
    let flags = flags as u32;
    let kind = match clock as u32 {
        linux::CLOCK_MONOTONIC | linux::CLOCK_BOOTTIME | linux::CLOCK_BOOTTIME_ALARM => ClockKind::Monotonic,
        linux::CLOCK_REALTIME | linux::CLOCK_REALTIME_ALARM => ClockKind::Real,
        _ => return Err(Errno::EINVAL.into()),
    };
    if flags & !(linux::TFD_CLOEXEC | linux::TFD_NONBLOCK) != 0 {
        return Err(Errno::EINVAL.into());
    }
    let driver = Driver { system: caller.system, kind, token: SpinLock::new(Rank::INODE, None) };
    let file = OpenFile::anonymous(TimerFd::new(Arc::new(driver)), linux::O_RDWR | flags & linux::TFD_NONBLOCK);
    caller.install(file, flags & linux::TFD_CLOEXEC)
}

pub(crate) fn sys_timerfd_settime(caller: Caller<'_>, fd: u64, flags: u64, new: u64, old: u64) -> SysResult {
    let flags = flags as u32;
    let wanted: Itimerspec = caller.memory().read(new)?;
    if flags & !(linux::TFD_TIMER_ABSTIME | linux::TFD_TIMER_CANCEL_ON_SET) != 0 {
        return Err(Errno::EINVAL.into());
    }
    let setting = TimerSetting {
        value: nanos(wanted.it_value).ok_or(Errno::EINVAL)?,
        interval: nanos(wanted.it_interval).ok_or(Errno::EINVAL)?,
    };
    let file = caller.file(fd)?;
    let timer = file.downcast::<TimerFd>().ok_or(Errno::EINVAL)?;
    let base = if flags & linux::TFD_TIMER_ABSTIME != 0 { TimerBase::Absolute } else { TimerBase::Relative };
    let on_set = if flags & linux::TFD_TIMER_CANCEL_ON_SET != 0 { OnSet::Cancel } else { OnSet::GoOn };
    let before = timer.set(setting, base, on_set)?;
    caller.memory().write_opt(old, &itimerspec(before))?;
    Ok(0)
}

pub(crate) fn sys_timerfd_gettime(caller: Caller<'_>, fd: u64, out: u64) -> SysResult {
    let file = caller.file(fd)?;
    let timer = file.downcast::<TimerFd>().ok_or(Errno::EINVAL)?;
    caller.memory().write(out, &itimerspec(timer.get()))?;
    Ok(0)
}

fn itimerspec(setting: TimerSetting) -> Itimerspec {
    Itimerspec { it_interval: timespec(setting.interval), it_value: timespec(setting.value) }
}

/// Signals of whoever asks, as the asking thread sees them; where there is none, of the maker of the descriptor.
struct Pending {
    system: &'static System,
    process: Weak<Process>,
    thread: Weak<Thread>,
}

impl Pending {
    fn with<T>(&self, look: impl FnOnce(&Process, &Thread) -> T) -> Option<T> {
        if let Some(thread) = self.system.platform.current_thread() {
            return Some(look(thread.process(), &thread));
        }
        let process = self.process.upgrade()?;
        let thread = self.thread.upgrade().or_else(|| process.first_thread())?;
        Some(look(&process, &thread))
    }
}

impl SignalSource for Pending {
    fn take(&self, mask: SigSet) -> Option<SignalRecord> {
        self.with(|process, thread| {
            let info = process.signals().take(thread.signals(), mask)?;
            Some(record(&super::posix_timers::taken_from(self.system, process, info)))
        })
        .flatten()
    }

    fn is_pending(&self, mask: SigSet) -> bool {
        self.with(|process, thread| process.signals().has_pending(thread.signals(), mask)).unwrap_or(false)
    }

    fn queue(&self, visit: &mut dyn FnMut(&Arc<WaitQueue>)) {
        self.with(|process, _| visit(process.signals().arrivals()));
    }
}

fn record(info: &SigInfo) -> SignalRecord {
    let value = info.value();
    let (utime, stime) = info.times();
    let (band, fd) = info.band();
    let child = info.signal == abi::Signal::CHLD;
    let timer = info.code == process::signal::SI_TIMER;
    let fault = info.is_synchronous();
    let io = info.signal == abi::Signal::IO && info.code > 0;
    SignalRecord {
        signo: info.signal.number().into(),
        errno: 0,
        code: info.code,
        pid: if timer || fault || io { 0 } else { info.pid().0 },
        uid: if timer || fault || io { 0 } else { info.uid().0 },
        fd: if io { fd } else { 0 },
        tid: if timer { info.timer_id() as u32 } else { 0 },
        band: if io { band as u32 } else { 0 },
        overrun: if timer { info.overrun() as u32 } else { 0 },
        trapno: 0,
        status: if child { info.status() } else { 0 },
        int: if child || fault || io { 0 } else { value as i32 },
        ptr: if child || fault || io { 0 } else { value },
        utime: if child { utime as u64 } else { 0 },
        stime: if child { stime as u64 } else { 0 },
        addr: if fault { info.address() } else { 0 },
        addr_lsb: 0,
        pad2: 0,
        syscall: 0,
        call_addr: 0,
        arch: 0,
        pad: [0; 28],
    }
}

pub(crate) fn sys_signalfd4(caller: Caller<'_>, fd: u64, mask: u64, size: u64, flags: u64) -> SysResult {
    let flags = flags as u32;
    if size != 8 {
        return Err(Errno::EINVAL.into());
    }
    let mask = SigSet(caller.memory().read::<u64>(mask)?);
    if flags & !(linux::O_CLOEXEC | linux::O_NONBLOCK) != 0 {
        return Err(Errno::EINVAL.into());
    }
    if fd as i32 == -1 {
        let source = Pending {
            system: caller.system,
            process: Arc::downgrade(caller.process),
            thread: Arc::downgrade(caller.thread),
        };
        let file = SignalFd::new(mask, Arc::new(source));
        let file = OpenFile::anonymous(file, linux::O_RDWR | flags & linux::O_NONBLOCK);
        return caller.install(file, flags & linux::O_CLOEXEC);
    }
    let file = caller.file(fd)?;
    file.downcast::<SignalFd>().ok_or(Errno::EINVAL)?.set_mask(mask);
    Ok(u64::from(fd as u32))
}
