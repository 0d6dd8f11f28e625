//! Texts of the files about the whole system.

use core::fmt::{self, Write};

use super::source::{CpuTimes, Load, MemoryInfo, StatTotals};
use super::task::ticks;
use super::text::Text;

/// Times of the CPUs, counts since boot.
pub(super) fn stat(out: &mut Text, cpus: &[CpuTimes], totals: &StatTotals) -> fmt::Result {
    let mut sum = CpuTimes::default();
    for cpu in cpus {
        sum.user += cpu.user;
        sum.nice += cpu.nice;
        sum.system += cpu.system;
        sum.idle += cpu.idle;
        sum.io_wait += cpu.io_wait;
        sum.interrupts += cpu.interrupts;
        sum.soft_interrupts += cpu.soft_interrupts;
        sum.steal += cpu.steal;
    }
    out.push(b"cpu ");
    cpu_line(out, &sum)?;
    for (number, cpu) in cpus.iter().enumerate() {
        write!(out, "cpu{number}")?;
        cpu_line(out, cpu)?;
    }
    writeln!(out, "intr {}\nctxt {}\nbtime {}", totals.interrupts, totals.switches, totals.boot_time)?;
    writeln!(out, "processes {}\nprocs_running {}", totals.forks, totals.running)?;
    writeln!(out, "procs_blocked {}\nsoftirq 0 0 0 0 0 0 0 0 0 0 0", totals.blocked)
}

fn cpu_line(out: &mut Text, cpu: &CpuTimes) -> fmt::Result {
    for time in [cpu.user, cpu.nice, cpu.system, cpu.idle, cpu.io_wait, cpu.interrupts, cpu.soft_interrupts, cpu.steal]
    {
        write!(out, " {}", ticks(time))?;
    }
    writeln!(out, " 0 0")
}

/// Seconds since boot, seconds idle.
pub(super) fn uptime(out: &mut Text, load: &Load) -> fmt::Result {
    let hundredths = |time: types::Nanos| (time.secs(), u64::from(time.subsec_nanos()) / 10_000_000);
    let ((up, up_rest), (idle, idle_rest)) = (hundredths(load.uptime), hundredths(load.idle));
    writeln!(out, "{up}.{up_rest:02} {idle}.{idle_rest:02}")
}

/// Load averages, running and all threads, last pid.
pub(super) fn loadavg(out: &mut Text, load: &Load) -> fmt::Result {
    for average in load.averages {
        // Rounded to the nearest hundredth.
        let average = average + 65_536 / 200;
        write!(out, "{}.{:02} ", average >> 16, ((average & 0xffff) * 100) >> 16)?;
    }
    writeln!(out, "{}/{} {}", load.running, load.threads, load.last_pid)
}

/// Memory of the system.
pub(super) fn meminfo(out: &mut Text, m: &MemoryInfo) -> fmt::Result {
    let file_cache = m.cached.saturating_sub(m.shared);
    for (name, bytes) in [
        ("MemTotal", m.total),
        ("MemFree", m.free),
        ("MemAvailable", m.available),
        ("Buffers", 0),
        ("Cached", m.cached),
        ("SwapCached", 0),
        ("Active", m.anonymous),
        ("Inactive", m.cached),
        ("Active(anon)", m.anonymous),
        ("Inactive(anon)", m.shared),
        ("Active(file)", 0),
        ("Inactive(file)", file_cache),
        ("Unevictable", m.locked),
        ("Mlocked", m.locked),
        ("SwapTotal", 0),
        ("SwapFree", 0),
        ("Dirty", 0),
        ("Writeback", 0),
        ("AnonPages", m.anonymous),
        ("Mapped", m.mapped),
        ("Shmem", m.shared),
        ("KReclaimable", 0),
        ("Slab", m.slab),
        ("SReclaimable", 0),
        ("SUnreclaim", m.slab),
        ("KernelStack", m.kernel_stacks),
        ("PageTables", m.page_tables),
        ("NFS_Unstable", 0),
        ("Bounce", 0),
        ("WritebackTmp", 0),
        ("CommitLimit", m.commit_limit),
        ("Committed_AS", m.committed),
        ("VmallocTotal", 0x1fff_ffff_fc00),
        ("VmallocUsed", 0),
        ("VmallocChunk", 0),
        ("Percpu", m.per_cpu),
        ("AnonHugePages", 0),
    ] {
        writeln!(out, "{:<16}{:>8} kB", alloc::format!("{name}:"), bytes / 1024)?;
    }
    for name in ["HugePages_Total", "HugePages_Free", "HugePages_Rsvd", "HugePages_Surp"] {
        writeln!(out, "{:<16}{:>8}", alloc::format!("{name}:"), 0)?;
    }
    for (name, bytes) in [("Hugepagesize", 2 << 20), ("Hugetlb", 0), ("DirectMap2M", m.total)] {
        writeln!(out, "{:<16}{:>8} kB", alloc::format!("{name}:"), bytes / 1024)?;
    }
    Ok(())
}
