//! Terminals as programs and people see them.

use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;
use std::sync::Mutex;

use abi::linux::general as c;
use abi::linux::ioctl as request;
use abi::{SigSet, Signal, Termios, Winsize, Wire};
use hal::Console;
use types::{Credentials, Nanos, Pgid, Pid, Sid};

use super::*;
use crate::testing::Random;
use crate::{Caller, Clock, DeviceNumber, File, FileSystem, OpenRequest, PollEvents, Result, Timestamp, VfsError};

#[derive(Default)]
struct Screen(Mutex<Vec<u8>>);

impl Screen {
    fn take(&self) -> Vec<u8> {
        std::mem::take(&mut *self.0.lock().unwrap())
    }
}

impl Console for Screen {
    fn write(&self, bytes: &[u8]) {
        self.0.lock().unwrap().extend_from_slice(bytes);
    }
}

#[derive(Default)]
struct Events(Mutex<Vec<Effects>>);

impl TerminalEvents for Events {
    fn deliver(&self, effects: Effects) {
        self.0.lock().unwrap().push(effects);
    }
}

struct FixedClock;

impl Clock for FixedClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_secs(1)
    }
}

const SHELL: ControlCaller = ControlCaller { session: Sid(10), group: Pgid(10), leader: true, has_terminal: false };

fn console() -> (Arc<Terminal>, Arc<TerminalFile>, Arc<Screen>) {
    let screen = Arc::new(Screen::default());
    let terminal = Terminal::console(screen.clone(), DeviceNumber::new(5, 1), Arc::new(NoEvents)).unwrap();
    assert_eq!(terminal.acquire(&SHELL, Steal::No), Ok(Effects::NONE));
    let file = terminal.open().unwrap();
    (terminal, file, screen)
}

pub(super) fn ptys() -> Arc<Ptys> {
    Ptys::new(Arc::new(NoEvents), Arc::new(FixedClock))
}

pub(super) fn pty() -> (Arc<PtyMaster>, Arc<TerminalFile>) {
    let master = ptys().open_master(&caller()).unwrap();
    let slave = unlock(&master);
    (master, slave)
}

fn unlock(master: &PtyMaster) -> Arc<TerminalFile> {
    ioctl(master, request::TIOCSPTLCK, &mut 0_u32.to_le_bytes()).unwrap();
    master.open_peer().unwrap()
}

fn caller() -> Caller<'static> {
    Caller { pid: Pid(10), sid: Sid(10), pgid: Pgid(10), ..Caller::kernel(&Credentials::ROOT) }
}

pub(super) fn ioctl(file: &dyn File, request: u32, bytes: &mut [u8]) -> Result<u64> {
    file.ioctl(request, 0, bytes, &caller())
}

pub(super) fn settings(file: &dyn File) -> Termios {
    let mut bytes = [0; 36];
    ioctl(file, request::TCGETS, &mut bytes).unwrap();
    Termios::from_bytes(&bytes)
}

pub(super) fn set(file: &dyn File, change: impl FnOnce(&mut Termios)) {
    let mut termios = settings(file);
    change(&mut termios);
    ioctl(file, request::TCSETS, &mut termios.to_bytes()).unwrap();
}

pub(super) fn read(file: &dyn File, len: usize) -> Result<Vec<u8>> {
    let mut out = vec![0; len];
    let count = file.read(0, &mut out)?;
    out.truncate(count);
    Ok(out)
}

fn raw(termios: &mut Termios) {
    termios.c_lflag &= !(c::ICANON | c::ECHO | c::ISIG);
    termios.c_iflag = 0;
}

#[test]
fn a_line_is_readable_when_it_is_ended() {
    let (terminal, file, screen) = console();
    terminal.receive(b"ls -l");
    assert_eq!(read(&*file, 100), Err(VfsError::WouldBlock));
    assert!(!file.poll().contains(PollEvents::IN));
    terminal.receive(b"a\r");
    assert!(file.poll().contains(PollEvents::IN));
    assert_eq!(read(&*file, 3).unwrap(), b"ls ");
    assert_eq!(read(&*file, 100).unwrap(), b"-la\n");
    assert_eq!(read(&*file, 100), Err(VfsError::WouldBlock));
    assert_eq!(screen.take(), b"ls -la\r\n");
}

