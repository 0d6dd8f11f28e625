//! Executing a program.

use abi::{SigSet, Signal};
use alloc::sync::Arc;
use types::{Credentials, Uid};

use crate::signal::Action;
use crate::testing::{Plain, PlainThread, World};
use crate::{CloneFlags, Dumpable, ExecCommit, Executed, ImageRanges, ProcessError, ProcessFlag, Result, WaitRequest};

fn commit(world: &World, thread: &PlainThread, credentials: Credentials, secure: bool) -> Result<Executed<Plain>> {
    world.table.commit_exec(
        thread,
        ExecCommit {
            space: Arc::new(777),
            executable: 55,
            ranges: ImageRanges { brk_start: 0x1000, ..ImageRanges::default() },
            name: b"a-name-that-is-too-long",
            credentials,
            secure,
            set_ids: [secure, false],
        },
    )
}

fn exec(world: &World, thread: &PlainThread) -> Executed<Plain> {
    world.table.begin_exec(thread).unwrap().run();
    assert!(world.table.exec_is_alone(thread));
    commit(world, thread, thread.credentials(), false).unwrap()
}

#[test]
fn exec_replaces_image_name_and_handlers_and_keeps_the_rest() {
    let world = World::new();
    let child = world.fork(&world.init);
    let signals = child.process().signals();
    signals.set_action(Signal::USR1, Action { handler: 0x1000, ..Action::DEFAULT });
    signals.set_action(Signal::USR2, Action::IGNORE);
    let mask = SigSet::EMPTY.with(Signal::TERM);
    let _kick = signals.set_mask(child.signals(), mask);
    world.send(&child, Signal::TERM);
    child.set_clear_child_tid(0x5000);
    let old_space = child.process().space().unwrap();
    let pid = child.pid();

    let executed = exec(&world, &child);
    assert!(Arc::ptr_eq(&executed.old_space.unwrap(), &old_space));
    assert_eq!(executed.clear_child_tid, 0, "nobody shares the memory");
    executed.effects.run();
    let process = child.process();
    assert_eq!((*process.space().unwrap(), process.executable(), process.pid()), (777, Some(55), pid));
    assert_eq!(process.image_ranges().brk_start, 0x1000);
    assert_eq!(&child.name(), b"a-name-that-is-\0");
    assert!(signals.action(Signal::USR1).is_default() && signals.action(Signal::USR2).is_ignore());
    assert_eq!(child.signals().mask(), mask);
    assert!(signals.shared_pending().contains(Signal::TERM));
    assert!(process.has_flag(ProcessFlag::Executed));
    assert_eq!(child.clear_child_tid(), 0);
}

#[test]
fn exec_releases_the_vfork_parent_and_unshares_memory() {
    let world = World::new();
    let child = world.clone(&world.init, CloneFlags::VFORK_CALL, Some(Signal::CHLD)).unwrap();
    child.set_clear_child_tid(0x5000);
    let executed = exec(&world, &child);
    assert_eq!(executed.clear_child_tid, 0x5000, "the parent could see it");
    assert!(!child.process().vfork_released(), "and sees it cleared when it goes on");
    executed.effects.run();
    assert!(child.process().vfork_released() && !child.process().space_is_shared());
    assert_eq!(*world.init.process().space().unwrap(), 1);
}

