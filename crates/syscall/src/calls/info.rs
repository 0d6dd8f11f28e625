//! What the system is: uname, sysinfo, host and domain name, getrandom, getcpu.

use abi::linux::general as linux;
use abi::{Errno, Sysinfo, Utsname};
use alloc::string::String;
use alloc::vec::Vec;
use core::sync::atomic::Ordering;
use types::{Capabilities, PAGE_SIZE};

use crate::{Caller, SysResult};

/// Release that programs are told: the Linux whose interface this is.
pub const RELEASE: &str = "6.1.0-multios";
/// Version that programs are told.
pub const VERSION: &str = concat!("#1 SMP MultiOS ", env!("CARGO_PKG_VERSION"));
/// Longest host and domain name.
const NAME_MAX: usize = 64;

pub(crate) fn sys_uname(caller: Caller<'_>, out: u64) -> SysResult {
    let names = caller.thread.namespaces().names.names();
    let answer = Utsname {
        sysname: field("Linux"),
        nodename: field(&names.host),
        release: field(RELEASE),
        version: field(VERSION),
        machine: field("x86_64"),
        domainname: field(&names.domain),
    };
    caller.memory().write(out, &answer)?;
    Ok(0)
}

pub(crate) fn sys_sethostname(caller: Caller<'_>, name: u64, len: u64) -> SysResult {
    let name = read_name(caller, name, len)?;
    caller.thread.namespaces().names.set_host(name);
    Ok(0)
}

pub(crate) fn sys_setdomainname(caller: Caller<'_>, name: u64, len: u64) -> SysResult {
    let name = read_name(caller, name, len)?;
    caller.thread.namespaces().names.set_domain(name);
    Ok(0)
}

pub(crate) fn sys_sysinfo(caller: Caller<'_>, out: u64) -> SysResult {
    let frames = caller.system.frames.stats();
    let load = caller.system.load.averages().map(|average| average << (16 - crate::load::FRACTION_BITS));
    let answer = Sysinfo {
        uptime: caller.system.platform.now().secs() as i64,
        loads: load,
        totalram: frames.total * PAGE_SIZE as u64,
        freeram: frames.free * PAGE_SIZE as u64,
        sharedram: 0,
        bufferram: 0,
        totalswap: 0,
        freeswap: 0,
        procs: u16::try_from(caller.system.processes.thread_count()).unwrap_or(u16::MAX),
        pad: 0,
        pad1: 0,
        totalhigh: 0,
        freehigh: 0,
        mem_unit: 1,
        pad2: 0,
    };
    caller.memory().write(out, &answer)?;
    Ok(0)
}

pub(crate) fn sys_getrandom(caller: Caller<'_>, out: u64, len: u64, flags: u64) -> SysResult {
    let flags = flags as u32;
    let both = linux::GRND_RANDOM | linux::GRND_INSECURE;
    if flags & !(linux::GRND_NONBLOCK | both) != 0 || flags & both == both {
        return Err(Errno::EINVAL.into());
    }
    let len = len.min(0x01ff_ffff);
    let mut done = 0;
    while done < len {
        let mut chunk = [0; 256];
        let want = (len - done).min(chunk.len() as u64) as usize;
        let chunk = chunk.get_mut(..want).unwrap_or_default();
        caller.system.platform.random(chunk);
        let copied = caller.memory().write_some(out + done, chunk);
        done += copied as u64;
        if copied < want {
            return if done == 0 { Err(Errno::EFAULT.into()) } else { Ok(done) };
        }
        // Up to 256 bytes are never cut short (getrandom(2)).
        if done.is_multiple_of(PAGE_SIZE as u64) && caller.thread.signals().has_deliverable() {
            break;
        }
    }
    Ok(done)
}

pub(crate) fn sys_getcpu(caller: Caller<'_>, cpu: u64, node: u64) -> SysResult {
    let memory = caller.memory();
    memory.write_opt(cpu, &caller.system.platform.current_cpu().0)?;
    memory.write_opt(node, &caller.system.platform.current_node())?;
    Ok(0)
}

fn field(text: &str) -> [u8; 65] {
    let mut field = [0; 65];
    // The last byte stays NUL.
    for (slot, byte) in field.iter_mut().take(64).zip(text.bytes()) {
        *slot = byte;
    }
    field
}

fn read_name(caller: Caller<'_>, name: u64, len: u64) -> SysResult<String> {
    if !caller.capable(Capabilities::SYS_ADMIN) {
        return Err(Errno::EPERM.into());
    }
    if len > NAME_MAX as u64 {
        return Err(Errno::EINVAL.into());
    }
    let bytes = caller.memory().read_vec(name, len as usize)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// syslog(2): the kernel's log, as dmesg wants it.
pub(crate) fn sys_syslog(caller: Caller<'_>, action: u64, buffer: u64, len: u64) -> SysResult {
    const CLOSE: u32 = 0;
    const OPEN: u32 = 1;
    const READ: u32 = 2;
    const READ_ALL: u32 = 3;
    const READ_CLEAR: u32 = 4;
    const CLEAR: u32 = 5;
    const CONSOLE_OFF: u32 = 6;
    const CONSOLE_ON: u32 = 7;
    const CONSOLE_LEVEL: u32 = 8;
    const SIZE_UNREAD: u32 = 9;
    const SIZE_BUFFER: u32 = 10;
    let action = action as u32;
    let allowed = caller.capable(Capabilities::SYSLOG) || caller.capable(Capabilities::SYS_ADMIN);
    if !allowed && !matches!(action, READ_ALL | SIZE_BUFFER) {
        return Err(Errno::EPERM.into());
    }
    let files = caller.system.file_systems()?;
    let start = files.log_cleared.load(Ordering::Relaxed);
    match action {
        CLOSE | OPEN | CONSOLE_OFF | CONSOLE_ON => Ok(0),
        READ | READ_ALL | READ_CLEAR => {
            if buffer == 0 || (len as i32) < 0 {
                return Err(Errno::EINVAL.into());
            }
            let (text, end) = log_after(&*files.log, start)?;
            let wanted = text.len().min(len as u32 as usize);
            // The newest, unless it is read piece by piece.
            let from = if action == READ { 0 } else { text.len() - wanted };
            let part = text.get(from..from + wanted).unwrap_or_default();
            caller.memory().write_bytes(buffer, part)?;
            match action {
                READ => files.log_cleared.store(end - (text.len() - wanted) as u64, Ordering::Relaxed),
                READ_CLEAR => files.log_cleared.store(end, Ordering::Relaxed),
                _ => {}
            }
            Ok(wanted as u64)
        }
        CLEAR => {
            let (_, end) = log_after(&*files.log, start)?;
            files.log_cleared.store(end, Ordering::Relaxed);
            Ok(0)
        }
        CONSOLE_LEVEL if (1..=8).contains(&(len as i32)) => Ok(0),
        SIZE_UNREAD => Ok(log_after(&*files.log, start)?.0.len() as u64),
        SIZE_BUFFER => Ok(64 << 10),
        _ => Err(Errno::EINVAL.into()),
    }
}

/// The log after `position` and where it ends.
fn log_after(log: &dyn vfs::dev::KernelLog, mut position: u64) -> SysResult<(Vec<u8>, u64)> {
    let mut text = Vec::new();
    let mut chunk = [0; 512];
    while let Some((count, next)) = log.read(position, &mut chunk) {
        text.try_reserve(count).map_err(|_| Errno::ENOMEM)?;
        text.extend_from_slice(chunk.get(..count).unwrap_or_default());
        position = next;
        if text.len() > 1 << 20 {
            break;
        }
    }
    Ok((text, position))
}
