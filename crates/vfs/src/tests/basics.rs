//! One operation at a time.

use abi::linux::general as linux;
use std::string::ToString;

use super::World;
use super::world::names_in;
use crate::{DeviceNumber, FileType, Follow, RenameMode, SeekFrom, VfsError, WriteRules};

const RULES: WriteRules = WriteRules::UNLIMITED;

#[test]
fn what_was_written_can_be_read() {
    let world = World::new();
    world.fs().mkdir(b"/a", 0o755).unwrap();
    world.write("/a/f", b"hello").unwrap();
    assert_eq!(world.read("a/f").unwrap(), b"hello");
    let metadata = world.stat("/a/f").unwrap();
    assert_eq!((metadata.size, metadata.allocated, metadata.nlink), (5, 4096, 1));
    assert_eq!(metadata.st_mode(), linux::S_IFREG | 0o644);
    assert_eq!(world.stat("/").unwrap().nlink, 3);
}

#[test]
fn append_and_seek_move_the_position() {
    let world = World::new();
    world.write("/f", b"abc").unwrap();
    let file = world.open("/f", linux::O_RDWR | linux::O_APPEND).unwrap();
    assert_eq!(file.write(b"def", &RULES), Ok(3));
    assert_eq!(file.seek(SeekFrom::Current(0)), Ok(6));
    assert_eq!(file.seek(SeekFrom::End(-2)), Ok(4));
    let mut out = [0; 8];
    assert_eq!(file.read(&mut out), Ok(2));
    assert_eq!(&out[..2], b"ef");
    assert_eq!(file.seek(SeekFrom::Start(-1)), Err(VfsError::InvalidArgument));
    assert_eq!(file.seek(SeekFrom::Data(6)), Err(VfsError::NoDeviceOrAddress));
    assert_eq!(file.seek(SeekFrom::Hole(1)), Ok(6));
    assert_eq!(file.read_at(1, &mut out[..2]), Ok(2));
    assert_eq!(&out[..2], b"bc");
}

#[test]
fn access_mode_is_respected() {
    let world = World::new();
    world.write("/f", b"abc").unwrap();
    let reader = world.open("/f", linux::O_RDONLY).unwrap();
    assert_eq!(reader.write(b"x", &RULES), Err(VfsError::BadDescriptor));
    let writer = world.open("/f", linux::O_WRONLY).unwrap();
    assert_eq!(writer.read(&mut [0; 1]), Err(VfsError::BadDescriptor));
    let path = world.open("/f", linux::O_PATH).unwrap();
    assert_eq!(path.read(&mut [0; 1]), Err(VfsError::BadDescriptor));
    assert_eq!(path.seek(SeekFrom::Start(0)), Err(VfsError::BadDescriptor));
    assert_eq!(path.metadata().size, 3);
    assert_eq!(writer.flags() & linux::O_ACCMODE, linux::O_WRONLY);
}

#[test]
fn file_size_limit_cuts_and_then_refuses() {
    let world = World::new();
    let file = world.open("/f", linux::O_WRONLY | linux::O_CREAT).unwrap();
    let rules = WriteRules { file_size_limit: 10, keep_set_ids: true };
    assert_eq!(file.write(&[1; 8], &rules), Ok(8));
    assert_eq!(file.write(&[1; 8], &rules), Ok(2));
    assert_eq!(file.write(&[1; 8], &rules), Err(VfsError::FileTooBig));
    assert_eq!(file.truncate(11, &rules), Err(VfsError::FileTooBig));
    assert_eq!(file.truncate(9, &rules), Ok(()));
    assert_eq!(world.stat("/f").unwrap().size, 9);
}

#[test]
fn open_flags_decide_about_existing_files() {
    let world = World::new();
    world.write("/f", b"abc").unwrap();
    let open = |path: &str, flags| world.open(path, flags).map(|_| ());
    assert_eq!(open("/f", linux::O_CREAT | linux::O_EXCL), Err(VfsError::Exists));
    assert_eq!(open("/f", linux::O_DIRECTORY), Err(VfsError::NotADirectory));
    assert_eq!(open("/f/", 0), Err(VfsError::NotADirectory));
    assert_eq!(open("/g", 0), Err(VfsError::NotFound));
    assert_eq!(open("/", linux::O_WRONLY), Err(VfsError::IsADirectory));
    assert_eq!(open("/", linux::O_CREAT), Err(VfsError::IsADirectory));
    assert_eq!(open("/g/", linux::O_CREAT), Err(VfsError::IsADirectory));
    assert_eq!(open(".", linux::O_RDONLY), Ok(()));
    assert_eq!(open("/g", linux::O_CREAT | linux::O_DIRECTORY), Err(VfsError::InvalidArgument));
    assert_eq!(open("/f", linux::O_WRONLY | linux::O_TRUNC), Ok(()));
    assert_eq!(world.stat("/f").unwrap().size, 0);
}

