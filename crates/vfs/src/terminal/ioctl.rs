//! ioctl_tty(2): the requests that need nothing but the terminal.
//!
//! TIOCSCTTY, TIOCNOTTY, TIOCSPGRP and TIOCGPTPEER concern processes and descriptors: the system-call gate handles
//! them by [`Terminal::acquire`], [`Terminal::release_session`], [`Terminal::set_foreground`] and
//! [`super::PtyMaster::open_peer`].

use abi::linux::general as c;
use abi::linux::ioctl as request;
use abi::{Termios, Termios2, Winsize, Wire};
use alloc::sync::Arc;
use types::Capabilities;

use super::device::Terminal;
use super::input::Outcome;
use super::job::Access;
use super::termios::Settings;
use crate::{Caller, Result, VfsError};

/// Line discipline 0, the only one.
const N_TTY: u32 = 0;

/// What job control must allow before that ioctl; `None`: nothing.
pub const fn ioctl_access(request: u32) -> Option<Access> {
    match request {
        request::TCSETS
        | request::TCSETSW
        | request::TCSETSF
        | request::TCSETS2
        | request::TCSETSW2
        | request::TCSETSF2
        | request::TCSETA
        | request::TCSETAW
        | request::TCSETAF
        | request::TIOCSPGRP
        | request::TIOCSETD
        | request::TCXONC
        | request::TCFLSH
        | request::TCSBRK
        | request::TCSBRKP => Some(Access::Change),
        _ => None,
    }
}

/// An ioctl on the terminal's own side.
pub(super) fn slave(
    terminal: &Arc<Terminal>,
    request: u32,
    arg: u64,
    bytes: &mut [u8],
    caller: &Caller<'_>,
) -> Result<u64> {
    match request {
        request::TIOCGPGRP | request::TIOCGSID if terminal.session() != Some(caller.sid) => Err(VfsError::NotATerminal),
        request::FIONREAD => put_u32(bytes, terminal.with(|state| state.discipline.available()) as u32),
        request::TCFLSH => flush(terminal, arg, Side::Slave),
        request::TCXONC => flow(terminal, arg),
        _ => common(terminal, request, bytes, caller),
    }
}

/// An ioctl on a pseudo-terminal's master; what is not its own concerns the slave.
pub(super) fn master(
    terminal: &Arc<Terminal>,
    request: u32,
    arg: u64,
    bytes: &mut [u8],
    caller: &Caller<'_>,
) -> Result<u64> {
    match request {
        request::TIOCGPTN => put_u32(bytes, terminal.index().unwrap_or(0)),
        request::TIOCSPTLCK => {
            let lock = get_u32(bytes)? != 0;
            terminal.with(|state| state.locked = lock);
            Ok(0)
        }
        request::TIOCGPTLCK => put_u32(bytes, u32::from(terminal.with(|state| state.locked))),
        // Packet mode is not offered: only switching it off succeeds.
        request::TIOCPKT if get_u32(bytes)? == 0 => Ok(0),
        request::TIOCPKT => Err(VfsError::InvalidArgument),
        request::TIOCGPKT => put_u32(bytes, 0),
        request::FIONREAD => put_u32(bytes, terminal.with(|state| state.to_master.len()) as u32),
        request::TCFLSH => flush(terminal, arg, Side::Master),
        request::TIOCEXCL | request::TIOCNXCL | request::TIOCGEXCL | request::TIOCVHANGUP => {
            Err(VfsError::NotATerminal)
        }
        _ => common(terminal, request, bytes, caller),
    }
}

fn common(terminal: &Arc<Terminal>, request: u32, bytes: &mut [u8], caller: &Caller<'_>) -> Result<u64> {
    match request {
        request::TCGETS => put(bytes, &terminal.with(|state| state.discipline.settings().termios())),
        request::TCGETS2 => put(bytes, &terminal.with(|state| state.discipline.settings().termios2())),
        request::TCSETS | request::TCSETSW => set(terminal, bytes, Pending::Keep),
        request::TCSETSF => set(terminal, bytes, Pending::Discard),
        request::TCSETS2 | request::TCSETSW2 => set2(terminal, bytes, Pending::Keep),
        request::TCSETSF2 => set2(terminal, bytes, Pending::Discard),
        request::TIOCGWINSZ => put(bytes, &terminal.window()),
        request::TIOCSWINSZ => {
            let effects = terminal.set_window(get::<Winsize>(bytes)?);
            terminal.deliver(effects);
            Ok(0)
        }
        request::TIOCGPGRP => put_u32(bytes, terminal.foreground().map_or(0, |group| group.0)),
        request::TIOCGSID => {
            let session = terminal.session().ok_or(VfsError::NotATerminal)?;
            put_u32(bytes, session.0)
        }
        // Output goes to the device or the master's queue at once: there is never anything to drain.
        request::TIOCOUTQ => put_u32(bytes, 0),
        request::TCSBRK | request::TCSBRKP | request::TIOCSBRK | request::TIOCCBRK => Ok(0),
        request::TIOCGETD => put_u32(bytes, N_TTY),
        request::TIOCSETD if get_u32(bytes)? == N_TTY => Ok(0),
        request::TIOCSETD => Err(VfsError::InvalidArgument),
        request::TIOCEXCL => exclusive(terminal, true),
        request::TIOCNXCL => exclusive(terminal, false),
        request::TIOCGEXCL => put_u32(bytes, u32::from(terminal.with(|state| state.exclusive))),
        request::TIOCGDEV => put_u32(bytes, terminal.device().encode() as u32),
        // Typing for others is how sandboxes were escaped; Linux refuses it by default since 6.2.
        request::TIOCSTI => Err(VfsError::Io),
        request::TIOCCONS => Err(VfsError::NotPermitted),
        request::TIOCVHANGUP if !caller.credentials.capable(Capabilities::SYS_ADMIN) => Err(VfsError::NotPermitted),
        request::TIOCVHANGUP => {
            let effects = terminal.hang_up();
            terminal.deliver(effects);
            Ok(0)
        }
        _ => Err(VfsError::NotATerminal),
    }
}

