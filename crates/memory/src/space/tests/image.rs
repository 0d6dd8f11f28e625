//! Runs that start from an image, against what they would be without one.

use std::sync::Arc;
use std::vec::Vec;

use super::hardware::check_entries;
use super::{RW, World};
use crate::frames::fail_frames_after;
use crate::space::{AddressSpace, Launch};
use crate::{
    FixedPage, KernelPages, MapRequest, MemoryError, PageAccess, Pager, Prot, Purpose, SharedMemory, SpaceLimits,
};

const TEXT: u64 = 0x40_0000;
const DATA: u64 = 0x41_0000;
const STACK: u64 = 0x7fff_0000_0000;

/// Six pages of text, two of data, three of bss.
fn image(world: &World, level: u32) -> Arc<AddressSpace> {
    let file = Arc::new(SharedMemory::new(world.frames, 8 * 4096));
    for page in 0..8 {
        let frame = file.page(page, PageAccess::Write).unwrap();
        world.frames.direct_map().write(frame, 0, &[page as u8 + 1; 8]);
        world.frames.release(frame);
    }
    let space = world.space(level);
    space.map(MapRequest::file(file.clone(), 0, 6 * 4096, Prot::READ | Prot::EXEC).at(TEXT)).unwrap();
    space.map(MapRequest::file(file, 6 * 4096, 2 * 4096, RW).at(DATA)).unwrap();
    space.map(MapRequest::anonymous(3 * 4096, RW).at(DATA + 2 * 4096)).unwrap();
    assert_eq!(space.zero(DATA + 4096 + 4, 4092), 4092);
    space
}

fn launch(origin: &Arc<u32>) -> Launch {
    Launch {
        limits: SpaceLimits::default(),
        brk_start: DATA + 8 * 4096,
        mmap_base: 0x7000_0000_0000,
        stack_start: STACK - 4 * 4096,
        stack_len: 4 * 4096,
        stack_prot: RW,
        kernel_pages: None,
        origin: origin.clone(),
    }
}

fn byte(space: &AddressSpace, address: u64) -> u8 {
    let mut byte = [0];
    assert_eq!(space.read(address, &mut byte), 1);
    byte[0]
}

#[test]
fn a_run_has_the_program_its_stack_and_nothing_of_other_runs() {
    for level in 0..=3 {
        let world = World::new(2048);
        let before = world.free();
        let image = image(&world, level);
        image.map_at_hand(TEXT, 6 * 4096).unwrap();
        image.map_at_hand(DATA, 2 * 4096).unwrap();
        assert_eq!(image.resident_pages(), 8, "all that the object has");
        let origin = Arc::new(7);
        let runs: Vec<_> = (0..3).map(|_| image.launch(launch(&origin)).unwrap()).collect();
        for (number, run) in runs.iter().enumerate() {
            assert_eq!(run.resident_pages(), 8);
            assert_eq!((byte(run, TEXT + 5 * 4096), byte(run, DATA), byte(run, DATA + 4100)), (6, 7, 0));
            let mark = [number as u8 + 100];
            for address in [DATA, DATA + 4096, DATA + 2 * 4096, STACK - 1] {
                assert_eq!(run.write(address, &mark), 1);
            }
            assert_eq!(run.write(TEXT, &mark), 0, "text is not writable");
            assert_eq!(run.brk(DATA + 9 * 4096), DATA + 9 * 4096);
            assert!(run.map(MapRequest::anonymous(4096, RW)).unwrap() < 0x7000_0000_0000);
            run.protect(DATA, 4096, Prot::READ).unwrap();
            check_entries(run);
        }
        for (number, run) in runs.iter().enumerate() {
            assert_eq!(byte(run, STACK - 1), number as u8 + 100);
            assert_eq!(byte(run, DATA), number as u8 + 100);
        }
        assert_eq!((byte(&image, DATA), byte(&image, DATA + 4096)), (7, 8));
        let child = runs[0].fork().unwrap();
        drop(image);
        drop(runs);
        assert_eq!(byte(&child, DATA), 100);
        check_entries(&child);
        assert_eq!(Arc::strong_count(&origin), 2, "a forked run keeps the origin");
        drop(child);
        assert_eq!(Arc::strong_count(&origin), 1);
        assert_eq!(world.free(), before);
    }
}

