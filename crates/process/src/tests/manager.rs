//! The guide's examples, on the host: creation, fork, exec, wait, hierarchy, termination, states, monitoring.

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use std::sync::Mutex;

use types::{Credentials, Gid, Nanos, Pid, Uid};

use crate::testing::{Plain, PlainThread, World};
use crate::{
    Change, Effects, ExecRights, Host, ImageRanges, LimitPolicy, Loaded, OwnLimit, OwnResource, PriorityClass,
    PriorityLevel, ProcessError, ProcessManager, ProcessManagerConfig, ProcessState, Resource, Result, Termination,
    Thread, credentials_for_exec, thread_name,
};

/// A host without a machine; `caller` calls.
#[derive(Default)]
struct Bench {
    caller: Mutex<Option<PlainThread>>,
    doomed: Mutex<Vec<(Pid, Nanos)>>,
    rescheduled: Mutex<Vec<Pid>>,
}

impl Host<Plain> for Bench {
    type Program = [u8];
    type Arguments = &'static [&'static str];
    type Start = ();
    type Error = ProcessError;

    fn now(&self) -> Nanos {
        Nanos::from_secs(100)
    }

    fn current(&self) -> Option<PlainThread> {
        self.caller.lock().unwrap().clone()
    }

    fn new_space(&self, copy_of: Option<&Arc<u64>>) -> Result<Arc<u64>> {
        Ok(Arc::new(copy_of.map_or(0, |space| **space)))
    }

    fn load(
        &self,
        thread: &Thread<Plain>,
        program: &[u8],
        arguments: &'static [&'static str],
    ) -> Result<Loaded<Plain, ()>> {
        if !program.starts_with(b"\x7fELF") {
            return Err(ProcessError::NotExecutable);
        }
        let path = arguments.first().copied().unwrap_or_default();
        Ok(Loaded {
            space: Arc::new(program.len() as u64),
            executable: 1,
            ranges: ImageRanges::default(),
            name: thread_name(path.rsplit('/').next().unwrap_or(path).as_bytes()),
            rights: credentials_for_exec(&thread.credentials(), ExecRights::default()),
            start: (),
        })
    }

    fn admit(&self, _: &PlainThread) -> Result<()> {
        Ok(())
    }

    fn hand_over(&self, _: &PlainThread, loaded: Loaded<Plain, ()>) -> Result<Option<Loaded<Plain, ()>>> {
        Ok(Some(loaded))
    }

    fn carry_out(&self, effects: Effects<Plain>) {
        effects.run();
    }

    fn changed(&self, change: Change<'_, Plain>) {
        match change {
            Change::Scheduling(thread) => self.rescheduled.lock().unwrap().push(thread.pid()),
            Change::Limits(_) => {}
            Change::Doomed(process, deadline) => self.doomed.lock().unwrap().push((process.pid(), deadline)),
        }
    }
}

fn manager() -> ProcessManager<'static, Plain, Bench> {
    let World { table, init } = World::new();
    // The first process lives as long as the table refers to it.
    drop(init);
    let config = Box::leak(Box::new(ProcessManagerConfig::default()));
    ProcessManager::new(Box::leak(Box::new(table)), Bench::default(), config)
}

#[test]
fn created_process_is_new_and_limited() {
    let pm = manager();
    let pid = pm.create_process(None, "my_process", PriorityLevel::High).unwrap();
    let info = pm.get_process_info(pid).unwrap();
    assert_eq!((info.pid, info.parent, info.state), (pid, Pid(1), ProcessState::New));
    assert_eq!((info.priority, info.class, info.threads), (PriorityLevel::High, PriorityClass::User, 1));
    assert_eq!(&info.name[..10], b"my_process");
    let process = pm.get_process(pid).unwrap();
    assert_eq!(process.limit(Resource::Files), 1024);
    assert_eq!(process.limits().own(crate::OwnResource::Memory).value, 256 << 20);
    assert_eq!(pm.process_count(), 2);
    assert_eq!(pm.create_process(Some(Pid(99)), "x", PriorityLevel::Low), Err(ProcessError::ProcessNotFound));
}

