//! A whole system on the host: frames, address spaces, processes and file systems are the real ones, only the machine is
//! pretended. Tests make calls through the same dispatch as programs.

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt::Write;
use core::future::Future;
use core::pin::Pin;
use core::sync::atomic::{AtomicI32, AtomicU64, AtomicUsize, Ordering};
use core::task::{Context, Poll, Waker};
use std::sync::Mutex;
use std::task::Wake;
use std::vec;

use abi::linux::general as linux;
use abi::{Wire, Zeroed};
use hal::fake::FakeMmu;
use hal::{Console, PowerAction, UserContext};
use memory::{
    AddressSpace, DirectMap, Frames, KernelLayout, KernelTables, MapRequest, MemoryRegion, PagingFeatures, Prot,
};
use process::futex::FutexTable;
use process::signal::frame::FpLayout;
use process::{OnExec, Places, ProcessManagerConfig, ProcessTable, ResourceLimits, SpawnRequest, TableConfig};
use sync::{Once, TimerQueue};
use types::{CpuId, CpuSet, Nanos};
use vfs::dev::KernelLog;
use vfs::proc::{CpuInfo, CpuTimes};

use crate::dispatch::dispatch;
use crate::{
    Caller, CreatedProcesses, FileSystems, FpuState, Hardware, KernelTask, LoadAverage, Machine, MachineInfo,
    MissingCalls, NamespaceSet, NewThread, OutOfMemory, Platform, Process, Registers, RestartBlock, SysError,
    SysResult, System, Thread, UtsNamespace, ViolationLog, WallClock, dispatch_now,
};

/// Pages of memory of a test's machine.
const PAGES: u64 = 4 << 10;
/// Bytes of the scratch memory each task starts with.
const SCRATCH: u64 = 1 << 20;

/// The pretended machine.
pub(crate) struct TestPlatform {
    now: AtomicU64,
    frames: &'static Frames,
    mmu: &'static FakeMmu,
    tables: KernelTables,
    random: AtomicU64,
    pub(crate) started: Mutex<Vec<NewThread>>,
    pub(crate) admitted: Mutex<Vec<Arc<Thread>>>,
    pub(crate) tasks: Mutex<Vec<KernelTask>>,
    pub(crate) powered: AtomicI32,
}

impl Platform for TestPlatform {
    fn now(&self) -> Nanos {
        Nanos(self.now.load(Ordering::SeqCst))
    }

    fn arm_timer(&self, _deadline: Nanos) {}

    fn charge(&self) {}

    fn copy_in(&self, space: &AddressSpace, from: u64, to: &mut [u8]) -> usize {
        space.read(from, to)
    }

    fn copy_out(&self, space: &AddressSpace, to: u64, from: &[u8]) -> usize {
        space.write(to, from)
    }

    fn new_space(&self) -> Option<AddressSpace> {
        AddressSpace::new(self.frames, self.mmu, &self.tables).ok()
    }

    fn start_thread(&self, new: NewThread) -> Result<(), OutOfMemory> {
        self.started.lock().unwrap().push(new);
        Ok(())
    }

    fn admit_thread(&self, thread: Arc<Thread>) -> Result<(), OutOfMemory> {
        self.admitted.lock().unwrap().push(thread);
        Ok(())
    }

    fn run_task(&self, task: KernelTask) -> Result<(), OutOfMemory> {
        self.tasks.lock().unwrap().push(task);
        Ok(())
    }

    fn random(&self, out: &mut [u8]) {
        for byte in out {
            *byte = (self.random.fetch_add(0x9e37_79b9_7f4a_7c15, Ordering::SeqCst) >> 56) as u8;
        }
    }

    fn power(&self, _action: PowerAction, status: i32) {
        self.powered.store(status, Ordering::SeqCst);
    }

    fn serve_interrupts(&self) {}

    fn scheduling_changed(&self, _thread: &Thread) {}

    fn online(&self) -> CpuSet {
        CpuSet::single(CpuId(0))
    }

    fn current_cpu(&self) -> CpuId {
        CpuId(0)
    }

    fn current_node(&self) -> u32 {
        0
    }

    fn current_thread(&self) -> Option<Arc<Thread>> {
        None
    }

    fn fp_layout(&self) -> FpLayout {
        FpLayout::LEGACY
    }

    fn hardware(&self) -> Hardware {
        Hardware::default()
    }
}

/// The console's other side.
#[derive(Default)]
pub(crate) struct Screen(Mutex<Vec<u8>>);

impl Console for Screen {
    fn write(&self, bytes: &[u8]) {
        self.0.lock().unwrap().extend_from_slice(bytes);
    }
}

impl Screen {
    /// What was shown since it was last asked.
    pub(crate) fn take(&self) -> Vec<u8> {
        core::mem::take(&mut self.0.lock().unwrap())
    }
}

