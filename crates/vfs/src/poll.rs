//! Readiness.

use abi::linux::general as linux;
use bitflags::bitflags;

bitflags! {
    /// What a file is ready for; bits as in poll(2) and epoll(7).
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Hash)]
    pub struct PollEvents: u32 {
        /// Data to read, or end of file.
        const IN = linux::EPOLLIN;
        /// Urgent data.
        const PRI = linux::EPOLLPRI;
        /// Room to write.
        const OUT = linux::EPOLLOUT;
        /// An error; always reported.
        const ERR = linux::EPOLLERR;
        /// The other end is gone; always reported.
        const HUP = linux::EPOLLHUP;
        /// Not an open descriptor.
        const NVAL = linux::EPOLLNVAL;
        /// As IN.
        const RDNORM = linux::EPOLLRDNORM;
        /// Priority data.
        const RDBAND = linux::EPOLLRDBAND;
        /// As OUT.
        const WRNORM = linux::EPOLLWRNORM;
        /// Priority data may be written.
        const WRBAND = linux::EPOLLWRBAND;
        /// The other end will write no more.
        const RDHUP = linux::EPOLLRDHUP;
    }
}

impl PollEvents {
    /// Readable now.
    pub const READABLE: Self = Self::IN.union(Self::RDNORM);
    /// Writable now.
    pub const WRITABLE: Self = Self::OUT.union(Self::WRNORM);
    /// Reported whether asked for or not.
    pub const ALWAYS: Self = Self::ERR.union(Self::HUP);
    /// What a file that never blocks is.
    pub const NEVER_BLOCKS: Self = Self::READABLE.union(Self::WRITABLE);
}
