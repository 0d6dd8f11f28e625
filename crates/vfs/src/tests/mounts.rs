//! Several file systems in one tree.

use alloc::sync::Arc;
use std::string::String;
use std::vec::Vec;

use abi::linux::general as linux;

use super::World;
use crate::ramfs::{RamFs, RamOptions};
use crate::{
    DeviceNumber, FileSystem, Follow, Location, MountFlags, Recursion, RenameMode, Unmount, VfsError, WriteRules,
};

fn tmpfs(world: &World, minor: u32) -> Arc<dyn FileSystem> {
    RamFs::new(world.store, world.clock, RamOptions::new("tmpfs", DeviceNumber::new(0, minor)))
}

fn at(world: &World, path: &str) -> Location {
    world.fs().resolve(path.as_bytes(), Follow::Yes).unwrap()
}

fn mount(world: &World, path: &str, minor: u32) {
    world.fs().mkdir(path.as_bytes(), 0o755).ok();
    world.namespace.mount(&at(world, path), tmpfs(world, minor), b"none", MountFlags::empty()).unwrap();
}

fn points(world: &World) -> Vec<String> {
    let lines = world.namespace.list(&world.root).unwrap();
    lines.into_iter().map(|line| String::from_utf8(line.point).unwrap()).collect()
}

#[test]
fn mounts_cover_and_uncover() {
    let world = World::new();
    world.fs().mkdir(b"/m", 0o755).unwrap();
    world.write("/m/below", b"").unwrap();
    mount(&world, "/m", 2);
    assert_eq!(world.read("/m/below"), Err(VfsError::NotFound));
    world.write("/m/above", b"x").unwrap();
    world.fs().mkdir(b"/m/sub", 0o755).unwrap();
    assert_eq!(world.stat("/m/above").unwrap().dev, DeviceNumber::new(0, 2));
    assert_eq!(at(&world, "/m/.."), world.root);
    assert_eq!(at(&world, "/m/sub").working_directory(&world.namespace, &world.root).unwrap(), b"/m/sub");
    assert_eq!(world.fs().rmdir(b"/m"), Err(VfsError::Busy));
    assert_eq!(world.fs().rename(b"/m", &world.root, b"/n", RenameMode::Replace), Err(VfsError::Busy));
    let across = world.fs().rename(b"/m/above", &world.root, b"/x", RenameMode::Replace);
    assert_eq!(across, Err(VfsError::CrossDevice));
    assert_eq!(world.fs().link(&at(&world, "/m/above"), b"/x"), Err(VfsError::CrossDevice));
    let held = world.open("/m/above", 0).unwrap();
    assert_eq!(world.namespace.unmount(&at(&world, "/m"), Unmount::IfUnused), Err(VfsError::Busy));
    drop(held);
    assert_eq!(world.namespace.unmount(&at(&world, "/m"), Unmount::IfUnused), Ok(()));
    assert_eq!(world.read("/m/below"), Ok(Vec::new()));
    assert_eq!(world.namespace.unmount(&at(&world, "/m"), Unmount::IfUnused), Err(VfsError::InvalidArgument));
    assert_eq!(world.namespace.unmount(&at(&world, "/"), Unmount::Lazy), Err(VfsError::Busy));
}

#[test]
fn lazily_unmounted_trees_live_on_for_their_users() {
    let world = World::new();
    mount(&world, "/m", 2);
    mount(&world, "/m/n", 3);
    let inside = at(&world, "/m/n");
    assert_eq!(world.namespace.unmount(&at(&world, "/m"), Unmount::IfUnused), Err(VfsError::Busy));
    world.namespace.unmount(&at(&world, "/m"), Unmount::Lazy).unwrap();
    assert_eq!(points(&world), ["/"]);
    let mut fs = world.fs();
    fs.base = &inside;
    assert!(fs.open(b"still", linux::O_CREAT | linux::O_WRONLY, 0o644).is_ok());
    assert_eq!(inside.working_directory(&world.namespace, &world.root).unwrap(), b"(unreachable)/");
}

