//! Many threads in one tree: no deadlock, no lost node, no wrong count.

use std::vec::Vec;

use abi::linux::general as linux;

use super::World;
use crate::testing::Random;
use crate::{Follow, RenameMode, VfsError, WriteRules};

#[test]
fn threads_create_rename_and_remove_without_losing_anything() {
    let world = World::new();
    for directory in ["/a", "/b", "/a/c", "/b/d"] {
        world.fs().mkdir(directory.as_bytes(), 0o755).unwrap();
    }
    let path = |random: &mut Random| {
        let directory = ["/a", "/b", "/a/c", "/b/d", "/a/x", "/b/x"][random.below(6) as usize];
        std::format!("{directory}/{}", ["x", "y", "c", "d"][random.below(4) as usize])
    };
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let world = &world;
            scope.spawn(move || {
                let mut random = Random::new(thread);
                for _ in 0..2000 {
                    let (first, second) = (path(&mut random), path(&mut random));
                    let fs = world.fs();
                    let _ = match random.below(6) {
                        0 => fs.mkdir(first.as_bytes(), 0o755),
                        1 => world.write(&first, b"content"),
                        2 => fs.unlink(first.as_bytes()),
                        3 => fs.rmdir(first.as_bytes()),
                        4 => world.list(&first).map(|_| ()),
                        _ => {
                            let mode = [RenameMode::Replace, RenameMode::Exchange][random.below(2) as usize];
                            fs.rename(first.as_bytes(), &world.root, second.as_bytes(), mode)
                        }
                    };
                }
            });
        }
    });
    // Everything that is counted is still reachable.
    let mut reachable = 1;
    let mut directories: Vec<std::string::String> = [std::string::String::new()].into();
    while let Some(directory) = directories.pop() {
        let names = world.list(&std::format!("{directory}/")).unwrap();
        let mut subdirectories = 0;
        for name in names {
            reachable += 1;
            let path = std::format!("{directory}/{name}");
            if world.stat(&path).unwrap().kind == crate::FileType::Directory {
                subdirectories += 1;
                directories.push(path);
            }
        }
        assert_eq!(world.stat(&std::format!("{directory}/")).unwrap().nlink, 2 + subdirectories);
    }
    assert_eq!(world.ramfs.used_inodes(), reachable);
}

#[test]
fn concurrent_appends_do_not_overwrite_each_other() {
    let world = World::new();
    world.write("/log", b"").unwrap();
    std::thread::scope(|scope| {
        for thread in 0..4_u8 {
            let world = &world;
            scope.spawn(move || {
                let file = world.open("/log", linux::O_WRONLY | linux::O_APPEND).unwrap();
                for _ in 0..500 {
                    assert_eq!(file.write(&[thread; 10], &WriteRules::UNLIMITED), Ok(10));
                }
            });
        }
    });
    let log = world.read("/log").unwrap();
    assert_eq!(log.len(), 20_000);
    assert!(log.chunks(10).all(|record| record.iter().all(|byte| *byte == record[0])));
}

#[test]
fn exclusive_creation_has_one_winner() {
    let world = World::new();
    for round in 0..200 {
        let path = std::format!("/{round}");
        let winners: usize = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..3)
                .map(|_| {
                    let (world, path) = (&world, &path);
                    scope.spawn(move || {
                        let flags = linux::O_CREAT | linux::O_EXCL | linux::O_WRONLY;
                        match world.open(path, flags) {
                            Ok(_) => 1,
                            Err(VfsError::Exists) => 0,
                            Err(error) => panic!("{error:?}"),
                        }
                    })
                })
                .collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).sum()
        });
        assert_eq!(winners, 1);
    }
    assert!(world.fs().resolve(b"/199", Follow::No).is_ok());
}
