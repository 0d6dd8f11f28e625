//! Cells: nobody leaves, nobody survives a kill, the end is told once and rightly.

use alloc::sync::Arc;
use alloc::vec::Vec;
use std::thread;

use abi::Signal;
use types::{CpuSet, Credentials, Nanos, Pid};

use crate::testing::{Plain, PlainThread, Random, World};
use crate::{
    Cell, CellBoard, CellLimits, CellRole, CloneFlags, ExitStatus, LimitDecision, LimitPolicy, OwnLimit, OwnResource,
    Places, ProcessError, ProcessFlag, ResourceLimits, SpawnRequest, UNLIMITED,
};

struct Cells {
    world: World,
    board: Arc<CellBoard>,
}

impl Cells {
    fn new() -> Self {
        Self { world: World::new(), board: Arc::new(CellBoard::new()) }
    }

    fn cell(&self, id: u64, tasks: u32) -> Arc<Cell> {
        Cell::new(id, CellLimits { tasks, ..CellLimits::default() }, &self.board, 16).unwrap()
    }

    fn spawn(&self, cell: &Arc<Cell>) -> PlainThread {
        self.try_spawn(cell).unwrap()
    }

    fn try_spawn(&self, cell: &Arc<Cell>) -> crate::Result<PlainThread> {
        self.spawn_as(cell, CellRole::Main)
    }

    fn spawn_as(&self, cell: &Arc<Cell>, role: CellRole) -> crate::Result<PlainThread> {
        let request = SpawnRequest::<Plain> {
            space: Arc::new(77),
            places: Places { cwd: 5, root: 6 },
            namespaces: 3,
            limits: ResourceLimits::new(),
            affinity: CpuSet(1),
            name: b"daemon",
            now: Nanos(9),
        };
        self.world.table.spawn_in_cell(cell.clone(), role, request)
    }

    fn news(&self) -> Vec<u64> {
        core::iter::from_fn(|| self.board.take()).map(|cell| cell.id()).collect()
    }
}

#[test]
fn the_first_process_of_a_cell_inherits_from_nobody() {
    let cells = Cells::new();
    let cell = cells.cell(7, 10);
    let thread = cells.spawn(&cell);
    let process = thread.process();
    assert_eq!(
        (process.parent_pid(), process.sid().0, process.pgid().0),
        (Pid::INIT, process.pid().0, process.pid().0)
    );
    assert_eq!((thread.fs().unwrap().cwd(), thread.fs().unwrap().root(), thread.namespaces()), (5, 6, 3));
    assert!(thread.credentials() == Credentials::ROOT && !thread.no_new_privs(), "its own come with its program");
    assert_eq!((cell.main(), cell.members(), cell.tasks(), cell.main_end()), (process.pid(), 1, 1, None));
    assert!(cells.world.table.check().is_ok());
    assert!(cells.news().is_empty());
}

#[test]
fn the_end_of_the_main_process_and_of_the_last_are_told() {
    let cells = Cells::new();
    let cell = cells.cell(7, 10);
    let main = cells.spawn(&cell);
    let child = cells.world.fork(&main);
    child.process().usage().user_ns.add(100);
    main.process().usage().user_ns.add(11);
    cells.world.exit(&main, 3);
    assert_eq!((cells.news(), cell.members(), cell.main_end()), (alloc::vec![7], 1, Some(ExitStatus::Exited(3))));
    // An orphan of a cell goes to the first process, but is none of its business.
    assert_eq!(child.process().parent_pid(), Pid::INIT);
    assert!(cells.world.process(main.pid().0).is_none(), "nobody has to reap it");
    assert_eq!(cells.world.table.cell_usage(&cell).user_ns, 111);
    cells.world.send(&child, Signal::SEGV);
    cells.world.settle(&child);
    assert_eq!((cells.news(), cell.members(), cell.tasks()), (alloc::vec![7], 0, 0));
    assert_eq!(cell.main_end(), Some(ExitStatus::Exited(3)), "not the orphan's end");
    assert_eq!(cell.ended_usage().user_ns, 111);
    assert!(matches!(cells.world.wait(&cells.world.init), Err(ProcessError::NoChild)));
    assert!(cells.world.table.check().is_ok());
}

#[test]
fn a_death_by_signal_keeps_its_name() {
    let cells = Cells::new();
    for (signal, core) in [(Signal::KILL, false), (Signal::SEGV, true), (Signal::TERM, false), (Signal::ABRT, true)] {
        let cell = cells.cell(1, 10);
        let main = cells.spawn(&cell);
        cells.world.send(&main, signal);
        cells.world.settle(&main);
        assert_eq!(cell.main_end(), Some(ExitStatus::Signaled { signal, core }));
    }
}

