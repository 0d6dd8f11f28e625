//! The kernel's own sleeps, and real time.

use core::future::Future;
use core::pin::Pin;
use core::task::{Context, Poll, Waker};

use abi::linux::general as linux;
use abi::{Errno, Itimerspec, Timespec};
use types::Nanos;

use crate::testing::World;

const REAL: u64 = linux::CLOCK_REALTIME as u64;

fn failed(errno: Errno) -> i64 {
    -(errno.number() as i64)
}

#[test]
fn sleeps_last_for_their_milliseconds() {
    let (world, _init) = World::new();
    let start = world.system.get_current_time_ms();
    let mut sleep = world.system.sleep_ms(5);
    let mut poll = || Pin::new(&mut sleep).poll(&mut Context::from_waker(Waker::noop()));
    assert_eq!(poll(), Poll::Pending);
    world.advance(Nanos::from_millis(4));
    assert_eq!(poll(), Poll::Pending);
    world.advance(Nanos::from_millis(1));
    assert_eq!((poll(), world.system.get_current_time_ms()), (Poll::Ready(()), start + 5));
}

#[test]
fn who_waits_for_a_real_time_is_woken_when_the_clock_is_set_past_it() {
    let (world, init) = World::new();
    let now = world.system.wall_clock.now_ns() / 1_000_000_000;
    let at = |secs: i64| init.value(&Timespec { tv_sec: now + secs, tv_nsec: 0 });
    let absolute = u64::from(linux::TIMER_ABSTIME);
    let mut sleeper = init.start(linux::__NR_clock_nanosleep, [REAL, absolute, at(1000), 0]);
    sleeper.waits();

    let timer = init.call(linux::__NR_timerfd_create, [REAL, linux::TFD_NONBLOCK.into()]) as u64;
    let zero = Timespec { tv_sec: 0, tv_nsec: 0 };
    let far = Itimerspec { it_interval: zero, it_value: Timespec { tv_sec: now + 100_000, tv_nsec: 0 } };
    let flags = u64::from(linux::TFD_TIMER_ABSTIME | linux::TFD_TIMER_CANCEL_ON_SET);
    assert_eq!(init.call(linux::__NR_timerfd_settime, [timer, flags, init.value(&far), 0]), 0);
    let count = init.room(8);
    assert_eq!(init.call(linux::__NR_read, [timer, count, 8]), failed(Errno::EAGAIN));

    assert_eq!(init.call(linux::__NR_clock_settime, [REAL, at(500)]), 0);
    world.advance(Nanos::ZERO);
    sleeper.waits();
    assert_eq!(init.call(linux::__NR_read, [timer, count, 8]), failed(Errno::ECANCELED));
    assert_eq!(init.call(linux::__NR_read, [timer, count, 8]), failed(Errno::EAGAIN));
    assert_eq!(init.call(linux::__NR_clock_settime, [REAL, at(1000)]), 0);
    world.advance(Nanos::ZERO);
    assert_eq!(sleeper.finish(), 0);
}
