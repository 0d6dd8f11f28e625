//! Texts of the files under /proc/PID.

use core::fmt::{self, Write};

use super::source::{MapsLine, TaskSnapshot};
use super::text::Text;
use crate::{DeviceNumber, MountFlags, MountLine};
use types::{Nanos, PAGE_SIZE};

/// Clock ticks of /proc: USER_HZ is 100.
pub(super) const fn ticks(time: Nanos) -> u64 {
    time.0 / 10_000_000
}

const fn kib(bytes: u64) -> u64 {
    bytes / 1024
}

const fn pages(bytes: u64) -> u64 {
    bytes / PAGE_SIZE as u64
}

/// Process numbers, state, times, addresses: one line of 52 fields. Addresses only for those `permitted` to know them.
pub(super) fn stat(out: &mut Text, task: &TaskSnapshot, permitted: bool) -> fmt::Result {
    let m = &task.memory;
    let show = |address: u64| if permitted { address } else { 0 };
    let code = |address: u64| if permitted || address == 0 { address } else { 1 };
    write!(out, "{} (", task.tid)?;
    out.push(&task.name);
    let (state, _) = task.state.names();
    let terminal = task.terminal.map_or(0, |device| device.encode() as i32);
    let foreground = task.terminal_foreground.map_or(-1, |group| i64::from(group.0));
    write!(out, ") {state} {} {} {} {terminal} {foreground}", task.parent, task.group, task.session)?;
    write!(out, " {} {} {}", task.flags, task.minor_faults.0, task.minor_faults.1)?;
    write!(out, " {} {}", task.major_faults.0, task.major_faults.1)?;
    write!(out, " {} {}", ticks(task.user_time), ticks(task.system_time))?;
    write!(out, " {} {}", ticks(task.children_user_time), ticks(task.children_system_time))?;
    write!(out, " {} {} {} 0 {}", task.priority, task.nice, task.threads, ticks(task.start))?;
    let resident_limit = task.limits.get(5).map_or(u64::MAX, |limit| limit.rlim_cur);
    write!(out, " {} {} {resident_limit}", m.size, pages(m.resident()))?;
    write!(out, " {} {} {}", code(m.code_range.0), code(m.code_range.1), show(m.stack_start))?;
    let (instruction, stack) = task.registers;
    write!(out, " {} {}", show(stack), show(instruction))?;
    // Signals below 32 only, as these fields always were.
    let classic = |set: abi::SigSet| set.0 & 0x7fff_ffff;
    write!(out, " {} {}", classic(task.pending), classic(task.blocked))?;
    write!(out, " {} {}", classic(task.ignored), classic(task.caught))?;
    let waits = u32::from(permitted && task.wait_channel.is_some());
    let exit_signal = task.exit_signal.map_or(-1, |signal| i32::from(signal.number()));
    write!(out, " {waits} 0 0 {exit_signal} {} {} {}", task.cpu, task.realtime_priority, task.policy)?;
    write!(out, " 0 0 0 {} {} {}", show(m.data_range.0), show(m.data_range.1), show(m.heap_start))?;
    write!(out, " {} {}", show(m.argument_range.0), show(m.argument_range.1))?;
    write!(out, " {} {}", show(m.environment_range.0), show(m.environment_range.1))?;
    writeln!(out, " {}", if permitted { task.exit_code } else { 0 })
}

