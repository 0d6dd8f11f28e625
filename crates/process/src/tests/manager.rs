//! The guide's examples, on the host: creation, fork, exec, wait, hierarchy, termination, states, monitoring.

use alloc::sync::Arc;
use alloc::vec::Vec;
use types::{Nanos, Pid};

use crate::testing::{Plain, PlainThread, World};
use crate::{
    Host, ImageRanges, Loaded, PriorityClass, PriorityLevel, Process, ProcessError, ProcessManager,
    ProcessManagerConfig, ProcessState, Resource, Result, Termination, Thread,
};

struct Bench;

impl Host<Plain> for Bench {
    fn now(&self) -> Nanos {
        Nanos::from_secs(100)
    }

    fn current(&self) -> Option<PlainThread> {
        None
    }

    fn empty_space(&self) -> Result<Arc<u64>> {
        Ok(Arc::new(0))
    }

    fn copy_space(&self, space: &Arc<u64>) -> Result<Arc<u64>> {
        Ok(Arc::new(**space))
    }

    fn load(&self, _: &Process<Plain>, program: &[u8], _: &[&str]) -> Result<Loaded<Plain>> {
        if !program.starts_with(b"\x7fELF") {
            return Err(ProcessError::NotExecutable);
        }
        let space = Arc::new(program.len() as u64);
        Ok(Loaded { space, executable: 1, ranges: ImageRanges::default() })
    }

    fn scheduling_changed(&self, _: &Thread<Plain>) {}
}

fn manager() -> ProcessManager<Plain, Bench> {
    let World { table, init } = World::new();
    // The first process lives as long as the table refers to it.
    drop(init);
    ProcessManager::new(Arc::new(table), Bench, ProcessManagerConfig::default())
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
    assert_eq!(pm.terminate_process(pid, Termination::Graceful), Ok(Some(Nanos::from_secs(105))));
    assert_eq!(pm.terminate_process(pid, Termination::Forceful), Ok(None));
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
    pm.get_process(b).unwrap().first_thread().unwrap().charge_write(10);
    let stats = pm.get_process_stats(b).unwrap();
    assert_eq!((stats.own.write_bytes, stats.own.write_operations, stats.open_files), (10, 1, 0));
    pm.suspend_process(b).unwrap();
    pm.resume_process(b).unwrap();
    assert_eq!(pm.get_process_stats(b).unwrap().signals.sent, 2);
    assert_eq!((pm.current_pid(), pm.get_parent_pid(Pid(1))), (None, Ok(None)));
}