#[test]
fn exec_in_a_thread_takes_the_leaders_number() {
    let world = World::new();
    let leader = world.fork(&world.init);
    let thread = world.spawn_thread(&leader);
    let other = world.spawn_thread(&leader);
    let made = world.fork(&thread);
    let (pid, old_tid) = (leader.pid(), thread.tid());
    let users = world.init.identity().user.threads();

    world.table.begin_exec(&thread).unwrap().run();
    assert_eq!(world.table.begin_exec(&other).err(), Some(ProcessError::ExecInProgress));
    assert!(leader.signals().must_exit() && other.signals().must_exit() && !thread.signals().must_exit());
    assert_eq!(world.clone(&thread, CloneFlags::FORK, Some(Signal::CHLD)).map(|_| ()), Ok(()), "fork is no new thread");
    assert_eq!(commit(&world, &thread, thread.credentials(), false).err(), Some(ProcessError::InvalidState));
    assert_eq!(world.settle(&leader), ["exited"]);
    assert!(!world.table.exec_is_alone(&thread));
    assert_eq!(world.settle(&other), ["exited"]);
    assert!(world.table.exec_is_alone(&thread));
    assert_eq!(world.wait(&world.init), Ok(None), "the process has not ended");
    commit(&world, &thread, thread.credentials(), false).unwrap().effects.run();

    assert_eq!((thread.tid().0, thread.pid()), (pid.0, pid));
    assert!(Arc::ptr_eq(&world.table.thread(pid.into()).unwrap(), &thread));
    assert!(world.table.thread(old_tid).is_none());
    assert_eq!(world.init.identity().user.threads(), users - 2 + 1, "one fork more, two threads less");
    let mine = WaitRequest::wait4(thread.process(), -1, abi::linux::general::__WNOTHREAD).unwrap();
    assert!(matches!(world.table.try_wait(&thread, &mine), Ok(None)), "its children are still its own: {made:?}");
    // The end counts as the process's, not as the old leader's.
    world.exit(&thread, 4);
    assert_eq!(world.wait(&world.init), Ok(Some((pid.0, 0x400))));
    world.table.tree().check();
}

#[test]
fn killed_exec_can_be_given_up() {
    let world = World::new();
    let leader = world.fork(&world.init);
    let thread = world.spawn_thread(&leader);
    world.table.begin_exec(&thread).unwrap().run();
    world.send(&leader, Signal::KILL);
    world.table.abort_exec(&thread);
    let acting = if thread.signals().has_deliverable() { &thread } else { &leader };
    world.settle(acting);
    assert_eq!(world.wait(&world.init).unwrap().unwrap().0, leader.pid().0);
}

#[test]
fn secure_exec_is_not_dumpable_and_forgets_the_death_signal() {
    let world = World::new();
    let child = world.fork(&world.init);
    world.table.set_credentials(&child, Credentials::user(Uid(7), types::Gid(7)));
    child.process().set_dumpable(Dumpable::Yes);
    child.set_parent_death_signal(Some(Signal::TERM));
    world.table.begin_exec(&child).unwrap().run();
    commit(&world, &child, Credentials::ROOT, true).unwrap().effects.run();
    assert_eq!(child.process().dumpable(), Dumpable::No);
    assert_eq!(child.parent_death_signal(), None);
    assert!(child.process().has_flag(ProcessFlag::SetUid) && !child.process().has_flag(ProcessFlag::SetGid));
    assert_eq!(child.euid(), Uid(0));
}

#[test]
fn descriptor_table_is_unshared_and_marked_files_close() {
    let world = World::new();
    let child = world.clone(&world.init, CloneFlags::FILES, Some(Signal::CHLD)).unwrap();
    let file = Arc::new(5);
    let shared = world.init.files().unwrap();
    shared.insert(file.clone(), 0, 100, crate::OnExec::Close).unwrap();
    shared.insert(file.clone(), 0, 100, crate::OnExec::Keep).unwrap();
    child.unshare_files().unwrap();
    let own = child.files().unwrap();
    assert!(!Arc::ptr_eq(&own, &shared));
    exec(&world, &child).effects.run();
    while own.close_next_on_exec(0).is_some() {}
    assert_eq!((own.open_count(), shared.open_count()), (1, 2));
    assert_eq!(child.file(1).map(|file| *file), Ok(5));
    let before = child.files().unwrap();
    drop(own);
    child.unshare_files().unwrap();
    assert!(Arc::ptr_eq(&before, &child.files().unwrap()) || Arc::strong_count(&before) > 0);
}
