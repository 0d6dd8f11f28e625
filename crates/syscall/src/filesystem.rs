//! The file systems of the running system: the root from the boot archives, /dev, /proc, and what mount(2) offers.

use alloc::collections::BTreeSet;
use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt::Write;
use core::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use abi::Errno;
use abi::linux::general as linux;
use hal::Console;
use process::PidNamespace;
use types::{Capabilities, Credentials, Gid, Pid, Uid};
use vfs::cpio::CpioError;
use vfs::dev::{KernelLog, number};
use vfs::mqueue::QUEUE_LIMITS;
use vfs::proc::{CpuInfo, CpuTimes, NamedFile, ProcFs, ProcItems, ProcText, Text, cpu_info, standard_files, uuid};
use vfs::ramfs::{RamFs, RamOptions};
use vfs::socket::{AbstractNames, Socket};
use vfs::terminal::{Ptys, Terminal};
use vfs::{
    Caller as VfsCaller, Confine, DeviceKind, DeviceNumber, DeviceRegistry, FileSystem, FsContext, Location, LockKind,
    LockOwner, Namespace, NewContent, NewNode, VfsError, WATCH_LIMITS,
};

use crate::calls::info::{RELEASE, VERSION};
use crate::devices::{ConsoleDevice, MachineRandom, OwnTerminal, PtyMasters};
use crate::lock_waits::LockWaits;
use crate::proc_nested::NestedProcesses;
use crate::proc_source::Processes;
use crate::services::{ServiceDevice, ServiceItems, register_notify_socket};
use crate::terminal::Deliver;
use crate::{OpenFile, SysResult, System, UtsNamespace};

/// Figures that only the kernel around knows.
pub trait MachineInfo: Send + Sync {
    /// What /proc/cpuinfo tells of each CPU.
    fn cpus(&self) -> Vec<CpuInfo>;
    /// Times of each CPU since boot.
    fn cpu_times(&self) -> Vec<CpuTimes>;
    /// Interrupts served since boot.
    fn interrupts(&self) -> u64;
    /// Switches between threads since boot.
    fn switches(&self) -> u64;
    /// Threads that run or are ready.
    fn running(&self) -> u32;
    /// Text of the file of /proc/multios of that name: counters of the kernel's own; and that of /proc/interrupts.
    fn report(&self, name: &str, out: &mut dyn Write) -> core::fmt::Result {
        let _ = (name, out);
        Ok(())
    }
}

/// Names of the files whose text [`MachineInfo::report`] gives.
pub const REPORTS: [&str; 7] =
    ["multios/kernel", "multios/boot", "multios/nodes", "multios/cpus", "multios/latency", "schedstat", "interrupts"];

/// What the kernel brings for the file systems.
pub struct Machine {
    /// Screen and keyboard, or a serial line.
    pub console: Arc<dyn Console>,
    /// The kernel's log.
    pub log: Arc<dyn KernelLog>,
    /// Figures.
    pub info: Arc<dyn MachineInfo>,
}

/// The file systems there is one of each.
pub struct FileSystems {
    namespace: Arc<Namespace>,
    console: Arc<Terminal>,
    ptys: Arc<Ptys>,
    devices: Arc<RamFs>,
    proc: Arc<ProcFs>,
    memory_files: Arc<RamFs>,
    pub(crate) sockets: Arc<AbstractNames>,
    /// NOTIFY_SOCKET.
    _notify: Arc<Socket>,
    pub(crate) lock_waits: LockWaits,
    pub(crate) info: Arc<dyn MachineInfo>,
    pub(crate) log: Arc<dyn KernelLog>,
    /// Where syslog(2) begins to show the log.
    pub(crate) log_cleared: AtomicU64,
}

/// Why there is no root file system.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RootError {
    /// A boot archive is damaged.
    Archive(CpioError),
    /// Something else failed.
    Vfs(VfsError),
}

impl From<VfsError> for RootError {
    fn from(error: VfsError) -> Self {
        Self::Vfs(error)
    }
}

