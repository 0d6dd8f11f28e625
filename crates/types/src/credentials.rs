//! Who a process acts as.

use crate::{Capabilities, Gid, Uid};

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
