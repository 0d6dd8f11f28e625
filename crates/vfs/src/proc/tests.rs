//! /proc against a fake kernel, and in layout against the host's own.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;

use abi::{Rlimit, SigSet, Signal};
use types::{CpuId, CpuSet, Credentials, Gid, Nanos, Pgid, Pid, Sid, Tid, Uid};

use super::*;
use crate::{
    Caller, Clock, DeviceNumber, DirEntry, FIRST_COOKIE, FileSystem, FileType, Inode, LinkTarget, MountFlags,
    MountLine, OpenRequest, Result, Timestamp, VfsError,
};

struct FixedClock;

impl Clock for FixedClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_secs(1_700_000_000)
    }
}

/// Processes 1 (root, threads 1 and 5) and 42 (user 1000).
struct Fake;

impl ProcSource for Fake {
    fn next_pid(&self, from: Pid) -> Option<Pid> {
        [Pid(1), Pid(42)].into_iter().find(|pid| *pid >= from)
    }

    fn next_tid(&self, pid: Pid, from: Tid) -> Option<Tid> {
        let tids: &[u32] = if pid == Pid(1) { &[1, 5] } else { &[42] };
        tids.iter().copied().map(Tid).find(|tid| *tid >= from)
    }

    fn owner(&self, task: TaskId) -> Option<TaskOwner> {
        match (task.pid.0, task.tid.map(|tid| tid.0)) {
            (1, None | Some(1 | 5)) => Some(TaskOwner { uid: Uid(0), gid: Gid(0) }),
            (42, None | Some(42)) => Some(TaskOwner { uid: Uid(1000), gid: Gid(100) }),
            _ => None,
        }
    }

    fn may_inspect(&self, pid: Pid, caller: &Caller<'_>) -> bool {
        caller.credentials.euid == Uid(0) || pid == Pid(42) && caller.credentials.euid == Uid(1000)
    }

    fn task(&self, task: TaskId) -> Option<TaskSnapshot> {
        self.owner(task)?;
        Some(TaskSnapshot {
            pid: task.pid,
            tid: task.tid.unwrap_or(Tid::from(task.pid)),
            name: b"busy box".to_vec(),
            state: TaskState::Sleeping,
            parent: Pid(if task.pid == Pid(42) { 1 } else { 0 }),
            group: Pgid(task.pid.0),
            session: Sid(task.pid.0),
            tracer: Pid(0),
            terminal: Some(DeviceNumber::new(136, 3)),
            terminal_foreground: Some(Pgid(42)),
            flags: 0x40_0000,
            minor_faults: (104, 7),
            major_faults: (1, 2),
            user_time: Nanos::from_millis(1230),
            system_time: Nanos::from_millis(45),
            children_user_time: Nanos::ZERO,
            children_system_time: Nanos::from_millis(20),
            priority: 20,
            nice: 0,
            realtime_priority: 0,
            policy: 0,
            threads: 2,
            start: Nanos::from_secs(3),
            memory: TaskMemory {
                peak_size: 4 << 20,
                size: 3 << 20,
                resident_anonymous: 112 << 10,
                resident_file: 1640 << 10,
                data: 360 << 10,
                stack: 132 << 10,
                text: 20 << 10,
                page_tables: 52 << 10,
                code_range: (0x40_0000, 0x40_5000),
                stack_start: 0x7fff_1000,
                ..TaskMemory::default()
            },
            registers: (0, 0),
            pending: SigSet::EMPTY,
            shared_pending: SigSet::EMPTY,
            blocked: SigSet::EMPTY.with(Signal::INT),
            ignored: SigSet::EMPTY,
            caught: SigSet::EMPTY.with(Signal::CHLD),
            signal_queue: (0, 1024),
            exit_signal: Some(Signal::CHLD),
            exit_code: 0,
            cpu: 1,
            cpus_allowed: CpuSet::EMPTY.with(CpuId(0)).with(CpuId(1)).with(CpuId(33)),
            credentials: Credentials::ROOT,
            umask: 0o22,
            fd_slots: 64,
            fd_count: 3,
            voluntary_switches: 9,
            involuntary_switches: 8,
            no_new_privileges: false,
            seccomp: 0,
            seccomp_filters: 0,
            nested: Vec::new(),
            personality: 0,
            wait_channel: Some("do_wait"),
            cgroup: String::new(),
            oom_score: 666,
            oom_score_adj: -5,
            limits: [Rlimit { rlim_cur: 1024, rlim_max: u64::MAX }; 16],
            io: IoCounts { read_chars: 8708, ..IoCounts::default() },
            class: ("User", false),
            run_delay: Nanos(77),
        })
    }

