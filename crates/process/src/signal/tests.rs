//! The signal engine as a whole: sends, masks, deliveries, stops.

use super::*;
use alloc::collections::VecDeque;
use alloc::sync::Arc;
use std::vec::Vec;
use types::{Pid, Tid, Uid};

struct World {
    process: ProcessSignals,
    threads: Vec<Arc<ThreadSignals>>,
    user: SignalQuota,
    limit: u64,
}

impl World {
    fn new(threads: u32) -> Self {
        let process = ProcessSignals::new();
        let threads: Vec<_> = (1..=threads).map(|n| ThreadSignals::new(Tid(n))).collect();
        for thread in &threads {
            assert!(process.attach(thread.clone()));
        }
        Self { process, threads, user: SignalQuota::new(), limit: 1000 }
    }

    fn quota(&self) -> Quota<'_> {
        Quota { user: &self.user, limit: self.limit }
    }

    fn kill(&self, signal: Signal) -> SendEffect {
        self.process.send(SigInfo::user(signal, Pid(9), Uid(0)), self.quota()).unwrap()
    }

    fn tkill(&self, thread: usize, signal: Signal) -> SendEffect {
        let info = SigInfo::tkill(signal, Pid(9), Uid(0));
        self.process.send_to(&self.threads[thread], info, self.quota()).unwrap()
    }

    fn queue(&self, signal: Signal, value: u64) -> Result<SendEffect, SendError> {
        self.process.send(SigInfo::queue(signal, Pid(9), Uid(0), value), self.quota())
    }

    fn next(&self, thread: usize) -> Option<Delivery> {
        self.process.next_deliverable(&self.threads[thread])
    }

    fn block(&self, thread: usize, signals: &[Signal]) -> Kick {
        let set = signals.iter().fold(SigSet::EMPTY, |set, signal| set.with(*signal));
        self.process.set_mask(&self.threads[thread], set)
    }

    fn catch(&self, signal: Signal, flags: ActionFlags) {
        let flags = flags | ActionFlags::RESTORER;
        let action = Action { handler: 0x40_0000, flags, restorer: 0x40_1000, mask: SigSet::EMPTY };
        self.process.set_action(signal, action);
    }

    /// Numbers of the caught signals that come out one after the other, their handlers "entered" without blocking.
    fn drain(&self, thread: usize) -> Vec<u8> {
        let mut order = Vec::new();
        while let Some(delivery) = self.next(thread) {
            let Delivery::Handler(caught) = delivery else { panic!("{delivery:?}") };
            order.push(caught.info.signal.number());
        }
        order
    }
}

fn rt(n: u64) -> Signal {
    Signal::new(n).unwrap()
}

fn stop(world: &World, thread: usize) -> Option<Signal> {
    match world.next(thread) {
        Some(Delivery::Stop { report }) => report,
        other => panic!("{other:?}"),
    }
}

#[test]
fn faults_come_first_then_the_lowest_number_own_before_shared() {
    let world = World::new(1);
    let all = [Signal::HUP, Signal::SEGV, Signal::TERM, Signal::USR1, rt(34), rt(40)];
    all.iter().for_each(|signal| world.catch(*signal, ActionFlags::NODEFER));
    world.block(0, &all);
    let _ = world.queue(rt(40), 1);
    let _ = world.queue(rt(34), 1);
    let _ = world.kill(Signal::HUP);
    let _ = world.kill(Signal::TERM);
    let _ = world.tkill(0, Signal::USR1);
    let _ = world.tkill(0, rt(34));
    world.block(0, &[]);
    let _ = world.process.force(&world.threads[0], SigInfo::fault(Signal::SEGV, 1, 0xdead));
    assert_eq!(world.drain(0), [11, 10, 34, 1, 15, 34, 40]);
    assert!(!world.threads[0].needs_attention());
}

#[test]
fn a_classic_signal_merges_and_keeps_its_first_details() {
    let world = World::new(1);
    world.catch(Signal::USR1, ActionFlags::empty());
    world.block(0, &[Signal::USR1]);
    assert_eq!(world.queue(Signal::USR1, 1).unwrap().sent, Sent::Queued);
    assert_eq!(world.queue(Signal::USR1, 2).unwrap().sent, Sent::Merged);
    world.block(0, &[]);
    let Some(Delivery::Handler(caught)) = world.next(0) else { panic!() };
    assert_eq!(caught.info.value(), 1);
    assert!(world.next(0).is_none());
}

