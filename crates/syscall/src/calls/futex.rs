//! futex(2), set_robust_list, and what the end of a thread does to the words it promised to release.

use alloc::boxed::Box;
use alloc::vec::Vec;

use abi::linux::general as linux;
use abi::{Errno, abi_struct};
use memory::{AddressSpace, FutexKey, FutexScope, MemoryError};
use process::futex::{
    DeathAction, FutexTable, LockPi, MATCH_ANY, PiError, PiThreads, PiWord, RobustList, UserWords, WaitError, WakeOp,
    death_action,
};
use process::signal::Restart;
use sync::Moment;
use types::{Nanos, Tid};

use crate::clock::nanos;
use crate::wait::{interruptible, until};
use crate::{Caller, RestartBlock, SysError, SysResult};

abi_struct! {
    /// `struct futex_waitv`.
    pub struct WaitVector {
        /// The value expected.
        pub value: u64,
        /// Where the word is.
        pub address: u64,
        /// Its size and scope.
        pub flags: u32,
        /// Zero.
        pub reserved: u32,
    }
}

/// Operations that never wait; `None` for those that do.
pub(crate) fn sys_futex_now(caller: Caller<'_>, args: [u64; 6]) -> Option<SysResult> {
    let [address, operation, value, value2, address2, value3] = args;
    let operation = operation as u32;
    let scope = scope(operation);
    let (value, value3) = (value as u32, value3 as u32);
    if refuses_clock(operation) {
        return Some(Err(Errno::ENOSYS.into()));
    }
    Some(match operation & linux::FUTEX_CMD_MASK as u32 {
        linux::FUTEX_WAKE => wake(caller, address, scope, value, MATCH_ANY),
        linux::FUTEX_WAKE_BITSET => wake(caller, address, scope, value, value3),
        linux::FUTEX_REQUEUE => requeue(caller, [address, address2], scope, [value, value2 as u32], None),
        linux::FUTEX_CMP_REQUEUE => requeue(caller, [address, address2], scope, [value, value2 as u32], Some(value3)),
        linux::FUTEX_WAKE_OP => wake_op(caller, [address, address2], scope, [value, value2 as u32], value3),
        linux::FUTEX_UNLOCK_PI => unlock_pi(caller, address, scope),
        linux::FUTEX_TRYLOCK_PI => trylock_pi(caller, address, scope),
        _ => return None,
    })
}

/// Whether a clock is named for an operation that knows of one only.
const fn refuses_clock(operation: u32) -> bool {
    operation & linux::FUTEX_CLOCK_REALTIME != 0
        && !matches!(operation & linux::FUTEX_CMD_MASK as u32, linux::FUTEX_WAIT_BITSET | linux::FUTEX_LOCK_PI2)
}

/// Operations that may wait.
pub(crate) async fn sys_futex(
    caller: Caller<'_>,
    restart: &mut Option<Box<RestartBlock>>,
    args: [u64; 6],
) -> SysResult {
    let [address, operation, value, timeout, _, value3] = args;
    let operation = operation as u32;
    let real_time = operation & linux::FUTEX_CLOCK_REALTIME != 0;
    if refuses_clock(operation) {
        return Err(Errno::ENOSYS.into());
    }
    match operation & linux::FUTEX_CMD_MASK as u32 {
        linux::FUTEX_WAIT => {
            let deadline = read_timeout(caller, timeout)?.map(|span| (caller.system.platform.now() + span).into());
            wait(
                caller,
                restart,
                WaitArguments { address, operation, value: value as u32, deadline, bitset: MATCH_ANY },
            )
            .await
        }
        linux::FUTEX_WAIT_BITSET => {
            let deadline = absolute(caller, timeout, real_time)?;
            wait(
                caller,
                restart,
                WaitArguments { address, operation, value: value as u32, deadline, bitset: value3 as u32 },
            )
            .await
        }
        linux::FUTEX_LOCK_PI => {
            let deadline = absolute(caller, timeout, true)?;
            lock_pi(caller, address, scope(operation), deadline).await
        }
        linux::FUTEX_LOCK_PI2 => {
            let deadline = absolute(caller, timeout, real_time)?;
            lock_pi(caller, address, scope(operation), deadline).await
        }
        // While somebody sets call filters, the fast entry declines even what never waits.
        _ => sys_futex_now(caller, args).unwrap_or(Err(Errno::ENOSYS.into())),
    }
}

/// Goes on with an interrupted FUTEX_WAIT (`restart_syscall`).
pub(crate) async fn resume_wait(
    caller: Caller<'_>,
    restart: &mut Option<Box<RestartBlock>>,
    arguments: WaitArguments,
) -> SysResult {
    wait(caller, restart, arguments).await
}

