//! eventfd(2): a counter to wait on.

use alloc::sync::Arc;
use core::fmt;
use core::sync::atomic::{AtomicU64, Ordering};

use sync::WaitQueue;

use crate::{File, PollEvents, Result, VfsError, anonymous};

/// Largest value; one more would mean an overflow that only the kernel can cause.
const LARGEST: u64 = u64::MAX - 1;

/// What a read takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EventFdMode {
    /// The whole count.
    Counter,
    /// One (EFD_SEMAPHORE).
    Semaphore,
}

/// A counter behind a descriptor.
pub struct EventFd {
    // The one value; wake-ups are ordered by the wait queue.
    count: AtomicU64,
    mode: EventFdMode,
    number: u64,
    readable: Arc<WaitQueue>,
    writable: Arc<WaitQueue>,
}

impl EventFd {
    /// A counter that starts at `initial`.
    pub fn new(initial: u32, mode: EventFdMode) -> Arc<Self> {
        let queue = || Arc::new(WaitQueue::new());
        Arc::new(Self {
            count: AtomicU64::new(u64::from(initial)),
            mode,
            number: anonymous::next_ino(),
            readable: queue(),
            writable: queue(),
        })
    }
}

impl File for EventFd {
    fn read(&self, _offset: u64, out: &mut [u8]) -> Result<usize> {
        let slot = out.first_chunk_mut::<8>().ok_or(VfsError::InvalidArgument)?;
        let take = |count| match (count, self.mode) {
            (0, _) => None,
            (_, EventFdMode::Counter) => Some(0),
            (count, EventFdMode::Semaphore) => Some(count - 1),
        };
        let before =
            self.count.fetch_update(Ordering::AcqRel, Ordering::Acquire, take).map_err(|_| VfsError::WouldBlock)?;
        let value = if self.mode == EventFdMode::Semaphore { 1 } else { before };
        *slot = value.to_le_bytes();
        self.writable.wake_all();
        Ok(8)
    }

    fn write(&self, _offset: u64, data: &[u8]) -> Result<usize> {
        let bytes = data.first_chunk::<8>().ok_or(VfsError::InvalidArgument)?;
        let value = u64::from_le_bytes(*bytes);
        if value > LARGEST {
            return Err(VfsError::InvalidArgument);
        }
        let add = |count: u64| count.checked_add(value).filter(|sum| *sum <= LARGEST);
        self.count.fetch_update(Ordering::AcqRel, Ordering::Acquire, add).map_err(|_| VfsError::WouldBlock)?;
        self.readable.wake_all();
        Ok(8)
    }

    fn poll(&self) -> PollEvents {
        let count = self.count.load(Ordering::Acquire);
        let mut events = PollEvents::empty();
        events.set(PollEvents::IN, count > 0);
        events.set(PollEvents::OUT, count < LARGEST);
        events
    }

    fn wait_queues(&self, interest: PollEvents, visit: &mut dyn FnMut(&Arc<WaitQueue>)) {
        if interest.intersects(PollEvents::READABLE) {
            visit(&self.readable);
        }
        if interest.intersects(PollEvents::WRITABLE) {
            visit(&self.writable);
        }
    }

    fn describe(&self, out: &mut dyn fmt::Write) -> fmt::Result {
        out.write_str("anon_inode:[eventfd]")
    }

    fn metadata(&self) -> crate::Metadata {
        crate::Metadata { ino: self.number, ..crate::Metadata::new(crate::FileType::Regular, 0o600) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(file: &EventFd) -> Result<u64> {
        let mut out = [0; 8];
        file.read(0, &mut out).map(|_| u64::from_le_bytes(out))
    }

    fn write(file: &EventFd, value: u64) -> Result<usize> {
        file.write(0, &value.to_le_bytes())
    }

    #[test]
    fn a_counter_gives_its_sum_and_a_semaphore_one_at_a_time() {
        let counter = EventFd::new(2, EventFdMode::Counter);
        assert_eq!(write(&counter, 3), Ok(8));
        assert_eq!(read(&counter), Ok(5));
        assert_eq!(read(&counter), Err(VfsError::WouldBlock));
        let semaphore = EventFd::new(2, EventFdMode::Semaphore);
        assert_eq!((read(&semaphore), read(&semaphore)), (Ok(1), Ok(1)));
        assert_eq!(read(&semaphore), Err(VfsError::WouldBlock));
    }

    #[test]
    fn the_counter_never_overflows() {
        let counter = EventFd::new(0, EventFdMode::Counter);
        assert_eq!(write(&counter, u64::MAX), Err(VfsError::InvalidArgument));
        assert_eq!(write(&counter, u64::MAX - 1), Ok(8));
        assert_eq!(counter.poll(), PollEvents::IN);
        assert_eq!(write(&counter, 1), Err(VfsError::WouldBlock));
        assert_eq!(write(&counter, 0), Ok(8));
        assert_eq!(read(&counter), Ok(u64::MAX - 1));
        assert_eq!(counter.poll(), PollEvents::OUT);
    }

    #[test]
    fn eight_bytes_or_nothing() {
        let counter = EventFd::new(1, EventFdMode::Counter);
        assert_eq!(counter.read(0, &mut [0; 7]), Err(VfsError::InvalidArgument));
        assert_eq!(counter.write(0, &[0; 7]), Err(VfsError::InvalidArgument));
        assert_eq!(counter.read(0, &mut [0; 20]), Ok(8));
    }
}