#[test]
fn realtime_signals_queue_up_to_the_limit_and_kill_still_gets_through() {
    let mut world = World::new(1);
    world.limit = 3;
    world.block(0, &[rt(40), Signal::TERM, rt(41)]);
    for value in 0..3 {
        assert_eq!(world.queue(rt(40), value).unwrap().sent, Sent::Queued);
    }
    assert_eq!(world.queue(rt(40), 3), Err(SendError::QueueFull));
    assert_eq!(world.kill(Signal::TERM).sent, Sent::Queued, "kill never fails for want of queue space");
    assert_eq!(world.kill(rt(41)).sent, Sent::Queued, "not even with a real-time signal, which loses its details");
    let all = SigSet::ALL;
    let thread = &world.threads[0];
    assert_eq!(world.process.take(thread, all).unwrap().signal, Signal::TERM);
    for value in 0..3 {
        assert_eq!(world.process.take(thread, all).unwrap().value(), value);
    }
    assert_eq!(world.process.take(thread, all).unwrap().pid(), Pid(0));
    assert!(world.process.take(thread, all).is_none());
    assert_eq!(world.user.queued(), 0);
}

#[test]
fn ignored_signals_vanish_unless_they_are_blocked() {
    let world = World::new(1);
    world.process.set_action(Signal::TERM, Action::IGNORE);
    assert_eq!(world.kill(Signal::TERM).sent, Sent::Ignored);
    assert_eq!(world.kill(Signal::CHLD).sent, Sent::Ignored);
    world.block(0, &[Signal::TERM]);
    assert_eq!(world.kill(Signal::TERM).sent, Sent::Queued);
    assert_eq!(world.process.pending_for(&world.threads[0]), SigSet::EMPTY.with(Signal::TERM));
    world.block(0, &[]);
    assert!(world.threads[0].has_deliverable());
    assert!(world.next(0).is_none(), "dropped on the way");
    let statistics = world.process.statistics();
    assert_eq!((statistics.sent, statistics.ignored, statistics.blocked, statistics.delivered), (3, 3, 1, 0));
}

#[test]
fn setting_a_signal_to_ignored_discards_it_everywhere() {
    let world = World::new(2);
    world.block(0, &[Signal::USR1]);
    world.block(1, &[Signal::USR1]);
    let _ = world.kill(Signal::USR1);
    let _ = world.tkill(1, Signal::USR1);
    world.process.set_action(Signal::USR1, Action::IGNORE);
    assert!(world.process.pending_for(&world.threads[1]).is_empty());
    assert_eq!(world.user.queued(), 0);
}

#[test]
fn kill_and_stop_cannot_be_blocked() {
    let world = World::new(1);
    world.process.set_mask(&world.threads[0], SigSet::ALL);
    assert_eq!(world.threads[0].mask(), SigSet::ALL.difference(SigSet::UNBLOCKABLE));
    let _ = world.kill(Signal::KILL);
    assert!(matches!(world.next(0), Some(Delivery::Terminate { info, core: false }) if info.signal == Signal::KILL));
}

#[test]
fn default_actions_terminate_with_or_without_core() {
    for (signal, expected) in [(Signal::TERM, false), (Signal::QUIT, true), (Signal::SYS, true), (rt(50), false)] {
        let world = World::new(1);
        let _ = world.kill(signal);
        assert!(matches!(world.next(0), Some(Delivery::Terminate { core, .. }) if core == expected), "{signal:?}");
    }
}

#[test]
fn first_process_gets_only_what_it_catches() {
    let world = World::new(1);
    world.process.protect();
    for signal in [Signal::KILL, Signal::STOP, Signal::TERM, rt(40)] {
        assert_eq!(world.kill(signal).sent, Sent::Ignored);
    }
    world.block(0, &[Signal::TERM]);
    assert_eq!(world.kill(Signal::TERM).sent, Sent::Queued);
    world.block(0, &[]);
    assert!(world.next(0).is_none());
    world.catch(Signal::TERM, ActionFlags::empty());
    let _ = world.kill(Signal::TERM);
    assert!(matches!(world.next(0), Some(Delivery::Handler(_))));
    let _ = world.process.force(&world.threads[0], SigInfo::fault(Signal::SEGV, 1, 0));
    assert!(matches!(world.next(0), Some(Delivery::Terminate { .. })), "its own faults do end it");
}

