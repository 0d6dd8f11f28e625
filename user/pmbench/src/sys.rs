//! The system calls that are measured, each one instruction away.

use core::arch::{asm, global_asm, naked_asm};
use core::ffi::{CStr, c_char};

use core::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use crate::output::fail;

const READ: i64 = 0;
const WRITE: i64 = 1;
const MMAP: i64 = 9;
const MUNMAP: i64 = 11;
const RT_SIGACTION: i64 = 13;
const PIPE: i64 = 22;
const SCHED_YIELD: i64 = 24;
const MADVISE: i64 = 28;
const GETPID: i64 = 39;
const CLONE: i64 = 56;
const FORK: i64 = 57;
const EXECVE: i64 = 59;
const WAIT4: i64 = 61;
const KILL: i64 = 62;
const SYSINFO: i64 = 99;
const PRCTL: i64 = 157;
const REBOOT: i64 = 169;
const FUTEX: i64 = 202;
const CLOCK_GETTIME: i64 = 228;
const CLOCK_NANOSLEEP: i64 = 230;
const EXIT_GROUP: i64 = 231;

global_asm!(
    ".globl _start",
    "_start:",
    "xor %ebp, %ebp",
    "mov %rsp, %rdi",
    "and $-16, %rsp",
    "call start",
    "hlt",
    options(att_syntax)
);

#[inline(always)]
fn call(number: i64, a: i64, b: i64, c: i64) -> i64 {
    let result;
    // SAFETY: every call made here touches only memory that its arguments point to, which the callers below own.
    unsafe {
        asm!("syscall", inlateout("rax") number => result, in("rdi") a, in("rsi") b, in("rdx") c, out("rcx") _, out("r11") _);
    }
    result
}

#[inline(always)]
fn call6(number: i64, arguments: [i64; 6]) -> i64 {
    let [a, b, c, d, e, f] = arguments;
    let result;
    // SAFETY: as in `call`.
    unsafe {
        asm!("syscall", inlateout("rax") number => result, in("rdi") a, in("rsi") b, in("rdx") c, in("r10") d, in("r8") e, in("r9") f,
             out("rcx") _, out("r11") _);
    }
    result
}

#[inline(always)]
fn check(result: i64, what: &str) -> i64 {
    if result < 0 {
        fail(what, result);
    }
    result
}

/// The time-stamp counter, in order with what comes before.
#[inline(always)]
pub fn ticks() -> u64 {
    let (low, high): (u32, u32);
    // SAFETY: reads a counter.
    unsafe { asm!("lfence", "rdtsc", out("eax") low, out("edx") high, options(nomem, nostack)) };
    u64::from(high) << 32 | u64::from(low)
}

/// `getpid`, the cheapest call there is.
#[inline(always)]
pub fn getpid() -> i64 {
    call(GETPID, 0, 0, 0)
}

/// `sched_yield`.
#[inline(always)]
pub fn sched_yield() {
    call(SCHED_YIELD, 0, 0, 0);
}

/// `clock_gettime(CLOCK_MONOTONIC)`.
#[inline(always)]
pub fn clock_gettime() {
    let mut time = [0_i64; 2];
    call(CLOCK_GETTIME, 1, time.as_mut_ptr() as i64, 0);
}

/// CLOCK_MONOTONIC in nanoseconds.
#[inline(always)]
pub fn now() -> u64 {
    let mut time = [0_u64; 2];
    call(CLOCK_GETTIME, 1, time.as_mut_ptr() as i64, 0);
    time[0] * 1_000_000_000 + time[1]
}

/// Sleeps until [`now`] is at least `deadline`.
pub fn sleep_until(deadline: u64) {
    const TIMER_ABSTIME: i64 = 1;
    let time = [deadline / 1_000_000_000, deadline % 1_000_000_000];
    check(call6(CLOCK_NANOSLEEP, [1, TIMER_ABSTIME, time.as_ptr() as i64, 0, 0, 0]), "clock_nanosleep");
}

/// Timers of this process and its children come when they should, and are not gathered.
pub fn exact_timers() {
    const PR_SET_TIMERSLACK: i64 = 29;
    check(call(PRCTL, PR_SET_TIMERSLACK, 1, 0), "prctl");
}

