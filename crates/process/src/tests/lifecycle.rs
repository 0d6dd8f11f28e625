//! Birth, end, adoption.

use abi::{SigSet, Signal};
use alloc::sync::Arc;

use crate::signal::{Action, ActionFlags};
use crate::testing::{Wakes, World};
use crate::{CloneFlags, ExitStatus, ProcessError, ProcessFlag, ProcessState};

fn pending(world: &crate::testing::PlainThread) -> SigSet {
    world.process().signals().shared_pending()
}

/// SIGCHLD with a handler and blocked, so that sends show.
fn watch_children(thread: &crate::testing::PlainThread) {
    let signals = thread.process().signals();
    signals.set_action(Signal::CHLD, Action { handler: 0x1000, ..Action::DEFAULT });
    let _kick = signals.set_mask(thread.signals(), SigSet::EMPTY.with(Signal::CHLD));
}

#[test]
fn first_process_is_number_one_and_its_own_leader() {
    let world = World::new();
    let init = world.init.process();
    assert_eq!((init.pid().0, init.parent_pid().0, init.pgid().0, init.sid().0), (1, 0, 1, 1));
    assert_eq!(init.state(), ProcessState::New);
    assert!(init.is_init());
    world.table.tree().check();
}

#[test]
fn child_is_a_zombie_until_waited_for() {
    let world = World::new();
    let child = world.fork(&world.init);
    let process = child.process().clone();
    assert_eq!((child.pid().0, process.parent_pid().0), (2, 1));
    world.exit(&child, 7);
    assert_eq!(process.state(), ProcessState::Zombie);
    assert!(process.has_ended() && !process.is_reaped());
    assert!(process.space().is_none() && child.files().is_none());
    assert_eq!(world.table.process_count(), 2);
    assert_eq!(world.wait(&world.init), Ok(Some((2, 0x700))));
    assert_eq!(process.state(), ProcessState::Defunct);
    assert!(world.process(2).is_none());
    assert_eq!(world.wait(&world.init), Err(ProcessError::NoChild));
    assert_eq!((world.table.process_count(), world.table.thread_count()), (1, 1));
    world.table.tree().check();
}

#[test]
fn sigchld_is_pending_before_wait_finds_the_child() {
    let world = World::new();
    watch_children(&world.init);
    let child = world.fork(&world.init);
    world.exit(&child, 3);
    assert!(pending(&world.init).contains(Signal::CHLD));
    let info = world.init.process().signals().take(world.init.signals(), SigSet::ALL).unwrap();
    assert_eq!((info.code, info.pid().0, info.status()), (1, 2, 3));
}

#[test]
fn orphans_go_to_the_first_process_or_the_nearest_subreaper() {
    let world = World::new();
    let reaper = world.fork(&world.init);
    reaper.process().set_flag(ProcessFlag::Subreaper);
    let middle = world.fork(&reaper);
    let parent = world.fork(&middle);
    let orphan = world.fork(&parent);
    world.exit(&parent, 0);
    assert_eq!(orphan.process().parent_pid(), reaper.pid());
    world.exit(&reaper, 0);
    assert_eq!(orphan.process().parent_pid().0, 1);
    assert_eq!(middle.process().parent_pid().0, 1);
    world.table.tree().check();
}

#[test]
fn zombie_of_a_dead_parent_is_the_first_processs_to_reap() {
    let world = World::new();
    watch_children(&world.init);
    let parent = world.fork(&world.init);
    let child = world.fork(&parent);
    world.exit(&child, 4);
    world.exit(&parent, 5);
    assert!(pending(&world.init).contains(Signal::CHLD));
    assert_eq!(world.wait4(&world.init, child.pid().0 as i32, 0), Ok(Some((child.pid().0, 0x400))));
    assert_eq!(world.wait(&world.init), Ok(Some((parent.pid().0, 0x500))));
}