#[test]
fn a_namespaces_first_process_is_stopped_from_outside_once() {
    let world = World::new(1);
    world.process.protect();
    world.process.admit_stop();
    assert_eq!(world.kill(Signal::TERM).sent, Sent::Ignored);
    assert_eq!(world.kill(Signal::STOP).sent, Sent::Queued);
    assert!(matches!(world.next(0), Some(Delivery::StopRequested(_))));
    assert_eq!(world.kill(Signal::STOP).sent, Sent::Ignored, "the next one comes from inside");
    world.process.admit_stop();
    let _ = world.kill(Signal::STOP);
    let _ = world.kill(Signal::CONT);
    assert!(world.next(0).is_none(), "cancelled");
    assert_eq!(world.kill(Signal::STOP).sent, Sent::Ignored, "and what was admitted with it");
}

#[test]
fn a_blocked_or_ignored_fault_kills() {
    for blocked in [true, false] {
        let world = World::new(1);
        if blocked {
            world.catch(Signal::SEGV, ActionFlags::empty());
            world.block(0, &[Signal::SEGV]);
        } else {
            world.process.set_action(Signal::SEGV, Action::IGNORE);
        }
        let _ = world.process.force(&world.threads[0], SigInfo::fault(Signal::SEGV, 1, 0xbad));
        let Some(Delivery::Terminate { info, core: true }) = world.next(0) else { panic!() };
        assert_eq!(info.address(), 0xbad);
    }
}

#[test]
fn a_frame_that_cannot_be_written_is_a_fault_and_twice_is_the_end() {
    let world = World::new(1);
    world.catch(Signal::SEGV, ActionFlags::empty());
    let _ = world.process.force_bad_frame(&world.threads[0], Signal::USR1);
    assert!(matches!(world.next(0), Some(Delivery::Handler(caught)) if caught.info.signal == Signal::SEGV));
    let _ = world.process.force_bad_frame(&world.threads[0], Signal::SEGV);
    assert!(matches!(world.next(0), Some(Delivery::Terminate { .. })));
}

#[test]
fn handler_masks_follow_the_flags() {
    let world = World::new(1);
    let action = Action {
        handler: 0x40_0000,
        flags: ActionFlags::RESTORER,
        restorer: 1,
        mask: SigSet::EMPTY.with(Signal::USR2),
    };
    world.process.set_action(Signal::USR1, action);
    let _ = world.kill(Signal::USR1);
    let Some(Delivery::Handler(caught)) = world.next(0) else { panic!() };
    world.process.handler_entered(&world.threads[0], &caught);
    assert_eq!(world.threads[0].mask(), SigSet::EMPTY.with(Signal::USR1).with(Signal::USR2));
    assert_eq!(caught.frame_mask, SigSet::EMPTY);
    assert!(caught.action.is_caught());

    let world = World::new(1);
    world.catch(Signal::USR1, ActionFlags::NODEFER | ActionFlags::RESETHAND);
    let _ = world.kill(Signal::USR1);
    let Some(Delivery::Handler(caught)) = world.next(0) else { panic!() };
    world.process.handler_entered(&world.threads[0], &caught);
    assert_eq!(world.threads[0].mask(), SigSet::EMPTY);
    assert!(caught.action.is_caught() && world.process.action(Signal::USR1).is_default());
    let _ = world.kill(Signal::USR1);
    assert!(matches!(world.next(0), Some(Delivery::Terminate { .. })));
}

#[test]
fn sigsuspend_returns_to_the_old_mask_through_the_frame() {
    let world = World::new(1);
    let thread = &world.threads[0];
    world.catch(Signal::USR1, ActionFlags::empty());
    let old = SigSet::EMPTY.with(Signal::USR1).with(Signal::HUP);
    world.process.set_mask(thread, old);
    let _ = world.kill(Signal::USR1);
    assert!(!thread.has_deliverable());
    world.process.set_temporary_mask(thread, SigSet::EMPTY.with(Signal::HUP));
    assert!(thread.has_deliverable());
    let Some(Delivery::Handler(caught)) = world.next(0) else { panic!() };
    assert_eq!(caught.frame_mask, old, "the frame restores the mask from before sigsuspend");
    assert_eq!(caught.handler_mask, SigSet::EMPTY.with(Signal::HUP).with(Signal::USR1));
    world.process.handler_entered(thread, &caught);
    assert!(!thread.needs_attention());
}

