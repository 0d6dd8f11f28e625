//! Groups, sessions, orphaned groups, the terminal.

use abi::{SigSet, Signal, linux::general as linux};
use types::{Pgid, Pid, Sid};

use crate::testing::{PlainThread, World};
use crate::{ProcessError, ProcessFlag, Role};

fn setpgid(world: &World, caller: &PlainThread, target: &PlainThread, group: u32) -> crate::Result<()> {
    world.table.setpgid(caller, target.pid(), Pgid(group))
}

/// A shell in a session of its own with a job: a child in a group of its own.
fn shell_with_job(world: &World) -> (PlainThread, PlainThread) {
    let shell = world.fork(&world.init);
    world.table.setsid(&shell).unwrap();
    let job = world.fork(&shell);
    setpgid(world, &shell, &job, 0).unwrap();
    (shell, job)
}

fn block(thread: &PlainThread, signals: &[Signal]) {
    let mask = signals.iter().fold(SigSet::EMPTY, |set, signal| set.with(*signal));
    let _kick = thread.process().signals().set_mask(thread.signals(), mask);
}

#[test]
fn children_inherit_group_and_session() {
    let world = World::new();
    let (shell, job) = shell_with_job(&world);
    let child = world.fork(&job);
    assert_eq!(child.process().pgid().0, job.pid().0);
    assert_eq!(child.process().sid().0, shell.pid().0);
    assert_eq!(world.table.getpgid(&shell, child.pid()), Ok(Pgid(job.pid().0)));
    assert_eq!(world.table.getsid(&shell, Pid(0)), Ok(Sid(shell.pid().0)));
    assert_eq!(world.table.getsid(&shell, Pid(999)), Err(ProcessError::ProcessNotFound));
    assert_eq!(world.table.group_session(Pgid(job.pid().0)), Some(Sid(shell.pid().0)));
}

#[test]
fn setpgid_moves_oneself_and_ones_children_only() {
    let world = World::new();
    let (shell, job) = shell_with_job(&world);
    let grandchild = world.fork(&job);
    assert_eq!(setpgid(&world, &shell, &grandchild, 0), Err(ProcessError::ProcessNotFound));
    assert_eq!(setpgid(&world, &job, &shell, 0), Err(ProcessError::ProcessNotFound));
    assert_eq!(world.table.setpgid(&shell, Pid(999), Pgid(0)), Err(ProcessError::ProcessNotFound));
    assert_eq!(setpgid(&world, &grandchild, &grandchild, 0), Ok(()));
    assert_eq!(setpgid(&world, &job, &grandchild, job.pid().0), Ok(()));
    assert_eq!(setpgid(&world, &job, &grandchild, job.pid().0), Ok(()), "again changes nothing");
    world.table.tree().check();
}

#[test]
fn setpgid_after_exec_is_access_denied_for_the_parent_only() {
    let world = World::new();
    let (shell, job) = shell_with_job(&world);
    job.process().set_flag(ProcessFlag::Executed);
    assert_eq!(setpgid(&world, &shell, &job, 0), Err(ProcessError::AccessDenied));
    assert_eq!(setpgid(&world, &job, &job, 0), Ok(()));
}

#[test]
fn setpgid_refuses_session_leaders_other_sessions_and_missing_groups() {
    let world = World::new();
    let (shell, job) = shell_with_job(&world);
    let other = world.fork(&shell);
    assert_eq!(setpgid(&world, &shell, &shell, 0), Err(ProcessError::PermissionDenied), "leader of its session");
    assert_eq!(setpgid(&world, &shell, &other, 999), Err(ProcessError::PermissionDenied), "no such group");
    assert_eq!(setpgid(&world, &shell, &other, 1), Err(ProcessError::PermissionDenied), "group of another session");
    assert_eq!(setpgid(&world, &shell, &other, job.pid().0), Ok(()));
    world.table.setsid(&other).unwrap();
    assert_eq!(setpgid(&world, &shell, &other, job.pid().0), Err(ProcessError::PermissionDenied), "child moved out");
}

#[test]
fn setpgid_of_a_threads_number_is_invalid() {
    let world = World::new();
    let process = world.fork(&world.init);
    let thread = world.spawn_thread(&process);
    assert_eq!(world.table.setpgid(&process, Pid(thread.tid().0), Pgid(0)), Err(ProcessError::InvalidArgument));
}

#[test]
fn setsid_is_refused_while_ones_number_names_a_group() {
    let world = World::new();
    let leader = world.fork(&world.init);
    setpgid(&world, &leader, &leader, 0).unwrap();
    assert_eq!(world.table.setsid(&leader), Err(ProcessError::PermissionDenied));
    let member = world.fork(&leader);
    // It leaves; another keeps the group alive.
    setpgid(&world, &leader, &leader, 1).unwrap();
    assert_eq!(world.table.setsid(&leader), Err(ProcessError::PermissionDenied), "others are in the group of its name");
    setpgid(&world, &member, &member, 0).unwrap();
    assert_eq!(world.table.setsid(&leader), Ok(Sid(leader.pid().0)));
    assert_eq!(world.table.setsid(&leader), Err(ProcessError::PermissionDenied), "a session leader already");
    let process = leader.process();
    assert_eq!((process.pgid().0, process.sid().0), (leader.pid().0, leader.pid().0));
    world.table.tree().check();
}

