//! Figures of the machine for /proc.

use alloc::format;
use alloc::string::{String, ToString as _};
use alloc::vec::Vec;
use core::fmt::{self, Write};

use hal_x86_64::features::{self, Features};
use hal_x86_64::{cpu, interrupts, stats};
use syscall::MachineInfo;
use vfs::proc::{CpuInfo, CpuTimes};

use crate::{boot, observation};

/// The machine, as /proc tells of it.
pub(crate) struct Info;

/// Names of Linux for what we know of a CPU.
const FLAGS: [(Features, &str); 14] = [
    (Features::NX, "nx"),
    (Features::SMEP, "smep"),
    (Features::SMAP, "smap"),
    (Features::UMIP, "umip"),
    (Features::PGE, "pge"),
    (Features::PCID, "pcid"),
    (Features::FSGSBASE, "fsgsbase"),
    (Features::XSAVE, "xsave"),
    (Features::AVX, "avx"),
    (Features::X2APIC, "x2apic"),
    (Features::RDRAND, "rdrand"),
    (Features::RDSEED, "rdseed"),
    (Features::RDTSCP, "rdtscp"),
    (Features::HUGE_1G, "pdpe1gb"),
];

impl MachineInfo for Info {
    fn cpus(&self) -> Vec<CpuInfo> {
        let identity = features::identity();
        let found = features::get();
        let mut flags = String::from("fpu tsc msr pae cx8 apic cmov pat mmx fxsr sse sse2 syscall lm");
        for (_, name) in FLAGS.iter().filter(|(feature, _)| found.contains(*feature)) {
            let _ = write!(flags, " {name}");
        }
        let count = cpu::online().len();
        cpu::online()
            .iter()
            .map(|cpu| CpuInfo {
                vendor: identity.vendor().into(),
                family: identity.family,
                model: identity.model,
                model_name: identity.brand().into(),
                stepping: identity.stepping,
                khz: cpu::tsc_hz() / 1000,
                cache: 0,
                physical_id: 0,
                siblings: count,
                core_id: cpu.0,
                cores: count,
                apic_id: cpu::apic_id(cpu).map_or(cpu.0, |id| id.0),
                cpuid_level: features::cpuid(0, 0).eax,
                flags: flags.clone(),
                cache_line: 64,
                address_bits: (u32::from(identity.physical_bits), u32::from(identity.virtual_bits)),
            })
            .collect()
    }

    fn cpu_times(&self) -> Vec<CpuTimes> {
        cpu::online().iter().map(crate::cpu::times).collect()
    }

    fn interrupts(&self) -> u64 {
        cpu::online().iter().map(observation::interrupts).sum()
    }

    fn switches(&self) -> u64 {
        crate::executor().polls()
    }

    fn running(&self) -> u32 {
        crate::executor().running() as u32
    }

    fn report(&self, name: &str, out: &mut dyn Write) -> fmt::Result {
        match name {
            "kernel" => {
                writeln!(out, "heap {:?}", boot::memory::heap().stats())?;
                for (size, count) in boot::memory::heap().objects() {
                    writeln!(out, "heap_objects {size} {count}")?;
                }
                for (name, bytes) in crate::run::sizes() {
                    writeln!(out, "bytes_{name} {bytes}")?;
                }
                writeln!(out, "tasks {}", crate::executor().live())
            }
            "nodes" => crate::nodes::report(out),
            "cpus" => observation::cpus(out),
            "latency" => observation::latency(out),
            "schedstat" => observation::schedstat(out),
            "interrupts" => interrupts(out),
            _ => Ok(()),
        }
    }
}

/// Vectors of the kernel's own, as /proc/interrupts names them.
const OWN_INTERRUPTS: [(u8, &str, &str); 5] = [
    (interrupts::TIMER, "LOC", "Local timer interrupts"),
    (interrupts::RESCHEDULE, "RES", "Rescheduling interrupts"),
    (interrupts::SHOOTDOWN, "TLB", "TLB shootdowns"),
    (interrupts::APIC_ERROR, "ERR", "Errors of local APICs"),
    (interrupts::SPURIOUS, "SPU", "Spurious interrupts"),
];

/// Text of /proc/interrupts: how often each CPU took which.
fn interrupts(out: &mut dyn Write) -> fmt::Result {
    write!(out, "          ")?;
    for cpu in cpu::online().iter() {
        write!(out, " {:<10}", format!("CPU{}", cpu.0))?;
    }
    writeln!(out)?;
    let counts = |vector: u8| cpu::online().iter().map(move |cpu| stats::interrupt_stats(cpu, vector));
    let line = |out: &mut dyn Write, name: &str, vector: u8, what: &str| {
        write!(out, "{name:>4}:")?;
        counts(vector).try_for_each(|count| write!(out, " {count:>10}"))?;
        writeln!(out, "   {what}")
    };
    for number in 0..interrupts::IRQ_COUNT {
        let vector = interrupts::IRQ_BASE + number;
        if counts(vector).sum::<u64>() != 0 {
            line(out, &number.to_string(), vector, "IO-APIC")?;
        }
    }
    OWN_INTERRUPTS.iter().try_for_each(|(vector, name, what)| line(out, name, *vector, what))
}
