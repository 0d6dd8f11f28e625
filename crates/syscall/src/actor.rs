//! The caller as the file rooms see it: rights, working directory, mounts, descriptors.

use alloc::sync::Arc;

use abi::Errno;
use abi::linux::general as linux;
use process::{FileTable, FsContext, Identity, Resource};
use types::{Capabilities, Credentials, Pgid, Pid, Sid, Tid};
use vfs::{Confine, Location, Namespace};

use crate::{Caller, NamespaceSet, OpenFile, SysError, SysResult};

/// A process's descriptors.
pub(crate) type Files = FileTable<Arc<OpenFile>>;

/// Everything a [`vfs::Caller`] borrows.
pub(crate) struct Actor {
    /// `None` for the kernel itself.
    identity: Option<Arc<Identity>>,
    pid: Pid,
    tid: Tid,
    pgid: Pgid,
    sid: Sid,
    umask: u32,
}

impl Actor {
    /// As files want it.
    pub(crate) fn vfs(&self) -> vfs::Caller<'_> {
        vfs::Caller {
            credentials: self.identity.as_ref().map_or(&Credentials::ROOT, |identity| &identity.credentials),
            pid: self.pid,
            tid: self.tid,
            pgid: self.pgid,
            sid: self.sid,
            umask: self.umask,
        }
    }
}

/// Everything a [`vfs::FsContext`] borrows: who, and where paths start.
pub(crate) struct Standing {
    actor: Actor,
    namespaces: Arc<NamespaceSet>,
    root: Location,
    base: Location,
    confine: Confine,
}

impl Standing {
    /// The kernel itself at the top of a tree.
    pub(crate) fn of_kernel(namespaces: Arc<NamespaceSet>, root: Location) -> Self {
        let actor = Actor { identity: None, pid: Pid(0), tid: Tid(0), pgid: Pgid(0), sid: Sid(0), umask: 0 };
        Self { actor, namespaces, base: root.clone(), root, confine: Confine::empty() }
    }

    /// What path operations start from.
    pub(crate) fn context(&self) -> vfs::FsContext<'_> {
        vfs::FsContext {
            namespace: self.namespace(),
            root: &self.root,
            base: &self.base,
            caller: self.actor.vfs(),
            confine: self.confine,
        }
    }

    /// The same, with paths confined (openat2(2)).
    pub(crate) fn confined(mut self, confine: Confine) -> Self {
        if confine.intersects(Confine::BENEATH | Confine::IN_ROOT) {
            self.root = self.base.clone();
        }
        self.confine = confine;
        self
    }

    /// The mounts it sees.
    pub(crate) fn namespace(&self) -> &Namespace {
        &self.namespaces.mounts.table
    }

    /// Where `/` begins.
    pub(crate) fn root(&self) -> &Location {
        &self.root
    }

    /// Where relative paths begin.
    pub(crate) fn base(&self) -> &Location {
        &self.base
    }
}

impl Caller<'_> {
    /// Whether that capability is in force for the caller.
    pub fn capable(self, capability: Capabilities) -> bool {
        self.thread.identity().credentials.capable(capability)
    }

    /// The open file at `fd`, a raw register of which the low 32 bits count.
    ///
    /// # Errors
    /// EBADF; also for a descriptor that only names a place (O_PATH).
    #[inline]
    pub fn file(self, fd: u64) -> SysResult<Arc<OpenFile>> {
        let file = self.thread.file(fd as u32)?;
        if file.is_path() { Err(Errno::EBADF.into()) } else { Ok(file) }
    }

    /// The open file at `fd`, one that only names a place included.
    ///
    /// # Errors
    /// EBADF.
    pub(crate) fn file_or_path(self, fd: u64) -> SysResult<Arc<OpenFile>> {
        Ok(self.thread.file(fd as u32)?)
    }

    /// The caller's descriptors.
    ///
    /// # Errors
    /// EBADF for a thread that is ending.
    pub(crate) fn files(self) -> SysResult<Arc<Files>> {
        self.thread.files().ok_or(SysError::Errno(Errno::EBADF))
    }

    /// One more than the highest descriptor it may have.
    pub(crate) fn file_limit(self) -> u64 {
        self.process.limit(Resource::Files)
    }

    /// Its working directory, root and umask.
    ///
    /// # Errors
    /// ENOENT for a thread that is ending.
    pub(crate) fn fs(self) -> SysResult<Arc<FsContext<Location>>> {
        self.thread.fs().ok_or(SysError::Errno(Errno::ENOENT))
    }

    /// Who it is, without its places.
    pub(crate) fn actor(self) -> Actor {
        Actor {
            identity: Some(self.thread.identity()),
            pid: self.process.pid(),
            tid: self.thread.tid(),
            pgid: self.process.pgid(),
            sid: self.process.terminal_session(),
            umask: self.thread.fs().map_or(0, |fs| fs.umask()),
        }
    }

    /// Where `path` starts: at the root, the working directory or the directory at `dirfd`.
    ///
    /// # Errors
    /// ENOENT for an empty path, EBADF for a bad `dirfd`, ENOTDIR for one of a file that is nowhere in the tree.
    pub(crate) fn standing(self, dirfd: u64, path: &[u8]) -> SysResult<Standing> {
        match path.first() {
            None => Err(Errno::ENOENT.into()),
            Some(b'/') => self.standing_at(None),
            Some(_) if dirfd as i32 == linux::AT_FDCWD => self.standing_at(None),
            Some(_) => {
                let file = self.file_or_path(dirfd)?;
                let base = file.location().ok_or(Errno::ENOTDIR)?;
                self.standing_at(Some(base.clone()))
            }
        }
    }

    /// Where the caller stands, with relative paths starting at `base` if given.
    ///
    /// # Errors
    /// ENOENT for a thread that is ending.
    pub(crate) fn standing_at(self, base: Option<Location>) -> SysResult<Standing> {
        let places = self.fs()?.places();
        Ok(Standing {
            actor: self.actor(),
            namespaces: self.thread.namespaces(),
            root: places.root.clone(),
            base: base.unwrap_or_else(|| places.cwd.clone()),
            confine: Confine::empty(),
        })
    }

    /// Puts a new open file at the lowest free descriptor.
    ///
    /// # Errors
    /// EMFILE, ENOMEM.
    pub(crate) fn install(self, file: Arc<OpenFile>, flags: u32) -> SysResult {
        let fd = self.files()?.insert(file, 0, self.file_limit(), on_exec(flags))?;
        Ok(u64::from(fd))
    }
}

/// What O_CLOEXEC in `flags` means for a new descriptor.
pub(crate) fn on_exec(flags: u32) -> process::OnExec {
    if flags & linux::O_CLOEXEC != 0 { process::OnExec::Close } else { process::OnExec::Keep }
}

impl Caller<'_> {
    /// Sends `signal` to the calling thread: SIGPIPE, SIGXFSZ.
    pub(crate) fn raise(self, signal: abi::Signal) {
        use process::signal::{Quota, Sent, SigInfo};
        let identity = self.thread.identity();
        let quota = Quota { user: identity.user.signals(), limit: self.process.limit(Resource::PendingSignals) };
        let info = SigInfo::user(signal, self.own_pid(), identity.credentials.ruid);
        let signals = self.process.signals();
        // The caller itself looks before it goes back to user mode: nobody need be kicked.
        if signals.send_to(self.thread.signals(), info, quota).is_ok_and(|effect| effect.sent == Sent::Queued) {
            signals.wake_readers();
        }
    }
}
