//! Rules of credentials(7) and capabilities(7), each as a sentence.

use super::*;

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

fn uids(c: &Credentials) -> [u32; 4] {
    [c.ruid.0, c.euid.0, c.suid.0, c.fsuid.0]
}

fn gids(c: &Credentials) -> [u32; 4] {
    [c.rgid.0, c.egid.0, c.sgid.0, c.fsgid.0]
}

const K: u32 = u32::MAX;

#[test]
fn root_sets_all_ids_and_loses_its_capabilities() {
    let new = setuid(&Credentials::ROOT, Uid(7)).unwrap();
    assert_eq!(uids(&new), [7, 7, 7, 7]);
    assert!(new.permitted.is_empty() && new.effective.is_empty());
    assert_eq!(new.bounding, Capabilities::all());
    assert_eq!(setuid(&new, Uid(0)), Err(ProcessError::PermissionDenied));
    assert_eq!(setuid(&Credentials::ROOT, Uid(K)), Err(ProcessError::InvalidArgument));
}

#[test]
fn user_moves_between_real_and_saved_only() {
    let set_uid = but!(user(7), euid: Uid(9), suid: Uid(9), fsuid: Uid(9));
    let down = setuid(&set_uid, Uid(7)).unwrap();
    assert_eq!(uids(&down), [7, 7, 9, 7]);
    assert_eq!(uids(&setuid(&down, Uid(9)).unwrap()), [7, 9, 9, 9]);
    assert_eq!(setuid(&set_uid, Uid(8)), Err(ProcessError::PermissionDenied));
}

#[test]
fn setreuid_updates_the_saved_id_when_the_real_one_is_set() {
    let set_uid = but!(user(7), euid: Uid(9), suid: Uid(9), fsuid: Uid(9));
    assert_eq!(uids(&setreuid(&set_uid, Uid(9), Uid(7)).unwrap()), [9, 7, 7, 7]);
    assert_eq!(uids(&setreuid(&set_uid, Uid(K), Uid(7)).unwrap()), [7, 7, 9, 7], "to the real one: saved stays");
    assert_eq!(uids(&setreuid(&set_uid, Uid(K), Uid(9)).unwrap()), [7, 9, 9, 9]);
    assert_eq!(setreuid(&user(7), Uid(8), Uid(K)), Err(ProcessError::PermissionDenied));
    let saved = but!(user(7), suid: Uid(9));
    assert_eq!(setreuid(&saved, Uid(9), Uid(K)), Err(ProcessError::PermissionDenied), "saved is no source for real");
    assert_eq!(uids(&setreuid(&saved, Uid(K), Uid(9)).unwrap()), [7, 9, 9, 9]);
}

#[test]
fn setresuid_takes_each_from_the_three() {
    let mixed = but!(user(1), ruid: Uid(1), euid: Uid(2), suid: Uid(3), fsuid: Uid(2));
    assert_eq!(uids(&setresuid(&mixed, Uid(3), Uid(1), Uid(2)).unwrap()), [3, 1, 2, 1]);
    assert_eq!(uids(&setresuid(&mixed, Uid(K), Uid(K), Uid(K)).unwrap()), [1, 2, 3, 2]);
    assert_eq!(setresuid(&mixed, Uid(K), Uid(K), Uid(4)), Err(ProcessError::PermissionDenied));
}

#[test]
fn temporarily_dropped_root_comes_back_with_its_capabilities() {
    let down = setresuid(&Credentials::ROOT, Uid(K), Uid(7), Uid(K)).unwrap();
    assert!(down.effective.is_empty());
    assert_eq!(down.permitted, Capabilities::all());
    let up = setresuid(&down, Uid(K), Uid(0), Uid(K)).unwrap();
    assert_eq!(up.effective, Capabilities::all());
}

