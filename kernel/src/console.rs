//! The console: a serial line, with the terminal behind it. It is the last that `console=` names and the machine has, as on
//! Linux, otherwise the first port.

use core::sync::atomic::{AtomicBool, AtomicU8, Ordering};

use hal::Console;
use hal_x86_64::serial::{self, Com, Line};
use log::warn;
use syscall::System;

/// Typed bytes wait in the port's ring.
static INPUT: AtomicBool = AtomicBool::new(false);

/// The port's bit.
static PORT: AtomicU8 = AtomicU8::new(Com::One.bit());

fn port() -> Com {
    let bit = PORT.load(Ordering::Relaxed);
    Com::ALL.into_iter().find(|com| com.bit() == bit).unwrap_or(Com::One)
}

/// Obeys `console=ttyS<n>[,<baud><parity><bits>]`, once for each word, and gives the ports that there are, one bit each: they
/// show the kernel log if nothing else is said. None if no word names one.
pub(crate) fn configure(line: crate::boot::CommandLine<'_>) -> Option<u8> {
    let (mut last, mut ports) = (None, 0);
    for setting in line.values("console").filter_map(Line::parse).filter(|setting| serial::init(*setting)) {
        last = Some(setting.com);
        ports |= setting.com.bit();
    }
    PORT.store(last.unwrap_or(Com::One).bit(), Ordering::Relaxed);
    last.map(|_| ports)
}

/// Says which words [`configure`] could do nothing with; apart, since the log starts after it.
pub(crate) fn report(line: crate::boot::CommandLine<'_>) {
    for word in line.values("console") {
        match Line::parse(word) {
            Some(setting) if serial::present(setting.com) => {}
            Some(_) => warn!("console: this machine has no {word}; the console is {}", port().name()),
            None => warn!("console: {word} is none of ttyS0 to ttyS3; the console is {}", port().name()),
        }
    }
}

/// Output to the serial line.
pub(crate) struct SerialConsole;

impl Console for SerialConsole {
    fn write(&self, bytes: &[u8]) {
        serial::write(port(), bytes);
    }
}

/// Takes input by interrupt from now on.
pub(crate) fn enable_input() {
    serial::enable_input(port(), || INPUT.store(true, Ordering::Release));
}

/// Hands typed bytes to the terminal, and does what they cause.
pub(crate) fn serve_input(system: &'static System) {
    if !INPUT.load(Ordering::Acquire) || !INPUT.swap(false, Ordering::AcqRel) {
        return;
    }
    let Some(files) = system.files.get() else { return };
    let mut bytes = [0; 256];
    loop {
        let len = serial::drain_input(port(), &mut bytes);
        let Some(typed) = bytes.get(..len).filter(|typed| !typed.is_empty()) else { return };
        let effects = files.console().receive(typed);
        system.after_terminal(effects);
    }
}