/// A wait on a futex word.
#[derive(Clone, Copy)]
pub(crate) struct WaitArguments {
    pub(crate) address: u64,
    pub(crate) operation: u32,
    pub(crate) value: u32,
    pub(crate) deadline: Option<Moment>,
    pub(crate) bitset: u32,
}

async fn wait(caller: Caller<'_>, restart: &mut Option<Box<RestartBlock>>, arguments: WaitArguments) -> SysResult {
    let WaitArguments { address, operation, value, deadline, bitset } = arguments;
    if bitset == 0 {
        return Err(Errno::EINVAL.into());
    }
    let key = caller.space.futex_key(address, scope(operation))?;
    let check = || caller.space.load_u32(address).map(|word| word == value);
    let mut waiting = caller.system.futexes.wait(key, bitset, check);
    match until(caller.system, deadline, interruptible(caller.thread, &mut waiting)).await {
        Some(Ok(Ok(()))) => Ok(0),
        Some(Ok(Err(error))) => Err(wait_error(error)),
        // A wake-up that came together with the signal or the end of time counts: it was meant for us.
        Some(Err(_)) if waiting.cancel() => Ok(0),
        None if waiting.cancel() => Ok(0),
        None => Err(Errno::ETIMEDOUT.into()),
        Some(Err(_)) => match deadline {
            Some(deadline) => {
                *restart = Some(Box::new(RestartBlock::Futex { address, operation, value, deadline, bitset }));
                Err(SysError::Restart(Restart::Block))
            }
            None => Err(SysError::Restart(Restart::Sys)),
        },
    }
}

/// futex_waitv(2): waits on up to 128 futexes at once; the index of one that was woken.
pub(crate) async fn sys_futex_waitv(caller: Caller<'_>, args: [u64; 6]) -> SysResult {
    let [waiters, count, flags, timeout, clock, _] = args;
    if flags as u32 != 0 || count as u32 == 0 || count as u32 > linux::FUTEX_WAITV_MAX || waiters == 0 {
        return Err(Errno::EINVAL.into());
    }
    let deadline = match (timeout, clock as u32) {
        (0, _) => None,
        (_, linux::CLOCK_MONOTONIC) => absolute(caller, timeout, false)?,
        (_, linux::CLOCK_REALTIME) => absolute(caller, timeout, true)?,
        _ => return Err(Errno::EINVAL.into()),
    };
    let waiters = caller.memory().read_array::<WaitVector>(waiters, count as u32 as usize)?;
    let mut keys = Vec::new();
    keys.try_reserve_exact(waiters.len()).map_err(|_| Errno::ENOMEM)?;
    for waiter in &waiters {
        let known = linux::FUTEX2_SIZE_MASK | linux::FUTEX2_PRIVATE;
        let word = waiter.flags & linux::FUTEX2_SIZE_MASK == linux::FUTEX2_SIZE_U32;
        if waiter.flags & !known != 0 || waiter.reserved != 0 || !word || waiter.value > u64::from(u32::MAX) {
            return Err(Errno::EINVAL.into());
        }
        let private = waiter.flags & linux::FUTEX2_PRIVATE != 0;
        let scope = if private { FutexScope::Private } else { FutexScope::Shared };
        keys.push((caller.space.futex_key(waiter.address, scope)?, MATCH_ANY));
    }
    let check = |index: usize| match waiters.get(index) {
        Some(waiter) => caller.space.load_u32(waiter.address).map(|word| u64::from(word) == waiter.value),
        None => Ok(false),
    };
    let mut waiting = caller.system.futexes.wait_many(keys, check).ok_or(Errno::ENOMEM)?;
    let outcome = until(caller.system, deadline, interruptible(caller.thread, &mut waiting)).await;
    match outcome {
        Some(Ok(Ok(index))) => Ok(index as u64),
        Some(Ok(Err(error))) => Err(wait_error(error)),
        None => waiting.cancel().map(|index| index as u64).ok_or(Errno::ETIMEDOUT.into()),
        Some(Err(_)) => waiting.cancel().map(|index| index as u64).ok_or(SysError::Restart(Restart::Sys)),
    }
}

fn wait_error(error: WaitError<MemoryError>) -> SysError {
    match error {
        WaitError::Mismatch => Errno::EAGAIN.into(),
        WaitError::Memory(error) => error.into(),
    }
}

#[inline]
pub(super) fn wake(caller: Caller<'_>, address: u64, scope: FutexScope, count: u32, bitset: u32) -> SysResult {
    if bitset == 0 {
        return Err(Errno::EINVAL.into());
    }
    let key = caller.space.futex_key(address, scope)?;
    // A negative count wakes one, as on Linux.
    let count = (count as i32).max(1) as usize;
    Ok(caller.system.futexes.wake(key, count, bitset) as u64)
}

