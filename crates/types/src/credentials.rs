//! Who a process acts as.

use bitflags::bitflags;

use crate::{Capabilities, Gid, Uid};

bitflags! {
    /// How far user 0 is special (capabilities(7), "The securebits flags"); each has a lock beside it.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
    pub struct SecureBits: u8 {
        /// Executing as user 0 gives no capabilities.
        const NOROOT = 1 << 0;
        /// Locks `NOROOT`.
        const NOROOT_LOCKED = 1 << 1;
        /// Changes of user ids leave capabilities alone.
        const NO_SETUID_FIXUP = 1 << 2;
        /// Locks `NO_SETUID_FIXUP`.
        const NO_SETUID_FIXUP_LOCKED = 1 << 3;
        /// Permitted capabilities survive the change to an ordinary user; cleared by exec.
        const KEEP_CAPS = 1 << 4;
        /// Locks `KEEP_CAPS`.
        const KEEP_CAPS_LOCKED = 1 << 5;
        /// No capability can become ambient.
        const NO_CAP_AMBIENT_RAISE = 1 << 6;
        /// Locks `NO_CAP_AMBIENT_RAISE`.
        const NO_CAP_AMBIENT_RAISE_LOCKED = 1 << 7;
    }
}

/// Most supplementary groups a process has. Linux allows 65,536; nobody here needs more than this many.
pub const MAX_GROUPS: usize = 32;

/// User and group identities and capability sets (credentials(7), capabilities(7)).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Credentials {
    /// Real user: who started the program.
    pub ruid: Uid,
    /// Effective user: whose rights it has.
    pub euid: Uid,
    /// Saved user: what it can go back to.
    pub suid: Uid,
    /// User for file access; follows `euid`.
    pub fsuid: Uid,
    /// Real group.
    pub rgid: Gid,
    /// Effective group.
    pub egid: Gid,
    /// Saved group.
    pub sgid: Gid,
    /// Group for file access; follows `egid`.
    pub fsgid: Gid,
    /// Capabilities in force.
    pub effective: Capabilities,
    /// Capabilities it may put in force.
    pub permitted: Capabilities,
    /// Capabilities kept over exec where the file allows.
    pub inheritable: Capabilities,
    /// Upper bound of what exec can give.
    pub bounding: Capabilities,
    /// Capabilities kept over exec of an ordinary file.
    pub ambient: Capabilities,
    /// How far user 0 is special.
    pub securebits: SecureBits,
    groups: [Gid; MAX_GROUPS],
    group_count: u8,
}

impl Credentials {
    /// The superuser with every capability: what the first process runs as.
    pub const ROOT: Self = Self {
        ruid: Uid::ROOT,
        euid: Uid::ROOT,
        suid: Uid::ROOT,
        fsuid: Uid::ROOT,
        rgid: Gid::ROOT,
        egid: Gid::ROOT,
        sgid: Gid::ROOT,
        fsgid: Gid::ROOT,
        effective: Capabilities::all(),
        permitted: Capabilities::all(),
        inheritable: Capabilities::empty(),
        bounding: Capabilities::all(),
        ambient: Capabilities::empty(),
        securebits: SecureBits::empty(),
        groups: [Gid(0); MAX_GROUPS],
        group_count: 0,
    };

    /// An ordinary user without capabilities.
    pub const fn user(uid: Uid, gid: Gid) -> Self {
        Self {
            ruid: uid,
            euid: uid,
            suid: uid,
            fsuid: uid,
            rgid: gid,
            egid: gid,
            sgid: gid,
            fsgid: gid,
            effective: Capabilities::empty(),
            permitted: Capabilities::empty(),
            ..Self::ROOT
        }
    }

    /// Supplementary groups.
    pub fn groups(&self) -> &[Gid] {
        self.groups.get(..usize::from(self.group_count)).unwrap_or(&[])
    }

    /// Replaces the supplementary groups; `false`, and nothing changed, if there are more than [`MAX_GROUPS`].
    #[must_use]
    pub fn set_groups(&mut self, groups: &[Gid]) -> bool {
        let Some(slots) = self.groups.get_mut(..groups.len()) else { return false };
        slots.copy_from_slice(groups);
        self.group_count = groups.len() as u8;
        true
    }

    /// Whether `gid` is the file-access group or a supplementary one.
    pub fn in_group(&self, gid: Gid) -> bool {
        self.fsgid == gid || self.groups().contains(&gid)
    }

    /// Whether the capability is in force.
    pub const fn capable(&self, capability: Capabilities) -> bool {
        self.effective.contains(capability)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn too_many_groups_change_nothing() {
        let mut credentials = Credentials::user(Uid(7), Gid(8));
        assert!(credentials.set_groups(&[Gid(1), Gid(2)]));
        assert!(!credentials.set_groups(&[Gid(9); MAX_GROUPS + 1]));
        assert_eq!(credentials.groups(), [Gid(1), Gid(2)]);
        assert!(credentials.in_group(Gid(8)) && credentials.in_group(Gid(2)) && !credentials.in_group(Gid(9)));
    }
}
