//! adjtimex and clock_adjtime: the state of the clock, and steps of it. Its rate is never changed: nobody disciplines it here.

use abi::linux::general as linux;
use abi::{Errno, Timeval, abi_struct};
use types::{Capabilities, Nanos};

use crate::{Caller, SysResult};

use super::time::{Clock, set_real_time};

abi_struct! {
    /// `struct timex`.
    pub struct Timex {
        /// What to set: `ADJ_*`.
        pub modes: u32,
        /// Unused.
        pub pad: u32,
        /// Rest of a slewed correction.
        pub offset: i64,
        /// Correction of the rate, in 2^-16 of a millionth.
        pub freq: i64,
        /// Greatest error, microseconds.
        pub maxerror: i64,
        /// Estimated error, microseconds.
        pub esterror: i64,
        /// `STA_*`.
        pub status: i32,
        /// Unused.
        pub pad2: u32,
        /// Time constant of the control loop.
        pub constant: i64,
        /// Precision, microseconds.
        pub precision: i64,
        /// Greatest correction of the rate, in 2^-16 of a millionth.
        pub tolerance: i64,
        /// Now, or by how much to step.
        pub time: Timeval,
        /// Microseconds between ticks.
        pub tick: i64,
        /// Of a signal of pulses: none.
        pub pulses: [u64; 8],
        /// TAI - UTC, seconds.
        pub tai: i32,
        /// Unused.
        pub reserved: [u32; 11],
    }
}

const ADJ_SETOFFSET: u32 = 0x100;
const ADJ_NANO: u32 = 0x2000;
/// adjtime(3) that only asks.
const ADJ_OFFSET_SS_READ: u32 = 0xa001;
const STA_UNSYNC: i32 = 0x40;
/// The answer for a clock that nobody keeps right.
const TIME_ERROR: u64 = 5;
/// What Linux begins with: 16 s.
const UNKNOWN_ERROR: i64 = 16_000_000;
/// 500 millionths.
const TOLERANCE: i64 = 500 << 16;

pub(crate) fn sys_adjtimex(caller: Caller<'_>, address: u64) -> SysResult {
    let wanted: Timex = caller.memory().read(address)?;
    adjust(caller, wanted, address)
}

pub(crate) fn sys_clock_adjtime(caller: Caller<'_>, clock: u64, address: u64) -> SysResult {
    let wanted: Timex = caller.memory().read(address)?;
    if clock as i32 != linux::CLOCK_REALTIME as i32 {
        Clock::decode(caller, clock)?;
        return Err(Errno::EOPNOTSUPP.into());
    }
    adjust(caller, wanted, address)
}

fn adjust(caller: Caller<'_>, wanted: Timex, address: u64) -> SysResult {
    let modes = wanted.modes;
    if modes != 0 && modes != ADJ_OFFSET_SS_READ {
        if !caller.capable(Capabilities::SYS_TIME) {
            return Err(Errno::EPERM.into());
        }
        if modes & !(ADJ_SETOFFSET | ADJ_NANO) != 0 {
            return Err(Errno::ENOSYS.into());
        }
        if modes & ADJ_SETOFFSET != 0 {
            step(caller, wanted)?;
        }
    }
    let now = caller.system.wall_clock.now_ns();
    let (secs, nanos) = (now.div_euclid(1_000_000_000), now.rem_euclid(1_000_000_000));
    let fraction = if modes & ADJ_NANO != 0 { nanos } else { nanos / 1000 };
    let state = Timex {
        modes,
        pad: 0,
        offset: 0,
        freq: 0,
        maxerror: UNKNOWN_ERROR,
        esterror: UNKNOWN_ERROR,
        status: STA_UNSYNC,
        pad2: 0,
        constant: 2,
        precision: 1,
        tolerance: TOLERANCE,
        time: Timeval { tv_sec: secs, tv_usec: fraction },
        tick: 10_000,
        pulses: [0; 8],
        tai: 0,
        reserved: [0; 11],
    };
    caller.memory().write(address, &state)?;
    Ok(TIME_ERROR)
}

/// Adds to the clock at once (ADJ_SETOFFSET).
fn step(caller: Caller<'_>, wanted: Timex) -> SysResult<()> {
    let Timeval { tv_sec, tv_usec } = wanted.time;
    let (unit, most) = if wanted.modes & ADJ_NANO != 0 { (1, 1_000_000_000) } else { (1000, 1_000_000) };
    if !(0..most).contains(&tv_usec) {
        return Err(Errno::EINVAL.into());
    }
    let by = tv_sec.checked_mul(1_000_000_000).and_then(|by| by.checked_add(tv_usec * unit)).ok_or(Errno::EINVAL)?;
    let now = caller.system.wall_clock.now_ns().checked_add(by).ok_or(Errno::EINVAL)?;
    set_real_time(caller, Nanos(u64::try_from(now).map_err(|_| Errno::EINVAL)?)).map(|_| ())
}