/// Waits for the futex, unless it is not `seen` any more.
pub fn futex_wait(futex: &AtomicU32, seen: u32) {
    const EAGAIN: i64 = -11;
    match call6(FUTEX, [futex.as_ptr() as i64, 0, seen.into(), 0, 0, 0]) {
        0 | EAGAIN => {}
        error => fail("futex", error),
    }
}

/// Wakes one that waits for the futex.
pub fn futex_wake(futex: &AtomicU32) {
    check(call6(FUTEX, [futex.as_ptr() as i64, 1, 1, 0, 0, 0]), "futex");
}

/// Sleeps while a word that only this process uses is `seen`.
#[inline(always)]
pub fn futex_wait_private(word: &AtomicU32, seen: u32) {
    while word.load(Ordering::Relaxed) == seen {
        call6(FUTEX, [word.as_ptr() as i64, 128, seen.into(), 0, 0, 0]);
    }
}

/// Sets a word that only this process uses, and wakes one that sleeps on it.
#[inline(always)]
pub fn futex_wake_private(word: &AtomicU32, value: u32) {
    word.store(value, Ordering::Relaxed);
    call6(FUTEX, [word.as_ptr() as i64, 129, 1, 0, 0, 0]);
}

/// Makes this process, and those that it forks, one that a person waits for: the native call set_priority of MultiOS.
pub fn become_interactive() {
    const SET_PRIORITY: i64 = 0x10b;
    const NORMAL: i64 = 2;
    const INTERACTIVE: i64 = 1;
    let result: i64;
    // SAFETY: the call touches no memory.
    unsafe {
        asm!("int 0x80", inlateout("rax") SET_PRIORITY => result, in("rdi") getpid(), in("rsi") NORMAL, in("rdx") INTERACTIVE)
    };
    check(result, "set_priority");
}

/// `exit_group`.
pub fn exit(status: i32) -> ! {
    loop {
        call(EXIT_GROUP, i64::from(status), 0, 0);
    }
}

/// Writes all of `bytes`.
pub fn write(file: i32, bytes: &[u8]) {
    let mut at = 0;
    while at < bytes.len() {
        let count = call(WRITE, i64::from(file), bytes[at..].as_ptr() as i64, (bytes.len() - at) as i64);
        if count <= 0 {
            exit(98);
        }
        at += count as usize;
    }
}

/// A pipe: its reading and its writing end.
pub fn pipe() -> [i32; 2] {
    let mut ends = [0; 2];
    check(call(PIPE, ends.as_mut_ptr() as i64, 0, 0), "pipe");
    ends
}

/// Reads one byte.
#[inline(always)]
pub fn read_byte(file: i32) {
    let mut byte = 0_u8;
    let count = call(READ, i64::from(file), (&raw mut byte) as i64, 1);
    if count != 1 {
        fail("read", count);
    }
}

/// Writes one byte.
#[inline(always)]
pub fn write_byte(file: i32) {
    let byte = b'x';
    let count = call(WRITE, i64::from(file), (&raw const byte) as i64, 1);
    if count != 1 {
        fail("write", count);
    }
}

/// Reads a number that another process of ours wrote.
pub fn read_number(file: i32) -> u64 {
    let mut number = 0_u64;
    let count = call(READ, i64::from(file), (&raw mut number) as i64, 8);
    if count != 8 {
        fail("read", count);
    }
    number
}

/// `fork`; 0 in the child.
#[inline(always)]
pub fn fork() -> i64 {
    check(call(FORK, 0, 0, 0), "fork")
}

/// Waits for `child`, which must exit with 0.
#[inline(always)]
pub fn wait(child: i64) {
    let mut status = -1_i32;
    let reaped = call6(WAIT4, [child, (&raw mut status) as i64, 0, 0, 0, 0]);
    if reaped != child {
        fail("wait4", reaped);
    }
    if status != 0 {
        fail("status of a child", i64::from(status));
    }
}

/// Kills `child` and waits for it.
pub fn kill(child: i64) {
    check(call(KILL, child, 9, 0), "kill");
    let mut status = 0_i32;
    check(call6(WAIT4, [child, (&raw mut status) as i64, 0, 0, 0, 0]), "wait4");
}

/// Sends a signal to this process.
#[inline(always)]
pub fn signal_self(pid: i64, signal: i64) {
    check(call(KILL, pid, signal, 0), "kill");
}

