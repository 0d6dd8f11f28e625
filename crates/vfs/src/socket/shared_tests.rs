//! A name that several accept from.

use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;
use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::task::{Wake, Waker};

use types::{Gid, Nanos, Pid, Uid};

use super::*;
use crate::{File, PollEvents, VfsError};

const ME: PeerCredentials = PeerCredentials { pid: Pid(7), uid: Uid(1), gid: Gid(2), cell: None };

/// Gives each connection to the one with the least, by number among equals.
#[derive(Default)]
struct Least {
    now: AtomicU64,
    loads: Mutex<BTreeMap<u64, i32>>,
    failed: Mutex<Vec<u64>>,
}

impl Least {
    fn load(&self, number: u64) -> i32 {
        self.loads.lock().unwrap().get(&number).copied().unwrap_or(-1)
    }

    fn change(&self, number: u64, by: i32) {
        if let Some(load) = self.loads.lock().unwrap().get_mut(&number) {
            *load += by;
        }
    }
}

impl Distributor for Least {
    fn choose(&self, _from: &PeerCredentials, there: &dyn Fn(u64) -> bool) -> Option<u64> {
        let mut loads = self.loads.lock().unwrap();
        let (number, load) =
            loads.iter_mut().filter(|(number, _)| there(**number)).min_by_key(|(number, load)| (**load, **number))?;
        *load += 1;
        Some(*number)
    }

    fn takes_work(&self, number: u64) -> bool {
        self.loads.lock().unwrap().contains_key(&number)
    }

    fn took(&self, number: u64) {
        self.change(number, 1);
    }

    fn prefers(&self, idle: u64, busy: u64, waiting: usize) -> bool {
        self.load(idle) < self.load(busy) - waiting as i32
    }

    fn ended(&self, number: u64, outcome: Outcome) {
        self.change(number, -1);
        if outcome == Outcome::Failed {
            self.failed.lock().unwrap().push(number);
        }
    }

    fn waits(&self, _number: u64) {}

    fn now(&self) -> Nanos {
        Nanos(self.now.load(Ordering::SeqCst))
    }

    fn pass_on(&self) {}

    fn has_waiting(&self) {}
}

struct Bench {
    least: Arc<Least>,
    front: Arc<Socket>,
    listener: Arc<SharedListener>,
    names: Arc<AbstractNames>,
}

impl Bench {
    fn new(backlog: u32) -> Self {
        let names = AbstractNames::new();
        let front = Socket::new(SocketKind::Stream, ME);
        front.bind_abstract(&names, Some((*b"front").into())).unwrap();
        let least = Arc::new(Least::default());
        let listener = front.share(backlog, ME, least.clone()).unwrap();
        Self { least, front, listener, names }
    }

    /// Acceptors with these numbers, which take work.
    fn acceptors<const N: usize>(&self, numbers: [u64; N]) -> [Arc<Socket>; N] {
        numbers.map(|number| {
            self.least.loads.lock().unwrap().insert(number, 0);
            Socket::acceptor(&self.front, number).unwrap()
        })
    }

    fn connect(&self) -> Result<Arc<Socket>, VfsError> {
        let client = Socket::new(SocketKind::Stream, ME);
        client.connect(&self.names.find(b"front").unwrap(), ME).map(|()| client)
    }

    fn connect_all(&self, count: usize) -> Vec<Arc<Socket>> {
        (0..count).map(|_| self.connect().unwrap()).collect()
    }

    fn stop(&self, number: u64) {
        self.least.loads.lock().unwrap().remove(&number);
        self.listener.arrange();
    }
}

fn ready(socket: &Socket) -> bool {
    socket.poll().contains(PollEvents::READABLE)
}

struct Count(AtomicUsize);

