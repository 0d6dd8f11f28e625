//! Futexes whose owners end.

use abi::linux::general as linux;
use process::futex::{OWNER_DIED, WAITERS};

use crate::testing::World;

#[test]
fn who_waits_for_an_owner_that_ends_is_woken_in_a_namespace_too() {
    let (_, init) = World::new();
    assert_eq!(init.call(linux::__NR_unshare, [linux::CLONE_NEWPID.into()]), 0);
    let first = init.fork();
    let (access, kind) = (linux::PROT_READ | linux::PROT_WRITE, linux::MAP_SHARED | linux::MAP_ANONYMOUS);
    let word = first.call(linux::__NR_mmap, [0, 4096, access.into(), kind.into(), u64::MAX, 0]) as u64;
    let owner = first.fork();
    assert_ne!(owner.thread.tid().0, 2, "that is what it is called inside");
    first.space.write(word, &2_u32.to_le_bytes());
    let mut waiting = first.start(linux::__NR_futex, [word, linux::FUTEX_LOCK_PI.into(), 0, 0]);
    waiting.waits();
    assert_eq!(first.get::<u32>(word), WAITERS | 2);
    owner.caller().system.thread_exit(&owner.thread, None);
    assert_eq!(waiting.finish(), 0);
    assert_eq!(first.get::<u32>(word), OWNER_DIED | 1);
}