#[test]
fn inside_a_cell_children_are_waited_for_as_ever() {
    let cells = Cells::new();
    let main = cells.spawn(&cells.cell(7, 10));
    let child = cells.world.fork(&main);
    let number = child.pid().0;
    cells.world.exit(&child, 5);
    assert_eq!(cells.world.wait(&main).unwrap(), Some((number, 5 << 8)));
}

#[test]
fn nothing_leaves_a_cell() {
    let cells = Cells::new();
    let cell = cells.cell(7, 100);
    let main = cells.spawn(&cell);
    let table = &cells.world.table;
    let child = cells.world.fork(&main);
    let grandchild = cells.world.fork(&child);
    table.setsid(&grandchild).unwrap();
    let sibling = cells.world.clone(&child, CloneFlags::PARENT, Some(Signal::CHLD)).unwrap();
    let vforked = cells.world.clone(&child, CloneFlags::VFORK_CALL, Some(Signal::CHLD)).unwrap();
    sibling.process().set_flag(ProcessFlag::Subreaper);
    cells.world.exit(&child, 0);
    for thread in [&main, &grandchild, &sibling, &vforked] {
        assert!(thread.process().cell().is_some_and(|own| Arc::ptr_eq(own, &cell)));
    }
    assert_eq!(cell.members(), 4);
    table.kill_cell(&cell).run();
    for thread in [&main, &grandchild, &sibling, &vforked] {
        assert_eq!(thread.process().exit_status(), Some(ExitStatus::KILLED));
        cells.world.end(thread, ExitStatus::KILLED);
    }
    assert_eq!((cell.members(), cell.tasks()), (0, 0));
}

#[test]
fn a_dying_cell_takes_nobody_in() {
    let cells = Cells::new();
    let cell = cells.cell(7, 10);
    let main = cells.spawn(&cell);
    let before = cells.world.table.process_count();
    cells.world.table.kill_cell(&cell).run();
    let refused = cells.world.clone(&main, CloneFlags::FORK, Some(Signal::CHLD)).map(|_| ());
    assert_eq!(refused, Err(ProcessError::Restart));
    assert_eq!(cells.try_spawn(&cell).map(|_| ()), Err(ProcessError::Restart));
    assert_eq!((cells.world.table.process_count(), cell.members(), cell.tasks()), (before, 1, 1));
    assert!(cells.world.table.check().is_ok());
}

#[test]
fn the_quota_of_tasks_counts_threads_processes_and_zombies() {
    let cells = Cells::new();
    let cell = cells.cell(7, 4);
    let main = cells.spawn(&cell);
    let thread = cells.world.spawn_thread(&main);
    let child = cells.world.fork(&main);
    let grandchild = cells.world.fork(&child);
    let refused = |of: &PlainThread| cells.world.clone(of, CloneFlags::FORK, Some(Signal::CHLD)).map(|_| ());
    assert_eq!(refused(&main), Err(ProcessError::ResourceExhausted));
    cells.world.exit(&child, 0);
    assert_eq!(refused(&main), Err(ProcessError::ResourceExhausted), "a zombie has its place");
    assert_eq!(cell.refused(), 2);
    cells.world.wait(&main).unwrap();
    assert_eq!(refused(&main), Ok(()));
    cells.world.exit(&thread, 0);
    assert_eq!(refused(&main), Ok(()));
    cells.world.exit(&grandchild, 0);
    assert_eq!(cell.tasks(), 3, "an orphan needs no reaping");
    let outside = cells.world.fork(&cells.world.init);
    assert!(outside.process().cell().is_none());
}

#[test]
fn a_thread_that_never_ran_leaves_no_trace() {
    let cells = Cells::new();
    let cell = cells.cell(7, 4);
    let main = cells.spawn(&cell);
    let child = cells.world.fork(&main);
    let thread = cells.world.spawn_thread(&main);
    cells.world.table.abandon(&child).run();
    cells.world.table.abandon(&thread).run();
    assert_eq!((cell.members(), cell.tasks()), (1, 1));
    cells.world.table.abandon(&main).run();
    assert_eq!((cell.members(), cell.tasks()), (0, 0));
    assert!(cells.world.table.check().is_ok());
}

