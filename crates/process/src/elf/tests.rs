//! Plans of made-up, damaged and real programs.

use super::*;
use std::fs;
use std::vec;

const BASE: u64 = 0x5555_5555_4000;

fn load(p_flags: u32, p_offset: u64, p_vaddr: u64, p_filesz: u64, p_memsz: u64) -> ProgramHeader {
    ProgramHeader { p_type: PT_LOAD, p_flags, p_offset, p_vaddr, p_paddr: 0, p_filesz, p_memsz, p_align: PAGE }
}

fn other(p_type: u32, p_flags: u32, p_offset: u64, p_vaddr: u64, p_filesz: u64) -> ProgramHeader {
    ProgramHeader { p_type, p_flags, p_offset, p_vaddr, p_paddr: 0, p_filesz, p_memsz: p_filesz, p_align: 1 }
}

fn header(kind: u16, entry: u64, count: usize) -> Vec<u8> {
    let mut bytes = vec![0x7f, b'E', b'L', b'F', 2, 1, 1, 0];
    bytes.resize(16, 0);
    bytes.extend(kind.to_le_bytes());
    bytes.extend(62_u16.to_le_bytes());
    bytes.extend(1_u32.to_le_bytes());
    bytes.extend(entry.to_le_bytes());
    bytes.extend(64_u64.to_le_bytes());
    bytes.extend(0_u64.to_le_bytes());
    bytes.extend(0_u32.to_le_bytes());
    for half in [64_u16, PROGRAM_HEADER_SIZE as u16, count as u16, 0, 0, 0] {
        bytes.extend(half.to_le_bytes());
    }
    bytes
}

fn file(kind: u16, entry: u64, headers: &[ProgramHeader]) -> Vec<u8> {
    let mut bytes = header(kind, entry, headers.len());
    headers.iter().for_each(|ph| bytes.extend(ph.to_bytes()));
    bytes
}

/// Both steps, as exec does them, on a file that claims to be `size` bytes long.
fn plan_sized(bytes: &[u8], size: u64, policy: WritableCode) -> Result<LoadPlan, ElfError> {
    let header = ElfHeader::parse(bytes)?;
    let start = usize::try_from(header.table_offset).unwrap_or(usize::MAX);
    let table = bytes.get(start..).unwrap_or(&[]);
    LoadPlan::new(&header, table, size, BASE, policy)
}

fn plan(kind: u16, entry: u64, headers: &[ProgramHeader]) -> Result<LoadPlan, ElfError> {
    plan_sized(&file(kind, entry, headers), 1 << 20, WritableCode::Refuse)
}

/// What every plan must satisfy, whatever the file said.
fn check_sound(plan: &LoadPlan, size: u64) {
    let mut last = 0;
    for segment in &plan.segments {
        assert!(segment.address.is_multiple_of(PAGE) && segment.file_offset.is_multiple_of(PAGE));
        assert!(segment.address >= last && segment.end() <= USER_END + PAGE, "{segment:?}");
        assert!(segment.zero_len < PAGE);
        assert!(segment.file_pages == 0 || segment.file_offset + (segment.file_pages - 1) * PAGE < size);
        if segment.zero_len != 0 {
            assert_eq!(segment.zero_start + segment.zero_len, segment.anonymous_start());
        }
        last = segment.end();
    }
    assert_eq!(plan.brk_start, last);
    assert!(plan.entry < plan.brk_start);
}

#[test]
fn a_program_with_shared_file_pages_and_bss_is_laid_out_like_on_linux() {
    let headers = [
        other(PT_PHDR, PF_R, 64, 0x40_0040, 0x100),
        load(PF_R, 0, 0x40_0000, 0x234, 0x234),
        load(PF_R | PF_X, 0x234, 0x40_1234, 0x1000, 0x1000),
        load(PF_R | PF_W, 0x1234, 0x40_3234, 0x100, 0x3000),
        other(PT_GNU_STACK, PF_R | PF_W, 0, 0, 0),
    ];
    let plan = plan(2, 0x40_1300, &headers).unwrap();
    check_sound(&plan, 1 << 20);
    assert_eq!((plan.kind, plan.bias, plan.entry), (ElfKind::Fixed, 0, 0x40_1300));
    assert_eq!((plan.program_headers, plan.program_header_count), (0x40_0040, 5));
    let code = plan.segments[1];
    assert_eq!((code.address, code.file_offset, code.file_pages), (0x40_1000, 0, 2));
    assert_eq!((code.zero_len, code.anonymous_pages), (0, 0), "no bss: the neighbour's bytes stay");
    let data = plan.segments[2];
    assert_eq!((data.address, data.file_offset, data.file_pages), (0x40_3000, 0x1000, 1));
    assert_eq!((data.zero_start, data.zero_len, data.anonymous_pages), (0x40_3334, 0xccc, 3));
    assert_eq!(plan.brk_start, 0x40_7000);
    assert_eq!((plan.code, plan.data), ((0x40_1234, 0x40_2234), (0x40_3234, 0x40_3334)));
    assert!(!plan.executable_stack && plan.interpreter.is_none());
    assert_eq!(plan.segments[0].protection.bits(), linux::PROT_READ);
}