#[test]
fn creating_open_follows_a_dangling_link() {
    let world = World::new();
    world.fs().mkdir(b"/d", 0o755).unwrap();
    world.fs().symlink(b"d/new", b"/link").unwrap();
    assert_eq!(world.read("/link"), Err(VfsError::NotFound));
    world.write("/link", b"x").unwrap();
    assert_eq!(world.read("/d/new").unwrap(), b"x");
    let flags = linux::O_CREAT | linux::O_EXCL | linux::O_WRONLY;
    world.fs().symlink(b"nowhere", b"/other").unwrap();
    assert_eq!(world.open("/other", flags).map(|_| ()), Err(VfsError::Exists));
    assert_eq!(world.open("/other", linux::O_CREAT | linux::O_NOFOLLOW).map(|_| ()), Err(VfsError::SymlinkLoop));
    assert_eq!(world.open("/other", linux::O_NOFOLLOW).map(|_| ()), Err(VfsError::SymlinkLoop));
    assert!(world.open("/other", linux::O_NOFOLLOW | linux::O_PATH).is_ok());
}

#[test]
fn unlinked_open_files_live_on() {
    let world = World::new();
    world.write("/f", b"abc").unwrap();
    let file = world.open("/f", linux::O_RDWR).unwrap();
    let path = |file: &crate::OpenFile| {
        let text = file.location().unwrap().display_path(&world.namespace, &world.root).unwrap();
        std::string::String::from_utf8(text).unwrap()
    };
    assert_eq!(path(&file), "/f");
    world.fs().rename(b"/f", &world.root, b"/g", RenameMode::Replace).unwrap();
    assert_eq!(path(&file), "/g");
    world.fs().unlink(b"/g").unwrap();
    assert_eq!(path(&file), "/g (deleted)");
    assert_eq!(file.metadata().nlink, 0);
    let mut out = [0; 3];
    assert_eq!(file.read(&mut out), Ok(3));
    assert_eq!(world.store.in_use(), 1);
    drop(file);
    assert_eq!(world.store.in_use(), 0);
    assert_eq!(world.ramfs.used_inodes(), 1);
}

#[test]
fn hard_links_share_content() {
    let world = World::new();
    world.write("/f", b"abc").unwrap();
    let place = world.fs().resolve(b"/f", Follow::No).unwrap();
    world.fs().link(&place, b"/g").unwrap();
    assert_eq!(world.stat("/g").unwrap().ino, world.stat("/f").unwrap().ino);
    assert_eq!(world.stat("/g").unwrap().nlink, 2);
    world.fs().unlink(b"/f").unwrap();
    assert_eq!(world.read("/g").unwrap(), b"abc");
    assert_eq!(world.fs().link(&place, b"/g"), Err(VfsError::Exists));
    assert_eq!(world.fs().link(&world.root.clone(), b"/h"), Err(VfsError::NotPermitted));
    // Renaming one name to another of the same file does nothing.
    world.fs().link(&place, b"/h").unwrap();
    world.fs().rename(b"/g", &world.root, b"/h", RenameMode::Replace).unwrap();
    assert_eq!(world.list("/").unwrap(), ["g", "h"]);
}

