//! Structures of Linux's x86-64 interface, field by field as user space lays them out.

use crate::abi_struct;

abi_struct! {
    /// `struct timespec`: seconds and nanoseconds.
    pub struct Timespec {
        /// Whole seconds.
        pub tv_sec: i64,
        /// Nanoseconds, `0..1_000_000_000`.
        pub tv_nsec: i64,
    }
}

abi_struct! {
    /// `struct timeval`: seconds and microseconds.
    pub struct Timeval {
        /// Whole seconds.
        pub tv_sec: i64,
        /// Microseconds, `0..1_000_000`.
        pub tv_usec: i64,
    }
}

abi_struct! {
    /// `struct itimerval` of setitimer(2).
    pub struct Itimerval {
        /// Period, zero for once.
        pub it_interval: Timeval,
        /// Time to the next expiry, zero for disarmed.
        pub it_value: Timeval,
    }
}

abi_struct! {
    /// `struct itimerspec` of timer_settime(2) and timerfd_settime(2).
    pub struct Itimerspec {
        /// Period, zero for once.
        pub it_interval: Timespec,
        /// Time to the next expiry, zero for disarmed.
        pub it_value: Timespec,
    }
}

abi_struct! {
    /// `struct stat` of x86-64 (stat(2)).
    pub struct Stat {
        /// Device of the file.
        pub st_dev: u64,
        /// Inode number.
        pub st_ino: u64,
        /// Hard links.
        pub st_nlink: u64,
        /// Type and permission bits.
        pub st_mode: u32,
        /// Owner.
        pub st_uid: u32,
        /// Group.
        pub st_gid: u32,
        /// Padding.
        pub pad0: u32,
        /// Device a device node stands for.
        pub st_rdev: u64,
        /// Length in bytes.
        pub st_size: i64,
        /// Preferred block for I/O, bytes.
        pub st_blksize: i64,
        /// 512-byte blocks allocated.
        pub st_blocks: i64,
        /// Last access.
        pub st_atime: Timespec,
        /// Last change of content.
        pub st_mtime: Timespec,
        /// Last change of the inode.
        pub st_ctime: Timespec,
        /// Unused.
        pub unused: [i64; 3],
    }
}

abi_struct! {
    /// `struct statx_timestamp`.
    pub struct StatxTimestamp {
        /// Seconds.
        pub tv_sec: i64,
        /// Nanoseconds.
        pub tv_nsec: u32,
        /// Padding.
        pub pad: i32,
    }
}

abi_struct! {
    /// `struct statx` (statx(2)).
    pub struct Statx {
        /// Which fields are filled in.
        pub stx_mask: u32,
        /// Preferred block for I/O, bytes.
        pub stx_blksize: u32,
        /// Attributes.
        pub stx_attributes: u64,
        /// Hard links.
        pub stx_nlink: u32,
        /// Owner.
        pub stx_uid: u32,
        /// Group.
        pub stx_gid: u32,
        /// Type and permission bits.
        pub stx_mode: u16,
        /// Padding.
        pub pad0: u16,
        /// Inode number.
        pub stx_ino: u64,
        /// Length in bytes.
        pub stx_size: u64,
        /// 512-byte blocks allocated.
        pub stx_blocks: u64,
        /// Which attributes mean something.
        pub stx_attributes_mask: u64,
        /// Last access.
        pub stx_atime: StatxTimestamp,
        /// Creation.
        pub stx_btime: StatxTimestamp,
        /// Last change of the inode.
        pub stx_ctime: StatxTimestamp,
        /// Last change of content.
        pub stx_mtime: StatxTimestamp,
        /// Device a node stands for: major.
        pub stx_rdev_major: u32,
        /// Device a node stands for: minor.
        pub stx_rdev_minor: u32,
        /// Device of the file: major.
        pub stx_dev_major: u32,
        /// Device of the file: minor.
        pub stx_dev_minor: u32,
        /// Mount id.
        pub stx_mnt_id: u64,
        /// Spare.
        pub spare: [u64; 13],
    }
}

