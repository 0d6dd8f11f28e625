//! The start of the system, step by step; each step logs its name and the time is in the log's stamp.

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicI32, AtomicU64};

use ::log::{info, warn};
use hal::Topology as _;
use hal_x86_64::acpi::Topology;
use hal_x86_64::features::Features;
use hal_x86_64::serial::{Com, Line};
use hal_x86_64::smp::StartPlan;
use hal_x86_64::time::Steadiness;
use hal_x86_64::{acpi, apic, cpu, power, serial, set_fatal, time, tlb, vdso};
use memory::{FixedPage, KernelPages, PagingFeatures};
use process::{ProcessManagerConfig, ProcessTable, TableConfig};
use sync::{Hooks, Once, TimerQueue};
use syscall::{
    CreatedProcesses, FileSystems, InitProgram, LoadAverage, Machine, MappedFiles, MissingCalls, ServiceRoom, System,
    UtsNamespace, ViolationLog, WallClock,
};
use types::{CpuId, MAX_CPUS, Nanos, PAGE_SIZE};

use crate::boot::{BootInfo, CommandLine, DIRECT_MAP_BASE, Framebuffer};
use crate::{boot, console, entry, log, machine_info, nodes, panic, platform};

/// Programs that may be process 1, where the command line names none; as on Linux, with ours in front.
const INIT_PROGRAMS: [&str; 5] = ["/init", "/sbin/init", "/etc/init", "/bin/init", "/bin/sh"];
/// Environment of process 1, as Linux gives it.
const ENVIRONMENT: [&[u8]; 2] = [b"HOME=/", b"TERM=linux"];
/// How long the other CPUs may take to come: a busy host may keep them from running for seconds.
const PATIENCE: Nanos = Nanos::from_secs(10);
/// Pages of the stack of every CPU but the first; `boot::stack` relies on the size.
const STACK_PAGES_ORDER: u32 = 4;

/// CPU, memory, clocks, interrupts, the other CPUs.
#[expect(clippy::panic, reason = "without a queue for each CPU there is nothing to run")]
pub(crate) fn machine(boot: &BootInfo) {
    // First, since locks and the heap ask for the number of the CPU.
    let found = entry::init_boot_cpu(DIRECT_MAP_BASE);
    for com in Com::ALL {
        serial::init(Line::usual(com));
    }
    log::init();
    let line = CommandLine(&boot.command_line);
    log::configure(line, console::configure(line));
    set_fatal(panic::fatal_trap);
    info!("kernel: MultiOS {} by {:?}, entry at tsc {}", env!("CARGO_PKG_VERSION"), boot.door, boot.entry_tsc);
    info!("kernel: command line: {}", boot.command_line);
    console::report(line);
    if let Some(screen) = &boot.framebuffer {
        let Framebuffer { address, width, height, pitch, bits_per_pixel } = screen;
        info!("boot: framebuffer {width}x{height}x{bits_per_pixel} at {:#x}, {pitch} bytes a line", address.as_u64());
    }
    boot::memory::init(
        boot,
        PagingFeatures {
            gib_pages: found.contains(Features::HUGE_1G),
            no_execute: found.contains(Features::NX),
            global_pages: found.contains(Features::PGE),
        },
    );
    let frames = boot::memory::frames().stats();
    info!("memory: {} of {} MiB free", to_mib(frames.free), to_mib(frames.total));
    sync::install(Hooks { relax: tlb::serve_shootdowns });

    let tables = acpi::read(boot.rsdp);
    power::set_methods(tables.power);
    apic::init_bsp(tables.local_apic);
    let source = time::init(&tables.references);
    info!("time: {} MHz time-stamp counter, by {source:?}", cpu::tsc_hz() / 1_000_000);
    apic::init_io_apics(&tables.io_apics, &tables.overrides);
    entry::install_hooks();
    let topology = nodes::note(Topology::new(&tables, apic::local_id()));
    vdso::tell_number(0, nodes::of_cpu(CpuId(0)));
    start_other_cpus(boot, line, topology);
    match time::steadiness() {
        Steadiness::Steady => vdso::allow_clocks(),
        other => warn!("time: the time-stamp counters are {other:?}: programs read the clock by calls"),
    }
    crate::executor().scheduler().set_topology(nodes::for_scheduler(topology));
    for cpu in hal_x86_64::cpu::online().iter() {
        // Before anything runs there is memory, or this machine is of no use.
        if let Err(error) = crate::executor().scheduler().online(cpu) {
            panic!("no run queue for CPU {}: {error:?}", cpu.0);
        }
    }
}

fn start_other_cpus(boot: &BootInfo, line: CommandLine<'_>, topology: &Topology) {
    let max_cpus = line.number("maxcpus").map_or(MAX_CPUS, |most| most.clamp(1, MAX_CPUS as u64) as usize);
    if topology.cpu_count().min(max_cpus) < 2 {
        return;
    }
    let Some(trampoline) = boot::memory::trampoline_page(boot) else {
        warn!("smp: no free page below 1 MiB, so one CPU only");
        return;
    };
    let page_table = boot::memory::trampoline_tables(boot);
    let plan = StartPlan { trampoline, page_table, max_cpus, patience: PATIENCE };
    match entry::start_other_cpus(topology, &plan, allocate_stack, other_cpu) {
        Ok(started) => {
            info!("smp: {} CPUs run", started.online.len());
            for cpu in started.missing.iter() {
                warn!("smp: CPU {} did not come", cpu.0);
            }
        }
        Err(error) => warn!("smp: one CPU only: {error:?}"),
    }
}