impl core::fmt::Display for RootError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Archive(error) => write!(f, "initramfs: {error:?}"),
            Self::Vfs(error) => write!(f, "{error:?}"),
        }
    }
}

/// Minor numbers of file systems without a device.
static NEXT_DEVICE: AtomicU32 = AtomicU32::new(20);

fn new_device() -> DeviceNumber {
    // An independent counter.
    DeviceNumber::new(0, NEXT_DEVICE.fetch_add(1, Ordering::Relaxed))
}

impl FileSystems {
    /// Makes the root from the boot archives, the devices and /proc.
    ///
    /// # Errors
    /// [`RootError::Archive`]; lack of memory.
    pub fn new(system: &'static System, machine: Machine, archives: &[&[u8]]) -> Result<Self, RootError> {
        let Machine { console, log, info } = machine;
        let clock = system.wall_clock.as_ref();
        let root = RamFs::new(system.frames, clock, RamOptions::new("rootfs", new_device()));
        let registry = Arc::new(DeviceRegistry::new());
        let namespace = Arc::new(Namespace::new(root, b"rootfs", registry.clone()));
        let top = namespace.root();
        let kernel = Credentials::ROOT;
        let context = FsContext {
            namespace: &namespace,
            root: &top,
            base: &top,
            caller: VfsCaller::kernel(&kernel),
            confine: Confine::empty(),
        };
        for archive in archives {
            vfs::cpio::unpack(archive, &context).map_err(RootError::Archive)?;
        }

        let events = Arc::new(Deliver(system));
        let console = Terminal::console(console, number::TTY_S0, events.clone())?;
        let ptys = Ptys::new(events, system.wall_clock.clone());
        vfs::dev::register_memory_devices(&registry, Arc::new(MachineRandom(system)), log.clone())?;
        registry.add(DeviceKind::Char, number::CONSOLE, Arc::new(ConsoleDevice(console.clone())))?;
        registry.add(DeviceKind::Char, number::TTY_S0, Arc::new(ConsoleDevice(console.clone())))?;
        registry.add(DeviceKind::Char, number::TTY, Arc::new(OwnTerminal(system)))?;
        let masters = PtyMasters { ptys: ptys.clone(), registry: registry.clone() };
        registry.add(DeviceKind::Char, number::SVC, Arc::new(ServiceDevice(system)))?;
        registry.add(DeviceKind::Char, number::PTMX, Arc::new(masters))?;
        let devices = vfs::dev::devfs(system.frames, clock, new_device())?;

        let files = proc_files(system, &info);
        let items: (_, Arc<dyn ProcItems>) = ("svc", Arc::new(ServiceItems(system)));
        let proc = ProcFs::with_items(Arc::new(Processes(system)), files, Some(items), system.wall_clock.clone());
        let memory_files = RamFs::new(system.frames, clock, RamOptions::new("tmpfs", new_device()));
        let sockets = AbstractNames::new();
        let notify = register_notify_socket(system, &sockets)?;
        Ok(Self {
            namespace,
            console,
            ptys,
            devices,
            proc,
            memory_files,
            sockets,
            _notify: notify,
            lock_waits: LockWaits::new(),
            info,
            log,
            log_cleared: AtomicU64::new(0),
        })
    }

    /// The mounts of the first process.
    pub fn namespace(&self) -> &Arc<Namespace> {
        &self.namespace
    }

    /// The terminal on the machine's console: what is typed goes to [`Terminal::receive`], what that wants done to
    /// [`System::after_terminal`].
    pub fn console(&self) -> &Arc<Terminal> {
        &self.console
    }

    /// The open file for the first process's standard streams: /dev/console where there is one, else the device itself.
    ///
    /// # Errors
    /// Those of opening it.
    pub fn standard_stream(&self) -> vfs::Result<Arc<OpenFile>> {
        let root = self.namespace.root();
        let kernel = Credentials::ROOT;
        let caller = VfsCaller::kernel(&kernel);
        let context =
            FsContext { namespace: &self.namespace, root: &root, base: &root, caller, confine: Confine::empty() };
        match context.open(b"/dev/console", linux::O_RDWR, 0) {
            Ok(opened) => Ok(opened.file),
            Err(_) => Ok(OpenFile::anonymous(self.console.open()?, linux::O_RDWR)),
        }
    }