/// What happens to input not yet read when settings change.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Pending {
    Keep,
    Discard,
}

fn set(terminal: &Terminal, bytes: &[u8], pending: Pending) -> Result<u64> {
    let new: Termios = get(bytes)?;
    change_settings(terminal, pending, |old| old.with(&new))
}

fn set2(terminal: &Terminal, bytes: &[u8], pending: Pending) -> Result<u64> {
    let new: Termios2 = get(bytes)?;
    change_settings(terminal, pending, |old| old.with2(&new))
}

fn change_settings(terminal: &Terminal, pending: Pending, change: impl Fn(Settings) -> Settings) -> Result<u64> {
    let is_pty = terminal.is_pty();
    terminal.change(|state, out| {
        if pending == Pending::Discard {
            state.discipline.flush_input();
            state.backlog.clear();
        }
        let new = change(*state.discipline.settings());
        state.discipline.set(if is_pty { new.for_pty() } else { new }, out)
    });
    Ok(0)
}

/// From which end an ioctl came.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Side {
    Slave,
    Master,
}

fn flush(terminal: &Terminal, arg: u64, side: Side) -> Result<u64> {
    let (input, output) = match u32::try_from(arg) {
        Ok(c::TCIFLUSH) => (true, false),
        Ok(c::TCOFLUSH) => (false, true),
        Ok(c::TCIOFLUSH) => (true, true),
        _ => return Err(VfsError::InvalidArgument),
    };
    let (typed, shown) = if side == Side::Slave { (input, output) } else { (output, input) };
    let keeps_line = side == Side::Master;
    terminal.change(|state, _| {
        if typed {
            state.backlog.clear();
            if !keeps_line {
                state.discipline.flush_input();
            }
        }
        // What the master could have read already stays, as on Linux, where it has passed on by then.
        if shown {
            state.discipline.output.discard_held();
            if keeps_line {
                state.to_master.clear();
            }
        }
        Outcome { readable: true, writable: true, ..Outcome::default() }
    });
    Ok(0)
}

fn flow(terminal: &Terminal, arg: u64) -> Result<u64> {
    match u32::try_from(arg) {
        Ok(c::TCOOFF) => terminal.with(|state| state.discipline.output.stop()),
        Ok(c::TCOON) => terminal.change(|state, out| {
            let mut outcome = Outcome::default();
            state.discipline.start(out, &mut outcome);
            outcome
        }),
        Ok(action @ (c::TCIOFF | c::TCION)) => terminal.change(|state, out| {
            let index = if action == c::TCIOFF { c::VSTOP } else { c::VSTART };
            let byte = state.discipline.settings().control(index);
            if byte != 0 && out.room() > 0 {
                out.put(&[byte]);
            }
            Outcome::default()
        }),
        _ => return Err(VfsError::InvalidArgument),
    }
    Ok(0)
}

fn exclusive(terminal: &Terminal, on: bool) -> Result<u64> {
    terminal.with(|state| state.exclusive = on);
    Ok(0)
}

fn get<T: Wire>(bytes: &[u8]) -> Result<T> {
    let mut copy = <T::Bytes as abi::Zeroed>::zeroed();
    let from = bytes.get(..T::SIZE).ok_or(VfsError::InvalidArgument)?;
    copy.as_mut().copy_from_slice(from);
    Ok(T::from_bytes(&copy))
}

fn put<T: Wire>(bytes: &mut [u8], value: &T) -> Result<u64> {
    let slot = bytes.get_mut(..T::SIZE).ok_or(VfsError::InvalidArgument)?;
    slot.copy_from_slice(value.to_bytes().as_ref());
    Ok(0)
}

fn get_u32(bytes: &[u8]) -> Result<u32> {
    get(bytes)
}

fn put_u32(bytes: &mut [u8], value: u32) -> Result<u64> {
    put(bytes, &value)
}
