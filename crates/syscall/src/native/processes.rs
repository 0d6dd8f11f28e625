//! Process calls of the native gate: decode, ask the process manager, encode.

use abi::native::{
    self as number, NativeConfig, NativeLimit, NativeProcessEntry, NativeProcessInfo, NativeProcessStats,
};
use abi::{Errno, Signal, Wire};
use process::stack::Arguments;
use process::{
    IsolationLevel, LimitPolicy, OwnLimit, OwnResource, PriorityClass, PriorityLevel, Process, ProcessError,
    ProcessFlag, ProcessInfo, ProcessManager, ProcessState, ProcessStats, ProcessSummary, Resource, Termination,
};
use types::{PAGE_SIZE, Pid};
use vfs::Follow;

use super::host::{KernelHost, Program};
use crate::calls::exec::read_strings;
use crate::wait::interruptible;
use crate::{Caller, Resources, SysError, SysResult};

/// Longest name that is read, with its NUL; 15 bytes of it are kept.
const NAME_LIMIT: usize = 256;

type Manager = ProcessManager<'static, Resources, KernelHost>;

fn manager(caller: Caller<'_>) -> Manager {
    ProcessManager::new(&caller.system.processes, KernelHost::of(caller), &caller.system.manager)
}

pub(super) fn dispatch(caller: Caller<'_>, call: u64, args: [u64; 6]) -> SysResult {
    let [a, b, c, ..] = args;
    let manager = manager(caller);
    let memory = caller.memory();
    let done = |result: process::Result<()>| Ok(result.map(|()| 0)?);
    let pid = |number: u64| meant(caller, number);
    let shown = |pid: Pid| u64::from(caller.process.shown(pid.0));
    match call {
        number::CREATE_PROCESS => {
            let parent = if a == 0 { caller.process.pid() } else { pid(a)? };
            let name = memory.read_string(b, NAME_LIMIT, Errno::ENAMETOOLONG)?;
            let level = PriorityLevel::from_number(c)?;
            Ok(shown(manager.create_named(Some(parent), &name, level)?))
        }
        number::TERMINATE_PROCESS => {
            let how = match b {
                number::TERMINATE_GRACEFUL => Termination::Graceful,
                number::TERMINATE_FORCEFUL => Termination::Forceful,
                _ => return Err(Errno::EINVAL.into()),
            };
            done(manager.terminate_process(pid(a)?, how))
        }
        number::SUSPEND_PROCESS => done(manager.suspend_process(pid(a)?)),
        number::RESUME_PROCESS => done(manager.resume_process(pid(a)?)),
        number::SEND_SIGNAL => {
            let signal = Signal::new(b).ok_or(ProcessError::SignalNotSupported)?;
            done(manager.send_signal(pid(a)?, signal))
        }
        number::GET_PROCESS_INFO => {
            caller.system.platform.charge();
            memory.write(b, &info(&manager.get_process_info(pid(a)?)?, caller))?;
            Ok(0)
        }
        number::GET_PROCESS_STATS => {
            caller.system.platform.charge();
            let pid = pid(a)?;
            let stats = manager.get_process_stats(pid)?;
            let process = manager.get_process(pid).ok_or(ProcessError::ProcessNotFound)?;
            memory.write(b, &self::stats(&process, &stats))?;
            Ok(0)
        }
        number::LIST_PROCESSES => list(caller, a, b),
        number::PROCESS_COUNT => Ok(u64::from(manager.process_count())),
        number::GET_PARENT_PID => Ok(manager.get_parent_pid(pid(a)?)?.map_or(0, shown)),
        number::SET_PROCESS_STATE => done(manager.set_process_state(pid(a)?, ProcessState::from_number(b)?)),
        number::SET_PRIORITY => {
            done(manager.set_priority(pid(a)?, PriorityLevel::from_number(b)?, PriorityClass::from_number(c)?))
        }
        number::FORK_PROCESS => Ok(shown(manager.fork(pid(a)?)?)),
        number::EXIT_PROCESS => done(manager.exit(pid(a)?, b as i32)),
        number::GET_LIMIT => {
            let (pid, resource) = (pid(a)?, OwnResource::from_number(b)?);
            let limit = manager.get_limit(pid, resource)?;
            let process = manager.get_process(pid).ok_or(ProcessError::ProcessNotFound)?;
            memory.write(c, &encode_limit(limit, process.violations().of(resource)))?;
            Ok(0)
        }
        number::SET_LIMIT => {
            let (pid, resource) = (pid(a)?, OwnResource::from_number(b)?);
            let limit = decode_limit(&memory.read(c)?)?;
            done(manager.set_limit(pid, resource, limit))
        }
        number::GET_CONFIG => {
            memory.write(a, &config(manager.config()))?;
            Ok(0)
        }
        number::SET_ISOLATION => {
            let target = if a == 0 { caller.process.pid() } else { pid(a)? };
            done(manager.set_isolation(target, IsolationLevel::from_number(b)?))
        }
        number::GET_ISOLATION => {
            let target = if a == 0 { caller.process.pid() } else { pid(a)? };
            Ok(manager.get_isolation(target)? as u64)
        }
        _ => Err(Errno::ENOSYS.into()),
    }
}

