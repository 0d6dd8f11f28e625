//! Namespaces of process numbers (pid_namespaces(7)).
//!
//! Inside the kernel a process or thread has one number, that of the first namespace: table and tree know no other. A
//! namespace translates: it gives each number that lives in it, or in a namespace below it, another one that programs in it
//! see. Only processes outside of the first namespace pay for that, at the border where numbers come in and go out.
//!
//! Number 1 of a namespace is its init: it adopts the orphans, and when it ends everything in the namespace is killed; it
//! becomes a zombie once the others have ended.

use alloc::collections::BTreeMap;
use alloc::sync::Arc;

use sync::{Rank, SpinLock};

use crate::{ProcessError, Result};

/// Most namespaces inside one another, the first not counted (MAX_PID_NS_LEVEL).
pub const MAX_PID_LEVEL: u32 = 32;
/// Where numbers begin again after the highest (RESERVED_PIDS).
const AFTER_WRAP: u32 = 300;

/// A namespace of process numbers, other than the first.
#[derive(Debug)]
pub struct PidNamespace {
    id: u32,
    level: u32,
    parent: Option<Arc<PidNamespace>>,
    // Rank::PID_NAMESPACE
    numbers: SpinLock<Numbers>,
}

#[derive(Debug, Default)]
struct Numbers {
    inner_to_outer: BTreeMap<u32, u32>,
    outer_to_inner: BTreeMap<u32, u32>,
    last: u32,
    /// Processes that have not ended, init included.
    alive: u32,
    life: Life,
}

/// How far a namespace has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
enum Life {
    /// Nobody has lived in it yet.
    #[default]
    Empty,
    /// Init lives.
    Alive,
    /// Init has ended: nobody comes in any more.
    Dead,
}

impl PidNamespace {
    /// A namespace below `parent`, or below the first one. `id` is what /proc/PID/ns/pid shows.
    ///
    /// # Errors
    /// `ResourceLimitExceeded` below too many others.
    pub fn new(parent: Option<Arc<Self>>, id: u32) -> Result<Arc<Self>> {
        let level = parent.as_ref().map_or(0, |parent| parent.level) + 1;
        if level > MAX_PID_LEVEL {
            return Err(ProcessError::ResourceLimitExceeded);
        }
        let numbers = SpinLock::new(Rank::PID_NAMESPACE, Numbers::default());
        Ok(Arc::new(Self { id, level, parent, numbers }))
    }

    /// Its number in /proc/PID/ns.
    pub fn id(&self) -> u32 {
        self.id
    }

    /// The namespace it is in; none: the first.
    pub fn parent(&self) -> Option<&Arc<Self>> {
        self.parent.as_ref()
    }

    /// It and the namespaces around it, itself first.
    pub fn outwards(self: &Arc<Self>) -> impl Iterator<Item = &Arc<Self>> {
        core::iter::successors(Some(self), |namespace| namespace.parent.as_ref())
    }

    /// Whether `inner` is this one or inside it.
    pub fn contains(self: &Arc<Self>, inner: Option<&Arc<Self>>) -> bool {
        inner.is_some_and(|inner| inner.outwards().any(|namespace| Arc::ptr_eq(namespace, self)))
    }

    /// What the number `outer` of the first namespace is in this one.
    pub fn inner(&self, outer: u32) -> Option<u32> {
        self.numbers.lock().outer_to_inner.get(&outer).copied()
    }

    /// What the number `inner` of this namespace is in the first one.
    pub fn outer(&self, inner: u32) -> Option<u32> {
        self.numbers.lock().inner_to_outer.get(&inner).copied()
    }

    /// The next number from `inner` on, with what it is in the first namespace.
    pub fn next(&self, inner: u32) -> Option<(u32, u32)> {
        self.numbers.lock().inner_to_outer.range(inner..).next().map(|(inner, outer)| (*inner, *outer))
    }

    /// What init is in the first namespace, while it has a number.
    pub(crate) fn init(&self) -> Option<u32> {
        self.outer(1)
    }

    /// Gives `outer` a number here and in all namespaces around.
    ///
    /// # Errors
    /// `NoMemory` after init's end, as on Linux; `ResourceExhausted` without a free number.
    pub(crate) fn claim(self: &Arc<Self>, outer: u32, pid_max: u32) -> Result<()> {
        for namespace in self.outwards() {
            if let Err(error) = namespace.claim_here(outer, pid_max) {
                // What the namespaces further in have given is given back.
                self.outwards()
                    .take_while(|other| !Arc::ptr_eq(other, namespace))
                    .for_each(|given| given.forget(outer));
                return Err(error);
            }
        }
        Ok(())
    }

    /// Takes the numbers of `outer` back.
    pub(crate) fn release(self: &Arc<Self>, outer: u32) {
        self.outwards().for_each(|namespace| namespace.forget(outer));
    }