#[test]
fn signals_go_to_the_main_process_or_to_all_never_to_a_successor_of_its_number() {
    let cells = Cells::new();
    let cell = cells.cell(7, 10);
    let main = cells.spawn(&cell);
    let child = cells.world.fork(&main);
    let table = &cells.world.table;
    let pending = |thread: &PlainThread| thread.process().signals().shared_pending().contains(Signal::TERM);
    table.signal_main(&cell, Signal::TERM).run();
    assert!(pending(&main) && !pending(&child));
    table.signal_cell(&cell, Signal::TERM).run();
    assert!(pending(&child));
    cells.world.settle(&main);
    let other = cells.spawn(&cells.cell(8, 10));
    assert_eq!(table.set_main(&cell, child.pid()), Err(ProcessError::InvalidState));
    assert_eq!(table.set_main(other.process().cell().unwrap(), child.pid()), Err(ProcessError::ProcessNotFound));
    table.signal_main(&cell, Signal::KILL).run();
    assert!(!child.process().is_ending() && !other.process().is_ending());
}

#[test]
fn another_member_can_be_made_the_main_process() {
    let cells = Cells::new();
    let cell = cells.cell(7, 10);
    let main = cells.spawn(&cell);
    let child = cells.world.fork(&main);
    cells.world.table.set_main(&cell, child.pid()).unwrap();
    cells.world.exit(&main, 1);
    assert_eq!((cell.main_end(), cells.news()), (None, alloc::vec![]));
    cells.world.exit(&child, 2);
    assert_eq!((cell.main_end(), cells.news()), (Some(ExitStatus::Exited(2)), alloc::vec![7]));
}

#[test]
fn a_cell_stands_on_the_board_once_until_it_is_taken() {
    let cells = Cells::new();
    let (a, b) = (cells.cell(1, 10), cells.cell(2, 10));
    for cell in [&a, &b, &a, &a] {
        cell.clone().post();
    }
    assert_eq!(cells.news(), [1, 2]);
    a.post();
    assert_eq!(cells.news(), [1]);
    assert!(cells.board.is_empty());
}

/// Forks of many host threads against one kill: whoever was born is killed, whoever was not born never is.
#[test]
fn no_racing_fork_survives_a_kill() {
    let mut forks = 0;
    for seed in 0..200 {
        let cells = Cells::new();
        let cell = cells.cell(seed, u32::MAX);
        let main = cells.spawn(&cell);
        let parents: Vec<_> = (0..3).map(|_| cells.world.fork(&main)).collect();
        let born = thread::scope(|scope| {
            let bombs: Vec<_> = parents
                .iter()
                .map(|parent| {
                    let world = &cells.world;
                    scope.spawn(move || {
                        let mut made = alloc::vec![parent.clone()];
                        while let Ok(child) = world.clone(made.last().unwrap(), CloneFlags::FORK, Some(Signal::CHLD)) {
                            // The same lineage goes on: sessions of their own on the way.
                            let _ = world.table.setsid(&child);
                            made.push(child);
                        }
                        made
                    })
                })
                .collect();
            for _ in 0..Random::new(seed).below(2000) {
                core::hint::spin_loop();
            }
            cells.world.table.kill_cell(&cell).run();
            bombs.into_iter().flat_map(|bomb| bomb.join().unwrap()).collect::<Vec<_>>()
        });
        forks += born.len();
        assert_eq!(cell.members() as usize, born.len() + 1);
        for thread in born.iter().chain([&main]).rev() {
            assert_eq!(thread.process().exit_status(), Some(ExitStatus::KILLED), "seed {seed}");
            cells.world.end(thread, ExitStatus::KILLED);
        }
        assert_eq!((cell.members(), cells.news()), (0, alloc::vec![seed]));
        assert!(cells.world.table.check().is_ok());
    }
    assert!(forks > 1000, "only {forks} forks raced");
}

#[test]
fn a_frozen_cell_holds_all_its_threads_and_nobody_else() {
    let cells = Cells::new();
    let (cell, other) = (cells.cell(7, 10), cells.cell(8, 10));
    let (main, stranger) = (cells.spawn(&cell), cells.spawn(&other));
    let child = cells.world.fork(&main);
    cells.world.table.freeze_cell(&cell, true).run();
    for thread in [&main, &child] {
        let signals = thread.signals();
        assert!(signals.is_held() && signals.needs_attention() && !signals.has_deliverable(), "no wait ends for it");
    }
    assert!(cell.is_frozen() && !stranger.signals().is_held() && !other.is_frozen());
    // Who was asked is told anew of the next change.
    main.signals().release();
    assert!(!main.signals().needs_attention());
    cells.world.table.freeze_cell(&cell, false).run();
    assert!(main.signals().is_held() && !cell.is_frozen(), "to look once more");
    // A kill reaches those that stand still.
    cells.world.table.freeze_cell(&cell, true).run();
    cells.world.table.kill_cell(&cell).run();
    for thread in [&main, &child] {
        assert!(thread.signals().must_exit());
        cells.world.settle(thread);
    }
    assert_eq!((cells.news(), cell.members()), (alloc::vec![7], 0));
}

