//! Everything there is one of.

use alloc::string::String;
use alloc::sync::Arc;
use core::sync::atomic::{AtomicI32, AtomicU64};

use memory::{Frames, FutexKey};
use process::futex::FutexTable;
use process::{ProcessManagerConfig, ProcessTable};
use sync::{Once, TimerQueue};

use crate::{
    CreatedProcesses, FileSystems, LoadAverage, MappedFiles, MissingCalls, Platform, Resources, ServiceRoom,
    UtsNamespace, ViolationLog, WallClock,
};

/// The state behind all system calls.
pub struct System {
    /// The machine and the executor.
    pub platform: &'static dyn Platform,
    /// Physical memory.
    pub frames: &'static Frames,
    /// All processes.
    pub processes: ProcessTable<Resources>,
    /// Sizes and times of the process manager.
    pub manager: ProcessManagerConfig,
    /// Processes that were created and wait for a program.
    pub created: CreatedProcesses,
    /// Limits of MultiOS's own that were crossed.
    pub violations: ViolationLog,
    /// Who waits on words of user memory.
    pub futexes: FutexTable<FutexKey>,
    /// Who waits for a moment.
    pub timers: TimerQueue,
    /// Real time.
    pub wall_clock: Arc<WallClock>,
    /// Files that are mapped.
    pub mapped_files: MappedFiles,
    /// Calls we lack.
    pub missing: MissingCalls,
    /// The first process's host and domain name.
    pub names: Arc<UtsNamespace>,
    /// Status that is reported at power-off.
    pub exit_status: AtomicI32,
    /// Load averages.
    pub load: LoadAverage,
    /// Processes and threads made since boot.
    pub forks: AtomicU64,
    /// Whether programs are placed at random addresses.
    pub randomize: bool,
    /// File systems, once they are set up.
    pub files: Once<FileSystems>,
    /// The supervisor of services.
    pub services: ServiceRoom,
    /// The kernel command line.
    pub command_line: String,
}
