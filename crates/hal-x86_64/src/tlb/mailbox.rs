//! The shoot-down protocol, without the hardware.
//!
//! Each CPU has one request that it fills in as a sender, and an inbox: the set of senders it has yet to serve. A sender
//! writes its request, puts itself into the inbox of each target, interrupts those whose inbox was empty (the others
//! have been interrupted already and not come yet), and waits until all have struck themselves off the request. There
//! is no lock: each word has one writer, or is changed by one atomic operation.

use core::sync::atomic::{AtomicU64, Ordering};

use hal::TlbRange;
use types::{CpuId, CpuSet, MAX_CPUS, PhysAddr};

/// What a sender wants; stable from the moment it is in an inbox until that inbox's owner has struck itself off.
#[repr(align(64))]
struct Request {
    root: AtomicU64,
    start: AtomicU64,
    /// 0: everything.
    pages: AtomicU64,
    /// Targets that have yet to serve it.
    waiting: AtomicU64,
}

#[repr(align(64))]
struct Inbox(AtomicU64);

/// Requests and inboxes of all CPUs.
pub(super) struct Mailboxes {
    requests: [Request; MAX_CPUS],
    inboxes: [Inbox; MAX_CPUS],
}

impl Mailboxes {
    pub(super) const fn new() -> Self {
        Self {
            requests: [const {
                Request {
                    root: AtomicU64::new(0),
                    start: AtomicU64::new(0),
                    pages: AtomicU64::new(0),
                    waiting: AtomicU64::new(0),
                }
            }; MAX_CPUS],
            inboxes: [const { Inbox(AtomicU64::new(0)) }; MAX_CPUS],
        }
    }

    /// Has `range` of the address space `root` flushed by `targets`, which does not contain `me`; `interrupt` makes a
    /// target look into its inbox, `relax` is called while waiting and must serve this CPU's own inbox.
    pub(super) fn send(
        &self,
        me: CpuId,
        targets: CpuSet,
        (root, range): (PhysAddr, TlbRange),
        interrupt: impl Fn(CpuId),
        relax: impl Fn(),
    ) {
        let Some(request) = self.requests.get(me.index()) else { return };
        let (start, pages) = match range {
            TlbRange::Pages { pages: 0, .. } => return,
            TlbRange::Pages { start, pages } => (start, pages),
            TlbRange::All => (0, 0),
        };
        request.root.store(root.as_u64(), Ordering::Relaxed);
        request.start.store(start, Ordering::Relaxed);
        request.pages.store(pages, Ordering::Relaxed);
        // The swap of the inbox below publishes the request.
        request.waiting.store(targets.0, Ordering::Relaxed);
        for target in targets.iter() {
            let Some(inbox) = self.inboxes.get(target.index()) else { continue };
            if inbox.0.fetch_or(CpuSet::single(me).0, Ordering::SeqCst) == 0 {
                interrupt(target);
            }
        }
        while request.waiting.load(Ordering::Acquire) != 0 {
            relax();
        }
    }

    /// Serves what is in the inbox of `me`; returns how many requests that were.
    #[inline]
    pub(super) fn serve(&self, me: CpuId, flush: impl Fn(PhysAddr, TlbRange)) -> u32 {
        match self.inboxes.get(me.index()) {
            Some(inbox) if inbox.0.load(Ordering::Relaxed) != 0 => self.serve_all(me, inbox, flush),
            _ => 0,
        }
    }

