//! A terminal's settings (termios(3)): the flags by Linux's numbers, the defaults, and what a change may not change.

use abi::linux::general as c;
use abi::{Termios, Termios2};

/// Control character that never matches anything (`_POSIX_VDISABLE`).
const DISABLED: u8 = 0;

/// Settings as the line discipline asks for them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Settings(Termios2);

impl Settings {
    /// What a fresh terminal has (Linux `tty_std_termios`).
    pub(super) const fn new(hang_up_on_close: bool) -> Self {
        let hang_up = if hang_up_on_close { c::HUPCL } else { 0 };
        Self(Termios2 {
            c_iflag: c::ICRNL | c::IXON,
            c_oflag: c::OPOST | c::ONLCR,
            c_cflag: c::B38400 | c::CS8 | c::CREAD | hang_up,
            c_lflag: c::ISIG | c::ICANON | c::ECHO | c::ECHOE | c::ECHOK | c::ECHOCTL | c::ECHOKE | c::IEXTEN,
            c_line: 0,
            // INTR ^C, QUIT ^\, ERASE DEL, KILL ^U, EOF ^D, TIME 0, MIN 1, SWTC, START ^Q, STOP ^S, SUSP ^Z, EOL,
            // REPRINT ^R, DISCARD ^O, WERASE ^W, LNEXT ^V, EOL2.
            c_cc: [3, 0o34, 0o177, 0o25, 4, 0, 1, 0, 0o21, 0o23, 0o32, 0, 0o22, 0o17, 0o27, 0o26, 0, 0, 0],
            c_ispeed: 38400,
            c_ospeed: 38400,
        })
    }

    /// As TCGETS2 shows them.
    pub(super) const fn termios2(&self) -> Termios2 {
        self.0
    }

    /// As TCGETS shows them.
    pub(super) const fn termios(&self) -> Termios {
        let t = &self.0;
        Termios {
            c_iflag: t.c_iflag,
            c_oflag: t.c_oflag,
            c_cflag: t.c_cflag,
            c_lflag: t.c_lflag,
            c_line: t.c_line,
            c_cc: t.c_cc,
        }
    }

    /// These with the part that TCSETS sends replaced.
    pub(super) fn with(self, new: &Termios) -> Self {
        let speed = baud(new.c_cflag).unwrap_or(self.0.c_ospeed);
        Self(Termios2 {
            c_iflag: new.c_iflag,
            c_oflag: new.c_oflag,
            c_cflag: new.c_cflag,
            c_lflag: new.c_lflag,
            c_line: new.c_line,
            c_cc: new.c_cc,
            c_ispeed: speed,
            c_ospeed: speed,
        })
    }

    /// These with what TCSETS2 sends.
    pub(super) fn with2(self, new: &Termios2) -> Self {
        let named = baud(new.c_cflag);
        Self(Termios2 { c_ispeed: named.unwrap_or(new.c_ispeed), c_ospeed: named.unwrap_or(new.c_ospeed), ..*new })
    }

    /// A pseudo-terminal carries eight bits, whatever is asked.
    pub(super) fn for_pty(mut self) -> Self {
        self.0.c_cflag = (self.0.c_cflag & !(c::CSIZE | c::PARENB)) | c::CS8 | c::CREAD;
        self
    }

    #[inline]
    pub(super) const fn input(&self, flag: u32) -> bool {
        self.0.c_iflag & flag != 0
    }

    #[inline]
    pub(super) const fn output(&self, flag: u32) -> bool {
        self.0.c_oflag & flag != 0
    }

    #[inline]
    pub(super) const fn local(&self, flag: u32) -> bool {
        self.0.c_lflag & flag != 0
    }

    /// Whether tabs are written as spaces.
    pub(super) const fn expands_tabs(&self) -> bool {
        self.0.c_oflag & c::TABDLY == c::XTABS
    }

    /// The control character or number at `index` of `c_cc`.
    #[inline]
    pub(super) fn control(&self, index: u32) -> u8 {
        self.0.c_cc.get(index as usize).copied().unwrap_or(DISABLED)
    }

    /// Whether `byte` is the control character at `index`, and that one is not disabled.
    #[inline]
    pub(super) fn is(&self, byte: u8, index: u32) -> bool {
        byte != DISABLED && self.control(index) == byte
    }

    /// Whether `byte` is the second or a later one of a UTF-8 character: these take no column.
    #[inline]
    pub(super) const fn is_continuation(&self, byte: u8) -> bool {
        self.input(c::IUTF8) && byte & 0xc0 == 0x80
    }

    /// Whether lines are collected before a reader sees them.
    pub(super) const fn canonical(&self) -> bool {
        self.local(c::ICANON)
    }

    /// What changed against `old` in the way input is kept.
    pub(super) const fn mode_differs(&self, old: &Self) -> bool {
        (self.0.c_lflag ^ old.0.c_lflag) & c::ICANON != 0
    }
}

/// Line speed that the bits of `c_cflag` name; `None` for BOTHER, which leaves it to `c_ospeed`.
fn baud(cflag: u32) -> Option<u32> {
    const SLOW: [u32; 16] = [0, 50, 75, 110, 134, 150, 200, 300, 600, 1200, 1800, 2400, 4800, 9600, 19200, 38400];
    const FAST: [u32; 16] = [
        0, 57_600, 115_200, 230_400, 460_800, 500_000, 576_000, 921_600, 1_000_000, 1_152_000, 1_500_000, 2_000_000,
        2_500_000, 3_000_000, 3_500_000, 4_000_000,
    ];
    let bits = cflag & c::CBAUD;
    if bits == c::BOTHER {
        return None;
    }
    let table = if bits & c::CBAUDEX != 0 { FAST } else { SLOW };
    table.get((bits & 15) as usize).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn named_speeds_are_shown_as_numbers() {
        let settings = Settings::new(true);
        let mut wanted = settings.termios();
        wanted.c_cflag = (wanted.c_cflag & !c::CBAUD) | c::B115200;
        assert_eq!(settings.with(&wanted).termios2().c_ospeed, 115_200);
        assert_eq!(settings.termios2().c_ospeed, 38_400);
    }

    #[test]
    fn a_disabled_control_character_matches_nothing() {
        let settings = Settings::new(true);
        assert!(settings.is(3, c::VINTR));
        assert!(!settings.is(0, c::VEOL));
    }
}