struct Log;

impl KernelLog for Log {
    fn write(&self, _text: &[u8]) {}

    fn read(&self, _position: u64, _out: &mut [u8]) -> Option<(usize, u64)> {
        None
    }
}

struct Info;

impl MachineInfo for Info {
    fn cpus(&self) -> Vec<CpuInfo> {
        vec![CpuInfo::default()]
    }

    fn cpu_times(&self) -> Vec<CpuTimes> {
        vec![CpuTimes::default()]
    }

    fn interrupts(&self) -> u64 {
        1
    }

    fn switches(&self) -> u64 {
        2
    }

    fn running(&self) -> u32 {
        1
    }

    fn report(&self, name: &str, out: &mut dyn Write) -> core::fmt::Result {
        writeln!(out, "{name} 7")
    }
}

pub(crate) struct NoFpu;

impl FpuState for NoFpu {
    fn len(&self) -> usize {
        512
    }

    fn save_to(&mut self, work: &mut dyn FnMut(&mut [u8]) -> bool) -> bool {
        work(&mut [0; 512])
    }

    fn load_from(&mut self, fill: &mut dyn FnMut(&mut [u8]) -> bool) -> bool {
        fill(&mut [0; 512])
    }

    fn reset(&mut self) {}
}

/// A system with its console.
#[derive(Clone)]
pub(crate) struct World {
    pub(crate) system: &'static System,
    pub(crate) platform: &'static TestPlatform,
    pub(crate) screen: Arc<Screen>,
}

impl World {
    /// A system with /dev, /proc, /tmp and a first process. Its memory is never freed.
    pub(crate) fn new() -> (Self, Task) {
        let map = DirectMap::host((PAGES * 4096) as usize);
        let regions = [MemoryRegion { start: 0, end: PAGES * 4096, node: 0 }];
        let frames: &'static Frames = Box::leak(Box::new(Frames::new(map, &regions, 64).unwrap()));
        let features = PagingFeatures { gib_pages: true, no_execute: true, global_pages: true };
        let layout = KernelLayout { ram: &regions, image: &[], features };
        let tables = KernelTables::build(frames, &layout).unwrap();
        let platform: &'static TestPlatform = Box::leak(Box::new(TestPlatform {
            now: AtomicU64::new(1_000_000_000),
            frames,
            mmu: Box::leak(Box::default()),
            tables,
            random: AtomicU64::new(1),
            started: Mutex::new(Vec::new()),
            admitted: Mutex::new(Vec::new()),
            tasks: Mutex::new(Vec::new()),
            powered: AtomicI32::new(-1),
        }));
        let system: &'static System = Box::leak(Box::new(System {
            platform,
            frames,
            processes: ProcessTable::new(TableConfig { pid_max: 1024, ..TableConfig::default() }).unwrap(),
            manager: ProcessManagerConfig::default(),
            created: CreatedProcesses::new(),
            violations: ViolationLog::new(),
            futexes: FutexTable::new(),
            timers: TimerQueue::new(),
            wall_clock: Arc::new(WallClock::new(platform, Box::leak(Box::default()), 1_700_000_000)),
            mapped_files: crate::MappedFiles::new(),
            missing: MissingCalls::new(),
            names: UtsNamespace::first(),
            exit_status: AtomicI32::new(0),
            load: LoadAverage::new(),
            forks: AtomicU64::new(0),
            randomize: false,
            files: Once::new(),
            services: crate::ServiceRoom::new(),
            command_line: "quiet".into(),
        }));
        let screen = Arc::new(Screen::default());
        let machine = Machine { console: screen.clone(), log: Arc::new(Log), info: Arc::new(Info) };
        let files = FileSystems::new(system, machine, &[]).unwrap();
        system.files.call_once(|| files);
        let world = Self { system, platform, screen };
        let init = world.first_process();
        for directory in ["/dev", "/proc", "/tmp"] {
            assert_eq!(init.call(linux::__NR_mkdir, [init.path(directory), 0o1777]), 0);
        }
        for (kind, at) in [("devtmpfs", "/dev"), ("proc", "/proc"), ("devpts", "/dev/pts")] {
            let mounted = init.call(linux::__NR_mount, [init.path(kind), init.path(at), init.path(kind), 0, 0]);
            assert_eq!(mounted, 0, "{kind}");
        }
        (world, init)
    }

    fn first_process(&self) -> Task {
        let system = self.system;
        let files = system.files.get().unwrap();
        let space = Arc::new(self.platform.new_space().unwrap());
        let thread = system
            .processes
            .create_init(SpawnRequest {
                space: space.clone(),
                places: Places { cwd: files.namespace().root(), root: files.namespace().root() },
                namespaces: NamespaceSet::first(files.namespace().clone(), system.names.clone()),
                affinity: self.platform.online(),
                limits: ResourceLimits::new(),
                name: b"init",
                now: self.platform.now(),
            })
            .unwrap();
        let stream = files.standard_stream().unwrap();
        for _ in 0..3 {
            thread.files().unwrap().insert(stream.clone(), 0, 3, OnExec::Keep).unwrap();
        }
        Task::new(self.clone(), thread, space)
    }

    /// Lets time pass and timers go off.
    pub(crate) fn advance(&self, by: Nanos) {
        self.platform.now.fetch_add(by.0, Ordering::SeqCst);
        self.system.timers.expire(self.platform.now(), self.system.wall_clock.offset());
    }

    /// Types at the console.
    pub(crate) fn type_in(&self, text: &[u8]) {
        let effects = self.system.files.get().unwrap().console().receive(text);
        self.system.after_terminal(effects);
    }
}

