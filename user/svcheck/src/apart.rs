//! Services that are kept apart: what they see from inside, and that no way leads out.

use std::ffi::CString;
use std::fs::{self, File};
use std::os::fd::AsRawFd;

use services::wire::{Reply, Request, Verb};
use services::{Isolation, State};
use types::{Gid, Uid};

use crate::control::{Control, name, service, survivors, wait};
use crate::{expect, expect_eq};

const SECRET: &str = "/tmp/svcheck-outside/secret";
const KEY: libc::key_t = 0x7376_6331;

fn views() -> String {
    let link = |kind| fs::read_link(format!("/proc/self/ns/{kind}")).unwrap_or_default();
    ["mnt", "uts", "ipc"].map(|kind| link(kind).to_string_lossy().into_owned()).join(" ")
}

fn mount(at: &str) -> bool {
    let _ = fs::create_dir(at);
    let path = CString::new(at).unwrap_or_default();
    // SAFETY: strings that end with NUL, and no data.
    unsafe { libc::mount(c"tmpfs".as_ptr(), path.as_ptr(), c"tmpfs".as_ptr(), 0, std::ptr::null()) == 0 }
}

fn done(result: i64) -> String {
    if result >= 0 {
        return "done".into();
    }
    std::io::Error::last_os_error().raw_os_error().map_or_else(String::new, |error| format!("{error}"))
}

/// Says what it finds inside, a line for each; then waits.
pub(crate) fn look_around() {
    let env = |name: &str| std::env::var(name).unwrap_or_default();
    let outer: i32 = env("OUTER").parse().unwrap_or(0);
    println!("views {}", views());
    // SAFETY: plain numbers and strings that end with NUL; the children only make system calls.
    unsafe {
        println!("rights {} {}", libc::prctl(libc::PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0), libc::prctl(libc::PR_GET_SECCOMP));
        println!(
            "user {} {} {}",
            libc::getuid(),
            libc::getgid(),
            std::env::current_dir().unwrap_or_default().display()
        );
        let mut files = std::mem::zeroed::<libc::rlimit>();
        libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut files);
        println!("files {}", files.rlim_cur);
        println!("env {} {}", env("COLOUR"), env("SVC_NAME"));
        println!("host {}", done(libc::sethostname(c"inside".as_ptr(), 6).into()));
        println!("ipc {}", done(libc::semget(KEY, 1, 0).into()));
        println!("mount {}", mount("/tmp/svcheck-inside") && fs::write("/tmp/svcheck-inside/file", "x").is_ok());
        // Over the walls: by file, by descriptor of a process, by way of its directories, memory and descriptors.
        for kind in ["mnt", "uts", "ipc", "pid"] {
            let entered = match File::open(format!("/proc/{outer}/ns/{kind}")) {
                Ok(file) => done(libc::setns(file.as_raw_fd(), 0).into()),
                Err(_) => "hidden".into(),
            };
            println!("enter {kind} {entered}");
        }
        let process = libc::syscall(libc::SYS_pidfd_open, outer, 0);
        let all = libc::CLONE_NEWNS | libc::CLONE_NEWUTS | libc::CLONE_NEWIPC;
        println!(
            "enter all {}",
            if process < 0 { "hidden".into() } else { done(libc::setns(process as i32, all).into()) }
        );
        let taken = libc::syscall(libc::SYS_pidfd_getfd, process, 0, 0);
        println!("take {}", if taken >= 0 { "done" } else { "refused" });
        println!("secret {}", fs::read(format!("/proc/{outer}/root{SECRET}")).is_ok());
        println!("directly {}", fs::read(SECRET).is_ok());
        println!(
            "memory {}",
            fs::read(format!("/proc/{outer}/mem")).is_ok() || File::open(format!("/proc/{outer}/environ")).is_ok()
        );
        // The first child is number 1 among its numbers, where it is kept apart; all others come from it.
        let child = libc::fork();
        if child == 0 {
            let found = libc::kill(outer, 0) == 0;
            println!("child {} {}", libc::getpid(), i32::from(found));
            // Out by a view of its own, and back to where others are.
            let grandchild = libc::fork();
            if grandchild == 0 {
                let split = libc::unshare(libc::CLONE_NEWNS);
                let out = File::open("/proc/1/ns/mnt").map_or(-1, |file| libc::setns(file.as_raw_fd(), 0));
                libc::_exit(i32::from(split == 0 && out == 0 && fs::read(SECRET).is_ok()));
            }
            let mut status = -1;
            libc::waitpid(grandchild, &raw mut status, 0);
            println!("by unshare {status}");
            let outer = outer.to_string();
            let words = ["nsenter", "-t", &outer, "-m", "/bin/busybox", "cat", SECRET];
            let output = std::process::Command::new("/bin/busybox").args(words).output();
            println!(
                "by nsenter {}",
                output.map_or_else(|error| error.to_string(), |one| one.status.success().to_string())
            );
            libc::_exit(0);
        }
        libc::waitpid(child, std::ptr::null_mut(), 0);
    }
    println!("still {}", views());
}

