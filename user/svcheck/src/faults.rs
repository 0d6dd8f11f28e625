//! Faults in the running kernel, one after the other: real processes are killed, hang, end with any status, eat their memory and
//! run away, operators say this and that. After each, what can be seen from outside has to make sense; in the end all are well
//! again, and the log of it gives the same transitions in another supervisor.

use std::collections::BTreeMap;
use std::time::Duration;

use services::wire::{ReplayPart, Reply, Request, Row, Verb};
use services::{Definition, Dependency, DependencyKind, Hold, OnMemory, Readiness, Run, State, StopMode};
use types::Nanos;

use crate::behave::notify;
use crate::control::{Control, control, name, service, survivors};
use crate::draw::Draw;
use crate::{expect, expect_eq};

/// Services of each of the three layers, and instances of each service.
const WIDTH: u16 = 5;
const INSTANCES: u16 = 2;
const LAYERS: u16 = 3;
const MAX_FAILURES: u8 = 200;
/// The supervisor keeps some thousand inputs: so many faults cannot fill that.
const LOG_EVERY: u32 = 150;

pub(crate) fn check(faults: u32, hex: bool) {
    let mut control = Control::open().expect("/dev/svc");
    control.clear();
    let mut log = Log::default();
    log.collect(&mut control);
    let set: Vec<_> = (0..LAYERS * WIDTH).map(one).collect();
    control.load(set.clone());
    (0..LAYERS * WIDTH).for_each(|at| drop(control.verb(Verb::Start, &called(at))));
    expect("all run before", control.all_reach(60, State::Running));
    let mut world =
        World { set, draw: Draw(2026), kinds: BTreeMap::new(), lives: BTreeMap::new(), wrong: 0, checks: 0 };
    for fault in 0..faults {
        world.inject(&mut control);
        world.look(&mut control);
        if fault % 16 == 0 {
            world.look_at_processes(&mut control);
        }
        if fault % LOG_EVERY == 0 {
            log.collect(&mut control);
        }
    }
    expect_eq("what did not make sense", world.wrong, 0);
    expect_eq("it was looked at after each fault", world.checks >= faults, true);
    for at in 0..LAYERS * WIDTH {
        control.verb(Verb::Unhold, &called(at));
        control.verb(Verb::Reset, &called(at));
        control.verb(Verb::Start, &called(at));
    }
    expect("all run when the faults are over", control.all_reach(60, State::Running));
    log.collect(&mut control);
    control.ask(&control_all_stop());
    (0..LAYERS * WIDTH).for_each(|at| drop(control.verb(Verb::Stop, &called(at))));
    expect("and all stop", control.comes(60, |rows| rows.iter().all(|row| !row.state.has_cell())));
    expect_eq("nobody is left", survivors(), 0);
    log.collect(&mut control);
    log.replay(hex);
    for (kind, count) in &world.kinds {
        eprintln!("{count:6} {kind}");
    }
    eprintln!(
        "{faults} faults, {} inputs, {} lives",
        log.part.as_ref().map_or(0, |part| part.entries.len() / 32),
        world.lives.values().map(|(life, _)| life).sum::<u32>()
    );
    control.clear();
}

fn control_all_stop() -> Request {
    control(Verb::Stop, &called(0), StopMode::Cascade)
}

fn called(at: u16) -> String {
    format!("layer{}-{}", at / WIDTH, at % WIDTH)
}

/// Each needs two of the layer below.
fn one(at: u16) -> Definition {
    let mut one = service(&called(at), &["subject"]);
    let (layer, place) = (at / WIDTH, at % WIDTH);
    if layer > 0 {
        for step in 0..2 {
            let below = called((layer - 1) * WIDTH + (place + step) % WIDTH);
            one.dependencies.push(Dependency::new(DependencyKind::Requires, name(&below)));
        }
    }
    one.ready = if place % 2 == 0 { Readiness::Notify } else { Readiness::Execute };
    one.run = Run::Daemon;
    one.scaling.count = INSTANCES;
    one.loss_grace = Nanos::ZERO;
    one.start_timeout = Nanos::from_secs(20);
    (one.stop.timeout, one.stop.grace) = (Nanos::from_millis(20), Nanos::from_millis(10));
    (one.restart.base, one.restart.maximum) = (Nanos::from_millis(10), Nanos::from_millis(40));
    one.restart.max_failures = MAX_FAILURES;
    one.restart.stable = Nanos::from_secs(1);
    one.health.watchdog = (place == 0).then_some(Nanos::from_millis(500));
    one.limits.memory = Some(8 << 20);
    one.limits.on_memory = OnMemory::Restart;
    one.limits.tasks = Some(16);
    one
}

/// What the driver knows.
struct World {
    set: Vec<Definition>,
    draw: Draw,
    kinds: BTreeMap<&'static str, u32>,
    /// By service and instance: the newest life seen, and whether it was held then.
    lives: BTreeMap<(String, u16), (u32, bool)>,
    wrong: u32,
    checks: u32,
}

