//! Clocks: the time-stamp counter as the monotonic clock, the local APIC as the alarm, the CMOS for the date.

mod calibrate;
mod clock;
mod order;
mod rtc;

pub use calibrate::{References, Source};
pub use clock::{at, cycles, init, now, now_in_order, set_deadline, span};
pub(crate) use order::compare;
pub use order::{Steadiness, steadiness};
pub use rtc::wall_clock;