#[test]
fn removing_has_linux_errors() {
    let world = World::new();
    let fs = world.fs();
    fs.mkdir(b"/d", 0o755).unwrap();
    fs.mkdir(b"/d/e", 0o755).unwrap();
    world.write("/f", b"").unwrap();
    assert_eq!(fs.rmdir(b"/d"), Err(VfsError::NotEmpty));
    assert_eq!(fs.rmdir(b"/d/."), Err(VfsError::InvalidArgument));
    assert_eq!(fs.rmdir(b"/d/.."), Err(VfsError::NotEmpty));
    assert_eq!(fs.rmdir(b"/"), Err(VfsError::Busy));
    assert_eq!(fs.rmdir(b"/f"), Err(VfsError::NotADirectory));
    assert_eq!(fs.rmdir(b"/x"), Err(VfsError::NotFound));
    assert_eq!(fs.unlink(b"/d"), Err(VfsError::IsADirectory));
    assert_eq!(fs.unlink(b"/f/"), Err(VfsError::NotADirectory));
    assert_eq!(fs.unlink(b"/d/"), Err(VfsError::IsADirectory));
    assert_eq!(fs.unlink(b"/x/"), Err(VfsError::NotFound));
    assert_eq!(fs.unlink(b"/"), Err(VfsError::IsADirectory));
    assert_eq!(fs.unlink(b"/d/.."), Err(VfsError::IsADirectory));
    assert_eq!(fs.rmdir(b"/d/e/"), Ok(()));
    assert_eq!(fs.rmdir(b"/d"), Ok(()));
    assert_eq!(world.stat("/").unwrap().nlink, 2);
}

#[test]
fn making_has_linux_errors() {
    let world = World::new();
    let fs = world.fs();
    world.write("/f", b"").unwrap();
    assert_eq!(fs.mkdir(b"/f", 0o755), Err(VfsError::Exists));
    assert_eq!(fs.mkdir(b"/", 0o755), Err(VfsError::Exists));
    assert_eq!(fs.mkdir(b"/f/x", 0o755), Err(VfsError::NotADirectory));
    assert_eq!(fs.mkdir(b"/x/y", 0o755), Err(VfsError::NotFound));
    assert_eq!(fs.mkdir(b"", 0o755), Err(VfsError::NotFound));
    assert_eq!(fs.mkdir(b"/d/", 0o755), Ok(()));
    assert_eq!(fs.symlink(b"", b"/s"), Err(VfsError::NotFound));
    assert_eq!(fs.symlink(b"t", b"/s/"), Err(VfsError::NotFound));
    assert_eq!(fs.symlink(b"t", b"/f"), Err(VfsError::Exists));
    assert_eq!(fs.mknod(b"/n", linux::S_IFDIR, DeviceNumber::default()), Err(VfsError::NotPermitted));
    assert_eq!(fs.mknod(b"/n", linux::S_IFCHR | 0o600, DeviceNumber::new(1, 3)), Ok(()));
    let node = world.stat("/n").unwrap();
    assert_eq!((node.kind, node.rdev), (FileType::CharDevice, DeviceNumber::new(1, 3)));
    assert_eq!(world.open("/n", 0).map(|_| ()), Err(VfsError::NoDeviceOrAddress));
}

#[test]
fn removed_directory_takes_nothing_in() {
    let world = World::new();
    world.fs().mkdir(b"/d", 0o755).unwrap();
    let inside = world.fs().resolve(b"/d", Follow::Yes).unwrap();
    world.fs().rmdir(b"/d").unwrap();
    let mut fs = world.fs();
    fs.base = &inside;
    assert_eq!(fs.mkdir(b"x", 0o755), Err(VfsError::NotFound));
    assert_eq!(fs.open(b"x", linux::O_CREAT, 0o644).map(|_| ()), Err(VfsError::NotFound));
    assert_eq!(inside.working_directory(&world.namespace, &world.root), Err(VfsError::NotFound));
    assert!(fs.resolve(b".", Follow::Yes).is_ok());
    assert_eq!(fs.resolve(b"..", Follow::Yes), Ok(world.root.clone()));
}

