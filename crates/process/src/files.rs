//! The descriptor table: small numbers for open files.
//!
//! Numbers are handed out lowest first (POSIX). A file leaves the table by being returned to the caller, who drops it
//! once no lock is held: closing a file may do anything.

use alloc::sync::Arc;

use smallvec::SmallVec;
use sync::{Rank, SpinLock};

use crate::{ProcessError, Result};

/// Highest table size that RLIMIT_NOFILE can be raised to (`/proc/sys/fs/nr_open`).
pub const NR_OPEN: u64 = 65_536;

const BITS: usize = u64::BITS as usize;
/// Slots of a table's first allocation: standard streams and a few more; growth doubles.
const FIRST_SLOTS: usize = 8;

/// What happens to a descriptor at exec.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum OnExec {
    /// It stays open.
    #[default]
    Keep,
    /// It is closed (FD_CLOEXEC).
    Close,
}

/// Descriptors of a process, or of several threads and processes that share them (CLONE_FILES).
///
/// Look-up is O(1); finding the lowest free number is O(n / 64) from a hint that is exact in the usual case.
#[derive(Debug)]
pub struct FileTable<F> {
    files: SpinLock<Files<F>>,
}

#[derive(Debug)]
struct Files<F> {
    // Both cover the same numbers: `slots.len() <= BITS * words.len()`.
    slots: SmallVec<[Option<F>; FIRST_SLOTS]>,
    words: SmallVec<[Word; 1]>,
    // No number below this one is free.
    lowest_free: u32,
    // Record locks were taken in the name of this table; never taken back.
    holds_records: bool,
}

/// Bits of 64 numbers.
#[derive(Clone, Copy, Debug, Default)]
struct Word {
    // Open, or reserved by an open in progress.
    taken: u64,
    // Closed at exec.
    cloexec: u64,
}

impl<F> Default for FileTable<F> {
    fn default() -> Self {
        Self::new()
    }
}

impl<F> FileTable<F> {
    /// An empty table; allocates nothing.
    #[must_use]
    pub fn new() -> Self {
        Self::with(Files::new())
    }

    const fn with(files: Files<F>) -> Self {
        Self { files: SpinLock::new(Rank::FILE_TABLE, files) }
    }

    /// Notes that record locks (fcntl) are taken in the name of this table: closing has to give them up from now on.
    pub fn note_record_locks(&self) {
        self.files.lock().holds_records = true;
    }

    /// Whether that was ever noted. A copy begins without: record locks are not inherited.
    pub fn may_hold_record_locks(&self) -> bool {
        self.files.lock().holds_records
    }

    /// Puts `file` at the lowest free number that is at least `min` and below `limit` (RLIMIT_NOFILE).
    ///
    /// # Errors
    /// `InvalidArgument` if `min` is not below `limit`, `TooManyFiles`, `NoMemory`. The file is dropped then.
    pub fn insert(&self, file: F, min: u32, limit: u64, on_exec: OnExec) -> Result<u32> {
        let mut file = Some(file);
        let result = {
            let mut files = self.files.lock();
            files.reserve(min, limit, on_exec).inspect(|fd| files.install(*fd, file.take()))
        };
        drop(file);
        result
    }

    /// [`FileTable::insert`] for both ends of a pipe: both or none.
    ///
    /// # Errors
    /// `TooManyFiles`, `NoMemory`.
    pub fn insert_pair(&self, pair: [F; 2], limit: u64, on_exec: OnExec) -> Result<[u32; 2]> {
        let mut first = None;
        let result = {
            let mut files = self.files.lock();
            match files.reserve(0, limit, on_exec) {
                Ok(a) => match files.reserve(0, limit, on_exec) {
                    Ok(b) => {
                        let [file_a, file_b] = pair;
                        files.install(a, Some(file_a));
                        files.install(b, Some(file_b));
                        Ok([a, b])
                    }
                    Err(error) => {
                        files.release(a);
                        first = Some(pair);
                        Err(error)
                    }
                },
                Err(error) => {
                    first = Some(pair);
                    Err(error)
                }
            }
        };
        drop(first);
        result
    }

