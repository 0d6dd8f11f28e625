//! Opening, names, attributes, directories, places.

use std::format;
use std::string::String;
use std::vec;
use std::vec::Vec;

use abi::linux::general as linux;
use abi::{Errno, Stat, Statx, Timespec};

use crate::testing::{WAITS, World};

const fn failed(errno: Errno) -> i64 {
    -(errno.number() as i64)
}

#[test]
fn what_is_written_can_be_read_back() {
    let (_, init) = World::new();
    let fd = init.open("/tmp/a", linux::O_CREAT | linux::O_RDWR);
    assert_eq!(fd, 3);
    assert_eq!(init.write(fd, b"hello world"), 11);
    assert_eq!(init.call(linux::__NR_lseek, [3, 6, linux::SEEK_SET.into()]), 6);
    assert_eq!(init.read(fd, 100).unwrap(), b"world");
    assert_eq!(init.read(fd, 100).unwrap(), b"");
    assert_eq!(init.call(linux::__NR_close, [3]), 0);
    assert_eq!(init.call(linux::__NR_close, [3]), failed(Errno::EBADF));
    assert_eq!(init.content("/tmp/a"), b"hello world");
}

#[test]
fn open_reports_the_errors_of_linux() {
    let (_, init) = World::new();
    assert_eq!(init.open("/tmp/none", linux::O_RDONLY), failed(Errno::ENOENT));
    assert_eq!(init.open("", linux::O_RDONLY), failed(Errno::ENOENT));
    assert_eq!(init.open("/tmp", linux::O_WRONLY), failed(Errno::EISDIR));
    assert_eq!(init.open("/dev/null/x", linux::O_RDONLY), failed(Errno::ENOTDIR));
    assert_eq!(init.open("/dev/null", linux::O_RDONLY | linux::O_DIRECTORY), failed(Errno::ENOTDIR));
    let fd = init.open("/tmp/a", linux::O_CREAT | linux::O_EXCL | linux::O_WRONLY);
    assert_eq!(fd, 3);
    assert_eq!(init.open("/tmp/a", linux::O_CREAT | linux::O_EXCL | linux::O_WRONLY), failed(Errno::EEXIST));
    assert_eq!(init.read(fd, 1), Err(failed(Errno::EBADF)));
    let long = "x".repeat(300);
    assert_eq!(init.open(&format!("/tmp/{long}"), linux::O_RDONLY), failed(Errno::ENAMETOOLONG));
    assert_eq!(init.open(&"/x".repeat(2100), linux::O_RDONLY), failed(Errno::ENAMETOOLONG));
    let bad = init.call(linux::__NR_openat, [77, init.path("a"), 0, 0]);
    assert_eq!(bad, failed(Errno::EBADF));
    let absolute = init.call(linux::__NR_openat, [77, init.path("/tmp/a"), 0, 0]);
    assert_eq!(absolute, 4, "an absolute path does not look at the descriptor");
}

#[test]
fn an_open_that_fails_takes_no_number() {
    let (_, init) = World::new();
    assert!(init.open("/tmp/none", linux::O_RDONLY) < 0);
    assert_eq!(init.open("/dev/null", linux::O_RDONLY), 3);
    let limit = [0_u64, 0].map(|_| 4_u64);
    let address = init.bytes(&[limit[0].to_le_bytes(), limit[1].to_le_bytes()].concat());
    assert_eq!(init.call(linux::__NR_setrlimit, [linux::RLIMIT_NOFILE.into(), address]), 0);
    assert_eq!(init.open("/tmp/new", linux::O_CREAT | linux::O_RDWR), failed(Errno::EMFILE));
    assert_eq!(init.open("/tmp/new", linux::O_RDWR), failed(Errno::EMFILE));
    assert_eq!(init.call(linux::__NR_close, [3]), 0);
    assert_eq!(init.open("/tmp/new", linux::O_RDWR), failed(Errno::ENOENT), "nothing was made");
}