/// Gives a New process a program; comes back when it has begun, is stopped, or has ended.
pub(super) async fn exec(caller: Caller<'_>, args: [u64; 6]) -> SysResult {
    let [target, path, argv, envp, ..] = args;
    let target = meant(caller, target)?;
    let process = caller.system.processes.process(target).ok_or(ProcessError::ProcessNotFound)?;
    {
        let path = caller.memory().read_path(path)?;
        let standing = caller.standing(abi::linux::general::AT_FDCWD as u64, &path)?;
        let location = standing.context().resolve(&path, Follow::Yes)?;
        let mut arguments = Arguments::new(process.limit(Resource::Stack));
        read_strings(caller, argv, |string| arguments.push_argument(string))?;
        read_strings(caller, envp, |string| arguments.push_environment(string))?;
        manager(caller).exec(target, &Program { standing, location, path }, arguments)?;
    }
    let stopped = || process.first_thread().is_some_and(|thread| thread.signals().is_stopped());
    let begun = || process.has_flag(ProcessFlag::Executed) || process.has_ended() || stopped();
    // Interrupted, the program begins nonetheless.
    let _ = interruptible(caller.thread, process.events().wait_until(|| begun().then_some(()))).await;
    Ok(0)
}

/// Whom the caller means.
fn meant(caller: Caller<'_>, number: u64) -> Result<Pid, ProcessError> {
    match u32::try_from(number) {
        Ok(number @ 1..=0x7fff_ffff) => Ok(Pid(caller.meant(number))),
        _ => Err(ProcessError::InvalidProcessId),
    }
}

/// Writes entries as it goes: nothing is kept, however many there are.
fn list(caller: Caller<'_>, array: u64, capacity: u64) -> SysResult {
    let mut count = 0;
    for process in caller.system.processes.processes() {
        let number = caller.process.shown(process.pid().0);
        if number == 0 {
            // Not in the caller's view.
            continue;
        }
        if count < capacity {
            let ProcessSummary { name, state, priority, .. } = Manager::summary(&process);
            let entry =
                NativeProcessEntry { pid: number, state: state as u32, priority: priority as u32, pad: 0, name };
            let offset = count.checked_mul(NativeProcessEntry::SIZE as u64).ok_or(Errno::EFAULT)?;
            caller.memory().write(array.checked_add(offset).ok_or(Errno::EFAULT)?, &entry)?;
        }
        count += 1;
    }
    Ok(count)
}

fn info(info: &ProcessInfo, caller: Caller<'_>) -> NativeProcessInfo {
    let reader = caller.process;
    let last_scheduled = if info.last_dispatch == 0 { 0 } else { caller.system.platform.time_of(info.last_dispatch).0 };
    NativeProcessInfo {
        pid: reader.shown(info.pid.0),
        parent: reader.shown(info.parent.0),
        group: reader.shown(info.group.0),
        session: reader.shown(info.session.0),
        user: info.user.0,
        state: info.state as u32,
        priority: info.priority as u32,
        class: info.class as u32,
        threads: info.threads as u32,
        exit_status: info.exit_status.map_or(-1, |status| status.wait_status()),
        created_at: info.created_at.0,
        started_at: info.started_at.map_or(0, |at| at.0),
        last_scheduled,
        name: info.name,
    }
}

fn stats(process: &Process<Resources>, stats: &ProcessStats) -> NativeProcessStats {
    let ProcessStats { own, children, signals, open_files } = stats;
    let memory = process.space().map(|space| space.usage()).unwrap_or_default();
    let bytes = |pages: u64| pages * PAGE_SIZE as u64;
    NativeProcessStats {
        user_ns: own.user_ns,
        system_ns: own.system_ns,
        memory: bytes(memory.resident),
        peak_memory: own.peak_memory.max(bytes(memory.peak_resident)),
        stack: bytes(memory.stack),
        heap: bytes(memory.heap),
        read_bytes: own.read_bytes,
        write_bytes: own.write_bytes,
        read_operations: own.read_operations,
        write_operations: own.write_operations,
        voluntary_switches: own.voluntary_switches,
        involuntary_switches: own.involuntary_switches,
        minor_faults: own.minor_faults,
        major_faults: own.major_faults,
        signals_sent: signals.sent,
        signals_delivered: signals.delivered,
        signals_blocked: signals.blocked,
        signals_ignored: signals.ignored,
        children_cpu_ns: children.cpu_time().0,
        open_files: *open_files as u64,
        violations: process.violations().total(),
    }
}

fn encode_limit(limit: OwnLimit, violations: u64) -> NativeLimit {
    let (policy, signal) = match limit.policy {
        LimitPolicy::Fail => (number::POLICY_FAIL, 0),
        LimitPolicy::Signal(signal) => (number::POLICY_SIGNAL, u32::from(signal.number())),
        LimitPolicy::Throttle => (number::POLICY_THROTTLE, 0),
        LimitPolicy::Kill => (number::POLICY_KILL, 0),
    };
    NativeLimit { value: limit.value, policy, signal, violations }
}

fn decode_limit(limit: &NativeLimit) -> Result<OwnLimit, SysError> {
    let policy = match limit.policy {
        number::POLICY_FAIL => LimitPolicy::Fail,
        number::POLICY_SIGNAL => {
            LimitPolicy::Signal(Signal::new(u64::from(limit.signal)).ok_or(ProcessError::SignalNotSupported)?)
        }
        number::POLICY_THROTTLE => LimitPolicy::Throttle,
        number::POLICY_KILL => LimitPolicy::Kill,
        _ => return Err(ProcessError::InvalidResourceLimits.into()),
    };
    Ok(OwnLimit { value: limit.value, policy })
}

fn config(config: &process::ProcessManagerConfig) -> NativeConfig {
    NativeConfig {
        max_processes: config.max_processes,
        max_service_processes: config.max_service_processes,
        default_stack_size: config.default_stack_size,
        default_memory_limit: config.default_memory_limit,
        default_max_descriptors: config.default_max_descriptors,
        service_timeout: config.service_timeout.0,
        grace_period: config.grace_period.0,
        emergency_timeout: config.emergency_timeout.0,
        accounting: u32::from(config.accounting),
        monitoring: u32::from(config.monitoring),
    }
}
