//! Durations, sizes, shares and signals as people write them.

use types::Nanos;

/// `30s`, `100ms`, `1h30m`; a bare `0` needs no unit.
///
/// # Errors
/// What would be right.
pub fn duration(text: &str) -> Result<Nanos, String> {
    const UNITS: [(&str, u64); 6] = [
        ("ns", 1),
        ("us", 1_000),
        ("ms", 1_000_000),
        ("s", 1_000_000_000),
        ("m", 60_000_000_000),
        ("h", 3_600_000_000_000),
    ];
    let wrong = || format!("{text:?} is not a duration such as \"100ms\", \"30s\", \"5m\" or \"1h30m\"");
    if text == "0" {
        return Ok(Nanos::ZERO);
    }
    if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(format!("{text:?} needs its unit, as in \"{text}s\""));
    }
    let mut rest = text;
    let mut total = 0u64;
    if rest.is_empty() {
        return Err(wrong());
    }
    while !rest.is_empty() {
        let (number, after) = rest.split_at(rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len()));
        let (unit, after) = after.split_at(after.find(|c: char| c.is_ascii_digit()).unwrap_or(after.len()));
        let scale = UNITS.iter().find(|(name, _)| *name == unit).map(|(_, scale)| *scale).ok_or_else(wrong)?;
        let number: u64 = number.parse().map_err(|_| wrong())?;
        let part = number.checked_mul(scale).ok_or_else(|| format!("{text:?} is too long"))?;
        total = total.checked_add(part).ok_or_else(|| format!("{text:?} is too long"))?;
        rest = after;
    }
    Ok(Nanos(total))
}

/// `64M`, `4K`, `1G`, or bytes.
///
/// # Errors
/// What would be right.
pub fn size(text: &str) -> Result<u64, String> {
    let wrong = || format!("{text:?} is not a size such as \"512K\", \"64M\" or \"2G\"");
    let (number, unit) = text.split_at(text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len()));
    let shift = match unit {
        "" | "B" => 0,
        "K" | "KiB" => 10,
        "M" | "MiB" => 20,
        "G" | "GiB" => 30,
        "T" | "TiB" => 40,
        _ => return Err(wrong()),
    };
    let number: u64 = number.parse().map_err(|_| wrong())?;
    number.checked_mul(1 << shift).ok_or_else(|| format!("{text:?} is more than any machine has"))
}

/// `50%` of a CPU, `2.5%`, `200%`; in thousandths of one CPU.
pub(super) fn share(text: &str) -> Result<u32, String> {
    let wrong = || format!("{text:?} is not a share of one CPU such as \"50%\" or \"200%\"");
    let number = text.strip_suffix('%').ok_or_else(wrong)?.trim_end();
    let (whole, tenth) = number.split_once('.').unwrap_or((number, "0"));
    let whole: u32 = whole.parse().map_err(|_| wrong())?;
    let tenth: u32 = tenth.parse().ok().filter(|tenth| *tenth < 10).ok_or_else(wrong)?;
    whole.checked_mul(10).and_then(|thousandths| thousandths.checked_add(tenth)).ok_or_else(wrong)
}

const SIGNALS: [(&str, u8); 14] = [
    ("HUP", 1),
    ("INT", 2),
    ("QUIT", 3),
    ("ABRT", 6),
    ("BUS", 7),
    ("FPE", 8),
    ("KILL", 9),
    ("USR1", 10),
    ("SEGV", 11),
    ("USR2", 12),
    ("PIPE", 13),
    ("ALRM", 14),
    ("TERM", 15),
    ("SYS", 31),
];

/// `TERM`, `SIGTERM`.
pub(super) fn signal(text: &str) -> Result<u8, String> {
    let name = text.strip_prefix("SIG").unwrap_or(text);
    let known = SIGNALS.iter().find(|(known, _)| *known == name);
    known.map(|(_, number)| *number).ok_or_else(|| format!("{text:?} is not a signal such as \"TERM\" or \"INT\""))
}

