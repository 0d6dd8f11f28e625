//! From the keyboard to the program: the line discipline.
//!
//! Behaves as Linux's N_TTY, which programs were written against; where POSIX leaves a choice, Linux's is taken.
//!
//! ```text
//!          tail        canon           head
//!   ───────┼─────────────┼───────────────┼──────►
//!          │ whole lines │ being typed,  │
//!          │ (readable)  │ still erasable│
//! ```
//! In raw mode everything up to `head` is readable and `canon` is not looked at.

use abi::linux::general as c;
use abi::{SigSet, Signal};
use alloc::vec::Vec;

use super::output::{Out, OutputState};
use super::termios::Settings;
use crate::VfsError;
use crate::ring::{Block, ByteRing};

/// Bytes of input kept, as on Linux: a line has up to 4095 characters and its newline.
const QUEUE: usize = 4096;

/// What bytes from the keyboard led to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub(super) struct Outcome {
    /// For the foreground group.
    pub(super) signals: SigSet,
    /// There is more to read than before.
    pub(super) readable: bool,
    /// Output may go on, or was thrown away.
    pub(super) writable: bool,
}

impl Outcome {
    pub(super) fn merge(&mut self, other: Self) {
        self.signals = self.signals.union(other.signals);
        self.readable |= other.readable;
        self.writable |= other.writable;
    }
}

/// What a read found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Input {
    /// That many bytes; 0 is end of file, or no byte where none must be waited for.
    Bytes(usize),
    /// Less than must be waited for.
    TooFew,
}

/// How a character without special meaning is shown.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Echo {
    /// Control characters as `^X`.
    AsTyped,
    /// A newline made from a return: as a new line.
    LineEnd,
}

/// Which of the erase characters was typed.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Erase {
    Character,
    Word,
    Line,
}

/// One terminal's settings, input and echo state.
pub(super) struct Discipline {
    settings: Settings,
    queue: Queue,
    pub(super) output: OutputState,
    /// LNEXT was typed: the next byte is taken literally.
    literal_next: bool,
    /// In the middle of showing erased characters (ECHOPRT).
    erasing: bool,
}

impl Discipline {
    /// With those settings and all its memory.
    pub(super) fn new(settings: Settings) -> Result<Self, VfsError> {
        let mut held = ByteRing::new(QUEUE);
        held.install(Block::new(QUEUE)?);
        let (literal_next, erasing) = (false, false);
        Ok(Self { settings, queue: Queue::new()?, output: OutputState::new(held), literal_next, erasing })
    }

    pub(super) const fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Installs new settings; input typed so far stays.
    pub(super) fn set(&mut self, new: Settings, out: &mut dyn Out) -> Outcome {
        let old = core::mem::replace(&mut self.settings, new);
        if new.mode_differs(&old) {
            self.queue.change_mode(new.canonical());
            self.erasing = false;
            self.literal_next = false;
        }
        // A terminal stopped by ^S could never be started again without IXON.
        if old.input(c::IXON) && !new.input(c::IXON) {
            self.output.start();
        }
        self.output.flush(out);
        Outcome { readable: true, writable: true, ..Outcome::default() }
    }

    /// Whether another byte would be taken.
    pub(super) fn accepts(&self) -> bool {
        self.queue.len() < QUEUE - 1 || (self.settings.canonical() && !self.queue.has_line())
    }

    /// Throws input away.
    pub(super) fn flush_input(&mut self) {
        self.queue.clear();
        self.erasing = false;
        self.literal_next = false;
    }

    /// Bytes that could be read (FIONREAD).
    pub(super) fn available(&self) -> usize {
        if self.settings.canonical() { self.queue.line_bytes() } else { self.queue.len() }
    }

    /// Whether a read would give something, or end of file.
    pub(super) fn has_input(&self) -> bool {
        if self.settings.canonical() { self.queue.has_line() } else { self.queue.len() > 0 }
    }

