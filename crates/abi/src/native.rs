//! The native gate, `int 0x80`: numbers and layouts of the MultiOS integration guide.
//!
//! Number in `rax`, arguments in `rdi`, `rsi`, `rdx`, `r10`; the answer, or a negated errno, in `rax`; no other register is
//! changed. 1 to 39 are the guide's own numbers, processes begin at 0x100, services at 0x140.

use crate::abi_struct;

/// exit(status): ends the calling process.
pub const EXIT: u64 = 1;
/// fork(): the child's number, 0 in the child.
pub const FORK: u64 = 2;
/// wait(pid or 0): the child's number in the upper half, its wait status in the lower.
pub const WAIT: u64 = 7;
/// exec(path, argv, envp).
pub const EXEC: u64 = 11;
/// getpid().
pub const GETPID: u64 = 20;
/// getppid().
pub const GETPPID: u64 = 39;

/// create_process(parent or 0 for the caller, name, level): the number of a New process.
pub const CREATE_PROCESS: u64 = 0x100;
/// terminate_process(pid, [`TERMINATE_GRACEFUL`] or [`TERMINATE_FORCEFUL`]).
pub const TERMINATE_PROCESS: u64 = 0x101;
/// suspend_process(pid).
pub const SUSPEND_PROCESS: u64 = 0x102;
/// resume_process(pid).
pub const RESUME_PROCESS: u64 = 0x103;
/// send_signal(pid, signal).
pub const SEND_SIGNAL: u64 = 0x104;
/// get_process_info(pid, [`NativeProcessInfo`]).
pub const GET_PROCESS_INFO: u64 = 0x105;
/// get_process_stats(pid, [`NativeProcessStats`]).
pub const GET_PROCESS_STATS: u64 = 0x106;
/// list_processes(array of [`NativeProcessEntry`], its length): how many there are, which may be more.
pub const LIST_PROCESSES: u64 = 0x107;
/// process_count().
pub const PROCESS_COUNT: u64 = 0x108;
/// get_parent_pid(pid): 0 for the first process.
pub const GET_PARENT_PID: u64 = 0x109;
/// set_process_state(pid, state).
pub const SET_PROCESS_STATE: u64 = 0x10a;
/// set_priority(pid, level, class).
pub const SET_PRIORITY: u64 = 0x10b;
/// fork_process(pid): copies a New process, or the caller (0).
pub const FORK_PROCESS: u64 = 0x10c;
/// exec_process(pid, path, argv, envp): gives a New process its program, with which it runs.
pub const EXEC_PROCESS: u64 = 0x10d;
/// exit_process(pid, status): ends another process as if it had called exit.
pub const EXIT_PROCESS: u64 = 0x10e;
/// get_limit(pid, resource, [`NativeLimit`]).
pub const GET_LIMIT: u64 = 0x10f;
/// set_limit(pid, resource, [`NativeLimit`]).
pub const SET_LIMIT: u64 = 0x110;
/// get_config([`NativeConfig`]).
pub const GET_CONFIG: u64 = 0x111;
/// set_isolation(pid or 0, level): 1 namespaces, 2 container; only upwards. 3, a virtual machine, is ENOSYS.
pub const SET_ISOLATION: u64 = 0x112;
/// get_isolation(pid or 0) -> level.
pub const GET_ISOLATION: u64 = 0x113;

/// create_service(definition, length).
pub const CREATE_SERVICE: u64 = 0x140;
/// start_service(name).
pub const START_SERVICE: u64 = 0x141;
/// stop_service(name).
pub const STOP_SERVICE: u64 = 0x142;

/// SIGTERM now, SIGKILL after the grace period.
pub const TERMINATE_GRACEFUL: u64 = 0;
/// SIGKILL.
pub const TERMINATE_FORCEFUL: u64 = 1;

/// Crossing a limit makes the operation fail.
pub const POLICY_FAIL: u32 = 0;
/// Crossing a limit sends a signal.
pub const POLICY_SIGNAL: u32 = 1;
/// Crossing a limit delays the operation.
pub const POLICY_THROTTLE: u32 = 2;
/// Crossing a limit kills.
pub const POLICY_KILL: u32 = 3;

