//! /proc over real processes.

use std::format;
use std::string::String;
use std::vec::Vec;

use abi::Errno;
use abi::linux::general as linux;

use crate::testing::World;

fn text(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes).unwrap()
}

#[test]
fn processes_are_listed_and_described() {
    let (_, init) = World::new();
    let child = init.fork();
    let pid = child.process.pid().0;
    let status = text(init.content(&format!("/proc/{pid}/status")));
    assert!(status.contains("Name:\tinit\n"), "{status}");
    assert!(status.contains(&format!("Pid:\t{pid}\n")) && status.contains("PPid:\t1\n"), "{status}");
    let stat = text(init.content("/proc/self/stat"));
    assert!(stat.starts_with("1 (init) "), "{stat}");
    assert_eq!(init.open("/proc/999/stat", linux::O_RDONLY), -i64::from(Errno::ENOENT.number()));
    for name in ["maps", "limits", "io", "cmdline", "mounts", "mountinfo", "statm", "comm", "cgroup", "environ"] {
        init.content(&format!("/proc/self/{name}"));
    }
}

#[test]
fn descriptors_can_be_followed() {
    let (_, init) = World::new();
    let fd = init.open("/tmp/a", linux::O_CREAT | linux::O_RDWR);
    init.write(fd, b"by number");
    let out = init.room(64);
    let length = init.call(linux::__NR_readlink, [init.path("/proc/self/fd/3"), out, 64]);
    assert_eq!(init.look(out, length as usize), b"/tmp/a");
    assert_eq!(init.content("/proc/self/fd/3"), b"by number");
    let (reader, writer) = init.pipe();
    let length = init.call(linux::__NR_readlink, [init.path(&format!("/proc/self/fd/{reader}")), out, 64]);
    assert!(init.look(out, length as usize).starts_with(b"pipe:["));
    let again = init.open(&format!("/proc/self/fd/{writer}"), linux::O_WRONLY);
    assert!(again > 0, "{again}");
    assert_eq!(init.write(again, b"x"), 1);
    assert_eq!(init.read(reader, 9).unwrap(), b"x");
}

#[test]
fn the_system_is_described() {
    let (_, init) = World::new();
    let memory = text(init.content("/proc/meminfo"));
    assert!(memory.contains("MemTotal:") && memory.contains("MemAvailable:"), "{memory}");
    let mounts = text(init.content("/proc/mounts"));
    assert!(mounts.contains("proc /proc proc ") && mounts.contains("devtmpfs /dev devtmpfs "), "{mounts}");
    assert!(text(init.content("/proc/version")).starts_with("Linux version "));
    assert_eq!(init.content("/proc/cmdline"), b"quiet\n");
    assert_eq!(init.content("/proc/multios/kernel"), b"kernel 7\n");
    for name in ["uptime", "loadavg", "stat", "cpuinfo", "filesystems", "multios/missing", "multios/counts"] {
        assert!(init.open(&format!("/proc/{name}"), linux::O_RDONLY) > 0, "{name}");
        init.content(&format!("/proc/{name}"));
    }
    let name = init.open("/proc/sys/kernel/hostname", linux::O_WRONLY);
    assert_eq!(init.write(name, b"box\n"), 4);
    assert_eq!(init.content("/proc/sys/kernel/hostname"), b"box\n");
}