#[test]
fn a_temporary_mask_without_a_handler_comes_back_before_user_mode() {
    let world = World::new(1);
    let thread = &world.threads[0];
    world.block(0, &[Signal::USR1]);
    let _ = world.kill(Signal::USR1);
    world.process.set_temporary_mask(thread, SigSet::ALL);
    assert!(thread.needs_attention() && !thread.has_deliverable());
    assert!(world.next(0).is_none());
    assert_eq!(thread.mask(), SigSet::EMPTY.with(Signal::USR1));
    assert!(!thread.needs_attention());

    world.process.set_temporary_mask(thread, SigSet::EMPTY);
    assert!(thread.has_deliverable());
    world.process.restore_mask(thread);
    assert!(!thread.has_deliverable() && !thread.needs_attention(), "ppoll that was not interrupted");
}

#[test]
fn restoring_a_mask_can_make_a_signal_deliverable() {
    let world = World::new(1);
    world.catch(Signal::USR1, ActionFlags::empty());
    world.process.set_temporary_mask(&world.threads[0], SigSet::ALL);
    let _ = world.kill(Signal::USR1);
    assert!(matches!(world.next(0), Some(Delivery::Handler(_))));
}

#[test]
fn a_process_signal_goes_to_a_thread_that_does_not_block_it() {
    let world = World::new(3);
    world.catch(Signal::USR1, ActionFlags::empty());
    world.block(0, &[Signal::USR1]);
    assert_eq!(world.kill(Signal::USR1).kick, Kick::One(Tid(2)));
    assert!(world.threads[1].has_deliverable());
    assert!(!world.threads[0].has_deliverable() && !world.threads[2].has_deliverable());
    assert_eq!(world.block(1, &[Signal::USR1]), Kick::One(Tid(3)), "blocking it hands it on");
    assert!(!world.threads[1].has_deliverable() && world.threads[2].has_deliverable());
    assert_eq!(world.process.detach(Tid(3)), (Kick::None, None), "the last that wanted it is gone");
    assert_eq!(world.block(0, &[]), Kick::None);
    assert!(matches!(world.next(0), Some(Delivery::Handler(_))));
}

#[test]
fn an_ending_thread_leaves_its_signal_to_another() {
    let world = World::new(2);
    world.catch(Signal::USR1, ActionFlags::empty());
    assert_eq!(world.kill(Signal::USR1).kick, Kick::One(Tid(1)));
    assert_eq!(world.process.detach(Tid(1)).0, Kick::One(Tid(2)));
    assert!(matches!(world.next(1), Some(Delivery::Handler(_))));
}

#[test]
fn a_thread_busy_with_a_signal_is_spared_another() {
    let world = World::new(2);
    world.catch(Signal::USR1, ActionFlags::empty());
    world.catch(Signal::USR2, ActionFlags::empty());
    assert_eq!(world.kill(Signal::USR1).kick, Kick::One(Tid(1)));
    assert_eq!(world.kill(Signal::USR2).kick, Kick::One(Tid(2)));
}

#[test]
fn sigtimedwait_is_kicked_for_blocked_signals_and_takes_them() {
    let world = World::new(2);
    let wanted = SigSet::EMPTY.with(Signal::USR1).with(Signal::KILL);
    world.block(0, &[Signal::USR1]);
    world.block(1, &[Signal::USR1]);
    assert!(world.process.take_or_wait(&world.threads[1], wanted).is_none());
    assert_eq!(world.kill(Signal::USR1).kick, Kick::One(Tid(2)));
    assert!(!world.threads[1].has_deliverable(), "a blocked signal interrupts nothing else");
    assert_eq!(world.process.take_or_wait(&world.threads[1], wanted).unwrap().signal, Signal::USR1);
    assert_eq!(world.process.end_wait(&world.threads[1]), Kick::None);
    assert_eq!(world.kill(Signal::USR1).kick, Kick::None, "nobody waits any more");
}

