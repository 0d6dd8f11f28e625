//! Namespaces: what clone and unshare split off, setns(2), and the files of /proc/PID/ns.

use alloc::sync::Arc;
use core::fmt;

use abi::Errno;
use process::filter::{FilterScope, container_program};
use process::{CloneFlags, FsContext, IsolationLevel, PidNamespace, ProcessError};
use types::Capabilities;
use vfs::proc::Namespace as Kind;
use vfs::{File, FileType, Location, Metadata, MountCopies, OpenRequest, PollEvents, VfsError};

use crate::calls::sysv;
use crate::{Caller, NamespaceSet, Process, SysError, SysResult};

/// Those there can be several of. Networks, users and cgroups there is one of each.
const OFFERED: CloneFlags =
    CloneFlags::NEWNS.union(CloneFlags::NEWUTS).union(CloneFlags::NEWIPC).union(CloneFlags::NEWPID);

/// Views that were split off.
pub(crate) struct Split {
    pub(crate) set: Arc<NamespaceSet>,
    copies: Option<MountCopies>,
}

impl Split {
    /// Leads root and working directory over to the mounts that were split off.
    pub(crate) fn relocate(&self, places: &FsContext<Location>) {
        let Some(copies) = &self.copies else { return };
        let old = places.places();
        drop(places.set_root(copies.of(&old.root)));
        drop(places.set_cwd(copies.of(&old.cwd)));
    }
}

/// The caller's views with those of its own that `flags` ask for.
///
/// # Errors
/// EINVAL for kinds that are not offered, EPERM without the right, ENOSPC when nested too deeply, ENOMEM.
pub(crate) fn split(caller: Caller<'_>, flags: CloneFlags) -> SysResult<Split> {
    let wanted = flags.intersection(CloneFlags::NAMESPACES);
    if !OFFERED.contains(wanted) {
        return Err(Errno::EINVAL.into());
    }
    caller.require(Capabilities::SYS_ADMIN)?;
    let mut set = NamespaceSet::clone(&caller.thread.namespaces());
    let mut copies = None;
    if wanted.contains(CloneFlags::NEWPID) {
        if caller.thread.has_children_elsewhere() {
            return Err(Errno::EINVAL.into());
        }
        let pids = PidNamespace::new(set.pids.clone(), set.new_number()).map_err(|error| match error {
            ProcessError::ResourceLimitExceeded => SysError::Errno(Errno::ENOSPC),
            error => error.into(),
        })?;
        set.pids = Some(pids);
    }
    if wanted.contains(CloneFlags::NEWUTS) {
        set.split_names();
    }
    if wanted.contains(CloneFlags::NEWIPC) {
        set.split_ipc();
    }
    if wanted.contains(CloneFlags::NEWNS) {
        let (table, made) = set.mounts.table.fork()?;
        set.set_mounts(table);
        copies = Some(made);
    }
    Ok(Split { set: Arc::new(set), copies })
}

/// The part of unshare(2) that is about namespaces; places are the caller's own already.
pub(crate) fn unshare(caller: Caller<'_>, flags: CloneFlags) -> SysResult<()> {
    let split = split(caller, flags)?;
    if let Some(places) = caller.thread.fs() {
        split.relocate(&places);
    }
    enter(caller, split.set);
    Ok(())
}

/// What a thread gets when its process is kept apart further.
pub(crate) fn isolate(caller: Caller<'_>, had: IsolationLevel, level: IsolationLevel) -> process::Result<()> {
    let refused = |error| match error {
        SysError::Errno(Errno::EPERM) => ProcessError::PermissionDenied,
        SysError::Errno(Errno::ENOMEM) => ProcessError::NoMemory,
        _ => ProcessError::ResourceExhausted,
    };
    let mut flags = CloneFlags::empty();
    if had < IsolationLevel::Namespace {
        flags = CloneFlags::NEWNS | CloneFlags::NEWUTS | CloneFlags::NEWIPC;
        if !caller.thread.has_children_elsewhere() {
            flags |= CloneFlags::NEWPID;
        }
    }
    let made = if flags.is_empty() { None } else { Some(split(caller, flags).map_err(refused)?) };
    if level == IsolationLevel::Container {
        caller.process.add_filter(caller.thread, container_program()?, FilterScope::Thread)?;
        caller.system.platform.filters_changed();
    }
    if let Some(made) = made {
        caller.thread.unshare_fs();
        if let Some(places) = caller.thread.fs() {
            made.relocate(&places);
        }
        enter(caller, made.set);
    }
    Ok(())
}

/// setns(2): goes over to namespaces of another process.
pub(crate) fn sys_setns(caller: Caller<'_>, fd: u64, wanted: u64) -> SysResult {
    let wanted = CloneFlags::from_bits(u64::from(wanted as u32)).ok_or(Errno::EINVAL)?;
    let file = caller.file(fd)?;
    if let Some(file) = file.downcast::<NamespaceFile>() {
        if !wanted.is_empty() && wanted != flag_of(file.kind) {
            return Err(Errno::EINVAL.into());
        }
        return join(caller, flag_of(file.kind), &file.set, file.pids.as_ref());
    }
    let Ok((process, _)) = super::pidfd::target(caller, fd) else { return Err(Errno::EINVAL.into()) };
    if wanted.is_empty() || !CloneFlags::NAMESPACES.contains(wanted) {
        return Err(Errno::EINVAL.into());
    }
    let thread = process.first_thread().ok_or(Errno::ESRCH)?;
    let rights = process.identity();
    if !process::may_inspect(&caller.thread.credentials(), &rights.credentials, process.dumpable()) {
        return Err(Errno::EPERM.into());
    }
    join(caller, wanted, &thread.namespaces(), process.pids())
}