    fn bytes(&self, _pid: Pid, what: TaskBytes) -> Result<Vec<u8>> {
        Ok(match what {
            TaskBytes::CommandLine => b"/bin/sh\0-c\0true\0".to_vec(),
            TaskBytes::Environment => b"HOME=/root\0".to_vec(),
            TaskBytes::AuxiliaryVector => vec![0; 16],
        })
    }

    fn maps(&self, _pid: Pid, visit: &mut dyn FnMut(&MapsLine<'_>)) {
        let line = MapsLine {
            start: 0x55ec_8180_4000,
            end: 0x55ec_8180_6000,
            read: true,
            write: false,
            execute: true,
            shared: false,
            offset: 0x2000,
            device: DeviceNumber::new(0xfe, 0),
            ino: 247_282,
            name: b"/usr/bin/head",
            resident: 8192,
            anonymous: 0,
            locked: false,
        };
        visit(&line);
        visit(&MapsLine { device: DeviceNumber::new(0, 0), ino: 0, name: b"", ..line });
    }

    fn mounts(&self, _task: TaskId) -> Result<Vec<MountLine>> {
        Ok(vec![MountLine {
            id: 22,
            parent: 27,
            dev: DeviceNumber::new(0, 21),
            root: b"/".to_vec(),
            point: b"/my proc".to_vec(),
            source: b"proc".to_vec(),
            kind: "proc",
            flags: MountFlags::NO_SET_ID,
            options: String::from(",hidepid=0"),
        }])
    }

    fn next_fd(&self, _task: TaskId, from: u32) -> Option<FdInfo> {
        let fd = [0, 1, 7].into_iter().find(|fd| *fd >= from)?;
        Some(FdInfo { fd, readable: fd != 1, writable: fd != 0, position: 5, flags: 0o100_002, mount: 24, ino: 3 })
    }

    fn link_text(&self, task: TaskId, link: LinkKind, _caller: &Caller<'_>) -> Result<Vec<u8>> {
        Ok(format!("/{}/{link:?}", task.pid).into_bytes())
    }

    fn follow(&self, task: TaskId, link: LinkKind, caller: &Caller<'_>) -> Result<LinkTarget> {
        self.link_text(task, link, caller).map(LinkTarget::Path)
    }

    fn set(&self, _task: TaskId, what: TaskSetting, value: &[u8], _caller: TaskWriter) -> Result<()> {
        if what == TaskSetting::Name && value == b"new" { Ok(()) } else { Err(VfsError::InvalidArgument) }
    }

    fn load(&self) -> Load {
        Load {
            uptime: Nanos::from_millis(2_519_204),
            idle: Nanos::from_millis(4_710_027),
            averages: [80_609, 35_389, 15_728],
            running: 2,
            threads: 94,
            last_pid: Pid(18_984),
        }
    }

    fn stat(&self) -> (Vec<CpuTimes>, StatTotals) {
        let cpu = CpuTimes { user: Nanos::from_secs(1), idle: Nanos::from_secs(2), ..CpuTimes::default() };
        (vec![cpu, cpu], StatTotals { boot_time: 1_795_297_910, ..StatTotals::default() })
    }

    fn memory(&self) -> MemoryInfo {
        MemoryInfo { total: 512 << 20, free: 400 << 20, available: 450 << 20, ..MemoryInfo::default() }
    }
}

fn proc_fs() -> Arc<ProcFs> {
    let names = SystemNames { sysname: "Linux", release: "6.6.0", version: "#1", build: "(builder)" };
    let mut files = standard_files(&names, "console=ttyS0", [0xab; 16]);
    files.push(NamedFile::fixed("multios/missing", "none\n"));
    ProcFs::new(Arc::new(Fake), files, Arc::new(FixedClock))
}

const ROOT: Credentials = Credentials::ROOT;

fn caller(credentials: &Credentials) -> Caller<'_> {
    Caller { pid: Pid(42), tid: Tid(42), ..Caller::kernel(credentials) }
}

