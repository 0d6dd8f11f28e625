//! The short way of futex(2) for what locks and condition variables do most: a wait without a deadline, and a wake-up. Same
//! answers as `futex.rs`.

use core::cell::Cell;
use core::future::Future;
use core::pin::Pin;
use core::task::{Context, Poll};

use abi::Errno;
use abi::linux::general as linux;
use memory::FutexKey;
use process::futex::{FutexTable, MATCH_ANY, Sleeper};
use process::signal::Restart;

use super::futex::{scope, wake};
use crate::{Caller, SysError, SysResult};

/// What the short way says to a call.
pub enum ShortFutex {
    /// It is served: what it returns.
    Done(u64),
    /// It sleeps: the caller is queued for that, and has to await a [`FutexSleep`].
    Sleeps,
    /// It is for the ordinary way.
    Other,
}

/// A thread's place in the table of futexes, for one sleep after another.
#[derive(Default)]
pub struct FutexPlace(Cell<Option<Sleeper<FutexKey>>>);

impl FutexPlace {
    /// Not used so far.
    #[must_use]
    pub const fn new() -> Self {
        Self(Cell::new(None))
    }
}

/// Serves a call of futex(2), or begins its wait.
#[inline]
pub fn short_futex(caller: Caller<'_>, args: [u64; 6], place: &FutexPlace) -> ShortFutex {
    const WAIT: u32 = linux::FUTEX_WAIT;
    const WAKE: u32 = linux::FUTEX_WAKE;
    const WAIT_BITSET: u32 = linux::FUTEX_WAIT_BITSET;
    const WAIT_BITSET_REALTIME: u32 = linux::FUTEX_WAIT_BITSET | linux::FUTEX_CLOCK_REALTIME;
    let [address, operation, value, timeout, _, bitset] = args;
    let operation = operation as u32;
    let bitset = match operation & !linux::FUTEX_PRIVATE_FLAG {
        WAKE => return done(wake(caller, address, scope(operation), value as u32, MATCH_ANY)),
        WAIT => MATCH_ANY,
        WAIT_BITSET | WAIT_BITSET_REALTIME => bitset as u32,
        _ => return ShortFutex::Other,
    };
    let Some(waker) = caller.thread.waker() else { return ShortFutex::Other };
    if timeout != 0 || bitset == 0 {
        return ShortFutex::Other;
    }
    let key = match caller.space.futex_key(address, scope(operation)) {
        Ok(key) => key,
        Err(error) => return done(Err(error.into())),
    };
    let futexes = &caller.system.futexes;
    let sleeper = futexes.begin_sleep(place.0.take(), key, bitset, waker);
    let word = caller.memory().read_word(address);
    let sleeps = word == Some(value as u32);
    if !sleeps {
        futexes.abandon_sleep(&sleeper);
    }
    place.0.set(Some(sleeper));
    if sleeps { ShortFutex::Sleeps } else { refused(word) }
}

#[inline]
fn done(result: SysResult) -> ShortFutex {
    ShortFutex::Done(crate::return_value(result))
}

/// The answer to a wait for another value than `word`, or for one that cannot be read.
#[cold]
fn refused(word: Option<u32>) -> ShortFutex {
    done(Err(if word.is_some() { Errno::EAGAIN } else { Errno::EFAULT }.into()))
}

/// The sleep of a thread that is queued; ends early for a signal. `O` is what owns its place.
pub struct FutexSleep<'a, O: AsRef<FutexPlace>> {
    caller: Caller<'a>,
    owner: &'a O,
    sleeps: bool,
}

impl<'a, O: AsRef<FutexPlace>> FutexSleep<'a, O> {
    /// Of `caller`, which [`short_futex`] has queued with the place of `owner`.
    #[inline]
    #[must_use]
    pub const fn new(caller: Caller<'a>, owner: &'a O) -> Self {
        Self { caller, owner, sleeps: true }
    }

    #[inline]
    fn place(&self) -> &Cell<Option<Sleeper<FutexKey>>> {
        &self.owner.as_ref().0
    }

    /// Leaves the table; whether a wake-up came first.
    #[cold]
    fn leave(&mut self, leave: impl FnOnce(&FutexTable<FutexKey>, &Sleeper<FutexKey>) -> bool) -> bool {
        self.sleeps = false;
        let Some(sleeper) = self.place().take() else { return true };
        let woken = leave(&self.caller.system.futexes, &sleeper);
        self.place().set(Some(sleeper));
        woken
    }
}

impl<O: AsRef<FutexPlace>> Future for FutexSleep<'_, O> {
    type Output = SysResult;

    #[inline]
    fn poll(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<SysResult> {
        let sleeper = self.place().take();
        let woken = sleeper.as_ref().is_none_or(Sleeper::is_woken);
        self.place().set(sleeper);
        if woken {
            self.sleeps = false;
            return Poll::Ready(Ok(0));
        }
        if !self.caller.thread.signals().has_deliverable() {
            return Poll::Pending;
        }
        // A wake-up that came together with the signal counts: it was meant for us.
        let woken = self.leave(FutexTable::end_sleep);
        Poll::Ready(if woken { Ok(0) } else { Err(SysError::Restart(Restart::Sys)) })
    }
}

impl<O: AsRef<FutexPlace>> Drop for FutexSleep<'_, O> {
    #[inline]
    fn drop(&mut self) {
        if self.sleeps {
            self.leave(|futexes, sleeper| {
                futexes.abandon_sleep(sleeper);
                true
            });
        }
    }
}