#[test]
fn rename_has_linux_errors() {
    let world = World::new();
    let fs = world.fs();
    for directory in ["/a", "/a/b", "/a/b/c", "/e"] {
        fs.mkdir(directory.as_bytes(), 0o755).unwrap();
    }
    world.write("/f", b"f").unwrap();
    world.write("/a/g", b"g").unwrap();
    let rename = |from: &str, to: &str, mode| fs.rename(from.as_bytes(), &world.root, to.as_bytes(), mode);
    let replace = |from: &str, to: &str| rename(from, to, RenameMode::Replace);
    assert_eq!(replace("/a", "/a/b/x"), Err(VfsError::InvalidArgument));
    assert_eq!(replace("/a", "/a/b"), Err(VfsError::InvalidArgument));
    assert_eq!(replace("/a/b", "/a"), Err(VfsError::NotEmpty));
    assert_eq!(replace("/e", "/a"), Err(VfsError::NotEmpty));
    assert_eq!(replace("/e", "/f"), Err(VfsError::NotADirectory));
    assert_eq!(replace("/f", "/e"), Err(VfsError::IsADirectory));
    assert_eq!(replace("/f", "/x/"), Err(VfsError::NotADirectory));
    assert_eq!(replace("/f/", "/x"), Err(VfsError::NotADirectory));
    assert_eq!(replace("/x", "/y"), Err(VfsError::NotFound));
    assert_eq!(replace("/a/.", "/y"), Err(VfsError::Busy));
    assert_eq!(replace("/a", "/"), Err(VfsError::Busy));
    assert_eq!(rename("/f", "/e", RenameMode::NoReplace), Err(VfsError::Exists));
    assert_eq!(rename("/f", "/x", RenameMode::Exchange), Err(VfsError::NotFound));
    assert_eq!(rename("/a", "/a/b", RenameMode::Exchange), Err(VfsError::InvalidArgument));
    assert_eq!(replace("/a/b", "/e"), Ok(()), "an empty directory is replaced");
    assert_eq!((world.stat("/").unwrap().nlink, world.stat("/a").unwrap().nlink), (4, 2));
    assert_eq!(world.list("/e").unwrap(), ["c"]);
    assert_eq!(rename("/a/g", "/e/c", RenameMode::Exchange), Ok(()));
    assert_eq!(world.read("/e/c").unwrap(), b"g");
    assert_eq!((world.stat("/a").unwrap().nlink, world.stat("/e").unwrap().nlink), (3, 2));
    assert_eq!(replace("/f", "/e/c"), Ok(()));
    assert_eq!(world.read("/e/c").unwrap(), b"f");
    assert_eq!(world.list("/").unwrap(), ["a", "e"]);
}

#[test]
fn reading_a_directory_survives_changes() {
    let world = World::new();
    for number in 0..100 {
        world.write(&std::format!("/{number:03}"), b"").unwrap();
    }
    let directory = world.open("/", linux::O_DIRECTORY).unwrap();
    let mut buffer = [0; 400];
    let mut seen = std::vec::Vec::new();
    let mut turn = 0;
    loop {
        let used = directory.read_dir(&mut buffer).unwrap();
        if used == 0 {
            break;
        }
        seen.extend(names_in(&buffer[..used]));
        // What was shown goes, so that the directory is compacted; new names come.
        if let Some(last) = seen.last() {
            world.fs().unlink(last.as_bytes()).unwrap();
        }
        if turn < 20 {
            world.write(&std::format!("/new{turn}"), b"").unwrap();
        }
        turn += 1;
    }
    for number in 0..100 {
        let name = std::format!("{number:03}");
        assert_eq!(seen.iter().filter(|shown| **shown == name).count(), 1, "{name}");
    }
    assert_eq!(directory.read_dir(&mut [0; 10]), Ok(0));
    directory.seek(SeekFrom::Start(0)).unwrap();
    assert_eq!(directory.read_dir(&mut [0; 10]), Err(VfsError::InvalidArgument));
    assert!(directory.read_dir(&mut buffer).unwrap() > 0);
    assert_eq!(directory.read(&mut buffer), Err(VfsError::IsADirectory));
}

#[test]
fn executed_files_are_not_written() {
    let world = World::new();
    world.write("/p", b"\x7fELF").unwrap();
    let place = world.fs().resolve(b"/p", Follow::No).unwrap();
    assert_eq!(place.execute(&world.credentials).map(|_| ()), Err(VfsError::PermissionDenied));
    world.fs().set_mode(&place, 0o755).unwrap();
    let running = place.execute(&world.credentials).unwrap();
    let again = running.clone();
    drop(running);
    assert_eq!(world.open("/p", linux::O_WRONLY).map(|_| ()), Err(VfsError::TextBusy));
    assert_eq!(world.fs().truncate(&place, 0, u64::MAX), Err(VfsError::TextBusy));
    assert!(world.open("/p", linux::O_RDONLY).is_ok());
    drop(again);
    let writer = world.open("/p", linux::O_WRONLY).unwrap();
    assert_eq!(place.execute(&world.credentials).map(|_| ()), Err(VfsError::TextBusy));
    drop(writer);
    assert!(place.execute(&world.credentials).is_ok());
}

