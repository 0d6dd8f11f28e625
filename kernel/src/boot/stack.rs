//! Return addresses on a stack of the kernel, for the record of a panic.
//!
//! The kernel keeps no frame pointers, since they cost instructions everywhere. Instead every word of the stack that
//! points into the kernel's code right behind a call instruction counts as one. All callers are among them; a few others
//! are what earlier calls have left behind.

use super::physical::DIRECT_MAP_BASE;

/// Most words that are looked at, and the distance at which every stack but the boot CPU's has ended: stacks are blocks
/// of that size, aligned to it.
const REACH: u64 = 64 * 1024;

unsafe extern "C" {
    static __kernel_start: u8;
    static __text_start: u8;
    static __text_end: u8;
    static boot_stack_top: u8;
    static __kernel_end: u8;
}

/// Addresses behind calls, from the stack pointer `from` up to the end of that stack.
pub(crate) fn return_addresses(from: u64) -> impl Iterator<Item = u64> {
    let from = from.next_multiple_of(8);
    (from..end_of_stack(from)).step_by(8).map(word).filter(|word| follows_call(*word))
}

/// End of what may be read as the stack that `at` lies in; `at` itself if it is no place for a stack.
fn end_of_stack(at: u64) -> u64 {
    let limit = |symbol: *const u8| symbol as u64;
    let aligned_end = (at | (REACH - 1)).saturating_add(1);
    if (limit(&raw const __kernel_start)..limit(&raw const __kernel_end)).contains(&at) {
        // The boot CPU's stack, or that of an exception in the middle of other data.
        let top = limit(&raw const boot_stack_top);
        if (top.saturating_sub(REACH)..top).contains(&at) {
            top
        } else {
            at.saturating_add(8192).min(limit(&raw const __kernel_end))
        }
    } else if (DIRECT_MAP_BASE..limit(&raw const __kernel_start)).contains(&at) {
        aligned_end
    } else {
        at
    }
}

/// Whether `address` is that of an instruction behind a call: `e8 rel32`, or `ff /2` with its operand in two to seven bytes.
fn follows_call(address: u64) -> bool {
    let first = &raw const __text_start as u64 + 7;
    if !(first..&raw const __text_end as u64).contains(&address) {
        return false;
    }
    let byte = |before: u64| {
        let code = (address - before) as *const u8;
        // SAFETY: at most seven bytes before an address in the kernel's code, and not before its start.
        unsafe { code.read_volatile() }
    };
    byte(5) == 0xe8 || (2..=7).any(|before| byte(before) == 0xff && byte(before - 1) >> 3 & 7 == 2)
}

fn word(at: u64) -> u64 {
    let word = at as *const u64;
    // SAFETY: aligned, and within the image or the direct map, which are mapped as long as the kernel runs. A broken stack
    // pointer can still lead to a hole in them; the panic path then stops at its second entry.
    unsafe { word.read_volatile() }
}