    /// Counts a process that comes to life here and in all namespaces around.
    ///
    /// # Errors
    /// `NoMemory` after init's end.
    pub(crate) fn enter(self: &Arc<Self>) -> Result<()> {
        // Looked at first: all or nothing. The tree's lock is held, under which a namespace dies.
        if self.outwards().any(|namespace| namespace.is_dead()) {
            return Err(ProcessError::NoMemory);
        }
        for namespace in self.outwards() {
            let mut numbers = namespace.numbers.lock();
            numbers.alive += 1;
            numbers.life = Life::Alive;
        }
        Ok(())
    }

    /// A process has ended; how many others are alive here.
    pub(crate) fn leave(&self) -> u32 {
        let mut numbers = self.numbers.lock();
        numbers.alive = numbers.alive.saturating_sub(1);
        numbers.alive
    }

    /// Init has ended; how many processes are alive, init included.
    pub(crate) fn die(&self) -> u32 {
        let mut numbers = self.numbers.lock();
        numbers.life = Life::Dead;
        numbers.alive
    }

    /// Whether init has ended.
    pub fn is_dead(&self) -> bool {
        self.numbers.lock().life == Life::Dead
    }

    fn claim_here(&self, outer: u32, pid_max: u32) -> Result<()> {
        let mut numbers = self.numbers.lock();
        if numbers.life == Life::Dead {
            return Err(ProcessError::NoMemory);
        }
        let mut wrapped = false;
        // A clone that failed before anybody came to life has not used number 1 up.
        let mut inner = if numbers.life == Life::Empty { 1 } else { numbers.last + 1 };
        while inner >= pid_max || numbers.inner_to_outer.contains_key(&inner) {
            if inner >= pid_max {
                if wrapped {
                    return Err(ProcessError::ResourceExhausted);
                }
                wrapped = true;
                inner = AFTER_WRAP.min(pid_max - 1);
            } else {
                inner += 1;
            }
        }
        numbers.last = inner;
        numbers.inner_to_outer.insert(inner, outer);
        numbers.outer_to_inner.insert(outer, inner);
        Ok(())
    }

    fn forget(&self, outer: u32) {
        let mut numbers = self.numbers.lock();
        if let Some(inner) = numbers.outer_to_inner.remove(&outer) {
            numbers.inner_to_outer.remove(&inner);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_begin_at_one_and_are_translated_both_ways() {
        let outer = PidNamespace::new(None, 10).unwrap();
        let inner = PidNamespace::new(Some(outer.clone()), 11).unwrap();
        outer.claim(100, 1000).unwrap();
        inner.claim(200, 1000).unwrap();
        inner.claim(300, 1000).unwrap();
        assert_eq!([outer.inner(100), outer.inner(200), outer.inner(300)], [Some(1), Some(2), Some(3)]);
        assert_eq!([inner.inner(100), inner.inner(200), inner.inner(300)], [None, Some(1), Some(2)]);
        assert_eq!([inner.outer(1), inner.outer(2), inner.outer(3)], [Some(200), Some(300), None]);
        assert_eq!(inner.next(2), Some((2, 300)));
        inner.release(200);
        assert_eq!([outer.inner(200), inner.inner(200), outer.inner(300)], [None, None, Some(3)]);
        assert!(outer.contains(Some(&inner)) && !inner.contains(Some(&outer)) && !inner.contains(None));
    }

    #[test]
    fn numbers_go_round() {
        let namespace = PidNamespace::new(None, 1).unwrap();
        for outer in 1..400 {
            namespace.claim(1000 + outer, 400).unwrap();
            namespace.enter().unwrap();
        }
        assert_eq!(namespace.claim(5000, 400), Err(ProcessError::ResourceExhausted));
        namespace.release(1000 + 350);
        namespace.release(1000 + 20);
        namespace.claim(5000, 400).unwrap();
        assert_eq!(namespace.inner(5000), Some(350));
        // Low numbers are for those who were first.
        assert_eq!(namespace.claim(5001, 400), Err(ProcessError::ResourceExhausted));
    }

    #[test]
    fn nobody_enters_a_dead_namespace() {
        let outer = PidNamespace::new(None, 1).unwrap();
        let inner = PidNamespace::new(Some(outer.clone()), 2).unwrap();
        inner.claim(7, 100).unwrap();
        inner.enter().unwrap();
        assert_eq!(outer.die(), 1);
        assert_eq!(inner.claim(8, 100), Err(ProcessError::NoMemory));
        assert_eq!(inner.inner(8), None);
        assert_eq!(inner.enter(), Err(ProcessError::NoMemory));
        assert_eq!(inner.leave(), 0);
    }

    #[test]
    fn namespaces_are_at_most_32_deep() {
        let mut deepest = None;
        for level in 0..MAX_PID_LEVEL {
            deepest = Some(PidNamespace::new(deepest, level).unwrap());
        }
        assert_eq!(PidNamespace::new(deepest, 0).err(), Some(ProcessError::ResourceLimitExceeded));
    }
}
