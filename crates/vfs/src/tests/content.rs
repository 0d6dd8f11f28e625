//! Content of ramfs files: holes, mapping, failing memory; against a plain array.

use alloc::sync::Arc;
use std::vec;
use std::vec::Vec;

use abi::linux::general as linux;
use hal::FrameStore;

use super::World;
use crate::testing::Random;
use crate::{File, MapRequest, Mapping, Pager, SeekFrom, VfsError, WriteRules};

const RULES: WriteRules = WriteRules::UNLIMITED;

fn pages(file: &Arc<dyn File>) -> Arc<dyn Pager> {
    match file.clone().map(MapRequest { shared: true, writable: true }).unwrap() {
        Mapping::Pages(pages) => pages,
        Mapping::Anonymous => panic!("not a file"),
    }
}

#[test]
fn random_changes_match_a_plain_array() {
    for seed in 0..20 {
        let world = World::new();
        let file = world.open("/f", linux::O_RDWR | linux::O_CREAT).unwrap();
        let mut model: Vec<u8> = Vec::new();
        let mut random = Random::new(seed);
        for step in 0..400 {
            let offset = random.below(300_000) as usize;
            let length = random.below(20_000) as usize;
            match random.below(6) {
                0 | 1 => {
                    let data: Vec<u8> = (0..length).map(|_| random.next() as u8).collect();
                    assert_eq!(file.write_at(offset as u64, &data, &RULES), Ok(length));
                    if length != 0 {
                        model.resize(model.len().max(offset + length), 0);
                        model[offset..offset + length].copy_from_slice(&data);
                    }
                }
                2 => {
                    file.truncate(offset as u64, &RULES).unwrap();
                    model.resize(offset, 0);
                }
                3 if length != 0 => {
                    let mode = linux::FALLOC_FL_PUNCH_HOLE | linux::FALLOC_FL_KEEP_SIZE;
                    file.allocate(mode, offset as u64, length as u64, &RULES).unwrap();
                    let end = (offset + length).min(model.len());
                    if offset < end {
                        model[offset..end].fill(0);
                    }
                }
                4 if length != 0 => {
                    file.allocate(0, offset as u64, length as u64, &RULES).unwrap();
                    model.resize(model.len().max(offset + length), 0);
                }
                _ => {
                    let mut out = vec![0xaa; length];
                    let count = file.read_at(offset as u64, &mut out).unwrap();
                    let expected = model.get(offset..).unwrap_or(&[]);
                    let expected = &expected[..expected.len().min(length)];
                    assert_eq!(&out[..count], expected, "seed {seed} step {step}");
                }
            }
            assert_eq!(file.metadata().size, model.len() as u64, "seed {seed} step {step}");
            let allocated = file.metadata().allocated;
            assert_eq!(allocated, world.store.in_use() as u64 * 4096, "seed {seed} step {step}");
            assert_eq!(allocated, world.ramfs.used_pages() * 4096, "seed {seed} step {step}");
        }
        drop(file);
        world.fs().unlink(b"/f").unwrap();
        assert_eq!((world.store.in_use(), world.ramfs.used_pages()), (0, 0));
    }
}

#[test]
fn holes_take_no_memory_and_can_be_found() {
    let world = World::new();
    let file = world.open("/f", linux::O_RDWR | linux::O_CREAT).unwrap();
    let far = 1_u64 << 40;
    file.write_at(far, b"x", &RULES).unwrap();
    file.write_at(8192, b"y", &RULES).unwrap();
    assert_eq!(world.store.in_use(), 2);
    assert_eq!(file.seek(SeekFrom::Data(0)), Ok(8192));
    assert_eq!(file.seek(SeekFrom::Hole(0)), Ok(0));
    assert_eq!(file.seek(SeekFrom::Hole(8192)), Ok(12_288));
    assert_eq!(file.seek(SeekFrom::Data(12_288)), Ok(far));
    assert_eq!(file.seek(SeekFrom::Hole(far as i64)), Ok(far + 1));
    assert_eq!(file.write_at(i64::MAX as u64, b"x", &RULES), Err(VfsError::FileTooBig));
    assert_eq!(file.write_at(i64::MAX as u64 - 1, b"xy", &RULES), Ok(1));
    file.truncate(1, &RULES).unwrap();
    assert_eq!(world.store.in_use(), 0);
}

#[test]
fn mapped_pages_are_the_file() {
    let world = World::new();
    world.write("/f", b"abc").unwrap();
    let file = world.open("/f", linux::O_RDWR).unwrap();
    let pager = pages(file.file());
    let frame = pager.page(0, true).unwrap();
    world.store.write(frame, 1, b"XYZ");
    assert_eq!(world.read("/f").unwrap(), b"aXY");
    // What the mapping wrote behind the end does not show when the file grows.
    file.write_at(10, b"!", &RULES).unwrap();
    assert_eq!(world.read("/f").unwrap(), b"aXY\0\0\0\0\0\0\0!");
    assert_eq!(pager.page(1, false), Err(VfsError::BadAddress));
    file.truncate(5000, &RULES).unwrap();
    let hole = pager.page(1, false).unwrap();
    world.store.write(hole, 0, b"late");
    assert_eq!(file.read_at(4096, &mut [0; 4]), Ok(4));
    world.fs().unlink(b"/f").unwrap();
    drop((file, pager));
    assert_eq!(world.store.in_use(), 2, "the mappings' own references");
    world.store.release(frame);
    world.store.release(hole);
    assert_eq!(world.store.in_use(), 0);
}

#[test]
fn memory_that_ends_leaves_what_was_written() {
    for allocations in 0..6 {
        let world = World::new();
        let file = world.open("/f", linux::O_RDWR | linux::O_CREAT).unwrap();
        world.store.fail_after(allocations);
        let data = [7; 5 * 4096];
        let expected =
            if allocations == 0 { Err(VfsError::NoMemory) } else { Ok(data.len().min(allocations as usize * 4096)) };
        assert_eq!(file.write(&data, &RULES), expected);
        let written = expected.unwrap_or(0);
        assert_eq!(file.metadata().size as usize, written);
        assert_eq!(world.read("/f").unwrap(), &data[..written]);
        let pager = pages(file.file());
        file.truncate(written as u64 + 1, &RULES).unwrap();
        assert_eq!(pager.page(written as u64 / 4096, true).is_ok(), allocations > 5);
        assert_eq!(world.ramfs.used_pages(), world.store.in_use() as u64);
        drop((file, pager));
        world.fs().unlink(b"/f").unwrap();
        assert_eq!((world.store.in_use(), world.ramfs.used_pages()), (0, 0));
    }
}