#[test]
fn an_abandoned_sigtimedwait_hands_its_signal_on() {
    let world = World::new(2);
    let wanted = SigSet::EMPTY.with(Signal::USR1);
    for thread in [0, 1] {
        world.block(thread, &[Signal::USR1]);
        assert!(world.process.take_or_wait(&world.threads[thread], wanted).is_none());
    }
    assert_eq!(world.kill(Signal::USR1).kick, Kick::One(Tid(1)));
    assert_eq!(world.process.end_wait(&world.threads[0]), Kick::One(Tid(2)));
}

#[test]
fn a_stop_needs_every_thread_and_is_reported_once() {
    let world = World::new(3);
    assert_eq!(world.kill(Signal::TSTP).kick, Kick::One(Tid(1)));
    let Some(Delivery::StopRequested(ticket)) = world.next(0) else { panic!() };
    assert_eq!(ticket.signal, Signal::TSTP);
    assert_eq!(world.process.begin_stop(&world.threads[0], ticket), Kick::All);
    assert_eq!(world.process.stop_view(), StopView::Stopping(Signal::TSTP));
    assert_eq!(stop(&world, 0), None);
    assert!(world.threads[1].has_deliverable());
    assert_eq!(stop(&world, 1), None);
    assert_eq!(stop(&world, 2), Some(Signal::TSTP));
    assert_eq!(world.process.stop_view(), StopView::Stopped(Signal::TSTP));
    assert!(world.threads.iter().all(|thread| thread.is_stopped()));

    let effect = world.kill(Signal::CONT);
    assert_eq!((effect.sent, effect.kick, effect.continued), (Sent::Ignored, Kick::All, true));
    assert!(world.threads.iter().all(|thread| !thread.is_stopped()));
    assert!(!world.kill(Signal::CONT).continued);
    assert!(world.next(0).is_none());
}

#[test]
fn a_thread_that_ends_completes_the_stop() {
    let world = World::new(2);
    let _ = world.kill(Signal::STOP);
    let Some(Delivery::StopRequested(ticket)) = world.next(0) else { panic!() };
    let _ = world.process.begin_stop(&world.threads[0], ticket);
    assert_eq!(stop(&world, 0), None);
    assert_eq!(world.process.detach(Tid(2)), (Kick::None, Some(Signal::STOP)));
}

#[test]
fn continue_between_taking_and_beginning_a_stop_wins() {
    for signal in [Signal::CONT, Signal::KILL] {
        let world = World::new(1);
        let _ = world.kill(Signal::TSTP);
        let Some(Delivery::StopRequested(ticket)) = world.next(0) else { panic!() };
        let effect = world.kill(signal);
        assert!(!effect.continued);
        assert_eq!(world.process.begin_stop(&world.threads[0], ticket), Kick::None);
        assert_eq!(world.process.stop_view(), StopView::Running);
    }
}

#[test]
fn stop_and_continue_cancel_each_other_even_when_blocked() {
    let world = World::new(1);
    world.catch(Signal::CONT, ActionFlags::empty());
    world.block(0, &[Signal::TSTP, Signal::CONT]);
    let _ = world.kill(Signal::TSTP);
    let _ = world.tkill(0, Signal::TTIN);
    let _ = world.kill(Signal::CONT);
    assert_eq!(world.process.pending_for(&world.threads[0]), SigSet::EMPTY.with(Signal::CONT));
    let _ = world.kill(Signal::TTOU);
    assert!(!world.process.pending_for(&world.threads[0]).contains(Signal::CONT));
}

#[test]
fn a_blocked_continue_still_wakes_a_stopped_process() {
    let world = World::new(1);
    world.block(0, &[Signal::CONT]);
    let _ = world.kill(Signal::STOP);
    let Some(Delivery::StopRequested(ticket)) = world.next(0) else { panic!() };
    let _ = world.process.begin_stop(&world.threads[0], ticket);
    assert_eq!(stop(&world, 0), Some(Signal::STOP));
    let effect = world.kill(Signal::CONT);
    assert!(effect.continued && effect.kick == Kick::All && effect.sent == Sent::Queued);
}

