//! signalfd(2): pending signals as a stream of records.

use alloc::sync::Arc;
use core::fmt;
use core::sync::atomic::{AtomicU64, Ordering};

use abi::{SigSet, Wire, abi_struct};
use sync::WaitQueue;

use crate::{File, FileType, Metadata, PollEvents, Result, VfsError, anonymous};

abi_struct! {
    /// `struct signalfd_siginfo`.
    pub struct SignalRecord {
        /// Signal number.
        pub signo: u32,
        /// Error number, unused.
        pub errno: i32,
        /// SI_ code.
        pub code: i32,
        /// Sender.
        pub pid: u32,
        /// Its real user.
        pub uid: u32,
        /// Descriptor (SIGIO).
        pub fd: i32,
        /// Timer id (POSIX timers).
        pub tid: u32,
        /// Band event (SIGIO).
        pub band: u32,
        /// Overrun count (POSIX timers).
        pub overrun: u32,
        /// Trap number.
        pub trapno: u32,
        /// Exit status or signal (SIGCHLD).
        pub status: i32,
        /// Integer sent by sigqueue.
        pub int: i32,
        /// Pointer sent by sigqueue.
        pub ptr: u64,
        /// User time of the child, ticks (SIGCHLD).
        pub utime: u64,
        /// System time of the child, ticks (SIGCHLD).
        pub stime: u64,
        /// Fault address.
        pub addr: u64,
        /// Least significant bit of the address.
        pub addr_lsb: u16,
        /// Padding.
        pub pad2: u16,
        /// System call (SIGSYS).
        pub syscall: i32,
        /// Its address.
        pub call_addr: u64,
        /// Its architecture.
        pub arch: u32,
        /// Padding to 128 bytes.
        pub pad: [u8; 28],
    }
}

/// Signals of whoever reads: the calling thread and its process.
pub trait SignalSource: Send + Sync {
    /// Takes the first pending signal of `mask` out, in the order of delivery.
    fn take(&self, mask: SigSet) -> Option<SignalRecord>;
    /// Whether one of `mask` is pending.
    fn is_pending(&self, mask: SigSet) -> bool;
    /// Shows the queue that is woken when a signal becomes pending for the caller.
    fn queue(&self, visit: &mut dyn FnMut(&Arc<WaitQueue>));
}

/// A set of signals behind a descriptor.
pub struct SignalFd {
    // An independent value.
    mask: AtomicU64,
    source: Arc<dyn SignalSource>,
    number: u64,
}

impl SignalFd {
    /// Shows the signals of `mask`; SIGKILL and SIGSTOP are left out.
    pub fn new(mask: SigSet, source: Arc<dyn SignalSource>) -> Arc<Self> {
        let file = Self { mask: AtomicU64::new(0), source, number: anonymous::next_ino() };
        file.set_mask(mask);
        Arc::new(file)
    }

    /// Replaces the set.
    pub fn set_mask(&self, mask: SigSet) {
        self.mask.store(mask.difference(SigSet::UNBLOCKABLE).0, Ordering::Relaxed);
        self.source.queue(&mut |queue| {
            queue.wake_all();
        });
    }

    fn mask(&self) -> SigSet {
        SigSet(self.mask.load(Ordering::Relaxed))
    }
}

impl File for SignalFd {
    fn read(&self, _offset: u64, out: &mut [u8]) -> Result<usize> {
        if out.len() < SignalRecord::SIZE {
            return Err(VfsError::InvalidArgument);
        }
        let mut done = 0;
        for slot in out.chunks_exact_mut(SignalRecord::SIZE) {
            let Some(record) = self.source.take(self.mask()) else { break };
            slot.copy_from_slice(&record.to_bytes());
            done += SignalRecord::SIZE;
        }
        if done == 0 { Err(VfsError::WouldBlock) } else { Ok(done) }
    }

    fn write(&self, _offset: u64, _data: &[u8]) -> Result<usize> {
        Err(VfsError::InvalidArgument)
    }

    fn poll(&self) -> PollEvents {
        if self.source.is_pending(self.mask()) { PollEvents::IN } else { PollEvents::empty() }
    }

    fn wait_queues(&self, interest: PollEvents, visit: &mut dyn FnMut(&Arc<WaitQueue>)) {
        if interest.intersects(PollEvents::READABLE) {
            self.source.queue(visit);
        }
    }

    fn describe(&self, out: &mut dyn fmt::Write) -> fmt::Result {
        out.write_str("anon_inode:[signalfd]")
    }

    fn metadata(&self) -> Metadata {
        Metadata { ino: self.number, ..Metadata::new(FileType::Regular, 0o600) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use abi::{Signal, WireField};
    use std::sync::Mutex;

    struct Pending {
        set: Mutex<SigSet>,
        queue: Arc<WaitQueue>,
    }

    impl SignalSource for Pending {
        fn take(&self, mask: SigSet) -> Option<SignalRecord> {
            let mut set = self.set.lock().unwrap();
            let signal = set.intersection(mask).first()?;
            *set = set.without(signal);
            let mut record = <SignalRecord as WireField>::get(&[0; 128]);
            record.signo = u32::from(signal.number());
            record.pid = 7;
            Some(record)
        }

        fn is_pending(&self, mask: SigSet) -> bool {
            !self.set.lock().unwrap().intersection(mask).is_empty()
        }

        fn queue(&self, visit: &mut dyn FnMut(&Arc<WaitQueue>)) {
            visit(&self.queue);
        }
    }

    #[test]
    fn only_signals_of_the_mask_are_read() {
        let set = SigSet::EMPTY.with(Signal::INT).with(Signal::CHLD).with(Signal::USR1);
        let source = Arc::new(Pending { set: Mutex::new(set), queue: Arc::new(WaitQueue::new()) });
        let file = SignalFd::new(SigSet::EMPTY.with(Signal::CHLD).with(Signal::INT).with(Signal::KILL), source.clone());
        assert_eq!(<SignalRecord as Wire>::SIZE, 128);
        assert_eq!(file.read(0, &mut [0; 127]), Err(VfsError::InvalidArgument));
        assert_eq!(file.poll(), PollEvents::IN);
        let mut out = [0; 3 * 128 + 5];
        assert_eq!(file.read(0, &mut out), Ok(256));
        assert_eq!((out[0], out[12], out[128]), (2, 7, 17));
        assert_eq!(file.read(0, &mut out), Err(VfsError::WouldBlock));
        assert_eq!(file.poll(), PollEvents::empty());
        file.set_mask(SigSet::EMPTY.with(Signal::USR1));
        assert_eq!(file.read(0, &mut out), Ok(128));
    }
}