#[test]
fn editing_shows_what_it_does() {
    let (terminal, file, screen) = console();
    terminal.receive(b"one twoo\x7f\n");
    assert_eq!(read(&*file, 100).unwrap(), b"one two\n");
    assert_eq!(screen.take(), b"one twoo\x08 \x08\r\n");
    terminal.receive(b"one two\x17\n");
    assert_eq!(read(&*file, 100).unwrap(), b"one \n");
    assert_eq!(screen.take(), b"one two\x08 \x08\x08 \x08\x08 \x08\r\n");
    terminal.receive(b"ab\x01\x15x\n");
    assert_eq!(read(&*file, 100).unwrap(), b"x\n");
    assert_eq!(screen.take(), b"ab^A\x08 \x08\x08 \x08\x08 \x08\x08 \x08x\r\n");
    terminal.receive(b"a\x16\x03\x12b\n");
    assert_eq!(read(&*file, 100).unwrap(), b"a\x03b\n");
    assert_eq!(screen.take(), b"a^\x08^C^R\r\na^Cb\r\n");
}

#[test]
fn end_of_file_ends_a_line_or_the_input() {
    let (terminal, file, _) = console();
    terminal.receive(b"abc\x04\x04");
    assert_eq!(read(&*file, 100).unwrap(), b"abc");
    assert_eq!(read(&*file, 100).unwrap(), b"");
    assert_eq!(read(&*file, 100), Err(VfsError::WouldBlock));
    terminal.receive(b"abc\x04def\n");
    assert_eq!(read(&*file, 3).unwrap(), b"abc", "the mark goes with the line that it ends");
    assert_eq!(read(&*file, 100).unwrap(), b"def\n");
}

#[test]
fn signal_keys_reach_the_foreground_group_and_flush() {
    let (terminal, file, screen) = console();
    terminal.set_foreground(Sid(10), Pgid(33), Some(Sid(10))).unwrap();
    let effects = terminal.receive(b"half\x03");
    assert_eq!((effects.foreground, effects.signals), (Some(Pgid(33)), SigSet::EMPTY.with(Signal::INT)));
    assert_eq!(screen.take(), b"half^C");
    let effects = terminal.receive(b"\x1a\x1c");
    assert_eq!(effects.signals, SigSet::EMPTY.with(Signal::TSTP).with(Signal::QUIT));
    terminal.receive(b"\n");
    assert_eq!(read(&*file, 9).unwrap(), b"\n");
    set(&*file, |t| t.c_lflag |= c::NOFLSH);
    terminal.receive(b"half\x03\n");
    assert_eq!(read(&*file, 9).unwrap(), b"half\n");
    set(&*file, |t| t.c_lflag &= !c::ISIG);
    assert!(terminal.receive(b"\x03\n").is_empty());
    assert_eq!(read(&*file, 9).unwrap(), b"\x03\n");
}

#[test]
fn raw_mode_counts_bytes_and_time() {
    let (terminal, file, _) = console();
    set(&*file, raw);
    assert_eq!(read(&*file, 9), Err(VfsError::WouldBlock));
    assert_eq!(terminal.wait_limit(), None);
    terminal.receive(b"\r\x03");
    assert_eq!(read(&*file, 9).unwrap(), b"\r\x03");
    // VMIN 3: less is not enough, unless no more was asked for.
    set(&*file, |t| t.c_cc[c::VMIN as usize] = 3);
    terminal.receive(b"ab");
    assert!(!file.poll().contains(PollEvents::IN));
    assert_eq!(read(&*file, 9), Err(VfsError::WouldBlock));
    assert_eq!(read(&*file, 1).unwrap(), b"a");
    terminal.receive(b"cd");
    assert!(file.poll().contains(PollEvents::IN));
    assert_eq!(read(&*file, 9).unwrap(), b"bcd");
    // VMIN 3, VTIME 2: time runs between bytes.
    set(&*file, |t| t.c_cc[c::VTIME as usize] = 2);
    assert_eq!(terminal.wait_limit(), None);
    terminal.receive(b"x");
    assert_eq!(read(&*file, 9), Err(VfsError::WouldBlock));
    assert_eq!(terminal.wait_limit(), Some(Nanos::from_millis(200)));
    let mut out = [0; 9];
    assert_eq!((terminal.read_now(&mut out), out[0]), (1, b'x'));
    // VMIN 0, VTIME 2: time runs from the start.
    set(&*file, |t| t.c_cc[c::VMIN as usize] = 0);
    assert_eq!(read(&*file, 9), Err(VfsError::WouldBlock));
    assert_eq!(terminal.wait_limit(), Some(Nanos::from_millis(200)));
    assert_eq!(terminal.read_now(&mut out), 0);
    // Both 0: never waits.
    set(&*file, |t| t.c_cc[c::VTIME as usize] = 0);
    assert_eq!(read(&*file, 9).unwrap(), b"");
}