abi_struct! {
    /// `struct statfs` of x86-64.
    pub struct Statfs {
        /// Magic number of the file system.
        pub f_type: i64,
        /// Block size, bytes.
        pub f_bsize: i64,
        /// Blocks in all.
        pub f_blocks: u64,
        /// Free blocks.
        pub f_bfree: u64,
        /// Free blocks for ordinary users.
        pub f_bavail: u64,
        /// Inodes in all.
        pub f_files: u64,
        /// Free inodes.
        pub f_ffree: u64,
        /// File-system id.
        pub f_fsid: [i32; 2],
        /// Longest file name.
        pub f_namelen: i64,
        /// Fragment size.
        pub f_frsize: i64,
        /// Mount flags.
        pub f_flags: i64,
        /// Spare.
        pub f_spare: [i64; 4],
    }
}

abi_struct! {
    /// `struct rusage` (getrusage(2)).
    pub struct Rusage {
        /// CPU time in user mode.
        pub ru_utime: Timeval,
        /// CPU time in the kernel.
        pub ru_stime: Timeval,
        /// Peak resident size, KiB.
        pub ru_maxrss: i64,
        /// Unused.
        pub ru_ixrss: i64,
        /// Unused.
        pub ru_idrss: i64,
        /// Unused.
        pub ru_isrss: i64,
        /// Faults served without I/O.
        pub ru_minflt: i64,
        /// Faults that needed I/O.
        pub ru_majflt: i64,
        /// Unused.
        pub ru_nswap: i64,
        /// Block reads.
        pub ru_inblock: i64,
        /// Block writes.
        pub ru_oublock: i64,
        /// Unused.
        pub ru_msgsnd: i64,
        /// Unused.
        pub ru_msgrcv: i64,
        /// Unused.
        pub ru_nsignals: i64,
        /// Voluntary switches.
        pub ru_nvcsw: i64,
        /// Involuntary switches.
        pub ru_nivcsw: i64,
    }
}

abi_struct! {
    /// `struct rlimit64` (prlimit(2)).
    pub struct Rlimit {
        /// Soft limit.
        pub rlim_cur: u64,
        /// Hard limit.
        pub rlim_max: u64,
    }
}

abi_struct! {
    /// The kernel's `struct sigaction` (rt_sigaction(2)).
    pub struct KernelSigaction {
        /// Handler address, 0 for default, 1 for ignore.
        pub handler: u64,
        /// SA_ flags.
        pub flags: u64,
        /// Where the handler returns to.
        pub restorer: u64,
        /// Signals blocked while it runs.
        pub mask: u64,
    }
}

abi_struct! {
    /// `stack_t` (sigaltstack(2)).
    pub struct SigaltStack {
        /// Lowest address.
        pub ss_sp: u64,
        /// SS_ flags.
        pub ss_flags: i32,
        /// Padding.
        pub pad: u32,
        /// Bytes.
        pub ss_size: u64,
    }
}

abi_struct! {
    /// `struct iovec`.
    pub struct IoVec {
        /// Start of the buffer.
        pub base: u64,
        /// Its length, bytes.
        pub len: u64,
    }
}

abi_struct! {
    /// `struct pollfd`.
    pub struct PollFd {
        /// Descriptor, negative to skip.
        pub fd: i32,
        /// Wanted events.
        pub events: i16,
        /// Returned events.
        pub revents: i16,
    }
}

abi_struct! {
    /// `struct tms` (times(2)), in clock ticks of 10 ms.
    pub struct Tms {
        /// User time.
        pub tms_utime: i64,
        /// System time.
        pub tms_stime: i64,
        /// User time of waited-for children.
        pub tms_cutime: i64,
        /// System time of waited-for children.
        pub tms_cstime: i64,
    }
}

abi_struct! {
    /// `struct new_utsname` (uname(2)): NUL-padded strings.
    pub struct Utsname {
        /// Name of the system.
        pub sysname: [u8; 65],
        /// Host name.
        pub nodename: [u8; 65],
        /// Release.
        pub release: [u8; 65],
        /// Version.
        pub version: [u8; 65],
        /// Machine.
        pub machine: [u8; 65],
        /// Domain name.
        pub domainname: [u8; 65],
    }
}

