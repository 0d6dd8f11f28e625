//! From the program to the screen: output processing (OPOST), the cursor's column, and echo.

use abi::linux::general as c;

use super::termios::Settings;
use crate::ring::ByteRing;

/// Where processed bytes go: the terminal driver of this file.
pub(super) trait Out {
    /// Bytes that fit now.
    fn room(&self) -> usize;
    /// Takes `bytes`, which fit.
    fn put(&mut self, bytes: &[u8]);
}

/// Bytes collected under the terminal's lock, written to the device after it.
pub(super) struct Staging {
    bytes: [u8; Self::SIZE],
    len: usize,
}

impl Staging {
    /// A line or two: it lives on the stack.
    const SIZE: usize = 512;
    /// Room that what one typed byte is echoed as practically always finds enough.
    pub(super) const COMFORT: usize = 64;

    pub(super) const fn new() -> Self {
        Self { bytes: [0; Self::SIZE], len: 0 }
    }

    pub(super) fn bytes(&self) -> &[u8] {
        self.bytes.get(..self.len).unwrap_or(&[])
    }
}

impl Out for Staging {
    fn room(&self) -> usize {
        Self::SIZE - self.len
    }

    fn put(&mut self, bytes: &[u8]) {
        if let Some(slot) = self.bytes.get_mut(self.len..self.len + bytes.len()) {
            slot.copy_from_slice(bytes);
            self.len += bytes.len();
        }
    }
}

impl Out for ByteRing {
    fn room(&self) -> usize {
        self.ready_room()
    }

    fn put(&mut self, bytes: &[u8]) {
        self.push(bytes);
    }
}

/// Room that writes leave for echo.
const ECHO_RESERVE: usize = 64;

/// Cursor bookkeeping and output that waits for the terminal to be started again.
pub(super) struct OutputState {
    /// Column of the cursor.
    column: usize,
    /// Column at which the line being typed began.
    canon_column: usize,
    /// Stopped by STOP or TCXONC: nothing goes out.
    stopped: bool,
    /// Echo that could not go out yet. Bounded; what does not fit is lost, as on Linux.
    held: ByteRing,
}

impl OutputState {
    /// At the left margin, running. `held` has its memory already, so that echo never allocates.
    pub(super) fn new(held: ByteRing) -> Self {
        Self { column: 0, canon_column: 0, stopped: false, held }
    }

    pub(super) const fn stopped(&self) -> bool {
        self.stopped
    }

    pub(super) fn stop(&mut self) {
        self.stopped = true;
    }

    /// Lets output go on; whether it had been stopped.
    pub(super) fn start(&mut self) -> bool {
        core::mem::replace(&mut self.stopped, false)
    }

    /// Forgets echo that waits.
    pub(super) fn discard_held(&mut self) {
        self.held.clear();
    }

    /// Whether echo waits to go out.
    pub(super) fn holds(&self) -> bool {
        !self.held.is_empty()
    }

    /// Sends waiting echo as far as it fits.
    pub(super) fn flush(&mut self, out: &mut dyn Out) {
        let mut chunk = [0; 64];
        while !self.stopped && !self.held.is_empty() {
            let room = out.room().min(chunk.len());
            let Some(slot) = chunk.get_mut(..room) else { return };
            let taken = self.held.pop(slot);
            if taken == 0 {
                return;
            }
            out.put(slot.get(..taken).unwrap_or(&[]));
        }
    }

    /// Writes what a program sends; how much of it was taken. 0: stopped or no room.
    pub(super) fn write(&mut self, settings: &Settings, data: &[u8], out: &mut dyn Out) -> usize {
        self.flush(out);
        if self.stopped || self.holds() {
            return 0;
        }
        if !settings.output(c::OPOST) {
            let count = data.len().min(out.room());
            out.put(data.get(..count).unwrap_or(&[]));
            return count;
        }
        let mut done = 0;
        while let Some(rest) = data.get(done..)
            && !rest.is_empty()
        {
            let room = out.room().saturating_sub(ECHO_RESERVE);
            let plain = rest.iter().take(room).take_while(|byte| is_plain(**byte, settings)).count();
            if plain > 0 {
                let run = rest.get(..plain).unwrap_or(&[]);
                out.put(run);
                self.column += run.iter().filter(|byte| !settings.is_continuation(**byte)).count();
                done += plain;
                continue;
            }
            let Some(&byte) = rest.first() else { break };
            let (bytes, len) = self.process(settings, byte);
            if len > room {
                break;
            }
            self.advance(settings, byte);
            out.put(bytes.get(..len).unwrap_or(&[]));
            done += 1;
        }
        done
    }