#[test]
fn temporary_files_can_get_a_name() {
    let world = World::new();
    let file = world.open("/", linux::O_TMPFILE | linux::O_RDWR).unwrap();
    file.write(b"t", &RULES).unwrap();
    assert_eq!(world.list("/").unwrap(), [""; 0]);
    assert_eq!(file.metadata().nlink, 0);
    world.fs().link(file.location().unwrap(), b"/named").unwrap();
    assert_eq!(world.read("/named").unwrap(), b"t");
    let hidden = world.open("/", linux::O_TMPFILE | linux::O_EXCL | linux::O_RDWR).unwrap();
    assert_eq!(world.fs().link(hidden.location().unwrap(), b"/x"), Err(VfsError::NotFound));
    drop((file, hidden));
    assert_eq!(world.list("/").unwrap(), ["named"]);
    assert_eq!(world.ramfs.used_inodes(), 2);
}

#[test]
fn deep_trees_are_dropped_without_recursion() {
    let world = World::new();
    let mut at = world.root.clone();
    for _ in 0..100_000 {
        let mut fs = world.fs();
        fs.base = &at;
        fs.mkdir(b"d", 0o755).unwrap();
        at = fs.resolve(b"d", Follow::Yes).unwrap();
    }
    drop(at);
    let ramfs = world.ramfs.clone();
    assert_eq!(ramfs.used_inodes(), 100_001);
    let World { ramfs: first, namespace, root, .. } = world;
    drop((first, namespace, root, ramfs));
}

#[test]
fn fifos_connect_their_openers() {
    let world = World::new();
    world.fs().mknod(b"/fifo", linux::S_IFIFO | 0o600, DeviceNumber::default()).unwrap();
    let nonblock = linux::O_WRONLY | linux::O_NONBLOCK;
    assert_eq!(world.open("/fifo", nonblock).map(|_| ()), Err(VfsError::NoDeviceOrAddress));
    let reader = world.fs().open(b"/fifo", linux::O_RDONLY, 0).unwrap();
    let waiting = reader.fifo.as_ref().unwrap();
    assert!(waiting.ready().is_none());
    let writer = world.fs().open(b"/fifo", linux::O_WRONLY, 0).unwrap();
    assert!(writer.fifo.is_none() && waiting.ready().is_some());
    writer.file.write(b"through", &RULES).unwrap();
    let mut out = [0; 16];
    assert_eq!(reader.file.read(&mut out), Ok(7));
    assert_eq!(reader.file.seek(SeekFrom::Start(0)), Err(VfsError::NotSeekable));
    assert_eq!(reader.file.metadata().kind, FileType::Fifo);
}

#[test]
fn times_follow_use() {
    let world = World::new();
    world.write("/f", b"abc").unwrap();
    let before = world.stat("/f").unwrap();
    world.read("/f").unwrap();
    let read = world.stat("/f").unwrap();
    assert!(read.atime > before.atime && read.mtime == before.mtime);
    world.read("/f").unwrap();
    assert_eq!(world.stat("/f").unwrap().atime, read.atime, "already newer than the last change");
    world.write("/f", b"abc").unwrap();
    let written = world.stat("/f").unwrap();
    assert!(written.mtime > read.mtime && written.ctime > read.ctime);
    let old = world.stat("/").unwrap();
    world.write("/g", b"").unwrap();
    assert!(world.stat("/").unwrap().mtime > old.mtime);
}

#[test]
fn mount_options_are_read() {
    use crate::ramfs::RamOptions;
    let parse = |text: &str| {
        RamOptions::new("tmpfs", DeviceNumber::default())
            .parse(text.as_bytes(), 1000 * 4096)
            .map(|options| (options.max_bytes, options.max_inodes, options.root_mode, options.root_uid.0))
    };
    assert_eq!(parse("size=64k,mode=1777,uid=5,nr_inodes=1k"), Ok((65_536, 1024, 0o1777, 5)));
    assert_eq!(parse("size=50%").map(|options| options.0), Ok(500 * 4096));
    assert_eq!(parse("nr_blocks=2").map(|options| options.0), Ok(8192));
    for bad in ["size=", "size=k", "mode=9", "foo", "size=99999999999999999999", "size=18446744073709551615t"] {
        assert_eq!(parse(bad), Err(VfsError::InvalidArgument), "{bad}");
    }
    assert_eq!(World::new().fs().resolve(b"/", Follow::No).unwrap().statfs().f_type.to_string(), "16914836");
}