#[test]
fn mounts_stack_and_root_is_the_newest() {
    let world = World::new();
    mount(&world, "/m", 2);
    mount(&world, "/m", 3);
    assert_eq!(world.stat("/m/.").unwrap().dev, DeviceNumber::new(0, 3));
    world.namespace.unmount(&at(&world, "/m"), Unmount::IfUnused).unwrap();
    assert_eq!(world.stat("/m/.").unwrap().dev, DeviceNumber::new(0, 2));
    world.namespace.move_mount(&at(&world, "/m"), &at(&world, "/")).unwrap();
    assert_eq!(world.namespace.root().metadata().dev, DeviceNumber::new(0, 2));
    let first_root = world.root.clone();
    assert_eq!(first_root.metadata().dev, DeviceNumber::new(0, 1));
}

#[test]
fn bind_mounts_show_a_tree_twice() {
    let world = World::new();
    world.fs().mkdir(b"/a", 0o755).unwrap();
    world.fs().mkdir(b"/b", 0o755).unwrap();
    mount(&world, "/a/sub", 2);
    world.write("/a/f", b"1").unwrap();
    world.write("/a/sub/g", b"2").unwrap();
    world.namespace.bind(&at(&world, "/a"), &at(&world, "/b"), Recursion::No).unwrap();
    assert_eq!(world.read("/b/f").unwrap(), b"1");
    assert_eq!(world.read("/b/sub/g"), Err(VfsError::NotFound));
    assert_eq!(at(&world, "/b/.."), world.root);
    let crossing = world.fs().rename(b"/a/f", &world.root, b"/b/f2", RenameMode::Replace);
    assert_eq!(crossing, Err(VfsError::CrossDevice));
    world.namespace.unmount(&at(&world, "/b"), Unmount::IfUnused).unwrap();
    world.namespace.bind(&at(&world, "/a"), &at(&world, "/b"), Recursion::Yes).unwrap();
    assert_eq!(world.read("/b/sub/g").unwrap(), b"2");
    assert_eq!(points(&world), ["/", "/a/sub", "/b", "/b/sub"]);
    let lines = world.namespace.list(&world.root).unwrap();
    assert_eq!(lines[2].root, b"/a");
}

#[test]
fn read_only_mounts_refuse_changes() {
    let world = World::new();
    mount(&world, "/m", 2);
    world.write("/m/f", b"abc").unwrap();
    let writer = world.open("/m/f", linux::O_WRONLY).unwrap();
    assert_eq!(world.namespace.remount(&at(&world, "/m"), MountFlags::READ_ONLY), Err(VfsError::Busy));
    assert_eq!(writer.write(b"x", &WriteRules::UNLIMITED), Ok(1));
    drop(writer);
    world.namespace.remount(&at(&world, "/m"), MountFlags::READ_ONLY | MountFlags::NO_EXECUTE).unwrap();
    let fs = world.fs();
    let file = at(&world, "/m/f");
    assert_eq!(world.open("/m/f", linux::O_RDWR).map(|_| ()), Err(VfsError::ReadOnly));
    assert_eq!(world.open("/m/f", linux::O_TRUNC).map(|_| ()), Err(VfsError::ReadOnly));
    assert_eq!(world.open("/m/g", linux::O_CREAT).map(|_| ()), Err(VfsError::ReadOnly));
    assert!(world.open("/m/f", linux::O_CREAT).is_ok());
    assert_eq!(fs.mkdir(b"/m/d", 0o755), Err(VfsError::ReadOnly));
    assert_eq!(fs.mkdir(b"/m/f", 0o755), Err(VfsError::Exists));
    assert_eq!(fs.unlink(b"/m/none"), Err(VfsError::ReadOnly));
    assert_eq!(fs.set_mode(&file, 0o777), Err(VfsError::ReadOnly));
    assert_eq!(fs.truncate(&file, 0, u64::MAX), Err(VfsError::ReadOnly));
    assert_eq!(fs.check_access(&file, crate::Want::WRITE, crate::Rights::Real), Err(VfsError::ReadOnly));
    assert_eq!(file.execute(&world.credentials).map(|_| ()), Err(VfsError::PermissionDenied));
    assert_eq!(file.statfs().f_flags & 9, 9);
    assert_eq!(world.read("/m/f").unwrap(), b"xbc");
}