abi_struct! {
    /// `struct sysinfo` (sysinfo(2)).
    pub struct Sysinfo {
        /// Seconds since boot.
        pub uptime: i64,
        /// Load averages, 16-bit fixed point.
        pub loads: [u64; 3],
        /// Memory in all, in units.
        pub totalram: u64,
        /// Free memory.
        pub freeram: u64,
        /// Shared memory.
        pub sharedram: u64,
        /// Buffers.
        pub bufferram: u64,
        /// Swap in all.
        pub totalswap: u64,
        /// Free swap.
        pub freeswap: u64,
        /// Processes.
        pub procs: u16,
        /// Padding.
        pub pad: u16,
        /// Padding.
        pub pad1: u32,
        /// High memory in all.
        pub totalhigh: u64,
        /// Free high memory.
        pub freehigh: u64,
        /// Bytes of a unit.
        pub mem_unit: u32,
        /// Padding.
        pub pad2: u32,
    }
}

abi_struct! {
    /// `struct termios` of the kernel (TCGETS).
    pub struct Termios {
        /// Input modes.
        pub c_iflag: u32,
        /// Output modes.
        pub c_oflag: u32,
        /// Control modes.
        pub c_cflag: u32,
        /// Local modes.
        pub c_lflag: u32,
        /// Line discipline.
        pub c_line: u8,
        /// Control characters.
        pub c_cc: [u8; 19],
    }
}

abi_struct! {
    /// `struct termios2` of the kernel (TCGETS2): with speeds as numbers.
    pub struct Termios2 {
        /// Input modes.
        pub c_iflag: u32,
        /// Output modes.
        pub c_oflag: u32,
        /// Control modes.
        pub c_cflag: u32,
        /// Local modes.
        pub c_lflag: u32,
        /// Line discipline.
        pub c_line: u8,
        /// Control characters.
        pub c_cc: [u8; 19],
        /// Input speed, baud.
        pub c_ispeed: u32,
        /// Output speed, baud.
        pub c_ospeed: u32,
    }
}

abi_struct! {
    /// `struct winsize` (TIOCGWINSZ).
    pub struct Winsize {
        /// Rows, characters.
        pub ws_row: u16,
        /// Columns, characters.
        pub ws_col: u16,
        /// Width, pixels.
        pub ws_xpixel: u16,
        /// Height, pixels.
        pub ws_ypixel: u16,
    }
}

abi_struct! {
    /// `struct clone_args` (clone3(2)), the first 88 bytes.
    pub struct CloneArgs {
        /// CLONE_ flags without the exit signal.
        pub flags: u64,
        /// Where to store the pidfd.
        pub pidfd: u64,
        /// Where the child stores its tid.
        pub child_tid: u64,
        /// Where the parent stores the child's tid.
        pub parent_tid: u64,
        /// Signal to the parent at exit.
        pub exit_signal: u64,
        /// Lowest byte of the stack.
        pub stack: u64,
        /// Its size.
        pub stack_size: u64,
        /// Thread-local storage base.
        pub tls: u64,
        /// Array of wanted pids.
        pub set_tid: u64,
        /// Its length.
        pub set_tid_size: u64,
        /// Cgroup descriptor.
        pub cgroup: u64,
    }
}

abi_struct! {
    /// `struct flock` (fcntl F_SETLK).
    pub struct Flock {
        /// F_RDLCK, F_WRLCK or F_UNLCK.
        pub l_type: i16,
        /// SEEK_SET, SEEK_CUR or SEEK_END.
        pub l_whence: i16,
        /// Padding.
        pub pad: u32,
        /// Offset.
        pub l_start: i64,
        /// Length, 0 to the end.
        pub l_len: i64,
        /// Holder.
        pub l_pid: i32,
        /// Padding.
        pub pad1: u32,
    }
}
