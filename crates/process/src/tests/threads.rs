//! Thread groups.

use abi::Signal;

use crate::testing::{THREAD_FLAGS, Wakes, World};
use crate::{CloneCall, CloneFlags, ExitStatus, ProcessError, ProcessState};

#[test]
fn threads_share_everything_but_themselves() {
    let world = World::new();
    let process = world.fork(&world.init);
    let thread = world.spawn_thread(&process);
    assert_eq!(thread.pid(), process.pid());
    assert_ne!(thread.tid(), process.tid());
    assert!(alloc::sync::Arc::ptr_eq(thread.process(), process.process()));
    assert!(alloc::sync::Arc::ptr_eq(&thread.files().unwrap(), &process.files().unwrap()));
    assert_eq!(process.process().thread_count(), 2);
    assert!(world.table.thread(thread.tid()).is_some());
    assert!(world.process(thread.tid().0).is_none(), "a thread's number is no pid");
    assert_eq!(world.table.process_count(), 2);
    world.exit(&thread, 3);
    assert!(world.table.thread(thread.tid()).is_none());
    assert_eq!(process.process().thread_count(), 1);
    assert_eq!(world.wait(&world.init), Ok(None), "the process lives");
    world.table.tree().check();
}

#[test]
fn leader_that_exits_first_is_no_zombie_before_the_last_thread() {
    let world = World::new();
    let leader = world.fork(&world.init);
    let thread = world.spawn_thread(&leader);
    let process = leader.process().clone();
    world.exit(&leader, 5);
    assert_eq!(world.wait(&world.init), Ok(None));
    assert!(!process.has_ended());
    assert_eq!(process.exit_status(), None);
    world.exit(&thread, 6);
    assert_eq!(process.state(), ProcessState::Zombie);
    assert_eq!(world.wait(&world.init), Ok(Some((process.pid().0, 0x600))), "the status is the last thread's");
    assert_eq!(world.table.numbers_in_use(), 1);
    assert_eq!(world.init.identity().user.threads(), 1);
}

#[test]
fn group_exit_decides_the_status_once() {
    let world = World::new();
    let leader = world.fork(&world.init);
    let thread = world.spawn_thread(&leader);
    let process = leader.process().clone();
    world.table.begin_group_exit(&process, ExitStatus::from_code(9)).run();
    world.table.begin_group_exit(&process, ExitStatus::KILLED).run();
    assert!(leader.signals().must_exit() && thread.signals().must_exit());
    assert!(process.is_ending());
    assert_eq!(process.exit_status(), Some(ExitStatus::from_code(9)));
    assert!(world.clone(&leader, CloneFlags::FORK, Some(Signal::CHLD)).is_err());
    assert_eq!(world.settle(&thread), ["exited"]);
    assert_eq!(world.settle(&leader), ["exited"]);
    assert_eq!(world.wait(&world.init), Ok(Some((process.pid().0, 0x900))));
}

#[test]
fn exit_group_wakes_every_thread_but_the_caller() {
    let world = World::new();
    let leader = world.fork(&world.init);
    let threads = [leader.clone(), world.spawn_thread(&leader), world.spawn_thread(&leader)];
    let wakes = threads.each_ref().map(Wakes::of);
    let [_, caller, _] = &threads;
    world.table.exit_group(caller, ExitStatus::from_code(4)).run();
    assert_eq!(wakes.map(|wakes| wakes.count()), [1, 0, 1]);
    assert!(threads.iter().all(|thread| thread.signals().must_exit()));
    assert_eq!(leader.process().exit_status(), Some(ExitStatus::from_code(4)));
}

#[test]
fn fatal_signal_ends_all_threads() {
    let world = World::new();
    let leader = world.fork(&world.init);
    let thread = world.spawn_thread(&leader);
    world.send(&leader, Signal::KILL);
    let acting = if leader.signals().has_deliverable() { &leader } else { &thread };
    assert_eq!(world.settle(acting), ["terminated"]);
    assert_eq!(world.wait(&world.init), Ok(Some((leader.pid().0, 9))));
}

#[test]
fn stop_is_complete_when_the_last_thread_is_parked() {
    let world = World::new();
    let leader = world.fork(&world.init);
    let [a, b] = [world.spawn_thread(&leader), world.spawn_thread(&leader)];
    let untraced = abi::linux::general::WUNTRACED;
    world.send(&leader, Signal::STOP);
    world.settle(&leader);
    world.settle(&a);
    assert_eq!(world.wait4(&world.init, -1, untraced), Ok(None));
    // The last one does not park, it ends.
    world.exit(&b, 0);
    assert_eq!(world.wait4(&world.init, -1, untraced), Ok(Some((leader.pid().0, 0x137f))));
    world.send(&leader, Signal::CONT);
    assert!(!leader.signals().is_stopped() && !a.signals().is_stopped());
}

#[test]
fn kill_wakes_a_stopped_process() {
    let world = World::new();
    let child = world.fork(&world.init);
    world.stop(&child);
    assert!(child.signals().is_stopped());
    world.send(&child, Signal::KILL);
    assert!(!child.signals().is_stopped());
    assert_eq!(world.settle(&child), ["terminated"]);
}

#[test]
fn clone_flags_must_go_together() {
    use CloneFlags as F;
    let clone = |flags: F| flags.validate(CloneCall::Clone, 17).is_ok();
    let clone3 = |flags: F, signal| flags.validate(CloneCall::Clone3, signal).is_ok();
    assert!(clone(F::FORK) && clone(F::VFORK_CALL) && clone(THREAD_FLAGS));
    for bad in [
        F::THREAD | F::VM,
        F::SIGHAND,
        F::THREAD | F::SIGHAND,
        F::NEWNS | F::FS,
        F::NEWUSER | F::FS,
        THREAD_FLAGS | F::NEWPID,
        THREAD_FLAGS | F::PIDFD,
        F::PIDFD | F::DETACHED,
        F::PIDFD | F::PARENT_SETTID,
        F::VM | F::SIGHAND | F::CLEAR_SIGHAND,
    ] {
        assert!(!clone(bad), "{bad:?}");
    }
    assert!(clone3(F::PIDFD | F::PARENT_SETTID, 17), "clone3 has a place of its own for the pidfd");
    assert!(!clone3(F::DETACHED, 17));
    assert!(!clone3(F::PARENT, 17) && clone3(F::PARENT, 0));
    assert!(!clone3(F::FORK, 65) && clone3(F::FORK, 64));
    assert_eq!(F::FORK.validate(CloneCall::Clone, 200), Ok(None));
}

#[test]
fn clone_parent_makes_a_sibling() {
    let world = World::new();
    let parent = world.fork(&world.init);
    let sibling = world.clone(&parent, CloneFlags::PARENT, None).unwrap();
    assert_eq!(sibling.process().parent_pid().0, 1);
    assert_eq!(sibling.process().exit_signal(), Some(Signal::CHLD), "as its maker's");
    assert_eq!(world.clone(&world.init, CloneFlags::PARENT, None).err(), Some(ProcessError::InvalidArgument));
}
