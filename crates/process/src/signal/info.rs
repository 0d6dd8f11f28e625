//! What a signal carries: the kernel's side of `siginfo_t`.

use abi::Signal;
use abi::linux::general as linux;
use types::{Pid, Uid};

/// Bytes of `siginfo_t`.
pub const SIGINFO_SIZE: usize = linux::SI_MAX_SIZE as usize;

/// `si_code` of `kill` (`SI_USER`).
pub const SI_USER: i32 = linux::SI_USER as i32;
/// `si_code` of the kernel itself (`SI_KERNEL`).
pub const SI_KERNEL: i32 = linux::SI_KERNEL as i32;
/// `si_code` of `sigqueue` (`SI_QUEUE`).
pub const SI_QUEUE: i32 = linux::SI_QUEUE;
/// `si_code` of a POSIX timer (`SI_TIMER`).
pub const SI_TIMER: i32 = linux::SI_TIMER;
/// `si_code` of `tkill` and `tgkill` (`SI_TKILL`).
pub const SI_TKILL: i32 = linux::SI_TKILL;

/// Where the union of `siginfo_t` starts, and how much of it any signal uses.
const UNION: usize = 16;
const USED: usize = 32;

/// A signal with its sender's details; encodes to the 128 bytes of `siginfo_t` (sigaction(2)).
///
/// The union is kept as the bytes user space will see, since `rt_sigqueueinfo` hands over any.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct SigInfo {
    /// Which signal (`si_signo`).
    pub signal: Signal,
    /// Why (`si_code`).
    pub code: i32,
    /// An errno, mostly zero (`si_errno`).
    pub errno: i32,
    body: [u8; USED],
}

impl SigInfo {
    /// A signal of that code without further details.
    pub const fn new(signal: Signal, code: i32) -> Self {
        Self { signal, code, errno: 0, body: [0; USED] }
    }

    /// From the kernel itself (`SI_KERNEL`).
    pub const fn kernel(signal: Signal) -> Self {
        Self::new(signal, SI_KERNEL)
    }

    /// From `kill` (`SI_USER`).
    #[must_use]
    pub fn user(signal: Signal, pid: Pid, uid: Uid) -> Self {
        Self::new(signal, SI_USER).with_sender(pid, uid)
    }

    /// From `tkill` or `tgkill` (`SI_TKILL`).
    #[must_use]
    pub fn tkill(signal: Signal, pid: Pid, uid: Uid) -> Self {
        Self::new(signal, SI_TKILL).with_sender(pid, uid)
    }

    /// From `sigqueue` with its value (`SI_QUEUE`).
    #[must_use]
    pub fn queue(signal: Signal, pid: Pid, uid: Uid, value: u64) -> Self {
        Self::new(signal, SI_QUEUE).with_sender(pid, uid).put(8, &value.to_le_bytes())
    }

    /// From a POSIX timer.
    #[must_use]
    pub fn timer(signal: Signal, timer: i32, overrun: i32, value: u64) -> Self {
        Self::new(signal, SI_TIMER)
            .put(0, &timer.to_le_bytes())
            .put(4, &overrun.to_le_bytes())
            .put(8, &value.to_le_bytes())
    }

    /// SIGCHLD: `code` is `CLD_EXITED` and the like, `status` the exit code or the signal; times in clock ticks.
    #[must_use]
    pub fn child(code: i32, pid: Pid, uid: Uid, status: i32, utime_ticks: i64, stime_ticks: i64) -> Self {
        Self::child_as(Signal::CHLD, code, pid, uid, status, utime_ticks, stime_ticks)
    }

    /// [`SigInfo::child`] for another exit signal (`clone`).
    #[must_use]
    pub fn child_as(signal: Signal, code: i32, pid: Pid, uid: Uid, status: i32, utime: i64, stime: i64) -> Self {
        Self::new(signal, code)
            .with_sender(pid, uid)
            .put(8, &status.to_le_bytes())
            .put(16, &utime.to_le_bytes())
            .put(24, &stime.to_le_bytes())
    }

    /// A fault of the program itself at `address` (`SEGV_MAPERR`, `FPE_INTDIV`, …).
    #[must_use]
    pub fn fault(signal: Signal, code: i32, address: u64) -> Self {
        Self::new(signal, code).put(0, &address.to_le_bytes())
    }

    /// I/O became possible on a descriptor (`POLL_IN`, …).
    #[must_use]
    pub fn poll(signal: Signal, code: i32, band: i64, fd: i32) -> Self {
        Self::new(signal, code).put(0, &band.to_le_bytes()).put(8, &fd.to_le_bytes())
    }

    /// A call filter refused a system call (SIGSYS, `SYS_SECCOMP` = 1).
    #[must_use]
    pub fn syscall(call_address: u64, number: i32, arch: u32, errno: i32) -> Self {
        let mut info = Self::new(Signal::SYS, 1).put(0, &call_address.to_le_bytes());
        info = info.put(8, &number.to_le_bytes()).put(12, &arch.to_le_bytes());
        info.errno = errno;
        info
    }

