//! Who the caller is: process and thread numbers, users, groups, capabilities.

use abi::linux::general as linux;
use abi::{Errno, Wire, abi_struct};
use process as rules;
use types::{Capabilities, Credentials, Gid, MAX_GROUPS, Uid};

use crate::{Caller, Process, SysError, SysResult, Thread};

/// "Leave as it is".
const KEEP: u32 = u32::MAX;

/// Serves the calls that only ask who the caller is: no lock, no memory, no errors. `None`: it is another call.
#[inline]
pub fn identity(process: &Process, thread: &Thread, number: u64) -> Option<u64> {
    Some(u64::from(match number as u32 {
        linux::__NR_getpid => process.pid().0,
        linux::__NR_gettid => thread.tid().0,
        linux::__NR_getppid => process.parent_pid().0,
        linux::__NR_getpgrp => process.pgid().0,
        linux::__NR_getuid => thread.uid().0,
        linux::__NR_geteuid => thread.euid().0,
        linux::__NR_getgid => thread.gid().0,
        linux::__NR_getegid => thread.egid().0,
        _ => return None,
    }))
}

pub(crate) fn sys_getresuid(caller: Caller<'_>, real: u64, effective: u64, saved: u64) -> SysResult {
    let credentials = caller.thread.credentials();
    let memory = caller.memory();
    memory.write(real, &credentials.ruid.0)?;
    memory.write(effective, &credentials.euid.0)?;
    memory.write(saved, &credentials.suid.0)?;
    Ok(0)
}

pub(crate) fn sys_getresgid(caller: Caller<'_>, real: u64, effective: u64, saved: u64) -> SysResult {
    let credentials = caller.thread.credentials();
    let memory = caller.memory();
    memory.write(real, &credentials.rgid.0)?;
    memory.write(effective, &credentials.egid.0)?;
    memory.write(saved, &credentials.sgid.0)?;
    Ok(0)
}

pub(crate) fn sys_setuid(caller: Caller<'_>, id: u64) -> SysResult {
    let id = valid(id)?;
    caller.change_credentials(|old| rules::setuid(old, Uid(id)))
}

pub(crate) fn sys_setgid(caller: Caller<'_>, id: u64) -> SysResult {
    let id = valid(id)?;
    caller.change_credentials(|old| rules::setgid(old, Gid(id)))
}

pub(crate) fn sys_setreuid(caller: Caller<'_>, real: u64, effective: u64) -> SysResult {
    caller.change_credentials(|old| rules::setreuid(old, Uid(real as u32), Uid(effective as u32)))
}

pub(crate) fn sys_setregid(caller: Caller<'_>, real: u64, effective: u64) -> SysResult {
    caller.change_credentials(|old| rules::setregid(old, Gid(real as u32), Gid(effective as u32)))
}

pub(crate) fn sys_setresuid(caller: Caller<'_>, real: u64, effective: u64, saved: u64) -> SysResult {
    caller.change_credentials(|old| rules::setresuid(old, Uid(real as u32), Uid(effective as u32), Uid(saved as u32)))
}

pub(crate) fn sys_setresgid(caller: Caller<'_>, real: u64, effective: u64, saved: u64) -> SysResult {
    caller.change_credentials(|old| rules::setresgid(old, Gid(real as u32), Gid(effective as u32), Gid(saved as u32)))
}

pub(crate) fn sys_setfsuid(caller: Caller<'_>, id: u64) -> SysResult {
    let before = caller.thread.credentials().fsuid;
    // It never fails: who wants to know reads the answer.
    let _ = caller.change_credentials(|old| Ok(rules::setfsuid(old, Uid(id as u32))));
    Ok(u64::from(before.0))
}

pub(crate) fn sys_setfsgid(caller: Caller<'_>, id: u64) -> SysResult {
    let before = caller.thread.credentials().fsgid;
    let _ = caller.change_credentials(|old| Ok(rules::setfsgid(old, Gid(id as u32))));
    Ok(u64::from(before.0))
}

pub(crate) fn sys_getgroups(caller: Caller<'_>, size: u64, list: u64) -> SysResult {
    let credentials = caller.thread.credentials();
    let groups = credentials.groups();
    let size = size as i32;
    if size < 0 {
        return Err(Errno::EINVAL.into());
    }
    if size > 0 {
        if (size as usize) < groups.len() {
            return Err(Errno::EINVAL.into());
        }
        for (i, group) in groups.iter().enumerate() {
            caller.memory().write(list + i as u64 * 4, &group.0)?;
        }
    }
    Ok(groups.len() as u64)
}