#[test]
fn openat2_refuses_what_it_does_not_know() {
    let (_, init) = World::new();
    let path = init.path("/tmp");
    let how = |flags: u64, mode: u64, resolve: u64| {
        init.bytes(&[flags.to_le_bytes(), mode.to_le_bytes(), resolve.to_le_bytes()].concat())
    };
    let cwd = linux::AT_FDCWD as i64 as u64;
    assert_eq!(init.call(linux::__NR_openat2, [cwd, path, how(0, 0, 0), 24]), 3);
    assert_eq!(init.call(linux::__NR_openat2, [cwd, path, how(0, 0, 0), 23]), failed(Errno::EINVAL));
    assert_eq!(init.call(linux::__NR_openat2, [cwd, path, how(1 << 40, 0, 0), 24]), failed(Errno::EINVAL));
    assert_eq!(init.call(linux::__NR_openat2, [cwd, path, how(0, 0o644, 0), 24]), failed(Errno::EINVAL));
    assert_eq!(init.call(linux::__NR_openat2, [cwd, path, how(0, 0, 1 << 20), 24]), failed(Errno::EINVAL));
}

#[test]
fn stat_follows_links_and_lstat_does_not() {
    let (_, init) = World::new();
    init.write(init.open("/tmp/a", linux::O_CREAT | linux::O_RDWR), b"12345");
    assert_eq!(init.call(linux::__NR_symlink, [init.path("a"), init.path("/tmp/link")]), 0);
    let out = init.room(144);
    assert_eq!(init.call(linux::__NR_stat, [init.path("/tmp/link"), out]), 0);
    let stat: Stat = init.get(out);
    assert_eq!((stat.st_size, stat.st_mode), (5, linux::S_IFREG | 0o644));
    assert_eq!(init.call(linux::__NR_lstat, [init.path("/tmp/link"), out]), 0);
    let stat: Stat = init.get(out);
    assert_eq!((stat.st_size, stat.st_mode), (1, linux::S_IFLNK | 0o777));
    assert_eq!(init.call(linux::__NR_readlink, [init.path("/tmp/link"), out, 100]), 1);
    assert_eq!(init.look(out, 1), b"a");
    assert_eq!(init.call(linux::__NR_readlink, [init.path("/tmp/a"), out, 100]), failed(Errno::EINVAL));
    assert_eq!(init.call(linux::__NR_readlink, [init.path("/tmp/link"), out, 0]), failed(Errno::EINVAL));
}

#[test]
fn statx_and_empty_paths_see_open_files() {
    let (_, init) = World::new();
    let fd = init.open("/tmp/a", linux::O_CREAT | linux::O_RDWR) as u64;
    init.write(fd as i64, b"123");
    let out = init.room(256);
    let empty = init.path("");
    let flags = u64::from(linux::AT_EMPTY_PATH);
    assert_eq!(init.call(linux::__NR_statx, [fd, empty, flags, linux::STATX_BASIC_STATS.into(), out]), 0);
    assert_eq!(init.get::<Statx>(out).stx_size, 3);
    assert_eq!(init.call(linux::__NR_newfstatat, [fd, empty, out, flags]), 0);
    assert_eq!(init.get::<Stat>(out).st_size, 3);
    assert_eq!(init.call(linux::__NR_newfstatat, [fd, empty, out, 0]), failed(Errno::ENOENT));
    assert_eq!(init.call(linux::__NR_newfstatat, [fd, empty, out, 1 << 20]), failed(Errno::EINVAL));
    let (reader, _) = init.pipe();
    assert_eq!(init.call(linux::__NR_fstat, [reader as u64, out]), 0);
    assert_eq!(init.get::<Stat>(out).st_mode & linux::S_IFMT, linux::S_IFIFO);
}