    /// Whether poll says readable: in raw mode VMIN counts unless a timer runs.
    pub(super) fn poll_readable(&self) -> bool {
        if self.settings.canonical() {
            return self.queue.has_line();
        }
        let minimum = if self.settings.control(c::VTIME) == 0 { self.settings.control(c::VMIN) } else { 1 };
        self.queue.len() >= usize::from(minimum.max(1))
    }

    /// Reads as a program that waits does; what must be waited for is [`Input::TooFew`].
    pub(super) fn read(&mut self, out: &mut [u8]) -> Input {
        if self.settings.canonical() {
            return if self.queue.has_line() { Input::Bytes(self.queue.read_line(out)) } else { Input::TooFew };
        }
        let minimum = usize::from(self.settings.control(c::VMIN)).min(out.len());
        let must_wait = if minimum == 0 {
            self.queue.len() == 0 && self.settings.control(c::VTIME) != 0
        } else {
            self.queue.len() < minimum
        };
        if must_wait { Input::TooFew } else { Input::Bytes(self.queue.read_raw(out)) }
    }

    /// Reads what there is, for a reader whose time is up.
    pub(super) fn read_now(&mut self, out: &mut [u8]) -> usize {
        if self.settings.canonical() { self.queue.read_line(out) } else { self.queue.read_raw(out) }
    }

    /// Takes one byte from the keyboard. The caller asked [`Self::accepts`] before.
    pub(super) fn receive(&mut self, byte: u8, out: &mut dyn Out, outcome: &mut Outcome) {
        self.queue.make_room_in_line();
        let s = self.settings;
        let mut byte = byte;
        if s.input(c::ISTRIP) {
            byte &= 0x7f;
        }
        if s.input(c::IUCLC) && s.local(c::IEXTEN) {
            byte = byte.to_ascii_lowercase();
        }
        if core::mem::take(&mut self.literal_next) {
            return self.character(&s, byte, Echo::AsTyped, out, outcome);
        }
        if s.input(c::IXON) && self.flow_control(&s, byte, out, outcome) {
            return;
        }
        if s.local(c::ISIG)
            && let Some(signal) = signal_of(&s, byte)
        {
            return self.signal(&s, byte, signal, out, outcome);
        }
        if self.output.stopped() && s.input(c::IXON) && s.input(c::IXANY) {
            self.start(out, outcome);
        }
        let mut echo = Echo::AsTyped;
        match byte {
            b'\r' if s.input(c::IGNCR) => return,
            b'\r' if s.input(c::ICRNL) => (byte, echo) = (b'\n', Echo::LineEnd),
            b'\n' if s.input(c::INLCR) => byte = b'\r',
            _ => {}
        }
        if s.canonical() && self.line_editing(&s, byte, out, outcome) {
            return;
        }
        self.character(&s, byte, echo, out, outcome);
    }

    /// Writes what a program sends; how much of it was taken.
    pub(super) fn write(&mut self, data: &[u8], out: &mut dyn Out) -> usize {
        self.output.write(&self.settings, data, out)
    }

    /// Lets output go on.
    pub(super) fn start(&mut self, out: &mut dyn Out, outcome: &mut Outcome) {
        outcome.writable |= self.output.start();
        self.output.flush(out);
    }

    fn flow_control(&mut self, s: &Settings, byte: u8, out: &mut dyn Out, outcome: &mut Outcome) -> bool {
        if s.is(byte, c::VSTART) {
            self.start(out, outcome);
            true
        } else if s.is(byte, c::VSTOP) {
            self.output.stop();
            true
        } else {
            false
        }
    }

    fn signal(&mut self, s: &Settings, byte: u8, signal: Signal, out: &mut dyn Out, outcome: &mut Outcome) {
        outcome.signals = outcome.signals.with(signal);
        if !s.local(c::NOFLSH) {
            self.output.discard_held();
            self.flush_input();
            outcome.writable = true;
        }
        if s.input(c::IXON) {
            self.start(out, outcome);
        }
        if s.local(c::ECHO) {
            self.echo(s, byte, out);
        }
    }