/// Counts wake-ups.
#[derive(Default)]
struct Woken(AtomicUsize);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

/// A thread whose calls a test makes.
pub(crate) struct Task {
    pub(crate) world: World,
    pub(crate) thread: Arc<Thread>,
    pub(crate) process: Arc<Process>,
    pub(crate) space: Arc<AddressSpace>,
    /// Memory it can read and write.
    pub(crate) scratch: u64,
    used: AtomicU64,
    woken: Arc<Woken>,
}

/// How a call comes in from user mode.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Entry {
    /// By what need not wait, as usual.
    Fast,
    /// Past that, as while somebody sets call filters.
    Slow,
}

/// Result of a call that would wait.
pub(crate) const WAITS: i64 = i64::MIN;

impl Task {
    fn new(world: World, thread: Arc<Thread>, space: Arc<AddressSpace>) -> Self {
        let scratch = space.map(MapRequest::anonymous(SCRATCH, Prot::READ | Prot::WRITE)).unwrap();
        let process = thread.process().clone();
        let woken = Arc::new(Woken::default());
        thread.set_waker(Waker::from(woken.clone()));
        Self { world, thread, process, space, scratch, used: AtomicU64::new(0), woken }
    }

    /// Who makes this task's calls.
    pub(crate) fn caller(&self) -> Caller<'_> {
        Caller { system: self.world.system, process: &self.process, thread: &self.thread, space: &self.space }
    }

    /// Makes a call; the negative errno on failure, [`WAITS`] if it has to wait (it is given up then).
    pub(crate) fn call<const N: usize>(&self, number: u32, args: [u64; N]) -> i64 {
        match self.start(number, args).poll() {
            Poll::Ready(value) => value,
            Poll::Pending => WAITS,
        }
    }

    /// Starts a call that may wait.
    pub(crate) fn start<const N: usize>(&self, number: u32, args: [u64; N]) -> Running<'_> {
        self.start_by(Entry::Fast, number, args)
    }

    /// Makes a call by that entry, as [`Task::call`] does.
    pub(crate) fn call_by<const N: usize>(&self, entry: Entry, number: u32, args: [u64; N]) -> i64 {
        match self.start_by(entry, number, args).poll() {
            Poll::Ready(value) => value,
            Poll::Pending => WAITS,
        }
    }

    fn start_by<const N: usize>(&self, entry: Entry, number: u32, args: [u64; N]) -> Running<'_> {
        let mut six = [0; 6];
        six[..N].copy_from_slice(&args);
        let future = Box::pin(async move {
            let mut context = UserContext::new(0x40_0000, 0x7fff_0000);
            context.orig_rax = u64::from(number);
            [context.rdi, context.rsi, context.rdx, context.r10, context.r8, context.r9] = six;
            let mut restart: Option<Box<RestartBlock>> = None;
            let mut registers = Registers {
                context: &mut context,
                fpu: &mut NoFpu,
                restart: &mut restart,
                exit: None,
                new_space: None,
            };
            let at_once = match entry {
                Entry::Fast => dispatch_now(self.caller(), number.into(), six),
                Entry::Slow => None,
            };
            match at_once {
                Some(result) => result,
                None => dispatch(self.caller(), &mut registers).await,
            }
        });
        Running { future, woken: self.woken.clone(), seen: None }
    }

    /// A child by fork, with the same memory and descriptors.
    pub(crate) fn fork(&self) -> Self {
        let pid = self.call(linux::__NR_fork, []);
        assert!(pid > 0, "{pid}");
        let new = self.world.platform.started.lock().unwrap().pop().unwrap();
        let space = new.process.space().unwrap();
        let woken = Arc::new(Woken::default());
        new.thread.set_waker(Waker::from(woken.clone()));
        let used = AtomicU64::new(self.used.load(Ordering::SeqCst));
        let world = self.world.clone();
        Self { world, thread: new.thread, process: new.process, space, scratch: self.scratch, used, woken }
    }

    /// `len` fresh bytes of its memory.
    pub(crate) fn room(&self, len: u64) -> u64 {
        let at = self.used.fetch_add(len.next_multiple_of(16), Ordering::SeqCst);
        assert!(at + len <= SCRATCH, "scratch memory is used up");
        self.scratch + at
    }

    /// Forgets all memory handed out so far.
    pub(crate) fn rewind(&self) {
        self.used.store(0, Ordering::SeqCst);
    }

    /// Puts bytes into its memory.
    pub(crate) fn bytes(&self, data: &[u8]) -> u64 {
        let at = self.room(data.len() as u64);
        assert_eq!(self.space.write(at, data), data.len());
        at
    }

    /// Puts a NUL-terminated string into its memory.
    pub(crate) fn path(&self, text: &str) -> u64 {
        self.bytes(&[text.as_bytes(), b"\0"].concat())
    }

    /// Puts a structure into its memory.
    pub(crate) fn value<T: Wire>(&self, value: &T) -> u64 {
        self.bytes(value.to_bytes().as_ref())
    }

    /// Bytes of its memory.
    pub(crate) fn look(&self, at: u64, len: usize) -> Vec<u8> {
        let mut out = vec![0; len];
        assert_eq!(self.space.read(at, &mut out), len);
        out
    }

    /// A structure in its memory.
    pub(crate) fn get<T: Wire>(&self, at: u64) -> T {
        let mut bytes = T::Bytes::zeroed();
        assert_eq!(self.space.read(at, bytes.as_mut()), T::SIZE);
        T::from_bytes(&bytes)
    }

    /// open(2).
    pub(crate) fn open(&self, path: &str, flags: u32) -> i64 {
        self.call(linux::__NR_open, [self.path(path), flags.into(), 0o644])
    }

    /// write(2).
    pub(crate) fn write(&self, fd: i64, data: &[u8]) -> i64 {
        self.call(linux::__NR_write, [fd as u64, self.bytes(data), data.len() as u64])
    }

    /// read(2): the bytes, or the negative errno.
    pub(crate) fn read(&self, fd: i64, len: u64) -> Result<Vec<u8>, i64> {
        let at = self.room(len);
        match self.call(linux::__NR_read, [fd as u64, at, len]) {
            count if count >= 0 => Ok(self.look(at, count as usize)),
            error => Err(error),
        }
    }

    /// All of a file.
    pub(crate) fn content(&self, path: &str) -> Vec<u8> {
        let fd = self.open(path, linux::O_RDONLY);
        assert!(fd >= 0, "{path}: {fd}");
        let mut all = Vec::new();
        loop {
            self.rewind();
            match self.read(fd, 4096) {
                Ok(part) if part.is_empty() => break,
                Ok(part) => all.extend(part),
                Err(error) => panic!("{path}: {error}"),
            }
        }
        self.call(linux::__NR_close, [fd as u64]);
        all
    }

    /// pipe(2).
    pub(crate) fn pipe(&self) -> (i64, i64) {
        let out = self.room(8);
        assert_eq!(self.call(linux::__NR_pipe, [out]), 0);
        (self.get::<i32>(out).into(), self.get::<i32>(out + 4).into())
    }
}

