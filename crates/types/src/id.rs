//! Identities of processes, threads, groups, sessions and users, each its own type.

macro_rules! id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
        pub struct $name(pub u32);

        impl core::fmt::Display for $name {
            fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

id!(
    /// Number of a process (thread group), as `getpid` gives it. Never 0 for a live process.
    Pid
);
id!(
    /// Number of a thread, as `gettid` gives it; from the same number space as [`Pid`].
    Tid
);
id!(
    /// Number of a process group.
    Pgid
);
id!(
    /// Number of a session.
    Sid
);
id!(
    /// User id. `u32::MAX` is never a user: system calls use it for "leave as it is".
    Uid
);
id!(
    /// Group id; `u32::MAX` as for [`Uid`].
    Gid
);

impl Pid {
    /// The first user process, ancestor and last parent of all others.
    pub const INIT: Self = Self(1);
}

impl Uid {
    /// The superuser.
    pub const ROOT: Self = Self(0);
}

impl Gid {
    /// The superuser's group.
    pub const ROOT: Self = Self(0);
}

impl From<Pid> for Tid {
    /// A process's first thread has the process's number.
    fn from(pid: Pid) -> Self {
        Self(pid.0)
    }
}

impl From<Pid> for Pgid {
    /// The group led by that process.
    fn from(pid: Pid) -> Self {
        Self(pid.0)
    }
}

impl From<Pid> for Sid {
    /// The session led by that process.
    fn from(pid: Pid) -> Self {
        Self(pid.0)
    }
}
