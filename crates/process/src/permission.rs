//! What one process may do to another (P14): pure questions about two sets of credentials.

use abi::Signal;
use types::{Capabilities, Credentials};

use alloc::sync::Arc;

use crate::{Dumpable, IsolationLevel, Process, Resources};

/// Whether `sender` may send `signal` (none: only ask) to a process with the rights of `target` (kill(2)).
#[must_use]
pub fn may_signal(sender: &Credentials, target: &Credentials, signal: Option<Signal>, same_session: bool) -> bool {
    sender.capable(Capabilities::KILL)
        || [sender.ruid, sender.euid].iter().any(|uid| *uid == target.ruid || *uid == target.suid)
        || signal == Some(Signal::CONT) && same_session
}

/// Whether `viewer` may look into a process with the rights of `target` that is dumpable or not (ptrace(2), "Ptrace access
/// mode checking", with real ids): its memory, registers, descriptors.
#[must_use]
pub fn may_inspect(viewer: &Credentials, target: &Credentials, dumpable: Dumpable) -> bool {
    if viewer.capable(Capabilities::SYS_PTRACE) {
        return true;
    }
    let same_user = [target.euid, target.suid, target.ruid].iter().all(|uid| *uid == viewer.ruid);
    let same_group = [target.egid, target.sgid, target.rgid].iter().all(|gid| *gid == viewer.rgid);
    same_user && same_group && dumpable == Dumpable::Yes && viewer.permitted.contains(target.permitted)
}

/// Whether `viewer` may look into `target` at all, whatever its rights: who is kept apart does not look over its walls, into
/// processes with lower ones or those of another service.
#[must_use]
pub fn within_walls<R: Resources>(viewer: &Process<R>, target: &Process<R>) -> bool {
    let own_cell = || match (viewer.cell(), target.cell()) {
        (Some(own), Some(other)) => Arc::ptr_eq(own, other),
        (own, _) => own.is_none(),
    };
    let level = viewer.isolation();
    level == IsolationLevel::Process || target.isolation() >= level && own_cell()
}

/// Whether `caller` may change priority, policy or affinity of a process with the rights of `target`
/// (setpriority(2), sched_setaffinity(2)).
#[must_use]
pub fn may_schedule(caller: &Credentials, target: &Credentials) -> bool {
    caller.euid == target.euid || caller.euid == target.ruid || caller.capable(Capabilities::SYS_NICE)
}

/// Whether `caller` may read or change the limits of another process with the rights of `target` (prlimit(2)).
#[must_use]
pub fn may_limit(caller: &Credentials, target: &Credentials) -> bool {
    let same_user = [target.euid, target.suid, target.ruid].iter().all(|uid| *uid == caller.ruid);
    let same_group = [target.egid, target.sgid, target.rgid].iter().all(|gid| *gid == caller.rgid);
    same_user && same_group || caller.capable(Capabilities::SYS_RESOURCE)
}

#[cfg(test)]
mod tests {
    use super::*;
    use types::{Gid, Uid};

    macro_rules! but {
        ($base:expr, $($field:ident: $value:expr),*) => {{
            let mut credentials = $base;
            $(credentials.$field = $value;)*
            credentials
        }};
    }

    fn user(uid: u32) -> Credentials {
        Credentials::user(Uid(uid), Gid(uid))
    }

    #[test]
    fn users_signal_their_own_and_root_signals_all() {
        assert!(may_signal(&user(7), &user(7), Some(Signal::TERM), false));
        assert!(!may_signal(&user(7), &user(8), Some(Signal::TERM), true));
        assert!(may_signal(&Credentials::ROOT, &user(8), Some(Signal::KILL), false));
        assert!(!may_signal(&user(7), &Credentials::ROOT, None, false));
    }

    #[test]
    fn real_and_effective_users_meet_real_and_saved_ones() {
        let set_uid = but!(user(7), euid: Uid(0), fsuid: Uid(0));
        assert!(may_signal(&user(7), &set_uid, None, false), "its real user started it");
        let target = but!(user(8), euid: Uid(7), ruid: Uid(8), suid: Uid(8));
        assert!(!may_signal(&user(7), &target, None, false), "the effective user of the target does not count");
    }

    #[test]
    fn continue_reaches_the_whole_session() {
        assert!(may_signal(&user(7), &user(8), Some(Signal::CONT), true));
        assert!(!may_signal(&user(7), &user(8), Some(Signal::CONT), false));
    }

    #[test]
    fn inspection_needs_all_ids_and_dumpable() {
        assert!(may_inspect(&user(7), &user(7), Dumpable::Yes));
        assert!(!may_inspect(&user(7), &user(7), Dumpable::No));
        assert!(!may_inspect(&user(7), &but!(user(7), suid: Uid(0)), Dumpable::Yes));
        assert!(!may_inspect(&user(7), &but!(user(7), permitted: Capabilities::KILL), Dumpable::Yes));
        assert!(may_inspect(&Credentials::ROOT, &user(7), Dumpable::No));
    }

    #[test]
    fn scheduling_and_limits_follow_their_own_rules() {
        assert!(may_schedule(&user(7), &user(7)) && !may_schedule(&user(7), &user(8)));
        assert!(may_schedule(&user(7), &but!(user(7), euid: Uid(9))));
        assert!(may_limit(&user(7), &user(7)) && !may_limit(&user(7), &but!(user(7), suid: Uid(0))));
        assert!(may_limit(&Credentials::ROOT, &user(7)));
    }
}