pub(crate) fn sys_setgroups(caller: Caller<'_>, count: u64, list: u64) -> SysResult {
    caller.require(Capabilities::SETGID)?;
    let count = count as i32;
    if count < 0 || count as usize > MAX_GROUPS {
        return Err(Errno::EINVAL.into());
    }
    let ids = caller.memory().read_array::<u32>(list, count as usize)?;
    let mut groups = [Gid(0); MAX_GROUPS];
    for (slot, id) in groups.iter_mut().zip(&ids) {
        *slot = Gid(valid(u64::from(*id))?);
    }
    let groups = groups.get(..ids.len()).unwrap_or_default();
    caller.change_credentials(|old| rules::setgroups(old, groups))
}

abi_struct! {
    /// `struct __user_cap_header_struct`.
    pub struct CapHeader {
        /// Version of the interface.
        pub version: u32,
        /// Thread meant; 0 is the caller.
        pub pid: i32,
    }
}

abi_struct! {
    /// `struct __user_cap_data_struct`: 32 capabilities of each set.
    pub struct CapData {
        /// In force.
        pub effective: u32,
        /// May be put in force.
        pub permitted: u32,
        /// Kept over exec.
        pub inheritable: u32,
    }
}

/// _LINUX_CAPABILITY_VERSION_1 to 3: one, two and two blocks of data.
const CAP_VERSIONS: [(u32, usize); 3] = [(0x1998_0330, 1), (0x2007_1026, 2), (0x2008_0522, 2)];
const CAP_LATEST: u32 = 0x2008_0522;

pub(crate) fn sys_capget(caller: Caller<'_>, header: u64, data: u64) -> SysResult {
    let (blocks, pid) = match cap_header(caller, header)? {
        Some(found) => found,
        // A probe for the version: no data wanted.
        None if data == 0 => return Ok(0),
        None => return Err(Errno::EINVAL.into()),
    };
    if pid < 0 {
        return Err(Errno::EINVAL.into());
    }
    let credentials = if pid == 0 || pid as u32 == caller.own_tid().0 {
        caller.thread.credentials()
    } else {
        caller.system.processes.thread(types::Tid(caller.meant(pid as u32))).ok_or(Errno::ESRCH)?.credentials()
    };
    if data == 0 {
        return Ok(0);
    }
    for block in 0..blocks {
        let part = |set: Capabilities| (set.bits() >> (32 * block)) as u32;
        let answer = CapData {
            effective: part(credentials.effective),
            permitted: part(credentials.permitted),
            inheritable: part(credentials.inheritable),
        };
        caller.memory().write(data + (block * <CapData as Wire>::SIZE) as u64, &answer)?;
    }
    Ok(0)
}

pub(crate) fn sys_capset(caller: Caller<'_>, header: u64, data: u64) -> SysResult {
    let (blocks, pid) = cap_header(caller, header)?.ok_or(Errno::EINVAL)?;
    if pid != 0 && pid as u32 != caller.own_tid().0 {
        return Err(Errno::EPERM.into());
    }
    let (mut effective, mut permitted, mut inheritable) = (0_u64, 0_u64, 0_u64);
    for block in 0..blocks {
        let part: CapData = caller.memory().read(data + (block * <CapData as Wire>::SIZE) as u64)?;
        effective |= u64::from(part.effective) << (32 * block);
        permitted |= u64::from(part.permitted) << (32 * block);
        inheritable |= u64::from(part.inheritable) << (32 * block);
    }
    let set = Capabilities::from_bits_truncate;
    let sets =
        rules::CapabilitySets { effective: set(effective), permitted: set(permitted), inheritable: set(inheritable) };
    caller.change_credentials(|old| rules::capset(old, sets))
}

/// Number of data blocks and pid, or `None` for an unknown version, which is answered with the one we know.
fn cap_header(caller: Caller<'_>, address: u64) -> SysResult<Option<(usize, i32)>> {
    let header: CapHeader = caller.memory().read(address)?;
    let known = CAP_VERSIONS.iter().find(|(version, _)| *version == header.version);
    match known {
        Some((_, blocks)) => Ok(Some((*blocks, header.pid))),
        None => {
            caller.memory().write(address, &CAP_LATEST)?;
            Ok(None)
        }
    }
}

fn valid(id: u64) -> SysResult<u32> {
    if id as u32 == KEEP { Err(Errno::EINVAL.into()) } else { Ok(id as u32) }
}

impl Caller<'_> {
    /// EPERM unless the capability is in force.
    pub(crate) fn require(self, capability: Capabilities) -> SysResult<()> {
        if self.capable(capability) { Ok(()) } else { Err(SysError::Errno(Errno::EPERM)) }
    }

    /// Replaces the caller's credentials by what `rule` makes of them.
    pub(crate) fn change_credentials(
        self,
        rule: impl FnOnce(&Credentials) -> process::Result<Credentials>,
    ) -> SysResult {
        let new = rule(&self.thread.credentials())?;
        self.system.processes.set_credentials(self.thread, new);
        Ok(0)
    }
}