#[test]
fn the_limit_on_bytes_is_one_for_all_processes_of_a_cell() {
    let cells = Cells::new();
    let limits = CellLimits { io: Some(1000), ..CellLimits::default() };
    let cell = Cell::new(7, limits, &cells.board, 16).unwrap();
    let main = cells.spawn(&cell);
    let child = cells.world.fork(&main);
    let now = Nanos::from_secs(100);
    assert!(main.process().is_limited() && child.process().is_limited(), "they have to ask");
    assert_eq!(child.process().bandwidth_debt(now), LimitDecision::Allow);
    main.process().spend_bandwidth(1500, now);
    assert_eq!(child.process().bandwidth_debt(now), LimitDecision::Throttle(Nanos::from_millis(500)));
    assert_eq!(main.process().bandwidth_debt(now + Nanos::from_millis(500)), LimitDecision::Allow);
    // Limits of its own, set and lifted, do not free it from asking.
    main.process()
        .change_limits(|limits| limits.set_own(OwnResource::Heap, OwnLimit { value: 1, ..NONE }, true))
        .unwrap();
    main.process().change_limits(|limits| limits.set_own(OwnResource::Heap, NONE, true)).unwrap();
    assert!(main.process().is_limited());
    cell.note_io_delay(now, now + Nanos::from_millis(500));
    let delays = cell.io_delays().unwrap();
    assert_eq!((delays.count(), delays.total()), (1, Nanos::from_millis(500)));
    assert!(!cells.spawn(&cells.cell(8, 10)).process().is_limited());
}

const NONE: OwnLimit = OwnLimit { value: UNLIMITED, policy: LimitPolicy::Fail };

#[test]
fn a_metered_cell_knows_for_how_long_it_could_not_run() {
    let cells = Cells::new();
    let limits = CellLimits { cpu: Some(500), watched: true, ..CellLimits::default() };
    let cell = Cell::new(7, limits, &cells.board, 16).unwrap();
    assert!(cell.is_metered() && !cells.cell(8, 1).is_metered());
    let ms = Nanos::from_millis;
    // Ran from 10 to 12 after a wait of 8.
    cell.note_run(ms(10), ms(8), ms(12));
    assert_eq!((cell.kept_waiting(), cell.ran_at()), (ms(8), ms(12)));
    // Another thread of it ran until 12: it was kept from running for 3 only, whatever this one has waited.
    cell.note_run(ms(15), ms(14), ms(16));
    assert_eq!(cell.kept_waiting(), ms(11));
    cell.note_wait(ms(20), ms(30));
    cell.note_wait(ms(25), ms(35));
    assert_eq!(cell.kept_waiting(), ms(26), "what overlaps counts once");
}

#[test]
fn a_probe_belongs_to_the_cell_and_its_end_is_told_once() {
    let cells = Cells::new();
    let cell = cells.cell(7, 10);
    let main = cells.spawn(&cell);
    let probe = cells.spawn_as(&cell, CellRole::Probe).unwrap();
    assert_eq!((cell.main(), cell.probe(), cell.members(), cell.tasks()), (main.pid(), Some(probe.pid()), 2, 2));
    cells.world.exit(&probe, 3);
    assert_eq!((cells.news(), cell.probe(), cell.main_end(), cell.members()), (alloc::vec![7], None, None, 1));
    assert_eq!((cell.take_probe_end(), cell.take_probe_end()), (Some(ExitStatus::Exited(3)), None));
    // The next one is asked instead of one that takes too long.
    let slow = cells.spawn_as(&cell, CellRole::Probe).unwrap();
    let next = cells.spawn_as(&cell, CellRole::Probe).unwrap();
    cells.world.exit(&slow, 0);
    assert_eq!((cells.news(), cell.take_probe_end(), cell.probe()), (Vec::new(), None, Some(next.pid())));
    // It ends with the cell.
    cells.world.table.kill_cell(&cell).run();
    cells.world.settle(&main);
    cells.world.settle(&next);
    assert_eq!((cell.members(), cell.tasks()), (0, 0));
    assert!(cells.spawn_as(&cell, CellRole::Probe).is_err());
}
