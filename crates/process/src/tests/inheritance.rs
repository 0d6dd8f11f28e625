//! What a child gets (POSIX, fork) and what limits say about having one.

use abi::{SigSet, Signal};
use alloc::sync::Arc;
use types::{CpuSet, Credentials, Gid, Nanos, Uid};

use crate::signal::Action;
use crate::testing::World;
use crate::{
    CloneFlags, IsolationLevel, Limit, LimitDecision, LimitPolicy, OnExec, OwnLimit, OwnResource, PriorityClass,
    PriorityLevel, ProcessError, Resource, Scheduling,
};

#[test]
fn a_class_is_given_until_somebody_chooses() {
    let world = World::new();
    let thread = world.fork(&world.init);
    thread.set_scheduling(Scheduling { nice: 5, ..Scheduling::default() });
    assert!(thread.give_class(PriorityClass::Interactive) && !thread.give_class(PriorityClass::Interactive));
    assert_eq!((thread.scheduling().class, thread.scheduling().nice), (PriorityClass::Interactive, 5));
    assert_eq!(world.fork(&thread).scheduling().class, PriorityClass::Interactive);
    thread.set_scheduling(Scheduling { class: PriorityClass::Service, chosen: true, ..thread.scheduling() });
    assert!(!thread.give_class(PriorityClass::Interactive));
    let child = world.fork(&thread);
    assert!(!child.give_class(PriorityClass::User) && child.scheduling().class == PriorityClass::Service);
}

#[test]
fn timer_slack_zero_is_what_the_thread_was_born_with() {
    let world = World::new();
    let parent = world.fork(&world.init);
    parent.set_timer_slack(Nanos(70_000));
    let child = world.fork(&parent);
    child.set_timer_slack(Nanos(3));
    assert_eq!(child.timer_slack(), Nanos(3));
    child.set_timer_slack(Nanos::ZERO);
    assert_eq!(child.timer_slack(), Nanos(70_000));
    parent.set_timer_slack(Nanos::ZERO);
    assert_eq!(parent.timer_slack(), Nanos::from_micros(50));
}

#[test]
fn fork_inherits_what_posix_says() {
    let world = World::new();
    let parent = world.fork(&world.init);
    let process = parent.process();
    parent.set_name(b"shell");
    parent.set_no_new_privs();
    parent.set_scheduling(Scheduling { nice: 5, ..Scheduling::default() });
    parent.set_affinity(CpuSet(0b10), CpuSet(0b11)).unwrap();
    parent.set_filter(4);
    parent.set_namespaces(8);
    parent.fs().unwrap().set_cwd(3);
    parent.fs().unwrap().set_umask(0o077);
    parent.files().unwrap().insert(Arc::new(1), 0, 100, OnExec::Close).unwrap();
    process.set_oom_score_adj(100, false).unwrap();
    process.raise_isolation(IsolationLevel::Namespace);
    process.change_limits(|limits| limits.set(Resource::Core, Limit::both(1), false, 0)).unwrap();
    process.signals().set_action(Signal::USR1, Action::IGNORE);
    let mask = SigSet::EMPTY.with(Signal::TERM);
    let _kick = process.signals().set_mask(parent.signals(), mask);

    let child = world.fork(&parent);
    let copy = child.process();
    assert_eq!(child.name(), parent.name());
    assert!(child.no_new_privs());
    assert_eq!((child.scheduling().nice, child.affinity()), (5, CpuSet(0b10)));
    assert_eq!((child.filter(), child.namespaces()), (Some(4), 8));
    assert_eq!((child.fs().unwrap().cwd(), child.fs().unwrap().umask()), (3, 0o077));
    assert_eq!(child.files().unwrap().on_exec(0), Ok(OnExec::Close));
    assert_eq!((copy.oom_score_adj(), copy.isolation()), (100, IsolationLevel::Namespace));
    assert_eq!(copy.limit(Resource::Core), 1);
    assert!(copy.cell().is_none());
    assert!(copy.signals().action(Signal::USR1).is_ignore());
    assert_eq!(child.signals().mask(), mask);
}

#[test]
fn fork_does_not_inherit_what_posix_says() {
    let world = World::new();
    let parent = world.fork(&world.init);
    let _kick = parent.process().signals().set_mask(parent.signals(), SigSet::EMPTY.with(Signal::TERM));
    world.send(&parent, Signal::TERM);
    parent.charge_time(Nanos(5), Nanos(0), None);
    parent.set_robust_list(0x1000);
    let clocks = crate::timers::ItimerClocks { real: Nanos(1), user: Nanos(0), cpu: Nanos(0) };
    parent.process().timers().lock().interval.alarm(10, &clocks);
    let child = world.fork(&parent);
    assert!(child.process().signals().shared_pending().is_empty());
    assert_eq!(child.process().usage().cpu_time(), Nanos::ZERO);
    assert_eq!(child.robust_list(), 0);
    assert_eq!(child.process().timers().lock().interval.deadline(crate::timers::ItimerKind::Real), None);
}

#[test]
fn changes_after_fork_are_ones_own() {
    let world = World::new();
    let parent = world.fork(&world.init);
    let child = world.fork(&parent);
    child.fs().unwrap().set_cwd(77);
    child.process().change_limits(|limits| limits.set(Resource::Core, Limit::both(9), true, 0)).unwrap();
    child.files().unwrap().insert(Arc::new(1), 0, 100, OnExec::Keep).unwrap();
    assert_eq!(parent.fs().unwrap().cwd(), 0);
    assert_eq!(parent.process().limit(Resource::Core), 0);
    assert_eq!(parent.files().unwrap().open_count(), 0);
    let sharer = world.clone(&parent, CloneFlags::FS | CloneFlags::FILES, Some(Signal::CHLD)).unwrap();
    sharer.fs().unwrap().set_cwd(5);
    assert_eq!(parent.fs().unwrap().cwd(), 5);
    sharer.unshare_fs();
    sharer.fs().unwrap().set_cwd(6);
    assert_eq!(parent.fs().unwrap().cwd(), 5);
}

