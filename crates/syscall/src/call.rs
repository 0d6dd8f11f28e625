//! A call that has been begun: answered, or on its way.

use alloc::boxed::Box;
use core::future::Future;
use core::pin::Pin;

use crate::calls::clone::VforkRelease;
use crate::{SysError, SysResult};

/// What remains of a call that waits. In memory of its own, so that only the thread that waits pays, and for this call alone.
pub type Waiting<'a> = Pin<Box<dyn Future<Output = SysResult> + Send + 'a>>;

/// A call that has been begun.
pub enum Call<'a> {
    /// It is over.
    Done(SysResult),
    /// It has something to wait for, or may have.
    Waits(Waiting<'a>),
    /// It waits for the child of a vfork, for which it needs no memory.
    AwaitsChild(VforkRelease<'a>),
}

impl<'a> Call<'a> {
    pub(crate) fn waits(rest: impl Future<Output = SysResult> + Send + 'a) -> Self {
        Self::Waits(Box::pin(rest))
    }

    /// One that was looked at before it waits.
    pub(crate) fn begun(rest: Result<impl Future<Output = SysResult> + Send + 'a, SysError>) -> Self {
        rest.map_or_else(|error| Self::Done(Err(error)), Self::waits)
    }

    /// Its answer.
    pub(crate) async fn answer(self) -> SysResult {
        match self {
            Self::Done(result) => result,
            Self::Waits(rest) => rest.await,
            Self::AwaitsChild(release) => release.await,
        }
    }
}
