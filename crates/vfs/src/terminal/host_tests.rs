//! The line discipline against the host's: the same bytes and settings through a pseudo-terminal of either.
//!
//! Skipped with a message where the host has none to give.

use alloc::format;
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;
use std::os::fd::OwnedFd;
use std::time::Duration;

use abi::linux::general as c;
use rustix::fs::{Mode, OFlags, open};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{
    ControlModes, InputModes, LocalModes, OptionalActions, OutputModes, SpecialCodeIndex, Termios, tcgetattr, tcsetattr,
};

use super::tests::{ioctl, pty, read, set, settings};
use crate::File;
use crate::testing::Random;

struct Host {
    master: OwnedFd,
    slave: OwnedFd,
}

fn host() -> Option<Host> {
    let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).ok()?;
    grantpt(&master).ok()?;
    unlockpt(&master).ok()?;
    let name = ptsname(&master, Vec::new()).ok()?;
    let slave = open(&name, OFlags::RDWR | OFlags::NOCTTY | OFlags::NONBLOCK, Mode::empty()).ok()?;
    rustix::fs::fcntl_setfl(&master, OFlags::NONBLOCK | OFlags::RDWR).ok()?;
    Some(Host { master, slave })
}

impl Host {
    fn read(fd: &OwnedFd, len: usize) -> Option<Vec<u8>> {
        let mut out = vec![0; len];
        let count = rustix::io::read(fd, &mut out).ok()?;
        out.truncate(count);
        Some(out)
    }