#[test]
fn access_asks_about_the_real_user() {
    let (_, init) = World::new();
    init.open("/tmp/secret", linux::O_CREAT | linux::O_RDWR);
    assert_eq!(init.call(linux::__NR_chmod, [init.path("/tmp/secret"), 0o600]), 0);
    assert_eq!(init.call(linux::__NR_access, [init.path("/tmp/secret"), 4]), 0);
    assert_eq!(init.call(linux::__NR_access, [init.path("/tmp/secret"), 1]), failed(Errno::EACCES));
    assert_eq!(init.call(linux::__NR_access, [init.path("/tmp/secret"), 8]), failed(Errno::EINVAL));
    assert_eq!(init.call(linux::__NR_access, [init.path("/tmp/none"), 0]), failed(Errno::ENOENT));
    let child = init.fork();
    assert_eq!(child.call(linux::__NR_setresuid, [1000, u64::MAX, u64::MAX]), 0);
    assert_eq!(child.call(linux::__NR_access, [child.path("/tmp/secret"), 4]), failed(Errno::EACCES));
    let cwd = linux::AT_FDCWD as i64 as u64;
    let effective = [cwd, child.path("/tmp/secret"), 4, linux::AT_EACCESS.into()];
    assert_eq!(child.call(linux::__NR_faccessat2, effective), 0);
    assert_eq!(child.call(linux::__NR_setresuid, [1000, 1000, 1000]), 0);
    assert_eq!(child.open("/tmp/secret", linux::O_RDONLY), failed(Errno::EACCES));
}

#[test]
fn names_come_and_go() {
    let (_, init) = World::new();
    let p = |text| init.path(text);
    assert_eq!(init.call(linux::__NR_mkdir, [p("/tmp/d"), 0o777]), 0);
    assert_eq!(init.call(linux::__NR_mkdir, [p("/tmp/d"), 0o777]), failed(Errno::EEXIST));
    init.open("/tmp/d/f", linux::O_CREAT | linux::O_RDWR);
    assert_eq!(init.call(linux::__NR_rmdir, [p("/tmp/d")]), failed(Errno::ENOTEMPTY));
    assert_eq!(init.call(linux::__NR_link, [p("/tmp/d/f"), p("/tmp/g")]), 0);
    assert_eq!(init.call(linux::__NR_link, [p("/tmp/d"), p("/tmp/h")]), failed(Errno::EPERM));
    assert_eq!(init.call(linux::__NR_rename, [p("/tmp/g"), p("/tmp/d/f2")]), 0);
    assert_eq!(init.call(linux::__NR_unlink, [p("/tmp/d/f")]), 0);
    assert_eq!(init.call(linux::__NR_unlink, [p("/tmp/d")]), failed(Errno::EISDIR));
    let cwd = linux::AT_FDCWD as i64 as u64;
    let no_replace = [cwd, p("/tmp/d/f2"), cwd, p("/tmp/d"), linux::RENAME_NOREPLACE.into()];
    assert_eq!(init.call(linux::__NR_renameat2, no_replace), failed(Errno::EEXIST));
    assert_eq!(init.call(linux::__NR_renameat2, [cwd, p("/tmp/d"), cwd, p("/tmp/e"), 99]), failed(Errno::EINVAL));
    assert_eq!(init.call(linux::__NR_unlinkat, [cwd, p("/tmp/d/f2"), 0]), 0);
    assert_eq!(init.call(linux::__NR_unlinkat, [cwd, p("/tmp/d"), linux::AT_REMOVEDIR.into()]), 0);
    assert_eq!(init.call(linux::__NR_rmdir, [p("/tmp/d")]), failed(Errno::ENOENT));
}

#[test]
fn directories_are_listed() {
    let (_, init) = World::new();
    for name in ["/tmp/one", "/tmp/two"] {
        init.open(name, linux::O_CREAT | linux::O_RDWR);
    }
    let fd = init.open("/tmp", linux::O_RDONLY | linux::O_DIRECTORY) as u64;
    let out = init.room(4096);
    let used = init.call(linux::__NR_getdents64, [fd, out, 4096]) as usize;
    let bytes = init.look(out, used);
    let mut names = Vec::new();
    let mut at = 0;
    while at < used {
        let length = usize::from(u16::from_le_bytes([bytes[at + 16], bytes[at + 17]]));
        let name: Vec<u8> = bytes[at + 19..at + length].iter().copied().take_while(|byte| *byte != 0).collect();
        names.push(String::from_utf8(name).unwrap());
        at += length;
    }
    names.sort();
    assert_eq!(names, [".", "..", "one", "two"]);
    assert_eq!(init.call(linux::__NR_getdents64, [fd, out, 4096]), 0);
    assert_eq!(init.call(linux::__NR_lseek, [fd, 0, 0]), 0);
    assert_eq!(init.call(linux::__NR_getdents64, [fd, out, 8]), failed(Errno::EINVAL));
    let old = init.call(linux::__NR_getdents, [fd, out, 4096]) as usize;
    let bytes = init.look(out, old);
    assert_eq!((&bytes[18..20], bytes[23]), (b".\0".as_slice(), 4), "name, then the type at the end of the record");
    assert_eq!(init.call(linux::__NR_getdents64, [0, out, 4096]), failed(Errno::ENOTDIR));
}

