//! What a forked child does not copy: pages of files that it can have again.

use std::sync::Arc;
use std::vec::Vec;

use hal::FrameStore;
use types::PhysAddr;

use super::hardware::check_entries;
use super::{RW, World};
use crate::space::AddressSpace;
use crate::{Frames, MapRequest, ObjectId, PageAccess, Pager, PagerError, Prot};

const TEXT: u64 = 0x40_0000;
const PAGES: u64 = 200;
const DATA: u64 = TEXT + PAGES * 4096;

/// Content of a file, as a file system has it.
struct File {
    frames: &'static Frames,
    pages: Vec<PhysAddr>,
}

impl File {
    fn new(frames: &'static Frames) -> Self {
        let page = |page: u64| {
            let frame = FrameStore::alloc(frames).unwrap();
            frames.direct_map().write(frame, 0, &[page as u8; 4]);
            frame
        };
        Self { frames, pages: (0..PAGES).map(page).collect() }
    }
}

impl Drop for File {
    fn drop(&mut self) {
        self.pages.iter().for_each(|page| self.frames.release(*page));
    }
}

impl Pager for File {
    fn page(&self, index: u64, _: PageAccess) -> Result<PhysAddr, PagerError> {
        let page = *self.pages.get(index as usize).ok_or(PagerError::BeyondEnd)?;
        self.frames.retain(page);
        Ok(page)
    }

    fn pages_at_hand(&self, first: u64, out: &mut [Option<PhysAddr>]) {
        for (index, slot) in (first..).zip(out) {
            *slot = self.page(index, PageAccess::Read).ok();
        }
    }

    fn len_bytes(&self) -> u64 {
        PAGES * 4096
    }

    fn id(&self) -> ObjectId {
        ObjectId::default()
    }

    fn write_name(&self, out: &mut dyn core::fmt::Write) -> core::fmt::Result {
        out.write_str("file")
    }
}

/// A program of 200 pages that are all mapped, and a page of its own in the same table; one page of the program is changed.
fn program(world: &World) -> Arc<AddressSpace> {
    let file = Arc::new(File::new(world.frames));
    let space = world.space(3);
    space.map(MapRequest::file(file, 0, PAGES * 4096, RW | Prot::EXEC).at(TEXT)).unwrap();
    space.map(MapRequest::anonymous(4096, RW).at(DATA)).unwrap();
    space.map_at_hand(TEXT, PAGES * 4096).unwrap();
    space.write(DATA, &[77]);
    space.write(TEXT + 5 * 4096, &[55]);
    space
}

fn bytes(space: &AddressSpace) -> Vec<u8> {
    let byte = |page: u64| {
        let mut byte = [0];
        assert_eq!(space.read(TEXT + page * 4096, &mut byte), 1);
        byte[0]
    };
    (0..=PAGES).map(byte).collect()
}

#[test]
fn a_child_leaves_out_what_it_can_have_again_and_sees_all_of_it() {
    let world = World::new(4096);
    let before = world.free();
    let parent = program(&world);
    let resident = parent.resident_pages();
    let content = bytes(&parent);
    assert_eq!((content[5], content[6], content[PAGES as usize]), (55, 6, 77));
    let child = parent.fork().unwrap();
    assert_eq!(child.resident_pages(), resident);
    child.write(DATA, &[78]);
    // Its own two pages.
    assert_eq!(child.resident_pages(), 2);
    assert_eq!(parent.resident_pages(), resident, "the parent has them still");
    check_entries(&parent);
    check_entries(&child);
    let mut own = content.clone();
    own[PAGES as usize] = 78;
    assert_eq!((bytes(&parent), bytes(&child)), (content.clone(), own));
    assert_eq!(child.resident_pages(), resident, "read again");
    // Who has children keeps what it has.
    let grandchild = child.fork().unwrap();
    child.write(DATA, &[79]);
    assert_eq!(child.resident_pages(), resident);
    grandchild.write(DATA, &[80]);
    assert_eq!(grandchild.resident_pages(), resident, "nobody shares the table with it any more");
    drop((parent, child));
    let mut last = content;
    last[PAGES as usize] = 80;
    assert_eq!(bytes(&grandchild), last);
    drop(grandchild);
    assert_eq!(world.free(), before);
}
