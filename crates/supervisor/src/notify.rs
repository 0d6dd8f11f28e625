//! What a service says of itself over NOTIFY_SOCKET: the text of sd_notify(3).

use types::Nanos;

/// One thing that was said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Notice<'a> {
    /// READY=1.
    Ready,
    /// STOPPING=1.
    Stopping,
    /// RELOADING=1.
    Reloading,
    /// WATCHDOG=1.
    Alive,
    /// WATCHDOG=trigger.
    Unwell,
    /// EXTEND_TIMEOUT_USEC=.
    Extend(Nanos),
    /// STATUS=.
    Status(&'a str),
    /// MAINPID=, as the sender numbers processes.
    MainPid(u32),
}

/// Longest STATUS= that is kept.
const MAX_STATUS: usize = 128;

/// What a datagram says, line by line; lines that mean nothing here are passed over, as sd_notify(3) wants.
pub fn parse_notice(text: &[u8]) -> impl Iterator<Item = Notice<'_>> {
    text.split(|byte| *byte == b'\n').filter_map(|line| {
        let line = core::str::from_utf8(line).ok()?;
        let (name, value) = line.split_once('=')?;
        Some(match (name, value) {
            ("READY", "1") => Notice::Ready,
            ("STOPPING", "1") => Notice::Stopping,
            ("RELOADING", "1") => Notice::Reloading,
            ("WATCHDOG", "1") => Notice::Alive,
            ("WATCHDOG", "trigger") => Notice::Unwell,
            ("EXTEND_TIMEOUT_USEC", span) => Notice::Extend(Nanos(span.parse::<u64>().ok()?.checked_mul(1000)?)),
            ("MAINPID", pid) => Notice::MainPid(pid.parse().ok()?),
            ("STATUS", text) => {
                let mut end = text.len().min(MAX_STATUS);
                while !text.is_char_boundary(end) {
                    end -= 1;
                }
                Notice::Status(text.get(..end)?)
            }
            _ => return None,
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec::Vec;

    #[test]
    fn lines_are_read_and_nonsense_is_passed_over() {
        let text = b"READY=1\nSTATUS=doing well\nX=1\nREADY=2\n\xff=1\nMAINPID=12\nMAINPID=-1\nEXTEND_TIMEOUT_USEC=5\nWATCHDOG=1";
        let read: Vec<_> = parse_notice(text).collect();
        let expected = [
            Notice::Ready,
            Notice::Status("doing well"),
            Notice::MainPid(12),
            Notice::Extend(Nanos(5000)),
            Notice::Alive,
        ];
        assert_eq!(read, expected);
        assert_eq!(parse_notice(b"EXTEND_TIMEOUT_USEC=18446744073709551615").count(), 0);
        let long = alloc::format!("STATUS={}", "ü".repeat(100));
        assert_eq!(parse_notice(long.as_bytes()).next(), Some(Notice::Status(&"ü".repeat(64))));
    }
}