/// The name of a signal, `SIGTERM`; its number if it has none here.
pub fn show_signal(number: u8) -> String {
    let known = SIGNALS.iter().find(|(_, known)| *known == number);
    known.map_or_else(|| format!("signal {number}"), |(name, _)| format!("SIG{name}"))
}

/// At most two units, as exact as somebody who looks at a table needs: `2d4h`, `3m12s`, `2.9s`, `41ms`.
pub fn show_duration(span: Nanos) -> String {
    let two = |big: u64, unit: &str, small: u64, smaller: &str| match small {
        0 => format!("{big}{unit}"),
        _ => format!("{big}{unit}{small}{smaller}"),
    };
    let (millis, secs) = (span.millis(), span.secs());
    match secs {
        0 if span.0 < 1_000_000 => format!("{}us", span.micros()),
        0 => format!("{millis}ms"),
        1..10 => format!("{}.{}s", secs, millis % 1000 / 100),
        10..60 => format!("{secs}s"),
        60..3600 => two(secs / 60, "m", secs % 60, "s"),
        3600..86_400 => two(secs / 3600, "h", secs % 3600 / 60, "m"),
        _ => two(secs / 86_400, "d", secs % 86_400 / 3600, "h"),
    }
}

/// `1.2M`.
pub fn show_size(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["B", "K", "M", "G", "T"];
    let tenths = u128::from(bytes) * 10;
    let unit = (1..UNITS.len()).rev().find(|unit| bytes >> (10 * unit) > 0).unwrap_or(0);
    let scaled = tenths >> (10 * unit);
    let name = UNITS.get(unit).copied().unwrap_or_default();
    if unit == 0 || scaled >= 1000 {
        format!("{}{name}", scaled / 10)
    } else {
        format!("{}.{}{name}", scaled / 10, scaled % 10)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_add_up() {
        assert_eq!(duration("1h30m"), Ok(Nanos::from_secs(5400)));
        assert_eq!(duration("100ms"), Ok(Nanos::from_millis(100)));
        assert_eq!(duration("0"), Ok(Nanos::ZERO));
        for bad in ["", "5", "s", "5 s", "-1s", "1.5s", "5sec", "99999999999999999999s", "5000000000000h"] {
            assert!(duration(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn sizes_are_powers_of_two() {
        assert_eq!(size("64M"), Ok(64 << 20));
        assert_eq!(size("4096"), Ok(4096));
        for bad in ["", "M", "1.5G", "-1", "64MB", "64m", "99999999999T"] {
            assert!(size(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn shares_are_of_one_cpu() {
        assert_eq!(share("50%"), Ok(500));
        assert_eq!(share("2.5%"), Ok(25));
        assert_eq!(share("200%"), Ok(2000));
        for bad in ["50", "%", "-5%", "1.25%", "x%"] {
            assert!(share(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn what_is_shown_fits_into_a_column() {
        let shown = [0, 999, 41_000_000, 2_949_000_000, 192_000_000_000, 187_200_000_000_000, 7_200_000_000_000];
        let shown: Vec<_> = shown.into_iter().map(|nanos| show_duration(Nanos(nanos))).collect();
        assert_eq!(shown, ["0us", "0us", "41ms", "2.9s", "3m12s", "2d4h", "2h"]);
        let sizes: Vec<_> = [0, 1023, 1024, 1_300_000, 64 << 20, 3 << 40].into_iter().map(show_size).collect();
        assert_eq!(sizes, ["0B", "1023B", "1.0K", "1.2M", "64.0M", "3.0T"]);
    }

    #[test]
    fn signals_have_names() {
        assert_eq!((signal("TERM"), signal("SIGHUP")), (Ok(15), Ok(1)));
        assert!(signal("term").is_err());
        assert_eq!((show_signal(11), show_signal(40)), ("SIGSEGV".into(), "signal 40".into()));
    }
}
