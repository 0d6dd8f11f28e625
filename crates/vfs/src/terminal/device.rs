//! A terminal as the kernel holds it: state under one lock, wait queues, the session it controls.

use abi::{SigSet, Signal, Winsize};
use alloc::sync::Arc;
use hal::Console;
use sync::{Rank, SpinLock, WaitQueue};
use types::{Nanos, Pgid, Sid};

use super::effects::{Effects, TerminalEvents};
use super::input::{Discipline, Input, Outcome};
use super::job::{self, Access, JobCaller, JobControl};
use super::output::{Out, Staging};
use super::pty::SLAVE_MAJOR;
use super::termios::Settings;
use crate::ring::{Block, ByteRing};
use crate::{DeviceNumber, PollEvents, Result, VfsError};

/// Output of a pseudo-terminal that its master has not read yet, and input that the line discipline has no room for:
/// as much as Linux buffers.
const PTY_BUFFER: usize = 65_536;
/// Typed ahead on the console beyond the line discipline's own queue.
const CONSOLE_BACKLOG: usize = 16_384;
/// Most bytes one program byte or one typed byte turns into, apart from line erasure.
const EXPANSION: usize = 3;

/// A terminal: a line discipline between programs and a screen with keyboard.
pub struct Terminal {
    kind: Kind,
    state: SpinLock<State>,
    events: Arc<dyn TerminalEvents>,
    readable: Arc<WaitQueue>,
    writable: Arc<WaitQueue>,
    /// Readers and writers of a pseudo-terminal's master.
    master: Arc<WaitQueue>,
}

enum Kind {
    Console { console: Arc<dyn Console>, device: DeviceNumber },
    Pty { index: u32 },
}

pub(super) struct State {
    pub(super) discipline: Discipline,
    /// What a pseudo-terminal's master will read.
    pub(super) to_master: ByteRing,
    /// What was received while the line discipline was full.
    pub(super) backlog: ByteRing,
    pub(super) window: Winsize,
    session: Option<Sid>,
    foreground: Option<Pgid>,
    /// Hang-ups so far: files opened before the last one are dead.
    pub(super) generation: u32,
    /// TIOCEXCL: no further opens.
    pub(super) exclusive: bool,
    /// The slave may not be opened yet (TIOCSPTLCK).
    pub(super) locked: bool,
    pub(super) master_open: bool,
    /// Open files of this terminal, the master apart.
    pub(super) files: usize,
    /// It has been open and is not any more.
    pub(super) abandoned: bool,
}

/// Who wants a terminal as its controlling terminal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ControlCaller {
    /// Its session.
    pub session: Sid,
    /// Its process group.
    pub group: Pgid,
    /// It leads its session.
    pub leader: bool,
    /// Its session has a controlling terminal already.
    pub has_terminal: bool,
}

/// What happens if the terminal belongs to another session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Steal {
    /// It stays there.
    No,
    /// It is taken away: argument 1 of TIOCSCTTY by a privileged caller.
    Yes,
}

impl Terminal {
    /// A terminal on a serial line or screen.
    ///
    /// # Errors
    /// `NoMemory`.
    pub fn console(
        console: Arc<dyn Console>,
        device: DeviceNumber,
        events: Arc<dyn TerminalEvents>,
    ) -> Result<Arc<Self>> {
        let mut backlog = ByteRing::new(CONSOLE_BACKLOG);
        backlog.install(Block::new(CONSOLE_BACKLOG)?);
        let state = State { backlog, locked: false, ..State::new(Settings::new(true))? };
        Ok(Self::build(Kind::Console { console, device }, state, events))
    }

    pub(super) fn pty(index: u32, events: Arc<dyn TerminalEvents>) -> Result<Arc<Self>> {
        let state = State { locked: true, master_open: true, ..State::new(Settings::new(false))? };
        Ok(Self::build(Kind::Pty { index }, state, events))
    }

