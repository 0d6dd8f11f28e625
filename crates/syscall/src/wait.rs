//! Waiting: for a condition, a moment or a signal, whichever is first.

use core::future::Future;
use core::pin::Pin;
use core::task::{Context, Poll};

use sync::{Moment, TimerToken};

use crate::{System, Thread};

/// A signal arrived that the thread must look at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Interrupted;

/// Awaits `future`, or ends early when a deliverable signal is pending for `thread`.
///
/// Its output is [`Interrupted`] for the signal; the future is dropped with this one, whatever it had registered is undone.
///
/// No async function, which would keep room for its arguments twice, each thread that waits being in a nest of these.
pub fn interruptible<F: Future + Unpin>(
    thread: &Thread,
    mut future: F,
) -> impl Future<Output = Result<F::Output, Interrupted>> + Unpin {
    core::future::poll_fn(move |cx| match Pin::new(&mut future).poll(cx) {
        Poll::Ready(value) => Poll::Ready(Ok(value)),
        Poll::Pending if thread.signals().has_deliverable() => Poll::Ready(Err(Interrupted)),
        Poll::Pending => Poll::Pending,
    })
}

/// Awaits `future` until `deadline`; its output is `None` when the time is over. No deadline means for ever.
pub fn until<F: Future + Unpin>(
    system: &'static System,
    deadline: Option<impl Into<Moment>>,
    mut future: F,
) -> impl Future<Output = Option<F::Output>> + Unpin {
    let mut sleep = deadline.map(|deadline| Sleep::new(system, deadline));
    core::future::poll_fn(move |cx| match (Pin::new(&mut future).poll(cx), &mut sleep) {
        (Poll::Ready(value), _) => Poll::Ready(Some(value)),
        (Poll::Pending, Some(sleep)) => Pin::new(sleep).poll(cx).map(|()| None),
        (Poll::Pending, None) => Poll::Pending,
    })
}

/// Lets the others that wait for a CPU run first, those whose time has come among them: in the midst of a long call.
pub(crate) async fn give_way(system: &'static System) {
    system.platform.serve_interrupts();
    let mut given = false;
    core::future::poll_fn(|cx| {
        if core::mem::replace(&mut given, true) {
            return Poll::Ready(());
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

/// Ends at a moment of either clock.
pub struct Sleep {
    system: &'static System,
    deadline: Moment,
    token: Option<TimerToken>,
}

impl Sleep {
    /// A sleep until `deadline`.
    pub fn new(system: &'static System, deadline: impl Into<Moment>) -> Self {
        Self { system, deadline: deadline.into(), token: None }
    }
}

impl Future for Sleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        if self.system.platform.now() >= self.system.wall_clock.to_monotonic(self.deadline) {
            return Poll::Ready(());
        }
        // A sleep is polled again by its own timer or because something else woke the task: one timer is enough, but the
        // queue drops it when it goes off, so an early expiry arms a new one.
        if let Some(token) = self.token.take() {
            self.system.timers.remove(token);
        }
        self.token = Some(self.system.wake_at(self.deadline, cx.waker().clone()));
        Poll::Pending
    }
}

impl Drop for Sleep {
    fn drop(&mut self) {
        if let Some(token) = self.token.take() {
            self.system.timers.remove(token);
        }
    }
}