#[test]
fn the_working_directory_is_where_relative_paths_start() {
    let (_, init) = World::new();
    assert_eq!(init.call(linux::__NR_mkdir, [init.path("/tmp/d"), 0o777]), 0);
    assert_eq!(init.call(linux::__NR_chdir, [init.path("/tmp/d")]), 0);
    let out = init.room(100);
    assert_eq!(init.call(linux::__NR_getcwd, [out, 100]), 7);
    assert_eq!(init.look(out, 7), b"/tmp/d\0");
    assert_eq!(init.call(linux::__NR_getcwd, [out, 6]), failed(Errno::ERANGE));
    assert_eq!(init.call(linux::__NR_umask, [0o077]), 0o022);
    init.open("f", linux::O_CREAT | linux::O_RDWR);
    let stat = init.room(144);
    assert_eq!(init.call(linux::__NR_stat, [init.path("/tmp/d/f"), stat]), 0);
    assert_eq!(init.get::<Stat>(stat).st_mode & 0o777, 0o600);
    assert_eq!(init.call(linux::__NR_chdir, [init.path("/dev/null")]), failed(Errno::ENOTDIR));
    let up = init.open("..", linux::O_RDONLY) as u64;
    assert_eq!(init.call(linux::__NR_fchdir, [up]), 0);
    assert_eq!(init.call(linux::__NR_getcwd, [out, 100]), 5);
    assert_eq!(init.call(linux::__NR_chroot, [init.path("/tmp")]), 0);
    assert_eq!(init.call(linux::__NR_getcwd, [out, 100]), 2);
    assert!(init.open("/d/f", linux::O_RDONLY) > 0);
}

#[test]
fn times_and_owners_change() {
    let (_, init) = World::new();
    init.open("/tmp/a", linux::O_CREAT | linux::O_RDWR);
    let path = init.path("/tmp/a");
    let stat = init.room(144);
    let times = init.value(&Timespec { tv_sec: 5, tv_nsec: 7 });
    init.value(&Timespec { tv_sec: 0, tv_nsec: i64::from(linux::UTIME_OMIT) });
    let cwd = linux::AT_FDCWD as i64 as u64;
    assert_eq!(init.call(linux::__NR_utimensat, [cwd, path, times, 0]), 0);
    assert_eq!(init.call(linux::__NR_stat, [path, stat]), 0);
    let seen: Stat = init.get(stat);
    assert_eq!((seen.st_atime.tv_sec, seen.st_atime.tv_nsec, seen.st_mtime.tv_sec), (5, 7, 1_700_000_001));
    let bad = init.value(&Timespec { tv_sec: 5, tv_nsec: 1_000_000_000 });
    init.value(&Timespec { tv_sec: 5, tv_nsec: 0 });
    assert_eq!(init.call(linux::__NR_utimensat, [cwd, path, bad, 0]), failed(Errno::EINVAL));
    assert_eq!(init.call(linux::__NR_chown, [path, 7, u64::MAX]), 0);
    assert_eq!(init.call(linux::__NR_stat, [path, stat]), 0);
    let seen: Stat = init.get(stat);
    assert_eq!((seen.st_uid, seen.st_gid), (7, 0));
    assert_eq!(init.call(linux::__NR_truncate, [path, 10]), 0);
    assert_eq!(init.call(linux::__NR_truncate, [path, u64::MAX]), failed(Errno::EINVAL));
    assert_eq!(init.call(linux::__NR_getxattr, [path, init.path("user.x"), 0, 0]), failed(Errno::EOPNOTSUPP));
    assert_eq!(init.call(linux::__NR_listxattr, [path, 0, 0]), 0);
}

