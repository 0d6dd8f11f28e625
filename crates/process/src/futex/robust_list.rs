//! What becomes of the mutexes that a thread holds when it ends (set_robust_list(2)).
//!
//! The list lies in user memory and is as hostile as any of it: pointers may lead anywhere, form circles or change while
//! they are read. At most [`ROBUST_LIST_LIMIT`] entries are followed, and the first unreadable one ends the walk.

use types::Tid;

use super::{OWNER_DIED, TID_MASK, WAITERS};

/// Entries followed at most, as on Linux.
pub const ROBUST_LIST_LIMIT: usize = 2048;

/// Reads words of user memory.
pub trait UserWords {
    /// The eight bytes at `address`, or `None` where there is no readable memory.
    fn word(&mut self, address: u64) -> Option<u64>;

    /// The head of a list: three of them, one after the other.
    fn head(&mut self, address: u64) -> Option<[u64; 3]> {
        let mut field = |index: u64| self.word(address.checked_add(index * 8)?);
        Some([field(0)?, field(1)?, field(2)?])
    }
}

impl<F: FnMut(u64) -> Option<u64>> UserWords for F {
    fn word(&mut self, address: u64) -> Option<u64> {
        self(address)
    }
}

/// A futex word that the thread may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RobustEntry {
    /// Address of the word; the walk does not yield misaligned ones.
    pub address: u64,
    /// Whether it is a PI futex.
    pub pi: bool,
    /// Whether the thread was about to take or release it.
    pub pending: bool,
}

/// The walk over a robust list: an iterator over the words to look at.
#[derive(Debug)]
pub struct RobustList<R> {
    words: R,
    head: u64,
    offset: u64,
    pending: u64,
    next: Option<u64>,
    left: usize,
}

impl<R: UserWords> RobustList<R> {
    /// The list whose head is at `head`: link, offset of the word in an entry, pending entry. Empty if it cannot be read.
    pub fn new(mut words: R, head: u64) -> Self {
        let (next, offset, pending) = match words.head(head) {
            Some([next, offset, pending]) => (Some(next), offset, pending),
            None => (None, 0, 0),
        };
        Self { words, head, offset, pending, next, left: ROBUST_LIST_LIMIT }
    }

    fn entry(&self, link: u64, pending: bool) -> Option<RobustEntry> {
        // Bit 0 of a link marks a PI futex.
        let address = (link & !1).wrapping_add(self.offset);
        (address & 3 == 0).then_some(RobustEntry { address, pi: link & 1 != 0, pending })
    }

    fn take_pending(&mut self) -> Option<RobustEntry> {
        let link = core::mem::take(&mut self.pending);
        if link & !1 == 0 { None } else { self.entry(link, true) }
    }
}

impl<R: UserWords> Iterator for RobustList<R> {
    type Item = RobustEntry;

    fn next(&mut self) -> Option<RobustEntry> {
        while let Some(link) = self.next.take() {
            if link & !1 == self.head || self.left == 0 {
                break;
            }
            self.left -= 1;
            // The next link is read first: once a mutex is released its memory may go away.
            self.next = self.words.word(link & !1);
            if link & !1 == self.pending & !1 {
                continue;
            }
            match self.entry(link, false) {
                Some(entry) => return Some(entry),
                None => self.next = None,
            }
        }
        self.next = None;
        self.take_pending()
    }
}

/// What to do about the word of one entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeathAction {
    /// Nothing: somebody else holds it.
    Leave,
    /// Wake one waiter: the thread died between releasing it and waking.
    Wake,
    /// Compare and exchange to `value`; on failure judge the word again. Then wake one waiter if `wake`.
    Mark {
        /// The new value.
        value: u32,
        /// Whether somebody waits.
        wake: bool,
    },
}

/// Judges the `word` of an entry of the ending thread `tid`.
pub const fn death_action(word: u32, tid: Tid, entry: RobustEntry) -> DeathAction {
    let owner = word & TID_MASK;
    if entry.pending && !entry.pi && owner == 0 {
        return DeathAction::Wake;
    }
    if owner != tid.0 & TID_MASK {
        return DeathAction::Leave;
    }
    DeathAction::Mark { value: word & WAITERS | OWNER_DIED, wake: !entry.pi && word & WAITERS != 0 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashMap;
    use std::vec::Vec;

    fn list(memory: &[(u64, u64)], head: u64) -> Vec<RobustEntry> {
        let memory: HashMap<u64, u64> = memory.iter().copied().collect();
        RobustList::new(move |address| memory.get(&address).copied(), head).collect()
    }

    fn entry(address: u64) -> RobustEntry {
        RobustEntry { address, pi: false, pending: false }
    }

    #[test]
    fn entries_come_in_order_with_the_pending_one_last() {
        let memory = [(0x100, 0x200), (0x108, 0x10), (0x110, 0x400), (0x200, 0x301), (0x300, 0x100)];
        let found = list(&memory, 0x100);
        let pi = RobustEntry { address: 0x310, pi: true, pending: false };
        assert_eq!(found, [entry(0x210), pi, RobustEntry { pending: true, ..entry(0x410) }]);
    }

    #[test]
    fn a_pending_entry_that_is_in_the_list_comes_once() {
        let memory = [(0x100, 0x200), (0x108, 0), (0x110, 0x200), (0x200, 0x100)];
        assert_eq!(list(&memory, 0x100), [RobustEntry { pending: true, ..entry(0x200) }]);
    }

    #[test]
    fn a_circle_ends_at_the_limit() {
        let memory = [(0x100, 0x200), (0x108, 0), (0x110, 0), (0x200, 0x300), (0x300, 0x200)];
        assert_eq!(list(&memory, 0x100).len(), ROBUST_LIST_LIMIT);
    }

    #[test]
    fn unreadable_and_misaligned_entries_end_the_walk() {
        assert!(list(&[], 0x100).is_empty());
        assert!(list(&[(u64::MAX - 7, 1)], u64::MAX - 7).is_empty());
        let dangling = [(0x100, 0xdead_0000), (0x108, 0), (0x110, 0)];
        assert_eq!(list(&dangling, 0x100), [entry(0xdead_0000)]);
        let misaligned = [(0x100, 0x200), (0x108, 2), (0x110, 0x400), (0x200, 0x100)];
        assert!(list(&misaligned, 0x100).is_empty());
    }

    #[test]
    fn only_the_dead_owners_words_are_marked() {
        let tid = Tid(77);
        assert_eq!(death_action(78, tid, entry(0)), DeathAction::Leave);
        assert_eq!(death_action(0, tid, entry(0)), DeathAction::Leave);
        assert_eq!(death_action(77, tid, entry(0)), DeathAction::Mark { value: OWNER_DIED, wake: false });
        let waited = WAITERS | 77;
        assert_eq!(death_action(waited, tid, entry(0)), DeathAction::Mark { value: WAITERS | OWNER_DIED, wake: true });
        let pi = RobustEntry { pi: true, ..entry(0) };
        assert_eq!(death_action(waited, tid, pi), DeathAction::Mark { value: WAITERS | OWNER_DIED, wake: false });
        let pending = RobustEntry { pending: true, ..entry(0) };
        assert_eq!(death_action(WAITERS, tid, pending), DeathAction::Wake);
    }
}
