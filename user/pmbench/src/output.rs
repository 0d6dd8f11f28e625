//! Lines of output, without a formatter: fewer pages for the process that is measured.

use crate::sys;

/// Writes `text` at once.
pub fn text(text: &str) {
    sys::write(1, text.as_bytes());
}

/// Writes `name value`.
pub fn line(name: &str, value: u64) {
    let mut digits = [0; 20];
    let mut at = digits.len();
    let mut rest = value;
    loop {
        at -= 1;
        digits[at] = b'0' + (rest % 10) as u8;
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    // One write, so that lines of several processes do not mix.
    let mut buffer = [0; 96];
    let mut length = 0;
    for &byte in name.as_bytes().iter().chain(b" ").chain(&digits[at..]).chain(b"\n") {
        buffer[length] = byte;
        length += 1;
    }
    sys::write(1, &buffer[..length]);
}

/// The parts of a name, one after the other, in `buffer`; what has no room is left out.
pub fn join<'a>(buffer: &'a mut [u8], parts: &[&str]) -> &'a str {
    let mut length = 0;
    for (place, byte) in buffer.iter_mut().zip(parts.iter().flat_map(|part| part.bytes())) {
        *place = byte;
        length += 1;
    }
    core::str::from_utf8(&buffer[..length]).unwrap_or("?")
}

/// Reports that the row being measured cannot go on.
pub fn fail(what: &str, result: i64) -> ! {
    text("# failed: ");
    text(what);
    line(" = -", result.unsigned_abs());
    sys::exit(99)
}

/// Whether `part` occurs in `whole`.
pub fn contains(whole: &[u8], part: &[u8]) -> bool {
    part.is_empty() || whole.windows(part.len()).any(|window| window == part)
}
