//! Descriptors on their way through sockets (SCM_RIGHTS).
//!
//! A socket sent through itself, or two through each other, keep each other alive when every descriptor is closed. As on
//! Linux a collector finds them: each open file of a socket that is on its way is counted here; one whose references are
//! all on their way, and that cannot be reached from a socket somebody still holds, is garbage, and its queue is
//! emptied. The collector runs when sockets close and when much is
//! on its way; what is lost when the last socket of all closes waits for the next one.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use sync::{Rank, SpinLock};

use super::Socket;
use crate::{OpenFile, Result, VfsError};

/// Descriptors per message (Linux: SCM_MAX_FD).
const MAX_FILES: usize = 253;
/// Sockets on their way at a time; beyond, sending answers ETOOMANYREFS.
const MAX_IN_FLIGHT: usize = 16_384;
/// So many on their way make the collector run before the next is sent.
const COLLECT_AT: usize = 1024;

static IN_FLIGHT: SpinLock<BTreeMap<usize, Flight>> = SpinLock::new(Rank::SOCKET_FLIGHT, BTreeMap::new());
// Only a hint when to collect.
static SOCKETS: AtomicUsize = AtomicUsize::new(0);
// Since the last collection.
static CALLS: AtomicUsize = AtomicUsize::new(0);
static COLLECTING: AtomicBool = AtomicBool::new(false);

/// A socket's open file on its way.
struct Flight {
    /// Kept by the queues it is in; this is one more reference.
    file: Arc<OpenFile>,
    /// Queues it is in, counted as often as it was sent.
    times: usize,
}

/// Open files that travel with a message.
pub(super) struct Cargo {
    files: Vec<Arc<OpenFile>>,
}

impl Cargo {
    /// Sends `files` on their way; `None` if there are none.
    ///
    /// # Errors
    /// [`VfsError::InvalidArgument`] for too many in one message, [`VfsError::TooManyReferences`] for too many sockets
    /// on their way.
    pub(super) fn pack(files: Vec<Arc<OpenFile>>) -> Result<Option<Self>> {
        if files.is_empty() {
            return Ok(None);
        }
        if files.len() > MAX_FILES {
            return Err(VfsError::InvalidArgument);
        }
        let sockets = files.iter().filter(|file| is_socket(file)).count();
        if sockets > 0 {
            if SOCKETS.load(Ordering::Relaxed) + sockets > COLLECT_AT {
                collect_now_and_then();
            }
            if SOCKETS.load(Ordering::Relaxed) + sockets > MAX_IN_FLIGHT {
                return Err(VfsError::TooManyReferences);
            }
            for file in files.iter().filter(|file| is_socket(file)) {
                take_off(file);
            }
        }
        Ok(Some(Self { files }))
    }

    /// The files arrive.
    pub(super) fn land(mut self) -> Vec<Arc<OpenFile>> {
        let files = core::mem::take(&mut self.files);
        landed(&files);
        files
    }

    /// For a look that leaves the message queued.
    pub(super) fn copies(&self) -> Vec<Arc<OpenFile>> {
        self.files.clone()
    }

    pub(super) fn files(&self) -> impl Iterator<Item = &Arc<OpenFile>> {
        self.files.iter()
    }
}

impl Drop for Cargo {
    fn drop(&mut self) {
        landed(&self.files);
        let (sockets, others) = core::mem::take(&mut self.files).into_iter().partition(is_socket);
        drop::<Vec<_>>(others);
        bury(sockets);
    }
}

/// Sockets to be dropped, one after the other: a socket in the queue of a socket in the queue of … is no recursion.
struct Grave {
    files: Vec<Arc<OpenFile>>,
    digging: bool,
}

static GRAVE: SpinLock<Grave> = SpinLock::new(Rank::SOCKET_FLIGHT, Grave { files: Vec::new(), digging: false });

fn bury(mut files: Vec<Arc<OpenFile>>) {
    if files.is_empty() {
        return;
    }
    {
        let mut grave = GRAVE.lock();
        if grave.files.try_reserve(files.len()).is_ok() {
            grave.files.append(&mut files);
        }
        if core::mem::replace(&mut grave.digging, true) {
            return;
        }
    }
    loop {
        let next = {
            let mut grave = GRAVE.lock();
            let next = grave.files.pop();
            grave.digging = next.is_some();
            next
        };
        if next.is_none() {
            return;
        }
        drop(next);
    }
}