fn find(fs: &ProcFs, path: &str) -> Result<Arc<dyn Inode>> {
    path.split('/').try_fold(fs.root(), |node, name| node.lookup(name.as_bytes()))
}

fn open_as(fs: &ProcFs, path: &str, credentials: &Credentials) -> Result<Arc<dyn crate::File>> {
    let request = OpenRequest { read: true, write: true, flags: 0, caller: caller(credentials) };
    find(fs, path)?.open(&request)
}

fn text(path: &str) -> String {
    let file = open_as(&proc_fs(), path, &ROOT).unwrap_or_else(|error| panic!("{path}: {error:?}"));
    let mut all = Vec::new();
    let mut chunk = [0; 7];
    loop {
        let count = file.read(all.len() as u64, &mut chunk).unwrap();
        if count == 0 {
            return String::from_utf8(all).unwrap();
        }
        all.extend_from_slice(&chunk[..count]);
    }
}

fn list(node: &Arc<dyn Inode>, at_a_time: usize) -> Vec<(String, u64, FileType)> {
    let mut all = Vec::new();
    let mut from = FIRST_COOKIE;
    loop {
        let before = all.len();
        node.read_dir(from, &mut |entry: &DirEntry<'_>| {
            if all.len() - before == at_a_time {
                return false;
            }
            from = entry.next;
            all.push((String::from_utf8(entry.name.to_vec()).unwrap(), entry.ino, entry.kind));
            true
        })
        .unwrap();
        if all.len() == before {
            return all;
        }
    }
}

/// Names before the colon, in order.
fn keys(text: &str) -> Vec<String> {
    text.lines().filter_map(|line| Some(line.split_once(':')?.0.to_string())).collect()
}

/// What both have comes in the same order; kernels of different ages have a few lines of their own.
fn same_order(ours: &str, theirs: &str, at_least: usize) {
    let (ours, theirs) = (keys(ours), keys(theirs));
    let common: Vec<_> = ours.iter().filter(|key| theirs.contains(key)).collect();
    assert!(common.len() >= at_least, "only {common:?} of {ours:?} on the host");
    assert!(theirs.iter().filter(|key| ours.contains(key)).eq(common));
}

fn host(path: &str) -> String {
    std::fs::read_to_string(path).unwrap()
}

#[test]
fn stat_has_the_fields_of_the_host_in_number_and_place() {
    let ours = text("42/stat");
    let after = |text: &str| text.rsplit_once(')').unwrap().1.split_whitespace().count();
    assert_eq!(after(&ours), after(&host("/proc/self/stat")));
    assert!(ours.starts_with("42 (busy box) S 1 42 42 34819 42 4194304 104 7 1 2 123 4 0 2 20 0 2 0 300 3145728 438 "));
    assert!(ours.ends_with(" 0 0 0 0 0 0 0 0\n"), "{ours}");
}

#[test]
fn status_has_the_lines_of_the_host_in_order() {
    same_order(&text("42/status"), &host("/proc/self/status"), 40);
    let status = text("42/status");
    assert!(status.contains("\nVmRSS:\t    1752 kB\n"), "{status}");
    assert!(status.contains("\nSigBlk:\t0000000000000002\n"));
    assert!(status.contains("\nCpus_allowed:\t2,00000003\nCpus_allowed_list:\t0-1,33\n"));
}

#[test]
fn limits_io_and_meminfo_are_laid_out_as_on_the_host() {
    assert_eq!(text("42/limits").lines().count(), host("/proc/self/limits").lines().count());
    for (ours, theirs) in text("42/limits").lines().zip(host("/proc/self/limits").lines()) {
        assert_eq!(&ours[..26], &theirs[..26]);
        assert_eq!(ours.len(), theirs.len(), "{ours}|\n{theirs}|");
    }
    assert_eq!(keys(&text("42/io")), keys(&host("/proc/self/io")));
    same_order(&text("meminfo"), &host("/proc/meminfo"), 25);
    assert!(text("meminfo").starts_with("MemTotal:         524288 kB\nMemFree:          409600 kB\n"));
}