/// The same for people, and more.
pub(super) fn status(out: &mut Text, task: &TaskSnapshot) -> fmt::Result {
    let c = &task.credentials;
    let (letter, word) = task.state.names();
    out.push(b"Name:\t");
    out.push_name(&task.name);
    writeln!(out, "\nUmask:\t{:04o}", task.umask)?;
    writeln!(out, "State:\t{letter} ({word})")?;
    writeln!(out, "Tgid:\t{}\nNgid:\t0\nPid:\t{}", task.pid, task.tid)?;
    writeln!(out, "PPid:\t{}\nTracerPid:\t{}", task.parent, task.tracer)?;
    writeln!(out, "Uid:\t{}\t{}\t{}\t{}", c.ruid, c.euid, c.suid, c.fsuid)?;
    writeln!(out, "Gid:\t{}\t{}\t{}\t{}", c.rgid, c.egid, c.sgid, c.fsgid)?;
    write!(out, "FDSize:\t{}\nGroups:\t", task.fd_slots)?;
    for group in c.groups() {
        write!(out, "{group} ")?;
    }
    if c.groups().is_empty() {
        out.push(b" ");
    }
    write!(out, "\nNStgid:\t{}", task.pid)?;
    task.nested.iter().try_for_each(|inner| write!(out, "\t{}", inner.pid))?;
    write!(out, "\nNSpid:\t{}", task.tid)?;
    task.nested.iter().try_for_each(|inner| write!(out, "\t{}", inner.tid))?;
    write!(out, "\nNSpgid:\t{}", task.group)?;
    task.nested.iter().try_for_each(|inner| write!(out, "\t{}", inner.group))?;
    write!(out, "\nNSsid:\t{}", task.session)?;
    task.nested.iter().try_for_each(|inner| write!(out, "\t{}", inner.session))?;
    writeln!(out, "\nKthread:\t0")?;
    let m = &task.memory;
    if m.size > 0 {
        for (name, bytes) in [
            ("VmPeak", m.peak_size.max(m.size)),
            ("VmSize", m.size),
            ("VmLck", m.locked),
            ("VmPin", 0),
            ("VmHWM", m.peak_resident.max(m.resident())),
            ("VmRSS", m.resident()),
            ("RssAnon", m.resident_anonymous),
            ("RssFile", m.resident_file),
            ("RssShmem", m.resident_shared),
            ("VmData", m.data),
            ("VmStk", m.stack),
            ("VmExe", m.text),
            ("VmLib", m.library),
            ("VmPTE", m.page_tables),
            ("VmSwap", 0),
            ("HugetlbPages", 0),
        ] {
            writeln!(out, "{name}:\t{:8} kB", kib(bytes))?;
        }
        out.push(b"CoreDumping:\t0\nTHP_enabled:\t0\nuntag_mask:\t0xffffffffffffffff\n");
    }
    writeln!(out, "Threads:\t{}", task.threads)?;
    writeln!(out, "SigQ:\t{}/{}", task.signal_queue.0, task.signal_queue.1)?;
    for (name, set) in [
        ("SigPnd", task.pending),
        ("ShdPnd", task.shared_pending),
        ("SigBlk", task.blocked),
        ("SigIgn", task.ignored),
        ("SigCgt", task.caught),
    ] {
        writeln!(out, "{name}:\t{:016x}", set.0)?;
    }
    for (name, set) in [
        ("CapInh", c.inheritable),
        ("CapPrm", c.permitted),
        ("CapEff", c.effective),
        ("CapBnd", c.bounding),
        ("CapAmb", c.ambient),
    ] {
        writeln!(out, "{name}:\t{:016x}", set.bits())?;
    }
    writeln!(out, "NoNewPrivs:\t{}\nSeccomp:\t{}", u8::from(task.no_new_privileges), task.seccomp)?;
    writeln!(out, "Seccomp_filters:\t{}", task.seccomp_filters)?;
    out.push(b"Speculation_Store_Bypass:\tunknown\nSpeculationIndirectBranch:\tunknown\n");
    cpus(out, &task.cpus_allowed)?;
    out.push(b"Mems_allowed:\t00000000,00000001\nMems_allowed_list:\t0\n");
    writeln!(out, "voluntary_ctxt_switches:\t{}", task.voluntary_switches)?;
    writeln!(out, "nonvoluntary_ctxt_switches:\t{}", task.involuntary_switches)
}

/// CPUs as a hexadecimal mask in groups of 32 and as a list of ranges.
fn cpus(out: &mut Text, set: &types::CpuSet) -> fmt::Result {
    let contains = |cpu: usize| set.contains(types::CpuId(cpu as u32));
    let last = (0..types::MAX_CPUS).rev().find(|cpu| contains(*cpu)).unwrap_or(0);
    out.push(b"Cpus_allowed:\t");
    for group in (0..=last / 32).rev() {
        let word = (0..32).filter(|bit| contains(group * 32 + bit)).fold(0_u32, |word, bit| word | 1 << bit);
        match (group == last / 32, group) {
            (true, 0) => write!(out, "{word:x}")?,
            (true, _) => write!(out, "{word:x},")?,
            (false, 0) => write!(out, "{word:08x}")?,
            (false, _) => write!(out, "{word:08x},")?,
        }
    }
    out.push(b"\nCpus_allowed_list:\t");
    let mut first = true;
    let mut cpu = 0;
    while cpu <= last {
        if !contains(cpu) {
            cpu += 1;
            continue;
        }
        let start = cpu;
        while cpu < last && contains(cpu + 1) {
            cpu += 1;
        }
        let comma = if core::mem::replace(&mut first, false) { "" } else { "," };
        if cpu > start {
            write!(out, "{comma}{start}-{cpu}")?;
        } else {
            write!(out, "{comma}{start}")?;
        }
        cpu += 1;
    }
    out.write_str("\n")
}