fn is_socket(file: &Arc<OpenFile>) -> bool {
    file.downcast::<Socket>().is_some()
}

fn key(file: &Arc<OpenFile>) -> usize {
    Arc::as_ptr(file).addr()
}

fn take_off(file: &Arc<OpenFile>) {
    SOCKETS.fetch_add(1, Ordering::Relaxed);
    let mut flights = IN_FLIGHT.lock();
    flights.entry(key(file)).or_insert_with(|| Flight { file: file.clone(), times: 0 }).times += 1;
}

fn landed(files: &[Arc<OpenFile>]) {
    for file in files.iter().filter(|file| is_socket(file)) {
        SOCKETS.fetch_sub(1, Ordering::Relaxed);
        let gone = {
            let mut flights = IN_FLIGHT.lock();
            let last = flights.get_mut(&key(file)).is_some_and(|flight| {
                flight.times -= 1;
                flight.times == 0
            });
            if last { flights.remove(&key(file)) } else { None }
        };
        drop(gone);
    }
}

/// [`collect`], but so seldom that its cost, spread over the calls, is that of a few sockets each.
pub(super) fn collect_now_and_then() {
    let calls = CALLS.fetch_add(1, Ordering::Relaxed) + 1;
    if calls.saturating_mul(4) >= SOCKETS.load(Ordering::Relaxed) {
        CALLS.store(0, Ordering::Relaxed);
        collect();
    }
}

/// Empties the queues of sockets that only messages nobody can receive refer to.
fn collect() {
    // One at a time: what a collection drops may ask for another.
    if SOCKETS.load(Ordering::Relaxed) == 0 || COLLECTING.swap(true, Ordering::Acquire) {
        return;
    }
    collect_once();
    COLLECTING.store(false, Ordering::Release);
}

fn collect_once() {
    // One more reference each while this runs: the snapshot's.
    let flights: Vec<(Arc<OpenFile>, usize)> = {
        let flights = IN_FLIGHT.lock();
        let mut copy = Vec::new();
        if copy.try_reserve(flights.len()).is_err() {
            return;
        }
        copy.extend(flights.values().map(|flight| (flight.file.clone(), flight.times)));
        copy
    };
    // References besides the queues': the registry's and the snapshot's. More means somebody holds it, for now at least.
    let held = |file: &Arc<OpenFile>, times: usize| Arc::strong_count(file) > times + 2;
    let mut reachable = BTreeSet::new();
    let mut pending: Vec<Arc<OpenFile>> =
        flights.iter().filter(|(file, times)| held(file, *times)).map(|(file, _)| file.clone()).collect();
    let in_flight: BTreeSet<usize> = flights.iter().map(|(file, _)| key(file)).collect();
    // A socket that is not on its way itself may hold the others: whatever is in its queue can be received.
    let mut seen_in_garbage: BTreeMap<usize, usize> = BTreeMap::new();
    for (file, _) in &flights {
        if let Some(socket) = file.downcast::<Socket>() {
            socket.each_file(&mut |inner| *seen_in_garbage.entry(key(inner)).or_default() += 1);
        }
    }
    for (file, times) in &flights {
        if seen_in_garbage.get(&key(file)).copied().unwrap_or(0) < *times {
            pending.push(file.clone());
        }
    }
    while let Some(file) = pending.pop() {
        if !reachable.insert(key(&file)) {
            continue;
        }
        if let Some(socket) = file.downcast::<Socket>() {
            socket.each_file(&mut |inner| {
                if in_flight.contains(&key(inner)) {
                    pending.push(inner.clone());
                }
            });
        }
    }
    let garbage: Vec<Arc<OpenFile>> =
        flights.into_iter().map(|(file, _)| file).filter(|file| !reachable.contains(&key(file))).collect();
    for file in &garbage {
        if let Some(socket) = file.downcast::<Socket>() {
            socket.discard_queue();
        }
    }
}