    fn build(kind: Kind, state: State, events: Arc<dyn TerminalEvents>) -> Arc<Self> {
        let queue = || Arc::new(WaitQueue::new());
        let state = SpinLock::new(Rank::TERMINAL, state);
        Arc::new(Self { kind, state, events, readable: queue(), writable: queue(), master: queue() })
    }

    /// Its device number: 136:N for a pseudo-terminal.
    pub fn device(&self) -> DeviceNumber {
        match self.kind {
            Kind::Console { device, .. } => device,
            Kind::Pty { index } => DeviceNumber::new(SLAVE_MAJOR, index),
        }
    }

    /// The session it controls.
    pub fn session(&self) -> Option<Sid> {
        self.state.lock().session
    }

    /// The foreground process group.
    pub fn foreground(&self) -> Option<Pgid> {
        self.state.lock().foreground
    }

    /// May `caller` do that now? Asked before each read, each write, and each ioctl that [`super::ioctl_access`] names.
    pub fn job_control(&self, access: Access, caller: &JobCaller) -> JobControl {
        let state = self.state.lock();
        let stops_writers = state.discipline.settings().local(abi::linux::general::TOSTOP);
        job::job_control(access, state.session, state.foreground, stops_writers, caller)
    }

    /// Makes it the controlling terminal of the caller's session (TIOCSCTTY, or open by a session leader without
    /// O_NOCTTY), the caller's group in the foreground. A session that loses it is in the effects.
    ///
    /// # Errors
    /// [`VfsError::NotPermitted`] if the caller leads no session, has a terminal, or this one is another's.
    pub fn acquire(&self, caller: &ControlCaller, steal: Steal) -> Result<Effects> {
        let mut state = self.state.lock();
        if caller.leader && state.session == Some(caller.session) {
            return Ok(Effects::NONE);
        }
        if !caller.leader || caller.has_terminal || (state.session.is_some() && steal == Steal::No) {
            return Err(VfsError::NotPermitted);
        }
        let disowned = state.session.replace(caller.session);
        state.foreground = Some(caller.group);
        Ok(Effects { disowned, ..Effects::NONE })
    }

    /// The session's leader exits or gives the terminal up (TIOCNOTTY): its foreground group gets SIGHUP and SIGCONT.
    pub fn release_session(&self, session: Sid) -> Effects {
        let mut state = self.state.lock();
        if state.session != Some(session) {
            return Effects::NONE;
        }
        let signals = SigSet::EMPTY.with(Signal::HUP).with(Signal::CONT);
        let foreground = state.foreground.take();
        state.session = None;
        Effects { signals, foreground, disowned: Some(session), ..Effects::NONE }
    }

    /// The session's leader has ended: as [`Terminal::release_session`], but its foreground group gets SIGHUP alone.
    pub fn leader_left(&self, session: Sid) -> Effects {
        let released = self.release_session(session);
        Effects { signals: released.signals.without(Signal::CONT), ..released }
    }

    /// Puts `group` into the foreground (TIOCSPGRP). `group_session`: the session that group is in, if it exists.
    ///
    /// # Errors
    /// [`VfsError::NotATerminal`] if this is not the controlling terminal of `session`; [`VfsError::NoProcess`] if the
    /// group does not exist; [`VfsError::NotPermitted`] if it is in another session.
    pub fn set_foreground(&self, session: Sid, group: Pgid, group_session: Option<Sid>) -> Result<()> {
        let mut state = self.state.lock();
        if state.session != Some(session) {
            return Err(VfsError::NotATerminal);
        }
        match group_session {
            None => Err(VfsError::NoProcess),
            Some(other) if other != session => Err(VfsError::NotPermitted),
            Some(_) => {
                state.foreground = Some(group);
                Ok(())
            }
        }
    }

