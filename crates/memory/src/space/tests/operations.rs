//! Single operations and what Linux programs expect of them.

use std::string::String;
use std::sync::Arc;
use std::vec::Vec;

use hal::{PageFault, PageFaultFlags};
use types::{CpuId, USER_END};

use super::{RW, World};
use crate::space::AddressSpace;
use crate::{
    Advice, AreaKind, FaultKind, FaultOutcome, FutexKey, FutexScope, MapFlags, MapRequest, MemoryError, Pager,
    Placement, Prot, RemapPlacement, SharedMemory, SpaceLimits,
};

const MIB: u64 = 1 << 20;

fn fault(space: &AddressSpace, address: u64, flags: u32) -> FaultOutcome {
    space.fault(&PageFault { address, flags: PageFaultFlags(flags) })
}

fn ranges(space: &AddressSpace) -> Vec<(u64, u64)> {
    space.areas().unwrap().iter().map(|area| (area.start, area.end)).collect()
}

#[test]
fn mappings_go_top_down_and_join() {
    let space = World::new(2048).space(1);
    space.set_mmap_base(0x7000_0000_0000);
    let first = space.map(MapRequest::anonymous(5000, RW)).unwrap();
    let second = space.map(MapRequest::anonymous(4096, RW)).unwrap();
    assert_eq!((first, second), (0x7000_0000_0000 - 8192, 0x7000_0000_0000 - 12288));
    assert_eq!(ranges(&space).len(), 1);
    space.unmap(first, 4096).unwrap();
    let mut hinted = MapRequest::anonymous(4096, Prot::READ);
    hinted.placement = Placement::Hint(0x1234_5678);
    assert_eq!(space.map(hinted.clone()).unwrap(), 0x1234_5000);
    assert_eq!(space.map(hinted).unwrap(), first, "a taken hint: the highest gap");
    assert_eq!(space.map(MapRequest::anonymous(0, RW)), Err(MemoryError::Invalid));
    assert_eq!(space.map(MapRequest::anonymous(1 << 60, RW)), Err(MemoryError::NoMemory));
    assert_eq!(space.map(MapRequest::anonymous(4096, RW).at(0)), Err(MemoryError::NotPermitted));
    assert_eq!(space.map(MapRequest::anonymous(4096, RW).at(USER_END)), Err(MemoryError::NoMemory));
    assert_eq!(space.map(MapRequest::anonymous(4096, RW).at(0x1_0001)), Err(MemoryError::Invalid));
    assert_eq!(space.unmap(0x1_0001, 4096), Err(MemoryError::Invalid));
    assert_eq!(space.unmap(0x2000_0000, 4096), Ok(()), "nothing there is fine");
}

#[test]
fn faults_come_to_what_the_area_says() {
    let world = World::new(2048);
    let space = world.space(1);
    let at = space.map(MapRequest::anonymous(8192, Prot::READ)).unwrap();
    assert_eq!(fault(&space, at + 8192, 4), FaultOutcome::NoMapping);
    assert_eq!(fault(&space, at, 6), FaultOutcome::Access);
    assert_eq!(fault(&space, at, 4 | 16), FaultOutcome::Access);
    assert_eq!(fault(&space, at + 5, 4), FaultOutcome::Resolved(FaultKind::Minor));
    assert_eq!(fault(&space, u64::MAX, 4), FaultOutcome::NoMapping);
    assert_eq!(fault(&space, USER_END, 6), FaultOutcome::NoMapping);
    let object = Arc::new(SharedMemory::new(world.frames, 5000));
    let file = space.map(MapRequest::file(object, 0, 3 * 4096, RW)).unwrap();
    assert_eq!(fault(&space, file + 4096, 6), FaultOutcome::Resolved(FaultKind::Minor));
    assert_eq!(fault(&space, file + 8192, 4), FaultOutcome::Bus);
    while world.frames.alloc(crate::Purpose::User).is_some() {}
    assert_eq!(fault(&space, 0x10_0000, 6), FaultOutcome::NoMapping);
    assert_eq!(fault(&space, file, 6), FaultOutcome::OutOfMemory);
    assert_eq!(space.fork().err(), Some(MemoryError::NoMemory));
}

