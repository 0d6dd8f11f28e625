//! Who may do what.

use abi::linux::general as linux;
use types::{Capabilities, Credentials, Gid, Uid};

use super::World;
use crate::{Access, FileType, Follow, RenameMode, Rights, TimeChange, Timestamp, VfsError, Want, WriteRules, permit};

/// Every mode, user class and request, against the rule written the long way.
#[test]
fn permission_bits_mean_what_posix_says() {
    let owner = Credentials::user(Uid(1), Gid(10));
    let member = Credentials::user(Uid(2), Gid(20));
    let other = Credentials::user(Uid(3), Gid(30));
    let mut by_supplement = other;
    assert!(by_supplement.set_groups(&[Gid(20)]));
    for mode in 0..0o1000 {
        let access = Access { kind: FileType::Regular, mode, uid: Uid(1), gid: Gid(20) };
        for want in 1..8 {
            for (credentials, shift) in [(&owner, 6), (&member, 3), (&by_supplement, 3), (&other, 0)] {
                let expected = (mode >> shift) & want == want;
                let got = permit(&access, credentials, Want::from_bits_truncate(want)).is_ok();
                assert_eq!(got, expected, "mode {mode:o} want {want} shift {shift}");
            }
            let execute_by_nobody = want & 1 != 0 && mode & 0o111 == 0;
            let root = permit(&access, &Credentials::ROOT, Want::from_bits_truncate(want)).is_ok();
            assert_eq!(root, !execute_by_nobody, "root, mode {mode:o} want {want}");
            let directory = Access { kind: FileType::Directory, ..access };
            assert!(permit(&directory, &Credentials::ROOT, Want::from_bits_truncate(want)).is_ok());
        }
    }
    let mut searcher = other;
    searcher.effective = Capabilities::DAC_READ_SEARCH;
    let closed = Access { kind: FileType::Regular, mode: 0, uid: Uid(1), gid: Gid(20) };
    assert!(permit(&closed, &searcher, Want::READ).is_ok());
    assert!(permit(&closed, &searcher, Want::WRITE).is_err());
    let closed = Access { kind: FileType::Directory, ..closed };
    assert!(permit(&closed, &searcher, Want::READ | Want::EXECUTE).is_ok());
}

#[test]
fn directories_must_be_searchable_on_the_way() {
    let mut world = World::new();
    world.fs().mkdir(b"/d", 0o700).unwrap();
    world.write("/d/f", b"").unwrap();
    world.become_user(5, 5);
    assert_eq!(world.fs().resolve(b"/d/f", Follow::Yes), Err(VfsError::PermissionDenied));
    assert_eq!(world.fs().resolve(b"/d/.", Follow::Yes), Err(VfsError::PermissionDenied));
    assert!(world.fs().resolve(b"/d", Follow::Yes).is_ok());
    assert_eq!(world.fs().resolve_working_directory(b"/d"), Err(VfsError::PermissionDenied));
    assert_eq!(world.fs().mkdir(b"/x", 0o755), Err(VfsError::PermissionDenied));
    assert_eq!(world.fs().mkdir(b"/d", 0o755), Err(VfsError::Exists));
    assert_eq!(world.fs().unlink(b"/nothing"), Err(VfsError::NotFound));
}

#[test]
fn sticky_directories_protect_what_others_own() {
    let mut world = World::new();
    world.fs().mkdir(b"/tmp", 0o777).unwrap();
    let tmp = world.fs().resolve(b"/tmp", Follow::Yes).unwrap();
    world.fs().set_mode(&tmp, 0o1777).unwrap();
    world.become_user(5, 5);
    world.write("/tmp/mine", b"").unwrap();
    world.become_user(6, 6);
    world.write("/tmp/other", b"").unwrap();
    assert_eq!(world.fs().unlink(b"/tmp/mine"), Err(VfsError::NotPermitted));
    let rename = |from: &[u8], to: &[u8]| world.fs().rename(from, &world.root, to, RenameMode::Replace);
    assert_eq!(rename(b"/tmp/mine", b"/tmp/x"), Err(VfsError::NotPermitted));
    assert_eq!(rename(b"/tmp/other", b"/tmp/mine"), Err(VfsError::NotPermitted));
    assert_eq!(rename(b"/tmp/other", b"/tmp/x"), Ok(()));
    assert_eq!(world.fs().unlink(b"/tmp/x"), Ok(()));
    world.credentials = Credentials::ROOT;
    assert_eq!(world.fs().unlink(b"/tmp/mine"), Ok(()));
}

#[test]
fn umask_and_set_gid_directories_shape_new_files() {
    let mut world = World::new();
    world.fs().mkdir(b"/d", 0o777).unwrap();
    let directory = world.fs().resolve(b"/d", Follow::Yes).unwrap();
    world.fs().set_owner(&directory, None, Some(Gid(50))).unwrap();
    world.fs().set_mode(&directory, 0o2777).unwrap();
    world.become_user(5, 5);
    let mut fs = world.fs();
    fs.caller.umask = 0o027;
    fs.mkdir(b"/d/sub", 0o777).unwrap();
    fs.open(b"/d/f", linux::O_CREAT | linux::O_WRONLY, 0o6777).unwrap();
    let sub = world.stat("/d/sub").unwrap();
    assert_eq!((sub.mode, sub.gid, sub.uid), (0o2750, Gid(50), Uid(5)));
    let file = world.stat("/d/f").unwrap();
    assert_eq!((file.mode, file.gid), (0o4750, Gid(50)), "set-gid of a foreign group is not given");
}