#[test]
fn kill_ends_a_stopped_process() {
    let world = World::new(2);
    let _ = world.kill(Signal::STOP);
    let Some(Delivery::StopRequested(ticket)) = world.next(0) else { panic!() };
    let _ = world.process.begin_stop(&world.threads[0], ticket);
    let _ = (stop(&world, 0), stop(&world, 1));
    let effect = world.kill(Signal::KILL);
    assert_eq!((effect.kick, effect.continued), (Kick::All, false));
    assert!(world.threads.iter().all(|thread| !thread.is_stopped()));
    assert!(matches!(world.next(1), Some(Delivery::Terminate { .. })) || world.next(0).is_some());
}

#[test]
fn ending_reaches_every_thread_and_stops_all_signals() {
    let world = World::new(2);
    assert!(world.process.begin_exit());
    assert!(!world.process.begin_exit());
    assert_eq!(world.kill(Signal::TERM).sent, Sent::Ignored);
    for thread in [0, 1] {
        assert!(world.threads[thread].must_exit());
        assert!(matches!(world.next(thread), Some(Delivery::Exit)));
    }
    let late = ThreadSignals::new(Tid(9));
    assert!(world.process.attach(late.clone()));
    assert!(late.must_exit());
}

#[test]
fn fork_copies_actions_and_mask_and_drops_what_is_pending() {
    let world = World::new(1);
    let thread = &world.threads[0];
    world.catch(Signal::USR1, ActionFlags::empty());
    world.block(0, &[Signal::USR2]);
    let _ = world.kill(Signal::USR2);
    let stack = abi::SigaltStack { ss_sp: 0x1000, ss_flags: 0, pad: 0, ss_size: 0x4000 };
    thread.set_altstack(&stack, 0x9_0000, MINSIGSTKSZ).unwrap();
    let child = world.process.forked(HandlerSharing::Copy);
    let first = thread.forked(Tid(5));
    assert!(child.attach(first.clone()));
    assert!(child.action(Signal::USR1).is_caught());
    assert_eq!(first.mask(), SigSet::EMPTY.with(Signal::USR2));
    assert_eq!(first.altstack(), thread.altstack());
    assert!(child.pending_for(&first).is_empty());
    child.set_action(Signal::USR1, Action::DEFAULT);
    assert!(world.process.action(Signal::USR1).is_caught());
    assert!(!thread.spawned(Tid(6)).altstack().is_enabled());

    let sharing = world.process.forked(HandlerSharing::Share);
    sharing.set_action(Signal::USR1, Action::IGNORE);
    assert!(world.process.action(Signal::USR1).is_ignore());
}

#[test]
fn exec_keeps_mask_and_pending_and_resets_handlers_of_this_process_only() {
    let world = World::new(1);
    let thread = &world.threads[0];
    world.catch(Signal::USR1, ActionFlags::empty());
    world.process.set_action(Signal::INT, Action::IGNORE);
    world.block(0, &[Signal::USR1]);
    let _ = world.kill(Signal::USR1);
    let sharing = world.process.forked(HandlerSharing::Share);
    world.process.exec(thread);
    assert!(world.process.action(Signal::USR1).is_default());
    assert!(world.process.action(Signal::INT).is_ignore());
    assert_eq!(world.process.pending_for(thread), SigSet::EMPTY.with(Signal::USR1));
    assert!(sharing.action(Signal::USR1).is_caught());
}

struct Random(u64);

impl Random {
    fn below(&mut self, n: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % n
    }
}

/// The naive model: one list of everything pending, in order of arrival.
#[derive(Default)]
struct NaivePending(VecDeque<SigInfo>);

impl NaivePending {
    fn push(&mut self, info: SigInfo) {
        if info.signal.is_realtime() || !self.0.iter().any(|old| old.signal == info.signal) {
            self.0.push_back(info);
        }
    }

    fn take_next(&mut self, wanted: SigSet) -> Option<SigInfo> {
        let rank = |info: &SigInfo| (!SYNCHRONOUS.contains(info.signal), info.signal.number());
        let best = self.0.iter().filter(|info| wanted.contains(info.signal)).map(rank).min()?;
        let at = self.0.iter().position(|info| rank(info) == best)?;
        self.0.remove(at)
    }
}

