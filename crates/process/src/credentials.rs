//! Changes of user, group and capabilities (credentials(7), capabilities(7)): pure functions from old to new.
//!
//! Each gives the new credentials or an error; [`ProcessTable::set_credentials`] puts them in force. The order of checks
//! and the exact conditions are Linux's (kernel/sys.c, security/commoncap.c).

use alloc::sync::Arc;

use types::{Capabilities, Credentials, Gid, SecureBits, Uid};

use crate::{Dumpable, Identity, ProcessError, ProcessTable, Resource, Resources, Result, Thread};

/// "Leave as it is" in the setre* and setres* families.
const KEEP: u32 = u32::MAX;

/// Capabilities that follow the file-system user.
const FILE_CAPABILITIES: Capabilities = Capabilities::CHOWN
    .union(Capabilities::MKNOD)
    .union(Capabilities::DAC_OVERRIDE)
    .union(Capabilities::DAC_READ_SEARCH)
    .union(Capabilities::FOWNER)
    .union(Capabilities::FSETID)
    .union(Capabilities::MAC_OVERRIDE)
    .union(Capabilities::LINUX_IMMUTABLE);

const ALL_LOCKS: SecureBits = SecureBits::NOROOT_LOCKED
    .union(SecureBits::NO_SETUID_FIXUP_LOCKED)
    .union(SecureBits::KEEP_CAPS_LOCKED)
    .union(SecureBits::NO_CAP_AMBIENT_RAISE_LOCKED);

// ---- users

/// setuid(2): with the right to, all four ids; else the effective one to the real or saved one.
///
/// # Errors
/// `InvalidArgument` for no user, `PermissionDenied`.
pub fn setuid(old: &Credentials, uid: Uid) -> Result<Credentials> {
    valid(uid.0)?;
    let mut new = *old;
    if old.capable(Capabilities::SETUID) {
        (new.ruid, new.suid) = (uid, uid);
    } else if uid != old.ruid && uid != old.suid {
        return Err(ProcessError::PermissionDenied);
    }
    (new.euid, new.fsuid) = (uid, uid);
    Ok(after_user_change(old, new))
}

/// setreuid(2); `u32::MAX` leaves an id as it is.
///
/// # Errors
/// `PermissionDenied`.
pub fn setreuid(old: &Credentials, ruid: Uid, euid: Uid) -> Result<Credentials> {
    let privileged = old.capable(Capabilities::SETUID);
    let mut new = *old;
    if ruid.0 != KEEP {
        new.ruid = ruid;
        allowed(privileged, ruid, &[old.ruid, old.euid])?;
    }
    if euid.0 != KEEP {
        new.euid = euid;
        allowed(privileged, euid, &[old.ruid, old.euid, old.suid])?;
    }
    if ruid.0 != KEEP || euid.0 != KEEP && euid != old.ruid {
        new.suid = new.euid;
    }
    new.fsuid = new.euid;
    Ok(after_user_change(old, new))
}

/// setresuid(2); `u32::MAX` leaves an id as it is.
///
/// # Errors
/// `PermissionDenied`.
pub fn setresuid(old: &Credentials, ruid: Uid, euid: Uid, suid: Uid) -> Result<Credentials> {
    let privileged = old.capable(Capabilities::SETUID);
    let mut new = *old;
    for (id, slot) in [(ruid, &mut new.ruid), (euid, &mut new.euid), (suid, &mut new.suid)] {
        if id.0 != KEEP {
            allowed(privileged, id, &[old.ruid, old.euid, old.suid])?;
            *slot = id;
        }
    }
    new.fsuid = new.euid;
    Ok(after_user_change(old, new))
}

/// setfsuid(2), which never fails: without the right nothing changes.
#[must_use]
pub fn setfsuid(old: &Credentials, fsuid: Uid) -> Credentials {
    let known = [old.ruid, old.euid, old.suid, old.fsuid];
    if fsuid.0 == KEEP || allowed(old.capable(Capabilities::SETUID), fsuid, &known).is_err() {
        return *old;
    }
    let mut new = *old;
    new.fsuid = fsuid;
    if !old.securebits.contains(SecureBits::NO_SETUID_FIXUP) {
        if old.fsuid == Uid::ROOT && fsuid != Uid::ROOT {
            new.effective.remove(FILE_CAPABILITIES);
        } else if old.fsuid != Uid::ROOT && fsuid == Uid::ROOT {
            new.effective.insert(new.permitted.intersection(FILE_CAPABILITIES));
        }
    }
    new
}