    /// Characters that edit or end the line; whether `byte` was one.
    fn line_editing(&mut self, s: &Settings, byte: u8, out: &mut dyn Out, outcome: &mut Outcome) -> bool {
        let extended = s.local(c::IEXTEN);
        if s.is(byte, c::VERASE) {
            self.erase(s, Erase::Character, out);
        } else if s.is(byte, c::VKILL) {
            self.kill(s, out);
        } else if extended && s.is(byte, c::VWERASE) {
            self.erase(s, Erase::Word, out);
        } else if extended && s.is(byte, c::VLNEXT) {
            self.literal_next = true;
            if s.local(c::ECHO) {
                self.finish_erasing(s, out);
                if s.local(c::ECHOCTL) {
                    self.output.echo(s, b'^', out);
                    self.output.echo(s, 8, out);
                }
            }
        } else if extended && s.local(c::ECHO) && s.is(byte, c::VREPRINT) {
            self.reprint(s, byte, out);
        } else if byte == b'\n' {
            if s.local(c::ECHO | c::ECHONL) {
                self.output.echo(s, b'\n', out);
            }
            self.end_line(byte, outcome);
        } else if s.is(byte, c::VEOF) {
            self.end_line(0, outcome);
        } else if s.is(byte, c::VEOL) || (extended && s.is(byte, c::VEOL2)) {
            if s.local(c::ECHO) {
                self.mark_line_start();
                self.echo(s, byte, out);
            }
            if byte == 0xff && s.input(c::PARMRK) {
                self.queue.push(byte);
            }
            self.end_line(byte, outcome);
        } else {
            return false;
        }
        true
    }

    fn end_line(&mut self, byte: u8, outcome: &mut Outcome) {
        self.queue.push_end(byte);
        outcome.readable = true;
    }

    /// A character without special meaning.
    fn character(&mut self, s: &Settings, byte: u8, echo: Echo, out: &mut dyn Out, outcome: &mut Outcome) {
        if s.local(c::ECHO) {
            self.finish_erasing(s, out);
            if echo == Echo::LineEnd {
                self.output.echo(s, byte, out);
            } else {
                self.mark_line_start();
                self.echo(s, byte, out);
            }
        }
        if byte == 0xff && s.input(c::PARMRK) {
            self.queue.push(byte);
        }
        self.queue.push(byte);
        outcome.readable |= !s.canonical();
    }

    fn echo(&mut self, s: &Settings, byte: u8, out: &mut dyn Out) {
        if s.local(c::ECHOCTL) && is_control(byte) && byte != b'\t' {
            self.output.echo_control(byte, out);
        } else {
            self.output.echo(s, byte, out);
        }
    }

    fn mark_line_start(&mut self) {
        if self.queue.typed() == 0 {
            self.output.mark_line_start();
        }
    }

    fn reprint(&mut self, s: &Settings, byte: u8, out: &mut dyn Out) {
        self.finish_erasing(s, out);
        self.echo(s, byte, out);
        self.output.echo(s, b'\n', out);
        for at in 0..self.queue.typed() {
            let typed = self.queue.typed_byte(at);
            self.echo(s, typed, out);
        }
    }

    fn kill(&mut self, s: &Settings, out: &mut dyn Out) {
        if self.queue.typed() == 0 {
            return;
        }
        let visibly = s.local(c::ECHO) && s.local(c::ECHOK) && s.local(c::ECHOKE) && s.local(c::ECHOE);
        if visibly {
            return self.erase(s, Erase::Line, out);
        }
        self.queue.forget_typed(self.queue.typed());
        if s.local(c::ECHO) {
            self.finish_erasing(s, out);
            self.echo(s, s.control(c::VKILL), out);
            if s.local(c::ECHOK) {
                self.output.echo(s, b'\n', out);
            }
        }
    }

