//! The clock as C libraries read it: by the code that the kernel lends (vdso(7)), found by the auxiliary vector.

use core::ffi::{CStr, c_char};
use core::sync::atomic::{AtomicUsize, Ordering};

/// The environment of this process.
static ENVIRONMENT: AtomicUsize = AtomicUsize::new(0);

const AT_SYSINFO_EHDR: usize = 33;
const PT_DYNAMIC: usize = 2;
const DT_HASH: usize = 4;
const DT_STRTAB: usize = 5;
const DT_SYMTAB: usize = 6;

/// The lent function.
pub type ClockGettime = extern "C" fn(i32, *mut [i64; 2]) -> i32;

/// Remembers where the environment is: after it comes the auxiliary vector.
#[inline(always)]
pub fn note(environment: *const *const c_char) {
    ENVIRONMENT.store(environment as usize, Ordering::Relaxed);
}

/// Where the kernel has put its code.
fn base() -> Option<usize> {
    let mut at = ENVIRONMENT.load(Ordering::Relaxed) as *const usize;
    // SAFETY: as for `argv`: a null pointer ends the environment, AT_NULL the vector.
    unsafe {
        while *at != 0 {
            at = at.add(1);
        }
        at = at.add(1);
        while *at != 0 && *at != AT_SYSINFO_EHDR {
            at = at.add(2);
        }
        (*at != 0).then(|| *at.add(1))
    }
}

/// `__vdso_clock_gettime`, if the kernel lends it.
pub fn clock_gettime() -> Option<ClockGettime> {
    let base = base()?;
    // SAFETY: the kernel's object is whole and at `base`; every offset read below is its own.
    let word = |offset: usize| unsafe { ((base + offset) as *const usize).read_unaligned() };
    let half = |offset: usize| word(offset) & 0xffff_ffff;
    let segments = word(32);
    let dynamic = (0..word(56) & 0xffff).map(|i| segments + i * 56).find(|at| half(*at) == PT_DYNAMIC)?;
    let dynamic = word(dynamic + 16);
    let entry = |tag| (0..32).map(|i| dynamic + i * 16).find(|at| word(*at) == tag).map(|at| word(at + 8));
    let (hash, strings, symbols) = (entry(DT_HASH)?, entry(DT_STRTAB)?, entry(DT_SYMTAB)?);
    let named = |at: &usize| {
        // SAFETY: a string of the object.
        let name = unsafe { CStr::from_ptr((base + strings + half(*at)) as *const c_char) };
        name == c"__vdso_clock_gettime"
    };
    let symbol = (1..half(hash + 4)).map(|i| symbols + i * 24).find(named)?;
    // SAFETY: that is its type.
    Some(unsafe { core::mem::transmute::<usize, ClockGettime>(base + word(symbol + 8)) })
}