    /// Takes the lowest free number without a file yet: for an open that must not act when no number is left.
    /// Follow with [`FileTable::install`] or [`FileTable::cancel`].
    ///
    /// # Errors
    /// As [`FileTable::insert`].
    pub fn reserve(&self, min: u32, limit: u64, on_exec: OnExec) -> Result<u32> {
        self.files.lock().reserve(min, limit, on_exec)
    }

    /// Fills a reserved number.
    pub fn install(&self, fd: u32, file: F) {
        let mut file = Some(file);
        {
            let mut files = self.files.lock();
            if files.is_reserved(fd) {
                files.install(fd, file.take());
            }
        }
        drop(file);
    }

    /// Gives a reserved number back.
    pub fn cancel(&self, fd: u32) {
        let mut files = self.files.lock();
        if files.is_reserved(fd) {
            files.release(fd);
        }
    }

    /// Puts `file` at exactly `fd` (dup2, dup3); the file that was there, to be dropped by the caller.
    ///
    /// # Errors
    /// `BadDescriptor` if `fd` is not below `limit`, `InvalidState` if an open in progress has reserved it, `NoMemory`.
    pub fn replace(&self, fd: u32, file: F, limit: u64, on_exec: OnExec) -> Result<Option<F>> {
        let mut file = Some(file);
        let result = {
            let mut files = self.files.lock();
            files.claim(fd, limit, on_exec).map(|()| files.exchange(fd, file.take()))
        };
        drop(file);
        result
    }

    /// Closes `fd`; its file, to be dropped by the caller.
    ///
    /// # Errors
    /// `BadDescriptor`.
    pub fn close(&self, fd: u32) -> Result<F> {
        self.files.lock().take(fd).ok_or(ProcessError::BadDescriptor)
    }

    /// Closes the lowest open descriptor in `first..=last`: `close_range` is a loop over this.
    pub fn close_next(&self, first: u32, last: u32) -> Option<(u32, F)> {
        let mut files = self.files.lock();
        let fd = files.next_open(first).filter(|fd| *fd <= last)?;
        files.take(fd).map(|file| (fd, file))
    }

    /// Closes the lowest descriptor from `from` on that is to be closed at exec; exec is a loop over this.
    pub fn close_next_on_exec(&self, from: u32) -> Option<(u32, F)> {
        let mut files = self.files.lock();
        let fd = files.next_of(from, |word| word.taken & word.cloexec)?;
        files.take(fd).map(|file| (fd, file))
    }

    /// Empties the table, in one step; dropping the result closes everything.
    #[must_use = "dropping it closes the files"]
    pub fn take_all(&self) -> ClosedFiles<F> {
        let old = core::mem::replace(&mut *self.files.lock(), Files::new());
        ClosedFiles { _slots: old.slots }
    }

    /// What happens to `fd` at exec.
    ///
    /// # Errors
    /// `BadDescriptor`.
    pub fn on_exec(&self, fd: u32) -> Result<OnExec> {
        let files = self.files.lock();
        files.open(fd).map(|_| files.on_exec(fd))
    }

    /// Sets what happens to `fd` at exec.
    ///
    /// # Errors
    /// `BadDescriptor`.
    pub fn set_on_exec(&self, fd: u32, on_exec: OnExec) -> Result<()> {
        let mut files = self.files.lock();
        files.open(fd)?;
        files.set_on_exec(fd, on_exec);
        Ok(())
    }

    /// Marks every open descriptor of `first..=last` to be closed at exec (CLOSE_RANGE_CLOEXEC).
    pub fn set_range_close_on_exec(&self, first: u32, last: u32) {
        let mut files = self.files.lock();
        let mut fd = first;
        while let Some(open) = files.next_open(fd).filter(|open| *open <= last) {
            files.set_on_exec(open, OnExec::Close);
            let Some(next) = open.checked_add(1) else { break };
            fd = next;
        }
    }

    /// Number of open descriptors.
    pub fn open_count(&self) -> usize {
        self.files.lock().slots.iter().flatten().count()
    }

    /// Numbers the table has room for (`FDSize` of /proc/PID/status).
    pub fn capacity(&self) -> usize {
        self.files.lock().slots.len()
    }
}

impl<F: Clone> FileTable<F> {
    /// The file at `fd`.
    ///
    /// # Errors
    /// `BadDescriptor`.
    #[inline]
    pub fn get(&self, fd: u32) -> Result<F> {
        self.files.lock().open(fd).cloned()
    }