#[test]
fn changing_the_mode_keeps_what_was_typed() {
    let (terminal, file, _) = console();
    terminal.receive(b"abc");
    set(&*file, |t| t.c_lflag &= !c::ICANON);
    assert_eq!(read(&*file, 2).unwrap(), b"ab");
    terminal.receive(b"def");
    set(&*file, |t| t.c_lflag |= c::ICANON);
    assert_eq!(read(&*file, 9).unwrap(), b"cdef");
    assert_eq!(read(&*file, 9), Err(VfsError::WouldBlock));
}

#[test]
fn an_overlong_line_keeps_its_end() {
    let (terminal, file, _) = console();
    terminal.receive(&[b'a'; 5000]);
    terminal.receive(b"bc\n");
    let mut line = read(&*file, 9000).unwrap();
    assert_eq!(line.len(), 4096);
    assert_eq!(line.pop(), Some(b'\n'));
    assert!(line.iter().all(|byte| *byte == b'a'));
    // Behind a whole line, typing ahead waits its turn.
    terminal.receive(b"first\n");
    terminal.receive(&[b'x'; 6000]);
    assert_eq!(read(&*file, 9000).unwrap(), b"first\n");
    terminal.receive(b"\n");
    assert_eq!(read(&*file, 9000).unwrap().len(), 4096);
}

#[test]
fn stopped_output_waits_and_echo_with_it() {
    let (terminal, file, screen) = console();
    terminal.receive(b"\x13");
    assert_eq!(file.write(0, b"text"), Err(VfsError::WouldBlock));
    assert!(!file.poll().contains(PollEvents::OUT));
    terminal.receive(b"abc");
    assert_eq!(screen.take(), b"");
    terminal.receive(b"\x11");
    assert_eq!(screen.take(), b"abc");
    assert_eq!(file.write(0, b"a\nb\tc\r\n"), Ok(7));
    assert_eq!(screen.take(), b"a\r\nb\tc\r\r\n");
    terminal.receive(b"\x13");
    set(&*file, |t| t.c_iflag &= !c::IXON);
    assert!(file.poll().contains(PollEvents::OUT));
}

#[test]
fn long_output_comes_whole() {
    let (_, file, screen) = console();
    let text = b"0123456789\n".repeat(1000);
    assert_eq!(file.write(0, &text), Ok(text.len()));
    assert_eq!(screen.take(), b"0123456789\r\n".repeat(1000));
    set(&*file, |t| t.c_oflag |= c::XTABS);
    file.write(0, b"ab\tc\td").unwrap();
    assert_eq!(screen.take(), b"ab      c       d");
}

#[test]
fn window_changes_are_told_once() {
    let (terminal, file, _) = console();
    let window = Winsize { ws_row: 24, ws_col: 80, ws_xpixel: 0, ws_ypixel: 0 };
    let effects = terminal.set_window(window);
    assert_eq!((effects.foreground, effects.signals), (Some(Pgid(10)), SigSet::EMPTY.with(Signal::WINCH)));
    assert!(terminal.set_window(window).is_empty());
    let mut bytes = [0; 8];
    ioctl(&*file, request::TIOCGWINSZ, &mut bytes).unwrap();
    assert_eq!(Winsize::from_bytes(&bytes), window);
}

#[test]
fn control_passes_by_the_rules() {
    let (terminal, file, _) = console();
    let other = ControlCaller { session: Sid(20), group: Pgid(20), ..SHELL };
    assert_eq!(terminal.acquire(&SHELL, Steal::No), Ok(Effects::NONE), "it is ours already");
    assert_eq!(terminal.acquire(&other, Steal::No), Err(VfsError::NotPermitted));
    assert_eq!(terminal.acquire(&ControlCaller { leader: false, ..SHELL }, Steal::No), Err(VfsError::NotPermitted));
    assert_eq!(terminal.set_foreground(Sid(20), Pgid(20), Some(Sid(20))), Err(VfsError::NotATerminal));
    assert_eq!(terminal.set_foreground(Sid(10), Pgid(20), Some(Sid(20))), Err(VfsError::NotPermitted));
    assert_eq!(terminal.set_foreground(Sid(10), Pgid(99), None), Err(VfsError::NoProcess));
    let mut group = [0; 4];
    assert_eq!(ioctl(&*file, request::TIOCGPGRP, &mut group), Ok(0));
    assert_eq!(u32::from_le_bytes(group), 10);
    let stranger = Caller { sid: Sid(20), ..caller() };
    assert_eq!(file.ioctl(request::TIOCGPGRP, 0, &mut group, &stranger), Err(VfsError::NotATerminal));
    let stolen = terminal.acquire(&other, Steal::Yes).unwrap();
    assert_eq!(stolen.disowned, Some(Sid(10)));
    let released = terminal.release_session(Sid(20));
    assert_eq!((released.foreground, released.disowned), (Some(Pgid(20)), Some(Sid(20))));
    assert!(released.signals.contains(Signal::HUP) && released.signals.contains(Signal::CONT));
    assert!(terminal.release_session(Sid(20)).is_empty());
}

