//! Linux capabilities: the superuser's powers, one bit each.

use bitflags::bitflags;

bitflags! {
    /// A set of capabilities; bit numbers are Linux's (capabilities(7)).
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
    pub struct Capabilities: u64 {
        /// Change owners of files.
        const CHOWN = 1 << 0;
        /// Ignore file permission bits.
        const DAC_OVERRIDE = 1 << 1;
        /// Read any file, search any directory.
        const DAC_READ_SEARCH = 1 << 2;
        /// Act as owner of any file.
        const FOWNER = 1 << 3;
        /// Keep set-id bits on change.
        const FSETID = 1 << 4;
        /// Signal any process.
        const KILL = 1 << 5;
        /// Change group ids.
        const SETGID = 1 << 6;
        /// Change user ids.
        const SETUID = 1 << 7;
        /// Hand on and drop capabilities.
        const SETPCAP = 1 << 8;
        /// Set immutable attributes.
        const LINUX_IMMUTABLE = 1 << 9;
        /// Bind to ports below 1024.
        const NET_BIND_SERVICE = 1 << 10;
        /// Broadcast.
        const NET_BROADCAST = 1 << 11;
        /// Configure the network.
        const NET_ADMIN = 1 << 12;
        /// Raw sockets.
        const NET_RAW = 1 << 13;
        /// Lock memory.
        const IPC_LOCK = 1 << 14;
        /// Ignore IPC ownership.
        const IPC_OWNER = 1 << 15;
        /// Load kernel modules.
        const SYS_MODULE = 1 << 16;
        /// Raw I/O.
        const SYS_RAWIO = 1 << 17;
        /// `chroot`.
        const SYS_CHROOT = 1 << 18;
        /// Trace any process.
        const SYS_PTRACE = 1 << 19;
        /// Process accounting.
        const SYS_PACCT = 1 << 20;
        /// Administration: mount, host name, …
        const SYS_ADMIN = 1 << 21;
        /// Reboot.
        const SYS_BOOT = 1 << 22;
        /// Raise priorities, set affinity of others.
        const SYS_NICE = 1 << 23;
        /// Exceed resource limits.
        const SYS_RESOURCE = 1 << 24;
        /// Set the clock.
        const SYS_TIME = 1 << 25;
        /// Configure terminals.
        const SYS_TTY_CONFIG = 1 << 26;
        /// Make device nodes.
        const MKNOD = 1 << 27;
        /// Take leases.
        const LEASE = 1 << 28;
        /// Write the audit log.
        const AUDIT_WRITE = 1 << 29;
        /// Control auditing.
        const AUDIT_CONTROL = 1 << 30;
        /// Set file capabilities.
        const SETFCAP = 1 << 31;
        /// Override mandatory access control.
        const MAC_OVERRIDE = 1 << 32;
        /// Configure mandatory access control.
        const MAC_ADMIN = 1 << 33;
        /// Read and clear the kernel log.
        const SYSLOG = 1 << 34;
        /// Wake the system.
        const WAKE_ALARM = 1 << 35;
        /// Block suspend.
        const BLOCK_SUSPEND = 1 << 36;
        /// Read the audit log.
        const AUDIT_READ = 1 << 37;
        /// Performance monitoring.
        const PERFMON = 1 << 38;
        /// BPF.
        const BPF = 1 << 39;
        /// Checkpoint and restore.
        const CHECKPOINT_RESTORE = 1 << 40;
    }
}