#[test]
fn keepcaps_keeps_permitted_but_not_effective() {
    let keeping = set_keep_capabilities(&Credentials::ROOT, true).unwrap();
    let new = setuid(&keeping, Uid(7)).unwrap();
    assert_eq!((new.permitted, new.effective), (Capabilities::all(), Capabilities::empty()));
    let locked = but!(Credentials::ROOT, securebits: SecureBits::KEEP_CAPS_LOCKED);
    assert_eq!(set_keep_capabilities(&locked, true), Err(ProcessError::PermissionDenied));
}

#[test]
fn no_setuid_fixup_leaves_capabilities_alone() {
    let fixed = but!(Credentials::ROOT, securebits: SecureBits::NO_SETUID_FIXUP);
    assert_eq!(setuid(&fixed, Uid(7)).unwrap().effective, Capabilities::all());
}

#[test]
fn file_system_user_carries_the_file_capabilities() {
    let down = setfsuid(&Credentials::ROOT, Uid(7));
    assert_eq!(uids(&down), [0, 0, 0, 7]);
    assert!(!down.capable(Capabilities::DAC_OVERRIDE) && down.capable(Capabilities::KILL));
    assert!(setfsuid(&down, Uid(0)).capable(Capabilities::DAC_OVERRIDE));
    assert_eq!(setfsuid(&user(7), Uid(8)), user(7));
}

#[test]
fn group_ids_follow_the_same_rules() {
    assert_eq!(gids(&setgid(&Credentials::ROOT, Gid(5)).unwrap()), [5, 5, 5, 5]);
    let set_gid = but!(user(7), egid: Gid(9), sgid: Gid(9), fsgid: Gid(9));
    assert_eq!(gids(&setgid(&set_gid, Gid(7)).unwrap()), [7, 7, 9, 7]);
    assert_eq!(setgid(&set_gid, Gid(8)), Err(ProcessError::PermissionDenied));
    assert_eq!(gids(&setregid(&set_gid, Gid(9), Gid(7)).unwrap()), [9, 7, 7, 7]);
    assert_eq!(gids(&setresgid(&set_gid, Gid(K), Gid(7), Gid(K)).unwrap()), [7, 7, 9, 7]);
    assert_eq!(gids(&setfsgid(&set_gid, Gid(7))), [7, 9, 9, 7]);
    assert_eq!(setgroups(&user(7), &[Gid(1)]), Err(ProcessError::PermissionDenied));
    assert_eq!(setgroups(&Credentials::ROOT, &[Gid(1)]).unwrap().groups(), [Gid(1)]);
    assert_eq!(setgroups(&Credentials::ROOT, &[Gid(1); types::MAX_GROUPS + 1]), Err(ProcessError::InvalidArgument));
}

#[test]
fn capset_never_adds_to_permitted() {
    let kill = Capabilities::KILL;
    let some = but!(user(7), permitted: kill, effective: kill);
    let none = CapabilitySets {
        effective: Capabilities::empty(),
        permitted: Capabilities::empty(),
        inheritable: Capabilities::empty(),
    };
    assert!(capset(&some, none).is_ok());
    let more = Capabilities::KILL | Capabilities::CHOWN;
    assert_eq!(capset(&some, CapabilitySets { permitted: more, ..none }), Err(ProcessError::PermissionDenied));
    assert_eq!(capset(&some, CapabilitySets { effective: kill, ..none }), Err(ProcessError::PermissionDenied));
    let inherit = capset(&some, CapabilitySets { inheritable: kill, permitted: kill, effective: kill }).unwrap();
    assert_eq!(inherit.inheritable, kill);
    assert_eq!(
        capset(&some, CapabilitySets { inheritable: Capabilities::CHOWN, ..none }),
        Err(ProcessError::PermissionDenied)
    );
}