    /// The place of `path` with the kernel's own rights.
    ///
    /// # Errors
    /// As for any path.
    pub fn lookup(&self, path: &[u8]) -> vfs::Result<Location> {
        let root = self.namespace.root();
        let kernel = Credentials::ROOT;
        let caller = VfsCaller::kernel(&kernel);
        FsContext { namespace: &self.namespace, root: &root, base: &root, caller, confine: Confine::empty() }
            .resolve(path, vfs::Follow::Yes)
    }
}

impl System {
    /// The file systems, once the kernel has set them up.
    pub(crate) fn file_systems(&self) -> SysResult<&FileSystems> {
        Ok(self.files.get().ok_or(Errno::ENODEV)?)
    }

    /// Writes the path of an open file as the first process sees it, or what it is called without one.
    pub(crate) fn describe_file(&self, file: &OpenFile, out: &mut dyn Write) -> core::fmt::Result {
        let path = file
            .location()
            .zip(self.files.get())
            .and_then(|(location, files)| location.display_path(files.namespace(), &files.namespace().root()).ok());
        match path {
            Some(path) => out.write_str(&String::from_utf8_lossy(&path)),
            None => file.file().describe(out),
        }
    }

    /// What mount(2) puts in place for a type and its options.
    pub(crate) fn new_file_system(
        &'static self,
        kind: &[u8],
        options: &[u8],
        pids: Option<&Arc<PidNamespace>>,
    ) -> SysResult<Arc<dyn FileSystem>> {
        let files = self.file_systems()?;
        let total = self.frames.stats().total * types::PAGE_SIZE as u64;
        let memory = |options: RamOptions| RamFs::new(self.frames, self.wall_clock.as_ref(), options);
        Ok(match kind {
            b"tmpfs" => {
                let defaults = RamOptions {
                    root_mode: 0o1777,
                    // Half of memory, and a node per page of that half, as tmpfs(5) has it.
                    max_bytes: total / 2,
                    max_inodes: total / 2 / types::PAGE_SIZE as u64,
                    ..RamOptions::new("tmpfs", new_device())
                };
                memory(defaults.parse(options, total)?)
            }
            b"ramfs" => memory(RamOptions::new("ramfs", new_device())),
            b"sysfs" => self.sysfs()?,
            b"devtmpfs" => files.devices.clone(),
            b"devpts" => files.ptys.clone(),
            b"proc" => match pids {
                // One for all of the first namespace, one of its own for each mount elsewhere.
                None => files.proc.clone(),
                Some(pids) => ProcFs::new(
                    Arc::new(NestedProcesses::new(self, pids.clone())),
                    proc_files(self, &files.info),
                    self.wall_clock.clone(),
                ),
            },
            _ => return Err(Errno::ENODEV.into()),
        })
    }

