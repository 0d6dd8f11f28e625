//! kill(2) and its relatives.

use abi::{SigSet, Signal};
use types::{Credentials, Gid, Pgid, Pid, Uid};

use crate::signal::SigInfo;
use crate::testing::{PlainThread, World};
use crate::{KillTarget, ProcessError, Result};

fn as_user(world: &World, thread: &PlainThread, uid: u32) {
    world.table.set_credentials(thread, Credentials::user(Uid(uid), Gid(uid)));
}

/// A child that blocks USR1, so that sends show.
fn listener(world: &World, parent: &PlainThread, uid: u32) -> PlainThread {
    let thread = world.fork(parent);
    let _kick = thread.process().signals().set_mask(thread.signals(), SigSet::EMPTY.with(Signal::USR1));
    as_user(world, &thread, uid);
    thread
}

fn got(thread: &PlainThread) -> bool {
    thread.process().signals().take(thread.signals(), SigSet::ALL).is_some()
}

fn kill(world: &World, caller: &PlainThread, pid: i32, signal: Option<Signal>) -> Result<()> {
    let target = KillTarget::decode(pid, caller.process().pgid())?;
    let info = signal.map(|signal| SigInfo::user(signal, caller.pid(), caller.uid()));
    world.table.kill(caller, target, info).map(|effects| effects.run())
}

#[test]
fn kill_by_number_checks_permission_and_existence() {
    let world = World::new();
    let mine = listener(&world, &world.init, 7);
    let foreign = listener(&world, &world.init, 8);
    let usr1 = Some(Signal::USR1);
    assert_eq!(kill(&world, &mine, foreign.pid().0 as i32, usr1), Err(ProcessError::PermissionDenied));
    assert_eq!(kill(&world, &mine, mine.pid().0 as i32, usr1), Ok(()));
    assert!(got(&mine) && !got(&foreign));
    assert_eq!(kill(&world, &mine, 999, usr1), Err(ProcessError::ProcessNotFound));
    assert_eq!(kill(&world, &mine, i32::MIN, usr1), Err(ProcessError::ProcessNotFound));
    assert_eq!(kill(&world, &world.init, foreign.pid().0 as i32, usr1), Ok(()));
    assert!(got(&foreign));
}

#[test]
fn signal_zero_only_asks_and_zombies_exist() {
    let world = World::new();
    let child = listener(&world, &world.init, 7);
    assert_eq!(kill(&world, &world.init, child.pid().0 as i32, None), Ok(()));
    assert!(!got(&child));
    let other = listener(&world, &world.init, 8);
    assert_eq!(kill(&world, &other, child.pid().0 as i32, None), Err(ProcessError::PermissionDenied));
    world.exit(&child, 0);
    assert_eq!(kill(&world, &world.init, child.pid().0 as i32, Some(Signal::KILL)), Ok(()));
    world.wait(&world.init).unwrap();
    assert_eq!(kill(&world, &world.init, child.pid().0 as i32, None), Err(ProcessError::ProcessNotFound));
}

#[test]
fn group_kill_succeeds_if_one_could_be_signalled() {
    let world = World::new();
    let leader = listener(&world, &world.init, 7);
    world.table.setpgid(&leader, Pid(0), Pgid(0)).unwrap();
    let member = listener(&world, &world.init, 8);
    world.table.setpgid(&world.init, member.pid(), leader.pid().into()).unwrap();
    let group = -(leader.pid().0 as i32);
    let usr1 = Some(Signal::USR1);
    assert_eq!(kill(&world, &leader, group, usr1), Ok(()));
    assert!(got(&leader) && !got(&member));
    assert_eq!(kill(&world, &member, 0, usr1), Ok(()), "its own group");
    assert!(got(&member) && !got(&leader));
    let stranger = listener(&world, &world.init, 9);
    assert_eq!(kill(&world, &stranger, group, usr1), Err(ProcessError::PermissionDenied));
    assert_eq!(kill(&world, &stranger, -999, usr1), Err(ProcessError::ProcessNotFound));
}

#[test]
fn kill_all_spares_the_caller_and_the_first_process() {
    let world = World::new();
    let caller = listener(&world, &world.init, 0);
    world.table.set_credentials(&caller, Credentials::ROOT);
    let others = [7, 8].map(|uid| listener(&world, &world.init, uid));
    assert_eq!(kill(&world, &caller, -1, Some(Signal::USR1)), Ok(()));
    assert!(!got(&caller) && !got(&world.init) && others.iter().all(got));
    assert_eq!(kill(&world, &others[0], -1, Some(Signal::USR1)), Ok(()), "nobody it may signal: no error on Linux");
    let lonely = World::new();
    assert_eq!(kill(&lonely, &lonely.init, -1, Some(Signal::USR1)), Err(ProcessError::ProcessNotFound));
}

#[test]
fn continue_crosses_users_within_the_session() {
    let world = World::new();
    let stopped = listener(&world, &world.init, 7);
    let stranger = listener(&world, &world.init, 8);
    world.stop(&stopped);
    assert_eq!(kill(&world, &stranger, stopped.pid().0 as i32, Some(Signal::CONT)), Ok(()));
    assert!(!stopped.signals().is_stopped());
    world.table.setsid(&stranger).unwrap();
    assert_eq!(
        kill(&world, &stranger, stopped.pid().0 as i32, Some(Signal::CONT)),
        Err(ProcessError::PermissionDenied)
    );
}

#[test]
fn first_process_survives_kill() {
    let world = World::new();
    let child = world.fork(&world.init);
    assert_eq!(kill(&world, &child, 1, Some(Signal::KILL)), Ok(()));
    assert!(world.settle(&world.init).is_empty());
    assert!(!world.init.process().is_ending());
}

#[test]
fn thread_directed_signal_stays_with_its_thread() {
    let world = World::new();
    let leader = listener(&world, &world.init, 0);
    let thread = world.spawn_thread(&leader);
    let info = SigInfo::tkill(Signal::USR1, Pid(1), Uid(0));
    world.table.signal_thread(Some(&world.init), &thread, Some(info)).unwrap().run();
    assert!(thread.signals().private_pending().contains(Signal::USR1));
    assert!(leader.signals().private_pending().is_empty());
    let stranger = listener(&world, &world.init, 7);
    let refused = world.table.signal_thread(Some(&stranger), &thread, None);
    assert_eq!(refused.err(), Some(ProcessError::PermissionDenied));
}

#[test]
fn stop_reports_obey_nocldstop() {
    use crate::signal::{Action, ActionFlags};
    for (flags, expected) in [(ActionFlags::empty(), true), (ActionFlags::NOCLDSTOP, false)] {
        let world = World::new();
        let signals = world.init.process().signals();
        signals.set_action(Signal::CHLD, Action { handler: 0x1000, flags, ..Action::DEFAULT });
        let _kick = signals.set_mask(world.init.signals(), SigSet::EMPTY.with(Signal::CHLD));
        let child = world.fork(&world.init);
        world.stop(&child);
        let info = signals.take(world.init.signals(), SigSet::ALL);
        assert_eq!(info.map(|info| (info.code, info.status())), expected.then_some((5, 19)));
        world.send(&child, Signal::CONT);
        let info = signals.take(world.init.signals(), SigSet::ALL);
        assert_eq!(info.map(|info| (info.code, info.status())), expected.then_some((6, 18)));
    }
}
