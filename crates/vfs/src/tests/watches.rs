//! Watches: limits, overflow, and that nothing stays of those that end.

use std::vec;
use std::vec::Vec;

use abi::linux::general as linux;
use alloc::sync::Arc;
use core::sync::atomic::Ordering;
use types::Uid;

use super::World;
use crate::inotify::Inotify;
use crate::{File, VfsError, WATCH_LIMITS};

/// Watch, mask and name of each event that waits.
fn read(instance: &Inotify) -> Vec<(i32, u32, Vec<u8>)> {
    let mut bytes = vec![0; 1 << 20];
    let used = instance.read(0, &mut bytes).unwrap_or(0);
    let mut events = Vec::new();
    let mut at = 0;
    while at < used {
        let word = |n: usize| u32::from_le_bytes(bytes[at + 4 * n..at + 4 * n + 4].try_into().unwrap());
        let len = word(3) as usize;
        let name: Vec<u8> = bytes[at + 16..at + 16 + len].iter().copied().take_while(|byte| *byte != 0).collect();
        events.push((word(0) as i32, word(1), name));
        at += 16 + len;
    }
    events
}

#[test]
fn instances_of_a_user_are_limited_and_given_back() {
    let user = Uid(4711);
    let most = WATCH_LIMITS.instances.load(Ordering::Relaxed);
    let instances: Vec<_> = (0..most).map(|_| Inotify::new(user).unwrap()).collect();
    assert_eq!(Inotify::new(user).err(), Some(VfsError::TooManyOpenFiles));
    assert!(Inotify::new(Uid(4712)).is_ok());
    drop(instances);
    assert!(Inotify::new(user).is_ok());
}

#[test]
fn watch_goes_with_its_node_and_with_its_instance() {
    let world = World::new();
    let context = world.fs();
    context.mkdir(b"/d", 0o755).unwrap();
    let directory = context.resolve(b"/d", crate::Follow::Yes).unwrap();
    let (first, second) = (Inotify::new(Uid(1)).unwrap(), Inotify::new(Uid(1)).unwrap());
    let number = first.add_watch(directory.inode(), linux::IN_ALL_EVENTS).unwrap();
    second.add_watch(directory.inode(), linux::IN_DELETE_SELF).unwrap();
    drop(second);
    context.mkdir(b"/d/e", 0o755).unwrap();
    context.rmdir(b"/d/e").unwrap();
    drop(directory);
    context.rmdir(b"/d").unwrap();
    let isdir = linux::IN_ISDIR;
    assert_eq!(
        read(&first),
        [
            (number, linux::IN_CREATE | isdir, b"e".to_vec()),
            (number, linux::IN_DELETE | isdir, b"e".to_vec()),
            (number, linux::IN_DELETE_SELF, vec![]),
            (number, linux::IN_IGNORED, vec![]),
        ]
    );
    assert_eq!(first.remove_watch(number), Err(VfsError::InvalidArgument));
    assert_eq!(world.ramfs.used_inodes(), 1);
}

#[test]
fn full_queue_says_once_that_events_are_lost() {
    let world = World::new();
    let instance = Inotify::new(Uid(2)).unwrap();
    let number = instance.add_watch(world.root.inode(), linux::IN_CREATE | linux::IN_DELETE).unwrap();
    let most = WATCH_LIMITS.events.load(Ordering::Relaxed) as usize;
    for _ in 0..most / 2 + 10 {
        world.fs().mkdir(b"/d", 0o755).unwrap();
        world.fs().rmdir(b"/d").unwrap();
    }
    let events = read(&instance);
    assert_eq!(events.len(), most + 1);
    assert_eq!(events[most], (-1, linux::IN_Q_OVERFLOW, vec![]));
    instance.remove_watch(number).unwrap();
    assert_eq!(read(&instance), [(number, linux::IN_IGNORED, vec![])]);
    let weak = Arc::downgrade(world.root.inode());
    drop(instance);
    assert!(weak.upgrade().is_some());
}