    /// The lowest open descriptor from `from` on with its file: for listings.
    pub fn next_open(&self, from: u32) -> Option<(u32, F, OnExec)> {
        let files = self.files.lock();
        let fd = files.next_open(from)?;
        let file = files.open(fd).ok()?.clone();
        Some((fd, file, files.on_exec(fd)))
    }

    /// A table of its own with the same files (fork, unshare). Reserved numbers are free in the copy.
    ///
    /// # Errors
    /// `NoMemory`.
    pub fn try_clone(&self) -> Result<Self> {
        self.try_clone_except(1, 0)
    }

    /// As [`FileTable::try_clone`], without the descriptors in `first..=last` (`close_range` with UNSHARE).
    ///
    /// # Errors
    /// `NoMemory`.
    pub fn try_clone_except(&self, first: u32, last: u32) -> Result<Self> {
        let mut copy = Files::new();
        self.copy_to(&mut copy, |fd| !(first..=last).contains(&fd))?;
        Ok(Self::with(copy))
    }

    /// [`FileTable::try_clone`], made where it stays.
    ///
    /// # Errors
    /// `NoMemory`.
    pub fn try_clone_shared(&self) -> Result<Arc<Self>> {
        let mut copy = Arc::new(Self::new());
        // Nobody else has it yet.
        let table = Arc::get_mut(&mut copy).ok_or(ProcessError::NoMemory)?;
        self.copy_to(table.files.get_mut(), |_| true)?;
        Ok(copy)
    }

    /// Copies the open files whose numbers `keep` says yes to, to an empty table.
    #[inline]
    fn copy_to(&self, copy: &mut Files<F>, keep: impl Fn(u32) -> bool) -> Result<()> {
        // Memory is reserved without the lock; the table may grow meanwhile, then again.
        loop {
            let slots = {
                let files = self.files.lock();
                let slots = files.used_slots();
                if slots <= copy.slots.capacity() && slots.div_ceil(BITS) <= copy.words.capacity() {
                    copy.copy_from(&files, slots, &keep);
                    break;
                }
                slots
            };
            copy.make_room(slots)?;
        }
        copy.lowest_free = copy.free_from(0);
        Ok(())
    }
}

/// Files on their way out.
#[derive(Debug)]
pub struct ClosedFiles<F> {
    _slots: SmallVec<[Option<F>; FIRST_SLOTS]>,
}

impl<F: Clone> Files<F> {
    /// Fills this table, which is empty and has the room, with the open files of `from` that `keep` says yes to, all of them
    /// below `slots`.
    #[inline]
    fn copy_from(&mut self, from: &Self, slots: usize, keep: &impl Fn(u32) -> bool) {
        for (at, word) in from.words.iter().take(slots.div_ceil(BITS)).enumerate() {
            let mut taken = 0;
            let numbers = at * BITS..slots.min((at + 1) * BITS);
            let source = from.slots.get(numbers).unwrap_or_default();
            self.slots.extend(source.iter().enumerate().map(|(bit, slot)| {
                let file = slot.clone().filter(|_| keep((at * BITS + bit) as u32));
                taken |= u64::from(file.is_some()) << bit;
                file
            }));
            self.words.push(Word { taken, cloexec: word.cloexec & taken });
        }
    }
}

impl<F> Files<F> {
    fn new() -> Self {
        Self { slots: SmallVec::new(), words: SmallVec::new(), lowest_free: 0, holds_records: false }
    }

    fn reserve(&mut self, min: u32, limit: u64, on_exec: OnExec) -> Result<u32> {
        if min > 0 && u64::from(min) >= limit {
            return Err(ProcessError::InvalidArgument);
        }
        let fd = self.free_from(min.max(self.lowest_free));
        if u64::from(fd) >= limit.min(NR_OPEN) {
            return Err(ProcessError::TooManyFiles);
        }
        self.grow(fd as usize + 1)?;
        self.mark(fd, on_exec);
        if fd == self.lowest_free || min <= self.lowest_free {
            self.lowest_free = fd + 1;
        }
        Ok(fd)
    }