#[test]
fn a_relocatable_program_goes_to_the_base_with_its_alignment() {
    let mut headers = [load(PF_R | PF_X, 0, 0, 0x2000, 0x2000), load(PF_R | PF_W, 0x2000, 0x3000, 0, 0x800)];
    let plan_at_base = plan(3, 0x100, &headers).unwrap();
    assert_eq!((plan_at_base.bias, plan_at_base.entry), (BASE, BASE + 0x100));
    assert_eq!(plan_at_base.program_headers, BASE + 64, "found in the segment that loads them");
    let bss = plan_at_base.segments[1];
    assert_eq!((bss.file_pages, bss.zero_len, bss.anonymous_pages), (0, 0, 1));
    headers[0].p_align = 0x20_0000;
    let aligned = plan(3, 0x100, &headers).unwrap();
    assert!(aligned.bias >= BASE && aligned.bias.is_multiple_of(0x20_0000));
}

#[test]
fn segments_may_share_a_page_of_memory_only_if_it_is_one_page_of_the_file() {
    let text = load(PF_R | PF_X, 0, 0x40_0000, 0x1800, 0x1800);
    let good = plan(2, 0x40_0100, &[text, load(PF_R | PF_W, 0x1800, 0x40_1800, 0x100, 0x900)]).unwrap();
    check_sound(&good, 1 << 20);
    assert_eq!((good.segments[0].file_pages, good.segments[1].address), (1, 0x40_1000));
    for (second, why) in [
        (load(PF_R, 0x2800, 0x40_1800, 0x100, 0x100), "another page of the file"),
        (load(PF_R, 0x1700, 0x40_1700, 0x100, 0x100), "the bytes overlap"),
        (load(PF_R, 0x1000, 0x3f_0000, 0x100, 0x100), "descending"),
    ] {
        assert_eq!(plan(2, 0x40_0100, &[text, second]), Err(ElfError::BadSegment), "{why}");
    }
    let bss = load(PF_R | PF_X, 0, 0x40_0000, 0x1700, 0x1800);
    let after = load(PF_R, 0x1800, 0x40_1800, 0x100, 0x100);
    assert_eq!(plan(2, 0x40_0100, &[bss, after]), Err(ElfError::BadSegment), "zeroes and file bytes in one page");
}

#[test]
fn what_cannot_run_is_refused_with_its_reason() {
    let text = load(PF_R | PF_X, 0, 0x40_0000, 0x1000, 0x1000);
    let refused = |headers: &[ProgramHeader]| plan(2, 0x40_0100, headers).unwrap_err();
    assert_eq!(refused(&[load(PF_R, 0, 0x40_0000, 0x1000, 0x1000)]), ElfError::NoCode);
    assert_eq!(refused(&[other(PT_GNU_STACK, 0, 0, 0, 0)]), ElfError::NoCode);
    assert_eq!(refused(&[load(PF_R | PF_X, 1, 0x40_0000, 0x1000, 0x1000)]), ElfError::BadSegment);
    assert_eq!(refused(&[load(PF_R | PF_X, 0, 0x40_0000, 0x1001, 0x1000)]), ElfError::BadSegment);
    assert_eq!(refused(&[load(PF_R | PF_X, 0, 0x40_0000, 0x1000, u64::MAX)]), ElfError::TooLarge);
    assert_eq!(refused(&[text, load(PF_R, 0, USER_END - PAGE, 0x1000, 0x1001)]), ElfError::TooLarge);
    assert_eq!(refused(&[load(PF_R | PF_X, u64::MAX - 0xfff, 0x40_0000, 0x1000, 0x1000)]), ElfError::Truncated);
    assert_eq!(refused(&[text, load(PF_R | PF_W | PF_X, 0, 0x50_0000, 1, 1)]), ElfError::WritableCode);
    let both = file(2, 0x40_0100, &[load(PF_R | PF_W | PF_X, 0, 0x40_0000, 0x1000, 0x1000)]);
    assert!(plan_sized(&both, 1 << 20, WritableCode::Allow).is_ok());
    assert_eq!(plan(2, 0x50_0000, &[text]), Err(ElfError::NoCode), "entry outside");
    assert_eq!(plan_sized(&file(2, 0x40_0100, &[text]), 0xfff, WritableCode::Refuse), Err(ElfError::Truncated));
    let dynamic = plan(3, 0x100, &[load(PF_R | PF_X, 0, 0, 0x1000, 0x1000), other(PT_INTERP, PF_R, 0x200, 0x200, 28)]);
    let dynamic = dynamic.unwrap();
    assert_eq!((dynamic.interpreter, dynamic.require_static()), (Some((0x200, 28)), Err(ElfError::NoInterpreter)));
    assert_eq!(Errno::from(ElfError::NoInterpreter), Errno::ENOENT);
}

