//! Connections to sockets that a service owns: who gets them, and that none is lost.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixStream};
use std::thread;
use std::time::{Duration, Instant};

use services::wire::{Request, Row, Verb};
use services::{Balance, Definition, Listen, SocketKind, State};
use types::Nanos;

use crate::control::{Control, name, service, survivors, wait};
use crate::{expect, expect_eq};

const ADDRESS: &str = "svcheck-balance";

/// Who answered, how often; and how often nobody did.
#[derive(Default)]
struct Answers {
    refused: u32,
    lost: u32,
    by: BTreeMap<u32, u32>,
    /// Of each, how often it looked for nothing.
    vain: BTreeMap<u32, u32>,
}

impl Answers {
    fn total(&self) -> u32 {
        self.by.values().sum()
    }

    /// The largest share by the mean, in thousandths.
    fn spread(&self) -> u32 {
        self.by.values().max().map_or(0, |most| most * 1000 * self.by.len() as u32 / self.total().max(1))
    }

    fn add(&mut self, other: Self) {
        self.refused += other.refused;
        self.lost += other.lost;
        other.by.into_iter().for_each(|(who, times)| *self.by.entry(who).or_default() += times);
        other.vain.into_iter().for_each(|(who, times)| {
            let known = self.vain.entry(who).or_default();
            *known = times.max(*known);
        });
    }
}

fn connect() -> std::io::Result<UnixStream> {
    UnixStream::connect_addr(&SocketAddr::from_abstract_name(ADDRESS).expect("a name"))
}

/// Asks for a job of so many milliseconds; who did it, and its count of looks for nothing.
fn ask(connection: &mut UnixStream, millis: u8) -> std::io::Result<(u32, u32)> {
    let mut answer = [0; 8];
    connection.write_all(&[millis])?;
    connection.read_exact(&mut answer)?;
    let word = |at: usize| answer.get(at..).and_then(|rest| rest.first_chunk()).map_or(0, |b| u32::from_le_bytes(*b));
    Ok((word(0), word(4)))
}

fn one(answers: &mut Answers, millis: u8) {
    match connect() {
        Err(_) => answers.refused += 1,
        Ok(mut connection) => match ask(&mut connection, millis) {
            Ok((who, vain)) => {
                *answers.by.entry(who).or_default() += 1;
                answers.vain.insert(who, vain);
            }
            Err(_) => answers.lost += 1,
        },
    }
}

/// So many clients at once, each so many connections, one after the other.
struct Load(Vec<thread::JoinHandle<Answers>>);

fn load(clients: u32, each: u32, millis: u8) -> Load {
    let client = move || {
        let mut answers = Answers::default();
        (0..each).for_each(|_| one(&mut answers, millis));
        answers
    };
    Load((0..clients).map(|_| thread::spawn(client)).collect())
}

impl Load {
    fn wait(self) -> Answers {
        let mut all = Answers::default();
        self.0.into_iter().for_each(|client| all.add(client.join().unwrap_or_default()));
        all
    }
}

fn worker(count: u16, how: &str, balance: Balance) -> Definition {
    let mut made = service("work", &["work", how]);
    made.scaling.count = count;
    made.scaling.balance = balance;
    made.scaling.slow_start = Nanos::ZERO;
    made.restart.base = Nanos::from_millis(20);
    made.listen.push(Listen::new(SocketKind::Stream, format!("@{ADDRESS}"), name("main")));
    made
}

fn start(control: &mut Control, definition: Definition) {
    let definition_hashes = definition.scaling.balance == Balance::Hash || definition.listen.iter().any(is_path);
    // A running instance would stay as it is.
    control.clear();
    control.load(vec![definition]);
    control.verb(Verb::Start, "work");
    let up = control.all_reach(30, State::Running);
    // Running is not yet waiting: until each has begun, others do its work.
    let mut begun = std::collections::BTreeSet::new();
    let all = rows(control).len();
    let one_more = || {
        let mut answers = Answers::default();
        one(&mut answers, 0);
        begun.extend(answers.by.into_keys());
        begun.len() == all || definition_hashes
    };
    if !up || !wait(20, one_more) {
        expect("all instances run", false);
    }
}

fn is_path(listen: &Listen) -> bool {
    listen.at.address.starts_with('/')
}

fn rows(control: &mut Control) -> Vec<Row> {
    control.rows().into_iter().filter(|row| row.service.as_str() == "work").collect()
}

/// Which lives run now.
fn lives(control: &mut Control) -> Vec<u32> {
    rows(control).iter().map(|row| row.generation).collect()
}

/// Whether all run, each in its next life.
fn all_new(control: &mut Control, before: &[u32]) -> bool {
    let rows = rows(control);
    let next = |(row, old): (&Row, &u32)| row.state == State::Running && row.generation == old + 1;
    rows.len() == before.len() && rows.iter().zip(before).all(next)
}