    /// Makes `fd` taken whether or not it is open.
    fn claim(&mut self, fd: u32, limit: u64, on_exec: OnExec) -> Result<()> {
        if u64::from(fd) >= limit.min(NR_OPEN) {
            return Err(ProcessError::BadDescriptor);
        }
        if self.is_reserved(fd) {
            return Err(ProcessError::InvalidState);
        }
        self.grow(fd as usize + 1)?;
        self.mark(fd, on_exec);
        if fd == self.lowest_free {
            self.lowest_free = fd + 1;
        }
        Ok(())
    }

    /// Makes room for `len` numbers; all or nothing.
    fn grow(&mut self, len: usize) -> Result<()> {
        if len <= self.slots.len() {
            return Ok(());
        }
        let len = self.make_room(len)?;
        self.slots.resize_with(len, || None);
        self.words.resize(len.div_ceil(BITS), Word::default());
        Ok(())
    }

    /// Memory for `len` numbers and some more: how many altogether.
    fn make_room(&mut self, len: usize) -> Result<usize> {
        let len = len.max(FIRST_SLOTS).checked_next_power_of_two().ok_or(ProcessError::NoMemory)?;
        let words = len.div_ceil(BITS);
        self.slots.try_reserve_exact(len.saturating_sub(self.slots.len())).map_err(|_| ProcessError::NoMemory)?;
        self.words.try_reserve_exact(words.saturating_sub(self.words.len())).map_err(|_| ProcessError::NoMemory)?;
        Ok(len)
    }

    fn mark(&mut self, fd: u32, on_exec: OnExec) {
        if let Some(word) = self.word_mut(fd) {
            word.taken |= bit(fd);
        }
        self.set_on_exec(fd, on_exec);
    }

    fn set_on_exec(&mut self, fd: u32, on_exec: OnExec) {
        if let Some(word) = self.word_mut(fd) {
            match on_exec {
                OnExec::Close => word.cloexec |= bit(fd),
                OnExec::Keep => word.cloexec &= !bit(fd),
            }
        }
    }

    fn install(&mut self, fd: u32, file: Option<F>) {
        // The slot is empty: nothing is dropped here.
        self.exchange(fd, file);
    }

    fn exchange(&mut self, fd: u32, file: Option<F>) -> Option<F> {
        let slot = self.slots.get_mut(fd as usize)?;
        core::mem::replace(slot, file)
    }

    fn take(&mut self, fd: u32) -> Option<F> {
        let file = self.exchange(fd, None)?;
        self.release(fd);
        Some(file)
    }

    fn release(&mut self, fd: u32) {
        if let Some(word) = self.word_mut(fd) {
            word.taken &= !bit(fd);
        }
        self.lowest_free = self.lowest_free.min(fd);
    }

    fn word(&self, fd: u32) -> Word {
        self.words.get(fd as usize / BITS).copied().unwrap_or_default()
    }

    fn word_mut(&mut self, fd: u32) -> Option<&mut Word> {
        self.words.get_mut(fd as usize / BITS)
    }

    fn open(&self, fd: u32) -> Result<&F> {
        self.slots.get(fd as usize).and_then(Option::as_ref).ok_or(ProcessError::BadDescriptor)
    }

    fn is_reserved(&self, fd: u32) -> bool {
        self.word(fd).taken & bit(fd) != 0 && self.open(fd).is_err()
    }

    fn on_exec(&self, fd: u32) -> OnExec {
        if self.word(fd).cloexec & bit(fd) != 0 { OnExec::Close } else { OnExec::Keep }
    }

    /// The lowest number from `from` on that is not taken; beyond the table all are free.
    fn free_from(&self, from: u32) -> u32 {
        let first_word = from as usize / BITS;
        for (at, Word { taken: word, .. }) in self.words.iter().enumerate().skip(first_word) {
            let below = if at == first_word { (1_u64 << (from as usize % BITS)) - 1 } else { 0 };
            let free = !(word | below);
            if free != 0 {
                return (at * BITS) as u32 + free.trailing_zeros();
            }
        }
        from.max((self.words.len() * BITS) as u32)
    }

    fn next_open(&self, from: u32) -> Option<u32> {
        self.next_of(from, |word| word.taken)
    }