// ---- groups

/// setgid(2): as [`setuid`].
///
/// # Errors
/// `InvalidArgument` for no group, `PermissionDenied`.
pub fn setgid(old: &Credentials, gid: Gid) -> Result<Credentials> {
    valid(gid.0)?;
    let mut new = *old;
    if old.capable(Capabilities::SETGID) {
        (new.rgid, new.sgid) = (gid, gid);
    } else if gid != old.rgid && gid != old.sgid {
        return Err(ProcessError::PermissionDenied);
    }
    (new.egid, new.fsgid) = (gid, gid);
    Ok(new)
}

/// setregid(2); `u32::MAX` leaves an id as it is.
///
/// # Errors
/// `PermissionDenied`.
pub fn setregid(old: &Credentials, rgid: Gid, egid: Gid) -> Result<Credentials> {
    let privileged = old.capable(Capabilities::SETGID);
    let mut new = *old;
    if rgid.0 != KEEP {
        new.rgid = rgid;
        allowed(privileged, rgid, &[old.rgid, old.egid])?;
    }
    if egid.0 != KEEP {
        new.egid = egid;
        allowed(privileged, egid, &[old.rgid, old.egid, old.sgid])?;
    }
    if rgid.0 != KEEP || egid.0 != KEEP && egid != old.rgid {
        new.sgid = new.egid;
    }
    new.fsgid = new.egid;
    Ok(new)
}

/// setresgid(2); `u32::MAX` leaves an id as it is.
///
/// # Errors
/// `PermissionDenied`.
pub fn setresgid(old: &Credentials, rgid: Gid, egid: Gid, sgid: Gid) -> Result<Credentials> {
    let privileged = old.capable(Capabilities::SETGID);
    let mut new = *old;
    for (id, slot) in [(rgid, &mut new.rgid), (egid, &mut new.egid), (sgid, &mut new.sgid)] {
        if id.0 != KEEP {
            allowed(privileged, id, &[old.rgid, old.egid, old.sgid])?;
            *slot = id;
        }
    }
    new.fsgid = new.egid;
    Ok(new)
}

/// setfsgid(2), which never fails.
#[must_use]
pub fn setfsgid(old: &Credentials, fsgid: Gid) -> Credentials {
    let known = [old.rgid, old.egid, old.sgid, old.fsgid];
    if fsgid.0 == KEEP || allowed(old.capable(Capabilities::SETGID), fsgid, &known).is_err() {
        return *old;
    }
    but(old, |new| new.fsgid = fsgid)
}

/// setgroups(2).
///
/// # Errors
/// `PermissionDenied`; `InvalidArgument` for more than [`types::MAX_GROUPS`].
pub fn setgroups(old: &Credentials, groups: &[Gid]) -> Result<Credentials> {
    if !old.capable(Capabilities::SETGID) {
        return Err(ProcessError::PermissionDenied);
    }
    let mut new = *old;
    if new.set_groups(groups) { Ok(new) } else { Err(ProcessError::InvalidArgument) }
}

// ---- capabilities

/// The three sets of capset(2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CapabilitySets {
    /// In force.
    pub effective: Capabilities,
    /// May be put in force.
    pub permitted: Capabilities,
    /// Kept over exec where the file allows.
    pub inheritable: Capabilities,
}

/// capset(2).
///
/// # Errors
/// `PermissionDenied` if a set would grow beyond what the others allow.
pub fn capset(old: &Credentials, wanted: CapabilitySets) -> Result<Credentials> {
    let CapabilitySets { effective, permitted, inheritable } = wanted;
    let may_add = old.capable(Capabilities::SETPCAP);
    let fits = (may_add || old.inheritable.union(old.permitted).contains(inheritable))
        && old.inheritable.union(old.bounding).contains(inheritable)
        && old.permitted.contains(permitted)
        && permitted.contains(effective);
    if !fits {
        return Err(ProcessError::PermissionDenied);
    }
    let ambient = old.ambient.intersection(permitted).intersection(inheritable);
    Ok(but(old, |new| {
        (new.effective, new.permitted, new.inheritable, new.ambient) = (effective, permitted, inheritable, ambient);
    }))
}

/// PR_CAPBSET_DROP.
///
/// # Errors
/// `PermissionDenied`.
pub fn drop_bounding(old: &Credentials, capability: Capabilities) -> Result<Credentials> {
    if !old.capable(Capabilities::SETPCAP) {
        return Err(ProcessError::PermissionDenied);
    }
    Ok(but(old, |new| new.bounding.remove(capability)))
}

