//! Clocks: the time-stamp counter as the monotonic clock, the local APIC as the alarm, the CMOS for the date.

mod calibrate;
mod clock;
mod rtc;

pub use calibrate::{References, Source};
pub use clock::{cycles, init, now, set_deadline, span};
pub use rtc::wall_clock;