    fn serve_all(&self, me: CpuId, inbox: &Inbox, flush: impl Fn(PhysAddr, TlbRange)) -> u32 {
        let senders = CpuSet(inbox.0.swap(0, Ordering::SeqCst));
        for request in senders.iter().filter_map(|sender| self.requests.get(sender.index())) {
            let root = PhysAddr::new_truncate(request.root.load(Ordering::Relaxed));
            let range = match request.pages.load(Ordering::Relaxed) {
                0 => TlbRange::All,
                pages => TlbRange::Pages { start: request.start.load(Ordering::Relaxed), pages },
            };
            flush(root, range);
            request.waiting.fetch_and(!CpuSet::single(me).0, Ordering::Release);
        }
        senders.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::sync::atomic::AtomicBool;
    use std::sync::Barrier;
    use std::thread;

    /// Every thread plays a CPU that sends to all others and polls while it waits. A counter per pair stands for the
    /// page table (raised by the sender) and the TLB (copied by the flush): after `send` returns they must be equal.
    #[test]
    fn all_targets_have_flushed_when_send_returns_even_if_everyone_sends() {
        const CPUS: usize = 4;
        const ROUNDS: u64 = 300;
        let mailboxes = Mailboxes::new();
        let tables: [AtomicU64; CPUS] = [const { AtomicU64::new(0) }; CPUS];
        let seen: [[AtomicU64; CPUS]; CPUS] = [const { [const { AtomicU64::new(0) }; CPUS] }; CPUS];
        let barrier = Barrier::new(CPUS);
        let done = AtomicU64::new(0);
        let everyone = CpuSet((1 << CPUS) - 1);
        thread::scope(|scope| {
            for cpu in 0..CPUS {
                let (mailboxes, tables, seen, barrier, done) = (&mailboxes, &tables, &seen, &barrier, &done);
                scope.spawn(move || {
                    let me = CpuId(cpu as u32);
                    // The root names the sender whose table is meant.
                    let flush = |root: PhysAddr, range: TlbRange| {
                        let sender = root.as_u64() as usize / 4096;
                        let now = tables[sender].load(Ordering::SeqCst);
                        assert_eq!(range, TlbRange::Pages { start: now, pages: now });
                        seen[cpu][sender].store(now, Ordering::SeqCst);
                    };
                    let relax = || {
                        mailboxes.serve(me, flush);
                        thread::yield_now();
                    };
                    barrier.wait();
                    for round in 1..=ROUNDS {
                        tables[cpu].store(round, Ordering::SeqCst);
                        let what = (PhysAddr::new(cpu as u64 * 4096), TlbRange::Pages { start: round, pages: round });
                        mailboxes.send(me, everyone.without(me), what, |_| {}, relax);
                        for other in (0..CPUS).filter(|other| *other != cpu) {
                            assert_eq!(seen[other][cpu].load(Ordering::SeqCst), round);
                        }
                    }
                    done.fetch_add(1, Ordering::SeqCst);
                    while done.load(Ordering::SeqCst) < CPUS as u64 {
                        relax();
                    }
                });
            }
        });
        assert!(
            seen.iter().flatten().filter(|count| count.load(Ordering::SeqCst) == ROUNDS).count() == CPUS * (CPUS - 1)
        );
    }

    #[test]
    fn target_with_a_full_inbox_is_not_interrupted_again() {
        let mailboxes = Mailboxes::new();
        let target = CpuId(2);
        let interrupts = AtomicU64::new(0);
        let what = (PhysAddr::new(4096), TlbRange::All);
        let stop = AtomicBool::new(false);
        thread::scope(|scope| {
            for sender in [CpuId(0), CpuId(1)] {
                let (mailboxes, interrupts, stop) = (&mailboxes, &interrupts, &stop);
                scope.spawn(move || {
                    mailboxes.send(
                        sender,
                        CpuSet::single(target),
                        what,
                        |_| {
                            interrupts.fetch_add(1, Ordering::SeqCst);
                        },
                        thread::yield_now,
                    );
                    assert!(stop.load(Ordering::SeqCst), "nobody returns before the target has served");
                });
            }
            while mailboxes.inboxes[2].0.load(Ordering::SeqCst) != 3 {
                thread::yield_now();
            }
            stop.store(true, Ordering::SeqCst);
            assert_eq!(mailboxes.serve(target, |root, range| assert_eq!((root, range), what)), 2);
        });
        assert_eq!(interrupts.load(Ordering::SeqCst), 1);
        assert_eq!(mailboxes.serve(target, |_, _| unreachable!()), 0);
    }

    #[test]
    fn empty_ranges_and_empty_sets_return_at_once() {
        let mailboxes = Mailboxes::new();
        let root = PhysAddr::new(4096);
        let nobody = |_| panic!("no interrupt is needed");
        mailboxes.send(CpuId(0), CpuSet(2), (root, TlbRange::Pages { start: 0, pages: 0 }), nobody, || panic!());
        mailboxes.send(CpuId(0), CpuSet::EMPTY, (root, TlbRange::All), nobody, || panic!());
    }
}