#[test]
fn fork_exec_wait_works_like_a_shell() {
    let pm = manager();
    let shell = pm.create_process(None, "shell", PriorityLevel::Normal).unwrap();
    let child = pm.fork(shell).unwrap();
    assert_eq!(pm.get_parent_pid(child), Ok(Some(shell)));
    assert_eq!(pm.exec(child, b"text", &["/bin/ls"]), Err(ProcessError::NotExecutable));
    assert_eq!(&pm.get_process_info(child).unwrap().name[..6], b"shell\0", "unharmed");
    pm.exec(child, b"\x7fELF...", &["/bin/ls", "-la"]).unwrap();
    assert_eq!(&pm.get_process_info(child).unwrap().name[..3], b"ls\0");
    assert_eq!(pm.wait(shell), Err(ProcessError::WouldBlock));
    pm.exit(child, 42).unwrap();
    assert_eq!(pm.get_process_info(child).unwrap().state, ProcessState::Zombie);
    assert_eq!(pm.exit(child, 1), Err(ProcessError::InvalidState));
    assert_eq!(pm.wait(shell), Ok((child, 42 << 8)));
    assert_eq!(pm.wait(shell), Err(ProcessError::NoChild));
}

#[test]
fn termination_is_graceful_or_forceful_and_never_of_the_first_process() {
    let pm = manager();
    let pid = pm.create_process(None, "daemon", PriorityLevel::Low).unwrap();
    assert_eq!(pm.terminate_process(pid, Termination::Graceful), Ok(()));
    assert_eq!(pm.terminate_process(pid, Termination::Graceful), Ok(()), "the time does not begin anew");
    assert_eq!(*pm.host().doomed.lock().unwrap(), [(pid, Nanos::from_secs(105))]);
    assert_eq!(pm.terminate_process(pid, Termination::Forceful), Ok(()));
    assert_eq!(pm.wait(Pid(1)), Ok((pid, 9)));
    assert_eq!(pm.terminate_process(pid, Termination::Forceful), Err(ProcessError::ProcessNotFound));
    assert_eq!(pm.terminate_process(Pid(1), Termination::Forceful), Err(ProcessError::PermissionDenied));
}

#[test]
fn states_follow_the_machine() {
    let pm = manager();
    let pid = pm.create_process(None, "x", PriorityLevel::Normal).unwrap();
    for state in [ProcessState::Ready, ProcessState::Running, ProcessState::Blocked, ProcessState::Ready] {
        pm.set_process_state(pid, state).unwrap();
        assert_eq!(pm.get_process_info(pid).unwrap().state, state);
    }
    assert_eq!(pm.set_process_state(pid, ProcessState::New), Err(ProcessError::InvalidState));
    assert_eq!(pm.set_process_state(pid, ProcessState::Zombie), Err(ProcessError::InvalidState));
    assert_eq!(pm.get_process_info(pid).unwrap().state, ProcessState::Ready);
}

#[test]
fn listing_and_statistics_show_every_process() {
    let pm = manager();
    let a = pm.create_process(None, "a", PriorityLevel::Idle).unwrap();
    let b = pm.create_process(Some(a), "b", PriorityLevel::Critical).unwrap();
    let listed: Vec<_> = pm.list_processes().unwrap().iter().map(|line| (line.pid, line.priority)).collect();
    let expected = [(Pid(1), PriorityLevel::Normal), (a, PriorityLevel::Idle), (b, PriorityLevel::Critical)];
    assert_eq!(listed, expected);
    pm.set_priority(b, PriorityLevel::Low, PriorityClass::Background).unwrap();
    assert_eq!(pm.get_process_info(b).unwrap().class, PriorityClass::Background);
    assert_eq!(*pm.host().rescheduled.lock().unwrap(), [a, b, b], "the scheduler is told at once");
    pm.get_process(b).unwrap().first_thread().unwrap().charge_write(10);
    let stats = pm.get_process_stats(b).unwrap();
    assert_eq!((stats.own.write_bytes, stats.own.write_operations, stats.open_files), (10, 1, 0));
    pm.suspend_process(b).unwrap();
    pm.resume_process(b).unwrap();
    assert_eq!(pm.get_process_stats(b).unwrap().signals.sent, 2);
    assert_eq!((pm.current_pid(), pm.get_parent_pid(Pid(1))), (None, Ok(None)));
}