#[test]
fn system_files_are_laid_out_as_on_the_host() {
    assert_eq!(text("uptime"), "2519.20 4710.02\n");
    assert_eq!(text("loadavg"), "1.23 0.54 0.24 2/94 18984\n");
    let stat = text("stat");
    assert!(stat.starts_with("cpu  200 0 0 400 0 0 0 0 0 0\ncpu0 100 0 0 200 0 0 0 0 0 0\n"), "{stat}");
    let as_keys = |text: &str| text.lines().map(|line| line.replacen(' ', ":", 1) + "\n").collect::<String>();
    same_order(&as_keys(&stat), &as_keys(&host("/proc/stat")), 9);
    assert_eq!(text("version"), "Linux version 6.6.0 (builder) #1\n");
    assert_eq!(text("sys/kernel/random/boot_id"), "abababab-abab-4bab-abab-abababababab\n");
    assert_eq!(text("multios/missing"), "none\n");
}

#[test]
fn maps_and_mounts_are_laid_out_as_on_the_host() {
    assert_eq!(
        text("42/maps"),
        "55ec81804000-55ec81806000 r-xp 00002000 fe:00 247282                     /usr/bin/head\n\
         55ec81804000-55ec81806000 r-xp 00002000 00:00 0 \n"
    );
    assert_eq!(text("42/mounts"), "proc /my\\040proc proc rw,nosuid,hidepid=0 0 0\n");
    assert_eq!(text("42/mountinfo"), "22 27 0:21 / /my\\040proc rw,nosuid - proc proc rw,hidepid=0\n");
    assert_eq!(text("42/cmdline"), "/bin/sh\0-c\0true\0");
    assert_eq!(text("42/cgroup"), "0::/\n");
    assert_eq!(text("42/fdinfo/7"), "pos:\t5\nflags:\t0100002\nmnt_id:\t24\nino:\t3\n");
    assert_eq!(text("42/statm"), "768 438 410 5 0 123 0\n");
    assert_eq!(text("1/task/1/children"), "42 ");
}

#[test]
fn links_know_who_asks() {
    let fs = proc_fs();
    let link = |path: &str| String::from_utf8(find(&fs, path).unwrap().read_link(&caller(&ROOT)).unwrap()).unwrap();
    assert_eq!(link("self"), "42");
    assert_eq!(link("thread-self"), "42/task/42");
    assert_eq!(link("mounts"), "self/mounts");
    assert_eq!(link("42/fd/7"), "/42/Fd(7)");
    assert_eq!(link("42/exe"), "/42/Exe");
    let kernel = find(&fs, "self").unwrap().read_link(&Caller::kernel(&ROOT));
    assert_eq!(kernel, Err(VfsError::NotFound));
}

#[test]
fn strangers_see_the_public_files_only() {
    let fs = proc_fs();
    let stranger = Credentials::user(Uid(7), Gid(7));
    let owner = Credentials::user(Uid(1000), Gid(100));
    for private in ["42/environ", "42/maps", "42/auxv", "42/io"] {
        assert!(open_as(&fs, private, &owner).is_ok());
        assert_eq!(open_as(&fs, private, &stranger).err(), Some(VfsError::PermissionDenied), "{private}");
    }
    assert_eq!(find(&fs, "42/exe").unwrap().read_link(&caller(&stranger)), Err(VfsError::PermissionDenied));
    assert_eq!(find(&fs, "42/environ").unwrap().access().mode, 0o400);
    assert_eq!(find(&fs, "42/environ").unwrap().access().uid, Uid(1000));
    assert_eq!(find(&fs, "42/fd").unwrap().access().mode, 0o500);
    let mut line = vec![0; 4096];
    let count = open_as(&fs, "42/stat", &stranger).unwrap().read(0, &mut line).unwrap();
    let line = String::from_utf8(line[..count].to_vec()).unwrap();
    assert!(!line.contains(&0x7fff_1000_u32.to_string()), "addresses are hidden: {line}");
}