    /// The line has gone: open files are dead, settings are those of a fresh terminal, the session loses it.
    pub fn hang_up(&self) -> Effects {
        let effects = {
            let mut state = self.state.lock();
            state.generation = state.generation.wrapping_add(1);
            state.files = 0;
            state.abandoned = true;
            state.exclusive = false;
            state.discipline.flush_input();
            state.discipline.output.start();
            state.discipline.output.discard_held();
            state.discipline.set(Settings::new(!self.is_pty()), &mut Staging::new());
            state.backlog.clear();
            let former_foreground = state.foreground.take();
            match state.session.take() {
                None => Effects::NONE,
                Some(session) => Effects {
                    disowned: Some(session),
                    leader_signals: SigSet::EMPTY.with(Signal::HUP).with(Signal::CONT),
                    former_foreground,
                    ..Effects::NONE
                },
            }
        };
        self.wake(Outcome { readable: true, writable: true, ..Outcome::default() });
        self.master.wake_all();
        effects
    }

    /// Bytes from the keyboard, of any number. What finds no room is lost. Never waits.
    pub fn receive(&self, bytes: &[u8]) -> Effects {
        let mut rest = bytes;
        let outcome = self.work(|state, out, outcome| {
            state.refill(out, outcome);
            while out.room() >= Staging::COMFORT
                && let Some((&byte, after)) = rest.split_first()
            {
                rest = after;
                if state.backlog.is_empty() && state.discipline.accepts() {
                    state.discipline.receive(byte, out, outcome);
                } else {
                    state.backlog.push(&[byte]);
                }
            }
            !rest.is_empty()
        });
        self.finish(outcome)
    }

    /// Window size.
    pub fn window(&self) -> Winsize {
        self.state.lock().window
    }

    /// Sets the window size; a change is told to the foreground group by SIGWINCH.
    pub fn set_window(&self, window: Winsize) -> Effects {
        let mut state = self.state.lock();
        if state.window == window {
            return Effects::NONE;
        }
        state.window = window;
        Effects::to_foreground(SigSet::EMPTY.with(Signal::WINCH), state.foreground)
    }

    /// How long a raw-mode reader waits (VTIME): after [`VfsError::WouldBlock`] of a read, when this time has passed
    /// without a byte arriving, the answer is [`Terminal::read_now`]. `None`: for ever.
    ///
    /// With VMIN the time runs only between bytes, so it is asked again after each wake-up.
    pub fn wait_limit(&self) -> Option<Nanos> {
        let state = self.state.lock();
        let settings = state.discipline.settings();
        let time = settings.control(abi::linux::general::VTIME);
        let minimum = settings.control(abi::linux::general::VMIN);
        let runs = !settings.canonical() && time != 0 && (minimum == 0 || state.discipline.has_input());
        runs.then(|| Nanos::from_millis(u64::from(time) * 100))
    }

    /// What there is, for a reader whose time is up; 0 if nothing.
    pub fn read_now(&self, out: &mut [u8]) -> usize {
        let count = self.state.lock().discipline.read_now(out);
        self.after_read();
        count
    }

    pub(super) fn is_pty(&self) -> bool {
        matches!(self.kind, Kind::Pty { .. })
    }

    pub(super) fn index(&self) -> Option<u32> {
        match self.kind {
            Kind::Pty { index } => Some(index),
            Kind::Console { .. } => None,
        }
    }

    pub(super) fn with<R>(&self, look: impl FnOnce(&mut State) -> R) -> R {
        look(&mut self.state.lock())
    }

    pub(super) fn deliver(&self, effects: Effects) {
        if !effects.is_empty() {
            self.events.deliver(effects);
        }
    }

    pub(super) fn read(&self, generation: u32, out: &mut [u8]) -> Result<usize> {
        if out.is_empty() {
            return Ok(0);
        }
        let (count, more) = {
            let mut state = self.state.lock();
            if state.generation != generation {
                return Ok(0);
            }
            match state.discipline.read(out) {
                Input::Bytes(count) => (count, !state.backlog.is_empty()),
                Input::TooFew => return Err(VfsError::WouldBlock),
            }
        };
        if more {
            self.after_read();
        }
        Ok(count)
    }

