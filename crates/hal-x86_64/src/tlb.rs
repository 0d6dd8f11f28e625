//! TLB shoot-down: making other CPUs forget translations, and waiting until they have.
//!
//! Each CPU has one request that it fills in as a sender, and one word of senders it has yet to serve. A sender writes
//! its request, sets its bit in the word of each target, interrupts those that had no bit set (the others have been
//! interrupted already and not come yet), and waits until all have struck themselves off. A target may be in user
//! mode or asleep: the interrupt gets it. It may be in the kernel with interrupts off: then it comes by here when it
//! spins on a lock, waits for a shoot-down of its own, or leaves the kernel. Therefore waiting under a lock is allowed.
//! There is no lock here: each word has one writer, or is changed by one atomic operation.

use core::sync::atomic::{AtomicU64, Ordering};

use hal::TlbRange;
use types::{CpuSet, MAX_CPUS, PhysAddr, VirtAddr};

use crate::{apic, cpu, paging, per_cpu};

/// From this many pages on the whole TLB is dropped: reloading it costs less than so many single instructions.
const FULL_FLUSH_PAGES: u64 = 33;

/// What a sender wants; stable from the moment its bit is set at a target until that target has struck itself off.
#[repr(align(64))]
struct Request {
    root: AtomicU64,
    start: AtomicU64,
    /// 0: everything.
    pages: AtomicU64,
    /// Targets that have yet to serve it.
    waiting: AtomicU64,
}

static REQUESTS: [Request; MAX_CPUS] = [const {
    Request { root: AtomicU64::new(0), start: AtomicU64::new(0), pages: AtomicU64::new(0), waiting: AtomicU64::new(0) }
}; MAX_CPUS];

/// Makes `range` of the address space `root` be forgotten on all of `cpus` that have it active; see `hal::Mmu::flush`.
pub fn flush(root: PhysAddr, cpus: CpuSet, range: TlbRange) {
    let block = per_cpu::current();
    let me = block.id();
    // The change of the tables must be visible before anyone's TLB is looked at.
    core::sync::atomic::fence(Ordering::SeqCst);
    flush_here(root, range);
    let targets = CpuSet(cpus.0 & cpu::online().0).without(me);
    let Some(request) = REQUESTS.get(me.index()) else { return };
    if targets.is_empty() {
        return;
    }
    let (start, pages) = match range {
        TlbRange::Pages { start, pages } => (start, pages),
        TlbRange::All => (0, 0),
    };
    if pages == 0 && range != TlbRange::All {
        return;
    }
    request.root.store(root.as_u64(), Ordering::Relaxed);
    request.start.store(start, Ordering::Relaxed);
    request.pages.store(pages, Ordering::Relaxed);
    request.waiting.store(targets.0, Ordering::Release);
    for target in targets.iter() {
        let Some(other) = per_cpu::of(target) else { continue };
        if other.shootdowns.fetch_or(CpuSet::single(me).0, Ordering::SeqCst) == 0 {
            apic::send_shootdown(target);
        }
    }
    block.stats.count_shootdown_sent();
    while request.waiting.load(Ordering::Acquire) != 0 {
        serve_shootdowns();
        core::hint::spin_loop();
    }
}

/// Serves the shoot-downs sent to this CPU. Called by the interrupt and by everything that spins.
pub fn serve_shootdowns() {
    let block = per_cpu::current();
    if block.shootdowns.load(Ordering::Relaxed) == 0 {
        return;
    }
    let me = block.id();
    let senders = CpuSet(block.shootdowns.swap(0, Ordering::SeqCst));
    for sender in senders.iter() {
        let Some(request) = REQUESTS.get(sender.index()) else { continue };
        let root = PhysAddr::new_truncate(request.root.load(Ordering::Relaxed));
        let range = match request.pages.load(Ordering::Relaxed) {
            0 => TlbRange::All,
            pages => TlbRange::Pages { start: request.start.load(Ordering::Relaxed), pages },
        };
        flush_here(root, range);
        block.stats.count_shootdown_served();
        request.waiting.fetch_and(!CpuSet::single(me).0, Ordering::Release);
    }
}

/// Forgets on this CPU, if the address space is active here. If it is not, activating it will flush: translations are
/// not tagged.
fn flush_here(root: PhysAddr, range: TlbRange) {
    if paging::current() != root {
        return;
    }
    match range {
        TlbRange::Pages { start, pages } if pages < FULL_FLUSH_PAGES => {
            for page in 0..pages {
                paging::flush_page(VirtAddr::new_truncate(start.wrapping_add(page * types::PAGE_SIZE as u64)));
            }
        }
        _ => paging::flush_all(),
    }
}