    /// /sys: only what programs cannot do without, the list of CPUs and the name of the console.
    fn sysfs(&'static self) -> SysResult<Arc<RamFs>> {
        let options = RamOptions { root_mode: 0o555, ..RamOptions::new("sysfs", new_device()) };
        let file_system = RamFs::new(self.frames, self.wall_clock.as_ref(), options);
        let make = |parent: &Arc<dyn vfs::Inode>, name: &str, content: NewContent<'_>, mode: u32| {
            parent.create(name.as_bytes(), &NewNode { content, mode, uid: Uid::ROOT, gid: Gid::ROOT })
        };
        let mut directory = file_system.root();
        for name in ["devices", "system", "cpu"] {
            directory = make(&directory, name, NewContent::Directory, 0o555)?;
        }
        let count = self.platform.online().len().max(1);
        let list = if count == 1 { String::from("0\n") } else { format!("0-{}\n", count - 1) };
        let fill = |file: Arc<dyn vfs::Inode>, text: &[u8]| {
            let kernel = Credentials::ROOT;
            let request = vfs::OpenRequest {
                read: false,
                write: true,
                flags: linux::O_WRONLY,
                caller: VfsCaller::kernel(&kernel),
            };
            file.open(&request)?.write(0, text)
        };
        for name in ["online", "possible", "present"] {
            fill(make(&directory, name, NewContent::Regular, 0o444)?, list.as_bytes())?;
        }
        for cpu in 0..count {
            make(&directory, &format!("cpu{cpu}"), NewContent::Directory, 0o555)?;
        }
        // Shells that need a controlling terminal ask here which one is behind /dev/console.
        directory = file_system.root();
        for name in ["class", "tty", "console"] {
            directory = make(&directory, name, NewContent::Directory, 0o555)?;
        }
        fill(make(&directory, "active", NewContent::Regular, 0o444)?, b"ttyS0\n")?;
        Ok(file_system)
    }

    /// A file for memfd_create(2).
    pub(crate) fn memory_file(
        &'static self,
        namespace: &Namespace,
        name: &[u8],
        flags: u32,
    ) -> SysResult<Arc<OpenFile>> {
        Ok(self.file_systems()?.memory_files.create_memory_file(namespace, name, flags)?)
    }
}

/// Files of /proc that are neither of processes nor in every kernel the same.
fn proc_files(system: &'static System, info: &Arc<dyn MachineInfo>) -> Vec<NamedFile> {
    let random = move || {
        let mut bytes = [0; 16];
        system.platform.random(&mut bytes);
        bytes
    };
    let names =
        vfs::proc::SystemNames { sysname: "Linux", release: RELEASE, version: VERSION, build: "(multios) (rustc)" };
    let mut files = standard_files(&names, &system.command_line, random());
    let mut add = |file| files.push(file);
    add(NamedFile::new("sys/kernel/hostname", 0o644, HostName { system, domain: false }));
    add(NamedFile::new("sys/kernel/domainname", 0o644, HostName { system, domain: true }));
    add(NamedFile::new("sys/kernel/random/uuid", 0o444, move |out: &mut Text| writeln!(out, "{}", uuid(random()))));
    add(NamedFile::new("sys/kernel/pid_max", 0o444, move |out: &mut Text| {
        writeln!(out, "{}", system.processes.pid_max())
    }));
    add(NamedFile::new("sys/kernel/threads-max", 0o444, move |out: &mut Text| {
        writeln!(out, "{}", system.processes.max_threads())
    }));
    add(NamedFile::new("sys/fs/file-max", 0o444, |out: &mut Text| writeln!(out, "{}", i64::MAX)));
    add(NamedFile::new("sys/fs/pipe-max-size", 0o444, |out: &mut Text| writeln!(out, "{}", 1 << 20)));
    for (path, limit) in [
        ("sys/fs/inotify/max_user_instances", &WATCH_LIMITS.instances),
        ("sys/fs/inotify/max_user_watches", &WATCH_LIMITS.watches),
        ("sys/fs/inotify/max_queued_events", &WATCH_LIMITS.events),
        ("sys/fs/mqueue/queues_max", &QUEUE_LIMITS.queues),
        ("sys/fs/mqueue/msg_max", &QUEUE_LIMITS.messages),
        ("sys/fs/mqueue/msgsize_max", &QUEUE_LIMITS.bytes),
    ] {
        add(NamedFile::new(path, 0o644, Setting(limit)));
    }
    for path in ["sysvipc/sem", "sysvipc/shm", "sysvipc/msg"] {
        let kind = path.strip_prefix("sysvipc/").unwrap_or(path);
        add(NamedFile::new(path, 0o444, SysvObjects { system, kind }));
    }
    for (path, value) in [
        ("sys/kernel/shmmax", "18446744073692774399"),
        ("sys/kernel/shmall", "18446744073692774399"),
        ("sys/kernel/shmmni", "4096"),
        ("sys/kernel/msgmax", "8192"),
        ("sys/kernel/msgmnb", "16384"),
        ("sys/kernel/msgmni", "32000"),
        ("sys/kernel/sem", "32000\t1024000000\t500\t32000"),
    ] {
        add(NamedFile::fixed(path, format!("{value}\n")));
    }
    add(NamedFile::new("locks", 0o444, move |out: &mut Text| locks(system, out)));
    add(NamedFile::new("multios/exit_status", 0o600, ExitStatusFile(system)));
    add(NamedFile::new("multios/missing", 0o444, move |out: &mut Text| out.write_str(&system.missing.report())));
    add(NamedFile::new("multios/counts", 0o444, move |out: &mut Text| counts(system, out)));
    add(NamedFile::new("multios/check", 0o444, move |out: &mut Text| match system.processes.check() {
        Ok(sound) => {
            let process::Sound { processes, zombies, members } = sound;
            writeln!(out, "sound: {processes} processes, {zombies} of them zombies, {members} members of lists")
        }
        Err(broken) => writeln!(out, "broken: {} (number {})", broken.rule, broken.number),
    }));
    add(NamedFile::new("multios/violations", 0o444, move |out: &mut Text| system.violations.report(out)));
    let cpus = info.clone();
    add(NamedFile::new("cpuinfo", 0o444, move |out: &mut Text| cpu_info(out, &cpus.cpus())));
    for path in REPORTS {
        let info = info.clone();
        add(NamedFile::new(path, 0o444, move |out: &mut Text| {
            info.report(path.strip_prefix("multios/").unwrap_or(path), out)
        }));
    }
    files
}

