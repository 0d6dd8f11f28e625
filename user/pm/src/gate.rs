//! The native gate as functions: what a MultiOS-aware program calls. Numbers and layouts are `abi::native`.

use std::arch::asm;
use std::ffi::CString;

use abi::native::{
    self as number, NativeConfig, NativeLimit, NativeProcessEntry, NativeProcessInfo, NativeProcessStats,
};
use abi::{Wire, Zeroed};

/// Outcome of a call.
pub(crate) type Result<T> = std::result::Result<T, Errno>;

/// An error number; shown by its name.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Errno(pub(crate) i32);

impl Errno {
    /// Makes no sense.
    pub(crate) const EINVAL: Self = Self(abi::Errno::EINVAL.number());
}

impl std::fmt::Debug for Errno {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        use abi::Errno::*;
        let known = [
            EPERM,
            ENOENT,
            ESRCH,
            EINTR,
            EIO,
            E2BIG,
            ENOEXEC,
            EBADF,
            ECHILD,
            EAGAIN,
            ENOMEM,
            EACCES,
            EFAULT,
            EBUSY,
            EEXIST,
            EINVAL,
            ENAMETOOLONG,
            ENOSYS,
            ELOOP,
            EOPNOTSUPP,
            ETIMEDOUT,
            EDQUOT,
        ];
        match known.iter().find(|errno| errno.number() == self.0) {
            Some(errno) => f.write_str(errno.name()),
            None => write!(f, "errno {}", self.0),
        }
    }
}

/// One call, as it is.
pub(crate) fn raw(number: u64, args: [u64; 4]) -> i64 {
    let [a, b, c, d] = args;
    let result;
    // SAFETY: the gate changes no register but rax, and writes only where an argument of a call below points to; calls with
    // wild pointers are made by the checks, with addresses that no memory of this program has.
    unsafe {
        asm!("int 0x80", inlateout("rax") number as i64 => result, in("rdi") a, in("rsi") b, in("rdx") c, in("r10") d);
    }
    result
}

/// One call by Linux's gate; the fourth argument is 8, the size of a signal set.
pub(crate) fn linux(number: u64, args: [u64; 3]) -> i64 {
    let [a, b, c] = args;
    let result;
    // SAFETY: made with numbers alone, or with buffers of the caller that outlive the call.
    unsafe {
        asm!("syscall", inlateout("rax") number as i64 => result, in("rdi") a, in("rsi") b, in("rdx") c, in("r10") 8, out("rcx") _, out("r11") _);
    }
    result
}

/// The same with all six arguments.
pub(crate) fn linux6(number: u64, args: [u64; 6]) -> i64 {
    let [a, b, c, d, e, f] = args;
    let result;
    // SAFETY: as in `linux`; random calls are made by children that may come to harm, with buffers of their own.
    unsafe {
        asm!("syscall", inlateout("rax") number as i64 => result, in("rdi") a, in("rsi") b, in("rdx") c, in("r10") d, in("r8") e,
             in("r9") f, out("rcx") _, out("r11") _);
    }
    result
}

fn call(number: u64, args: [u64; 4]) -> Result<u64> {
    match raw(number, args) {
        error @ -4095..0 => Err(Errno(-error as i32)),
        value => Ok(value as u64),
    }
}

fn fill<T: Wire>(number: u64, args: [u64; 2]) -> Result<T> {
    let mut bytes = T::Bytes::zeroed();
    let address = bytes.as_mut().as_mut_ptr() as u64;
    let [a, b] = args;
    match b {
        u64::MAX => call(number, [a, address, 0, 0])?,
        b => call(number, [a, b, address, 0])?,
    };
    Ok(T::from_bytes(&bytes))
}

/// No second argument before the address.
const NONE: u64 = u64::MAX;

/// Ends this process.
pub(crate) fn exit(status: i32) -> ! {
    loop {
        raw(number::EXIT, [status as u64, 0, 0, 0]);
    }
}

/// Copies this process: the child's number, 0 in the child.
pub(crate) fn fork() -> Result<u32> {
    call(number::FORK, [0; 4]).map(|pid| pid as u32)
}

/// Waits for a child, any for 0: its number and wait status.
pub(crate) fn wait(pid: u32) -> Result<(u32, i32)> {
    call(number::WAIT, [u64::from(pid), 0, 0, 0]).map(|both| ((both >> 32) as u32, both as i32))
}

/// Executes a program in place of this one.
pub(crate) fn exec(path: &str, arguments: &[&str]) -> Errno {
    match with_vector(path, arguments, |path, vector| call(number::EXEC, [path, vector, 0, 0])) {
        Err(error) => error,
        Ok(_) => Errno::EINVAL,
    }
}

/// This process's number.
pub(crate) fn getpid() -> u32 {
    raw(number::GETPID, [0; 4]) as u32
}