    /// Echoes one byte through output processing.
    pub(super) fn echo(&mut self, settings: &Settings, byte: u8, out: &mut dyn Out) {
        if byte == 0xff {
            // Counts as a column even without output processing, as on Linux.
            self.column += 1;
            self.echo_raw(&[byte], out);
        } else if settings.output(c::OPOST) {
            let (bytes, len) = self.process(settings, byte);
            self.advance(settings, byte);
            self.echo_raw(bytes.get(..len).unwrap_or(&[]), out);
        } else {
            self.echo_raw(&[byte], out);
        }
    }

    /// Echoes a control character as `^X`.
    pub(super) fn echo_control(&mut self, byte: u8, out: &mut dyn Out) {
        self.column += 2;
        self.echo_raw(&[b'^', byte ^ 0o100], out);
    }

    /// Moves the cursor back over a tab: `columns` were typed since the last tab, or since the line began.
    pub(super) fn erase_tab(&mut self, columns: usize, after_tab: bool, out: &mut dyn Out) {
        let columns = if after_tab { columns } else { columns + self.canon_column };
        for _ in 0..8 - (columns & 7) {
            self.column = self.column.saturating_sub(1);
            self.echo_raw(&[8], out);
        }
    }

    /// Counts a column back without moving the cursor, as Linux does for each further byte of an erased character.
    pub(super) fn move_back(&mut self) {
        self.column = self.column.saturating_sub(1);
    }

    /// The line being typed begins where the cursor is.
    pub(super) fn mark_line_start(&mut self) {
        self.canon_column = self.column;
    }

    fn echo_raw(&mut self, bytes: &[u8], out: &mut dyn Out) {
        if !self.stopped && self.held.is_empty() && out.room() >= bytes.len() {
            out.put(bytes);
        } else if self.held.room() >= bytes.len() {
            self.held.push(bytes);
        }
    }

    /// What `byte` becomes: up to eight bytes.
    fn process(&self, settings: &Settings, byte: u8) -> ([u8; 8], usize) {
        let single = |byte| ([byte, 0, 0, 0, 0, 0, 0, 0], 1);
        match byte {
            b'\n' if settings.output(c::ONLCR) => ([b'\r', b'\n', 0, 0, 0, 0, 0, 0], 2),
            b'\r' if settings.output(c::ONOCR) && self.column == 0 => ([0; 8], 0),
            b'\r' if settings.output(c::OCRNL) => single(b'\n'),
            b'\t' if settings.expands_tabs() => ([b' '; 8], 8 - (self.column & 7)),
            byte if settings.output(c::OLCUC) => single(byte.to_ascii_uppercase()),
            byte => single(byte),
        }
    }

    /// Moves the cursor as `byte` does.
    fn advance(&mut self, settings: &Settings, byte: u8) {
        match byte {
            b'\n' => {
                if settings.output(c::ONLRET | c::ONLCR) {
                    self.column = 0;
                }
                self.canon_column = self.column;
            }
            b'\r' => {
                if settings.output(c::ONOCR) && self.column == 0 {
                    return;
                }
                if !settings.output(c::OCRNL) || settings.output(c::ONLRET) {
                    self.column = 0;
                    self.canon_column = 0;
                }
            }
            b'\t' => self.column += 8 - (self.column & 7),
            8 => self.column = self.column.saturating_sub(1),
            byte if byte < 0x20 || byte == 0x7f || settings.is_continuation(byte) => {}
            _ => self.column += 1,
        }
    }
}

/// Whether output processing leaves `byte` as it is and moves the cursor by at most one.
fn is_plain(byte: u8, settings: &Settings) -> bool {
    byte >= 0x20 && byte != 0x7f && !(settings.output(c::OLCUC) && byte.is_ascii_lowercase())
}
