//! The kernel log: `[    1.234567] room: message`, to a serial port and to a ring that /dev/kmsg and `dmesg` read.

use core::fmt::{self, Write};
use core::sync::atomic::{AtomicU8, Ordering};

use hal_x86_64::serial::{self, Com};
use hal_x86_64::time;
use log::{LevelFilter, Log, Metadata, Record};
use sync::{Rank, SpinLock};

/// Bytes of the ring.
const RING: usize = 32 * 1024;

static LOGGER: KernelLog = KernelLog;
/// The ports that show the log, one bit each.
static PORTS: AtomicU8 = AtomicU8::new(Com::One.bit());
static RECENT: SpinLock<Ring> = SpinLock::new(Rank::CONSOLE, Ring { bytes: [0; RING], written: 0 });

struct Ring {
    bytes: [u8; RING],
    written: usize,
}

struct KernelLog;

/// Makes this the log of all rooms.
pub(crate) fn init() {
    // Refused only if a logger is set already, and nobody else sets one.
    let _ = log::set_logger(&LOGGER);
    log::set_max_level(LevelFilter::Info);
}

/// Obeys `log=ttyS<n>|none` and `loglevel=0..7` of the command line (Linux's levels; 4 shows warnings). Without `log=` the log
/// goes to `consoles`, one bit for each port, or to the first port.
pub(crate) fn configure(line: crate::boot::CommandLine<'_>, consoles: Option<u8>) {
    let wanted = line.value("log");
    let ports = match wanted.and_then(Com::from_name) {
        Some(port) => port.bit(),
        None if wanted == Some("none") => 0,
        None => consoles.unwrap_or(Com::One.bit()),
    };
    PORTS.store(ports, Ordering::Relaxed);
    let level = match line.number("loglevel") {
        Some(0..=2) => LevelFilter::Off,
        Some(3) => LevelFilter::Error,
        Some(4) => LevelFilter::Warn,
        Some(5 | 6) | None => LevelFilter::Info,
        Some(7) => LevelFilter::Debug,
        Some(_) => LevelFilter::Trace,
    };
    log::set_max_level(level);
}

/// The ports that show the log, as something to write to.
pub(crate) struct Ports;

impl Write for Ports {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let ports = PORTS.load(Ordering::Relaxed);
        Com::ALL.into_iter().filter(|com| ports & com.bit() != 0).try_for_each(|com| serial::Text(com).write_str(text))
    }
}

/// Whether no port shows the log.
pub(crate) fn is_hidden() -> bool {
    PORTS.load(Ordering::Relaxed) == 0
}

/// A line for whoever runs this machine as a test, exactly as it is, on the log's ports.
pub(crate) fn marker(text: fmt::Arguments<'_>) {
    let _ = writeln!(Ports, "{text}");
}

/// Copies log text from position `from` on (bytes since boot) to `out`; the position after it. What has been overwritten
/// is skipped.
fn read(from: usize, out: &mut [u8]) -> (usize, usize) {
    let ring = RECENT.lock();
    let start = from.max(ring.written.saturating_sub(RING));
    let len = out.len().min(ring.written.saturating_sub(start));
    for (i, slot) in out.iter_mut().take(len).enumerate() {
        *slot = ring.bytes.get((start + i) % RING).copied().unwrap_or(0);
    }
    (len, start + len)
}

/// The recent log, for /dev/kmsg.
pub(crate) struct RecentLog;

impl vfs::dev::KernelLog for RecentLog {
    fn write(&self, text: &[u8]) {
        for line in text.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
            log::info!("user: {}", alloc::string::String::from_utf8_lossy(line));
        }
    }

    fn read(&self, position: u64, out: &mut [u8]) -> Option<(usize, u64)> {
        let (len, next) = read(position as usize, out);
        (len > 0).then_some((len, next as u64))
    }
}

impl Log for KernelLog {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.level() <= log::max_level()
    }

    fn log(&self, record: &Record<'_>) {
        if !self.enabled(record.metadata()) {
            return;
        }
        let now = time::now();
        let mut line = Line { text: [0; 400], len: 0 };
        let _ = writeln!(line, "[{:5}.{:06}] {}", now.secs(), now.subsec_nanos() / 1000, record.args());
        let bytes = line.text.get(..line.len).unwrap_or_default();
        RECENT.lock().push(bytes);
        if let Ok(text) = core::str::from_utf8(bytes) {
            let _ = Ports.write_str(text);
        }
    }

    fn flush(&self) {}
}

impl Ring {
    fn push(&mut self, bytes: &[u8]) {
        for byte in bytes {
            if let Some(slot) = self.bytes.get_mut(self.written % RING) {
                *slot = *byte;
            }
            self.written += 1;
        }
    }
}

/// One line, cut where it is too long.
struct Line {
    text: [u8; 400],
    len: usize,
}

impl Write for Line {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for c in text.chars() {
            let mut utf8 = [0; 4];
            let bytes = c.encode_utf8(&mut utf8).as_bytes();
            // Room for the line feed stays.
            let limit = if c == '\n' { self.text.len() } else { self.text.len() - 1 };
            match self.text.get_mut(self.len..limit).and_then(|rest| rest.get_mut(..bytes.len())) {
                Some(slot) => slot.copy_from_slice(bytes),
                None => continue,
            }
            self.len += bytes.len();
        }
        Ok(())
    }
}
