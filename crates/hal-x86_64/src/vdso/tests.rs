//! The page of code on the host: found as a C library finds it, and run.

use core::arch::asm;
use core::arch::x86_64::_rdtsc;
use core::sync::atomic::Ordering;
use std::collections::HashMap;
use std::string::String;

use types::PAGE_SIZE;

use super::{CLOCKS, Data, code};

const SECOND: u64 = 1_000_000_000;

fn image() -> &'static [u8] {
    &code().0
}

fn word(at: usize) -> u64 {
    u64::from_le_bytes(image()[at..at + 8].try_into().unwrap())
}

fn half(at: usize) -> u32 {
    word(at) as u32
}

fn string(at: usize) -> String {
    image()[at..].iter().take_while(|byte| **byte != 0).map(|byte| char::from(*byte)).collect()
}

/// The hash of ELF's DT_HASH.
fn hash(name: &str) -> u32 {
    name.bytes().fold(0_u32, |hash, byte| {
        let hash = (hash << 4).wrapping_add(byte.into());
        let top = hash & 0xf000_0000;
        (hash ^ top >> 24) & !top
    })
}

fn dynamic() -> HashMap<u64, usize> {
    let segments = word(32) as usize;
    assert_eq!((half(segments), half(segments + 56)), (1, 2), "PT_LOAD and PT_DYNAMIC");
    assert_eq!((word(segments + 8), word(segments + 16)), (0, 0), "loaded from its start");
    let at = word(segments + 56 + 16) as usize;
    let len = word(segments + 56 + 32) as usize;
    (at..at + len).step_by(16).map(|at| (word(at), word(at + 8) as usize)).collect()
}

/// Offset of a function, by the only bucket's chain, with its version.
fn find(name: &str) -> Option<usize> {
    let dynamic = dynamic();
    let (hashes, symbols, strings) = (dynamic[&4], dynamic[&6], dynamic[&5]);
    assert_eq!(half(hashes), 1);
    let mut index = half(hashes + 8) as usize;
    while index != 0 {
        let symbol = symbols + index * 24;
        if string(strings + half(symbol) as usize) == name {
            let version = half(dynamic[&0x6fff_fff0] + 2 * index) & 0xffff;
            assert_eq!(version, 2, "{name}");
            let offset = word(symbol + 8) as usize;
            assert!(offset + word(symbol + 16) as usize <= PAGE_SIZE);
            return Some(offset);
        }
        index = half(hashes + 12 + 4 * index) as usize;
    }
    None
}

#[test]
fn c_libraries_find_the_functions_with_their_version() {
    assert_eq!(&image()[..8], b"\x7fELF\x02\x01\x01\0");
    for name in ["clock_gettime", "gettimeofday", "time", "clock_getres", "getcpu"] {
        let long = std::format!("__vdso_{name}");
        assert!(find(&long).is_some(), "{long}");
        assert_eq!(find(name), find(&long));
    }
    assert_eq!(find("clock_settime"), None);

    let dynamic = dynamic();
    let strings = dynamic[&5];
    assert_eq!(string(strings + dynamic[&14]), "linux-vdso.so.1");
    let mut at = dynamic[&0x6fff_fffc];
    let mut versions = HashMap::new();
    for _ in 0..dynamic[&0x6fff_fffd] {
        let name = string(strings + half(at + half(at + 12) as usize) as usize);
        assert_eq!(half(at + 8), hash(&name), "{name}");
        versions.insert(half(at + 4) & 0xffff, name);
        at += half(at + 16) as usize;
    }
    assert_eq!(versions[&2], "LINUX_2.6");
}

/// Both pages, as the kernel maps them.
struct Mapped(u64);

impl Mapped {
    fn new() -> Self {
        let mut at = 9_u64;
        // SAFETY: mmap of two new pages, readable, writable and executable.
        unsafe {
            asm!("syscall", inout("rax") at, in("rdi") 0, in("rsi") 2 * PAGE_SIZE, in("rdx") 7, in("r10") 0x22,
                in("r8") -1, in("r9") 0, out("rcx") _, out("r11") _);
        }
        assert!(at < 1 << 47, "mmap: {at:#x}");
        let page = (at as usize + PAGE_SIZE) as *mut u8;
        // SAFETY: the second page is new and ours.
        unsafe { core::ptr::copy_nonoverlapping(image().as_ptr(), page, PAGE_SIZE) };
        Self(at)
    }