impl World {
    fn complain(&mut self, what: &str, rows: &[&Row]) {
        self.wrong += 1;
        for row in rows {
            println!(
                "  {what}: {}#{}.{} {} pid {} tasks {}",
                row.service,
                row.index,
                row.generation,
                row.state.word(),
                row.pid,
                row.tasks
            );
        }
    }

    fn inject(&mut self, control: &mut Control) {
        let rows = control.rows();
        let alive: Vec<_> = rows.iter().filter(|row| row.pid != 0).collect();
        let any = called(self.draw.below(u32::from(LAYERS * WIDTH)) as u16);
        let victim = alive.get(self.draw.below(alive.len().max(1) as u32) as usize).map_or(0, |row| row.pid);
        let signal = |kind: &'static str, number: i32| {
            if victim != 0 {
                // SAFETY: a signal to a process of the check's own; where it has just ended, its number is not used again so soon.
                unsafe { libc::kill(victim as i32, number) };
            }
            kind
        };
        let mut say = |kind: &'static str, verb: Verb| {
            control.verb(verb, &any);
            kind
        };
        let kind = match self.draw.below(24) {
            0..4 => signal("kill -9 of the main process", libc::SIGKILL),
            4..8 => signal("exit with any status", libc::SIGUSR1),
            8 => signal("segmentation fault", libc::SIGSEGV),
            9 => signal("abort", libc::SIGABRT),
            10 => signal("kill by SIGTERM", libc::SIGTERM),
            11..13 => signal("hang", libc::SIGSTOP),
            13..15 => signal("memory beyond the quota", libc::SIGUSR2),
            15 => signal("children that run away", libc::SIGHUP),
            16..18 => self.kill_any_process(&rows, control),
            18 => say("stop with all that need it", Verb::Stop),
            19 => say("restart", Verb::Restart),
            20 => say("hold", Verb::Hold),
            _ => {
                control.verb(Verb::Unhold, &any);
                control.verb(Verb::Reset, &any);
                control.verb(Verb::Start, &any);
                "unhold, reset and start"
            }
        };
        *self.kinds.entry(kind).or_insert(0) += 1;
        if self.draw.below(2) == 0 {
            std::thread::sleep(Duration::from_micros(u64::from(self.draw.below(6000))));
        }
    }

    /// Kills one that is not the main one, where there is one.
    fn kill_any_process(&mut self, rows: &[Row], control: &mut Control) -> &'static str {
        let place = self.draw.below(rows.len().max(1) as u32) as usize;
        let Some(row) = rows.get(place) else { return "nothing" };
        if let Reply::Status(status) = control.ask(&Request::Status(row.service.clone())) {
            let others = status.instances.iter().flat_map(|one| one.pids.iter().skip(1));
            if let Some(pid) = others.last() {
                // SAFETY: as above.
                unsafe { libc::kill(*pid as i32, libc::SIGKILL) };
            }
        }
        "kill -9 of another process"
    }

    /// The supervisor's own view, at one moment.
    fn look(&mut self, control: &mut Control) {
        let rows = control.rows();
        self.checks += 1;
        let ready = |service: &str| rows.iter().any(|row| row.service.as_str() == service && row.state.is_ready());
        for row in &rows {
            if !row.state.has_cell() && (row.tasks != 0 || row.pid != 0) {
                self.complain("processes without a cell (I4)", &[row]);
            }
            if row.failures > MAX_FAILURES + 1 {
                self.complain("more failures than allowed (I5)", &[row]);
            }
            let held = row.hold == Hold::Hard;
            // It may still be starting when it is held, until those that need it are gone.
            if held && matches!(row.state, State::Backoff | State::Waiting) {
                self.complain("held and yet on its way (I10)", &[row]);
            }
            let before = self.lives.insert((row.service.to_string(), row.index), (row.generation, held));
            let (life, was_held) = before.unwrap_or_default();
            if row.generation < life {
                self.complain("a life before the last", &[row]);
            }
            if held && was_held && row.generation > life {
                self.complain("held and yet born again (I10)", &[row]);
            }
            if matches!(row.state, State::Running | State::Starting) {
                let definition = self.set.iter().find(|one| one.name == row.service);
                let lost = definition.is_some_and(|one| one.dependencies.iter().any(|need| !ready(need.on.as_str())));
                if lost {
                    self.complain("runs without what it requires (I1)", &[row]);
                }
            }
        }
    }

    /// By /proc: no instance has living processes of two lives.
    fn look_at_processes(&mut self, control: &mut Control) {
        let mut lives: BTreeMap<(String, String), BTreeMap<u32, u32>> = BTreeMap::new();
        for entry in std::fs::read_dir("/proc").into_iter().flatten().flatten() {
            let Ok(pid) = entry.file_name().to_string_lossy().parse::<u32>() else { continue };
            let Some((service, instance, life)) = belongs(pid) else { continue };
            lives.entry((service, instance)).or_default().insert(life, pid);
        }
        for ((service, instance), pids) in lives {
            // One may have ended and the next been born while we read: only both at once is wrong.
            let both = pids.values().filter(|pid| belongs(**pid).is_some()).count();
            if pids.len() > 1 && both > 1 {
                println!("  two lives of {service}#{instance} at once (I2): {pids:?}");
                self.wrong += 1;
            }
        }
        let rows = control.rows();
        let tasks: u32 = rows.iter().map(|row| row.tasks).sum();
        if tasks > u32::from(LAYERS * WIDTH * INSTANCES) * 16 {
            self.complain("more tasks than the quotas allow (I12)", &rows.iter().collect::<Vec<_>>());
        }
    }
}