#[test]
fn hang_up_kills_open_files_not_the_terminal() {
    let (terminal, file, _) = console();
    let effects = terminal.hang_up();
    assert_eq!((effects.disowned, effects.former_foreground), (Some(Sid(10)), Some(Pgid(10))));
    assert!(effects.leader_signals.contains(Signal::HUP));
    assert_eq!(read(&*file, 9), Ok(vec![]));
    assert_eq!(file.write(0, b"x"), Err(VfsError::Io));
    assert_eq!(ioctl(&*file, request::TCGETS, &mut [0; 36]), Err(VfsError::Io));
    assert!(file.poll().contains(PollEvents::HUP | PollEvents::ERR | PollEvents::IN));
    let again = terminal.open().unwrap();
    drop(file);
    terminal.receive(b"x\n");
    assert_eq!(read(&*again, 9).unwrap(), b"x\n");
}

#[test]
fn requests_that_are_refused() {
    let (_, file, _) = console();
    assert_eq!(ioctl(&*file, request::TIOCSTI, &mut [b'x']), Err(VfsError::Io));
    assert_eq!(ioctl(&*file, request::TIOCGPTN, &mut [0; 4]), Err(VfsError::NotATerminal));
    let (master, _slave) = pty();
    assert_eq!(ioctl(&*master, request::TIOCPKT, &mut 1_u32.to_le_bytes()), Err(VfsError::InvalidArgument));
    assert_eq!(ioctl(&*master, request::TIOCPKT, &mut 0_u32.to_le_bytes()), Ok(0));
    // Too few bytes from a confused caller is an error, never a panic.
    for request in [request::TCGETS, request::TCSETS, request::TIOCSWINSZ, request::TIOCSPTLCK] {
        assert!(ioctl(&*master, request, &mut [0; 2]).is_err());
    }
}

#[test]
fn a_pseudo_terminal_carries_both_ways() {
    let (master, slave) = pty();
    assert_eq!(read(&*master, 9), Err(VfsError::WouldBlock));
    assert_eq!(slave.write(0, b"prompt\n"), Ok(7));
    assert!(master.poll().contains(PollEvents::IN));
    assert_eq!(read(&*master, 100).unwrap(), b"prompt\r\n");
    assert_eq!(master.write(0, b"input\r"), Ok(6));
    assert_eq!(read(&*slave, 100).unwrap(), b"input\n");
    assert_eq!(read(&*master, 100).unwrap(), b"input\r\n");
    drop(slave);
    assert_eq!(read(&*master, 100), Err(VfsError::Io));
    assert!(master.poll().contains(PollEvents::HUP));
    let slave = master.open_peer().unwrap();
    assert_eq!(read(&*master, 100), Err(VfsError::WouldBlock));
    drop(master);
    assert_eq!(read(&*slave, 9), Ok(vec![]));
    assert_eq!(slave.write(0, b"x"), Err(VfsError::Io));
}

#[test]
fn closing_the_master_hangs_up_the_session() {
    let events = Arc::new(Events::default());
    let ptys = Ptys::new(events.clone(), Arc::new(FixedClock));
    let master = ptys.open_master(&caller()).unwrap();
    assert_eq!(ptys.open_slave(0).err(), Some(VfsError::Io), "locked");
    let slave = unlock(&master);
    slave.terminal().acquire(&SHELL, Steal::No).unwrap();
    master.write(0, b"\x03").unwrap();
    drop(master);
    let delivered = std::mem::take(&mut *events.0.lock().unwrap());
    let [interrupt, hang_up] = delivered[..] else { panic!("{delivered:?}") };
    assert_eq!((interrupt.foreground, interrupt.signals), (Some(Pgid(10)), SigSet::EMPTY.with(Signal::INT)));
    assert_eq!((hang_up.disowned, hang_up.former_foreground), (Some(Sid(10)), Some(Pgid(10))));
    assert_eq!(ptys.open_slave(0).err(), Some(VfsError::NoDeviceOrAddress));
}