    /// The lowest open number from `from` on among those that `wanted` names.
    fn next_of(&self, from: u32, wanted: impl Fn(&Word) -> u64) -> Option<u32> {
        let first_word = from as usize / BITS;
        for (at, word) in self.words.iter().enumerate().skip(first_word) {
            let below = if at == first_word { (1_u64 << (from as usize % BITS)) - 1 } else { 0 };
            let mut rest = wanted(word) & !below;
            while rest != 0 {
                let fd = (at * BITS) as u32 + rest.trailing_zeros();
                if self.open(fd).is_ok() {
                    return Some(fd);
                }
                rest &= rest - 1;
            }
        }
        None
    }

    /// Slots up to the last taken one.
    fn used_slots(&self) -> usize {
        let last = self.words.iter().enumerate().rev().find(|(_, word)| word.taken != 0);
        last.map_or(0, |(at, word)| (at + 1) * BITS - word.taken.leading_zeros() as usize)
    }
}

/// The bit of `fd` in its word.
const fn bit(fd: u32) -> u64 {
    1 << (fd as usize % BITS)
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::sync::Arc;
    use std::collections::BTreeMap;

    const LIMIT: u64 = 1024;

    fn table(files: u32) -> FileTable<u32> {
        let table = FileTable::new();
        (0..files).for_each(|n| assert_eq!(table.insert(n, 0, LIMIT, OnExec::Keep), Ok(n)));
        table
    }

    #[test]
    fn lowest_free_number_is_given() {
        let table = table(100);
        table.close(70).unwrap();
        table.close(3).unwrap();
        assert_eq!(table.insert(900, 0, LIMIT, OnExec::Keep), Ok(3));
        assert_eq!(table.insert(901, 0, LIMIT, OnExec::Keep), Ok(70));
        assert_eq!(table.insert(902, 0, LIMIT, OnExec::Keep), Ok(100));
        assert_eq!(table.insert(903, 500, LIMIT, OnExec::Keep), Ok(500));
        assert_eq!(table.insert(904, 0, LIMIT, OnExec::Keep), Ok(101));
    }

    #[test]
    fn limit_is_one_past_the_highest_number() {
        let table = table(3);
        assert_eq!(table.insert(9, 0, 3, OnExec::Keep), Err(ProcessError::TooManyFiles));
        assert_eq!(table.insert(9, 3, 3, OnExec::Keep), Err(ProcessError::InvalidArgument));
        assert_eq!(table.replace(3, 9, 3, OnExec::Keep), Err(ProcessError::BadDescriptor));
        assert_eq!(table.insert_pair([8, 9], 4, OnExec::Keep), Err(ProcessError::TooManyFiles));
        assert_eq!(table.open_count(), 3);
        // Lowered below open numbers: those stay open.
        assert_eq!(table.get(2), Ok(2));
        assert_eq!(table.insert_pair([8, 9], 5, OnExec::Close), Ok([3, 4]));
    }

    #[test]
    fn replace_returns_the_old_file_and_reserved_numbers_are_busy() {
        let table = table(2);
        assert_eq!(table.replace(1, 77, LIMIT, OnExec::Close), Ok(Some(1)));
        assert_eq!(table.on_exec(1), Ok(OnExec::Close));
        assert_eq!(table.replace(40, 78, LIMIT, OnExec::Keep), Ok(None));
        let fd = table.reserve(0, LIMIT, OnExec::Keep).unwrap();
        assert_eq!(fd, 2);
        assert_eq!(table.get(fd), Err(ProcessError::BadDescriptor));
        assert_eq!(table.close(fd), Err(ProcessError::BadDescriptor));
        assert_eq!(table.replace(fd, 79, LIMIT, OnExec::Keep), Err(ProcessError::InvalidState));
        assert_eq!(table.insert(80, 0, LIMIT, OnExec::Keep), Ok(3));
        table.cancel(fd);
        assert_eq!(table.insert(81, 0, LIMIT, OnExec::Keep), Ok(2));
    }

    #[test]
    fn exec_closes_exactly_the_marked_ones() {
        let table = table(200);
        for fd in [0, 63, 64, 199] {
            table.set_on_exec(fd, OnExec::Close).unwrap();
        }
        table.set_range_close_on_exec(190, 198);
        let mut closed = std::vec::Vec::new();
        let mut from = 0;
        while let Some((fd, file)) = table.close_next_on_exec(from) {
            assert_eq!(fd, file);
            closed.push(fd);
            from = fd;
        }
        assert_eq!(closed, [0, 63, 64, 190, 191, 192, 193, 194, 195, 196, 197, 198, 199]);
        assert_eq!(table.open_count(), 187);
    }

    #[test]
    fn copy_is_independent_and_leaves_the_range_out() {
        let table = table(10);
        table.set_on_exec(4, OnExec::Close).unwrap();
        let reserved = table.reserve(0, LIMIT, OnExec::Keep).unwrap();
        let copy = table.try_clone_except(2, 3).unwrap();
        assert_eq!(copy.open_count(), 8);
        assert_eq!((copy.get(2), copy.on_exec(4)), (Err(ProcessError::BadDescriptor), Ok(OnExec::Close)));
        assert_eq!(copy.insert(5, 0, LIMIT, OnExec::Keep), Ok(2));
        assert_eq!(copy.insert(5, reserved, LIMIT, OnExec::Keep), Ok(reserved), "a reservation is not inherited");
        copy.close(0).unwrap();
        assert_eq!(table.get(0), Ok(0));
    }

    #[test]
    fn taking_all_leaves_an_empty_table_and_drops_outside() {
        let file = Arc::new(());
        let table = FileTable::new();
        for _ in 0..5 {
            table.insert(file.clone(), 0, LIMIT, OnExec::Keep).unwrap();
        }
        let closed = table.take_all();
        assert_eq!((table.open_count(), Arc::strong_count(&file)), (0, 6));
        drop(closed);
        assert_eq!(Arc::strong_count(&file), 1);
    }

    #[test]
    fn table_agrees_with_a_map() {
        for seed in 1..=20_u64 {
            std::println!("seed {seed}");
            let mut random = crate::testing::Random::new(seed);
            let table = FileTable::new();
            let mut model: BTreeMap<u32, (u32, OnExec)> = BTreeMap::new();
            for value in 0..2000_u32 {
                let fd = random.below(90) as u32;
                let on_exec = if random.below(2) == 0 { OnExec::Keep } else { OnExec::Close };
                let limit = 80;
                let lowest = |min: u32| (min..).find(|n| !model.contains_key(n)).unwrap();
                match random.below(6) {
                    0 | 1 => {
                        let expected = lowest(0);
                        let got = table.insert(value, 0, limit, on_exec);
                        if u64::from(expected) < limit {
                            assert_eq!(got, Ok(expected));
                            model.insert(expected, (value, on_exec));
                        } else {
                            assert_eq!(got, Err(ProcessError::TooManyFiles));
                        }
                    }
                    2 => {
                        let got = table.replace(fd, value, limit, on_exec);
                        if u64::from(fd) < limit {
                            assert_eq!(got, Ok(model.insert(fd, (value, on_exec)).map(|(v, _)| v)));
                        } else {
                            assert_eq!(got, Err(ProcessError::BadDescriptor));
                        }
                    }
                    3 => assert_eq!(table.close(fd).ok(), model.remove(&fd).map(|(v, _)| v)),
                    4 => {
                        let first = model.range(fd..).next().map(|(fd, (v, _))| (*fd, *v));
                        assert_eq!(table.close_next(fd, u32::MAX), first);
                        first.map(|(fd, _)| model.remove(&fd));
                    }
                    _ => {
                        let min = fd.min(79);
                        let expected = lowest(min);
                        let got = table.insert(value, min, limit, on_exec);
                        if u64::from(expected) < limit {
                            assert_eq!(got, Ok(expected));
                            model.insert(expected, (value, on_exec));
                        } else {
                            assert_eq!(got, Err(ProcessError::TooManyFiles));
                        }
                    }
                }
                assert_eq!(table.open_count(), model.len());
                let copy = table.try_clone().unwrap();
                for fd in 0..90 {
                    assert_eq!(copy.get(fd).ok(), model.get(&fd).map(|(v, _)| *v));
                    assert_eq!(table.on_exec(fd).ok(), model.get(&fd).map(|(_, e)| *e));
                }
            }
        }
    }
}
