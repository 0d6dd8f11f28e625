//! What takes how long. The lines that begin with `figure` are read by `cargo xtask bench services`: a name and nanoseconds.

use std::time::{Duration, Instant};

use services::wire::{Power, Reply, Request, Verb};
use services::{Readiness, RestartPolicy, State};
use types::Nanos;

use crate::behave::notify;
use crate::control::{Control, many_instances, service, survivors, wait};
use crate::{expect, expect_eq};

fn figure(name: &str, time: Duration) {
    println!("figure {name} {}", time.as_nanos());
}

/// 1,024 instances start and stop.
pub(crate) fn many() {
    let mut control = Control::open().expect("/dev/svc");
    control.clear();
    let begun = Instant::now();
    control.load(many_instances());
    expect("all run", control.all_reach(200, State::Running));
    figure("start_1024", begun.elapsed());
    let begun = Instant::now();
    control.clear();
    expect_eq("all are gone", survivors(), 0);
    figure("stop_1024", begun.elapsed());
}

/// A cell of a thousand processes is killed as one.
pub(crate) fn kill_cell() {
    const HERD: u32 = 1000;
    let mut control = Control::open().expect("/dev/svc");
    control.clear();
    let mut herd = service("herd", &["herd", &HERD.to_string()]);
    herd.ready = Readiness::Notify;
    (herd.stop.timeout, herd.stop.grace) = (Nanos::ZERO, Nanos::ZERO);
    control.load(vec![herd]);
    for _ in 0..3 {
        control.verb(Verb::Start, "herd");
        expect(
            "a thousand processes run",
            control.comes(60, |rows| rows.iter().all(|row| row.state == State::Running)),
        );
        expect_eq("in one cell", control.row("herd").map(|row| row.tasks), Some(HERD));
        let (from, _) = control.happenings(u64::MAX);
        control.verb(Verb::Stop, "herd");
        expect("they are killed", control.reaches("herd", State::Down));
        expect_eq("all of them", survivors(), 0);
        let (_, list) = control.happenings(from);
        let time = |state| list.iter().find(|one| one.to == state).map_or(Nanos::ZERO, |one| one.time);
        let took = time(State::Down).saturating_sub(time(State::Killing));
        expect("it was a kill", time(State::Killing) > Nanos::ZERO);
        figure("kill_cell_1000", Duration::from_nanos(took.0));
    }
    control.clear();
}

/// So many processes, all asleep.
pub(crate) fn herd(size: u32) -> ! {
    for _ in 1..size {
        // SAFETY: the child only makes system calls.
        unsafe {
            if libc::fork() == 0 {
                loop {
                    libc::pause();
                }
            }
        }
    }
    notify("READY=1");
    loop {
        std::thread::sleep(Duration::from_secs(1000));
    }
}

/// Shutdown with the times that are the default, one in ten deaf to SIGTERM. When it was asked for stands in the output, when
/// it was done in the kernel's log.
pub(crate) fn shutdown(services: u16) {
    let mut control = Control::open().expect("/dev/svc");
    control.clear();
    let mut set: Vec<_> = (0..services)
        .map(|at| service(&format!("one{at}"), if at % 10 == 0 { &["ignore"] } else { &["good"] }))
        .collect();
    for one in &mut set {
        one.enabled = true;
        (one.stop.timeout, one.stop.grace) = (Nanos::from_secs(30), Nanos::from_secs(5));
        // So that none is asked to end before it has said that it will not.
        one.ready = Readiness::Notify;
    }
    control.load(set);
    expect("all run", control.all_reach(100, State::Running));
    // SAFETY: a place for the time.
    let now = unsafe {
        let mut now = std::mem::zeroed::<libc::timespec>();
        libc::clock_gettime(libc::CLOCK_MONOTONIC, &raw mut now);
        now
    };
    println!("{services} services, asked to end at {}.{:03}", now.tv_sec, now.tv_nsec / 1_000_000);
    expect_eq("shutdown", control.ask(&Request::Shutdown(Power::Off)), Reply::Ok);
    std::thread::sleep(Duration::from_secs(100));
    expect("the machine has ended", false);
}

/// A service that kills itself time and again: what it says when it has done so often enough ends the machine.
pub(crate) fn lives(program: &str) {
    let mut control = Control::open().expect("/dev/svc");
    control.clear();
    let mut lives = service("lives", &[]);
    lives.exec = vec![program.into()];
    // It lives longer than that: each of its ends is the first, after which there is no delay.
    lives.restart.stable = Nanos::from_secs(1);
    lives.restart.policy = RestartPolicy::Always;
    control.load(vec![lives]);
    control.verb(Verb::Start, "lives");
    wait(3600, || false);
    expect("the machine has ended", false);
}