#[test]
fn pending_queue_agrees_with_a_naive_list_in_random_sequences() {
    let mut takes = 0;
    for seed in 0..200 {
        std::println!("seed {seed}");
        let mut random = Random(seed);
        let user = SignalQuota::new();
        let (mut pending, mut model) = (Pending::new(), NaivePending::default());
        for step in 0..300 {
            match random.below(5) {
                0..=2 => {
                    let signal = rt(random.below(64) + 1);
                    let info = SigInfo::queue(signal, Pid(1), Uid(1), step);
                    pending.push(info, user.charge(u64::MAX)).unwrap();
                    model.push(info);
                }
                3 => {
                    let wanted = SigSet(random.below(u64::MAX) << 31 ^ random.below(u64::MAX));
                    let taken = pending.take_next(wanted);
                    assert_eq!(taken, model.take_next(wanted), "seed {seed} step {step}");
                    takes += u64::from(taken.is_some());
                }
                _ => {
                    let dropped = SigSet::EMPTY.with(rt(random.below(64) + 1));
                    let before = model.0.len();
                    model.0.retain(|info| !dropped.contains(info.signal));
                    assert_eq!(pending.discard(dropped), before != model.0.len());
                }
            }
            assert_eq!(pending.queued(), model.0.len());
            assert_eq!(user.queued(), model.0.len(), "every queued signal is counted");
            let set = model.0.iter().fold(SigSet::EMPTY, |set, info| set.with(info.signal));
            assert_eq!(pending.set(), set);
        }
    }
    assert!(takes > 1000, "the comparison ran {takes} times");
}

#[test]
fn attention_flag_agrees_with_what_can_be_delivered_in_random_sequences() {
    let mut deliveries = 0;
    for seed in 0..300 {
        std::println!("seed {seed}");
        let mut random = Random(seed);
        let world = World::new(3);
        for number in 1..=64 {
            let signal = rt(number);
            if !signal.is_unblockable() && !STOPPING.contains(signal) {
                world.catch(signal, ActionFlags::empty());
            }
        }
        for step in 0..200 {
            let at = random.below(3) as usize;
            let thread = &world.threads[at];
            let signal = rt(32 + random.below(33));
            match random.below(6) {
                0 => drop(world.queue(signal, step)),
                1 => drop(world.tkill(at, signal)),
                2 => drop(world.process.set_mask(thread, SigSet(random.below(u64::MAX) << 31))),
                3 => drop(world.process.take(thread, SigSet::EMPTY.with(signal))),
                _ => {
                    if let Some(delivery) = world.next(at) {
                        let Delivery::Handler(caught) = delivery else { panic!("seed {seed}: {delivery:?}") };
                        assert!(!thread.mask().contains(caught.info.signal), "seed {seed} step {step}");
                        world.process.handler_entered(thread, &caught);
                        deliveries += 1;
                    } else {
                        assert!(!thread.has_deliverable(), "seed {seed} step {step}");
                    }
                }
            }
            // Nothing deliverable is forgotten: some thread that does not block a shared signal has its flag up, and every
            // thread with a private one.
            let shared = world.process.shared_pending();
            for thread in &world.threads {
                let private = thread.private_pending().difference(thread.mask());
                assert!(private.is_empty() || thread.has_deliverable(), "seed {seed} step {step}");
            }
            let mut open = shared;
            while let Some(signal) = open.first() {
                open = open.without(signal);
                let mut takers = world.threads.iter().filter(|thread| !thread.mask().contains(signal)).peekable();
                let nobody = takers.peek().is_none();
                assert!(nobody || takers.any(|thread| thread.has_deliverable()), "seed {seed} step {step} {signal:?}");
            }
        }
    }
    assert!(deliveries > 1000, "{deliveries} deliveries");
}