/// To which service, instance and life a living process belongs.
fn belongs(pid: u32) -> Option<(String, String, u32)> {
    if !crate::escapes::is_alive(pid) {
        return None;
    }
    let environment = std::fs::read(format!("/proc/{pid}/environ")).ok()?;
    let word = |key: &str| {
        environment
            .split(|byte| *byte == 0)
            .find_map(|word| std::str::from_utf8(word).ok()?.strip_prefix(key).map(String::from))
    };
    Some((word("SVC_NAME=")?, word("SVC_INSTANCE=")?, word("SVC_GENERATION=")?.parse().ok()?))
}

/// All inputs since boot, put together from what the supervisor keeps of them.
#[derive(Default)]
struct Log {
    part: Option<ReplayPart>,
    gaps: u32,
}

impl Log {
    fn collect(&mut self, control: &mut Control) {
        let Reply::Replay(mut part) = control.ask(&Request::Replay) else {
            self.gaps += 1;
            return;
        };
        let mut before = self.part.take().map_or(Vec::new(), |part| part.entries);
        let first = part.lost as usize * 32;
        if first > before.len() {
            self.gaps += 1;
        }
        before.truncate(first);
        before.append(&mut part.entries);
        (part.entries, part.lost) = (before, 0);
        self.part = Some(*part);
    }

    fn replay(&self, hex: bool) {
        expect_eq("gaps in the log", self.gaps, 0);
        let Some(part) = &self.part else { return expect("there is a log", false) };
        expect_eq("it gives the same transitions, bit for bit", part.check(), Ok(true));
        let mut other = part.clone();
        other.entries.truncate(other.entries.len() / 64 * 32);
        expect("half of it does not", other.check() != Ok(true));
        if hex {
            let mut bytes = Vec::new();
            Reply::encode(&Reply::Replay(Box::new(part.clone())), &mut bytes).expect("a reply that fits");
            for line in bytes.chunks(64) {
                println!("replay {}", line.iter().map(|byte| format!("{byte:02x}")).collect::<String>());
            }
        }
    }
}

/// What each of the services does: two children, signs of life, and one fault when a signal asks for it.
pub(crate) fn be() -> ! {
    // SAFETY: handlers that make system calls only; children of fork have a copy of everything.
    unsafe {
        libc::signal(libc::SIGUSR1, exit_any as *const () as libc::sighandler_t);
        libc::signal(libc::SIGUSR2, eat as *const () as libc::sighandler_t);
        libc::signal(libc::SIGHUP, run_away as *const () as libc::sighandler_t);
        for _ in 0..2 {
            if libc::fork() == 0 {
                loop {
                    libc::pause();
                }
            }
        }
    }
    notify("READY=1");
    loop {
        std::thread::sleep(Duration::from_millis(100));
        if std::env::var("WATCHDOG_USEC").is_ok() {
            notify("WATCHDOG=1");
        }
    }
}

extern "C" fn exit_any(_: libc::c_int) {
    // SAFETY: ends the process; neither 125 nor 78, which no restart cures.
    unsafe { libc::_exit(libc::getpid() % 64) }
}

extern "C" fn eat(_: libc::c_int) {
    // SAFETY: fresh private memory, written within its length.
    unsafe {
        let length = 16 << 20;
        let at = libc::mmap(
            std::ptr::null_mut(),
            length,
            libc::PROT_READ | libc::PROT_WRITE,
            libc::MAP_PRIVATE | libc::MAP_ANONYMOUS,
            -1,
            0,
        );
        if at != libc::MAP_FAILED {
            std::ptr::write_bytes(at.cast::<u8>(), 1, length);
        }
    }
}

extern "C" fn run_away(_: libc::c_int) {
    // SAFETY: the children only make system calls.
    unsafe {
        if libc::fork() == 0 {
            libc::setsid();
            if libc::fork() != 0 {
                libc::_exit(0);
            }
            loop {
                libc::pause();
            }
        }
    }
}
