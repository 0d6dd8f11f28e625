//! Files the kernel adds to /proc by path, and the ones every kernel has.

use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt::{self, Write};

use types::Pid;

use super::source::CpuInfo;
use super::text::Text;
use crate::{Caller, Result, VfsError};

/// Content of a file under /proc.
pub trait ProcText: Send + Sync {
    /// Writes the text.
    ///
    /// # Errors
    /// Those of `out`.
    fn read(&self, out: &mut Text) -> fmt::Result;

    /// Writes the text for the process `reader`.
    ///
    /// # Errors
    /// Those of `out`.
    fn read_for(&self, reader: Pid, out: &mut Text) -> fmt::Result {
        let _ = reader;
        self.read(out)
    }

    /// Takes what a program writes, one write(2) at a time.
    ///
    /// # Errors
    /// [`VfsError::InvalidArgument`] for what cannot be a value.
    fn write(&self, data: &[u8], caller: &Caller<'_>) -> Result<()> {
        let _ = (data, caller);
        Err(VfsError::PermissionDenied)
    }
}

impl<F: Fn(&mut Text) -> fmt::Result + Send + Sync> ProcText for F {
    fn read(&self, out: &mut Text) -> fmt::Result {
        self(out)
    }
}

/// Text that never changes.
struct Fixed(String);

impl ProcText for Fixed {
    fn read(&self, out: &mut Text) -> fmt::Result {
        out.write_str(&self.0)
    }
}

/// A file or symbolic link to be put into /proc.
#[derive(Clone)]
pub struct NamedFile {
    /// Path below /proc, without leading slash; directories come by themselves.
    pub path: &'static str,
    /// Permission bits.
    pub mode: u32,
    /// Its text.
    pub content: Arc<dyn ProcText>,
}

impl NamedFile {
    /// A file with that content.
    pub fn new(path: &'static str, mode: u32, content: impl ProcText + 'static) -> Self {
        Self { path, mode, content: Arc::new(content) }
    }

    /// A read-only file with that text.
    pub fn fixed(path: &'static str, text: impl Into<String>) -> Self {
        Self::new(path, 0o444, Fixed(text.into()))
    }
}

/// Names of the system, as uname(2) tells them.
#[derive(Clone, Copy, Debug)]
pub struct SystemNames<'a> {
    /// `Linux`.
    pub sysname: &'a str,
    /// Release.
    pub release: &'a str,
    /// Version: `#1 SMP …`.
    pub version: &'a str,
    /// Who built it with what, in parentheses as /proc/version shows it.
    pub build: &'a str,
}

/// The files that say the same from boot on. Host name, pid_max, random/uuid and what else changes is the kernel's to add.
pub fn standard_files(names: &SystemNames<'_>, command_line: &str, boot_id: [u8; 16]) -> Vec<NamedFile> {
    let SystemNames { sysname, release, version, build } = names;
    let file = |path, text: &str| NamedFile::fixed(path, text);
    let line = |path, value: &str| NamedFile::fixed(path, format!("{value}\n"));
    alloc::vec![
        NamedFile::fixed("version", format!("{sysname} version {release} {build} {version}\n")),
        line("cmdline", command_line),
        file(
            "filesystems",
            "nodev\tproc\nnodev\ttmpfs\nnodev\tdevtmpfs\nnodev\tsockfs\nnodev\tpipefs\nnodev\tramfs\nnodev\tdevpts\n",
        ),
        file(
            "devices",
            "Character devices:\n  1 mem\n  4 tty\n  4 ttyS\n  5 /dev/tty\n  5 /dev/console\n  5 /dev/ptmx\n136 pts\n\n\
             Block devices:\n",
        ),
        file("partitions", "major minor  #blocks  name\n\n"),
        file("swaps", "Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority\n"),
        file("modules", ""),
        file("diskstats", ""),
        line("sys/kernel/ostype", sysname),
        line("sys/kernel/osrelease", release),
        line("sys/kernel/version", version),
        line("sys/kernel/cap_last_cap", "40"),
        line("sys/kernel/ngroups_max", &format!("{}", types::MAX_GROUPS)),
        line("sys/kernel/overflowuid", "65534"),
        line("sys/kernel/overflowgid", "65534"),
        line("sys/kernel/randomize_va_space", "2"),
        line("sys/kernel/tainted", "0"),
        line("sys/kernel/pty/max", "4096"),
        line("sys/kernel/seccomp/actions_avail", "kill_process kill_thread trap errno trace log allow"),
        line("sys/kernel/random/boot_id", &uuid(boot_id)),
        line("sys/kernel/random/entropy_avail", "256"),
        line("sys/kernel/random/poolsize", "256"),
        line("sys/vm/overcommit_memory", "0"),
        line("sys/vm/overcommit_ratio", "50"),
        line("sys/vm/max_map_count", "65530"),
        line("sys/vm/mmap_min_addr", "65536"),
        line("sys/vm/swappiness", "60"),
        line("sys/fs/nr_open", "1048576"),
        line("sys/fs/pipe-max-size", "1048576"),
        line("sys/fs/protected_hardlinks", "1"),
        line("sys/fs/protected_symlinks", "1"),
    ]
}

/// A version 4 UUID of those random bytes.
pub fn uuid(mut bytes: [u8; 16]) -> String {
    let [_, _, _, _, _, _, version, _, variant, ..] = &mut bytes;
    *version = *version & 0x0f | 0x40;
    *variant = *variant & 0x3f | 0x80;
    let mut text = String::new();
    for (at, byte) in bytes.iter().enumerate() {
        if matches!(at, 4 | 6 | 8 | 10) {
            text.push('-');
        }
        text.push_str(&format!("{byte:02x}"));
    }
    text
}

/// Text of /proc/cpuinfo.
///
/// # Errors
/// Those of `out`.
pub fn cpu_info(out: &mut Text, cpus: &[CpuInfo]) -> fmt::Result {
    for (number, cpu) in cpus.iter().enumerate() {
        let mhz = cpu.khz / 1000;
        writeln!(out, "processor\t: {number}\nvendor_id\t: {}", cpu.vendor)?;
        writeln!(out, "cpu family\t: {}\nmodel\t\t: {}", cpu.family, cpu.model)?;
        writeln!(out, "model name\t: {}\nstepping\t: {}", cpu.model_name, cpu.stepping)?;
        writeln!(out, "cpu MHz\t\t: {mhz}.{:03}\ncache size\t: {} KB", cpu.khz % 1000, cpu.cache / 1024)?;
        writeln!(out, "physical id\t: {}\nsiblings\t: {}", cpu.physical_id, cpu.siblings)?;
        writeln!(out, "core id\t\t: {}\ncpu cores\t: {}", cpu.core_id, cpu.cores)?;
        writeln!(out, "apicid\t\t: {}\ninitial apicid\t: {}", cpu.apic_id, cpu.apic_id)?;
        writeln!(out, "fpu\t\t: yes\nfpu_exception\t: yes\ncpuid level\t: {}\nwp\t\t: yes", cpu.cpuid_level)?;
        writeln!(out, "flags\t\t: {}\nbugs\t\t:", cpu.flags)?;
        writeln!(out, "bogomips\t: {}.{:02}", cpu.khz / 500, cpu.khz / 5 % 100)?;
        writeln!(out, "clflush size\t: {}\ncache_alignment\t: {}", cpu.cache_line, cpu.cache_line)?;
        let (physical, virtual_bits) = cpu.address_bits;
        writeln!(out, "address sizes\t: {physical} bits physical, {virtual_bits} bits virtual")?;
        writeln!(out, "power management:\n")?;
    }
    Ok(())
}
