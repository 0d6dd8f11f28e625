//! Everything there is one of.

use alloc::string::String;
use alloc::sync::Arc;
use core::sync::atomic::{AtomicI32, AtomicU64};
use core::task::Waker;

use memory::{Frames, FutexKey};
use process::futex::FutexTable;
use process::{ProcessManagerConfig, ProcessTable};
use sync::{Moment, Once, TimerQueue, TimerToken};
use types::Nanos;

use crate::calls::timers;
use crate::wait::Sleep;
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

impl System {
    /// Milliseconds since boot.
    pub fn get_current_time_ms(&self) -> u64 {
        self.platform.now().0 / 1_000_000
    }

    /// Ends when `ms` milliseconds have passed.
    pub fn sleep_ms(&'static self, ms: u64) -> Sleep {
        Sleep::new(self, self.platform.now() + Nanos::from_millis(ms))
    }

    /// Wakes `waker` at `moment`, by a timer of this CPU.
    pub(crate) fn wake_at(&self, moment: impl Into<Moment>, waker: Waker) -> TimerToken {
        let moment = moment.into();
        let (token, nearest) = self.timers.insert(moment, waker);
        if nearest {
            self.platform.arm_timer(self.wall_clock.to_monotonic(moment));
        }
        token
    }

    /// Real time has been set: its timers are looked at again, and those who want to know are told.
    pub(crate) fn real_time_was_set(&'static self) {
        self.platform.real_time_was_set();
        self.wall_clock.tell_watchers();
        for process in self.processes.processes().filter(|process| process.existing_timers().is_some()) {
            timers::expire(self, &process);
        }
    }
}