/// Memory in pages.
pub(super) fn statm(out: &mut Text, task: &TaskSnapshot) -> fmt::Result {
    let m = &task.memory;
    let shared = pages(m.resident_file + m.resident_shared);
    let (size, resident) = (pages(m.size), pages(m.resident()));
    writeln!(out, "{size} {resident} {shared} {} 0 {} 0", pages(m.text), pages(m.data + m.stack))
}

/// Limits by their RLIMIT_ number: name, unit.
const LIMITS: [(&str, &str); 16] = [
    ("Max cpu time", "seconds"),
    ("Max file size", "bytes"),
    ("Max data size", "bytes"),
    ("Max stack size", "bytes"),
    ("Max core file size", "bytes"),
    ("Max resident set", "bytes"),
    ("Max processes", "processes"),
    ("Max open files", "files"),
    ("Max locked memory", "bytes"),
    ("Max address space", "bytes"),
    ("Max file locks", "locks"),
    ("Max pending signals", "signals"),
    ("Max msgqueue size", "bytes"),
    ("Max nice priority", ""),
    ("Max realtime priority", ""),
    ("Max realtime timeout", "us"),
];

/// getrlimit(2) as a table.
pub(super) fn limits(out: &mut Text, task: &TaskSnapshot) -> fmt::Result {
    writeln!(out, "{:<25} {:<20} {:<20} {:<10}", "Limit", "Soft Limit", "Hard Limit", "Units")?;
    for ((name, unit), limit) in LIMITS.iter().zip(&task.limits) {
        write!(out, "{name:<25} ")?;
        for value in [limit.rlim_cur, limit.rlim_max] {
            if value == u64::MAX {
                write!(out, "{:<20} ", "unlimited")?;
            } else {
                write!(out, "{value:<20} ")?;
            }
        }
        if unit.is_empty() {
            writeln!(out)?;
        } else {
            writeln!(out, "{unit:<10}")?;
        }
    }
    Ok(())
}

/// Counters of I/O.
pub(super) fn io(out: &mut Text, task: &TaskSnapshot) -> fmt::Result {
    let io = &task.io;
    writeln!(out, "rchar: {}\nwchar: {}", io.read_chars, io.written_chars)?;
    writeln!(out, "syscr: {}\nsyscw: {}", io.read_calls, io.write_calls)?;
    writeln!(out, "read_bytes: {}\nwrite_bytes: {}", io.read_bytes, io.written_bytes)?;
    writeln!(out, "cancelled_write_bytes: {}", io.cancelled_bytes)
}

/// Scheduling figures, the ones that mean something here.
pub(super) fn sched(out: &mut Text, task: &TaskSnapshot) -> fmt::Result {
    let name = alloc::string::String::from_utf8_lossy(&task.name);
    writeln!(out, "{name} ({}, #threads: {})", task.tid, task.threads)?;
    writeln!(out, "-------------------------------------------------------------------")?;
    let run = task.user_time + task.system_time;
    writeln!(out, "{:<45}:{:>14}.{:06}", "se.exec_start", task.start.millis(), task.start.0 % 1_000_000)?;
    writeln!(out, "{:<45}:{:>14}.{:06}", "se.sum_exec_runtime", run.millis(), run.0 % 1_000_000)?;
    for (name, value) in [
        ("nr_switches", task.voluntary_switches + task.involuntary_switches),
        ("nr_voluntary_switches", task.voluntary_switches),
        ("nr_involuntary_switches", task.involuntary_switches),
        ("policy", u64::from(task.policy)),
        ("prio", (100 + i64::from(task.priority)).unsigned_abs()),
    ] {
        writeln!(out, "{name:<45}:{value:>21}")?;
    }
    let (class, chosen) = task.class;
    writeln!(out, "{:<45}:{class:>21}", if chosen { "class_chosen" } else { "class" })
}

/// Time on the CPU, time waiting for it, times scheduled.
pub(super) fn schedstat(out: &mut Text, task: &TaskSnapshot) -> fmt::Result {
    let run = task.user_time + task.system_time;
    writeln!(out, "{} {} {}", run.0, task.run_delay.0, task.voluntary_switches + task.involuntary_switches)
}

/// Column of a mapping's name.
const NAME_COLUMN: usize = 73;