#[test]
fn stack_grows_to_its_limit_and_keeps_its_distance() {
    let space = World::new(2048).space(1);
    let limits = SpaceLimits { stack: MIB, ..SpaceLimits::default() };
    space.set_limits(limits);
    let top = 0x7fff_0000_0000;
    let stack = MapRequest::anonymous(8192, RW).at(top - 8192).with(MapFlags::GROWS_DOWN | MapFlags::STACK);
    space.map(stack).unwrap();
    assert_eq!(fault(&space, top - 100_000, 6), FaultOutcome::Resolved(FaultKind::Minor));
    assert_eq!(space.usage().stack, 25);
    assert_eq!(fault(&space, top - MIB - 1, 6), FaultOutcome::NoMapping, "the limit");
    assert_eq!(space.write(top - MIB, &[1; 16]), 16);
    space.set_limits(SpaceLimits { stack: 16 * MIB, ..limits });
    space.map(MapRequest::anonymous(4096, RW).at(top - 4 * MIB)).unwrap();
    assert_eq!(fault(&space, top - 3 * MIB + 4096, 6), FaultOutcome::Resolved(FaultKind::Minor));
    assert_eq!(fault(&space, top - 3 * MIB - 4096, 6), FaultOutcome::NoMapping, "the guard gap");
    assert_eq!(space.areas().unwrap().last().unwrap().kind, AreaKind::Stack);
    space.set_mmap_base(top);
    let below = space.map(MapRequest::anonymous(4096, RW)).unwrap();
    assert!(below + 4096 <= top - 3 * MIB + 4096 - MIB, "placement leaves room for the stack");
}

#[test]
fn heap_moves_with_brk() {
    let space = World::new(2048).space(1);
    assert_eq!(space.brk(0x50_0000), 0, "before exec set it");
    space.set_brk_start(0x40_0123);
    assert_eq!(space.brk(0), 0x40_0123);
    assert_eq!(space.brk(0x40_5001), 0x40_5001);
    assert_eq!(space.write(0x40_1000, &[7; 0x5000]), 0x5000);
    assert_eq!(space.areas().unwrap()[0].kind, AreaKind::Heap);
    assert_eq!(space.brk(0x40_2000), 0x40_2000);
    assert_eq!(space.usage().resident, 1);
    assert_eq!(space.brk(0x40_9000), 0x40_9000);
    let mut byte = [1];
    assert_eq!((space.read(0x40_3000, &mut byte), byte), (1, [0]), "what was given back is zero again");
    space.map(MapRequest::anonymous(4096, RW).at(0x41_0000)).unwrap();
    assert_eq!(space.brk(0x41_1000), 0x40_9000, "something in the way");
    space.set_limits(SpaceLimits { data: 0xe000, ..SpaceLimits::default() });
    assert_eq!(space.brk(0x40_f000), 0x40_9000, "RLIMIT_DATA");
    assert_eq!(space.brk(0x40_0000), 0x40_9000, "below the start");
}

#[test]
fn limits_bound_mappings() {
    let space = World::new(2048).space(1);
    space.set_limits(SpaceLimits { address_space: MIB, ..SpaceLimits::default() });
    let at = space.map(MapRequest::anonymous(MIB, RW)).unwrap();
    assert_eq!(space.map(MapRequest::anonymous(4096, RW)), Err(MemoryError::NoMemory));
    assert_eq!(space.map(MapRequest::anonymous(4096, RW).at(at)), Ok(at), "replacing needs no more");
    assert_eq!(space.remap(at, MIB, 2 * MIB, RemapPlacement::MayMove), Err(MemoryError::NoMemory));
    space.unmap(at, MIB).unwrap();
    assert_eq!(space.usage().size, 0);
    assert_eq!(space.usage().peak_size, 256);
}

#[test]
fn areas_stop_at_the_limit_of_their_number() {
    let space = World::new(2048).space(1);
    let at = space.map(MapRequest::anonymous(200_000 * 4096, RW)).unwrap();
    let mut last = Ok(());
    let mut page = 0;
    while last.is_ok() && page < 200_000 {
        last = space.protect(at + page * 4096, 4096, Prot::READ);
        page += 2;
    }
    assert_eq!(last, Err(MemoryError::NoMemory));
    assert!((65_528..=65_530).contains(&space.usage().areas));
    let child = space.fork().unwrap();
    assert_eq!(
        child.map(MapRequest::anonymous(4096, Prot::READ)).err(),
        None.or(child.map(MapRequest::anonymous(4096, Prot::READ)).err())
    );
    space.unmap(at, 200_000 * 4096).unwrap();
    assert_eq!(space.usage().areas, 0);
    assert!(child.usage().areas > 65_000);
}