pub(crate) fn apart() {
    let mut control = Control::open().expect("/dev/svc");
    // Mounts of one's own from here on: what is made in them only this process's view has.
    expect("a place that is not inside", outside());
    let own = std::process::id();
    let made = |called: &str, level| {
        let mut made = service(called, &["look"]);
        made.security.isolation = level;
        (made.user, made.group, made.directory) = (Uid::ROOT, Gid(34), "/etc".into());
        made.limits.files = Some(64);
        made.env.push(("COLOUR".into(), "blue".into()));
        made.env.push(("OUTER".into(), own.to_string()));
        made
    };
    let mut bound = made("bound", Isolation::Process);
    bound.security.no_new_privileges = true;
    (bound.user, bound.group) = (Uid(33), Gid(34));
    let mut container = made("container", Isolation::Container);
    let refused = control.load(vec![container.clone()]);
    expect("a container that may gain privileges is refused", matches!(refused, Reply::Mistakes(_)));
    container.security.no_new_privileges = true;
    control.load(vec![bound, made("namespace", Isolation::Namespace), container]);
    let outer = fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let outside_views = views_of_first();
    for called in ["bound", "namespace", "container"] {
        control.verb(Verb::Start, called);
        expect(&format!("{called} runs"), control.reaches(called, State::Running));
        let says = |control: &mut Control| match control.ask(&Request::Log { name: name(called), from: 0 }) {
            Reply::Log(part) => String::from_utf8_lossy(&part.bytes).into_owned(),
            _ => String::new(),
        };
        wait(20, || says(&mut control).contains("still "));
        let text = says(&mut control);
        let line = |word: &str| {
            text.lines().find_map(|line| line.strip_prefix(&format!("{word} "))).unwrap_or_default().to_owned()
        };
        let apart = called != "bound";
        let contained = called == "container";
        let check = |what: &str, is: String, wished: &str| expect_eq(&format!("{called}: {what}"), is, wished.into());
        check("files", line("files"), "64");
        check("environment", line("env"), &format!("blue {called}"));
        check("user, group and directory", line("user"), if apart { "0 34 /etc" } else { "33 34 /etc" });
        check(
            "privileges and filter",
            line("rights"),
            if contained {
                "1 2"
            } else if apart {
                "0 0"
            } else {
                "1 0"
            },
        );
        let seen: Vec<String> = line("views").split(' ').map(String::from).collect();
        let different = seen.iter().zip(&outside_views).filter(|(inside, outside)| inside != outside).count();
        expect_eq(&format!("{called}: views of its own"), different, if apart { 3 } else { 0 });
        check("and it stays in them", line("still"), &line("views"));
        check("a secret mount is not there", line("directly"), "false");
        for way in ["secret", "by nsenter", "memory"] {
            check(&format!("no way out: {way}"), line(way), "false");
        }
        check("no way out: by unshare", line("by unshare"), "0");
        for kind in ["mnt", "uts", "ipc", "pid", "all"] {
            let entered = line(&format!("enter {kind}"));
            expect(&format!("{called}: no way out: setns {kind}"), entered == "hidden" || entered == "1");
        }
        check("no descriptor of others", line("take"), "refused");
        if apart {
            check("its host name", line("host"), "done");
            check("IPC of its own", line("ipc"), &format!("{}", libc::ENOENT));
            check("its mounts", line("mount"), "true");
            check("its child is number 1 and finds nobody", line("child"), "1 0");
        }
        expect(&format!("{called}: nothing of it shows"), fs::metadata("/tmp/svcheck-inside/file").is_err());
        expect_eq(
            &format!("{called}: nor its host name"),
            fs::read_to_string("/proc/sys/kernel/hostname").ok(),
            Some(outer.clone()),
        );
    }
    control.clear();
    expect_eq("nobody is left", survivors(), 0);
}

fn views_of_first() -> Vec<String> {
    let link = |kind| fs::read_link(format!("/proc/1/ns/{kind}")).unwrap_or_default();
    ["mnt", "uts", "ipc"].iter().map(|kind| link(kind).to_string_lossy().into_owned()).collect()
}

/// A file in a mount that only this process has, and an IPC object that is there for all outside.
fn outside() -> bool {
    // SAFETY: plain numbers.
    let split = unsafe {
        libc::semget(KEY, 1, libc::IPC_CREAT | 0o600);
        libc::unshare(libc::CLONE_NEWNS) == 0
    };
    split && mount("/tmp/svcheck-outside") && fs::write(SECRET, "secret").is_ok()
}