#[test]
fn adopted_clone_ends_with_sigchld_whatever_its_maker_chose() {
    let world = World::new();
    let parent = world.fork(&world.init);
    let orphan = world.clone(&parent, CloneFlags::FORK, Some(Signal::USR1)).unwrap();
    world.exit(&parent, 0);
    watch_children(&world.init);
    world.exit(&orphan, 0);
    let info = world.init.process().signals().take(world.init.signals(), SigSet::ALL).unwrap();
    assert_eq!((info.signal, info.pid()), (Signal::CHLD, orphan.pid()));
    assert_eq!(world.wait4(&world.init, orphan.pid().0 as i32, 0), Ok(Some((orphan.pid().0, 0))));
}

#[test]
fn ignored_sigchld_reaps_at_once_and_default_does_not() {
    for (action, reaped) in [
        (Action::IGNORE, true),
        (Action { flags: ActionFlags::NOCLDWAIT, ..Action::DEFAULT }, true),
        (Action { handler: 0x1000, flags: ActionFlags::NOCLDWAIT, ..Action::DEFAULT }, true),
        (Action::DEFAULT, false),
    ] {
        let world = World::new();
        world.init.process().signals().set_action(Signal::CHLD, action);
        let child = world.fork(&world.init);
        let other = world.fork(&world.init);
        world.exit(&child, 0);
        assert_eq!(child.process().is_reaped(), reaped);
        if reaped {
            assert_eq!(world.wait(&world.init), Ok(None), "there is still a child to wait for");
            world.exit(&other, 0);
            assert_eq!(world.wait(&world.init), Err(ProcessError::NoChild));
        }
        world.table.tree().check();
    }
}

#[test]
fn nocldwait_with_a_handler_still_signals() {
    let world = World::new();
    watch_children(&world.init);
    let action = Action { handler: 0x1000, flags: ActionFlags::NOCLDWAIT, ..Action::DEFAULT };
    world.init.process().signals().set_action(Signal::CHLD, action);
    let child = world.fork(&world.init);
    world.exit(&child, 0);
    assert!(pending(&world.init).contains(Signal::CHLD));
    assert!(child.process().is_reaped());
}

#[test]
fn vfork_parent_waits_for_exec_or_exit() {
    let world = World::new();
    let wakes = Wakes::of(&world.init);
    let child = world.clone(&world.init, CloneFlags::VFORK_CALL, Some(Signal::CHLD)).unwrap();
    let process = child.process();
    assert!(!process.vfork_released());
    assert!(Arc::ptr_eq(&process.space().unwrap(), &world.init.process().space().unwrap()));
    assert!(process.space_is_shared() && world.init.process().space_is_shared());
    let departure = world.table.begin_exit(&child, ExitStatus::from_code(0));
    assert!(!process.vfork_released(), "the child has yet to release its words in the memory of both");
    departure.effects.run();
    assert!(process.vfork_released());
    drop((departure.files, departure.fs, departure.space));
    world.table.finish_exit(&child).run();
    assert!(process.vfork_released());
    assert_eq!(wakes.count(), 1, "once, by name");
    assert_eq!(Arc::strong_count(&wakes), 2, "the child keeps nothing of its parent");
}

#[test]
fn end_of_a_child_wakes_waiters_and_counts_an_ignored_signal() {
    let world = World::new();
    let parent = world.init.process();
    let wakes = Arc::new(Wakes::default());
    let before = parent.signals().statistics();
    world.exit(&world.fork(&world.init), 0);
    parent.events().register(&wakes.clone().into());
    world.exit(&world.fork(&world.init), 0);
    assert_eq!(wakes.count(), 1);
    let after = parent.signals().statistics();
    assert_eq!((after.sent - before.sent, after.ignored - before.ignored), (2, 2));
}