/// PR_CAP_AMBIENT_RAISE.
///
/// # Errors
/// `PermissionDenied` unless it is permitted and inheritable and not forbidden.
pub fn raise_ambient(old: &Credentials, capability: Capabilities) -> Result<Credentials> {
    let allowed = old.permitted.contains(capability)
        && old.inheritable.contains(capability)
        && !old.securebits.contains(SecureBits::NO_CAP_AMBIENT_RAISE);
    if !allowed {
        return Err(ProcessError::PermissionDenied);
    }
    Ok(but(old, |new| new.ambient.insert(capability)))
}

/// PR_CAP_AMBIENT_LOWER, and PR_CAP_AMBIENT_CLEAR_ALL with all of them.
#[must_use]
pub fn lower_ambient(old: &Credentials, capabilities: Capabilities) -> Credentials {
    but(old, |new| new.ambient.remove(capabilities))
}

/// PR_SET_SECUREBITS.
///
/// # Errors
/// `PermissionDenied` for unknown bits, a locked one that would change, a lock that would open, or without CAP_SETPCAP.
pub fn set_securebits(old: &Credentials, bits: u64) -> Result<Credentials> {
    let new = u8::try_from(bits).ok().and_then(SecureBits::from_bits).ok_or(ProcessError::PermissionDenied)?;
    let locks = old.securebits.intersection(ALL_LOCKS);
    let locked = locks.bits() >> 1;
    let changed = old.securebits.bits() ^ new.bits();
    if locked & changed != 0 || !new.contains(locks) || !old.capable(Capabilities::SETPCAP) {
        return Err(ProcessError::PermissionDenied);
    }
    Ok(but(old, |credentials| credentials.securebits = new))
}

/// PR_SET_KEEPCAPS.
///
/// # Errors
/// `PermissionDenied` if the bit is locked.
pub fn set_keep_capabilities(old: &Credentials, keep: bool) -> Result<Credentials> {
    if old.securebits.contains(SecureBits::KEEP_CAPS_LOCKED) {
        return Err(ProcessError::PermissionDenied);
    }
    let mut securebits = old.securebits;
    securebits.set(SecureBits::KEEP_CAPS, keep);
    Ok(but(old, |new| new.securebits = securebits))
}

// ---- exec

/// What the executed file and the caller's situation say about rights.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct ExecRights {
    /// Owner of a file with the set-user-id bit, on a mount that honours it.
    pub set_uid: Option<Uid>,
    /// Group of a file with the set-group-id and the group-execute bit, likewise.
    pub set_gid: Option<Gid>,
    /// PR_SET_NO_NEW_PRIVS.
    pub no_new_privs: bool,
    /// Another process shares root and working directory, or traces the caller without privilege.
    pub watched: bool,
}

/// Rights after an exec.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ExecCredentials {
    /// The new credentials.
    pub credentials: Credentials,
    /// AT_SECURE: the program has rights that its caller has not.
    pub secure: bool,
    /// Whether the set-user-id and set-group-id bits were honoured.
    pub set_ids: [bool; 2],
}

/// The rights of the program after exec (capabilities(7), "Transformation of capabilities during execve()"; files have no
/// capabilities of their own here).
#[must_use]
pub fn credentials_for_exec(old: &Credentials, rights: ExecRights) -> ExecCredentials {
    let mut new = *old;
    if !rights.no_new_privs {
        new.euid = rights.set_uid.unwrap_or(new.euid);
        new.egid = rights.set_gid.unwrap_or(new.egid);
    }
    new.permitted = Capabilities::empty();
    let mut root_effective = false;
    if !old.securebits.contains(SecureBits::NOROOT) && (new.euid == Uid::ROOT || new.ruid == Uid::ROOT) {
        new.permitted = old.bounding.union(old.inheritable);
        root_effective = new.euid == Uid::ROOT;
    }
    let mut is_set_id = new.euid != old.ruid || new.egid != old.rgid;
    let gained = !old.permitted.contains(new.permitted);
    if (is_set_id || gained) && (rights.watched || rights.no_new_privs) {
        if !old.capable(Capabilities::SETUID) || rights.no_new_privs {
            (new.euid, new.egid) = (new.ruid, new.rgid);
        }
        new.permitted = new.permitted.intersection(old.permitted);
        is_set_id = new.euid != old.ruid || new.egid != old.rgid;
    }
    (new.suid, new.fsuid, new.sgid, new.fsgid) = (new.euid, new.euid, new.egid, new.egid);
    if is_set_id {
        new.ambient = Capabilities::empty();
    }
    new.permitted = new.permitted.union(new.ambient);
    new.effective = if root_effective { new.permitted } else { new.ambient };
    new.securebits.remove(SecureBits::KEEP_CAPS);
    let grew = !new.ambient.contains(new.permitted);
    let secure = is_set_id || old.ruid != Uid::ROOT && (root_effective || grew);
    let honoured = [
        rights.set_uid.is_some_and(|uid| new.euid == uid) && !rights.no_new_privs,
        rights.set_gid.is_some_and(|gid| new.egid == gid) && !rights.no_new_privs,
    ];
    ExecCredentials { credentials: new, secure, set_ids: honoured }
}

