//! Waiting for files.

use alloc::sync::Arc;
use core::future::Future;
use core::pin::Pin;
use core::task::{Context, Poll, Waker};

use smallvec::SmallVec;
use sync::Moment;
use sync::WaitToken;
use types::Nanos;
use vfs::PollEvents;

use crate::loans::Lending;
use crate::wait::{interruptible, until};
use crate::{Caller, OpenFile, SysError, SysResult};

/// Places in the queues of a file; most files have one or two.
pub(crate) type Places = SmallVec<[WaitToken; 2]>;

/// Puts `waker` into every queue of `file` that is woken for `events`.
pub(crate) fn register(file: &OpenFile, events: PollEvents, waker: &Waker, places: &mut Places) {
    file.wait_queues(events, &mut |queue| places.push(WaitToken::new(Arc::clone(queue), waker)));
}

/// Tries again whenever a file may have become ready, until there is an answer.
pub(crate) struct Retry<'f, F> {
    file: &'f OpenFile,
    events: PollEvents,
    places: Places,
    attempt: F,
}

impl<'f, F> Retry<'f, F> {
    pub(crate) fn new(file: &'f OpenFile, events: PollEvents, attempt: F) -> Self {
        Self { file, events, places: Places::new(), attempt }
    }
}

impl<F> Unpin for Retry<'_, F> {}

impl<T, F: FnMut() -> Option<T>> Future for Retry<'_, F> {
    type Output = T;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<T> {
        let this = &mut *self;
        if !this.places.is_empty() {
            // Woken: most often there is something now, and no new place is needed.
            if let Some(value) = (this.attempt)() {
                this.places.clear();
                return Poll::Ready(value);
            }
            this.places.clear();
        }
        register(this.file, this.events, cx.waker(), &mut this.places);
        match (this.attempt)() {
            Some(value) => {
                this.places.clear();
                Poll::Ready(value)
            }
            None => Poll::Pending,
        }
    }
}

/// What waiting came to.
pub(crate) enum Waited<T> {
    /// The attempt's answer.
    Done(SysResult<T>),
    /// A signal came first.
    Interrupted,
    /// The deadline passed.
    TimedOut,
}

/// Repeats `attempt` while it answers EAGAIN and the caller is willing to wait for `file`.
pub(crate) fn wait_for<'a, T: 'a>(
    caller: Caller<'a>,
    file: &'a OpenFile,
    events: PollEvents,
    deadline: Option<Nanos>,
    attempt: impl FnMut() -> SysResult<T> + 'a,
) -> impl Future<Output = Waited<T>> + 'a {
    wait_until(caller, file, events, deadline.map(Moment::monotonic), attempt)
}

/// The same until a moment of either clock.
pub(crate) async fn wait_until<T>(
    caller: Caller<'_>,
    file: &OpenFile,
    events: PollEvents,
    deadline: Option<Moment>,
    mut attempt: impl FnMut() -> SysResult<T>,
) -> Waited<T> {
    let retry = Retry::new(file, events, || match attempt() {
        Err(error) if would_block(error) => None,
        outcome => Some(outcome),
    });
    let retry = Lending::new(caller, file, events, retry);
    match until(caller.system, deadline, interruptible(caller.thread, retry)).await {
        Some(Ok(outcome)) => Waited::Done(outcome),
        Some(Err(_)) => Waited::Interrupted,
        None => Waited::TimedOut,
    }
}

/// The answer of a single attempt, or `None` if the call has to wait for it.
pub(crate) fn unless_blocked<T>(file: &OpenFile, outcome: SysResult<T>) -> Option<SysResult<T>> {
    match outcome {
        Err(error) if would_block(error) && !file.is_nonblocking() => None,
        outcome => Some(outcome),
    }
}

/// Whether it means that waiting would help.
pub(crate) fn would_block(error: SysError) -> bool {
    error == SysError::Errno(abi::Errno::EAGAIN)
}