/// `vfork`, whose child exits at once.
#[unsafe(naked)]
pub extern "C" fn vfork_exit() -> i64 {
    // The child shares the stack, so nothing but registers is used between the calls.
    naked_asm!(
        "mov $58, %eax",
        "syscall",
        "test %rax, %rax",
        "jz 1f",
        "ret",
        "1:",
        "xor %edi, %edi",
        "mov $231, %eax",
        "syscall",
        "hlt",
        options(att_syntax)
    )
}

#[unsafe(naked)]
extern "C" fn vfork_then_exec(path: *const u8, argv: *const *const u8, envp: *const *const u8) -> i64 {
    naked_asm!(
        "mov $58, %eax",
        "syscall",
        "test %rax, %rax",
        "jz 1f",
        "ret",
        "1:",
        "mov $59, %eax",
        "syscall",
        "mov $98, %edi",
        "mov $231, %eax",
        "syscall",
        "hlt",
        options(att_syntax)
    )
}

/// A thread that runs `body` on a stack of its own.
pub fn start_thread(stack: Mapping, body: extern "C" fn() -> !) {
    // CLONE_VM, FS, FILES, SIGHAND, THREAD and SYSVSEM.
    const FLAGS: i64 = 0x100 | 0x200 | 0x400 | 0x800 | 0x1_0000 | 0x4_0000;
    // SAFETY: the stack is the thread's alone, for ever.
    let top = unsafe { stack.start.add(stack.length) };
    check(clone_to(FLAGS, top, body), "clone");
}

#[unsafe(naked)]
extern "C" fn clone_to(flags: i64, stack: *mut u8, body: extern "C" fn() -> !) -> i64 {
    naked_asm!(
        "mov %rdx, %r9",
        "xor %edx, %edx",
        "xor %r10d, %r10d",
        "xor %r8d, %r8d",
        "mov ${clone}, %eax",
        "syscall",
        "test %rax, %rax",
        "jz 1f",
        "ret",
        "1:",
        "xor %ebp, %ebp",
        "call *%r9",
        "hlt",
        clone = const CLONE,
        options(att_syntax)
    )
}

const SELF: &CStr = c"/bin/pmbench";
const WORD: &CStr = c"x";

struct Pointers([*const u8; 3]);
// SAFETY: the strings pointed to are constant.
unsafe impl Sync for Pointers {}

static ARGV: Pointers = Pointers([SELF.as_ptr().cast(), WORD.as_ptr().cast(), core::ptr::null()]);
static ENVP: Pointers = Pointers([core::ptr::null(); 3]);

/// Becomes a program that exits at once.
pub fn exec() -> ! {
    call(EXECVE, SELF.as_ptr() as i64, ARGV.0.as_ptr() as i64, ENVP.0.as_ptr() as i64);
    exit(98)
}

/// `vfork`, whose child becomes a program that exits at once.
#[inline(always)]
pub fn vfork_exec() -> i64 {
    check(vfork_then_exec(SELF.as_ptr().cast(), ARGV.0.as_ptr(), ENVP.0.as_ptr()), "vfork")
}

/// Private anonymous memory, in small pages.
pub struct Mapping {
    start: *mut u8,
    length: usize,
}

impl Mapping {
    /// Maps `pages` of 4 KiB.
    #[inline(always)]
    pub fn new(pages: usize) -> Self {
        let length = pages * 4096;
        let start = check(call6(MMAP, [0, length as i64, 3, 0x22, -1, 0]), "mmap");
        Self { start: start as *mut u8, length }
    }

    /// Maps `pages` of 4 KiB that are shared with children.
    pub fn shared(pages: usize) -> Self {
        let length = pages * 4096;
        let start = check(call6(MMAP, [0, length as i64, 3, 0x21, -1, 0]), "mmap");
        Self { start: start as *mut u8, length }
    }

    /// Word `index` of it.
    pub fn word(&self, index: usize) -> &AtomicU64 {
        assert!(index < self.length / 8);
        // SAFETY: within the mapping, which is aligned, zero at first and lasts as long as this.
        unsafe { &*self.start.cast::<AtomicU64>().add(index) }
    }

    /// The first half of word 0.
    pub fn half_word(&self) -> &AtomicU32 {
        // SAFETY: as above; nobody uses the whole word at the same time.
        unsafe { &*self.start.cast::<AtomicU32>() }
    }