#[test]
fn only_owners_change_modes_and_only_root_gives_away() {
    let mut world = World::new();
    world.write("/f", b"").unwrap();
    let file = world.fs().resolve(b"/f", Follow::No).unwrap();
    world.fs().set_owner(&file, Some(Uid(5)), Some(Gid(5))).unwrap();
    world.become_user(6, 6);
    assert_eq!(world.fs().set_mode(&file, 0o777), Err(VfsError::NotPermitted));
    assert_eq!(world.fs().set_owner(&file, Some(Uid(6)), None), Err(VfsError::NotPermitted));
    world.become_user(5, 5);
    assert_eq!(world.fs().set_mode(&file, 0o6755), Ok(()));
    assert_eq!(file.metadata().mode, 0o6755);
    assert_eq!(world.fs().set_owner(&file, Some(Uid(6)), None), Err(VfsError::NotPermitted));
    assert_eq!(world.fs().set_owner(&file, None, Some(Gid(7))), Err(VfsError::NotPermitted));
    assert_eq!(world.fs().set_owner(&file, Some(Uid(5)), Some(Gid(5))), Ok(()));
    assert_eq!(file.metadata().mode, 0o755, "a change of owner clears set-id bits");
    assert!(world.credentials.set_groups(&[Gid(7)]));
    assert_eq!(world.fs().set_owner(&file, None, Some(Gid(7))), Ok(()));
    world.fs().set_mode(&file, 0o2755).unwrap();
    assert_eq!(file.metadata().mode, 0o2755);
    assert!(world.credentials.set_groups(&[]));
    world.fs().set_mode(&file, 0o2755).unwrap();
    assert_eq!(file.metadata().mode, 0o755, "not a member: no set-gid");
}

#[test]
fn writing_clears_set_id_bits() {
    let mut world = World::new();
    world.write("/f", b"abc").unwrap();
    let file = world.fs().resolve(b"/f", Follow::No).unwrap();
    world.fs().set_owner(&file, Some(Uid(5)), Some(Gid(5))).unwrap();
    world.fs().set_mode(&file, 0o6777).unwrap();
    let rules = WriteRules { keep_set_ids: false, ..WriteRules::UNLIMITED };
    let open = world.open("/f", linux::O_WRONLY).unwrap();
    open.write(b"x", &WriteRules::UNLIMITED).unwrap();
    assert_eq!(file.metadata().mode, 0o6777, "a writer with the capability keeps them");
    open.write(b"x", &rules).unwrap();
    assert_eq!(file.metadata().mode, 0o777);
    world.fs().set_mode(&file, 0o6767).unwrap();
    world.become_user(9, 9);
    world.fs().truncate(&file, 1, u64::MAX).unwrap();
    assert_eq!(file.metadata().mode, 0o2767, "set-gid without group execution stays");
}

#[test]
fn times_may_be_set_by_owners_and_touched_by_writers() {
    let mut world = World::new();
    world.write("/f", b"").unwrap();
    let file = world.fs().resolve(b"/f", Follow::No).unwrap();
    world.fs().set_mode(&file, 0o666).unwrap();
    world.become_user(5, 5);
    let to = TimeChange::To(Timestamp { secs: -7, nanos: 9 });
    assert_eq!(world.fs().set_times(&file, to, to), Err(VfsError::NotPermitted));
    assert_eq!(world.fs().set_times(&file, TimeChange::Now, TimeChange::Keep), Err(VfsError::NotPermitted));
    assert_eq!(world.fs().set_times(&file, TimeChange::Now, TimeChange::Now), Ok(()));
    world.credentials = Credentials::ROOT;
    world.fs().set_mode(&file, 0o644).unwrap();
    assert_eq!(world.fs().set_times(&file, to, TimeChange::Keep), Ok(()));
    assert_eq!(file.metadata().to_stat().st_atime.tv_sec, -7);
    world.become_user(5, 5);
    assert_eq!(world.fs().set_times(&file, TimeChange::Now, TimeChange::Now), Err(VfsError::PermissionDenied));
}

#[test]
fn access_asks_about_the_real_user() {
    let mut world = World::new();
    world.write("/f", b"").unwrap();
    let file = world.fs().resolve(b"/f", Follow::No).unwrap();
    world.fs().set_mode(&file, 0o600).unwrap();
    world.credentials.ruid = Uid(5);
    let check = |want, rights| world.fs().check_access(&file, want, rights);
    assert_eq!(check(Want::READ, Rights::Effective), Ok(()));
    assert_eq!(check(Want::READ, Rights::Real), Err(VfsError::PermissionDenied));
    assert_eq!(check(Want::empty(), Rights::Real), Ok(()));
    assert_eq!(check(Want::EXECUTE, Rights::Effective), Err(VfsError::PermissionDenied));
}

#[test]
fn device_nodes_need_a_capability() {
    let mut world = World::new();
    let root = world.root.clone();
    world.fs().set_mode(&root, 0o777).unwrap();
    world.become_user(5, 5);
    let device = crate::DeviceNumber::new(1, 3);
    assert_eq!(world.fs().mknod(b"/n", linux::S_IFCHR, device), Err(VfsError::NotPermitted));
    assert_eq!(world.fs().mknod(b"/n", linux::S_IFIFO, device), Ok(()));
    assert_eq!(world.fs().mknod(b"/n", linux::S_IFCHR, device), Err(VfsError::Exists));
}
