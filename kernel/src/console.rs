//! The console: the first serial line, with the terminal behind it.

use core::sync::atomic::{AtomicBool, Ordering};

use hal::Console;
use hal_x86_64::serial::{self, Com};
use syscall::System;

/// Typed bytes wait in the port's ring.
static INPUT: AtomicBool = AtomicBool::new(false);

/// Output to the first serial line.
pub(crate) struct SerialConsole;

impl Console for SerialConsole {
    fn write(&self, bytes: &[u8]) {
        serial::write(Com::One, bytes);
    }
}

/// Takes input by interrupt from now on.
pub(crate) fn enable_input() {
    serial::enable_input(Com::One, || INPUT.store(true, Ordering::Release));
}

/// Hands typed bytes to the terminal, and does what they cause.
pub(crate) fn serve_input(system: &'static System) {
    if !INPUT.load(Ordering::Acquire) || !INPUT.swap(false, Ordering::AcqRel) {
        return;
    }
    let Some(files) = system.files.get() else { return };
    let mut bytes = [0; 256];
    loop {
        let len = serial::drain_input(Com::One, &mut bytes);
        let Some(typed) = bytes.get(..len).filter(|typed| !typed.is_empty()) else { return };
        let effects = files.console().receive(typed);
        system.after_terminal(effects);
    }
}