    fn data(&self) -> &Data {
        // SAFETY: the first page is ours, aligned, and zeroes are a value of atomics.
        unsafe { &*(self.0 as *const Data) }
    }

    fn call(&self, name: &str, first: u64, second: u64) -> i64 {
        let at = self.0 as usize + PAGE_SIZE + find(name).unwrap();
        // SAFETY: a function of the page, with two arguments at most of one word each.
        let function = unsafe { core::mem::transmute::<usize, extern "C" fn(u64, u64) -> i64>(at) };
        function(first, second)
    }

    fn pair(&self, name: &str, clock: u64) -> [u64; 2] {
        let mut out = [u64::MAX; 2];
        let address = out.as_mut_ptr() as u64;
        let arguments = if name == "gettimeofday" { (address, 0) } else { (clock, address) };
        assert_eq!(self.call(name, arguments.0, arguments.1), 0, "{name}");
        // SAFETY: written by the function above, unseen by the compiler.
        unsafe { (&raw const out).read_volatile() }
    }
}

#[test]
fn clocks_are_read_and_split_exactly() {
    let pages = Mapped::new();
    let data = pages.data();
    data.has.store(CLOCKS, Ordering::Relaxed);
    // SAFETY: reads a counter.
    let now = || unsafe { _rdtsc() };
    let base = now();
    data.base.store(base, Ordering::Relaxed);
    // Half a nanosecond per cycle.
    data.scale.store(1 << 31, Ordering::Relaxed);
    for real in (0..63)
        .flat_map(|shift| [1_i64 << shift, (1 << shift) - 1])
        .chain([SECOND as i64 - 1, 1_767_225_600_000_000_000])
    {
        data.real.store(real / 2, Ordering::Relaxed);
        let real = real as u64 / 2;
        for clock in [0, 1, 4, 5, 6, 7, 11] {
            let before = (now() - base) / 2;
            let [secs, nanos] = pages.pair("clock_gettime", clock);
            let after = (now() - base) / 2;
            assert!(nanos < SECOND);
            let offset = if matches!(clock, 0 | 5 | 11) { real } else { 0 };
            let shown = secs * SECOND + nanos - offset;
            assert!((before..=after).contains(&shown), "clock {clock}: {before} {shown} {after}");
        }
        let before = ((now() - base) / 2 + real) / 1000;
        let [secs, micros] = pages.pair("gettimeofday", 0);
        let time = pages.call("time", 0, 0) as u64;
        let after = ((now() - base) / 2 + real) / 1000;
        assert!(micros < 1_000_000);
        assert!((before..=after).contains(&(secs * 1_000_000 + micros)));
        assert!((before / 1_000_000..=after / 1_000_000).contains(&time));
    }
    assert_eq!(pages.pair("clock_getres", 1), [0, 1]);
    assert_eq!(pages.pair("clock_getres", 6), [0, 4_000_000]);
}

#[test]
fn what_the_page_cannot_answer_is_asked_of_the_kernel() {
    // This is Linux's answer: the page knows no clock yet, and its own would show the start of 1970.
    let pages = Mapped::new();
    assert!(pages.pair("clock_gettime", 0)[0] > 1_700_000_000);
    assert!(pages.pair("gettimeofday", 0)[0] > 1_700_000_000);
    assert!(pages.call("time", 0, 0) > 1_700_000_000);
    let mut cpu = [u32::MAX; 2];
    let address = cpu.as_mut_ptr() as u64;
    assert_eq!(pages.call("getcpu", address, address + 4), 0);
    // SAFETY: written by the function above, unseen by the compiler.
    assert!(unsafe { (&raw const cpu).read_volatile() }[0] < 1 << 16);
    pages.data().has.store(CLOCKS, Ordering::Relaxed);
    for wrong in [3, 12, 1 << 31, u64::from(u32::MAX)] {
        let mut out = [0_u64; 2];
        let answer = pages.call("clock_gettime", wrong, out.as_mut_ptr() as u64);
        assert_eq!(answer, if wrong == 3 { 0 } else { -22 }, "clock {wrong}");
    }
}