#[test]
fn numbers_of_pseudo_terminals_are_used_again() {
    let ptys = ptys();
    let masters: Vec<_> = (0..5).map(|_| ptys.open_master(&caller()).unwrap()).collect();
    let number = |master: &PtyMaster| {
        let mut bytes = [0; 4];
        ioctl(master, request::TIOCGPTN, &mut bytes).unwrap();
        u32::from_le_bytes(bytes)
    };
    assert!(masters.iter().map(|master| number(master)).eq(0..5));
    let names = |ptys: &Ptys| {
        let mut names = Vec::new();
        let mut entry = |entry: &crate::DirEntry<'_>| {
            names.push(alloc::string::String::from_utf8(entry.name.to_vec()).unwrap());
            true
        };
        ptys.root().read_dir(crate::FIRST_COOKIE, &mut entry).unwrap();
        names
    };
    assert_eq!(names(&ptys), ["ptmx", "0", "1", "2", "3", "4"]);
    let mut masters = masters;
    drop(masters.remove(2));
    assert_eq!(names(&ptys), ["ptmx", "0", "1", "3", "4"]);
    assert!(ptys.root().lookup(b"2").is_err() && ptys.root().lookup(b"03").is_err());
    assert_eq!(number(&ptys.open_master(&caller()).unwrap()), 2);
    let node = ptys.root().lookup(b"4").unwrap();
    assert_eq!(node.metadata().rdev, DeviceNumber::new(136, 4));
    node.set_attributes(&crate::AttributeChange { mode: Some(0o600), ..Default::default() }).unwrap();
    assert_eq!(ptys.root().lookup(b"4").unwrap().access().mode, 0o600);
    let request = OpenRequest { read: true, write: true, flags: 0, caller: caller() };
    assert_eq!(node.open(&request).err(), Some(VfsError::Io), "locked");
}

#[test]
fn a_full_pseudo_terminal_blocks_its_writers() {
    let (master, slave) = pty();
    set(&*slave, |t| t.c_lflag &= !(c::ICANON | c::ECHO));
    let mut written = 0;
    while let Ok(count) = slave.write(0, &[b'x'; 1000]) {
        written += count;
    }
    assert!((32_768..=65_536).contains(&written), "{written}");
    assert!(!slave.poll().contains(PollEvents::OUT));
    let mut taken = 0;
    while let Ok(bytes) = read(&*master, 777) {
        taken += bytes.len();
    }
    assert_eq!(taken, written);
    assert!(slave.poll().contains(PollEvents::OUT));
    let mut typed = 0;
    while let Ok(count) = master.write(0, &[b'y'; 1000]) {
        typed += count;
    }
    assert!(!master.poll().contains(PollEvents::OUT));
    let mut taken = 0;
    while let Ok(bytes) = read(&*slave, 777) {
        taken += bytes.len();
    }
    assert_eq!(taken, typed, "nothing is lost");
}

#[test]
fn random_bytes_and_settings_never_panic_and_keep_bounds() {
    for seed in 0..40 {
        let mut random = Random::new(seed);
        let (terminal, file, screen) = console();
        for _ in 0..500 {
            match random.below(6) {
                0 => set(&*file, |t| {
                    t.c_iflag = random.next() as u32;
                    t.c_oflag = random.next() as u32;
                    t.c_lflag = random.next() as u32;
                    t.c_cc = core::array::from_fn(|_| random.below(256) as u8);
                }),
                1 => drop(read(&*file, random.below(300) as usize)),
                2 => drop(file.write(0, &(0..random.below(900)).map(|_| random.next() as u8).collect::<Vec<_>>())),
                _ => {
                    let typed: Vec<u8> = (0..random.below(900)).map(|_| random.below(140) as u8).collect();
                    terminal.receive(&typed);
                }
            }
            let mut queued = [0; 4];
            ioctl(&*file, request::FIONREAD, &mut queued).unwrap();
            assert!(u32::from_le_bytes(queued) <= 4096, "seed {seed}");
            screen.take();
        }
    }
}

#[test]
fn devpts_keeps_the_rules_of_every_file_system() {
    let ptys = ptys();
    let _masters: Vec<_> = (0..3).map(|_| ptys.open_master(&caller()).unwrap()).collect();
    assert_eq!(crate::tests::suite::check_file_system(&*ptys, &caller()), 4);
}
