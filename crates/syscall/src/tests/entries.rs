//! Calls come in by two ways: by what need not wait, and past that while somebody sets call filters. Both must know the same.

use abi::Errno;
use abi::linux::general as linux;

use crate::testing::{Entry, World};

/// Numbers of calls there may be.
const NUMBERS: u32 = 470;

/// Calls that change so much of the world that they are not comparable, or end it.
const LEFT_OUT: [u32; 5] =
    [linux::__NR_reboot, linux::__NR_exit, linux::__NR_exit_group, linux::__NR_vfork, linux::__NR_rt_sigreturn];

#[test]
fn what_is_served_at_once_is_served_by_the_other_entry_too() {
    let (_, init) = World::new();
    let mut known = 0;
    for number in (0..NUMBERS).filter(|number| !LEFT_OUT.contains(number)) {
        let task = init.fork();
        let fast = task.call_by(Entry::Fast, number, [0; 6]);
        let slow = task.call_by(Entry::Slow, number, [0; 6]);
        let unknown = Errno::ENOSYS.to_return_value();
        assert_eq!(fast == unknown, slow == unknown, "call {number}: {fast} and {slow}");
        known += u32::from(fast != unknown);
    }
    assert!(known > 250, "{known}");
}

#[test]
fn every_operation_on_futexes_comes_through() {
    let (_, task) = World::new();
    for operation in 0..16 {
        // Nobody waits; the words are zero, so that a wait for one ends at once.
        let [fast, slow] = [Entry::Fast, Entry::Slow].map(|entry| {
            let word = task.room(16);
            task.call_by(entry, linux::__NR_futex, [word, operation, 1, 0, word + 8, 1])
        });
        assert_eq!(fast, slow, "operation {operation}");
    }
}