/// Top of a new kernel stack, with an unmapped page below its end.
fn allocate_stack(_cpu: CpuId) -> Option<u64> {
    let size = (PAGE_SIZE as u64) << STACK_PAGES_ORDER;
    let block = boot::memory::frames().alloc_contiguous(memory::Purpose::Kernel, STACK_PAGES_ORDER)?;
    let stack = boot::memory::tables().map_stack(block, size).ok()?;
    Some(stack.as_u64() + size)
}

/// What every CPU but the first does: waits for the system, then runs threads.
fn other_cpu(cpu: CpuId) -> ! {
    entry::leave_trampoline_tables();
    vdso::tell_number(cpu.0, nodes::of_cpu(cpu));
    loop {
        if let Some(system) = crate::system()
            && system.files.get().is_some()
        {
            crate::cpu::run(system);
        }
        sync::relax();
    }
}

/// Process table, file systems, clocks of the system.
#[expect(clippy::panic, reason = "without its tables and its root there is nothing to run")]
pub(crate) fn system(boot: &BootInfo) -> &'static System {
    let line = CommandLine(&boot.command_line);
    let platform: &'static platform::Kernel = Box::leak(Box::new(platform::Kernel::new(kernel_pages(boot))));
    let manager = ProcessManagerConfig::configured(|name| line.number(name));
    let mut config = TableConfig { max_processes: manager.max_processes, ..TableConfig::default() };
    if let Some(pid_max) = line.number("pid_max") {
        config.pid_max = pid_max.clamp(301, u64::from(process::PID_MAX)) as u32;
    }
    // As on Linux, threads may take an eighth of memory, counted as 16 KiB each: a fork bomb meets EAGAIN, not the end
    // of memory.
    let frames = boot::memory::frames().stats().total;
    config.max_threads = (frames / 32).clamp(20, u64::from(process::PID_MAX)) as u32;
    let processes = match ProcessTable::new(config) {
        Ok(processes) => processes,
        Err(error) => panic!("process: no table: {error:?}"),
    };
    let wall_clock = Arc::new(WallClock::new(platform, &vdso::DATA.real, time::wall_clock().unwrap_or(0) as i64));
    let system = crate::SYSTEM.call_once(|| System {
        platform,
        frames: boot::memory::frames(),
        processes,
        manager,
        created: CreatedProcesses::new(),
        violations: ViolationLog::new(),
        futexes: process::futex::FutexTable::new(),
        timers: TimerQueue::new(),
        wall_clock,
        mapped_files: MappedFiles::new(),
        missing: MissingCalls::new(),
        names: UtsNamespace::first(),
        exit_status: AtomicI32::new(0),
        load: LoadAverage::new(),
        forks: AtomicU64::new(0),
        randomize: !line.has("norandmaps"),
        files: Once::new(),
        services: ServiceRoom::new(),
        command_line: boot.command_line.as_str().into(),
    });
    let archives: Vec<&[u8]> = boot.modules.iter().map(|module| boot::module_bytes(module)).collect();
    let machine = Machine {
        console: Arc::new(console::SerialConsole),
        log: Arc::new(log::RecentLog),
        info: Arc::new(machine_info::Info),
    };
    match FileSystems::new(system, machine, &archives) {
        Ok(files) => system.files.call_once(|| files),
        Err(error) => panic!("vfs: no root file system: {error}"),
    };
    info!("vfs: root from {} archive(s)", archives.len());
    boot::memory::release_modules(boot);
    nodes::assign_memory();
    console::enable_input();
    system
}

/// What programs are shown of the kernel; nothing with `vdso=0`, as on Linux.
fn kernel_pages(boot: &BootInfo) -> Option<KernelPages> {
    let page = |at: *const (), name| -> Arc<dyn memory::Pager> {
        Arc::new(FixedPage::new(boot::memory::frames(), boot::memory::in_image(boot, at), name))
    };
    (CommandLine(&boot.command_line).number("vdso") != Some(0)).then(|| KernelPages {
        data: page((&raw const vdso::DATA).cast(), "[vvar]"),
        code: page(core::ptr::from_ref(vdso::code()).cast(), "[vdso]"),
    })
}

/// Process 1 from the initramfs: `init=` or `rdinit=` of the command line, or the first of the usual places.
#[expect(clippy::panic, reason = "without a first process there is nothing to run")]
pub(crate) fn first_process(system: &'static System) {
    let line = CommandLine(&system.command_line);
    let Some(files) = system.files.get() else { return };
    let wanted = line.value("init").or(line.value("rdinit"));
    let candidates: Vec<&str> = wanted.map_or_else(|| INIT_PROGRAMS.to_vec(), |path| alloc::vec![path]);
    let console = files.standard_stream().ok();
    let mut failures = Vec::new();
    for path in candidates {
        let mut arguments: Vec<&[u8]> = alloc::vec![path.as_bytes()];
        arguments.extend(line.init_arguments().map(str::as_bytes));
        let program = InitProgram {
            path: path.as_bytes(),
            arguments: &arguments,
            environment: &ENVIRONMENT,
            console: console.clone(),
        };
        match system.start_init(&program, files.namespace().clone(), files.namespace().root()) {
            Ok(()) => {
                info!("process: {path} is process 1");
                return;
            }
            Err(error) => failures.push((path, error)),
        }
    }
    panic!("no first process: {failures:?} (the initramfs needs one of {INIT_PROGRAMS:?}, or init=PATH)");
}

fn to_mib(frames: u64) -> u64 {
    frames * PAGE_SIZE as u64 / (1 << 20)
}
