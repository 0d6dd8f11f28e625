//! Which views a process has: mounts, host name, IPC objects, numbers of processes.
//!
//! A thread keeps one pointer to a set, which fork hands on; clone, unshare and setns make another set. Networks, users,
//! cgroups and clocks there is one of each.

use alloc::string::String;
use alloc::sync::Arc;
use core::sync::atomic::{AtomicU32, Ordering};

use process::PidNamespace;
use sync::{Rank, SpinLock};
use vfs::proc::Namespace as Kind;

use crate::calls::sysv::Ipc;

/// Numbers of the first ones, as on Linux.
const FIRST_IPC: u32 = 0xefff_ffff;
const FIRST_UTS: u32 = 0xefff_fffe;
const FIRST_USER: u32 = 0xefff_fffd;
const FIRST_PID: u32 = 0xefff_fffc;
const FIRST_CGROUP: u32 = 0xefff_fffb;
const FIRST_MOUNTS: u32 = 0xf000_0000;
const FIRST_NETWORK: u32 = 0xf000_0001;
const FIRST_FREE: u32 = 0xf000_0002;

/// The views of a process.
#[derive(Clone)]
pub struct NamespaceSet {
    pub(crate) mounts: Mounts,
    pub(crate) names: Arc<UtsNamespace>,
    pub(crate) ipc: Arc<Ipc>,
    /// Where children get their numbers; none: in the first namespace.
    pub(crate) pids: Option<Arc<PidNamespace>>,
    numbers: Arc<AtomicU32>,
}

/// A mount namespace with its number.
#[derive(Clone)]
pub(crate) struct Mounts {
    pub(crate) table: Arc<vfs::Namespace>,
    id: u32,
}

/// A host name and a domain name.
pub struct UtsNamespace {
    id: u32,
    names: SpinLock<SystemNames>,
}

/// Names that the administrator gives the machine.
#[derive(Clone)]
pub struct SystemNames {
    /// Host name.
    pub host: String,
    /// NIS domain name.
    pub domain: String,
}

impl UtsNamespace {
    /// Linux's names before anybody set them.
    pub fn first() -> Arc<Self> {
        let names = SystemNames { host: "(none)".into(), domain: "(none)".into() };
        Arc::new(Self { id: FIRST_UTS, names: SpinLock::new(Rank::INODE, names) })
    }

    /// Both names.
    pub fn names(&self) -> SystemNames {
        self.names.lock().clone()
    }

    /// Sets the host name; the old one.
    pub(crate) fn set_host(&self, name: String) -> String {
        core::mem::replace(&mut self.names.lock().host, name)
    }

    /// Sets the domain name; the old one.
    pub(crate) fn set_domain(&self, name: String) -> String {
        core::mem::replace(&mut self.names.lock().domain, name)
    }
}

impl NamespaceSet {
    /// The views of the first process.
    pub(crate) fn first(mounts: Arc<vfs::Namespace>, names: Arc<UtsNamespace>) -> Arc<Self> {
        Arc::new(Self {
            mounts: Mounts { table: mounts, id: FIRST_MOUNTS },
            names,
            ipc: Arc::new(Ipc::new(FIRST_IPC)),
            pids: None,
            numbers: Arc::new(AtomicU32::new(FIRST_FREE)),
        })
    }

    /// A number for a new namespace.
    pub(crate) fn new_number(&self) -> u32 {
        // An independent counter.
        self.numbers.fetch_add(1, Ordering::Relaxed)
    }

    /// Goes on with names of its own, for now the same.
    pub(crate) fn split_names(&mut self) {
        let names = SpinLock::new(Rank::INODE, self.names.names());
        self.names = Arc::new(UtsNamespace { id: self.new_number(), names });
    }

    /// Goes on with IPC objects of its own, none at first.
    pub(crate) fn split_ipc(&mut self) {
        self.ipc = Arc::new(Ipc::new(self.new_number()));
    }

    /// Goes on with `table` as its mounts.
    pub(crate) fn set_mounts(&mut self, table: vfs::Namespace) {
        self.mounts = Mounts { table: Arc::new(table), id: self.new_number() };
    }

    /// What /proc/PID/ns calls the namespace of that kind, and its number. `pids`: where the process itself has its number.
    pub(crate) fn identity(&self, kind: Kind, pids: Option<&PidNamespace>) -> (&'static str, u32) {
        match kind {
            Kind::Ipc => ("ipc", self.ipc.id()),
            Kind::Uts => ("uts", self.names.id),
            Kind::User => ("user", FIRST_USER),
            Kind::Pid => ("pid", pids.map_or(FIRST_PID, PidNamespace::id)),
            Kind::Cgroup => ("cgroup", FIRST_CGROUP),
            Kind::Mount => ("mnt", self.mounts.id),
            Kind::Network => ("net", FIRST_NETWORK),
        }
    }
}
