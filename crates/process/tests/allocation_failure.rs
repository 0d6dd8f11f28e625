//! Creation paths under an allocator that refuses: an error, and nothing half done.
//!
//! Only large requests are refused: those are the ones whose size a user controls. Small ones are served from a reserve in
//! the kernel.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::sync::Arc;

use abi::Signal;
use process::{
    CloneFlags, CloneRequest, ExitStatus, FileTable, OnExec, Places, ProcessError, ProcessTable, ResourceLimits,
    Resources, Result, SpawnRequest, TableConfig, Thread, WaitRequest,
};
use types::{CpuSet, Nanos};

/// Requests from this size on can be refused.
const LARGE: usize = 2048;

thread_local! {
    /// Large requests still granted to this thread; `None`: all.
    static GRANTED: Cell<Option<u32>> = const { Cell::new(None) };
    static REFUSED: Cell<u32> = const { Cell::new(0) };
}

struct Failing;

fn refuses(size: usize) -> bool {
    if size < LARGE {
        return false;
    }
    let refuse = match GRANTED.get() {
        None => false,
        Some(0) => true,
        Some(left) => {
            GRANTED.set(Some(left - 1));
            false
        }
    };
    if refuse {
        REFUSED.set(REFUSED.get() + 1);
    }
    refuse
}

// SAFETY: every request is either refused by a null pointer, which is allowed, or passed on unchanged.
unsafe impl GlobalAlloc for Failing {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if refuses(layout.size()) {
            return std::ptr::null_mut();
        }
        // SAFETY: the caller keeps the contract of `alloc`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        // SAFETY: `at` came from `System` with this layout.
        unsafe { System.dealloc(at, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Failing = Failing;

/// Runs `attempt` with the first, second, … large request refused until it succeeds; `check` runs after each failure.
fn with_each_failure<T>(mut attempt: impl FnMut() -> Result<T>, mut check: impl FnMut()) -> (T, u32) {
    for granted in 0.. {
        GRANTED.set(Some(granted));
        let result = attempt();
        GRANTED.set(None);
        match result {
            Ok(value) => return (value, granted),
            Err(error) => assert_eq!(error, ProcessError::NoMemory),
        }
        check();
    }
    unreachable!()
}

struct Plain;

impl Resources for Plain {
    type Space = u64;
    type File = Arc<u32>;
    type Path = u32;
    type Terminal = u32;
    type Namespaces = u32;
    type Filter = u32;
}

fn init(table: &ProcessTable<Plain>) -> Result<Arc<Thread<Plain>>> {
    table.create_init(SpawnRequest {
        space: Arc::new(1),
        places: Places { cwd: 0, root: 0 },
        namespaces: 0,
        affinity: CpuSet(1),
        limits: ResourceLimits::new(),
        name: b"init",
        now: Nanos(1),
    })
}

fn clone(table: &ProcessTable<Plain>, parent: &Arc<Thread<Plain>>, flags: CloneFlags) -> Result<Arc<Thread<Plain>>> {
    let exit_signal = Some(Signal::CHLD);
    let space = Arc::new(2);
    let now = Nanos(2);
    table.clone_thread(
        parent,
        CloneRequest { flags, exit_signal, space, namespaces: None, pids: None, clear_child_tid: 0, now },
    )
}

fn end(table: &ProcessTable<Plain>, thread: &Arc<Thread<Plain>>) {
    table.begin_exit(thread, ExitStatus::from_code(0)).effects.run();
    table.finish_exit(thread).run();
}

#[test]
fn table_and_first_process_come_whole_or_not_at_all() {
    let (table, needed) = with_each_failure(|| ProcessTable::new(TableConfig::default()), || ());
    assert!(needed >= 1, "no failure was injected");
    let (_, needed) = with_each_failure(|| init(&table), || assert_eq!(table.process_count(), 0));
    assert!(needed >= 1);
    assert_eq!((table.process_count(), table.numbers_in_use()), (1, 1));
}

#[test]
fn failed_fork_changes_nothing() {
    let table = ProcessTable::new(TableConfig::default()).unwrap();
    let init = init(&table).unwrap();
    let file = Arc::new(7);
    for _ in 0..1000 {
        init.files().unwrap().insert(file.clone(), 0, 4096, OnExec::Keep).unwrap();
    }
    // Numbers up to the end of a chunk are used, so that the fork below needs the next one as well.
    let filler: Vec<_> = (2..256).map(|_| clone(&table, &init, CloneFlags::FILES).unwrap()).collect();
    let (files, numbers, processes) = (Arc::strong_count(&file), table.numbers_in_use(), table.process_count());
    let (child, needed) = with_each_failure(
        || clone(&table, &init, CloneFlags::FORK),
        || {
            assert_eq!(Arc::strong_count(&file), files);
            assert_eq!((table.numbers_in_use(), table.process_count()), (numbers, processes));
            assert_eq!(init.identity().user.threads(), processes);
        },
    );
    assert!(needed >= 2, "the descriptor table and the nodes of the next chunk");
    assert_eq!(Arc::strong_count(&file), files + 1000);
    end(&table, &child);
    filler.iter().for_each(|thread| end(&table, thread));
    let any = WaitRequest::wait4(init.process(), -1, 0).unwrap();
    while let Ok(Some(_)) = table.try_wait(&init, &any) {}
    drop(child);
    assert_eq!((Arc::strong_count(&file), table.process_count()), (files, 1));
}

#[test]
fn failed_thread_creation_changes_nothing() {
    let table = ProcessTable::new(TableConfig::default()).unwrap();
    let init = init(&table).unwrap();
    let flags = CloneFlags::VM | CloneFlags::SIGHAND | CloneFlags::THREAD | CloneFlags::FS | CloneFlags::FILES;
    let mut injected = 0;
    for count in 1..600 {
        let (_, needed) = with_each_failure(
            || clone(&table, &init, flags),
            || assert_eq!((init.process().thread_count(), table.thread_count()), (count, count as u32)),
        );
        injected += needed;
    }
    assert!(injected >= 4, "both lists of threads and a chunk of numbers: {injected}");
}

#[test]
fn failed_descriptor_growth_keeps_the_table() {
    let table = FileTable::new();
    let file = Arc::new(7);
    let mut injected = 0;
    for fd in 0..2000 {
        let (got, needed) = with_each_failure(
            || table.insert(file.clone(), 0, 4096, OnExec::Keep),
            || assert_eq!((table.open_count(), Arc::strong_count(&file)), (fd as usize, fd as usize + 1)),
        );
        assert_eq!(got, fd);
        injected += needed;
    }
    assert!(injected >= 3);
    let (_, needed) = with_each_failure(|| table.replace(3000, file.clone(), 4096, OnExec::Keep), || ());
    assert!(needed >= 1);
    let (copy, needed) = with_each_failure(|| table.try_clone(), || assert_eq!(Arc::strong_count(&file), 2002));
    assert!(needed >= 1);
    assert_eq!(copy.open_count(), 2001);
    assert!(REFUSED.get() > 0);
}
