//! How many bytes an ioctl moves: the gate copies them, files see kernel slices only.

use abi::linux::ioctl as linux;

/// Most bytes an ioctl moves here.
pub const IOCTL_MAX_BYTES: usize = 256;

/// Bytes at an ioctl's argument address: read before the call, written back after it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct IoctlShape {
    /// Bytes copied in before.
    pub input: usize,
    /// Bytes copied out after success.
    pub output: usize,
}

impl IoctlShape {
    /// The argument is a plain number, or none.
    pub const VALUE: Self = Self { input: 0, output: 0 };

    const fn reads(output: usize) -> Self {
        Self { input: 0, output }
    }

    const fn writes(input: usize) -> Self {
        Self { input, output: 0 }
    }

    /// Shape of `request`: the old terminal requests by table, others by the size and direction in their number.
    pub const fn of(request: u32) -> Self {
        const TERMIOS: usize = 36;
        const TERMIO: usize = 18;
        match request {
            linux::TCGETS => Self::reads(TERMIOS),
            linux::TCSETS | linux::TCSETSW | linux::TCSETSF => Self::writes(TERMIOS),
            linux::TCGETA => Self::reads(TERMIO),
            linux::TCSETA | linux::TCSETAW | linux::TCSETAF => Self::writes(TERMIO),
            linux::TIOCGWINSZ => Self::reads(8),
            linux::TIOCSWINSZ => Self::writes(8),
            linux::TIOCGPGRP
            | linux::TIOCGSID
            | linux::TIOCINQ
            | linux::TIOCOUTQ
            | linux::TIOCGETD
            | linux::TIOCMGET
            | linux::TIOCGSOFTCAR
            | linux::FIOQSIZE => Self::reads(4),
            linux::TIOCSPGRP
            | linux::TIOCSETD
            | linux::TIOCMSET
            | linux::TIOCMBIS
            | linux::TIOCMBIC
            | linux::TIOCSSOFTCAR
            | linux::TIOCPKT
            | linux::FIONBIO
            | linux::FIOASYNC => Self::writes(4),
            linux::TIOCSTI => Self::writes(1),
            linux::TCSBRK
            | linux::TCSBRKP
            | linux::TCXONC
            | linux::TCFLSH
            | linux::TIOCSCTTY
            | linux::TIOCNOTTY
            | linux::TIOCEXCL
            | linux::TIOCNXCL
            | linux::TIOCCONS
            | linux::TIOCVHANGUP
            | linux::TIOCGPTPEER
            | linux::FIOCLEX
            | linux::FIONCLEX => Self::VALUE,
            // Of the encoded ones only the terminal's: what nobody here knows is no reason to look at memory.
            _ if (request >> 8) as u8 == b'T' => Self::encoded(request),
            _ => Self::VALUE,
        }
    }

    /// `_IOC` encoding: direction in bits 30-31 (1 = user writes, 2 = user reads), size in bits 16-29.
    const fn encoded(request: u32) -> Self {
        let direction = request >> 30;
        let size = ((request >> 16) & 0x3fff) as usize;
        let size = if size > IOCTL_MAX_BYTES { 0 } else { size };
        Self { input: if direction & 1 != 0 { size } else { 0 }, output: if direction & 2 != 0 { size } else { 0 } }
    }
}