#[test]
fn a_run_equals_what_is_mapped_piece_by_piece() {
    let world = World::new(2048);
    let image = image(&world, 3);
    let run = image.launch(launch(&Arc::new(0))).unwrap();
    let whole = |space: &AddressSpace| -> Vec<_> {
        let areas = space.areas().unwrap();
        areas.iter().map(|area| (area.start, area.end, area.prot, area.offset, area.kind)).collect()
    };
    let same = self::image(&world, 3);
    let flags = crate::MapFlags::GROWS_DOWN | crate::MapFlags::STACK;
    same.set_brk_start(DATA + 8 * 4096);
    same.map(MapRequest::anonymous(4 * 4096, RW).at(STACK - 4 * 4096).with(flags)).unwrap();
    assert_eq!(whole(&run), whole(&same));
    let (run, same) = (run.usage(), same.usage());
    assert_eq!((run.size, run.peak_size, run.data, run.stack), (same.size, same.peak_size, same.data, same.stack));
    assert_eq!((run.code, run.areas, run.resident), (same.code, same.areas, same.resident));
}

#[test]
fn pages_of_the_kernel_lie_above_the_stack_and_only_a_copy_of_the_code_can_be_changed() {
    let world = World::new(2048);
    let before = world.free();
    let image = image(&world, 3);
    let frames = [0xd0, 0xc0].map(|content| {
        let frame = world.frames.alloc_zeroed(Purpose::Kernel).unwrap();
        world.frames.direct_map().write(frame, 0, &[content]);
        frame
    });
    let page = |frame, name| Arc::new(FixedPage::new(world.frames, frame, name));
    let pages = KernelPages { data: page(frames[0], "[vvar]"), code: page(frames[1], "[vdso]") };
    let start = |from| Launch { kernel_pages: Some((from, pages.clone())), ..launch(&Arc::new(0)) };
    assert_eq!(image.launch(start(STACK - 4096)).err(), Some(MemoryError::Invalid), "not above the stack");
    assert_eq!(image.launch(start(types::USER_END - 4096)).err(), Some(MemoryError::Invalid), "beyond the end");
    let at = STACK + 5 * 4096;
    let run = image.launch(start(at)).unwrap();
    let child = run.fork().unwrap();
    for space in [&run, &child] {
        assert_eq!((byte(space, at), byte(space, at + 4096)), (0xd0, 0xc0));
        assert_eq!(space.write(at, &[1]) + space.write(at + 4096, &[1]), 0);
        assert_eq!(space.protect(at, 4096, RW), Err(MemoryError::AccessDenied));
    }
    child.protect(at + 4096, 4096, RW).unwrap();
    assert_eq!(child.write(at + 4096, &[7]), 1);
    assert_eq!((byte(&child, at + 4096), byte(&run, at + 4096)), (7, 0xc0));
    run.unmap(at, KernelPages::LEN).unwrap();
    assert_eq!(byte(&child, at), 0xd0);
    check_entries(&run);
    check_entries(&child);
    drop((run, child, image, pages));
    // Theirs and ours.
    frames.iter().for_each(|frame| assert_eq!(world.frames.references(*frame), 2));
    for frame in frames {
        world.frames.release(frame);
        world.frames.release(frame);
    }
    assert_eq!(world.free(), before);
}

#[test]
fn a_launch_keeps_limits_and_order_and_leaks_nothing() {
    let world = World::new(2048);
    let before = world.free();
    let image = image(&world, 3);
    let origin = Arc::new(0);
    let tight = SpaceLimits { address_space: 14 * 4096, ..SpaceLimits::default() };
    assert_eq!(image.launch(Launch { limits: tight, ..launch(&origin) }).err(), Some(MemoryError::NoMemory));
    let tight = SpaceLimits { data: 4 * 4096, ..SpaceLimits::default() };
    assert_eq!(image.launch(Launch { limits: tight, ..launch(&origin) }).err(), Some(MemoryError::NoMemory));
    let low = Launch { stack_start: DATA, ..launch(&origin) };
    assert_eq!(image.launch(low).err(), Some(MemoryError::NoMemory));
    let crooked = Launch { stack_start: STACK + 8, ..launch(&origin) };
    assert_eq!(image.launch(crooked).err(), Some(MemoryError::Invalid));
    let exact = SpaceLimits { address_space: 15 * 4096, data: 5 * 4096, stack: 8 << 20, ..SpaceLimits::default() };
    assert!(image.launch(Launch { limits: exact, ..launch(&origin) }).is_ok());
    let mut failures = 0;
    for allowed in 0.. {
        fail_frames_after(Some(allowed));
        let run = image.launch(launch(&origin));
        fail_frames_after(None);
        match run {
            Err(error) => assert_eq!(error, MemoryError::NoMemory),
            Ok(run) => {
                check_entries(&run);
                break;
            }
        }
        failures += 1;
    }
    assert!(failures >= 1, "a run needs a table");
    assert_eq!(Arc::strong_count(&origin), 1);
    drop(image);
    assert_eq!(world.free(), before);
}