#[test]
fn group_is_orphaned_when_nobody_outside_can_continue_it() {
    let world = World::new();
    let (shell, job) = shell_with_job(&world);
    assert!(!world.table.group_is_orphaned(job.process().pgid()));
    assert!(world.table.group_is_orphaned(shell.process().pgid()), "its parent is in another session");
    assert!(world.table.group_is_orphaned(Pgid(1)));
    world.exit(&shell, 0);
    assert!(world.table.group_is_orphaned(job.process().pgid()));
}

#[test]
fn stopped_job_is_hung_up_and_continued_when_its_shell_ends() {
    let world = World::new();
    let (shell, job) = shell_with_job(&world);
    let second = world.fork(&job);
    world.stop(&job);
    block(&second, &[Signal::HUP, Signal::CONT]);
    world.exit(&shell, 0);
    let pending = second.process().signals().shared_pending();
    assert!(pending.contains(Signal::HUP) && pending.contains(Signal::CONT), "every member gets them");
    assert!(!job.signals().is_stopped());
    assert_eq!(world.settle(&job), ["terminated"]);
}

#[test]
fn running_job_is_left_alone_when_its_shell_ends() {
    let world = World::new();
    let (shell, job) = shell_with_job(&world);
    block(&job, &[Signal::HUP]);
    world.exit(&shell, 0);
    assert!(!job.process().signals().shared_pending().contains(Signal::HUP));
}

#[test]
fn exit_of_the_linking_member_orphans_its_own_group() {
    let world = World::new();
    let (_shell, job) = shell_with_job(&world);
    let stopped = world.fork(&job);
    world.stop(&stopped);
    block(&stopped, &[Signal::HUP]);
    // `job` is the one whose parent, the shell, is outside the group.
    world.exit(&job, 0);
    assert!(stopped.process().signals().shared_pending().contains(Signal::HUP));
    assert!(!stopped.signals().is_stopped());
}

#[test]
fn keyboard_stop_is_ignored_in_an_orphaned_group() {
    let world = World::new();
    let (shell, job) = shell_with_job(&world);
    world.exit(&shell, 0);
    world.send(&job, Signal::TSTP);
    assert_eq!(world.settle(&job), ["stop ignored"]);
    world.send(&job, Signal::STOP);
    assert_eq!(world.settle(&job), ["stopped"], "SIGSTOP always stops");
}

#[test]
fn session_leaders_exit_gives_up_the_terminal() {
    let world = World::new();
    let (shell, job) = shell_with_job(&world);
    let session = shell.process().sid();
    assert_eq!(world.table.set_terminal(session, Some(5)), None);
    assert_eq!(world.table.terminal_of(job.process().sid()), Some(5));
    let foreground = Some(job.process().pgid());
    assert_eq!(world.table.role(job.process(), foreground), Role::Foreground);
    assert_eq!(world.table.role(shell.process(), foreground), Role::Background);
    let departure = world.table.begin_exit(&shell, crate::ExitStatus::from_code(0));
    departure.effects.run();
    let mut effects = world.table.finish_exit(&shell);
    let end = effects.session_ended.take().unwrap();
    assert_eq!((end.session, end.terminal), (session, 5));
    effects.run();
    assert_eq!(world.table.terminal_of(session), None);
    assert_eq!(world.table.set_terminal(Sid(999), Some(7)), Some(7), "no such session");
}

#[test]
fn twice_forked_process_in_its_own_session_is_a_daemon() {
    let world = World::new();
    let starter = world.fork(&world.init);
    assert_eq!(world.table.role(starter.process(), None), Role::Detached);
    world.table.setsid(&starter).unwrap();
    let daemon = world.fork(&starter);
    assert_eq!(world.table.role(daemon.process(), None), Role::Detached);
    world.exit(&starter, 0);
    assert_eq!(world.table.role(daemon.process(), None), Role::Daemon);
}

#[test]
fn number_of_a_gone_leader_stays_taken_while_its_group_lives() {
    let world = World::new();
    let (shell, job) = shell_with_job(&world);
    let session = shell.pid().0;
    world.exit(&shell, 0);
    world.wait4(&world.init, session as i32, 0).unwrap();
    assert!(world.process(session).is_none());
    assert_eq!(job.process().sid().0, session);
    assert!(world.table.tree().next_used(session) == Some(session), "the session carries the number");
    world.exit(&job, 0);
    assert!(world.table.group_exists(Pgid(job.pid().0)), "the zombie is still a member");
    world.wait4(&world.init, job.pid().0 as i32, linux::WNOHANG).unwrap();
    assert_eq!(world.table.tree().next_used(2), None);
    world.table.tree().check();
}