#[test]
fn real_time_children_start_ordinary_if_asked() {
    let world = World::new();
    let parent = world.fork(&world.init);
    let real_time = Scheduling { reset_on_fork: true, ..Scheduling::default().at_level(PriorityLevel::RealTime) };
    parent.set_scheduling(real_time);
    assert_eq!(world.fork(&parent).scheduling().level(), PriorityLevel::Normal);
}

#[test]
fn process_limit_counts_the_real_users_threads_and_spares_root() {
    let world = World::new();
    let shell = world.fork(&world.init);
    world.table.set_credentials(&shell, Credentials::user(Uid(7), Gid(7)));
    shell.process().change_limits(|limits| limits.set(Resource::Processes, Limit::both(3), false, 0)).unwrap();
    assert_eq!((shell.identity().user.threads(), world.init.identity().user.threads()), (1, 1));
    let child = world.fork(&shell);
    let thread = world.spawn_thread(&shell);
    let refused = |flags| world.clone(&shell, flags, Some(Signal::CHLD)).err();
    assert_eq!(refused(CloneFlags::FORK), Some(ProcessError::ResourceExhausted));
    assert_eq!(refused(crate::testing::THREAD_FLAGS), Some(ProcessError::ResourceExhausted));
    world.exit(&child, 0);
    assert_eq!(refused(CloneFlags::FORK), Some(ProcessError::ResourceExhausted), "zombies count");
    world.wait(&shell).unwrap();
    assert_eq!(refused(CloneFlags::FORK), None);
    world.exit(&thread, 0);
    assert_eq!(shell.identity().user.threads(), 2);
    world.init.process().change_limits(|limits| limits.set(Resource::Processes, Limit::both(0), false, 0)).unwrap();
    world.fork(&world.init);
}

#[test]
fn exec_is_refused_to_a_user_over_its_process_limit() {
    let world = World::new();
    let shells = [(); 3].map(|()| world.fork(&world.init));
    for shell in &shells {
        shell.process().change_limits(|limits| limits.set(Resource::Processes, Limit::both(1), false, 0)).unwrap();
        world.table.set_credentials(shell, Credentials::user(Uid(7), Gid(7)));
    }
    assert!(world.table.begin_exec(&shells[0]).map(|effects| effects.run()).is_ok(), "one is within the limit");
    assert!(world.table.begin_exec(&shells[1]).map(|effects| effects.run()).is_ok(), "who changes does not count yet");
    assert_eq!(world.table.begin_exec(&shells[2]).err(), Some(ProcessError::ResourceExhausted));
    for shell in &shells[..2] {
        world.exit(shell, 0);
        world.wait(&world.init).unwrap();
    }
    assert!(world.table.begin_exec(&shells[2]).map(|effects| effects.run()).is_ok());
}

#[test]
fn own_limits_bound_children_and_their_rate() {
    let world = World::new();
    let shell = world.fork(&world.init);
    let limit = |resource, value| {
        let new = OwnLimit { value, policy: LimitPolicy::Fail };
        shell.process().change_limits(|limits| limits.set_own(resource, new, true)).unwrap();
    };
    limit(OwnResource::Children, 1);
    let child = world.fork(&shell);
    let ask = || world.table.ask_creation(shell.process(), types::Nanos(5));
    assert_eq!(ask(), (LimitDecision::Fail, OwnResource::Children));
    world.exit(&child, 0);
    world.wait(&shell).unwrap();
    limit(OwnResource::Children, 100);
    limit(OwnResource::CreationRate, 1);
    assert_eq!(ask(), (LimitDecision::Allow, OwnResource::CreationRate));
    assert_eq!(ask(), (LimitDecision::Fail, OwnResource::CreationRate), "within the same second");
    assert!(world.fork(&shell).process().is_limited(), "inherited");
}

#[test]
fn credentials_are_a_threads_own_and_the_leaders_count_for_the_process() {
    let world = World::new();
    let leader = world.fork(&world.init);
    let thread = world.spawn_thread(&leader);
    let user = Credentials::user(Uid(7), Gid(8));
    world.table.set_credentials(&thread, user);
    assert_eq!((thread.uid(), thread.euid(), thread.gid(), thread.egid()), (Uid(7), Uid(7), Gid(8), Gid(8)));
    assert_eq!(leader.uid(), Uid(0));
    assert_eq!(leader.process().identity().credentials, Credentials::ROOT);
    world.table.set_credentials(&leader, user);
    assert_eq!(leader.process().identity().credentials, user);
    assert_eq!(leader.process().dumpable(), crate::Dumpable::No);
    let (old, new) = (world.init.identity().user.clone(), leader.identity().user.clone());
    assert_eq!((old.threads(), new.threads()), (1, 2));
    world.exit(&thread, 0);
    world.exit(&leader, 0);
    assert_eq!((old.threads(), new.threads()), (1, 1));
    world.wait(&world.init).unwrap();
    assert_eq!(new.threads(), 0);
}

#[test]
fn affinity_must_keep_a_cpu() {
    let world = World::new();
    assert_eq!(world.init.set_affinity(CpuSet(0b100), CpuSet(0b11)), Err(ProcessError::InvalidArgument));
    assert_eq!(world.init.set_affinity(CpuSet(0b110), CpuSet(0b11)), Ok(()));
    assert_eq!(world.init.affinity(), CpuSet(0b10));
}
