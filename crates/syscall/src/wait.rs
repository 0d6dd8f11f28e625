//! Waiting: for a condition, a moment or a signal, whichever is first.

use core::future::Future;
use core::pin::{Pin, pin};
use core::task::{Context, Poll};

use sync::TimerToken;
use types::Nanos;

use crate::{System, Thread};

/// A signal arrived that the thread must look at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Interrupted;

/// Awaits `future`, or ends early when a deliverable signal is pending for `thread`.
///
/// # Errors
/// [`Interrupted`] for the signal; the future is dropped, whatever it had registered is undone.
pub async fn interruptible<F: Future>(thread: &Thread, future: F) -> Result<F::Output, Interrupted> {
    let mut future = pin!(future);
    core::future::poll_fn(|cx| match future.as_mut().poll(cx) {
        Poll::Ready(value) => Poll::Ready(Ok(value)),
        Poll::Pending if thread.signals().has_deliverable() => Poll::Ready(Err(Interrupted)),
        Poll::Pending => Poll::Pending,
    })
    .await
}

/// Awaits `future` until `deadline`; `None` when the time is over. No deadline means for ever.
pub async fn until<F: Future>(system: &'static System, deadline: Option<Nanos>, future: F) -> Option<F::Output> {
    let Some(deadline) = deadline else { return Some(future.await) };
    let mut future = pin!(future);
    let mut sleep = Sleep::new(system, deadline);
    core::future::poll_fn(|cx| match future.as_mut().poll(cx) {
        Poll::Ready(value) => Poll::Ready(Some(value)),
        Poll::Pending => Pin::new(&mut sleep).poll(cx).map(|()| None),
    })
    .await
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

/// Ends at a moment of the monotonic clock.
pub struct Sleep {
    system: &'static System,
    deadline: Nanos,
    token: Option<TimerToken>,
}

impl Sleep {
    /// A sleep until `deadline`.
    pub fn new(system: &'static System, deadline: Nanos) -> Self {
        Self { system, deadline, token: None }
    }
}

impl Future for Sleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        if self.system.platform.now() >= self.deadline {
            return Poll::Ready(());
        }
        // A sleep is polled again by its own timer or because something else woke the task: one timer is enough, but the
        // queue drops it when it goes off, so an early expiry arms a new one.
        if let Some(token) = self.token.take() {
            self.system.timers.remove(token);
        }
        let (token, nearest) = self.system.timers.insert(self.deadline, cx.waker().clone());
        self.token = Some(token);
        if nearest {
            self.system.platform.arm_timer(self.deadline);
        }
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