abi_struct! {
    /// What `GET_PROCESS_INFO` tells.
    pub struct NativeProcessInfo {
        /// Number.
        pub pid: u32,
        /// Parent's number.
        pub parent: u32,
        /// Number of its group.
        pub group: u32,
        /// Number of its session.
        pub session: u32,
        /// Real user.
        pub user: u32,
        /// State: 0 New, Ready, Running, Blocked, Suspended, Terminated, Zombie, 7 Defunct.
        pub state: u32,
        /// Level: 0 Idle, Low, Normal, High, RealTime, 5 Critical.
        pub priority: u32,
        /// Class: 0 System, Interactive, User, Service, 4 Background.
        pub class: u32,
        /// Threads that live.
        pub threads: u32,
        /// Wait status once it is ending, else -1.
        pub exit_status: i32,
        /// Nanoseconds since boot when it was made.
        pub created_at: u64,
        /// When it first ran; 0 if never.
        pub started_at: u64,
        /// When it last began to run.
        pub last_scheduled: u64,
        /// Name, NUL-padded.
        pub name: [u8; 16],
    }
}

abi_struct! {
    /// What `GET_PROCESS_STATS` tells: times in nanoseconds, memory in bytes.
    pub struct NativeProcessStats {
        /// Time in user mode.
        pub user_ns: u64,
        /// Time in the kernel.
        pub system_ns: u64,
        /// Memory held.
        pub memory: u64,
        /// Most memory held at once.
        pub peak_memory: u64,
        /// Of it stack.
        pub stack: u64,
        /// Of it heap.
        pub heap: u64,
        /// Bytes read.
        pub read_bytes: u64,
        /// Bytes written.
        pub write_bytes: u64,
        /// Read calls.
        pub read_operations: u64,
        /// Write calls.
        pub write_operations: u64,
        /// Times it waited.
        pub voluntary_switches: u64,
        /// Times it lost the CPU.
        pub involuntary_switches: u64,
        /// Faults served from memory.
        pub minor_faults: u64,
        /// Faults that read a file.
        pub major_faults: u64,
        /// Signals sent to it.
        pub signals_sent: u64,
        /// Signals it acted upon.
        pub signals_delivered: u64,
        /// Signals that found it blocking them.
        pub signals_blocked: u64,
        /// Signals it ignored.
        pub signals_ignored: u64,
        /// CPU time of reaped children.
        pub children_cpu_ns: u64,
        /// Descriptors open now.
        pub open_files: u64,
        /// Limits of MultiOS's own that were crossed.
        pub violations: u64,
    }
}

abi_struct! {
    /// A line of `LIST_PROCESSES`.
    pub struct NativeProcessEntry {
        /// Number.
        pub pid: u32,
        /// State.
        pub state: u32,
        /// Level.
        pub priority: u32,
        /// Zero.
        pub pad: u32,
        /// Name, NUL-padded.
        pub name: [u8; 16],
    }
}

abi_struct! {
    /// A limit of MultiOS's own.
    pub struct NativeLimit {
        /// Highest value allowed; all ones for none.
        pub value: u64,
        /// `POLICY_*`.
        pub policy: u32,
        /// Signal of `POLICY_SIGNAL`.
        pub signal: u32,
        /// Times it was crossed (answer only).
        pub violations: u64,
    }
}

abi_struct! {
    /// What `GET_CONFIG` tells: sizes in bytes, times in nanoseconds.
    pub struct NativeConfig {
        /// Most processes.
        pub max_processes: u32,
        /// Most processes of services.
        pub max_service_processes: u32,
        /// Stack of a created process.
        pub default_stack_size: u64,
        /// Memory of a created process.
        pub default_memory_limit: u64,
        /// Descriptors of a created process.
        pub default_max_descriptors: u64,
        /// Time for a service to start or stop.
        pub service_timeout: u64,
        /// Time between SIGTERM and SIGKILL.
        pub grace_period: u64,
        /// Time for an emergency termination.
        pub emergency_timeout: u64,
        /// Whether use is counted.
        pub accounting: u32,
        /// Whether the monitor looks at processes.
        pub monitoring: u32,
    }
}