impl Wake for Count {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

#[test]
fn only_the_one_who_is_chosen_is_ready_and_woken() {
    let bench = Bench::new(8);
    let [a, b] = bench.acceptors([1, 2]);
    let woken = [Arc::new(Count(AtomicUsize::new(0))), Arc::new(Count(AtomicUsize::new(0)))];
    let mut queues = Vec::new();
    for socket in [&a, &b] {
        socket.wait_queues(PollEvents::READABLE, &mut |queue| queues.push(queue.clone()));
    }
    let tokens: Vec<_> =
        queues.iter().zip(&woken).map(|(queue, count)| queue.register(&Waker::from(count.clone()))).collect();
    let clients = bench.connect_all(1);
    assert_eq!([ready(&a), ready(&b)], [true, false]);
    assert_eq!(woken.each_ref().map(|count| count.0.load(Ordering::SeqCst)), [1, 0]);
    drop(tokens);
    assert_eq!(b.accept().err(), Some(VfsError::WouldBlock));
    let accepted = a.accept().unwrap();
    accepted.write(0, b"hello").unwrap();
    let mut out = vec![0; 9];
    assert_eq!(clients[0].read(0, &mut out), Ok(5));
    assert_eq!(bench.least.load(1), 1, "in work until it is closed");
    drop(accepted);
    assert_eq!(bench.least.load(1), 0);
    assert_eq!((a.address(), a.is_listening()), (bench.front.address(), true));
}

#[test]
fn what_waits_moves_when_its_acceptor_goes_or_gets_no_work() {
    let bench = Bench::new(8);
    let [a, b, c] = bench.acceptors([1, 2, 3]);
    let _clients = bench.connect_all(6);
    drop(a);
    bench.least.loads.lock().unwrap().remove(&1);
    assert_eq!((bench.least.load(2), bench.least.load(3)), (3, 3));
    bench.stop(2);
    assert_eq!(b.accept().err(), Some(VfsError::WouldBlock), "it gets nothing new");
    assert!(!ready(&b));
    for _ in 0..6 {
        c.accept().unwrap();
    }
    // Nobody takes work: they wait for whoever does next.
    bench.stop(3);
    let late = bench.connect_all(2);
    assert_eq!([ready(&b), ready(&c)], [false; 2]);
    let [d] = bench.acceptors([4]);
    assert!(ready(&d), "even before they are given out");
    bench.listener.arrange();
    assert_eq!(bench.least.load(4), 2);
    d.accept().unwrap();
    d.accept().unwrap();
    drop(late);
}

#[test]
fn what_waits_for_too_long_is_anybodys_and_blamed_on_who_let_it_wait() {
    let bench = Bench::new(8);
    let [stuck, sound] = bench.acceptors([1, 2]);
    let _clients = bench.connect_all(2);
    let held = sound.accept().unwrap();
    assert!(bench.listener.look(Nanos(1)), "something waits");
    assert!(!ready(&sound));
    assert!(!bench.listener.look(SharedListener::PATIENCE), "nothing that anybody has for himself");
    assert_eq!([ready(&stuck), ready(&sound)], [true; 2]);
    assert_eq!(bench.least.load(1), 1, "it is counted there until somebody takes it");
    sound.accept().unwrap();
    assert_eq!(*bench.least.failed.lock().unwrap(), [0; 0], "it has only just looked");
    assert_eq!((bench.least.load(1), bench.least.load(2)), (0, 1));
    assert!(!ready(&stuck));
    let _more = bench.connect_all(1);
    bench.least.now.store(2_000_000_000, Ordering::SeqCst);
    bench.listener.look(Nanos::from_secs(2));
    sound.accept().unwrap();
    assert_eq!(*bench.least.failed.lock().unwrap(), [1], "it has not looked for two seconds");
    drop(held);
}

#[test]
fn who_is_idle_takes_what_waits_for_a_busy_one_and_nothing_else() {
    let bench = Bench::new(8);
    let [a, b] = bench.acceptors([1, 2]);
    let _clients = bench.connect_all(2);
    let busy = a.accept().unwrap();
    assert_eq!(a.accept().err(), Some(VfsError::WouldBlock), "both have one: b's stays b's");
    drop(b.accept().unwrap());
    let _more = bench.connect_all(2);
    // One for b, the other for either.
    let first = b.accept().unwrap();
    drop(first);
    assert!(b.accept().is_ok(), "it has nothing, and one waits behind the busy one");
    drop(busy);
}

#[test]
fn backlog_and_close_hold_for_all_together() {
    let bench = Bench::new(2);
    let [a, b] = bench.acceptors([1, 2]);
    let clients = bench.connect_all(3);
    assert_eq!(bench.connect().err(), Some(VfsError::WouldBlock));
    a.listen(3, ME).unwrap();
    let one_more = bench.connect().unwrap();
    b.shutdown(Shutdown::Read).unwrap();
    assert_eq!(b.accept().err(), Some(VfsError::InvalidArgument));
    let accepted = a.accept().unwrap();
    bench.listener.close();
    assert_eq!(bench.connect().err(), Some(VfsError::ConnectionRefused));
    assert_eq!(a.accept().err(), Some(VfsError::InvalidArgument));
    assert!(a.poll().contains(PollEvents::HUP));
    let broken = clients.iter().chain([&one_more]).filter(|client| client.poll().contains(PollEvents::ERR)).count();
    assert_eq!(broken, 3, "those that nobody has accepted");
    drop(accepted);
    assert_eq!((bench.least.load(1), bench.least.load(2)), (0, 0));
}

#[test]
fn a_connection_dropped_without_an_answer_is_a_failure() {
    let bench = Bench::new(8);
    let [a] = bench.acceptors([1]);
    for (answer, failures) in [(&b"x"[..], 0), (b"", 1)] {
        let client = bench.connect().unwrap();
        client.write(0, b"question").unwrap();
        let accepted = a.accept().unwrap();
        accepted.write(0, answer).unwrap();
        drop(accepted);
        assert_eq!(bench.least.failed.lock().unwrap().len(), failures);
    }
    let quiet = bench.connect().unwrap();
    drop(quiet);
    drop(a.accept().unwrap());
    assert_eq!(bench.least.failed.lock().unwrap().len(), 1, "nobody asked anything");
    assert_eq!(bench.least.load(1), 0);
}
