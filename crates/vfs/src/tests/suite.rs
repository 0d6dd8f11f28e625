//! What every file system must keep, whatever is in it: one suite, called with each of them.

use alloc::sync::Arc;
use std::collections::HashMap;
use std::string::String;
use std::vec::Vec;

use super::World;
use crate::{Caller, DeviceNumber, FIRST_COOKIE, FileSystem, FileType, Inode, VfsError};

/// Most directories looked at: /proc of a large system has many.
const MAX_DIRECTORIES: usize = 500;

type Shown = (Vec<u8>, u64, FileType, u64);

fn entries(directory: &Arc<dyn Inode>, from: u64, at_most: usize) -> Vec<Shown> {
    let mut shown = Vec::new();
    directory
        .read_dir(from, &mut |entry| {
            let room = shown.len() < at_most;
            if room {
                shown.push((entry.name.to_vec(), entry.ino, entry.kind, entry.next));
            }
            room
        })
        .unwrap();
    shown
}

/// Checks all nodes that can be reached; how many there were.
pub(crate) fn check_file_system(file_system: &dyn FileSystem, caller: &Caller<'_>) -> usize {
    let root = file_system.root();
    assert!(root.parent().is_none());
    assert_eq!(root.ino(), file_system.root().ino(), "the root keeps its number");
    assert!(file_system.statfs().f_type != 0 && !file_system.info().kind.is_empty());
    let mut kinds: HashMap<u64, FileType> = HashMap::new();
    let mut nodes = 0;
    let mut directories = Vec::from([(String::new(), root)]);
    let mut looked_at = 0;
    while let Some((path, directory)) = directories.pop() {
        looked_at += 1;
        if looked_at > MAX_DIRECTORIES {
            break;
        }
        assert_eq!(directory.access().kind, FileType::Directory, "{path}");
        assert_eq!(directory.lookup(b"no such name").map(|_| ()), Err(VfsError::NotFound), "{path}");
        let all = entries(&directory, FIRST_COOKIE, usize::MAX);
        let mut singly = Vec::new();
        let mut from = FIRST_COOKIE;
        while let Some(one) = entries(&directory, from, 1).into_iter().next() {
            assert!(one.3 > from && one.3 < 1 << 63, "cookies of {path} ascend");
            from = one.3;
            singly.push(one);
        }
        assert_eq!(all, singly, "{path} reads the same one by one");
        for (name, ino, kind, _) in all {
            let path = std::format!("{path}/{}", String::from_utf8_lossy(&name));
            let child = directory.lookup(&name).unwrap_or_else(|error| panic!("{path}: {error:?}"));
            let (metadata, access) = (child.metadata(), child.access());
            assert!(ino != 0 && child.ino() == ino && metadata.ino == ino, "numbers of {path}");
            assert!(access.kind == kind && metadata.kind == kind, "kind of {path}");
            assert_eq!(*kinds.entry(ino).or_insert(kind), kind, "number of {path} is another's");
            assert_eq!((access.mode, access.uid, access.gid), (metadata.mode, metadata.uid, metadata.gid), "{path}");
            assert!(access.mode & !0o7777 == 0 && metadata.nlink != 0, "{path}");
            let (parent, own_name) = child.parent().unwrap_or_else(|| panic!("{path} has no parent"));
            if metadata.nlink == 1 || kind == FileType::Directory {
                assert_eq!((parent.ino(), &*own_name), (directory.ino(), &*name), "parent of {path}");
            }
            match kind {
                FileType::Directory => directories.push((path, child)),
                _ => {
                    assert_eq!(child.lookup(b"x").map(|_| ()), Err(VfsError::NotADirectory), "{path}");
                    let outcome = child.read_dir(FIRST_COOKIE, &mut |_| true);
                    assert_eq!(outcome, Err(VfsError::NotADirectory), "{path}");
                    if kind != FileType::Symlink {
                        let outcome = child.read_link(caller);
                        assert_eq!(outcome, Err(VfsError::InvalidArgument), "{path}");
                    }
                }
            }
            nodes += 1;
        }
    }
    nodes
}

#[test]
fn ramfs_keeps_the_rules() {
    let world = World::new();
    for directory in ["/a", "/a/b", "/c"] {
        world.fs().mkdir(directory.as_bytes(), 0o755).unwrap();
    }
    for number in 0..50 {
        world.write(&std::format!("/a/b/{number}"), b"x").unwrap();
    }
    for number in 0..45 {
        world.fs().unlink(std::format!("/a/b/{number}").as_bytes()).unwrap();
    }
    world.fs().symlink(b"a", b"/c/link").unwrap();
    assert_eq!(check_file_system(&*world.ramfs, &world.fs().caller), 9);
}

#[test]
fn devfs_keeps_the_rules() {
    let world = World::new();
    let devfs = crate::dev::devfs(world.store, world.clock, DeviceNumber::new(0, 5)).unwrap();
    assert!(check_file_system(&*devfs, &world.fs().caller) >= 16);
}