    /// The reader made room: lets in what waits behind.
    fn after_read(&self) {
        let outcome = self.work(|state, out, outcome| {
            state.refill(out, outcome);
            false
        });
        let effects = self.finish(outcome);
        self.deliver(effects);
        if self.is_pty() {
            self.master.wake_all();
        }
    }

    pub(super) fn write(&self, generation: u32, data: &[u8]) -> Result<usize> {
        let mut done = 0;
        let mut dead = false;
        let data = data.get(..data.len().min(PTY_BUFFER)).unwrap_or(data);
        self.reserve_output(data.len())?;
        self.work(|state, out, _| {
            if state.generation != generation {
                dead = true;
                return false;
            }
            let rest = data.get(done..).unwrap_or(&[]);
            let taken = state.discipline.write(rest, out);
            done += taken;
            taken > 0 && done < data.len()
        });
        if dead {
            Err(VfsError::Io)
        } else if done == 0 && !data.is_empty() {
            Err(VfsError::WouldBlock)
        } else {
            if self.is_pty() {
                self.master.wake_all();
            }
            Ok(done)
        }
    }

    /// Bytes from the master: as many as fit.
    pub(super) fn master_write(&self, data: &[u8]) -> Result<usize> {
        let data = data.get(..data.len().min(PTY_BUFFER)).unwrap_or(data);
        self.reserve_output(data.len())?;
        self.reserve(data.len(), |state| &mut state.backlog)?;
        let mut done = 0;
        let outcome = self.work(|state, out, outcome| {
            state.refill(out, outcome);
            while let Some(&byte) = data.get(done) {
                if state.backlog.is_empty() && state.discipline.accepts() {
                    state.discipline.receive(byte, out, outcome);
                    done += 1;
                } else {
                    done += state.backlog.push(data.get(done..).unwrap_or(&[]));
                    break;
                }
            }
            false
        });
        let effects = self.finish(outcome);
        self.deliver(effects);
        self.master.wake_all();
        if done == 0 && !data.is_empty() { Err(VfsError::WouldBlock) } else { Ok(done) }
    }

    pub(super) fn master_read(&self, out: &mut [u8]) -> Result<usize> {
        if out.is_empty() {
            return Ok(0);
        }
        let count = {
            let mut state = self.state.lock();
            let count = state.to_master.pop(out);
            let State { discipline, to_master, .. } = &mut *state;
            discipline.output.flush(to_master);
            if count == 0 {
                return Err(if state.abandoned { VfsError::Io } else { VfsError::WouldBlock });
            }
            count
        };
        self.writable.wake_all();
        Ok(count)
    }

    pub(super) fn poll(&self, generation: u32) -> PollEvents {
        let state = self.state.lock();
        if state.generation != generation {
            return PollEvents::NEVER_BLOCKS | PollEvents::ALWAYS;
        }
        let mut events = PollEvents::empty();
        events.set(PollEvents::READABLE, state.discipline.poll_readable());
        let room = !self.is_pty() || state.to_master.room() > Staging::COMFORT;
        events.set(PollEvents::WRITABLE, room && !state.discipline.output.stopped());
        events
    }

    pub(super) fn master_poll(&self) -> PollEvents {
        let state = self.state.lock();
        let mut events = PollEvents::empty();
        events.set(PollEvents::READABLE, !state.to_master.is_empty());
        events.set(PollEvents::WRITABLE, state.backlog.room() > 0);
        events.set(PollEvents::HUP, state.abandoned);
        events
    }

    pub(super) fn queues(&self, interest: PollEvents, visit: &mut dyn FnMut(&Arc<WaitQueue>)) {
        if interest.intersects(PollEvents::READABLE | PollEvents::ALWAYS) {
            visit(&self.readable);
        }
        if interest.intersects(PollEvents::WRITABLE) {
            visit(&self.writable);
        }
    }

