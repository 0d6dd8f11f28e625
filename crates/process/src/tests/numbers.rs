//! Process numbers.

use alloc::vec::Vec;
use types::Pid;

use crate::testing::World;
use crate::{CloneFlags, ProcessError, ProcessTable, TableConfig};

fn small(pid_max: u32) -> World {
    World::with(TableConfig { pid_max, ..TableConfig::default() })
}

#[test]
fn numbers_go_up_and_wrap() {
    let world = small(16);
    let mut seen = Vec::new();
    for _ in 0..20 {
        let child = world.fork(&world.init);
        seen.push(child.pid().0);
        world.exit(&child, 0);
        world.wait(&world.init).unwrap();
    }
    assert_eq!(seen[..16], [2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 2, 3]);
}

#[test]
fn large_tables_wrap_to_300_and_grow_only_when_half_full() {
    let world = World::new();
    let mut highest = 0;
    let mut lowest_after_wrap = u32::MAX;
    for _ in 0..6000 {
        let child = world.fork(&world.init);
        let pid = child.pid().0;
        if pid < highest {
            lowest_after_wrap = lowest_after_wrap.min(pid);
        }
        highest = highest.max(pid);
        world.exit(&child, 0);
        world.wait(&world.init).unwrap();
    }
    assert_eq!((highest, lowest_after_wrap), (4095, 300));
}

#[test]
fn nodes_move_along_with_the_numbers() {
    let world = World::new();
    for _ in 0..6000 {
        let child = world.fork(&world.init);
        world.exit(&child, 0);
        world.wait(&world.init).unwrap();
    }
    assert_eq!(world.table.tree().chunk_count(), 2, "one that keeps the first process, one that moves");
    world.table.tree().check();
}

#[test]
fn full_table_is_an_error_and_recovers() {
    let world = small(16);
    let children: Vec<_> = (2..16).map(|_| world.fork(&world.init)).collect();
    let refused = world.clone(&world.init, CloneFlags::FORK, Some(abi::Signal::CHLD));
    assert_eq!(refused.err(), Some(ProcessError::ResourceExhausted));
    world.exit(&children[3], 0);
    assert!(world.clone(&world.init, CloneFlags::FORK, None).is_err(), "a zombie keeps its number");
    world.wait(&world.init).unwrap();
    assert_eq!(world.fork(&world.init).pid(), children[3].pid());
    world.table.tree().check();
}

#[test]
fn process_count_is_bounded_by_the_configuration() {
    let world = World::with(TableConfig { max_processes: 2, ..TableConfig::default() });
    let child = world.fork(&world.init);
    let refused = |flags| world.clone(&world.init, flags, Some(abi::Signal::CHLD)).err();
    assert_eq!(refused(CloneFlags::FORK), Some(ProcessError::ResourceExhausted));
    assert_eq!(refused(crate::testing::THREAD_FLAGS), None, "a thread is no process");
    world.exit(&child, 0);
    world.wait(&world.init).unwrap();
    assert_eq!(refused(CloneFlags::FORK), None);
}

#[test]
fn thread_count_is_bounded_by_the_configuration() {
    let world = World::with(TableConfig { max_threads: 3, ..TableConfig::default() });
    let child = world.fork(&world.init);
    let create = |flags| world.clone(&world.init, flags, Some(abi::Signal::CHLD)).err();
    assert_eq!(create(crate::testing::THREAD_FLAGS), None);
    assert_eq!(create(CloneFlags::FORK), Some(ProcessError::ResourceExhausted));
    assert_eq!(create(crate::testing::THREAD_FLAGS), Some(ProcessError::ResourceExhausted));
    world.exit(&child, 0);
    assert_eq!(create(CloneFlags::FORK), None, "a zombie is no thread");
}

#[test]
fn table_holds_all_65536_numbers() {
    let world = World::new();
    let mut count = 1;
    loop {
        match world.clone(&world.init, CloneFlags::FORK, Some(abi::Signal::CHLD)) {
            Ok(_) => count += 1,
            Err(error) => {
                assert_eq!(error, ProcessError::ResourceExhausted);
                break;
            }
        }
    }
    assert_eq!(count, 65_535, "every number but 0");
    assert_eq!(world.table.process_count(), 65_535);
    assert_eq!(world.table.tree().check(), 65_535);
    assert_eq!(world.table.processes().count(), 65_535);
}

#[test]
fn stale_handles_do_not_find_the_next_holder() {
    let world = small(16);
    let child = world.fork(&world.init);
    let (pid, generation) = (child.pid(), child.process().generation());
    let handle = child.process().clone();
    assert!(world.table.process_of_generation(pid, generation).is_some());
    world.exit(&child, 0);
    world.wait(&world.init).unwrap();
    let again = loop {
        let next = world.fork(&world.init);
        if next.pid() == pid {
            break next;
        }
        world.exit(&next, 0);
        world.wait(&world.init).unwrap();
    };
    assert!(world.table.process_of_generation(pid, generation).is_none());
    assert_ne!(again.process().generation(), generation);
    assert!(handle.has_ended() && handle.is_reaped() && !again.process().has_ended());
    let to_handle = world.table.signal_process_as(&world.init, &handle, None);
    assert_eq!(to_handle.err(), Some(ProcessError::ProcessNotFound));
}

#[test]
fn listing_is_by_number() {
    let world = World::new();
    let children: Vec<_> = (0..5).map(|_| world.fork(&world.init)).collect();
    world.spawn_thread(&children[0]);
    world.exit(&children[2], 0);
    let listed: Vec<_> = world.table.processes().map(|process| process.pid().0).collect();
    assert_eq!(listed, [1, 2, 3, 4, 5, 6], "zombies too, threads not");
    assert_eq!(world.table.next_process(Pid(5)).map(|p| p.pid().0), Some(5));
    assert!(world.table.next_process(Pid(7)).is_none());
}

#[test]
fn senseless_sizes_are_refused() {
    for config in [
        TableConfig { pid_max: 15, max_processes: 1, ..TableConfig::default() },
        TableConfig { pid_max: 65_537, max_processes: 1, ..TableConfig::default() },
        TableConfig { pid_max: 100, max_processes: 0, ..TableConfig::default() },
    ] {
        assert!(matches!(ProcessTable::<crate::testing::Plain>::new(config), Err(ProcessError::InvalidArgument)));
    }
}
