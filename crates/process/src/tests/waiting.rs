//! wait4 and waitid: whom, what, how often.

use abi::{Signal, linux::general as linux};

use crate::testing::World;
use crate::{ChildEvent, CloneFlags, ExitStatus, ProcessError, ProcessState, WaitOptions, WaitRequest, WaitSelector};

#[test]
fn no_hang_tells_no_child_from_no_news() {
    let world = World::new();
    assert_eq!(world.wait4(&world.init, -1, linux::WNOHANG), Err(ProcessError::NoChild));
    let child = world.fork(&world.init);
    assert_eq!(world.wait4(&world.init, -1, linux::WNOHANG), Ok(None));
    assert_eq!(world.wait4(&world.init, 77, 0), Err(ProcessError::NoChild));
    let grandchild = world.fork(&child);
    assert_eq!(world.wait4(&world.init, grandchild.pid().0 as i32, 0), Err(ProcessError::NoChild));
}

#[test]
fn selectors_choose_by_number_and_group() {
    let world = World::new();
    let [a, b, c] = [(); 3].map(|()| world.fork(&world.init));
    world.table.setpgid(&world.init, b.pid(), types::Pgid(0)).unwrap();
    world.table.setpgid(&world.init, c.pid(), b.pid().into()).unwrap();
    for child in [&a, &b, &c] {
        world.exit(child, 0);
    }
    let group = -(b.pid().0 as i32);
    assert_eq!(world.wait4(&world.init, c.pid().0 as i32, 0), Ok(Some((c.pid().0, 0))));
    assert_eq!(world.wait4(&world.init, group, 0), Ok(Some((b.pid().0, 0))));
    assert_eq!(world.wait4(&world.init, group, 0), Err(ProcessError::NoChild));
    assert_eq!(world.wait4(&world.init, 0, 0), Ok(Some((a.pid().0, 0))), "in the caller's own group");
}

#[test]
fn oldest_child_comes_first() {
    let world = World::new();
    let children = [(); 3].map(|()| world.fork(&world.init));
    for child in children.iter().rev() {
        world.exit(child, 0);
    }
    let order: std::vec::Vec<_> = (0..3).map(|_| world.wait(&world.init).unwrap().unwrap().0).collect();
    assert_eq!(order, [2, 3, 4]);
}

#[test]
fn stop_and_continue_are_reported_once_each() {
    let world = World::new();
    let child = world.fork(&world.init);
    let pid = child.pid().0;
    let all = linux::WUNTRACED | linux::WCONTINUED;
    world.stop(&child);
    assert_eq!(world.wait(&world.init), Ok(None), "not asked for");
    assert_eq!(world.wait4(&world.init, -1, linux::WCONTINUED), Ok(None));
    assert_eq!(world.wait4(&world.init, -1, all), Ok(Some((pid, 0x137f))));
    assert_eq!(world.wait4(&world.init, -1, all), Ok(None));
    world.send(&child, Signal::CONT);
    assert_eq!(world.wait4(&world.init, -1, linux::WUNTRACED), Ok(None));
    assert_eq!(world.wait4(&world.init, -1, all), Ok(Some((pid, 0xffff))));
    assert_eq!(world.wait4(&world.init, -1, all), Ok(None));
    world.send(&child, Signal::CONT);
    assert_eq!(world.wait4(&world.init, -1, all), Ok(None), "it was not stopped");
}

#[test]
fn a_new_stop_takes_the_place_of_an_unread_continue() {
    let world = World::new();
    let child = world.fork(&world.init);
    let all = linux::WUNTRACED | linux::WCONTINUED;
    world.stop(&child);
    world.send(&child, Signal::CONT);
    world.stop(&child);
    assert_eq!(world.wait4(&world.init, -1, all), Ok(Some((2, 0x137f))));
    assert_eq!(world.wait4(&world.init, -1, all), Ok(None));
}

#[test]
fn nowait_leaves_the_child_waitable() {
    let world = World::new();
    let child = world.fork(&world.init);
    world.exit(&child, 9);
    let peek = linux::WEXITED | linux::WNOWAIT;
    for _ in 0..2 {
        let request = WaitRequest::waitid(WaitSelector::Any, peek).unwrap();
        let found = world.table.try_wait(&world.init, &request).unwrap().unwrap();
        assert_eq!(found.event, ChildEvent::Ended(ExitStatus::from_code(9)));
        assert_eq!((found.event.code(), found.event.si_status(), found.uid.0), (1, 9, 0));
    }
    assert_eq!(child.process().state(), ProcessState::Zombie);
    assert_eq!(world.wait(&world.init), Ok(Some((2, 0x900))));
}