    pub(super) fn master_queues(&self, interest: PollEvents, visit: &mut dyn FnMut(&Arc<WaitQueue>)) {
        visit(&self.master);
        if interest.intersects(PollEvents::WRITABLE) {
            visit(&self.readable);
        }
    }

    pub(super) fn wake_master(&self) {
        self.master.wake_all();
    }

    /// Changes something by `change`, with a place for output that the change lets go.
    pub(super) fn change(&self, mut change: impl FnMut(&mut State, &mut dyn Out) -> Outcome) {
        let mut changed = false;
        let outcome = self.work(|state, out, outcome| {
            if !core::mem::replace(&mut changed, true) {
                outcome.merge(change(state, out));
            }
            false
        });
        let effects = self.finish(outcome);
        self.deliver(effects);
    }

    /// Runs `step` under the lock with an output to fill, sends the output without it, again while `step` says so or
    /// echo is waiting.
    fn work(&self, mut step: impl FnMut(&mut State, &mut dyn Out, &mut Outcome) -> bool) -> Outcome {
        let mut outcome = Outcome::default();
        match &self.kind {
            Kind::Console { console, .. } => loop {
                let mut staging = Staging::new();
                let more = {
                    let mut state = self.state.lock();
                    state.discipline.output.flush(&mut staging);
                    step(&mut state, &mut staging, &mut outcome)
                };
                if !staging.bytes().is_empty() {
                    console.write(staging.bytes());
                } else if !more {
                    return outcome;
                }
            },
            Kind::Pty { .. } => {
                let mut state = self.state.lock();
                let mut ring = core::mem::replace(&mut state.to_master, ByteRing::new(PTY_BUFFER));
                step(&mut state, &mut ring, &mut outcome);
                state.to_master = ring;
                outcome
            }
        }
    }

    /// Gets memory for the output that `bytes` program or typed bytes may become.
    fn reserve_output(&self, bytes: usize) -> Result<()> {
        if !self.is_pty() {
            return Ok(());
        }
        self.reserve(bytes.saturating_mul(EXPANSION).saturating_add(Staging::COMFORT * 2), |state| &mut state.to_master)
    }

    fn reserve(&self, bytes: usize, ring: impl Fn(&mut State) -> &mut ByteRing) -> Result<()> {
        let wanted = ring(&mut self.state.lock()).wants(bytes);
        if let Some(size) = wanted {
            let block = Block::new(size)?;
            let old = ring(&mut self.state.lock()).install(block);
            drop(old);
        }
        Ok(())
    }

    fn finish(&self, outcome: Outcome) -> Effects {
        self.wake(outcome);
        Effects::to_foreground(outcome.signals, self.foreground())
    }

    fn wake(&self, outcome: Outcome) {
        if outcome.readable {
            self.readable.wake_all();
        }
        if outcome.writable {
            self.writable.wake_all();
        }
        if self.is_pty() {
            self.master.wake_all();
        }
    }
}

impl State {
    fn new(settings: Settings) -> Result<Self> {
        Ok(Self {
            discipline: Discipline::new(settings)?,
            to_master: ByteRing::new(PTY_BUFFER),
            backlog: ByteRing::new(PTY_BUFFER),
            window: Winsize { ws_row: 0, ws_col: 0, ws_xpixel: 0, ws_ypixel: 0 },
            session: None,
            foreground: None,
            generation: 0,
            exclusive: false,
            locked: false,
            master_open: false,
            files: 0,
            abandoned: false,
        })
    }

    /// Feeds the line discipline what it had no room for.
    fn refill(&mut self, out: &mut dyn Out, outcome: &mut Outcome) {
        let mut byte = [0];
        while !self.backlog.is_empty() && self.discipline.accepts() && self.backlog.pop(&mut byte) == 1 {
            let [byte] = byte;
            self.discipline.receive(byte, out, outcome);
        }
    }
}