    /// The same details with `pid` and `uid` as sender.
    #[must_use]
    pub fn with_sender(self, pid: Pid, uid: Uid) -> Self {
        self.put(0, &pid.0.to_le_bytes()).put(4, &uid.0.to_le_bytes())
    }

    /// The same timer signal with another overrun count.
    #[must_use]
    pub fn with_overrun(self, overrun: i32) -> Self {
        self.put(4, &overrun.to_le_bytes())
    }

    /// Sender (`si_pid`), where the code has one.
    pub fn pid(&self) -> Pid {
        Pid(self.u32_at(0))
    }

    /// Sender's user (`si_uid`), where the code has one.
    pub fn uid(&self) -> Uid {
        Uid(self.u32_at(4))
    }

    /// Value of `sigqueue` or of a timer (`si_value`).
    pub fn value(&self) -> u64 {
        self.u64_at(8)
    }

    /// Exit code or signal of a child (`si_status`).
    pub fn status(&self) -> i32 {
        self.u32_at(8) as i32
    }

    /// Faulting address (`si_addr`).
    pub fn address(&self) -> u64 {
        self.u64_at(0)
    }

    /// Id of a POSIX timer (`si_timerid`).
    pub fn timer_id(&self) -> i32 {
        self.u32_at(0) as i32
    }

    /// Overruns of a POSIX timer (`si_overrun`).
    pub fn overrun(&self) -> i32 {
        self.u32_at(4) as i32
    }

    /// User and system time of a child in clock ticks (`si_utime`, `si_stime`).
    pub fn times(&self) -> (i64, i64) {
        (self.u64_at(16) as i64, self.u64_at(24) as i64)
    }

    /// Event band and descriptor (`si_band`, `si_fd`).
    pub fn band(&self) -> (i64, i32) {
        (self.u64_at(0) as i64, self.u32_at(8) as i32)
    }

    /// Whether the program itself caused it by its last instruction, so that it must be served first.
    pub fn is_synchronous(&self) -> bool {
        self.code > SI_USER && self.code != SI_KERNEL && super::SYNCHRONOUS.contains(self.signal)
    }

    /// Whether a user process made it with chosen details: such signals always count against `RLIMIT_SIGPENDING`.
    pub(crate) fn is_from_queue(&self) -> bool {
        self.code < SI_USER
    }

    /// The 128 bytes of `siginfo_t`.
    pub fn to_bytes(&self) -> [u8; SIGINFO_SIZE] {
        let mut bytes = [0; SIGINFO_SIZE];
        let (header, rest) = bytes.split_at_mut(UNION);
        let fields = [i32::from(self.signal.number()), self.errno, self.code];
        for (slot, field) in header.chunks_exact_mut(4).zip(fields) {
            slot.copy_from_slice(&field.to_le_bytes());
        }
        if let Some(body) = rest.get_mut(..USED) {
            body.copy_from_slice(&self.body);
        }
        bytes
    }

    /// What user space hands to `rt_sigqueueinfo`: code, errno and details from `bytes`, the number from the call.
    pub fn from_user(signal: Signal, bytes: &[u8; SIGINFO_SIZE]) -> Self {
        let mut info = Self::new(signal, 0);
        let (header, rest) = bytes.split_at(UNION);
        let mut fields = header.chunks_exact(4).map(|field| i32::from_le_bytes(read_array(field, 0)));
        let _number = fields.next();
        info.errno = fields.next().unwrap_or(0);
        info.code = fields.next().unwrap_or(0);
        info.body = read_array(rest, 0);
        info
    }

    fn put(mut self, at: usize, bytes: &[u8]) -> Self {
        if let Some(slot) = self.body.get_mut(at..at + bytes.len()) {
            slot.copy_from_slice(bytes);
        }
        self
    }

    fn u32_at(&self, at: usize) -> u32 {
        u32::from_le_bytes(read_array(&self.body, at))
    }

    fn u64_at(&self, at: usize) -> u64 {
        u64::from_le_bytes(read_array(&self.body, at))
    }
}

impl core::fmt::Debug for SigInfo {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "{:?} code {} pid {} value {:#x}", self.signal, self.code, self.pid(), self.value())
    }
}

/// `N` bytes of `bytes` from `at`; zeros where there are none.
pub(crate) fn read_array<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    let mut out = [0; N];
    if let Some(found) = at.checked_add(N).and_then(|end| bytes.get(at..end)) {
        out.copy_from_slice(found);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn details_survive_the_way_to_user_space_and_back() {
        let signal = Signal::new(40).unwrap();
        let info = SigInfo::queue(signal, Pid(7), Uid(8), 0x1122_3344_5566_7788);
        let back = SigInfo::from_user(signal, &info.to_bytes());
        assert_eq!(info, back);
        assert_eq!((back.pid(), back.uid(), back.value()), (Pid(7), Uid(8), 0x1122_3344_5566_7788));
    }

    #[test]
    fn only_faults_with_a_reason_are_synchronous() {
        assert!(SigInfo::fault(Signal::SEGV, 1, 0).is_synchronous());
        assert!(!SigInfo::user(Signal::SEGV, Pid(1), Uid(0)).is_synchronous());
        assert!(!SigInfo::child(1, Pid(1), Uid(0), 0, 0, 0).is_synchronous());
    }
}