/// A call under way.
pub(crate) struct Running<'t> {
    future: Pin<Box<dyn Future<Output = SysResult> + 't>>,
    woken: Arc<Woken>,
    seen: Option<usize>,
}

impl Running<'_> {
    /// Goes on with it.
    pub(crate) fn poll(&mut self) -> Poll<i64> {
        self.seen = Some(self.woken.0.load(Ordering::SeqCst));
        let waker = Waker::from(self.woken.clone());
        self.future.as_mut().poll(&mut Context::from_waker(&waker)).map(number)
    }

    /// Whether its task was woken since it was last polled.
    pub(crate) fn is_woken(&self) -> bool {
        self.seen != Some(self.woken.0.load(Ordering::SeqCst))
    }

    /// Asserts that it waits.
    #[track_caller]
    pub(crate) fn waits(&mut self) {
        assert_eq!(self.poll(), Poll::Pending);
    }

    /// Asserts that its task was woken, and gives the result.
    #[track_caller]
    pub(crate) fn finish(&mut self) -> i64 {
        assert!(self.is_woken(), "nobody woke it");
        match self.poll() {
            Poll::Ready(value) => value,
            Poll::Pending => panic!("it still waits"),
        }
    }
}

/// What a program would see; restarts show as Linux's internal numbers.
fn number(result: SysResult) -> i64 {
    match result {
        Ok(value) => value as i64,
        Err(SysError::Errno(errno)) => -i64::from(errno.number()),
        Err(SysError::Restart(restart)) => restart.mark() as i64,
    }
}