#[test]
fn ambient_needs_permitted_and_inheritable_and_falls_with_them() {
    let kill = Capabilities::KILL;
    let some = but!(user(7), permitted: kill, effective: kill);
    assert_eq!(raise_ambient(&some, kill), Err(ProcessError::PermissionDenied));
    let inheritable = but!(some, inheritable: kill);
    let raised = raise_ambient(&inheritable, kill).unwrap();
    assert_eq!(raised.ambient, kill);
    let executed = credentials_for_exec(&raised, ExecRights::default());
    assert_eq!((executed.credentials.permitted, executed.credentials.effective), (kill, kill));
    assert!(!executed.secure);
    let dropped =
        capset(&raised, CapabilitySets { permitted: kill, effective: kill, inheritable: Capabilities::empty() });
    assert!(dropped.unwrap().ambient.is_empty());
    assert!(lower_ambient(&raised, Capabilities::all()).ambient.is_empty());
    let forbidden = but!(inheritable, securebits: SecureBits::NO_CAP_AMBIENT_RAISE);
    assert_eq!(raise_ambient(&forbidden, kill), Err(ProcessError::PermissionDenied));
}

#[test]
fn locked_securebits_stay() {
    let noroot = set_securebits(&Credentials::ROOT, 0b11).unwrap();
    assert_eq!(set_securebits(&noroot, 0b10), Err(ProcessError::PermissionDenied));
    assert_eq!(set_securebits(&noroot, 0b01), Err(ProcessError::PermissionDenied));
    assert!(set_securebits(&noroot, 0b111).is_ok());
    assert_eq!(set_securebits(&Credentials::ROOT, 0x100), Err(ProcessError::PermissionDenied));
    assert_eq!(set_securebits(&user(7), 0), Err(ProcessError::PermissionDenied));
}

#[test]
fn exec_as_root_gives_all_and_as_user_nothing() {
    let root = credentials_for_exec(&Credentials::ROOT, ExecRights::default());
    assert_eq!((root.credentials.effective, root.secure), (Capabilities::all(), false));
    let plain = credentials_for_exec(&user(7), ExecRights::default());
    assert_eq!((plain.credentials, plain.secure), (user(7), false));
    let bounded = drop_bounding(&Credentials::ROOT, Capabilities::SYS_BOOT).unwrap();
    let executed = credentials_for_exec(&bounded, ExecRights::default()).credentials;
    assert!(!executed.capable(Capabilities::SYS_BOOT) && executed.capable(Capabilities::KILL));
    let noroot = but!(Credentials::ROOT, securebits: SecureBits::NOROOT);
    assert!(credentials_for_exec(&noroot, ExecRights::default()).credentials.permitted.is_empty());
}

#[test]
fn set_user_id_program_of_root_is_secure_and_privileged() {
    let rights = ExecRights { set_uid: Some(Uid(0)), ..ExecRights::default() };
    let executed = credentials_for_exec(&user(7), rights);
    assert_eq!(uids(&executed.credentials), [7, 0, 0, 0]);
    assert_eq!(executed.credentials.effective, Capabilities::all());
    assert!(executed.secure);
    assert_eq!(executed.set_ids, [true, false]);
}

#[test]
fn no_new_privs_ignores_set_ids() {
    let rights =
        ExecRights { set_uid: Some(Uid(0)), set_gid: Some(Gid(0)), no_new_privs: true, ..ExecRights::default() };
    let executed = credentials_for_exec(&user(7), rights);
    assert_eq!((executed.credentials, executed.secure), (user(7), false));
    assert_eq!(executed.set_ids, [false, false]);
}

#[test]
fn watched_caller_gets_no_rights_from_set_id() {
    let rights = ExecRights { set_uid: Some(Uid(0)), watched: true, ..ExecRights::default() };
    let executed = credentials_for_exec(&user(7), rights);
    assert_eq!(uids(&executed.credentials), [7, 7, 7, 7]);
    assert!(executed.credentials.permitted.is_empty());
}

#[test]
fn saved_ids_become_the_effective_ones_at_exec() {
    let mixed = but!(user(1), ruid: Uid(1), euid: Uid(2), suid: Uid(3), fsuid: Uid(2));
    let executed = credentials_for_exec(&mixed, ExecRights::default());
    assert_eq!(uids(&executed.credentials), [1, 2, 2, 2]);
    assert!(executed.secure, "effective and real user differ");
}