#[test]
fn callers_do_to_others_only_what_their_rights_allow() {
    let pm = manager();
    let mine = pm.create_process(None, "mine", PriorityLevel::Normal).unwrap();
    let other = pm.create_process(None, "other", PriorityLevel::Normal).unwrap();
    let user = |uid| Credentials::user(Uid(uid), Gid(uid));
    for (pid, uid) in [(mine, 7), (other, 8)] {
        let thread = pm.get_process(pid).unwrap().first_thread().unwrap();
        pm.table().set_credentials(&thread, user(uid));
    }
    *pm.host().caller.lock().unwrap() = pm.get_process(mine).unwrap().first_thread();
    let denied = Err(ProcessError::PermissionDenied);
    assert_eq!(pm.current_pid(), Some(mine));
    for pid in [other, Pid(1)] {
        assert_eq!(pm.create_process(Some(pid), "x", PriorityLevel::Low), Err(ProcessError::PermissionDenied));
        assert_eq!(pm.fork(pid), Err(ProcessError::PermissionDenied));
        assert_eq!(pm.exec(pid, b"\x7fELF", &[]), denied);
        assert_eq!(pm.exit(pid, 0), denied);
        assert_eq!(pm.wait(pid), Err(ProcessError::PermissionDenied));
        assert_eq!(pm.terminate_process(pid, Termination::Graceful), denied);
        assert_eq!(pm.terminate_process(pid, Termination::Forceful), denied);
        assert_eq!(pm.suspend_process(pid), denied);
        assert!(pm.set_process_state(pid, ProcessState::Ready).is_err());
        assert_eq!(pm.set_priority(pid, PriorityLevel::Low, PriorityClass::User), denied);
        let limit = OwnLimit { value: 1, policy: LimitPolicy::Fail };
        assert_eq!(pm.set_limit(pid, OwnResource::Memory, limit), denied);
    }
    // To itself and its own, but not upwards.
    assert_eq!(pm.set_priority(mine, PriorityLevel::High, PriorityClass::User), denied);
    assert_eq!(pm.set_priority(mine, PriorityLevel::Normal, PriorityClass::System), denied);
    assert_eq!(pm.set_priority(mine, PriorityLevel::Low, PriorityClass::Background), Ok(()));
    assert_eq!(pm.create_process(Some(mine), "up", PriorityLevel::Normal), Err(ProcessError::PermissionDenied));
    let child = pm.create_process(Some(mine), "child", PriorityLevel::Low).unwrap();
    assert_eq!(pm.exit(child, 3), Ok(()));
    assert_eq!(pm.wait(mine), Ok((child, 3 << 8)));
}

#[test]
fn numbers_name_levels_classes_states_and_resources() {
    for (number, level) in PriorityLevel::ALL.into_iter().enumerate() {
        assert_eq!(PriorityLevel::from_number(number as u64), Ok(level));
    }
    for (number, class) in PriorityClass::ALL.into_iter().enumerate() {
        assert_eq!(PriorityClass::from_number(number as u64), Ok(class));
    }
    for (number, state) in ProcessState::ALL.into_iter().enumerate() {
        assert_eq!(ProcessState::from_number(number as u64), Ok(state));
    }
    for (number, resource) in OwnResource::ALL.into_iter().enumerate() {
        assert_eq!(OwnResource::from_number(number as u64), Ok(resource));
    }
    assert_eq!(PriorityLevel::from_number(6), Err(ProcessError::InvalidPriority));
    assert_eq!(PriorityClass::from_number(5), Err(ProcessError::InvalidPriority));
    assert_eq!(ProcessState::from_number(8), Err(ProcessError::InvalidState));
    assert_eq!(OwnResource::from_number(u64::MAX), Err(ProcessError::InvalidResourceLimits));
}