#[test]
fn fd_links_show_how_they_are_open() {
    let fs = proc_fs();
    let mode = |path: &str| find(&fs, path).unwrap().metadata().mode;
    assert_eq!((mode("42/fd/0"), mode("42/fd/1"), mode("42/fd/7")), (0o500, 0o300, 0o700));
    assert_eq!(find(&fs, "42/fd/3").err(), Some(VfsError::NotFound));
}

#[test]
fn directories_list_everything_once_however_they_are_read() {
    let fs = proc_fs();
    let mut pending = vec![(String::new(), fs.root())];
    let mut numbers = std::collections::HashMap::new();
    while let Some((path, node)) = pending.pop() {
        let all = list(&node, usize::MAX);
        assert_eq!(all, list(&node, 1), "{path}");
        assert_eq!(all, list(&node, 3), "{path}");
        for (name, ino, kind) in all {
            let path = format!("{path}/{name}");
            let child = node.lookup(name.as_bytes()).unwrap_or_else(|error| panic!("{path}: {error:?}"));
            assert_eq!((child.ino(), child.metadata().kind), (ino, kind), "{path}");
            assert_eq!(numbers.insert(ino, path.clone()), None, "{path} has a number of its own");
            match kind {
                FileType::Directory => pending.push((path, child)),
                FileType::Regular => assert!(open_as(&fs, &path[1..], &ROOT).is_ok(), "{path}"),
                _ => {}
            }
        }
    }
    for expected in ["/1/task/5/stat", "/42/fd/7", "/sys/kernel/random/boot_id", "/multios/missing", "/42/ns/mnt"] {
        assert!(numbers.values().any(|path| path == expected), "{expected}");
    }
}

#[test]
fn absent_processes_and_odd_names_are_not_found() {
    let fs = proc_fs();
    for path in ["2", "042", "-1", "4294967338", "42/task/1", "1/task/5/task", "42/children", "sys/nothing", "+42"] {
        assert_eq!(find(&fs, path).err(), Some(VfsError::NotFound), "{path}");
    }
    assert_eq!(find(&fs, "42/stat/x").err(), Some(VfsError::NotADirectory));
}

#[test]
fn a_file_is_made_anew_at_offset_zero_only() {
    struct Counter(core::sync::atomic::AtomicU32);
    impl ProcText for Counter {
        fn read(&self, out: &mut Text) -> core::fmt::Result {
            use core::fmt::Write;
            write!(out, "{:04}", self.0.fetch_add(1, core::sync::atomic::Ordering::SeqCst))
        }
        fn write(&self, data: &[u8], _caller: &Caller<'_>) -> Result<()> {
            let value = core::str::from_utf8(data).ok().and_then(|text| text.trim().parse().ok());
            self.0.store(value.ok_or(VfsError::InvalidArgument)?, core::sync::atomic::Ordering::SeqCst);
            Ok(())
        }
    }
    let file = NamedFile::new("sys/kernel/counter", 0o644, Counter(0.into()));
    let fs = ProcFs::new(Arc::new(Fake), vec![file], Arc::new(FixedClock));
    let file = open_as(&fs, "sys/kernel/counter", &ROOT).unwrap();
    let read = |offset, len: usize| {
        let mut out = vec![0; len];
        let count = file.read(offset, &mut out).unwrap();
        String::from_utf8(out[..count].to_vec()).unwrap()
    };
    assert_eq!((read(0, 2), read(2, 2), read(4, 2)), ("00".into(), "00".into(), "".into()));
    assert_eq!(read(0, 9), "0001");
    assert_eq!(file.write(0, b"37\n"), Ok(3));
    assert_eq!(file.write(0, b"x"), Err(VfsError::InvalidArgument));
    assert_eq!(read(0, 9), "0037");
    let comm = open_as(&fs, "42/comm", &ROOT).unwrap();
    assert_eq!(comm.write(0, b"new"), Ok(3));
}

#[test]
fn the_rules_of_every_file_system_are_kept() {
    let nodes = crate::tests::suite::check_file_system(&*proc_fs(), &caller(&Credentials::ROOT));
    assert!(nodes > 50, "{nodes}");
}
