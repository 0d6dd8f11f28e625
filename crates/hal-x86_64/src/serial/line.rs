//! How a serial line is set, and the word of the kernel's command line that says so: `ttyS1,115200n8` as on Linux.

use uart_16550::spec::registers::{Parity, WordLength};
use uart_16550::{BaudRate, Config};

use super::Com;

/// A port and how its line is to be set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Line {
    /// The port.
    pub com: Com,
    baud: u32,
    parity: Parity,
    bits: WordLength,
}

/// What the clock of a PC's port gives; slower rates are whole parts of it.
const FASTEST: u32 = 115_200;

impl Line {
    /// 115,200 baud, no parity, 8 bits.
    pub const fn usual(com: Com) -> Self {
        Self { com, baud: FASTEST, parity: Parity::Disabled, bits: WordLength::EightBits }
    }

    /// Reads `ttyS<n>[,<baud>[<parity>[<bits>[r]]]]`: parity n, o or e; 7 or 8 bits; the r of flow control is accepted
    /// and means nothing. `None`: it is not such a word, or no port can do what it says.
    pub fn parse(word: &str) -> Option<Self> {
        let (name, options) = word.split_once(',').unwrap_or((word, ""));
        let usual = Self::usual(Com::from_name(name)?);
        let digits = options.bytes().take_while(u8::is_ascii_digit).count();
        let (baud, mode) = options.split_at_checked(digits)?;
        let baud = if baud.is_empty() { usual.baud } else { baud.parse().ok().filter(|baud| possible(*baud))? };
        let mut mode = mode.as_bytes().iter();
        let parity = match mode.next() {
            None | Some(b'n') => Parity::Disabled,
            Some(b'o') => Parity::Odd,
            Some(b'e') => Parity::Even,
            Some(_) => return None,
        };
        let bits = match mode.next() {
            None | Some(b'8') => WordLength::EightBits,
            Some(b'7') => WordLength::SevenBits,
            Some(_) => return None,
        };
        let rest = mode.as_slice();
        (rest.is_empty() || rest == b"r").then_some(Self { baud, parity, bits, ..usual })
    }

    /// What the driver takes.
    pub(super) fn config(self) -> Config {
        Config {
            baud_rate: BaudRate::from_integer(self.baud),
            parity: self.parity,
            data_bits: self.bits,
            ..Config::DEFAULT
        }
    }
}

fn possible(baud: u32) -> bool {
    FASTEST.checked_rem(baud) == Some(0) && FASTEST / baud <= u32::from(u16::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_alone_gets_the_usual_setting() {
        for (name, com) in [("ttyS0", Com::One), ("ttyS1", Com::Two), ("ttyS2", Com::Three), ("ttyS3", Com::Four)] {
            assert_eq!(Line::parse(name), Some(Line::usual(com)));
        }
    }

    #[test]
    fn speed_parity_and_bits_are_read_as_on_linux() {
        let line = |text| Line::parse(text).map(|line| (line.baud, line.parity, line.bits));
        assert_eq!(line("ttyS1,9600"), Some((9600, Parity::Disabled, WordLength::EightBits)));
        assert_eq!(line("ttyS1,115200n8"), Some((115_200, Parity::Disabled, WordLength::EightBits)));
        assert_eq!(line("ttyS1,19200e7r"), Some((19_200, Parity::Even, WordLength::SevenBits)));
        assert_eq!(line("ttyS1,2400o"), Some((2400, Parity::Odd, WordLength::EightBits)));
        assert_eq!(line("ttyS1,n8"), Some((115_200, Parity::Disabled, WordLength::EightBits)));
    }

    #[test]
    fn what_no_port_can_do_is_refused() {
        let bad = [
            "",
            "tty0",
            "ttyS",
            "ttyS4",
            "ttyS00",
            "ttyS-1",
            "hvc0",
            "ttyS0,0",
            "ttyS0,115201",
            "ttyS0,1",
            "ttyS0,10000",
            "ttyS0,9600x",
            "ttyS0,9600n9",
        ];
        let worse = ["ttyS0,9600n8rr", "ttyS0,99999999999", "ttyS0,9600ü", "ttyS0,9600n8 "];
        for word in bad.into_iter().chain(worse) {
            assert_eq!(Line::parse(word), None, "{word}");
        }
    }
}