/// A number that the administrator may change.
struct Setting(&'static AtomicU32);

impl ProcText for Setting {
    fn read(&self, out: &mut Text) -> core::fmt::Result {
        writeln!(out, "{}", self.0.load(Ordering::Relaxed))
    }

    fn write(&self, data: &[u8], _caller: &VfsCaller<'_>) -> vfs::Result<()> {
        /// What an instance may make the kernel keep stays bounded whoever asks.
        const MOST: u32 = 1 << 20;
        let text = core::str::from_utf8(data).map_err(|_| VfsError::InvalidArgument)?;
        let value: u32 = text.trim().parse().map_err(|_| VfsError::InvalidArgument)?;
        self.0.store(value.min(MOST), Ordering::Relaxed);
        Ok(())
    }
}

/// /proc/locks: the locks of the files that some process has open, each file once.
fn locks(system: &System, out: &mut Text) -> core::fmt::Result {
    let mut seen: BTreeSet<(u64, u64)> = BTreeSet::new();
    let mut flocks: BTreeSet<u64> = BTreeSet::new();
    let mut number = 0;
    for process in system.processes.processes() {
        let Some(files) = process.first_thread().and_then(|thread| thread.files()) else { continue };
        let mut from = 0;
        while let Some((fd, file, _)) = files.next_open(from) {
            from = fd.saturating_add(1);
            let Ok(held) = file.locks() else { continue };
            let node = file.metadata();
            let place = format!("{:02x}:{:02x}:{}", node.dev.major, node.dev.minor, node.ino);
            let kind = |kind| if kind == LockKind::Exclusive { "WRITE" } else { "READ" };
            let flock = held.flock_of(file.id()).filter(|_| flocks.insert(file.id()));
            if let Some(flock) = flock {
                number += 1;
                writeln!(out, "{number}: FLOCK  ADVISORY  {} {} {place} 0 EOF", kind(flock), process.pid())?;
            }
            if !seen.insert((node.dev.encode(), node.ino)) {
                continue;
            }
            held.each_record(&mut |lock| {
                number += 1;
                let (class, pid) = match lock.owner {
                    LockOwner::Process(_) => ("POSIX ", i64::from(lock.pid.0)),
                    LockOwner::OpenFile(_) => ("OFDLCK", -1),
                };
                write!(out, "{number}: {class} ADVISORY  {} {pid} {place} {} ", kind(lock.kind), lock.start)?;
                if lock.end == u64::MAX { writeln!(out, "EOF") } else { writeln!(out, "{}", lock.end) }
            })?;
        }
    }
    Ok(())
}

/// /proc/multios/counts: what the kernel has handed out, one `name number` a line; tests compare it before and after.
fn counts(system: &System, out: &mut Text) -> core::fmt::Result {
    let frames = system.frames.stats();
    writeln!(out, "frames_total {}\nframes_used {}", frames.total, frames.total.saturating_sub(frames.free))?;
    writeln!(out, "frames_free {}\nframes_reserve {}", frames.free, frames.reserve)?;
    writeln!(out, "frames_metadata {}", frames.metadata)?;
    // The first kind is that of free frames.
    for (kind, count) in ["kernel", "tables", "user", "files", "heap"].iter().zip(frames.by_kind.iter().skip(1)) {
        writeln!(out, "frames_{kind} {count}")?;
    }
    let table = &system.processes;
    writeln!(out, "processes {}\nthreads {}", table.process_count(), table.thread_count())?;
    writeln!(out, "numbers {}\ncreated {}", table.numbers_in_use(), table.created_count())
}

/// /proc/multios/exit_status: what the machine reports when it is switched off.
struct ExitStatusFile(&'static System);

impl ProcText for ExitStatusFile {
    fn read(&self, out: &mut Text) -> core::fmt::Result {
        writeln!(out, "{}", self.0.exit_status.load(Ordering::Relaxed))
    }

    fn write(&self, data: &[u8], caller: &VfsCaller<'_>) -> vfs::Result<()> {
        if !caller.credentials.capable(Capabilities::SYS_BOOT) {
            return Err(VfsError::NotPermitted);
        }
        let text = core::str::from_utf8(data).map_err(|_| VfsError::InvalidArgument)?;
        let status = text.trim().parse().map_err(|_| VfsError::InvalidArgument)?;
        self.0.exit_status.store(status, Ordering::Relaxed);
        Ok(())
    }
}

/// /proc/sysvipc: the objects that the reader sees.
struct SysvObjects {
    system: &'static System,
    kind: &'static str,
}

impl ProcText for SysvObjects {
    fn read(&self, out: &mut Text) -> core::fmt::Result {
        self.read_for(Pid::INIT, out)
    }

    fn read_for(&self, reader: Pid, out: &mut Text) -> core::fmt::Result {
        let Some(process) = self.system.processes.process(reader) else { return Ok(()) };
        let Some(thread) = process.first_thread() else { return Ok(()) };
        let ipc = thread.namespaces().ipc.clone();
        ipc.report(self.system, self.kind, |pid| process.shown(pid.0), out)
    }
}

/// /proc/sys/kernel/hostname and domainname.
struct HostName {
    system: &'static System,
    domain: bool,
}

impl ProcText for HostName {
    fn read(&self, out: &mut Text) -> core::fmt::Result {
        self.tell(&self.system.names, out)
    }

    fn read_for(&self, reader: Pid, out: &mut Text) -> core::fmt::Result {
        self.tell(&self.names_of(reader), out)
    }

    fn write(&self, data: &[u8], caller: &VfsCaller<'_>) -> vfs::Result<()> {
        if !caller.credentials.capable(Capabilities::SYS_ADMIN) {
            return Err(VfsError::NotPermitted);
        }
        let text = data.split(|byte| *byte == b'\n').next().unwrap_or_default();
        let text = text.get(..text.len().min(64)).unwrap_or_default();
        let name = String::from_utf8_lossy(text).into_owned();
        let names = self.names_of(caller.pid);
        drop(if self.domain { names.set_domain(name) } else { names.set_host(name) });
        Ok(())
    }
}

impl HostName {
    /// The names that a process sees.
    fn names_of(&self, pid: Pid) -> Arc<UtsNamespace> {
        let thread = self.system.processes.process(pid).and_then(|process| process.first_thread());
        thread.map_or_else(|| self.system.names.clone(), |thread| thread.namespaces().names.clone())
    }

    fn tell(&self, names: &UtsNamespace, out: &mut Text) -> core::fmt::Result {
        let names = names.names();
        writeln!(out, "{}", if self.domain { names.domain } else { names.host })
    }
}