#[test]
fn protect_stops_at_a_hole_and_respects_the_file() {
    let world = World::new(2048);
    let space = world.space(1);
    space.map(MapRequest::anonymous(4 * 4096, RW).at(0x10_0000)).unwrap();
    space.unmap(0x10_2000, 4096).unwrap();
    assert_eq!(space.protect(0x10_0000, 4 * 4096, Prot::READ), Err(MemoryError::NoMemory));
    assert_eq!(space.write(0x10_1000, &[1]), 0, "what came before the hole is changed");
    assert_eq!(space.write(0x10_3000, &[1]), 1);
    let mut request = MapRequest::file(Arc::new(SharedMemory::new(world.frames, 4096)), 0, 4096, Prot::READ).shared();
    request.max_prot = Prot::READ | Prot::EXEC;
    let at = space.map(request.clone()).unwrap();
    assert_eq!(space.protect(at, 4096, RW), Err(MemoryError::AccessDenied));
    request.prot = RW;
    assert_eq!(space.map(request), Err(MemoryError::AccessDenied));
    assert_eq!(space.protect(0x10_0001, 1, RW), Err(MemoryError::Invalid));
}

#[test]
fn shared_memory_stays_shared_over_fork_and_private_does_not() {
    let world = World::new(2048);
    let parent = world.space(1);
    let shared = parent.map(MapRequest::anonymous(8192, RW).shared()).unwrap();
    let private = parent.map(MapRequest::anonymous(8192, RW)).unwrap();
    assert_eq!(parent.write(shared, b"one") + parent.write(private, b"one"), 6);
    let child = parent.fork().unwrap();
    assert_eq!(child.write(private, b"two"), 3);
    assert!(
        child.ground.ops.walk(child.root(), shared).is_writable(),
        "splitting the table leaves a shared page writable"
    );
    assert_eq!(child.write(shared, b"two"), 3);
    assert_eq!(child.write(shared + 4096, b"new"), 3);
    let read = |space: &AddressSpace, at| {
        let mut bytes = [0; 3];
        assert_eq!(space.read(at, &mut bytes), 3);
        bytes
    };
    assert_eq!((read(&parent, shared), read(&parent, private)), (*b"two", *b"one"));
    assert_eq!(read(&parent, shared + 4096), *b"new");
    let key = |space: &AddressSpace, at| space.futex_key(at, FutexScope::Shared).unwrap();
    assert_eq!(key(&parent, shared + 8), key(&child, shared + 8));
    assert_ne!(key(&parent, private), key(&child, private));
    assert!(matches!(key(&parent, private), FutexKey::Private { .. }));
    assert_eq!(parent.futex_key(2, FutexScope::Private), Err(MemoryError::Invalid));
    assert_eq!(parent.futex_key(0x8000, FutexScope::Shared), Err(MemoryError::Fault));
}

#[test]
fn user_copies_stop_where_memory_stops() {
    let space = World::new(2048).space(1);
    space.map(MapRequest::anonymous(8192, RW).at(0x10_0000)).unwrap();
    let data: Vec<u8> = (0..9000_u32).map(|byte| byte as u8).collect();
    assert_eq!(space.write(0x10_0010, &data), 8192 - 16);
    let mut back = std::vec![0; 9000];
    assert_eq!(space.read(0x10_0010, &mut back), 8192 - 16);
    assert_eq!(back[..8176], data[..8176]);
    assert_eq!(space.zero(0x10_0ff0, 32), 32);
    assert_eq!(space.read(u64::MAX - 3, &mut back), 0);
    assert_eq!(space.read(0xffff_8000_0000_0000, &mut back), 0);
    assert_eq!(space.zero(0x10_1000, u64::MAX), 4096);
    assert_eq!(space.write(0x10_1ffa, b"hello\0"), 6);
    assert_eq!(space.read_cstr(0x10_1ffa, 100).unwrap(), b"hello");
    assert_eq!(space.read_cstr(0x10_1ffa, 5), Err(MemoryError::Invalid));
    assert_eq!(space.write(0x10_1fff, b"x"), 1);
    assert_eq!(space.read_cstr(0x10_1ffa, 100), Err(MemoryError::Fault));
    assert_eq!(space.compare_exchange_u32(0x10_0800, 5, 6), space.load_u32(0x10_0800));
    let word = space.load_u32(0x10_0800).unwrap();
    assert_eq!(space.compare_exchange_u32(0x10_0800, word, 6), Ok(word));
    assert_eq!(space.fetch_update_u32(0x10_0800, &mut |old| old | 8), Ok(6));
    assert_eq!(space.load_u32(0x10_0800), Ok(14));
    assert_eq!(space.load_u32(0x10_0802), Err(MemoryError::Invalid));
    assert_eq!(space.load_u32(0x20_0000), Err(MemoryError::Fault));
}