#[test]
fn size_limits_hold_per_mount() {
    let world = World::with(RamOptions {
        max_bytes: 3 * 4096,
        max_inodes: 3,
        ..RamOptions::new("tmpfs", DeviceNumber::new(0, 1))
    });
    world.write("/f", &[1; 8192]).unwrap();
    let file = world.open("/g", linux::O_RDWR | linux::O_CREAT).unwrap();
    assert_eq!(file.write(&[2; 8192], &WriteRules::UNLIMITED), Ok(4096));
    assert_eq!(file.write(&[2; 1], &WriteRules::UNLIMITED), Err(VfsError::NoSpace));
    assert_eq!(world.fs().mkdir(b"/h", 0o755), Err(VfsError::NoSpace));
    let statfs = world.root.statfs();
    assert_eq!((statfs.f_blocks, statfs.f_bfree, statfs.f_files, statfs.f_ffree), (3, 0, 3, 0));
    world.fs().unlink(b"/f").unwrap();
    assert_eq!(file.write(&[2; 1], &WriteRules::UNLIMITED), Ok(1));
    world.fs().mkdir(b"/h", 0o755).unwrap();
}

#[test]
fn a_forked_namespace_goes_its_own_way() {
    let world = World::new();
    mount(&world, "/m", 2);
    let (other, copies) = world.namespace.fork().unwrap();
    world.namespace.unmount(&at(&world, "/m"), Unmount::Lazy).unwrap();
    assert_eq!(world.namespace.list(&world.root).unwrap().len(), 1);
    let root = copies.of(&world.root);
    assert_eq!(other.list(&root).unwrap().len(), 2);
    other.remount(&root, MountFlags::READ_ONLY).unwrap();
    assert!(root.mount().check_writable().is_err() && world.root.mount().check_writable().is_ok());
}

#[test]
fn devices_are_opened_through_the_registry() {
    let world = World::new();
    let registry = world.namespace.devices();
    registry.add(crate::DeviceKind::Char, crate::dev::number::NULL, Arc::new(crate::dev::NullDevice)).unwrap();
    registry.add(crate::DeviceKind::Char, crate::dev::number::ZERO, Arc::new(crate::dev::ZeroDevice)).unwrap();
    registry.add(crate::DeviceKind::Char, crate::dev::number::FULL, Arc::new(crate::dev::FullDevice)).unwrap();
    let devfs = crate::dev::devfs(world.store, world.clock, DeviceNumber::new(0, 5)).unwrap();
    world.fs().mkdir(b"/dev", 0o755).unwrap();
    world.namespace.mount(&at(&world, "/dev"), devfs, b"dev", MountFlags::empty()).unwrap();
    world.write("/dev/null", b"gone").unwrap();
    assert_eq!(world.read("/dev/null").unwrap(), b"");
    let zero = world.open("/dev/zero", linux::O_RDWR).unwrap();
    let mut out = [7; 4];
    assert_eq!(zero.read(&mut out), Ok(4));
    assert_eq!(out, [0; 4]);
    assert_eq!(zero.seek(crate::SeekFrom::End(5)), Ok(0));
    let full = world.open("/dev/full", linux::O_RDWR).unwrap();
    assert_eq!(full.write(b"x", &WriteRules::UNLIMITED), Err(VfsError::NoSpace));
    assert_eq!(world.open("/dev/tty", 0).map(|_| ()), Err(VfsError::NoDeviceOrAddress));
    world.namespace.remount(&at(&world, "/dev"), MountFlags::NO_DEVICES).unwrap();
    assert_eq!(world.open("/dev/null", 0).map(|_| ()), Err(VfsError::PermissionDenied));
    assert_eq!(world.stat("/dev/shm").unwrap().mode, 0o1777);
    let fd = world.fs().resolve(b"/dev/fd", Follow::No).unwrap();
    assert_eq!(world.fs().read_link(&fd).unwrap(), b"/proc/self/fd");
}
