//! What each CPU did, and how long tasks waited for it: the scheduler's figures as texts of /proc.

use core::fmt::{self, Write};

use hal::Timer;
use hal_x86_64::{Machine, cpu, stats};
use sched::{Class, Histogram, LATENCY_BUCKETS};
use types::{CpuId, Nanos};

use crate::nodes;

/// First vector that is an interrupt, not an exception.
const FIRST_INTERRUPT: u8 = 32;

/// What a CPU has done since boot.
#[derive(Clone, Debug)]
pub(crate) struct CpuStats {
    /// Time in user mode.
    pub(crate) user: Nanos,
    /// Time in the kernel on behalf of threads.
    pub(crate) system: Nanos,
    /// Time asleep.
    pub(crate) idle: Nanos,
    /// Interrupts taken.
    pub(crate) interrupts: u64,
    /// The scheduler's own.
    pub(crate) sched: sched::CpuStats,
}

/// What `cpu` has done; `None` for one that is not in service.
pub(crate) fn cpu_stats(cpu: CpuId) -> Option<CpuStats> {
    let sched = crate::executor().scheduler().cpu_stats(cpu)?;
    let times = crate::cpu::times(cpu);
    Some(CpuStats { user: times.user, system: times.system, idle: times.idle, interrupts: interrupts(cpu), sched })
}

/// Interrupts that `cpu` took.
pub(crate) fn interrupts(cpu: CpuId) -> u64 {
    (FIRST_INTERRUPT..=u8::MAX).map(|vector| stats::interrupt_stats(cpu, vector)).sum()
}

/// Text of /proc/multios/cpus: a line per CPU of names and figures, times in nanoseconds.
pub(crate) fn cpus(out: &mut dyn Write) -> fmt::Result {
    for cpu in cpu::online().iter() {
        let Some(CpuStats { user, system, idle, interrupts, sched }) = cpu_stats(cpu) else { continue };
        let sched::CpuStats { switches, yields, idles, rescues, steals, pulls, waited, waiting, node_moves, .. } =
            sched;
        let woken: u64 = sched.woken.iter().sum();
        write!(out, "cpu {} node {} core {}", cpu.0, nodes::of_cpu(cpu), nodes::core_of(cpu).0)?;
        write!(out, " user {} system {} idle {} interrupts {interrupts}", user.0, system.0, idle.0)?;
        write!(out, " switches {switches} yields {yields} idles {idles} woken {woken}")?;
        write!(
            out,
            " woken_from_afar {} steals {steals} pulls {pulls} node_moves {node_moves}",
            sched.woken_from_afar
        )?;
        writeln!(out, " rescues {rescues} waited {} waiting {waiting}", waited.0)?;
    }
    Ok(())
}

/// Text of /proc/multios/latency: for each class that was woken, how many wake-ups there were, how many took so long that they are in
/// the histogram, median and 99.9th percentile (upper ends of their buckets), then the buckets, `from_nanoseconds:count`; 0 is that of the short
/// ones.
pub(crate) fn latency(out: &mut dyn Write) -> fmt::Result {
    /// Buckets of waits that are not recorded.
    const SHORT: usize = 14;
    let all = cpu::online().iter().filter_map(|cpu| crate::executor().scheduler().cpu_stats(cpu));
    let (woken, histograms) = all.fold(([0; 5], [Histogram::new(); 5]), |(mut woken, mut histograms), stats| {
        for class in Class::ALL {
            if let (Some(woken), Some(histogram)) = (woken.get_mut(class as usize), histograms.get_mut(class as usize))
            {
                *woken += stats.woken_of(class);
                histogram.merge(&stats.latency_of(class));
            }
        }
        (woken, histograms)
    });
    for ((class, woken), mut histogram) in Class::ALL.into_iter().zip(woken).zip(histograms) {
        if woken == 0 {
            continue;
        }
        let noted = histogram.count();
        histogram.add_short(woken.saturating_sub(noted));
        let percentile = |per_mille| histogram.percentile(per_mille).map_or(0, |time| time.0);
        let (median, tail) = (percentile(500), percentile(999));
        write!(out, "{class:?} woken {woken} noted {noted} median {median} tail {tail}")?;
        for (bucket, count) in (0..LATENCY_BUCKETS).zip(histogram.buckets()).filter(|(_, count)| **count != 0) {
            write!(out, " {}:{count}", if bucket < SHORT { 0 } else { 1_u64 << bucket })?;
        }
        writeln!(out)?;
    }
    Ok(())
}

/// Text of /proc/schedstat: version 15 of Linux's format, without domains. What has no meaning here is 0.
pub(crate) fn schedstat(out: &mut dyn Write) -> fmt::Result {
    /// Linux's clock for this file.
    const JIFFY: u64 = 4_000_000;
    writeln!(out, "version 15\ntimestamp {}", Machine.now().0 / JIFFY)?;
    for cpu in cpu::online().iter() {
        let Some(CpuStats { user, system, sched, .. }) = cpu_stats(cpu) else { continue };
        let sched::CpuStats { switches, yields, idles, waited, woken_from_afar, .. } = sched;
        let woken: u64 = sched.woken.iter().sum();
        let (number, chosen, ran) = (cpu.0, switches + idles, user.0 + system.0);
        let local = woken.saturating_sub(woken_from_afar);
        writeln!(out, "cpu{number} {yields} 0 {chosen} {idles} {woken} {local} {ran} {} {switches}", waited.0)?;
    }
    Ok(())
}
