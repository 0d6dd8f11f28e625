//! memfd_create(2) and seals.

use abi::linux::general as linux;

use super::World;
use crate::{MapRequest, VfsError, WriteRules};

const RULES: WriteRules = WriteRules::UNLIMITED;

#[test]
fn seals_forbid_what_they_say() {
    let world = World::new();
    let file = world.ramfs.create_memory_file(&world.namespace, b"x", linux::MFD_ALLOW_SEALING).unwrap();
    file.write(b"abcd", &RULES).unwrap();
    let path = file.location().unwrap().display_path(&world.namespace, &world.root).unwrap();
    assert_eq!(path, b"/memfd:x (deleted)");
    assert_eq!((file.metadata().nlink, file.metadata().mode), (0, 0o777));
    let seal = |seals: u32| file.control(linux::F_ADD_SEALS, seals.into());
    seal(linux::F_SEAL_GROW).unwrap();
    assert_eq!(file.write(b"e", &RULES), Err(VfsError::NotPermitted));
    assert_eq!(file.write_at(0, b"A", &RULES), Ok(1));
    assert_eq!(file.truncate(5, &RULES), Err(VfsError::NotPermitted));
    seal(linux::F_SEAL_SHRINK).unwrap();
    assert_eq!(file.truncate(3, &RULES), Err(VfsError::NotPermitted));
    assert_eq!(file.truncate(4, &RULES), Ok(()));
    let shared = MapRequest { shared: true, writable: true };
    let mapping = file.file().clone().map(shared).unwrap();
    assert_eq!(seal(linux::F_SEAL_WRITE), Err(VfsError::Busy));
    drop(mapping);
    seal(linux::F_SEAL_WRITE).unwrap();
    assert_eq!(file.write_at(0, b"a", &RULES), Err(VfsError::NotPermitted));
    assert_eq!(file.file().clone().map(shared).map(|_| ()), Err(VfsError::NotPermitted));
    assert!(file.file().clone().map(MapRequest { shared: false, writable: true }).is_ok());
    seal(linux::F_SEAL_SEAL).unwrap();
    assert_eq!(seal(linux::F_SEAL_SEAL), Err(VfsError::NotPermitted));
    let all = linux::F_SEAL_GROW | linux::F_SEAL_SHRINK | linux::F_SEAL_WRITE | linux::F_SEAL_SEAL;
    assert_eq!(file.control(linux::F_GET_SEALS, 0), Ok(all.into()));
    drop(file);
    assert_eq!((world.store.in_use(), world.ramfs.used_inodes()), (0, 1));
}

#[test]
fn memory_files_are_sealed_unless_asked_otherwise() {
    let world = World::new();
    let make = |name: &[u8], flags| world.ramfs.create_memory_file(&world.namespace, name, flags);
    let plain = make(b"", 0).unwrap();
    assert_eq!(plain.control(linux::F_ADD_SEALS, 1), Err(VfsError::NotPermitted));
    assert_eq!(make(b"", 1 << 20).map(|_| ()), Err(VfsError::InvalidArgument));
    assert_eq!(make(&[b'n'; 250], 0).map(|_| ()), Err(VfsError::InvalidArgument));
    let no_exec = make(b"n", linux::MFD_NOEXEC_SEAL).unwrap();
    assert_eq!(no_exec.metadata().mode, 0o666);
}