fn join(caller: Caller<'_>, wanted: CloneFlags, to: &NamespaceSet, pids: Option<&Arc<PidNamespace>>) -> SysResult {
    if wanted.contains(CloneFlags::NEWUSER) {
        // It is the caller's own: Linux refuses that, too.
        return Err(Errno::EINVAL.into());
    }
    caller.require(Capabilities::SYS_ADMIN)?;
    if caller.process.isolation() != IsolationLevel::Process {
        // Levels only rise: who is kept apart does not go over to the views of others.
        return Err(Errno::EPERM.into());
    }
    let mut set = NamespaceSet::clone(&caller.thread.namespaces());
    let mut moves_to: Option<Location> = None;
    if wanted.contains(CloneFlags::NEWUTS) {
        set.names = to.names.clone();
    }
    if wanted.contains(CloneFlags::NEWIPC) {
        set.ipc = to.ipc.clone();
    }
    if wanted.contains(CloneFlags::NEWPID) {
        // Inwards only, so that nobody's numbers vanish from where they were known.
        let inwards = match caller.process.pids() {
            None => true,
            Some(own) => own.contains(pids),
        };
        if !inwards {
            return Err(Errno::EINVAL.into());
        }
        set.pids = pids.cloned();
    }
    if wanted.contains(CloneFlags::NEWNS) {
        caller.require(Capabilities::SYS_CHROOT)?;
        // Others would be moved along with the caller.
        let shared = caller.thread.fs().is_none_or(|places| Arc::strong_count(&places) > 2);
        if shared {
            return Err(Errno::EINVAL.into());
        }
        set.mounts = to.mounts.clone();
        moves_to = Some(to.mounts.table.root());
    }
    if let (Some(root), Some(places)) = (moves_to, caller.thread.fs()) {
        drop(places.set_root(root.clone()));
        drop(places.set_cwd(root));
    }
    enter(caller, Arc::new(set));
    Ok(0)
}

fn enter(caller: Caller<'_>, set: Arc<NamespaceSet>) {
    let here = match (&set.pids, caller.process.pids()) {
        (None, None) => true,
        (Some(next), Some(own)) => Arc::ptr_eq(next, own),
        _ => false,
    };
    let next = set.ipc.clone();
    let left = caller.thread.set_namespaces(set);
    // What the caller would take back at its end it takes back now; with other threads it is theirs as well.
    if !Arc::ptr_eq(&left.ipc, &next) && caller.process.thread_count() == 1 {
        sysv::process_left(caller.system, &left.ipc, caller.process);
    }
    drop(left);
    caller.thread.note_children_elsewhere(!here);
}

const fn flag_of(kind: Kind) -> CloneFlags {
    match kind {
        Kind::Cgroup => CloneFlags::NEWCGROUP,
        Kind::Ipc => CloneFlags::NEWIPC,
        Kind::Mount => CloneFlags::NEWNS,
        Kind::Network => CloneFlags::NEWNET,
        Kind::Pid => CloneFlags::NEWPID,
        Kind::User => CloneFlags::NEWUSER,
        Kind::Uts => CloneFlags::NEWUTS,
    }
}

/// An open file of /proc/PID/ns: keeps the namespace alive.
pub(crate) struct NamespaceFile {
    kind: Kind,
    set: Arc<NamespaceSet>,
    pids: Option<Arc<PidNamespace>>,
}

impl NamespaceFile {
    /// The namespace of that kind that `process` is in; nothing for a zombie.
    pub(crate) fn of(process: &Process, kind: Kind) -> Option<Self> {
        let set = process.first_thread()?.namespaces();
        Some(Self { kind, set, pids: process.pids().cloned() })
    }

    fn identity(&self) -> (&'static str, u32) {
        self.set.identity(self.kind, self.pids.as_deref())
    }
}

impl File for NamespaceFile {
    fn read(&self, _offset: u64, _out: &mut [u8]) -> vfs::Result<usize> {
        Err(VfsError::InvalidArgument)
    }

    fn write(&self, _offset: u64, _data: &[u8]) -> vfs::Result<usize> {
        Err(VfsError::InvalidArgument)
    }

    fn poll(&self) -> PollEvents {
        PollEvents::empty()
    }

    fn metadata(&self) -> Metadata {
        Metadata { ino: u64::from(self.identity().1), ..Metadata::new(FileType::Regular, 0o444) }
    }

    fn describe(&self, out: &mut dyn fmt::Write) -> fmt::Result {
        let (name, number) = self.identity();
        write!(out, "{name}:[{number}]")
    }

    fn reopen(self: Arc<Self>, _request: &OpenRequest<'_>) -> vfs::Result<Arc<dyn File>> {
        Ok(self)
    }
}
