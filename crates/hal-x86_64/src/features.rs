//! What the CPU can do, found once on the boot CPU and taken to hold for all.

use core::arch::x86_64::{__cpuid_count, CpuidResult};
use core::sync::atomic::{AtomicU64, Ordering};

use bitflags::bitflags;

bitflags! {
    /// Abilities that the kernel makes use of, or reports.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
    pub struct Features: u64 {
        /// Pages can be made not executable.
        const NX = 1 << 0;
        /// Ring 0 cannot execute user pages.
        const SMEP = 1 << 1;
        /// Ring 0 reaches user pages only on purpose.
        const SMAP = 1 << 2;
        /// `sgdt` and the like are refused to programs.
        const UMIP = 1 << 3;
        /// Translations of kernel pages outlive a change of address space.
        const PGE = 1 << 4;
        /// Translations are tagged with their address space. Reported only; not used yet.
        const PCID = 1 << 5;
        /// FS and GS bases are read and written by plain instructions.
        const FSGSBASE = 1 << 6;
        /// Extended state is saved by `xsave`.
        const XSAVE = 1 << 7;
        /// 256-bit vectors.
        const AVX = 1 << 8;
        /// 512-bit vectors.
        const AVX512 = 1 << 9;
        /// The local APIC has its registers as MSRs and 32-bit ids.
        const X2APIC = 1 << 10;
        /// The local APIC's timer compares with the TSC.
        const TSC_DEADLINE = 1 << 11;
        /// The TSC runs at one rate in all power states.
        const INVARIANT_TSC = 1 << 12;
        /// `rdrand`.
        const RDRAND = 1 << 13;
        /// `rdseed`.
        const RDSEED = 1 << 14;
        /// `rdtscp` and `rdpid`'s register.
        const RDTSCP = 1 << 15;
        /// Pages of 1 GiB.
        const HUGE_1G = 1 << 16;
        /// Runs under a hypervisor or emulator.
        const HYPERVISOR = 1 << 17;
        /// Memory types of pages by table.
        const PAT = 1 << 18;
        /// Five-level page tables. Reported only; not used.
        const LA57 = 1 << 19;
        /// Machine-check exceptions.
        const MCE = 1 << 20;
        /// Byte string moves are fast. Reported only: the copies here use quadwords either way.
        const ERMS = 1 << 21;
    }
}

static FOUND: AtomicU64 = AtomicU64::new(0);

/// What was found. Empty before `init_bsp`.
#[inline]
pub fn get() -> Features {
    Features::from_bits_retain(FOUND.load(Ordering::Relaxed))
}

/// Looks, and keeps the answer for [`get`].
pub(crate) fn detect() -> Features {
    let leaf = |leaf, subleaf| if leaf & 0xffff <= max_leaf(leaf) & 0xffff { cpuid(leaf, subleaf) } else { NOTHING };
    let found = decode(&Leaves {
        basic: leaf(1, 0),
        structured: leaf(7, 0),
        extended: leaf(0x8000_0001, 0),
        power: leaf(0x8000_0007, 0),
    });
    FOUND.store(found.bits(), Ordering::Relaxed);
    found
}

const NOTHING: CpuidResult = CpuidResult { eax: 0, ebx: 0, ecx: 0, edx: 0 };

/// Highest leaf of the range that `leaf` is in.
fn max_leaf(leaf: u32) -> u32 {
    cpuid(leaf & 0xffff_0000, 0).eax
}

/// The CPUID instruction.
pub fn cpuid(leaf: u32, subleaf: u32) -> CpuidResult {
    __cpuid_count(leaf, subleaf)
}

/// The CPUID instruction, all zeroes for a leaf that the CPU does not have.
pub fn cpuid_checked(leaf: u32, subleaf: u32) -> CpuidResult {
    let max = max_leaf(leaf);
    if leaf <= max && max & 0xffff_0000 == leaf & 0xffff_0000 { cpuid(leaf, subleaf) } else { NOTHING }
}

/// The CPUID leaves that [`decode`] looks at.
struct Leaves {
    basic: CpuidResult,
    structured: CpuidResult,
    extended: CpuidResult,
    power: CpuidResult,
}

fn decode(leaves: &Leaves) -> Features {
    let table = [
        (leaves.extended.edx, 20, Features::NX),
        (leaves.structured.ebx, 7, Features::SMEP),
        (leaves.structured.ebx, 20, Features::SMAP),
        (leaves.structured.ecx, 2, Features::UMIP),
        (leaves.basic.edx, 13, Features::PGE),
        (leaves.basic.ecx, 17, Features::PCID),
        (leaves.structured.ebx, 0, Features::FSGSBASE),
        (leaves.basic.ecx, 26, Features::XSAVE),
        (leaves.basic.ecx, 28, Features::AVX),
        (leaves.structured.ebx, 16, Features::AVX512),
        (leaves.basic.ecx, 21, Features::X2APIC),
        (leaves.basic.ecx, 24, Features::TSC_DEADLINE),
        (leaves.power.edx, 8, Features::INVARIANT_TSC),
        (leaves.basic.ecx, 30, Features::RDRAND),
        (leaves.structured.ebx, 18, Features::RDSEED),
        (leaves.extended.edx, 27, Features::RDTSCP),
        (leaves.extended.edx, 26, Features::HUGE_1G),
        (leaves.basic.ecx, 31, Features::HYPERVISOR),
        (leaves.basic.edx, 16, Features::PAT),
        (leaves.structured.ecx, 16, Features::LA57),
        (leaves.basic.edx, 7, Features::MCE),
        (leaves.structured.ebx, 9, Features::ERMS),
    ];
    table
        .into_iter()
        .filter(|(register, bit, _)| register >> bit & 1 != 0)
        .fold(Features::empty(), |found, (_, _, feature)| found | feature)
}