#[test]
fn file_systems_are_mounted_and_taken_away() {
    let (_, init) = World::new();
    let p = |text| init.path(text);
    assert_eq!(init.call(linux::__NR_mkdir, [p("/mnt"), 0o755]), 0);
    let tmpfs = [p("none"), p("/mnt"), p("tmpfs"), 0, p("size=64k,mode=700")];
    assert_eq!(init.call(linux::__NR_mount, tmpfs), 0);
    let fd = init.open("/mnt/big", linux::O_CREAT | linux::O_RDWR);
    let chunk = vec![7; 60_000];
    assert_eq!(init.write(fd, &chunk), 60_000);
    assert_eq!(init.write(fd, &chunk), 65_536 - 60_000);
    assert_eq!(init.write(fd, b"x"), failed(Errno::ENOSPC));
    assert_eq!(init.call(linux::__NR_umount2, [p("/mnt"), 0]), failed(Errno::EBUSY));
    assert_eq!(init.call(linux::__NR_close, [fd as u64]), 0);
    assert_eq!(init.call(linux::__NR_umount2, [p("/mnt"), 0]), 0);
    assert_eq!(init.call(linux::__NR_umount2, [p("/mnt"), 0]), failed(Errno::EINVAL));
    assert_eq!(init.call(linux::__NR_mount, [0, p("/mnt"), p("ext4"), 0, 0]), failed(Errno::ENODEV));
    assert_eq!(init.call(linux::__NR_mount, [p("/tmp"), p("/mnt"), 0, linux::MS_BIND.into(), 0]), 0);
    init.open("/tmp/seen", linux::O_CREAT | linux::O_RDWR);
    assert!(init.open("/mnt/seen", linux::O_RDONLY) > 0);
    assert_eq!(init.call(linux::__NR_mount, [p("s"), p("/mnt"), p("sysfs"), 0, 0]), 0);
    assert_eq!(init.content("/mnt/devices/system/cpu/online"), b"0\n");
    let child = init.fork();
    assert_eq!(child.call(linux::__NR_setresuid, [1000, 1000, 1000]), 0);
    assert_eq!(child.call(linux::__NR_mount, [0, child.path("/mnt"), child.path("tmpfs"), 0, 0]), failed(Errno::EPERM));
}

#[test]
fn a_fifo_is_open_when_both_ends_are() {
    let (_, init) = World::new();
    assert_eq!(init.call(linux::__NR_mknod, [init.path("/tmp/fifo"), (linux::S_IFIFO | 0o600).into(), 0]), 0);
    assert_eq!(init.open("/tmp/fifo", linux::O_WRONLY | linux::O_NONBLOCK), failed(Errno::ENXIO));
    assert_eq!(init.open("/tmp/fifo", linux::O_RDONLY), WAITS);
    let other = init.fork();
    let mut reading = init.start(linux::__NR_open, [init.path("/tmp/fifo"), 0, 0]);
    reading.waits();
    let writer = other.open("/tmp/fifo", linux::O_WRONLY);
    assert_eq!(writer, 3);
    let reader = reading.finish();
    assert_eq!(reader, 3);
    assert_eq!(other.write(writer, b"through"), 7);
    assert_eq!(init.read(reader, 100).unwrap(), b"through");
}

#[test]
fn memory_files_have_no_name_and_can_be_sealed() {
    let (_, init) = World::new();
    let fd = init.call(linux::__NR_memfd_create, [init.path("m"), linux::MFD_ALLOW_SEALING.into()]);
    assert_eq!(fd, 3);
    assert_eq!(init.write(fd, b"abc"), 3);
    let seal = u64::from(linux::F_SEAL_WRITE);
    assert_eq!(init.call(linux::__NR_fcntl, [3, linux::F_ADD_SEALS.into(), seal]), 0);
    assert_eq!(init.write(fd, b"x"), failed(Errno::EPERM));
    assert_eq!(init.call(linux::__NR_memfd_create, [init.path("m"), 1 << 30]), failed(Errno::EINVAL));
}
