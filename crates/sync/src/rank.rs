//! The one table of lock ranks: a CPU takes locks in ascending order only.
//!
//! `docs/lock-order.md` says why each stands where it does.

/// Place of a lock in the global order. Taking a lock while holding one of the same or a higher rank is a bug, and
/// panics in debug builds and on the host.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Rank(pub u8);

impl Rank {
    /// Position of an open file: outermost, held while the file reads or writes, whatever that file locks.
    pub const FILE_POSITION: Self = Self(4);
    /// Services: graph and cells.
    pub const SERVICES: Self = Self(5);
    /// Sockets that belong to services.
    pub const SERVICE_SOCKETS: Self = Self(6);
    /// Relations between processes: parents, groups, sessions, zombies.
    pub const PROCESS_TREE: Self = Self(10);
    /// A namespace of process numbers.
    pub const PID_NAMESPACE: Self = Self(12);
    /// Slots of the pid table.
    pub const PROCESS_TABLE: Self = Self(14);
    /// Users and what each has in use.
    pub const USERS: Self = Self(15);
    /// The threads of a process.
    pub const PROCESS_THREADS: Self = Self(16);
    /// A process's resource limits.
    pub const LIMITS: Self = Self(17);
    /// One process's signal state, limits, usage, credentials.
    pub const PROCESS: Self = Self(18);
    /// A process's interval and POSIX timers.
    pub const PROCESS_TIMERS: Self = Self(19);
    /// One thread's signal state.
    pub const THREAD: Self = Self(20);
    /// Pending signals and threads of one process.
    pub const SIGNALS: Self = Self(21);
    /// Mask and pending signals of one thread.
    pub const THREAD_SIGNALS: Self = Self(22);
    /// A table of signal actions, which processes may share.
    pub const SIGNAL_ACTIONS: Self = Self(23);
    /// A descriptor table.
    pub const FILE_TABLE: Self = Self(24);
    /// Working and root directory of a process.
    pub const PATHS: Self = Self(26);
    /// The mount table.
    pub const MOUNTS: Self = Self(28);
    /// Renames: one at a time in a file system.
    pub const RENAME: Self = Self(30);
    /// A directory.
    pub const DIRECTORY: Self = Self(32);
    /// A second directory of a rename, or a child under its directory.
    pub const DIRECTORY_CHILD: Self = Self(33);
    /// A third directory: the one that a rename replaces.
    pub const DIRECTORY_VICTIM: Self = Self(34);
    /// Metadata of an inode; what the runs of a program share.
    pub const INODE: Self = Self(36);
    /// Offset and flags of an open file.
    pub const OPEN_FILE: Self = Self(38);
    /// Nesting of epoll instances: one change at a time.
    pub const EPOLL_NESTING: Self = Self(39);
    /// An epoll instance's interest list.
    pub const EPOLL: Self = Self(40);
    /// One file's entry in an interest list.
    pub const EPOLL_ITEM: Self = Self(41);
    /// A terminal.
    pub const TERMINAL: Self = Self(42);
    /// Abstract names of sockets.
    pub const SOCKET_NAMES: Self = Self(43);
    /// A socket.
    pub const SOCKET: Self = Self(44);
    /// One direction of a connection.
    pub const CHANNEL: Self = Self(45);
    /// A pipe.
    pub const PIPE: Self = Self(46);
    /// Descriptors on their way through sockets.
    pub const SOCKET_FLIGHT: Self = Self(47);
    /// Who watches which nodes.
    pub const WATCHES: Self = Self(48);
    /// An inotify instance.
    pub const INOTIFY: Self = Self(49);
    /// A bucket of the futex table.
    pub const FUTEX: Self = Self(50);
    /// Where one futex waiter is queued.
    pub const FUTEX_WAITER: Self = Self(51);
    /// System V IPC: identifiers and keys of one kind of objects.
    pub const IPC: Self = Self(52);
    /// System V IPC: one object.
    pub const IPC_OBJECT: Self = Self(53);
    /// A listening socket that several share.
    pub const SHARED_LISTENER: Self = Self(54);
    /// Who of a service gets the next piece of work.
    pub const BALANCER: Self = Self(55);
    /// An address space.
    pub const ADDRESS_SPACE: Self = Self(60);
    /// Pages of a file.
    pub const FILE_PAGES: Self = Self(70);
    /// The last output of a service.
    pub const OUTPUT: Self = Self(75);
    /// Files that are mapped.
    pub const MAPPED_FILES: Self = Self(76);
    /// Cells of services that have news.
    pub const CELLS: Self = Self(77);
    /// Processes that were created and wait for a program.
    pub const CREATED: Self = Self(78);
    /// The log of crossed limits.
    pub const VIOLATIONS: Self = Self(79);
    /// A wait queue.
    pub const WAIT_QUEUE: Self = Self(80);
    /// A timer queue.
    pub const TIMERS: Self = Self(82);
    /// A run queue.
    pub const RUN_QUEUE: Self = Self(84);
    /// The kernel heap: a CPU's free objects.
    pub const HEAP: Self = Self(90);
    /// The kernel heap: slabs of one size class.
    pub const HEAP_SLABS: Self = Self(91);
    /// The frame allocator: a CPU's cache.
    pub const FRAMES: Self = Self(92);
    /// The frame allocator: a zone.
    pub const FRAME_ZONE: Self = Self(93);
    /// Interrupt controllers.
    pub const INTERRUPTS: Self = Self(94);
    /// A TLB shoot-down in flight.
    pub const SHOOTDOWN: Self = Self(95);
    /// The log and its console: may be taken anywhere.
    pub const CONSOLE: Self = Self(100);
}

#[cfg(test)]
mod tests {
    use std::string::String;
    use std::vec::Vec;

    #[test]
    fn documentation_lists_every_rank_and_no_other() {
        let lines = |text: &'static str| text.lines().map(str::trim);
        let ranks: Vec<_> = lines(include_str!("rank.rs"))
            .filter_map(|line| line.strip_prefix("pub const ")?.split_once(": Self = Self("))
            .map(|(name, value)| (name, value.trim_end_matches(");")))
            .collect();
        let rows: Vec<_> = lines(include_str!("../../../docs/lock-order.md"))
            .filter_map(|line| {
                let mut cells = line.strip_prefix("| ")?.split(" | ");
                let value = cells.next().filter(|value| value.parse::<u8>().is_ok())?;
                Some((cells.next()?.trim_matches('`'), value))
            })
            .collect();
        let wrong: Vec<_> = ranks.iter().filter(|rank| !rows.contains(rank)).collect();
        assert!(wrong.is_empty(), "docs/lock-order.md lacks {wrong:?}");
        assert_eq!(rows, ranks, "docs/lock-order.md has more, or another order");
        let numbers: Vec<u8> = rows.iter().map(|(_, value)| String::from(*value).parse().unwrap()).collect();
        assert!(numbers.is_sorted_by(|a, b| a < b), "ranks are listed outermost first and differ: {numbers:?}");
    }
}
