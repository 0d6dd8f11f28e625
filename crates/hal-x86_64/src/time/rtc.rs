//! The battery clock of the PC (MC146818 in CMOS memory): the date at boot.

use crate::io::Port;

// SAFETY: the index port of CMOS memory; bit 7 of the index, which masks NMI, stays clear.
const INDEX: Port<u8> = unsafe { Port::new(0x70) };
// SAFETY: its data port; it is only read.
const DATA: Port<u8> = unsafe { Port::new(0x71) };

const STATUS_A: u8 = 0x0a;
const STATUS_B: u8 = 0x0b;
const UPDATING: u8 = 1 << 7;

/// Registers as they were read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Raw {
    second: u8,
    minute: u8,
    hour: u8,
    day: u8,
    month: u8,
    year: u8,
    status_b: u8,
}

/// Seconds since 1970-01-01 00:00 UTC; `None` where there is no clock, or it shows nonsense.
pub fn wall_clock() -> Option<u64> {
    // Twice the same between two updates is consistent. Bounded: without a clock all registers read 0xff.
    let mut last = None;
    for _ in 0..1000 {
        if read(STATUS_A) & UPDATING != 0 {
            core::hint::spin_loop();
            continue;
        }
        let raw = read_all();
        if last == Some(raw) {
            return decode(raw);
        }
        last = Some(raw);
    }
    None
}

fn read(register: u8) -> u8 {
    INDEX.write(register);
    DATA.read()
}

fn read_all() -> Raw {
    Raw {
        second: read(0),
        minute: read(2),
        hour: read(4),
        day: read(7),
        month: read(8),
        year: read(9),
        status_b: read(STATUS_B),
    }
}

fn decode(raw: Raw) -> Option<u64> {
    const BINARY: u8 = 1 << 2;
    const HOURS_24: u8 = 1 << 1;
    const AFTERNOON: u8 = 1 << 7;
    let number = |value: u8| -> Option<u64> {
        if raw.status_b & BINARY != 0 {
            return Some(value.into());
        }
        let (tens, ones) = (value >> 4, value & 0xf);
        (tens < 10 && ones < 10).then(|| u64::from(tens * 10 + ones))
    };
    let hour = if raw.status_b & HOURS_24 != 0 {
        number(raw.hour)?
    } else {
        let hour = number(raw.hour & !AFTERNOON)?;
        hour % 12 + if raw.hour & AFTERNOON != 0 { 12 } else { 0 }
    };
    let (second, minute) = (number(raw.second)?, number(raw.minute)?);
    let (day, month) = (number(raw.day)?, number(raw.month)?);
    // There is a century register, but not at a place that all PCs agree on.
    let year = 2000 + number(raw.year)?;
    let sound = second < 61 && minute < 60 && hour < 24 && (1..=31).contains(&day) && (1..=12).contains(&month);
    sound.then(|| days_since_1970(year, month, day) * 86_400 + hour * 3600 + minute * 60 + second)
}

/// Days from 1970-01-01 in the Gregorian calendar; years count from March, so that the leap day comes last.
const fn days_since_1970(year: u64, month: u64, day: u64) -> u64 {
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let leap_days = year / 4 - year / 100 + year / 400;
    // 719,468 days lie between 0000-03-01 and 1970-01-01.
    year * 365 + leap_days + (month * 153 + 2) / 5 + day - 1 - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;

    const NEW_YEAR_2026: Raw = Raw { second: 0, minute: 0, hour: 0, day: 1, month: 1, year: 0x26, status_b: 2 };

    #[test]
    fn dates_are_counted_from_1970() {
        assert_eq!(days_since_1970(1970, 1, 1), 0);
        assert_eq!(days_since_1970(2000, 2, 29), 11_016);
        assert_eq!(days_since_1970(2000, 3, 1), 11_017);
        assert_eq!(decode(NEW_YEAR_2026), Some(1_767_225_600));
    }

    #[test]
    fn binary_and_twelve_hour_clocks_are_understood() {
        let binary = Raw { year: 26, status_b: 6, ..NEW_YEAR_2026 };
        assert_eq!(decode(binary), Some(1_767_225_600));
        let noon = Raw { hour: 0x92, status_b: 0, ..NEW_YEAR_2026 };
        assert_eq!(decode(noon), Some(1_767_225_600 + 12 * 3600));
        let midnight = Raw { hour: 0x12, status_b: 0, ..NEW_YEAR_2026 };
        assert_eq!(decode(midnight), Some(1_767_225_600));
    }

    #[test]
    fn a_missing_clock_is_noticed() {
        let missing =
            Raw { second: 0xff, minute: 0xff, hour: 0xff, day: 0xff, month: 0xff, year: 0xff, status_b: 0xff };
        assert_eq!(decode(missing), None);
    }
}