/// One mapping.
pub(super) fn map_line(out: &mut Text, line: &MapsLine<'_>) -> fmt::Result {
    let start = out.len();
    let flag = |on: bool, letter: char| if on { letter } else { '-' };
    write!(out, "{:08x}-{:08x} ", line.start, line.end)?;
    write!(out, "{}{}{}", flag(line.read, 'r'), flag(line.write, 'w'), flag(line.execute, 'x'))?;
    let DeviceNumber { major, minor } = line.device;
    let sharing = if line.shared { 's' } else { 'p' };
    write!(out, "{sharing} {:08x} {major:02x}:{minor:02x} {} ", line.offset, line.ino)?;
    if !line.name.is_empty() {
        out.pad(start, NAME_COLUMN);
        for &byte in line.name {
            if byte == b'\n' { out.push(b"\\012") } else { out.push(&[byte]) }
        }
    }
    out.write_str("\n")
}

/// One mapping with what of it is resident.
pub(super) fn smaps_entry(out: &mut Text, line: &MapsLine<'_>) -> fmt::Result {
    map_line(out, line)?;
    let shared = line.resident.saturating_sub(line.anonymous);
    for (name, bytes) in [
        ("Size", line.end.saturating_sub(line.start)),
        ("KernelPageSize", PAGE_SIZE as u64),
        ("MMUPageSize", PAGE_SIZE as u64),
        ("Rss", line.resident),
        ("Pss", line.resident),
        ("Shared_Clean", shared),
        ("Shared_Dirty", 0),
        ("Private_Clean", 0),
        ("Private_Dirty", line.anonymous),
        ("Referenced", line.resident),
        ("Anonymous", line.anonymous),
        ("Swap", 0),
        ("SwapPss", 0),
        ("Locked", if line.locked { line.resident } else { 0 }),
    ] {
        writeln!(out, "{:<16}{:>8} kB", alloc::format!("{name}:"), kib(bytes))?;
    }
    let flag = |on: bool, name: &'static str| if on { name } else { "" };
    let (read, write) = (flag(line.read, "rd "), flag(line.write, "wr "));
    writeln!(
        out,
        "VmFlags: {read}{write}{}{}{}",
        flag(line.execute, "ex "),
        flag(line.shared, "sh "),
        flag(line.locked, "lo ")
    )
}

/// Mounts as mount(8) wants them.
pub(super) fn mounts(out: &mut Text, lines: &[MountLine]) -> fmt::Result {
    for line in lines {
        push_source(out, line, b"#");
        out.push(b" ");
        out.push_escaped(&line.point, b"#");
        write!(out, " {} ", line.kind)?;
        push_flags(out, line.flags);
        writeln!(out, "{} 0 0", line.options)?;
    }
    Ok(())
}

/// Mounts with their numbers and tree.
pub(super) fn mountinfo(out: &mut Text, lines: &[MountLine]) -> fmt::Result {
    for line in lines {
        write!(out, "{} {} {}:{} ", line.id, line.parent, line.dev.major, line.dev.minor)?;
        out.push_escaped(&line.root, b"");
        out.push(b" ");
        out.push_escaped(&line.point, b"");
        out.push(b" ");
        push_flags(out, line.flags);
        write!(out, " - {} ", line.kind)?;
        push_source(out, line, b"");
        writeln!(out, " rw{}", line.options)?;
    }
    Ok(())
}

fn push_source(out: &mut Text, line: &MountLine, more: &[u8]) {
    if line.source.is_empty() { out.push(b"none") } else { out.push_escaped(&line.source, more) }
}

fn push_flags(out: &mut Text, flags: MountFlags) {
    out.push(if flags.contains(MountFlags::READ_ONLY) { b"ro" } else { b"rw" });
    for (flag, name) in [
        (MountFlags::SYNCHRONOUS, ",sync"),
        (MountFlags::NO_SET_ID, ",nosuid"),
        (MountFlags::NO_DEVICES, ",nodev"),
        (MountFlags::NO_EXECUTE, ",noexec"),
        (MountFlags::NO_ACCESS_TIME, ",noatime"),
        (MountFlags::NO_DIRECTORY_ACCESS_TIME, ",nodiratime"),
        (MountFlags::RELATIVE_ACCESS_TIME, ",relatime"),
        (MountFlags::NO_FOLLOW, ",nosymfollow"),
    ] {
        if flags.contains(flag) {
            out.push(name.as_bytes());
        }
    }
}