#[test]
fn remap_grows_shrinks_and_moves() {
    let space = World::new(4096).space(1);
    let at = 0x4000_0000 - 4096;
    space.map(MapRequest::anonymous(8192, RW).at(at)).unwrap();
    assert_eq!(space.write(at, b"first") + space.write(at + 4096, b"second"), 11);
    assert_eq!(space.remap(at, 8192, 16384, RemapPlacement::InPlace), Ok(at));
    assert_eq!(ranges(&space), [(at, at + 16384)]);
    space.map(MapRequest::anonymous(4096, Prot::READ).at(at + 16384)).unwrap();
    assert_eq!(space.remap(at, 16384, 32768, RemapPlacement::InPlace), Err(MemoryError::NoMemory));
    let moved = space.remap(at, 16384, 32768, RemapPlacement::MayMove).unwrap();
    let mut bytes = [0; 6];
    assert_eq!((space.read(moved + 4096, &mut bytes), &bytes), (6, b"second"));
    assert_eq!(space.read(at, &mut bytes), 0);
    assert_eq!(space.remap(moved, 32768, 4096, RemapPlacement::MayMove), Ok(moved));
    assert_eq!(space.usage().resident, 1);
    assert_eq!(space.remap(moved, 4096, 4096, RemapPlacement::Fixed(0x5000_0000)), Ok(0x5000_0000));
    assert_eq!(space.remap(0x5000_0000, 4096, 8192, RemapPlacement::Fixed(0x5000_0000)), Err(MemoryError::Invalid));
    assert_eq!(space.remap(0x6000_0000, 4096, 8192, RemapPlacement::MayMove), Err(MemoryError::Fault));
    assert_eq!(space.remap(0x5000_0000, 8192, 8192, RemapPlacement::MayMove), Err(MemoryError::Fault));
    assert_eq!(space.remap(0x5000_0000, 4096, 0, RemapPlacement::MayMove), Err(MemoryError::Invalid));
}

#[test]
fn advice_at_fork_is_followed() {
    let space = World::new(4096).space(1);
    space.map(MapRequest::anonymous(3 * 4096, RW).at(0x10_0000)).unwrap();
    assert_eq!(space.write(0x10_0000, &[9; 3 * 4096]), 3 * 4096);
    space.advise(0x10_1000, 4096, Advice::DontFork).unwrap();
    space.advise(0x10_2000, 4096, Advice::WipeOnFork).unwrap();
    let child = space.fork().unwrap();
    let mut byte = [1];
    assert_eq!((child.read(0x10_0000, &mut byte), byte), (1, [9]));
    assert_eq!(child.read(0x10_1000, &mut byte), 0);
    assert_eq!((child.read(0x10_2000, &mut byte), byte), (1, [0]));
    let mut present = [9; 3];
    space.mincore(0x10_0000, &mut present).unwrap();
    assert_eq!(present, [1; 3]);
    assert_eq!(space.mincore(0x10_0000, &mut [0; 4]), Err(MemoryError::NoMemory));
    space.advise(0x10_0000, 4096, Advice::Free).unwrap();
    space.mincore(0x10_0000, &mut present).unwrap();
    assert_eq!(present, [0, 1, 1]);
    space.advise(0x10_0000, 3 * 4096, Advice::PopulateWrite).unwrap();
    assert_eq!(space.usage().resident, 3);
    assert_eq!(space.advise(0x10_0000, 5 * 4096, Advice::DontNeed), Err(MemoryError::NoMemory));
    assert_eq!(space.usage().resident, 0, "what is there is dropped all the same");
}