/// Its parent's.
pub(crate) fn getppid() -> u32 {
    raw(number::GETPPID, [0; 4]) as u32
}

/// Makes a process without program; parent 0 is the caller.
pub(crate) fn create_process(parent: u32, name: &str, level: u64) -> Result<u32> {
    let name = CString::new(name).map_err(|_| Errno::EINVAL)?;
    call(number::CREATE_PROCESS, [u64::from(parent), name.as_ptr() as u64, level, 0]).map(|pid| pid as u32)
}

/// Gives a New process its program.
pub(crate) fn exec_process(pid: u32, path: &str, arguments: &[&str]) -> Result<()> {
    let exec = |path, vector| call(number::EXEC_PROCESS, [u64::from(pid), path, vector, 0]);
    with_vector(path, arguments, exec).map(drop)
}

/// Copies a New process.
pub(crate) fn fork_process(pid: u32) -> Result<u32> {
    call(number::FORK_PROCESS, [u64::from(pid), 0, 0, 0]).map(|pid| pid as u32)
}

/// A call with a process and one more argument, that answers nothing.
pub(crate) fn ask(number: u64, pid: u32, argument: u64) -> Result<()> {
    call(number, [u64::from(pid), argument, 0, 0]).map(drop)
}

/// Changes importance.
pub(crate) fn set_priority(pid: u32, level: u64, class: u64) -> Result<()> {
    call(number::SET_PRIORITY, [u64::from(pid), level, class, 0]).map(drop)
}

/// What there is to know of a process.
pub(crate) fn get_process_info(pid: u32) -> Result<NativeProcessInfo> {
    fill(number::GET_PROCESS_INFO, [u64::from(pid), NONE])
}

/// What it has used.
pub(crate) fn get_process_stats(pid: u32) -> Result<NativeProcessStats> {
    fill(number::GET_PROCESS_STATS, [u64::from(pid), NONE])
}

/// All processes.
pub(crate) fn list_processes() -> Result<Vec<NativeProcessEntry>> {
    let mut room = process_count() as usize + 16;
    loop {
        let mut bytes = vec![0; room * NativeProcessEntry::SIZE];
        let count = call(number::LIST_PROCESSES, [bytes.as_mut_ptr() as u64, room as u64, 0, 0])? as usize;
        if count <= room {
            let entries = bytes.chunks_exact(NativeProcessEntry::SIZE).take(count);
            return Ok(entries
                .filter_map(|entry| entry.try_into().ok())
                .map(|entry| NativeProcessEntry::from_bytes(&entry))
                .collect());
        }
        room = count + 16;
    }
}

/// How many there are.
pub(crate) fn process_count() -> u64 {
    raw(number::PROCESS_COUNT, [0; 4]) as u64
}

/// A process's parent; 0 for the first.
pub(crate) fn get_parent_pid(pid: u32) -> Result<u32> {
    call(number::GET_PARENT_PID, [u64::from(pid), 0, 0, 0]).map(|pid| pid as u32)
}

/// A limit and how often it was crossed.
pub(crate) fn get_limit(pid: u32, resource: u64) -> Result<NativeLimit> {
    fill(number::GET_LIMIT, [u64::from(pid), resource])
}

/// Sets a limit.
pub(crate) fn set_limit(pid: u32, resource: u64, value: u64, policy: u32, signal: u32) -> Result<()> {
    let limit = NativeLimit { value, policy, signal, violations: 0 }.to_bytes();
    call(number::SET_LIMIT, [u64::from(pid), resource, limit.as_ptr() as u64, 0]).map(drop)
}

/// Sizes and times of the process manager.
pub(crate) fn get_config() -> Result<NativeConfig> {
    let mut bytes = <NativeConfig as Wire>::Bytes::zeroed();
    call(number::GET_CONFIG, [bytes.as_mut_ptr() as u64, 0, 0, 0])?;
    Ok(NativeConfig::from_bytes(&bytes))
}

/// A service call.
pub(crate) fn service(number: u64, name: &str) -> Result<u64> {
    let name = CString::new(name).map_err(|_| Errno::EINVAL)?;
    call(number, [name.as_ptr() as u64, 0, 0, 0])
}

fn with_vector(path: &str, arguments: &[&str], run: impl FnOnce(u64, u64) -> Result<u64>) -> Result<u64> {
    let string = |text: &str| CString::new(text).map_err(|_| Errno::EINVAL);
    let path = string(path)?;
    let strings = arguments.iter().map(|text| string(text)).collect::<Result<Vec<_>>>()?;
    let mut vector: Vec<u64> = strings.iter().map(|text| text.as_ptr() as u64).collect();
    vector.push(0);
    run(path.as_ptr() as u64, vector.as_ptr() as u64)
}