    fn erase(&mut self, s: &Settings, what: Erase, out: &mut dyn Out) {
        if self.queue.typed() == 0 {
            return;
        }
        let mut in_word = false;
        while self.queue.typed() > 0 {
            // One character: its UTF-8 continuation bytes and its first byte.
            let mut count = 1;
            while s.is_continuation(self.last_typed(count)) && count < self.queue.typed() {
                count += 1;
            }
            let first = self.last_typed(count);
            if s.is_continuation(first) {
                break;
            }
            if what == Erase::Word {
                if is_word(first) {
                    in_word = true;
                } else if in_word {
                    break;
                }
            }
            let mut character = [0; 4];
            for (slot, back) in character.iter_mut().zip((1..=count).rev()) {
                *slot = self.last_typed(back);
            }
            self.queue.forget_typed(count);
            if s.local(c::ECHO) {
                self.show_erased(s, what, character.get(..count).unwrap_or(&character), out);
            }
            if what == Erase::Character {
                break;
            }
        }
        if self.queue.typed() == 0 && s.local(c::ECHO) {
            self.finish_erasing(s, out);
        }
    }

    fn show_erased(&mut self, s: &Settings, what: Erase, character: &[u8], out: &mut dyn Out) {
        let first = character.first().copied().unwrap_or(0);
        let control = is_control(first);
        if s.local(c::ECHOPRT) {
            if !self.erasing {
                self.output.echo(s, b'\\', out);
                self.erasing = true;
            }
            self.echo(s, first, out);
            for byte in character.iter().skip(1) {
                self.output.echo(s, *byte, out);
                self.output.move_back();
            }
        } else if what == Erase::Character && !s.local(c::ECHOE) {
            self.echo(s, s.control(c::VERASE), out);
        } else if first == b'\t' {
            let (columns, after_tab) = self.columns_before_tab(s);
            self.output.erase_tab(columns, after_tab, out);
        } else {
            let columns = match (control, s.local(c::ECHOCTL)) {
                (true, true) => 2,
                (true, false) => 0,
                (false, _) => 1,
            };
            for _ in 0..columns {
                for byte in [8, b' ', 8] {
                    self.output.echo(s, byte, out);
                }
            }
        }
    }

    /// Columns typed since the last tab, or since the line began.
    fn columns_before_tab(&self, s: &Settings) -> (usize, bool) {
        let mut columns = 0;
        for back in 1..=self.queue.typed() {
            let byte = self.last_typed(back);
            if byte == b'\t' {
                return (columns, true);
            } else if is_control(byte) {
                columns += if s.local(c::ECHOCTL) { 2 } else { 0 };
            } else if !s.is_continuation(byte) {
                columns += 1;
            }
        }
        (columns, false)
    }

    fn finish_erasing(&mut self, s: &Settings, out: &mut dyn Out) {
        if core::mem::take(&mut self.erasing) {
            self.output.echo(s, b'/', out);
        }
    }

    fn last_typed(&self, back: usize) -> u8 {
        self.queue.typed_byte(self.queue.typed().saturating_sub(back))
    }
}

fn signal_of(s: &Settings, byte: u8) -> Option<Signal> {
    if s.is(byte, c::VINTR) {
        Some(Signal::INT)
    } else if s.is(byte, c::VQUIT) {
        Some(Signal::QUIT)
    } else if s.is(byte, c::VSUSP) {
        Some(Signal::TSTP)
    } else {
        None
    }
}

/// Letters (of Latin 1, as in Linux), digits and the underscore.
const fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || (byte >= 0xc0 && byte != 0xd7 && byte != 0xf7)
}

const fn is_control(byte: u8) -> bool {
    byte < 0x20 || byte == 0x7f
}

/// The input ring. Positions count up for ever; a mark stands at the last byte of each line.
struct Queue {
    bytes: Vec<u8>,
    marks: [u64; QUEUE / 64],
    tail: usize,
    canon: usize,
    head: usize,
}

impl Queue {
    fn new() -> Result<Self, VfsError> {
        let mut bytes = Vec::new();
        bytes.try_reserve_exact(QUEUE).map_err(|_| VfsError::NoMemory)?;
        bytes.resize(QUEUE, 0);
        Ok(Self { bytes, marks: [0; QUEUE / 64], tail: 0, canon: 0, head: 0 })
    }