#[test]
fn waitid_without_exited_does_not_wait_for_zombies() {
    let world = World::new();
    let child = world.fork(&world.init);
    let request = WaitRequest::waitid(WaitSelector::Any, linux::WSTOPPED).unwrap();
    assert!(matches!(world.table.try_wait(&world.init, &request), Ok(None)));
    // A zombie will never stop or go on: whoever waits for that must not sleep for ever.
    world.exit(&child, 0);
    assert!(matches!(world.table.try_wait(&world.init, &request), Err(ProcessError::NoChild)));
}

#[test]
fn unknown_options_are_refused() {
    let world = World::new();
    let init = world.init.process();
    assert_eq!(WaitRequest::wait4(init, -1, linux::WEXITED).err(), Some(ProcessError::InvalidArgument));
    assert_eq!(WaitRequest::wait4(init, -1, 0x40).err(), Some(ProcessError::InvalidArgument));
    assert_eq!(WaitRequest::wait4(init, i32::MIN, 0).err(), Some(ProcessError::ProcessNotFound));
    let waitid = |options| WaitRequest::<crate::testing::Plain>::waitid(WaitSelector::Any, options).err();
    assert_eq!(waitid(linux::WNOHANG), Some(ProcessError::InvalidArgument));
    assert_eq!(waitid(linux::WEXITED | 0x40), Some(ProcessError::InvalidArgument));
    assert_eq!(waitid(linux::WEXITED | linux::WNOHANG), None);
    assert_eq!(WaitOptions::NOWAIT.bits(), 0x0100_0000);
}

#[test]
fn clone_children_need_their_option() {
    let world = World::new();
    let silent = world.clone(&world.init, CloneFlags::FORK, None).unwrap();
    let pid = silent.pid().0;
    world.exit(&silent, 0);
    assert!(!world.init.process().signals().shared_pending().contains(Signal::CHLD));
    assert_eq!(world.wait(&world.init), Err(ProcessError::NoChild));
    assert_eq!(world.wait4(&world.init, -1, linux::__WCLONE), Ok(Some((pid, 0))));
    let other = world.clone(&world.init, CloneFlags::FORK, Some(Signal::USR1)).unwrap();
    world.exit(&other, 0);
    assert_eq!(world.wait4(&world.init, -1, linux::__WALL), Ok(Some((other.pid().0, 0))));
    let ordinary = world.fork(&world.init);
    world.exit(&ordinary, 0);
    assert_eq!(world.wait4(&world.init, -1, linux::__WCLONE), Err(ProcessError::NoChild));
}

#[test]
fn any_thread_waits_for_the_children_of_all() {
    let world = World::new();
    let maker = world.spawn_thread(&world.init);
    let child = world.fork(&maker);
    world.exit(&child, 0);
    assert_eq!(world.wait4(&world.init, -1, linux::__WNOTHREAD), Err(ProcessError::NoChild));
    assert_eq!(world.wait4(&maker, -1, linux::__WNOTHREAD), Ok(Some((child.pid().0, 0))));
    let child = world.fork(&maker);
    world.exit(&child, 0);
    assert_eq!(world.wait(&world.init), Ok(Some((child.pid().0, 0))));
}

#[test]
fn handle_waits_for_exactly_its_process() {
    let world = World::new();
    let child = world.fork(&world.init);
    let handle = child.process().clone();
    let request = || WaitRequest::waitid(WaitSelector::Handle(handle.clone()), linux::WEXITED).unwrap();
    assert!(matches!(world.table.try_wait(&world.init, &request()), Ok(None)));
    world.exit(&child, 1);
    assert!(handle.has_ended());
    let found = world.table.try_wait(&world.init, &request()).unwrap().unwrap();
    assert_eq!(found.pid, handle.pid());
    assert_eq!(world.table.try_wait(&world.init, &request()).err(), Some(ProcessError::NoChild));
}

#[test]
fn usage_of_reaped_descendants_adds_up_and_of_others_does_not() {
    let world = World::new();
    let parent = world.fork(&world.init);
    let waited = world.fork(&parent);
    waited.charge_time(types::Nanos(100), types::Nanos(0), None);
    world.exit(&waited, 0);
    world.wait(&parent).unwrap();
    let lost = world.fork(&parent);
    lost.charge_time(types::Nanos(1000), types::Nanos(0), None);
    parent.charge_time(types::Nanos(0), types::Nanos(10), None);
    world.exit(&parent, 0);
    let request = WaitRequest::wait4(world.init.process(), -1, 0).unwrap();
    let found = world.table.try_wait(&world.init, &request).unwrap().unwrap();
    assert_eq!((found.usage.user_ns, found.usage.system_ns), (100, 10));
    assert_eq!(world.init.process().children_usage().cpu_time(), types::Nanos(110));
}