fn signal(pid: u32, signal: i32) {
    // SAFETY: a signal to a process of the check's own.
    unsafe { libc::kill(pid as i32, signal) };
}

/// Connections go where the policy says.
pub(crate) fn policies() {
    let mut control = Control::open().expect("/dev/svc");
    start(&mut control, worker(8, "accept", Balance::Least));
    let equal = load(6, 200, 2).wait();
    expect_eq("nobody is refused or lost", (equal.refused, equal.lost, equal.total()), (0, 0, 1200));
    expect_eq("all eight work", equal.by.len(), 8);
    expect("as much each", equal.spread() <= 1050);
    eprintln!("least, equal: {:?}, spread {}", equal.by, equal.spread());
    // Instance 0 takes ten times as long.
    start(&mut control, worker(8, "slow", Balance::Least));
    let uneven = load(16, 25, 5).wait();
    let slow = uneven.by.get(&0).copied().unwrap_or(0);
    expect_eq("nobody is refused or lost with a slow one", (uneven.refused, uneven.lost, uneven.total()), (0, 0, 400));
    expect("the slow one does its share and no more", slow > 0 && slow * 5 <= 2 * (400 - slow) / 7);
    eprintln!("least, one slower: {:?}", uneven.by);
    start(&mut control, worker(8, "accept", Balance::RoundRobin));
    let turns = load(1, 400, 0).wait();
    expect("in turn each gets the same", turns.by.len() == 8 && turns.spread() <= 1050);
    start(&mut control, worker(8, "accept", Balance::Hash));
    let own = load(2, 50, 0).wait();
    expect_eq("by hash a caller stays with one", (own.by.len(), own.total()), (1, 100));
    start(&mut control, worker(8, "accept", Balance::TwoChoices));
    let two = load(4, 300, 0).wait();
    expect("of two choices the better", two.total() == 1200 && two.by.len() == 8 && two.spread() <= 1600);
    start(&mut control, worker(4, "accept", Balance::LocalCpu));
    expect_eq("by CPU nobody is lost", load(4, 100, 0).wait().total(), 400);
    for how in ["epoll", "prefork"] {
        start(&mut control, worker(4, how, Balance::Least));
        let answers = load(4, 200, 0).wait();
        expect_eq(&format!("{how}: nobody is refused or lost"), (answers.refused, answers.total()), (0, 800));
        expect(&format!("{how}: all work"), answers.by.len() == 4);
        let vain: u32 = answers.vain.values().sum();
        expect(&format!("{how}: who has nothing to do is not woken"), vain <= 80);
        eprintln!("{how}: {:?}, in vain {:?}", answers.by, answers.vain);
    }
    control.clear();
    expect_eq("nobody is left", survivors(), 0);
}

/// Instances die, stand still, drain and are rolled: nobody is refused.
pub(crate) fn faults() {
    let mut control = Control::open().expect("/dev/svc");
    start(&mut control, worker(8, "accept", Balance::Least));
    let busy = load(4, 400, 0);
    for _ in 0..3 {
        thread::sleep(Duration::from_millis(30));
        if let Some(row) = rows(&mut control).into_iter().rev().find(|row| row.pid != 0) {
            signal(row.pid, libc::SIGKILL);
        }
    }
    let answers = busy.wait();
    expect_eq("kill -9 under load refuses nobody", answers.refused, 0);
    expect("only what was in work is lost", answers.lost <= 3 && answers.total() == 1600 - answers.lost);
    expect("all come back", control.all_reach(20, State::Running));
    // One that stands still: what was given to it is served by others.
    let Some(stopped) = rows(&mut control).first().cloned() else { return expect("there are rows", false) };
    signal(stopped.pid, libc::SIGSTOP);
    // Not just about to: what it still accepts is its own.
    let stat = format!("/proc/{}/stat", stopped.pid);
    expect("it stands still", wait(10, || std::fs::read_to_string(&stat).is_ok_and(|stat| stat.contains(") T "))));
    let answers = load(2, 150, 0).wait();
    expect_eq("with a stopped one", (answers.refused, answers.lost, answers.total()), (0, 0, 300));
    expect_eq("it served none", answers.by.get(&u32::from(stopped.index)), None);
    signal(stopped.pid, libc::SIGCONT);
    drain(&mut control);
    roll(&mut control);
    backlog(&mut control);
    control.clear();
    expect("an unloaded socket is gone", connect().is_err());
    expect_eq("nobody is left", survivors(), 0);
}

/// What is in work is done before an instance stops, and not a moment longer is waited.
fn drain(control: &mut Control) {
    let mut draining = worker(2, "accept", Balance::Least);
    draining.stop.drain = Nanos::from_secs(20);
    start(control, draining);
    let busy = load(2, 1, 200);
    thread::sleep(Duration::from_millis(60));
    let (begun, before) = (Instant::now(), lives(control));
    control.verb(Verb::Restart, "work");
    let answers = busy.wait();
    expect_eq("a drain finishes what is in work", (answers.refused, answers.lost, answers.total()), (0, 0, 2));
    expect("and both are new", wait(15, || all_new(control, &before)));
    expect("long before its time is over", begun.elapsed() < Duration::from_secs(15));
}