    /// What the master can read. The kernel hands input on in the background: waits until there is as much as expected
    /// on both sides, or so long that there never will be.
    fn master_output(&self, expected: usize, expected_input: u64) -> Vec<u8> {
        let mut all = Vec::new();
        for _ in 0..1000 {
            while let Some(bytes) = Self::read(&self.master, 4096) {
                all.extend(bytes);
            }
            if all.len() >= expected && rustix::io::ioctl_fionread(&self.slave) == Ok(expected_input) {
                break;
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        all
    }
}

fn our_output(master: &dyn File) -> Vec<u8> {
    let mut all = Vec::new();
    while let Ok(bytes) = read(master, 4096) {
        all.extend(bytes);
    }
    all
}

fn our_reads(slave: &dyn File, sizes: &[usize]) -> Vec<Option<Vec<u8>>> {
    sizes.iter().map(|size| read(slave, *size).ok()).collect()
}

#[test]
fn fresh_settings_are_the_hosts() {
    let Some(host) = host() else { return std::eprintln!("skipped: no pseudo-terminal on this host") };
    let (_master, slave) = pty();
    let ours = settings(&*slave);
    let theirs = tcgetattr(&host.slave).unwrap();
    assert_eq!(ours.c_iflag, theirs.input_modes.bits());
    assert_eq!(ours.c_oflag, theirs.output_modes.bits());
    assert_eq!(ours.c_cflag, theirs.control_modes.bits());
    assert_eq!(ours.c_lflag, theirs.local_modes.bits());
    for (index, code) in CODES {
        assert_eq!(ours.c_cc[index as usize], theirs.special_codes[code], "{code:?}");
    }
}

const CODES: [(u32, SpecialCodeIndex); 15] = [
    (c::VINTR, SpecialCodeIndex::VINTR),
    (c::VQUIT, SpecialCodeIndex::VQUIT),
    (c::VERASE, SpecialCodeIndex::VERASE),
    (c::VKILL, SpecialCodeIndex::VKILL),
    (c::VEOF, SpecialCodeIndex::VEOF),
    (c::VTIME, SpecialCodeIndex::VTIME),
    (c::VMIN, SpecialCodeIndex::VMIN),
    (c::VSTART, SpecialCodeIndex::VSTART),
    (c::VSTOP, SpecialCodeIndex::VSTOP),
    (c::VSUSP, SpecialCodeIndex::VSUSP),
    (c::VEOL, SpecialCodeIndex::VEOL),
    (c::VREPRINT, SpecialCodeIndex::VREPRINT),
    (c::VWERASE, SpecialCodeIndex::VWERASE),
    (c::VLNEXT, SpecialCodeIndex::VLNEXT),
    (c::VEOL2, SpecialCodeIndex::VEOL2),
];

/// Flags that are tried in random combinations. Left out: what depends on timing on the host (flow control, flushing
/// by signals; both have tests of their own).
const INPUT: u32 = c::ICRNL | c::INLCR | c::IGNCR | c::ISTRIP | c::IUTF8;
const OUTPUT: u32 = c::OPOST | c::ONLCR | c::OCRNL | c::ONOCR | c::ONLRET | c::XTABS;
const LOCAL: u32 =
    c::ICANON | c::ECHO | c::ECHOE | c::ECHOK | c::ECHONL | c::ECHOCTL | c::ECHOKE | c::ECHOPRT | c::ISIG | c::IEXTEN;

/// Bytes worth typing: letters, the editing characters, line ends, tabs, escapes, halves of UTF-8.
const TYPED: &[u8] =
    b"ab_ .cD12\t\t\r\n\n\x7f\x7f\x7f\x15\x17\x17\x12\x16\x04\x04\x03\x1c\x01\x1b\xc3\xa9\xe2\x82\xac\x00\xff";

#[test]
fn random_typing_gives_what_the_host_gives() {
    let Some(host_pair) = host() else { return std::eprintln!("skipped: no pseudo-terminal on this host") };
    let fresh = tcgetattr(&host_pair.slave).unwrap();
    let (mut lines, mut echoes) = (0, 0);
    for seed in 0..150 {
        let mut random = Random::new(seed);
        let host = host().unwrap();
        let (master, slave) = pty();
        // A realistic terminal most of the time, anything else sometimes.
        let pick = |random: &mut Random, flags: u32, usual: u32| {
            let noise = random.next() as u32 & random.next() as u32 & random.next() as u32;
            (usual ^ noise) & flags
        };
        let input = pick(&mut random, INPUT, c::ICRNL);
        let output = pick(&mut random, OUTPUT, c::OPOST | c::ONLCR);
        let usual = fresh.local_modes.bits();
        let local = pick(&mut random, LOCAL, usual) | c::NOFLSH;
        let mut theirs: Termios = fresh.clone();
        theirs.input_modes = InputModes::from_bits_retain(input);
        theirs.output_modes = OutputModes::from_bits_retain(output);
        theirs.local_modes = LocalModes::from_bits_retain(local);
        theirs.control_modes = ControlModes::from_bits_retain(fresh.control_modes.bits());
        tcsetattr(&host.slave, OptionalActions::Now, &theirs).unwrap();
        set(&*slave, |t| (t.c_iflag, t.c_oflag, t.c_lflag) = (input, output, local));
        let mut story = format!("seed {seed} iflag {input:o} oflag {output:o} lflag {local:o}");
        for _ in 0..6 {
            let written: Vec<u8> = (0..random.below(12)).map(|_| pick_byte(&mut random)).collect();
            let typed: Vec<u8> = (0..random.below(25)).map(|_| pick_byte(&mut random)).collect();
            story += &format!("\n  write {:?} type {:?}", escape(&written), escape(&typed));
            if !written.is_empty() {
                assert_eq!(rustix::io::write(&host.slave, &written), Ok(written.len()));
                assert_eq!(slave.write(0, &written), Ok(written.len()));
            }
            if !typed.is_empty() {
                assert_eq!(rustix::io::write(&host.master, &typed), Ok(typed.len()));
                assert_eq!(master.write(0, &typed), Ok(typed.len()));
            }
            let echo = our_output(&*master);
            let mut input = [0; 4];
            ioctl(&*slave, abi::linux::ioctl::FIONREAD, &mut input).unwrap();
            let expected = host.master_output(echo.len(), u64::from(u32::from_le_bytes(input)));
            assert_eq!(escape(&echo), escape(&expected), "output, {story}");
            echoes += usize::from(!echo.is_empty());
            let sizes: Vec<usize> = (0..6).map(|_| 1 + random.below(20) as usize).collect();
            let ours = our_reads(&*slave, &sizes);
            let theirs: Vec<_> = sizes.iter().map(|size| Host::read(&host.slave, *size)).collect();
            assert_eq!(ours, theirs, "reads of {sizes:?}, {story}");
            lines += ours.iter().flatten().count();
        }
    }
    assert!(lines > 300 && echoes > 300, "the test looked at {lines} reads and {echoes} echoes");
}

fn pick_byte(random: &mut Random) -> u8 {
    TYPED[random.below(TYPED.len() as u64) as usize]
}

fn escape(bytes: &[u8]) -> String {
    format!("{}", bytes.escape_ascii())
}

#[test]
fn the_end_of_either_side_looks_as_on_the_host() {
    let Some(host) = host() else { return std::eprintln!("skipped: no pseudo-terminal on this host") };
    let (master, slave) = pty();
    let poll = |fd: &OwnedFd| {
        let mut fds = [rustix::event::PollFd::new(fd, rustix::event::PollFlags::all())];
        let at_once = rustix::event::Timespec { tv_sec: 0, tv_nsec: 0 };
        rustix::event::poll(&mut fds, Some(&at_once)).unwrap();
        u32::from(fds[0].revents().bits())
    };
    assert_eq!(slave.poll().bits(), poll(&host.slave));
    assert_eq!(master.poll().bits(), poll(&host.master));
    slave.write(0, b"last words").unwrap();
    rustix::io::write(&host.slave, b"last words").unwrap();
    drop(slave);
    let Host { master: host_master, slave: host_slave } = host;
    drop(host_slave);
    std::thread::sleep(Duration::from_millis(20));
    assert_eq!(master.poll().bits(), poll(&host_master));
    assert_eq!(read(&*master, 99).ok(), Host::read(&host_master, 99));
    assert_eq!(read(&*master, 99).err(), Some(crate::VfsError::Io));
    assert_eq!(rustix::io::read(&host_master, &mut [0; 9]), Err(rustix::io::Errno::IO));
    assert_eq!(master.poll().bits(), poll(&host_master));
}

#[test]
fn a_slave_without_master_looks_as_on_the_host() {
    let Some(host) = host() else { return std::eprintln!("skipped: no pseudo-terminal on this host") };
    let (master, slave) = pty();
    drop(master);
    let Host { master: host_master, slave: host_slave } = host;
    drop(host_master);
    assert_eq!(read(&*slave, 9).ok(), Host::read(&host_slave, 9));
    assert_eq!(slave.write(0, b"x").err(), Some(crate::VfsError::Io));
    assert_eq!(rustix::io::write(&host_slave, b"x"), Err(rustix::io::Errno::IO));
    let mut fds = [rustix::event::PollFd::new(&host_slave, rustix::event::PollFlags::all())];
    rustix::event::poll(&mut fds, Some(&rustix::event::Timespec { tv_sec: 0, tv_nsec: 0 })).unwrap();
    assert_eq!(slave.poll().bits(), u32::from(fds[0].revents().bits()));
}