fn requeue(
    caller: Caller<'_>,
    addresses: [u64; 2],
    scope: FutexScope,
    counts: [u32; 2],
    expected: Option<u32>,
) -> SysResult {
    let [from, to] = addresses;
    let [wake, moved] = counts;
    if (wake as i32) < 0 || (moved as i32) < 0 {
        return Err(Errno::EINVAL.into());
    }
    let futexes = &caller.system.futexes;
    let source = caller.space.futex_key(from, scope)?;
    let target = caller.space.futex_key(to, scope)?;
    let done = match expected {
        None => futexes.requeue(source, target, wake as usize, moved as usize),
        Some(value) => {
            let check = || caller.space.load_u32(from).map(|word| word == value);
            futexes.cmp_requeue(source, target, wake as usize, moved as usize, check)?.ok_or(Errno::EAGAIN)?
        }
    };
    Ok((done.woken + done.moved) as u64)
}

fn wake_op(caller: Caller<'_>, addresses: [u64; 2], scope: FutexScope, counts: [u32; 2], word: u32) -> SysResult {
    let [first, second] = addresses;
    let [wake_first, wake_second] = counts;
    let operation = WakeOp::decode(word).map_err(|_| Errno::ENOSYS)?;
    let first_key = caller.space.futex_key(first, scope)?;
    let second_key = caller.space.futex_key(second, scope)?;
    let old = caller.space.fetch_update_u32(second, &mut |old| operation.apply(old))?;
    let futexes = &caller.system.futexes;
    let mut woken = futexes.wake(first_key, (wake_first as i32).max(1) as usize, MATCH_ANY);
    if operation.test(old) {
        woken += futexes.wake(second_key, (wake_second as i32).max(1) as usize, MATCH_ANY);
    }
    Ok(woken as u64)
}

/// A PI futex word in the caller's memory.
struct Word<'a> {
    space: &'a AddressSpace,
    address: u64,
}

impl PiWord for Word<'_> {
    type Error = MemoryError;

    fn load(&self) -> Result<u32, MemoryError> {
        self.space.load_u32(self.address)
    }

    fn compare_exchange(&self, old: u32, new: u32) -> Result<bool, MemoryError> {
        self.space.compare_exchange_u32(self.address, old, new).map(|found| found == old)
    }
}

/// Threads by the numbers that the caller's words hold.
struct Threads<'a>(Caller<'a>);

impl PiThreads for Threads<'_> {
    fn find(&self, tid: Tid) -> Option<Tid> {
        let meant = Tid(self.0.meant(tid.0));
        self.0.system.processes.thread(meant).map(|_| meant)
    }

    fn lend(&self, tid: Tid, urgency: Option<u32>) {
        self.0.system.lend(tid, urgency);
    }

    fn urgency(&self) -> Option<u32> {
        Some(self.0.system.platform.urgency(self.0.thread))
    }
}

async fn lock_pi(caller: Caller<'_>, address: u64, scope: FutexScope, deadline: Option<Moment>) -> SysResult {
    let key = caller.space.futex_key(address, scope)?;
    let word = Word { space: caller.space, address };
    let urgency = caller.system.platform.urgency(caller.thread);
    let mut locking: LockPi<'_, FutexKey, _, _> =
        caller.system.futexes.lock_pi(key, caller.own_tid(), urgency, word, Threads(caller));
    let outcome = until(caller.system, deadline, interruptible(caller.thread, &mut locking)).await;
    let error = match outcome {
        Some(Ok(result)) => return result.map(|()| 0).map_err(pi_error),
        Some(Err(_)) => SysError::Restart(Restart::NoIntr),
        None => Errno::ETIMEDOUT.into(),
    };
    if locking.cancel() {
        return Err(error);
    }
    // Handed over meanwhile: take it.
    locking.await.map(|()| 0).map_err(pi_error)
}

fn trylock_pi(caller: Caller<'_>, address: u64, scope: FutexScope) -> SysResult {
    let key = caller.space.futex_key(address, scope)?;
    let word = Word { space: caller.space, address };
    caller.system.futexes.trylock_pi(key, caller.own_tid(), &word, &Threads(caller)).map(|()| 0).map_err(pi_error)
}

fn unlock_pi(caller: Caller<'_>, address: u64, scope: FutexScope) -> SysResult {
    // Who does not hold the lock is told so before anything else about the word.
    let word: u32 = caller.memory().read(address)?;
    if word & process::futex::TID_MASK != caller.own_tid().0 {
        return Err(Errno::EPERM.into());
    }
    let key = caller.space.futex_key(address, scope)?;
    let word = Word { space: caller.space, address };
    caller.system.futexes.unlock_pi(key, caller.own_tid(), &word, &Threads(caller)).map(|_| 0).map_err(pi_error)
}