/// The CPU's own name and numbers, for `/proc/cpuinfo`.
#[derive(Clone, Copy, Debug)]
pub struct Identity {
    vendor: [u8; 12],
    brand: [u8; 48],
    /// Family, extended family added.
    pub family: u32,
    /// Model, extended model included.
    pub model: u32,
    /// Stepping.
    pub stepping: u32,
    /// Bits of a physical address.
    pub physical_bits: u8,
    /// Bits of a virtual address.
    pub virtual_bits: u8,
    /// The four registers of leaf 1 and leaf 7, for `AT_HWCAP` (leaf 1 EDX) and flag lists.
    pub leaf1_edx: u32,
    /// Leaf 1 ECX.
    pub leaf1_ecx: u32,
    /// Leaf 7 EBX.
    pub leaf7_ebx: u32,
    /// Leaf 7 ECX.
    pub leaf7_ecx: u32,
}

impl Identity {
    /// "GenuineIntel", "AuthenticAMD", …
    pub fn vendor(&self) -> &str {
        printable(&self.vendor)
    }

    /// The marketing name.
    pub fn brand(&self) -> &str {
        printable(&self.brand)
    }
}

/// Who this CPU is.
pub fn identity() -> Identity {
    let mut vendor = [0; 12];
    let zero = cpuid(0, 0);
    for (to, from) in vendor.chunks_mut(4).zip([zero.ebx, zero.edx, zero.ecx]) {
        to.copy_from_slice(&from.to_le_bytes());
    }
    let mut brand = [0; 48];
    for (part, leaf) in brand.chunks_mut(16).zip(0x8000_0002..) {
        let CpuidResult { eax, ebx, ecx, edx } = cpuid_checked(leaf, 0);
        for (to, from) in part.chunks_mut(4).zip([eax, ebx, ecx, edx]) {
            to.copy_from_slice(&from.to_le_bytes());
        }
    }
    let basic = cpuid(1, 0);
    let structured = cpuid_checked(7, 0);
    let sizes = cpuid_checked(0x8000_0008, 0).eax;
    let (family, model, stepping) = signature(basic.eax);
    Identity {
        vendor,
        brand,
        family,
        model,
        stepping,
        physical_bits: if sizes == 0 { 36 } else { sizes as u8 },
        virtual_bits: if sizes == 0 { 48 } else { (sizes >> 8) as u8 },
        leaf1_edx: basic.edx,
        leaf1_ecx: basic.ecx,
        leaf7_ebx: structured.ebx,
        leaf7_ecx: structured.ecx,
    }
}

/// Family, model and stepping of leaf 1 EAX (Intel SDM vol. 2, CPUID).
const fn signature(eax: u32) -> (u32, u32, u32) {
    let (family, model) = (eax >> 8 & 0xf, eax >> 4 & 0xf);
    let extended = if family == 6 || family == 15 { (eax >> 16 & 0xf) << 4 } else { 0 };
    (if family == 15 { family + (eax >> 20 & 0xff) } else { family }, model | extended, eax & 0xf)
}

/// The text up to the first NUL, trimmed.
fn printable(bytes: &[u8]) -> &str {
    let end = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
    bytes.get(..end).and_then(|text| core::str::from_utf8(text).ok()).unwrap_or("").trim()
}

/// Whether bits 47 to 63 of `address` are equal.
#[inline]
pub const fn is_canonical(address: u64) -> bool {
    ((address << 16) as i64 >> 16) as u64 == address
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn canonical_addresses_are_the_two_halves() {
        assert!(is_canonical(0) && is_canonical(0x7fff_ffff_ffff) && is_canonical(0xffff_8000_0000_0000));
        assert!(!is_canonical(0x8000_0000_0000) && !is_canonical(0xffff_7fff_ffff_ffff) && !is_canonical(1 << 63));
    }

    #[test]
    fn features_are_decoded_from_their_bits() {
        let mut leaves = Leaves { basic: NOTHING, structured: NOTHING, extended: NOTHING, power: NOTHING };
        assert!(decode(&leaves).is_empty());
        leaves.structured.ebx = 1 << 20 | 1;
        leaves.extended.edx = 1 << 20;
        assert_eq!(decode(&leaves), Features::SMAP | Features::FSGSBASE | Features::NX);
    }

    #[test]
    fn signature_adds_the_extended_parts() {
        assert_eq!(signature(0x0009_06ea), (6, 0x9e, 10));
        assert_eq!(signature(0x00a2_0f12), (0x19, 0x21, 2));
    }

    #[test]
    fn host_has_a_name() {
        assert!(!identity().vendor().is_empty());
        assert!(identity().physical_bits >= 32);
    }
}