#[test]
fn foreign_headers_are_refused() {
    let good = file(2, 0x40_0100, &[load(PF_R | PF_X, 0, 0x40_0000, 0x1000, 0x1000)]);
    assert!(ElfHeader::parse(&good).is_ok());
    let with = |at: usize, value: u8| {
        let mut bytes = good.clone();
        bytes[at] = value;
        ElfHeader::parse(&bytes).unwrap_err()
    };
    assert_eq!(with(0, 0), ElfError::NotElf);
    assert_eq!(
        (with(4, 1), with(4, 0), with(5, 2)),
        (ElfError::WrongMachine, ElfError::WrongMachine, ElfError::WrongMachine)
    );
    assert_eq!(with(18, 3), ElfError::WrongMachine);
    assert_eq!((with(16, 1), with(16, 4)), (ElfError::WrongType, ElfError::WrongType));
    assert_eq!(
        (with(54, 32), with(56, 0), with(6, 0)),
        (ElfError::BadHeader, ElfError::BadHeader, ElfError::BadHeader)
    );
    for len in 0..64 {
        assert!(ElfHeader::parse(&good[..len]).is_err());
    }
    assert_eq!(ElfHeader::parse(b"#!/bin/sh\n"), Err(ElfError::NotElf));
}

#[test]
fn damaged_programs_never_panic_and_never_give_an_unsound_plan() {
    let headers = [
        other(PT_PHDR, PF_R, 64, 0x40, 0x100),
        load(PF_R, 0, 0, 0x234, 0x234),
        load(PF_R | PF_X, 0x234, 0x1234, 0x1000, 0x1000),
        load(PF_R | PF_W, 0x1234, 0x3234, 0x100, 0x3000),
        other(PT_INTERP, PF_R, 0x200, 0x200, 28),
    ];
    let mut seed = 3_u64;
    let mut random = |n: u64| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (seed >> 33) % n
    };
    let (mut good, mut bad) = (0, 0);
    for round in 0..60_000 {
        let mut bytes = file(if round % 2 == 0 { 2 } else { 3 }, 0x1300, &headers);
        for _ in 0..=random(3) {
            let at = random(bytes.len() as u64) as usize;
            match random(3) {
                0 => bytes[at] ^= 1 << random(8),
                1 => bytes[at] = [0, 0xff, 0x7f, 0x80][random(4) as usize],
                _ => {
                    let at = at & !7;
                    let value = [0, u64::MAX, 1 << 63, USER_END, PAGE, u64::MAX - PAGE][random(6) as usize];
                    let end = bytes.len().min(at + 8);
                    bytes[at..end].copy_from_slice(&value.to_le_bytes()[..end - at]);
                }
            }
        }
        if random(8) == 0 {
            bytes.truncate(random(bytes.len() as u64 + 1) as usize);
        }
        let size = 0x4000;
        match plan_sized(&bytes, size, WritableCode::Refuse) {
            Ok(plan) => {
                check_sound(&plan, size);
                good += 1;
            }
            Err(_) => bad += 1,
        }
    }
    assert!(good > 5_000 && bad > 5_000, "{good} good, {bad} bad");
    for round in 0..20_000 {
        let mut bytes: Vec<u8> = (0..random(400)).map(|_| random(256) as u8).collect();
        if let (true, Some(start)) = (round % 2 == 0, bytes.get_mut(..8)) {
            start.copy_from_slice(&[0x7f, b'E', b'L', b'F', 2, 1, 1, 0]);
        }
        let _ = plan_sized(&bytes, bytes.len() as u64, WritableCode::Allow);
    }
}

/// Real programs of the host, where they are installed; prints what was looked at.
#[test]
fn real_static_programs_are_planned() {
    let candidates = ["/bin/busybox", "/usr/bin/busybox", "/sbin/ldconfig", "/bin/bash-static", "/usr/bin/dash"];
    for path in candidates {
        let Ok(bytes) = fs::read(path) else { continue };
        let size = bytes.len() as u64;
        let plan = plan_sized(&bytes, size, WritableCode::Refuse).unwrap();
        std::println!("{path}: {plan:#x?}");
        check_sound(&plan, size);
        assert!(plan.program_headers != 0 && !plan.executable_stack);
        assert!(plan.segments.iter().any(|segment| segment.zero_len != 0), "real programs have a bss");
        let at = plan.program_headers - plan.bias;
        assert_eq!(at % PAGE, 64, "the headers follow the file's header");
    }
}

#[test]
fn this_test_program_itself_is_planned() {
    let bytes = fs::read("/proc/self/exe").unwrap();
    let plan = plan_sized(&bytes, bytes.len() as u64, WritableCode::Refuse).unwrap();
    check_sound(&plan, bytes.len() as u64);
    let (offset, len) = plan.interpreter.unwrap_or((0, 1));
    let interpreter = &bytes[offset as usize..(offset + len) as usize];
    assert!(plan.kind == ElfKind::Fixed || interpreter.ends_with(b"\0") || plan.interpreter.is_none());
}