    const fn len(&self) -> usize {
        self.head.wrapping_sub(self.tail)
    }

    const fn has_line(&self) -> bool {
        self.canon != self.tail
    }

    /// Bytes of the unfinished line.
    const fn typed(&self) -> usize {
        self.head.wrapping_sub(self.canon)
    }

    fn typed_byte(&self, at: usize) -> u8 {
        self.byte(self.canon.wrapping_add(at))
    }

    fn forget_typed(&mut self, count: usize) {
        self.head = self.head.wrapping_sub(count.min(self.typed()));
    }

    /// In an overlong line each further byte takes the place of the last one, so that its end still fits.
    fn make_room_in_line(&mut self) {
        if self.len() >= QUEUE && !self.has_line() {
            self.head = self.head.wrapping_sub(1);
        }
    }

    fn push(&mut self, byte: u8) {
        if self.len() >= QUEUE {
            return;
        }
        let at = self.head % QUEUE;
        if let Some(slot) = self.bytes.get_mut(at) {
            *slot = byte;
        }
        self.set_mark(self.head, false);
        self.head = self.head.wrapping_add(1);
    }

    /// Ends the line with `byte`; 0 stands for end of file and is not read.
    fn push_end(&mut self, byte: u8) {
        if self.len() >= QUEUE {
            self.head = self.head.wrapping_sub(1);
        }
        self.push(byte);
        self.set_mark(self.head.wrapping_sub(1), true);
        self.canon = self.head;
    }

    fn clear(&mut self) {
        self.tail = self.head;
        self.canon = self.head;
        self.marks = [0; QUEUE / 64];
    }

    /// What was typed so far becomes a line without an end, or lines become bytes.
    fn change_mode(&mut self, canonical: bool) {
        self.marks = [0; QUEUE / 64];
        if canonical && self.len() > 0 {
            self.set_mark(self.head.wrapping_sub(1), true);
            self.canon = self.head;
        } else {
            self.canon = self.tail;
        }
    }

    /// Readable bytes in whole lines, without the marks of end of file.
    fn line_bytes(&self) -> usize {
        let len = self.canon.wrapping_sub(self.tail);
        (0..len).map(|i| self.tail.wrapping_add(i)).filter(|at| !self.is_end_of_file(*at)).count()
    }

    /// Takes a line, or as much of it as fits.
    fn read_line(&mut self, out: &mut [u8]) -> usize {
        let mut count = 0;
        while self.tail != self.canon {
            let at = self.tail;
            if self.is_end_of_file(at) {
                self.tail = self.tail.wrapping_add(1);
                break;
            }
            let Some(slot) = out.get_mut(count) else { break };
            *slot = self.byte(at);
            count += 1;
            self.tail = self.tail.wrapping_add(1);
            if self.mark(at) {
                break;
            }
        }
        count
    }

    fn read_raw(&mut self, out: &mut [u8]) -> usize {
        let count = out.len().min(self.len());
        for slot in out.iter_mut().take(count) {
            *slot = self.byte(self.tail);
            self.tail = self.tail.wrapping_add(1);
        }
        self.canon = self.tail;
        count
    }

    fn byte(&self, at: usize) -> u8 {
        self.bytes.get(at % QUEUE).copied().unwrap_or(0)
    }

    fn is_end_of_file(&self, at: usize) -> bool {
        self.byte(at) == 0 && self.mark(at)
    }

    fn mark(&self, at: usize) -> bool {
        let at = at % QUEUE;
        self.marks.get(at / 64).is_some_and(|word| word >> (at % 64) & 1 != 0)
    }

    fn set_mark(&mut self, at: usize, on: bool) {
        let at = at % QUEUE;
        if let Some(word) = self.marks.get_mut(at / 64) {
            *word = *word & !(1 << (at % 64)) | u64::from(on) << (at % 64);
        }
    }
}