#[test]
fn zeroing_the_rest_of_a_private_page_keeps_its_head_and_the_object() {
    let world = World::new(2048);
    let space = world.space(1);
    let object = Arc::new(SharedMemory::new(world.frames, 2 * 4096));
    let shared = space.map(MapRequest::file(object.clone(), 0, 8192, RW).shared()).unwrap();
    assert_eq!(space.write(shared, &[7; 8192]), 8192);
    // Untouched, then read before, then read-only: the first takes the short way.
    for (page, touched, prot) in [(0, false, RW), (1, true, RW), (0, false, Prot::READ)] {
        let private = space.map(MapRequest::file(object.clone(), page * 4096, 4096, prot)).unwrap();
        let mut back = [0; 4096];
        if touched {
            assert_eq!(space.read(private, &mut back), 4096);
        }
        let zeroed = if prot == RW { 4096 - 100 } else { 0 };
        assert_eq!(space.zero(private + 100, 4096 - 100), zeroed);
        assert_eq!(space.read(private, &mut back), 4096);
        assert!(back[..100].iter().all(|byte| *byte == 7), "the head stays");
        assert!(back[100..].iter().all(|byte| *byte == if zeroed == 0 { 7 } else { 0 }));
        assert_eq!(space.read(shared + page * 4096, &mut back), 4096);
        assert_eq!(back, [7; 4096], "the object is not touched");
    }
}

#[test]
fn maps_show_names_and_offsets() {
    let world = World::new(2048);
    let space = world.space(1);
    let object = Arc::new(SharedMemory::new(world.frames, 8 * 4096));
    space.map(MapRequest::file(object, 8192, 3 * 4096, Prot::READ).at(0x20_0000)).unwrap();
    space.unmap(0x20_1000, 4096).unwrap();
    let areas = space.areas().unwrap();
    let shown: Vec<_> = areas.iter().map(|area| (area.start, area.offset, area.kind)).collect();
    assert_eq!(shown, [(0x20_0000, 8192, AreaKind::File), (0x20_2000, 16384, AreaKind::File)]);
    let mut name = String::new();
    areas[0].pager.as_ref().unwrap().write_name(&mut name).unwrap();
    assert!(name.starts_with("/dev/zero"));
}

#[test]
fn read_faults_bring_neighbours_that_are_at_hand() {
    let world = World::new(2048);
    let space = world.space(1);
    let object = Arc::new(SharedMemory::new(world.frames, 40 * 4096));
    let held: Vec<_> = (0..20).map(|page| object.page(page, crate::PageAccess::Write).unwrap()).collect();
    let at = space.map(MapRequest::file(object.clone(), 0, 40 * 4096, Prot::READ).at(0x20_0000)).unwrap();
    assert_eq!(fault(&space, at + 17 * 4096, 4), FaultOutcome::Resolved(FaultKind::Minor));
    assert_eq!(space.usage().resident, 4, "pages 16 to 19");
    assert_eq!(fault(&space, at + 39 * 4096, 4), FaultOutcome::Resolved(FaultKind::Minor));
    assert_eq!(space.usage().resident, 5, "page 39 is made, its neighbours are not");
    held.into_iter().for_each(|frame| world.frames.release(frame));
    space.unmap(at, 40 * 4096).unwrap();
    drop(object);
    assert_eq!(world.frames.stats().by_kind[crate::FrameKind::User as usize], 0);
}

#[test]
fn fork_costs_one_flush_and_tables_only() {
    let world = World::new(32_768);
    let parent = world.space(1);
    parent.cpu_entered(CpuId(0));
    let pages = 20_000;
    let at = parent.map(MapRequest::anonymous(pages * 4096, RW).at(0x4000_0000).with(MapFlags::POPULATE)).unwrap();
    let (free, flushes) = (world.free(), world.hardware.flushes());
    let child = parent.fork().unwrap();
    assert_eq!(free - world.free(), 3, "top, upper and middle table");
    assert_eq!(world.hardware.flushes() - flushes, 1);
    assert_eq!(child.usage().resident, pages);
    let flushes = world.hardware.flushes();
    assert_eq!(parent.write(at, &[1]), 1);
    assert_eq!(free - world.free(), 5, "one page-holding table and one page more");
    assert_eq!(world.hardware.flushes() - flushes, 1);
    let flushes = world.hardware.flushes();
    parent.unmap(at, pages * 4096).unwrap();
    assert!(world.hardware.flushes() - flushes <= 2, "whole tables go together");
    child.begin_teardown();
    let mut steps = 0;
    while !child.teardown_step(1000) {
        steps += 1;
    }
    assert!(steps >= 15, "a bounded piece each time: {steps}");
    drop(child);
    parent.cpu_left(CpuId(0));
    assert_eq!(parent.usage().resident, 0);
}