/// One after the other is replaced.
fn roll(control: &mut Control) {
    let mut rolled = worker(4, "accept", Balance::Least);
    rolled.stop.drain = Nanos::from_secs(5);
    // Each is given so long before the next one goes.
    rolled.restart.stable = Nanos::from_secs(1);
    start(control, rolled);
    let busy = load(4, 500, 1);
    thread::sleep(Duration::from_millis(30));
    let before = lives(control);
    control.verb(Verb::Roll, "work");
    let replaced = wait(30, || all_new(control, &before));
    let answers = busy.wait();
    expect("a roll replaces all", replaced);
    expect_eq("and nobody notices", (answers.refused, answers.lost, answers.total()), (0, 0, 2000));
}

/// A stopped service's socket takes as many as its backlog has room for; they are served when it is back.
fn backlog(control: &mut Control) {
    use std::os::fd::AsRawFd;
    let mut small = worker(1, "accept", Balance::Least);
    for listen in &mut small.listen {
        listen.backlog = 3;
    }
    start(control, small);
    control.verb(Verb::Stop, "work");
    control.reaches("work", State::Down);
    let mut waiting: Vec<_> = (0..4).filter_map(|_| connect().ok()).collect();
    expect_eq("those that have room wait", waiting.len(), 4);
    // SAFETY: plain numbers, and an address as long as said.
    let refused = unsafe {
        let fd = libc::socket(libc::AF_UNIX, libc::SOCK_STREAM | libc::SOCK_NONBLOCK, 0);
        let mut address: libc::sockaddr_un = std::mem::zeroed();
        address.sun_family = libc::AF_UNIX as u16;
        for (slot, byte) in address.sun_path.iter_mut().skip(1).zip(ADDRESS.bytes()) {
            *slot = byte as i8;
        }
        let result = libc::connect(fd, (&raw const address).cast(), 3 + ADDRESS.len() as u32);
        let error = std::io::Error::last_os_error().raw_os_error();
        libc::close(fd);
        (result, error)
    };
    expect_eq("one more may try again", refused, (-1, Some(libc::EAGAIN)));
    control.verb(Verb::Start, "work");
    let served = waiting.iter_mut().map(|one| ask(one, 0)).filter(Result::is_ok).count();
    expect_eq("all are served when it is back", served, 4);
    let _ = waiting.first().map(AsRawFd::as_raw_fd);
    // Bad addresses: an error that says so, and nothing that waits for ever.
    for (at, address) in ["/no/such/directory/socket", "/dev/null"].iter().enumerate() {
        let mut bad = worker(1, "accept", Balance::Least);
        bad.listen = vec![Listen::new(SocketKind::Stream, (*address).into(), name("main"))];
        bad.restart.max_failures = 1;
        control.clear();
        control.load(vec![bad]);
        control.verb(Verb::Start, "work");
        expect(&format!("bad address {at} is a failure"), control.reaches("work", State::Failed));
    }
    // A path that somebody removes: who is there goes on, the next load makes it anew.
    let mut path = worker(1, "accept", Balance::Least);
    path.listen = vec![Listen::new(SocketKind::Stream, "/tmp/svcheck-path".into(), name("main"))];
    start(control, path.clone());
    let old = UnixStream::connect("/tmp/svcheck-path");
    let _ = std::fs::remove_file("/tmp/svcheck-path");
    expect("a removed path leads nowhere", UnixStream::connect("/tmp/svcheck-path").is_err());
    expect("who was connected stays so", old.is_ok_and(|mut old| ask(&mut old, 0).is_ok()));
    control.clear();
    start(control, path);
    let new = UnixStream::connect("/tmp/svcheck-path");
    expect("it is there again after another load", new.is_ok_and(|mut new| ask(&mut new, 0).is_ok()));
}

/// The machine ends while connections are open and waiting.
pub(crate) fn shutdown() {
    let mut control = Control::open().expect("/dev/svc");
    let mut draining = worker(2, "accept", Balance::Least);
    draining.stop.drain = Nanos::from_secs(10);
    start(&mut control, draining);
    let mut open: Vec<_> = (0..4).filter_map(|_| connect().ok()).collect();
    for one in &mut open {
        let _ = one.write_all(&[50]);
    }
    thread::sleep(Duration::from_millis(20));
    expect_eq("shutdown", control.ask(&Request::Shutdown(services::wire::Power::Off)), services::wire::Reply::Ok);
    let mut answer = [0; 8];
    let done = open.iter_mut().filter_map(|one| one.read_exact(&mut answer).ok()).count();
    expect("what was in work is answered first", done >= 2);
    thread::sleep(Duration::from_secs(60));
    expect("the machine has ended", false);
}
