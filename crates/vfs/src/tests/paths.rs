//! Walking paths.

use std::string::String;
use std::vec::Vec;

use super::World;
use crate::{Follow, Location, VfsError};

fn path_of(world: &World, place: &Location) -> String {
    String::from_utf8(place.display_path(&world.namespace, &world.root).unwrap()).unwrap()
}

#[test]
fn dots_slashes_and_links_lead_where_they_should() {
    let world = World::new();
    let fs = world.fs();
    fs.mkdir(b"/a", 0o755).unwrap();
    fs.mkdir(b"/a/b", 0o755).unwrap();
    world.write("/a/b/f", b"").unwrap();
    fs.symlink(b"a/b", b"/rel").unwrap();
    fs.symlink(b"/a", b"/a/b/abs").unwrap();
    fs.symlink(b"../f", b"/a/b/up").unwrap();
    fs.symlink(b"rel/", b"/slash").unwrap();
    for (path, expected) in [
        ("/", "/"),
        ("//", "/"),
        ("/..", "/"),
        ("/../../a/./b/..", "/a"),
        ("a//b///", "/a/b"),
        ("/rel", "/a/b"),
        ("/rel/", "/a/b"),
        ("/rel/..", "/a"),
        ("/rel/abs/b/abs", "/a"),
        ("/slash", "/a/b"),
        ("/slash/f", "/a/b/f"),
    ] {
        let place = fs.resolve(path.as_bytes(), Follow::Yes);
        assert_eq!(place.map(|place| path_of(&world, &place)).as_deref(), Ok(expected), "{path}");
    }
    for (path, error) in [
        ("", VfsError::NotFound),
        ("/x", VfsError::NotFound),
        ("/a/x/y", VfsError::NotFound),
        ("/a/b/f/", VfsError::NotADirectory),
        ("/a/b/f/x", VfsError::NotADirectory),
        ("/a/b/f/..", VfsError::NotADirectory),
        ("/a/b/up", VfsError::NotFound),
    ] {
        assert_eq!(fs.resolve(path.as_bytes(), Follow::Yes), Err(error), "{path}");
    }
    assert_eq!(fs.resolve(b"/rel", Follow::No).unwrap().metadata().size, 3);
    let linked = fs.resolve(b"/rel", Follow::No).unwrap();
    assert_eq!(fs.read_link(&linked).unwrap(), b"a/b");
    assert_eq!(fs.read_link(&world.root), Err(VfsError::InvalidArgument));
}

#[test]
fn forty_links_are_followed_and_no_more() {
    let world = World::new();
    let fs = world.fs();
    world.write("/l0", b"").unwrap();
    for number in 1..=41 {
        let (target, name) = (std::format!("l{}", number - 1), std::format!("/l{number}"));
        fs.symlink(target.as_bytes(), name.as_bytes()).unwrap();
    }
    assert!(fs.resolve(b"/l40", Follow::Yes).is_ok());
    assert_eq!(fs.resolve(b"/l41", Follow::Yes), Err(VfsError::SymlinkLoop));
    fs.symlink(b"loop", b"/loop").unwrap();
    assert_eq!(fs.resolve(b"/loop", Follow::Yes), Err(VfsError::SymlinkLoop));
    assert_eq!(fs.resolve(b"/loop/x", Follow::No), Err(VfsError::SymlinkLoop));
    assert!(fs.resolve(b"/loop", Follow::No).is_ok());
    assert_eq!(world.open("/loop", abi::linux::general::O_CREAT).map(|_| ()), Err(VfsError::SymlinkLoop));
    fs.symlink(b"bomb/bomb", b"/bomb").unwrap();
    assert_eq!(fs.resolve(b"/bomb", Follow::Yes), Err(VfsError::SymlinkLoop));
}

#[test]
fn long_names_and_paths_are_refused() {
    let world = World::new();
    let fs = world.fs();
    let name: Vec<u8> = std::iter::repeat_n(b'n', 255).collect();
    assert_eq!(fs.mkdir(&name, 0o755), Ok(()));
    assert!(fs.resolve(&name, Follow::Yes).is_ok());
    let long: Vec<u8> = std::iter::repeat_n(b'n', 256).collect();
    assert_eq!(fs.mkdir(&long, 0o755), Err(VfsError::NameTooLong));
    assert_eq!(fs.resolve(&long, Follow::Yes), Err(VfsError::NameTooLong));
    let slashes: Vec<u8> = std::iter::repeat_n(b'/', 4095).collect();
    assert!(fs.resolve(&slashes, Follow::Yes).is_ok());
    let slashes: Vec<u8> = std::iter::repeat_n(b'/', 4096).collect();
    assert_eq!(fs.resolve(&slashes, Follow::Yes), Err(VfsError::NameTooLong));
    assert_eq!(fs.symlink(&slashes, b"/s"), Err(VfsError::NameTooLong));
}

#[test]
fn a_changed_root_cannot_be_left() {
    let world = World::new();
    world.fs().mkdir(b"/jail", 0o755).unwrap();
    world.fs().mkdir(b"/jail/etc", 0o755).unwrap();
    world.fs().symlink(b"/etc", b"/jail/link").unwrap();
    world.write("/secret", b"").unwrap();
    let jail = world.fs().resolve_working_directory(b"/jail").unwrap();
    let mut fs = world.fs();
    fs.root = &jail;
    fs.base = &jail;
    assert_eq!(fs.resolve(b"..", Follow::Yes).unwrap(), jail);
    assert_eq!(fs.resolve(b"/../secret", Follow::Yes), Err(VfsError::NotFound));
    let etc = fs.resolve(b"link", Follow::Yes).unwrap();
    assert_eq!(etc.working_directory(&world.namespace, &jail).unwrap(), b"/etc");
    assert_eq!(world.root.working_directory(&world.namespace, &jail).unwrap(), b"(unreachable)/");
}