fn pi_error(error: PiError<MemoryError>) -> SysError {
    match error {
        PiError::Busy => Errno::EAGAIN.into(),
        PiError::Deadlock => Errno::EDEADLK.into(),
        PiError::NoOwner => Errno::ESRCH.into(),
        PiError::NotOwner => Errno::EPERM.into(),
        PiError::Memory(error) => error.into(),
    }
}

#[inline]
pub(super) fn scope(operation: u32) -> FutexScope {
    if operation & linux::FUTEX_PRIVATE_FLAG != 0 { FutexScope::Private } else { FutexScope::Shared }
}

fn read_timeout(caller: Caller<'_>, address: u64) -> SysResult<Option<Nanos>> {
    if address == 0 {
        return Ok(None);
    }
    Ok(Some(nanos(caller.memory().read(address)?).ok_or(Errno::EINVAL)?))
}

pub(super) fn absolute(caller: Caller<'_>, address: u64, real_time: bool) -> SysResult<Option<Moment>> {
    let time = read_timeout(caller, address)?;
    Ok(time.map(if real_time { Moment::real } else { Moment::monotonic }))
}

/// Bytes of `struct robust_list_head`.
const ROBUST_HEAD: u64 = 24;

pub(crate) fn sys_set_robust_list(caller: Caller<'_>, head: u64, len: u64) -> SysResult {
    if len != ROBUST_HEAD {
        return Err(Errno::EINVAL.into());
    }
    caller.thread.set_robust_list(head);
    Ok(0)
}

pub(crate) fn sys_get_robust_list(caller: Caller<'_>, tid: u64, head: u64, len: u64) -> SysResult {
    let thread = if tid as u32 == 0 {
        caller.thread.clone()
    } else {
        caller.system.processes.thread(Tid(tid as u32)).ok_or(Errno::ESRCH)?
    };
    if !alloc::sync::Arc::ptr_eq(&thread, caller.thread) && thread.uid() != caller.thread.uid() {
        caller.require(types::Capabilities::SYS_PTRACE)?;
    }
    caller.memory().write(len, &ROBUST_HEAD)?;
    caller.memory().write(head, &thread.robust_list())?;
    Ok(0)
}

/// Reads the words of a robust list.
struct Words<'a>(&'a AddressSpace);

impl UserWords for Words<'_> {
    fn word(&mut self, address: u64) -> Option<u64> {
        let mut bytes = [0; 8];
        (self.0.read(address, &mut bytes) == bytes.len()).then(|| u64::from_le_bytes(bytes))
    }

    fn head(&mut self, address: u64) -> Option<[u64; 3]> {
        let mut words = [[0; 8]; 3];
        let bytes = words.as_flattened_mut();
        (self.0.read(address, bytes) == bytes.len()).then(|| words.map(u64::from_le_bytes))
    }
}

/// The words in user memory that an ending thread has promised to release.
#[derive(Clone, Copy)]
pub(crate) struct ThreadWords {
    pub(crate) tid: Tid,
    /// Head of the robust list; 0 for none.
    pub(crate) robust_list: u64,
    /// Where to store 0 and wake; 0 for nowhere.
    pub(crate) clear_child_tid: u64,
}

/// Gives up what an ending thread still holds: words of its robust list are marked, waiters woken, its tid word cleared.
pub(crate) fn release_thread_words(futexes: &FutexTable<FutexKey>, words: ThreadWords, space: &AddressSpace) {
    if words.robust_list != 0 {
        for entry in RobustList::new(Words(space), words.robust_list) {
            release_robust(futexes, words.tid, space, entry);
        }
    }
    let address = words.clear_child_tid;
    if address != 0 && space.write(address, &[0; 4]) == 4 {
        wake_both(futexes, space, address);
    }
}

/// Wakes one waiter, whether it waits on the word as private or as shared.
fn wake_both(futexes: &FutexTable<FutexKey>, space: &AddressSpace, address: u64) {
    for scope in [FutexScope::Private, FutexScope::Shared] {
        if let Ok(key) = space.futex_key(address, scope) {
            futexes.wake(key, 1, MATCH_ANY);
        }
    }
}

fn release_robust(futexes: &FutexTable<FutexKey>, tid: Tid, space: &AddressSpace, entry: process::futex::RobustEntry) {
    // Somebody may change the word meanwhile: judge again until the change is in.
    loop {
        let Ok(word) = space.load_u32(entry.address) else { return };
        let (new, wake) = match death_action(word, tid, entry) {
            DeathAction::Leave => return,
            DeathAction::Wake => (word, true),
            DeathAction::Mark { value, wake } => (value, wake),
        };
        match space.compare_exchange_u32(entry.address, word, new) {
            Ok(found) if found != word => continue,
            Ok(_) => {}
            Err(_) => return,
        }
        if wake {
            wake_both(futexes, space, entry.address);
        }
        return;
    }
}
