//! Serial ports COM1 to COM4.
//!
//! Output is polled with a bounded wait: a port that nobody drains loses bytes and never hangs the kernel. It takes no
//! lock, so it works before anything is set up and in a panic; whoever wants lines kept whole takes a lock above.
//! Input is taken by interrupt into a ring, from which the kernel drains it.

mod line;
mod ring;

use core::fmt;
use core::sync::atomic::{AtomicU8, Ordering};

use uart_16550::Uart16550;
use uart_16550::backend::PioBackend;
use uart_16550::spec::registers::IER;

use crate::interrupts;
pub use line::Line;
use ring::Ring;

/// A serial port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Com {
    /// At 0x3f8, interrupt 4.
    One,
    /// At 0x2f8, interrupt 3.
    Two,
    /// At 0x3e8, interrupt 4 as well.
    Three,
    /// At 0x2e8, interrupt 3 as well.
    Four,
}

impl Com {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::One, Self::Two, Self::Three, Self::Four];

    const fn base(self) -> u16 {
        match self {
            Self::One => 0x3f8,
            Self::Two => 0x2f8,
            Self::Three => 0x3e8,
            Self::Four => 0x2e8,
        }
    }

    /// Its ISA interrupt.
    pub const fn irq(self) -> u8 {
        match self {
            Self::One | Self::Three => 4,
            Self::Two | Self::Four => 3,
        }
    }

    /// One bit for each.
    pub const fn bit(self) -> u8 {
        match self {
            Self::One => 1,
            Self::Two => 2,
            Self::Three => 4,
            Self::Four => 8,
        }
    }

    /// As Linux calls it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::One => "ttyS0",
            Self::Two => "ttyS1",
            Self::Three => "ttyS2",
            Self::Four => "ttyS3",
        }
    }

    /// The port that Linux calls so.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|com| com.name() == name)
    }

    const fn ring(self) -> &'static Ring {
        match self {
            Self::One => &INPUT[0],
            Self::Two => &INPUT[1],
            Self::Three => &INPUT[2],
            Self::Four => &INPUT[3],
        }
    }
}

/// Most polls of the line status for room in the transmitter: some milliseconds on a PC, where 16 bytes take 1.4 ms.
const PATIENCE: u32 = 50_000;

static INPUT: [Ring; 4] = [const { Ring::new() }; 4];
/// Ports that answered [`init`], one bit each.
static PRESENT: AtomicU8 = AtomicU8::new(0);

/// A driver for the port. It keeps no state that matters between uses, so each use makes one.
fn uart(com: Com) -> Option<Uart16550<PioBackend>> {
    // SAFETY: these ports are those of a UART on every PC, or nobody's; either way they do not touch memory.
    unsafe { Uart16550::new_port(com.base()) }.ok()
}

/// Sets the port's line, with FIFO and without interrupts. `false`: there is no port.
pub fn init(line: Line) -> bool {
    let com = line.com;
    let present = uart(com).is_some_and(|mut uart| uart.init(line.config()).is_ok());
    if present {
        PRESENT.fetch_or(com.bit(), Ordering::Relaxed);
    }
    present
}

/// Whether [`init`] has found the port.
pub fn present(com: Com) -> bool {
    PRESENT.load(Ordering::Relaxed) & com.bit() != 0
}

/// Takes input of the port by interrupt from now on. `on_input` runs in the interrupt handler after bytes came:
/// it sets a flag or wakes a task, and [`drain_input`] gets the bytes later. One function serves all ports.
pub fn enable_input(com: Com, on_input: fn()) {
    let Some(mut uart) = uart(com).filter(|_| present(com)) else { return };
    ON_INPUT.call_once(|| on_input);
    TAKEN.fetch_or(com.bit(), Ordering::Relaxed);
    interrupts::set_irq_handler(com.irq(), if com.irq() == Com::One.irq() { on_odd } else { on_even });
    uart.enable_interrupts(IER::DATA_READY);
    // What came before would raise no edge.
    receive(com);
}

/// Ports whose input is taken, one bit each.
static TAKEN: AtomicU8 = AtomicU8::new(0);
static ON_INPUT: spin::Once<fn()> = spin::Once::new();

fn on_odd() {
    serve([Com::One, Com::Three]);
}

fn on_even() {
    serve([Com::Two, Com::Four]);
}

/// One interrupt line, two ports: which of them it was does not matter, the other has nothing.
fn serve(ports: [Com; 2]) {
    for com in ports {
        if TAKEN.load(Ordering::Relaxed) & com.bit() != 0 {
            receive(com);
        }
    }
    if let Some(notify) = ON_INPUT.get() {
        notify();
    }
}

/// Moves what the port has received into the ring; called by the interrupt, and by [`drain_input`] when interrupts are
/// not in use yet.
fn receive(com: Com) {
    let Some(mut uart) = uart(com) else { return };
    // Bounded: a port that always says "ready" shall not hang the kernel.
    for _ in 0..4096 {
        let Ok(byte) = uart.try_receive_byte() else { return };
        com.ring().push(byte);
    }
}

/// Takes received bytes into `out`; returns how many.
pub fn drain_input(com: Com, out: &mut [u8]) -> usize {
    com.ring().pop_into(out)
}

/// Looks for input without an interrupt; for the time before interrupts and for panics.
pub fn poll_input(com: Com) {
    receive(com);
}

/// Bytes lost because the ring was full.
pub fn lost_input(com: Com) -> u64 {
    com.ring().lost()
}

/// Writes all of `bytes` as they are, waiting for the port within bounds. Works before [`init`] and in a panic.
pub fn write(com: Com, mut bytes: &[u8]) {
    let Some(mut uart) = uart(com) else { return };
    let mut patience = PATIENCE;
    while !bytes.is_empty() {
        let sent = uart.send_bytes(bytes);
        bytes = bytes.get(sent..).unwrap_or(&[]);
        if sent > 0 {
            patience = PATIENCE;
        } else {
            let Some(rest) = patience.checked_sub(1) else { return };
            patience = rest;
            core::hint::spin_loop();
        }
    }
}

/// Text to COM1, line feeds with a carriage return. Needs nothing set up, takes no lock: for the first lines and the
/// last ones.
pub fn early_print(text: fmt::Arguments<'_>) {
    // The writer never fails.
    let _ = fmt::Write::write_fmt(&mut Text(Com::One), text);
}

/// Text to a port, line feeds with a carriage return.
#[derive(Clone, Copy, Debug)]
pub struct Text(pub Com);

impl fmt::Write for Text {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for line in text.split_inclusive('\n') {
            match line.strip_suffix('\n') {
                Some(line) => {
                    write(self.0, line.as_bytes());
                    write(self.0, b"\r\n");
                }
                None => write(self.0, line.as_bytes()),
            }
        }
        Ok(())
    }
}
