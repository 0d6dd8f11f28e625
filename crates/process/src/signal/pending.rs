//! Signals that have been sent and not delivered yet.

use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::vec::Vec;

use abi::{SigSet, Signal};

use super::{Charge, SYNCHRONOUS, SendError, SigInfo};

/// Pending signals of one thread or of one process.
///
/// A classic signal is there once, with the details of the first send; a real-time signal queues up, first come first
/// served. Finding the next one is O(1) but for the real-time queue's place among at most 33.
#[derive(Debug, Default)]
pub struct Pending {
    set: SigSet,
    // Made when the first signal with details comes.
    details: Option<Box<Details>>,
}

#[derive(Debug, Default)]
struct Details {
    // One entry per classic signal that has details.
    classic: Vec<Entry>,
    // Non-empty queues, ascending by signal.
    realtime: Vec<(Signal, VecDeque<Entry>)>,
}

#[derive(Debug)]
struct Entry {
    info: SigInfo,
    _charge: Option<Charge>,
}

/// What [`Pending::push`] did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pushed {
    /// It is pending now, or once more.
    Queued,
    /// A classic signal that was pending already: merged.
    Merged,
}

impl Pending {
    /// Nothing pending.
    pub const fn new() -> Self {
        Self { set: SigSet::EMPTY, details: None }
    }

    /// Which signals are pending.
    pub const fn set(&self) -> SigSet {
        self.set
    }

    /// Adds a signal.
    ///
    /// `charge` is the place in its user's quota; without one (quota used up) a signal of the kernel or of `kill` becomes
    /// pending without details, as POSIX wants `kill` not to fail.
    ///
    /// # Errors
    /// [`SendError::QueueFull`] for a real-time signal without a charge that is not from `kill`, or when memory is short.
    pub fn push(&mut self, info: SigInfo, charge: Option<Charge>) -> Result<Pushed, SendError> {
        let signal = info.signal;
        if !signal.is_realtime() {
            if self.set.contains(signal) {
                return Ok(Pushed::Merged);
            }
            if charge.is_some() || !info.is_from_queue() {
                // At most 31 entries: a bounded allocation.
                self.details.get_or_insert_default().classic.push(Entry { info, _charge: charge });
            }
            self.set = self.set.with(signal);
            return Ok(Pushed::Queued);
        }
        if charge.is_none() {
            if info.code != super::SI_USER {
                return Err(SendError::QueueFull);
            }
            if self.set.contains(signal) {
                return Ok(Pushed::Merged);
            }
            self.set = self.set.with(signal);
            return Ok(Pushed::Queued);
        }
        let realtime = &mut self.details.get_or_insert_default().realtime;
        let place = match realtime.binary_search_by_key(&signal, |(s, _)| *s) {
            Ok(place) => place,
            Err(place) => {
                realtime.try_reserve(1).map_err(|_| SendError::QueueFull)?;
                realtime.insert(place, (signal, VecDeque::new()));
                place
            }
        };
        if let Some((_, queue)) = realtime.get_mut(place) {
            if queue.try_reserve(1).is_err() {
                if queue.is_empty() {
                    realtime.remove(place);
                }
                return Err(SendError::QueueFull);
            }
            queue.push_back(Entry { info, _charge: charge });
        }
        self.set = self.set.with(signal);
        Ok(Pushed::Queued)
    }

    /// The next signal of `wanted` in the order of delivery: faults first, then the lowest number.
    pub fn next(&self, wanted: SigSet) -> Option<Signal> {
        let ready = self.set.intersection(wanted);
        ready.intersection(SYNCHRONOUS).first().or_else(|| ready.first())
    }

    /// Takes the first pending instance of `signal`.
    pub fn take(&mut self, signal: Signal) -> Option<SigInfo> {
        if !self.set.contains(signal) {
            return None;
        }
        // Details may have been left out when the quota was used up: then it looks like a `kill` by nobody.
        let bare = SigInfo::new(signal, super::SI_USER);
        let Some(Details { classic, realtime }) = self.details.as_deref_mut() else {
            self.set = self.set.without(signal);
            return Some(bare);
        };
        if !signal.is_realtime() {
            self.set = self.set.without(signal);
            let found = classic.iter().position(|entry| entry.info.signal == signal);
            return Some(found.map_or(bare, |at| classic.swap_remove(at).info));
        }
        let Ok(place) = realtime.binary_search_by_key(&signal, |(s, _)| *s) else {
            self.set = self.set.without(signal);
            return Some(bare);
        };
        let (entry, rest) = match realtime.get_mut(place) {
            Some((_, queue)) => (queue.pop_front(), queue.len()),
            None => (None, 0),
        };
        if rest == 0 {
            realtime.remove(place);
            self.set = self.set.without(signal);
        }
        Some(entry.map_or(bare, |entry| entry.info))
    }

    /// Takes the next signal of `wanted` ([`Pending::next`]).
    pub fn take_next(&mut self, wanted: SigSet) -> Option<SigInfo> {
        self.next(wanted).and_then(|signal| self.take(signal))
    }

    /// Takes a fault that the program caused itself, if one of `wanted` is pending.
    pub fn take_synchronous(&mut self, wanted: SigSet) -> Option<SigInfo> {
        let wanted = wanted.intersection(self.set);
        let classic = &mut self.details.as_mut()?.classic;
        let fault =
            classic.iter().position(|entry| entry.info.is_synchronous() && wanted.contains(entry.info.signal))?;
        let info = classic.swap_remove(fault).info;
        self.set = self.set.without(info.signal);
        Some(info)
    }

    /// Drops every pending signal of `signals`; whether there was any.
    pub fn discard(&mut self, signals: SigSet) -> bool {
        let hit = !self.set.intersection(signals).is_empty();
        if hit {
            self.set = self.set.difference(signals);
            if let Some(details) = self.details.as_deref_mut() {
                details.classic.retain(|entry| !signals.contains(entry.info.signal));
                details.realtime.retain(|(signal, _)| !signals.contains(*signal));
            }
        }
        hit
    }

    /// Signals queued with details.
    pub fn queued(&self) -> usize {
        self.details.as_deref().map_or(0, |Details { classic, realtime }| {
            classic.len() + realtime.iter().map(|(_, queue)| queue.len()).sum::<usize>()
        })
    }
}