#[test]
fn no_signal_is_lost_while_threads_send_block_take_and_park() {
    use core::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
    use std::thread::Thread;
    use std::time::{Duration, Instant};

    const RECEIVERS: usize = 3;
    const SENDERS: u64 = 2;
    const EACH: u64 = 3_000;

    let world = World { limit: u64::MAX, ..World::new(RECEIVERS as u32) };
    let signal = rt(40);
    world.catch(signal, ActionFlags::empty());
    let parked: std::sync::Mutex<Vec<Option<Thread>>> = std::sync::Mutex::new(std::vec![None; RECEIVERS]);
    let kick = |kick: Kick| {
        let parked = parked.lock().unwrap();
        for (index, thread) in parked.iter().enumerate() {
            let meant = kick == Kick::All || kick == Kick::One(Tid(index as u32 + 1));
            if let (true, Some(thread)) = (meant, thread) {
                thread.unpark();
            }
        }
    };
    let seen: Vec<_> = (0..SENDERS * EACH).map(|_| AtomicBool::new(false)).collect();
    let (received, done, late) = (AtomicUsize::new(0), AtomicBool::new(false), AtomicBool::new(false));
    let (world, kick, seen, parked) = (&world, &kick, &seen, &parked);
    let (received, done, late) = (&received, &done, &late);
    std::thread::scope(|scope| {
        for index in 0..RECEIVERS {
            scope.spawn(move || {
                parked.lock().unwrap()[index] = Some(std::thread::current());
                let own = &world.threads[index];
                let mut random = Random(index as u64);
                while !done.load(Ordering::SeqCst) {
                    while let Some(delivery) = world.process.next_deliverable(own) {
                        let Delivery::Handler(caught) = delivery else { panic!("{delivery:?}") };
                        kick(world.process.handler_entered(own, &caught));
                        assert!(!seen[caught.info.value() as usize].swap(true, Ordering::SeqCst), "delivered twice");
                        received.fetch_add(1, Ordering::SeqCst);
                        kick(world.process.set_mask(own, caught.frame_mask));
                    }
                    if random.below(4) == 0 {
                        kick(world.process.set_mask(own, SigSet::EMPTY.with(signal)));
                        std::thread::yield_now();
                        kick(world.process.set_mask(own, SigSet::EMPTY));
                    }
                    if !own.needs_attention() && !done.load(Ordering::SeqCst) {
                        let slept = Instant::now();
                        std::thread::park_timeout(Duration::from_secs(5));
                        let overslept = slept.elapsed() > Duration::from_secs(4);
                        if overslept && !world.process.shared_pending().is_empty() {
                            late.store(true, Ordering::SeqCst);
                        }
                    }
                }
            });
        }
        let senders: Vec<_> = (0..SENDERS)
            .map(|sender| {
                scope.spawn(move || {
                    for n in 0..EACH {
                        kick(world.queue(signal, sender * EACH + n).unwrap().kick);
                    }
                })
            })
            .collect();
        senders.into_iter().for_each(|sender| sender.join().unwrap());
        let end = Instant::now() + Duration::from_secs(20);
        while received.load(Ordering::SeqCst) < seen.len() && Instant::now() < end {
            std::thread::sleep(Duration::from_millis(1));
        }
        done.store(true, Ordering::SeqCst);
        kick(Kick::All);
    });
    assert!(!late.load(Ordering::SeqCst), "a thread slept while a signal waited for it");
    assert!(seen.iter().all(|seen| seen.load(Ordering::SeqCst)));
    assert_eq!(world.user.queued(), 0);
}

#[test]
fn signal_state_is_small() {
    let (process, thread) = (size_of::<ProcessSignals>(), size_of::<ThreadSignals>());
    std::println!(
        "signal state: {process} bytes per process, {thread} per thread, {} per queued signal",
        size_of::<SigInfo>() + 8
    );
    assert!(process <= 400 && thread <= 256, "{process} {thread}");
}

#[test]
fn a_fault_of_the_program_comes_before_a_lower_number_that_somebody_sent() {
    let world = World::new(1);
    world.catch(Signal::ILL, ActionFlags::NODEFER);
    world.catch(Signal::SEGV, ActionFlags::NODEFER);
    let _ = world.tkill(0, Signal::ILL);
    let _ = world.process.force(&world.threads[0], SigInfo::fault(Signal::SEGV, 1, 0));
    assert_eq!(world.drain(0), [11, 4]);
}

#[test]
fn a_new_thread_sees_what_all_others_block() {
    let world = World::new(1);
    world.catch(Signal::USR1, ActionFlags::empty());
    world.block(0, &[Signal::USR1]);
    assert_eq!(world.kill(Signal::USR1).kick, Kick::None);
    let late = ThreadSignals::new(Tid(2));
    assert!(world.process.attach(late.clone()));
    assert!(late.has_deliverable());
}
