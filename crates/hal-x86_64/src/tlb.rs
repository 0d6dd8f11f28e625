//! TLB shoot-down: making other CPUs forget translations, and waiting until they have.
//!
//! A target may be in user mode or asleep: the interrupt gets it. It may be in the kernel with interrupts off: then it
//! comes by [`serve_shootdowns`] when it spins on a lock, waits for a shoot-down of its own, or leaves the kernel.
//! Therefore waiting under a lock is allowed. The protocol is in `mailbox`.

mod mailbox;

use core::sync::atomic::{Ordering, fence};

use hal::TlbRange;
use types::{CpuSet, PhysAddr, VirtAddr};

use crate::{apic, cpu, paging, per_cpu};
use mailbox::Mailboxes;

/// From this many pages on the whole TLB is dropped: reloading it costs less than so many single instructions.
const FULL_FLUSH_PAGES: u64 = 33;

static MAILBOXES: Mailboxes = Mailboxes::new();

/// Makes `range` of the address space `root` be forgotten on all of `cpus` that have it active; see `hal::Mmu::flush`.
pub fn flush(root: PhysAddr, cpus: CpuSet, range: TlbRange) {
    let block = per_cpu::current();
    let me = block.id();
    // The change of the tables must be visible before anyone's TLB is looked at.
    fence(Ordering::SeqCst);
    flush_here(root, range);
    let targets = CpuSet(cpus.0 & cpu::online().0).without(me);
    if targets.is_empty() {
        return;
    }
    block.stats.count_shootdown_sent();
    MAILBOXES.send(me, targets, (root, range), apic::send_shootdown, || {
        serve_shootdowns();
        core::hint::spin_loop();
    });
}

/// Serves the shoot-downs sent to this CPU. Called by the interrupt and by everything that spins.
#[inline]
pub fn serve_shootdowns() {
    let block = per_cpu::current();
    let served = MAILBOXES.serve(block.id(), flush_here);
    if served != 0 {
        block.stats.count_shootdowns_served(served);
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