impl<R: Resources> ProcessTable<R> {
    /// Puts new credentials of a thread in force: account of its real user, and what a change of rights means for
    /// dumpability and the parent-death signal (prctl(2)). Each thread has its own; the C library keeps them together.
    pub fn set_credentials(&self, thread: &Arc<Thread<R>>, new: Credentials) {
        trace!("credentials: tid={} ruid={} euid={}", thread.tid(), new.ruid, new.euid);
        let old = self.replace_identity(thread, new);
        let old = &old.credentials;
        let ids_changed =
            old.euid != new.euid || old.egid != new.egid || old.fsuid != new.fsuid || old.fsgid != new.fsgid;
        if ids_changed || !old.permitted.contains(new.permitted) {
            thread.process().set_dumpable(Dumpable::No);
            thread.set_parent_death_signal(None);
        }
    }

    pub(crate) fn set_credentials_for_exec(&self, thread: &Arc<Thread<R>>, new: Credentials, secure: bool) {
        let old = self.replace_identity(thread, new);
        let changed = old.credentials.euid != new.euid || old.credentials.egid != new.egid;
        if secure || changed {
            thread.set_parent_death_signal(None);
        }
    }

    fn replace_identity(&self, thread: &Arc<Thread<R>>, new: Credentials) -> Arc<Identity> {
        let old = thread.identity();
        let same_user = old.user.uid() == new.ruid;
        let user = if same_user { old.user.clone() } else { self.user(new.ruid) };
        if !same_user {
            // A change of user never fails for this (programs do not look); the exec after it does. As on Linux, who changes
            // does not count yet.
            let limit = thread.process().limit(Resource::Processes);
            thread.note_process_limit(user.is_over(limit) && user.uid() != Uid::ROOT);
            user.add_thread();
            old.user.remove_thread();
        }
        let identity = Arc::new(Identity { credentials: new, user });
        if thread.is_leader() {
            let before = thread.process().set_identity(identity.clone());
            drop(before);
        }
        thread.set_identity(identity)
    }
}

/// What a change of user ids does to capabilities (capabilities(7), "Effect of user ID changes on capabilities").
fn after_user_change(old: &Credentials, mut new: Credentials) -> Credentials {
    if old.securebits.contains(SecureBits::NO_SETUID_FIXUP) {
        return new;
    }
    let is_root = |uid: &Uid| *uid == Uid::ROOT;
    let was_root = [old.ruid, old.euid, old.suid].iter().any(is_root);
    let stays_root = [new.ruid, new.euid, new.suid].iter().any(is_root);
    if was_root && !stays_root {
        if !old.securebits.contains(SecureBits::KEEP_CAPS) {
            new.permitted = Capabilities::empty();
            new.effective = Capabilities::empty();
        }
        new.ambient = Capabilities::empty();
    }
    if is_root(&old.euid) && !is_root(&new.euid) {
        new.effective = Capabilities::empty();
    } else if !is_root(&old.euid) && is_root(&new.euid) {
        new.effective = new.permitted;
    }
    new
}

/// A copy of `old` with a change.
fn but(old: &Credentials, change: impl FnOnce(&mut Credentials)) -> Credentials {
    let mut new = *old;
    change(&mut new);
    new
}

fn valid(id: u32) -> Result<()> {
    if id == KEEP { Err(ProcessError::InvalidArgument) } else { Ok(()) }
}

fn allowed<T: PartialEq>(privileged: bool, wanted: T, known: &[T]) -> Result<()> {
    if privileged || known.contains(&wanted) { Ok(()) } else { Err(ProcessError::PermissionDenied) }
}

#[cfg(test)]
#[path = "credentials_tests.rs"]
mod tests;