#[test]
fn parent_death_signal_comes_when_the_maker_ends() {
    let world = World::new();
    let parent = world.fork(&world.init);
    let child = world.fork(&parent);
    child.set_parent_death_signal(Some(Signal::TERM));
    let _kick = child.process().signals().set_mask(child.signals(), SigSet::EMPTY.with(Signal::TERM));
    let grandchild = world.fork(&child);
    assert_eq!(grandchild.parent_death_signal(), None, "not inherited");
    world.exit(&parent, 0);
    assert!(pending(&child).contains(Signal::TERM));
}

#[test]
fn parent_death_signal_also_comes_from_a_thread_that_ends() {
    let world = World::new();
    let parent = world.fork(&world.init);
    let maker = world.spawn_thread(&parent);
    let child = world.fork(&maker);
    let sibling = world.fork(&parent);
    for thread in [&child, &sibling] {
        thread.set_parent_death_signal(Some(Signal::TERM));
        let _kick = thread.process().signals().set_mask(thread.signals(), SigSet::EMPTY.with(Signal::TERM));
    }
    world.exit(&maker, 0);
    assert!(pending(&child).contains(Signal::TERM) && !pending(&sibling).contains(Signal::TERM));
    assert_eq!(child.process().parent_pid(), parent.pid());
}

#[test]
fn end_of_the_first_process_is_reported() {
    let world = World::new();
    let departure = world.table.begin_exit(&world.init, ExitStatus::from_code(0));
    departure.effects.run();
    let effects = world.table.finish_exit(&world.init);
    assert!(effects.init_ended);
    effects.run();
}

#[test]
fn abandoned_clone_leaves_no_trace() {
    let world = World::new();
    for flags in [CloneFlags::FORK, CloneFlags::VFORK_CALL, crate::testing::THREAD_FLAGS] {
        let numbers = world.table.numbers_in_use();
        let threads = world.init.identity().user.threads();
        let child = world.clone(&world.init, flags, Some(Signal::CHLD)).unwrap();
        let process = Arc::downgrade(child.process());
        let is_thread = flags.contains(CloneFlags::THREAD);
        world.table.abandon(&child).run();
        drop(child);
        assert_eq!(process.upgrade().is_none(), !is_thread);
        assert_eq!(world.table.numbers_in_use(), numbers);
        assert_eq!((world.table.process_count(), world.table.thread_count()), (1, 1));
        assert_eq!(world.init.identity().user.threads(), threads);
        assert_eq!(world.wait(&world.init), Err(ProcessError::NoChild));
        world.table.tree().check();
    }
}

#[test]
fn nothing_is_left_of_a_thousand_children() {
    let world = World::new();
    for _ in 0..1000 {
        let child = world.fork(&world.init);
        let weak = Arc::downgrade(child.process());
        world.exit(&child, 0);
        drop(child);
        assert!(matches!(world.wait(&world.init), Ok(Some(_))));
        assert!(weak.upgrade().is_none(), "a control block leaked");
    }
    assert_eq!(world.table.numbers_in_use(), 1);
    assert_eq!(world.init.identity().user.threads(), 1);
}

#[test]
fn a_pending_signal_makes_fork_start_over() {
    let world = World::new();
    let parent = world.fork(&world.init);
    parent.process().signals().set_action(Signal::INT, Action { handler: 0x1000, ..Action::DEFAULT });
    world.send(&parent, Signal::INT);
    let refused = world.clone(&parent, CloneFlags::FORK, Some(Signal::CHLD));
    assert_eq!(refused.err(), Some(ProcessError::Restart));
    assert_eq!(world.table.numbers_in_use(), 2, "nothing is left of the attempt");
    let refused = world.clone(&parent, crate::testing::THREAD_FLAGS, None);
    assert_eq!(refused.err(), Some(ProcessError::Restart));
    assert_eq!(world.settle(&parent), ["handler"]);
    assert!(world.clone(&parent, CloneFlags::FORK, Some(Signal::CHLD)).is_ok());
}
