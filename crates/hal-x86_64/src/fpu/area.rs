//! Memory for one program's state.

use alloc::alloc::{Layout, alloc, alloc_zeroed, dealloc};
use core::arch::asm;
use core::ptr::NonNull;
use core::slice;
use core::sync::atomic::Ordering;

use super::format::{self, BadState, FXSAVE_SIZE, INITIAL_MXCSR};
use super::{MXCSR_MASK, components, size};

/// What `xsave` demands.
const ALIGN: usize = 64;

/// What `fxsave` and `xsave` leave as it was, at least in part: control words and x87 registers; from the end of the SSE registers to
/// the end of the header.
const PARTLY_SAVED: [core::ops::Range<usize>; 2] = [0..160, 416..FXSAVE_SIZE + 64];

/// A program's floating-point and vector state, outside the registers. Always one that the CPU can load.
pub struct FpuArea {
    // `size()` bytes, which stays as it is once there are areas.
    bytes: NonNull<u8>,
}

// SAFETY: the memory belongs to this value alone.
unsafe impl Send for FpuArea {}
// SAFETY: shared references only read it.
unsafe impl Sync for FpuArea {}

fn layout(len: usize) -> Option<Layout> {
    Layout::from_size_align(len, ALIGN).ok().filter(|layout| layout.size() != 0)
}

impl FpuArea {
    /// The state of a fresh program. `None`: no memory, or before `init_bsp`.
    pub fn new() -> Option<Self> {
        let len = size();
        let layout = layout(len)?;
        // SAFETY: the size is not zero.
        let bytes = NonNull::new(unsafe { alloc_zeroed(layout) })?;
        let mut area = Self { bytes };
        format::write_initial(area.bytes_mut());
        Some(area)
    }

    /// A copy, for fork. `None`: no memory.
    pub fn try_clone(&self) -> Option<Self> {
        let layout = layout(size())?;
        // SAFETY: the size is not zero.
        let bytes = NonNull::new(unsafe { alloc(layout) })?;
        // SAFETY: both have this length, and the new one is nobody else's.
        unsafe { bytes.copy_from_nonoverlapping(self.bytes, size()) };
        Some(Self { bytes })
    }

    /// A copy of the registers, for fork. `None`: no memory.
    pub fn of_registers() -> Option<Self> {
        /// x87 and SSE; those and AVX, which follows at once: no holes between components.
        const WITHOUT_HOLES: [u64; 3] = [0, 3, 7];
        let layout = layout(size())?;
        let mut area = if WITHOUT_HOLES.contains(&components()) {
            // SAFETY: the size is not zero.
            let bytes = NonNull::new(unsafe { alloc(layout) })?;
            for part in PARTLY_SAVED {
                let len = part.end.min(layout.size()).saturating_sub(part.start);
                // SAFETY: the area has 512 bytes at least.
                let start = unsafe { bytes.add(part.start) };
                // SAFETY: within the area, which is nobody else's.
                unsafe { start.write_bytes(0, len) };
            }
            Self { bytes }
        } else {
            // SAFETY: the size is not zero.
            Self { bytes: NonNull::new(unsafe { alloc_zeroed(layout) })? }
        };
        // Writes all the rest.
        area.save();
        Some(area)
    }

    /// Back to the state of a fresh program, for exec.
    pub fn reset(&mut self) {
        self.bytes_mut().fill(0);
        format::write_initial(self.bytes_mut());
    }

    /// Copies the registers to the area.
    pub fn save(&mut self) {
        if components() == 0 {
            // SAFETY: the area has 512 bytes and is aligned.
            unsafe { asm!("fxsave64 [{}]", in(reg) self.bytes.as_ptr(), options(nostack, preserves_flags)) };
        } else {
            // SAFETY: the area has the size for all enabled components, and is aligned.
            unsafe {
                asm!("xsave64 [{}]", in(reg) self.bytes.as_ptr(), in("eax") u32::MAX, in("edx") u32::MAX,
                    options(nostack, preserves_flags));
            };
        }
    }

    /// Copies the area to the registers.
    pub fn restore(&self) {
        if components() == 0 {
            // SAFETY: the area is acceptable at all times; the kernel itself uses none of these registers.
            unsafe { asm!("fxrstor64 [{}]", in(reg) self.bytes.as_ptr(), options(nostack, preserves_flags, readonly)) };
        } else {
            // SAFETY: as above.
            unsafe {
                asm!("xrstor64 [{}]", in(reg) self.bytes.as_ptr(), in("eax") u32::MAX, in("edx") u32::MAX,
                    options(nostack, preserves_flags, readonly));
            };
        }
    }

    fn bytes_mut(&mut self) -> &mut [u8] {
        // SAFETY: the memory belongs to this value, which is exclusively borrowed, and was zeroed or copied from such.
        unsafe { slice::from_raw_parts_mut(self.bytes.as_ptr(), size()) }
    }

    /// Lends the state as it goes into a signal frame: `xsave`'s standard form, [`super::size`] bytes, to `work`, which may
    /// change it; what `work` returned.
    ///
    /// # Errors
    /// [`BadState`], and the state is that of a fresh program, if `work` left one that the CPU could not load.
    pub fn edit<T>(&mut self, work: impl FnOnce(&mut [u8]) -> T) -> Result<T, BadState> {
        let result = work(self.bytes_mut());
        match format::check(self.bytes_mut(), components(), MXCSR_MASK.load(Ordering::Relaxed)) {
            Ok(()) => Ok(result),
            Err(bad) => {
                self.reset();
                Err(bad)
            }
        }
    }
}

impl Drop for FpuArea {
    fn drop(&mut self) {
        if let Some(layout) = layout(size()) {
            // SAFETY: allocated with this layout in `new`.
            unsafe { dealloc(self.bytes.as_ptr(), layout) };
        }
    }
}

/// Sets the registers of this CPU to their state at reset.
pub(super) fn reset() {
    // SAFETY: the kernel uses no floating point.
    unsafe { asm!("fninit", options(nomem, nostack)) };
    // SAFETY: the value has no reserved bits.
    unsafe { asm!("ldmxcsr [{}]", in(reg) &INITIAL_MXCSR, options(nostack, readonly)) };
}

/// Bits of MXCSR that this CPU has, as `fxsave` tells.
pub(super) fn mxcsr_mask() -> Option<u32> {
    #[repr(align(16))]
    struct Legacy([u8; FXSAVE_SIZE]);
    let mut legacy = Legacy([0; FXSAVE_SIZE]);
    // SAFETY: the buffer has 512 bytes and is aligned.
    unsafe { asm!("fxsave64 [{}]", in(reg) &raw mut legacy, options(nostack, preserves_flags)) };
    let field = legacy.0.get(format::MXCSR_MASK..format::MXCSR_MASK + 4)?;
    let mask = u32::from_le_bytes(field.try_into().ok()?);
    (mask != 0).then_some(mask)
}