    /// Words of it, once no other process uses them any more.
    pub fn words(&mut self, from: usize, count: usize) -> &mut [u64] {
        assert!(from + count <= self.length / 8);
        // SAFETY: within the mapping, which is aligned, and the caller's alone.
        unsafe { core::slice::from_raw_parts_mut(self.start.cast::<u64>().add(from), count) }
    }

    /// Asks for small pages, as far as the kernel knows of others.
    pub fn small_pages(self) -> Self {
        call(MADVISE, self.start as i64, self.length as i64, 15);
        self
    }

    /// Writes a byte to each page.
    #[inline(always)]
    pub fn touch(&self, value: u8) {
        for offset in (0..self.length).step_by(4096) {
            // SAFETY: within the mapping.
            unsafe { self.start.add(offset).write_volatile(value) };
        }
    }

    /// Gives it back.
    #[inline(always)]
    pub fn unmap(self) {
        check(call(MUNMAP, self.start as i64, self.length as i64, 0), "munmap");
    }
}

/// Installs `handler` for `signal`.
#[inline(always)]
pub fn handle(signal: i64, handler: extern "C" fn(i32)) {
    const SA_RESTORER: u64 = 0x0400_0000;
    let action: [u64; 4] = [handler as *const () as u64, SA_RESTORER, restorer as *const () as u64, 0];
    check(call6(RT_SIGACTION, [signal, action.as_ptr() as i64, 0, 8, 0, 0]), "rt_sigaction");
}

#[unsafe(naked)]
extern "C" fn restorer() {
    naked_asm!("mov $15, %eax", "syscall", "hlt", options(att_syntax))
}

/// Bytes of memory that nobody uses.
pub fn free_memory() -> u64 {
    let mut info = [0_u64; 16];
    check(call(SYSINFO, info.as_mut_ptr() as i64, 0, 0), "sysinfo");
    let unit = info[13] & 0xffff_ffff;
    info[5] * unit.max(1)
}

/// Switches the machine off; only process 1 may.
pub fn power_off() -> ! {
    call6(REBOOT, [0xfee1_dead, 672_274_793, 0x4321_fedc, 0, 0, 0]);
    exit(97)
}

// The compiler calls these for copies of structures; there is no library to bring them.

/// Fills memory.
///
/// # Safety
/// `count` bytes at `to` must be writable.
#[unsafe(no_mangle)]
unsafe extern "C" fn memset(to: *mut u8, value: i32, count: usize) -> *mut u8 {
    // SAFETY: the caller gives writable memory; the direction flag is clear (ABI).
    unsafe { asm!("rep stosb", inout("rdi") to => _, inout("rcx") count => _, in("al") value as u8, options(nostack)) };
    to
}

/// Copies memory.
///
/// # Safety
/// `count` bytes must be readable at `from` and writable at `to`, without overlap.
#[unsafe(no_mangle)]
unsafe extern "C" fn memcpy(to: *mut u8, from: *const u8, count: usize) -> *mut u8 {
    // SAFETY: as the caller promises; the direction flag is clear (ABI).
    unsafe {
        asm!("rep movsb", inout("rdi") to => _, inout("rsi") from => _, inout("rcx") count => _, options(nostack))
    };
    to
}

/// Compares memory.
///
/// # Safety
/// `count` bytes must be readable at both places.
#[unsafe(no_mangle)]
unsafe extern "C" fn memcmp(left: *const u8, right: *const u8, count: usize) -> i32 {
    for at in 0..count {
        // SAFETY: within what the caller promises.
        let (a, b) = unsafe { (left.add(at).read_volatile(), right.add(at).read_volatile()) };
        if a != b {
            return i32::from(a) - i32::from(b);
        }
    }
    0
}

/// Compares memory for equality.
///
/// # Safety
/// As for `memcmp`.
#[unsafe(no_mangle)]
unsafe extern "C" fn bcmp(left: *const u8, right: *const u8, count: usize) -> i32 {
    // SAFETY: the same contract.
    unsafe { memcmp(left, right, count) }
}

/// The length of a C string.
///
/// # Safety
/// `text` must end with NUL.
#[unsafe(no_mangle)]
unsafe extern "C" fn strlen(text: *const c_char) -> usize {
    let mut length = 0;
    // SAFETY: not beyond the NUL.
    while unsafe { text.add(length).read_volatile() } != 0 {
        length += 1;
    }
    length
}
