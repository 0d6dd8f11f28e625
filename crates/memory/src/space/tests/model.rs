//! Random sequences of operations on several processes, compared with a map from pages to values.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::vec::Vec;

use types::CpuId;

use super::hardware::check_entries;
use super::{RW, World};
use crate::frames::fail_frames_after;
use crate::space::AddressSpace;
use crate::space::fault::Access;
use crate::testing::Random;
use crate::{
    Advice, FaultOutcome, MapRequest, MemoryError, Pager, Placement, Prot, RemapPlacement, SharedMemory, Sharing,
};

/// Where the test maps: across a border of page-holding tables, of middle tables, of upper tables.
const ARENAS: [u64; 3] = [0x4000_0000 - 600 * 4096, 0x80_0000_0000 - 300 * 4096, 0x2000_0000_0000 - 30 * 4096];
const ARENA_PAGES: u64 = 1300;

/// What a page reads as: its own value, or that of a page of an object.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Value {
    Own(u64),
    Object(usize, u64),
}

#[derive(Clone, Copy, Debug)]
struct Page {
    prot: Prot,
    sharing: Sharing,
    value: Value,
    /// What the page is made of before the first store (private) or always (shared).
    backing: Option<(usize, u64)>,
}

struct Process {
    space: Arc<AddressSpace>,
    pages: BTreeMap<u64, Page>,
    cpu: CpuId,
}

struct Object {
    pager: Arc<SharedMemory>,
    pages: u64,
}

struct Test {
    world: World,
    random: Random,
    processes: Vec<Process>,
    objects: Vec<Object>,
    /// Values of objects' pages.
    values: HashMap<(usize, u64), u64>,
    next_value: u64,
    /// Pages touched lately: touched again more often, so that remembered translations matter.
    recent: [u64; 16],
    counts: BTreeMap<&'static str, u64>,
}

impl Test {
    fn count(&mut self, what: &'static str) {
        *self.counts.entry(what).or_default() += 1;
    }

    fn range(&mut self) -> (u64, u64) {
        let arena = ARENAS[self.random.below(3) as usize];
        let start = self.random.below(ARENA_PAGES);
        let len = match self.random.below(8) {
            0 => 1 + self.random.below(ARENA_PAGES),
            1..3 => 1 + self.random.below(64),
            _ => 1 + self.random.below(6),
        };
        (arena / 4096 + start, len.min(ARENA_PAGES - start))
    }

    fn prot(&mut self) -> Prot {
        match self.random.below(8) {
            0 => Prot::empty(),
            1 => Prot::READ,
            2 => Prot::all(),
            3 => Prot::READ | Prot::EXEC,
            _ => RW,
        }
    }

    fn expected(&self, page: Page) -> u64 {
        match page.value {
            Value::Own(value) => value,
            Value::Object(object, index) => self.values.get(&(object, index)).copied().unwrap_or(0),
        }
    }

    fn step(&mut self) {
        let who = self.random.below(self.processes.len() as u64) as usize;
        let failing = self.random.below(4) == 0;
        if failing {
            fail_frames_after(Some(self.random.below(6)));
        }
        match self.random.below(100) {
            0..12 => self.map(who),
            12..20 => self.unmap(who),
            20..30 => self.protect(who),
            30..36 => self.fork(who),
            36..39 => self.exit(who),
            39..43 => self.drop_pages(who),
            43..48 => self.remap(who),
            48..54 => self.kernel_copy(who),
            _ => self.touch(who),
        }
        fail_frames_after(None);
    }

    fn map(&mut self, who: usize) {
        let (start, len) = self.range();
        let prot = self.prot();
        let mut request = MapRequest::anonymous(len * 4096, prot);
        let mut backing = None;
        match self.random.below(6) {
            0 | 1 => {
                let object = self.random.below(self.objects.len() as u64) as usize;
                let offset = self.random.below(8);
                request = MapRequest::file(self.objects[object].pager.clone(), offset * 4096, len * 4096, prot);
                backing = Some((object, offset));
            }
            2 => {
                let pager = Arc::new(SharedMemory::new(self.world.frames, len * 4096));
                self.objects.push(Object { pager: pager.clone(), pages: len });
                request = MapRequest::file(pager, 0, len * 4096, prot);
                backing = Some((self.objects.len() - 1, 0));
            }
            _ => {}
        }
        if backing.is_some() && self.random.below(2) == 0 {
            request = request.shared();
        }
        let sharing = request.sharing;
        let noreplace = self.random.below(8) == 0;
        request.placement =
            if noreplace { Placement::FixedNoReplace(start * 4096) } else { Placement::Fixed(start * 4096) };
        let process = &mut self.processes[who];
        let taken = process.pages.range(start..start + len).next().is_some();
        match process.space.map(request) {
            Ok(at) => {
                assert_eq!(at, start * 4096);
                assert!(!noreplace || !taken);
                for page in 0..len {
                    let backing = backing.map(|(object, offset)| (object, offset + page));
                    let value = backing.map_or(Value::Own(0), |(object, index)| Value::Object(object, index));
                    process.pages.insert(start + page, Page { prot, sharing, value, backing });
                }
                self.count("map");
            }
            Err(MemoryError::Exists) => assert!(noreplace && taken),
            Err(MemoryError::NoMemory) => self.count("map failed"),
            Err(other) => panic!("{other:?}"),
        }
    }

    fn unmap(&mut self, who: usize) {
        let (start, len) = self.range();
        let process = &mut self.processes[who];
        match process.space.unmap(start * 4096, len * 4096) {
            Ok(()) => {
                process.pages.retain(|page, _| !(start..start + len).contains(page));
                self.count("unmap");
            }
            Err(error) => {
                assert_eq!(error, MemoryError::NoMemory);
                self.count("unmap failed");
            }
        }
    }

    fn protect(&mut self, who: usize) {
        let (start, len) = self.range();
        let prot = self.prot();
        let process = &mut self.processes[who];
        let whole = (start..start + len).take_while(|page| process.pages.contains_key(page)).count() as u64;
        let before = self.world.frames.stats().by_kind;
        match process.space.protect(start * 4096, len * 4096, prot) {
            Err(MemoryError::NoMemory) if whole == len => return self.count("protect failed"),
            // At a hole: what comes before is changed, or no frame was left and nothing is.
            Err(MemoryError::NoMemory) => {
                let changed = process.space.areas().unwrap();
                let first = changed.iter().find(|area| area.start <= start * 4096 && start * 4096 < area.end);
                if whole == 0 || first.is_none_or(|area| area.prot != prot) {
                    return self.count("protect failed");
                }
            }
            result => assert_eq!((result, whole), (Ok(()), len), "{before:?}"),
        }
        for page in start..start + whole {
            process.pages.get_mut(&page).unwrap().prot = prot;
        }
        self.count("protect");
    }

    fn fork(&mut self, who: usize) {
        if self.processes.len() >= 6 {
            return;
        }
        match self.processes[who].space.fork() {
            Ok(space) => {
                let cpu = CpuId(self.processes.len() as u32);
                space.cpu_entered(cpu);
                let pages = self.processes[who].pages.clone();
                self.processes.push(Process { space, pages, cpu });
                self.count("fork");
            }
            Err(error) => {
                assert_eq!(error, MemoryError::NoMemory);
                self.count("fork failed");
            }
        }
    }

    fn exit(&mut self, who: usize) {
        if self.processes.len() > 1 {
            let process = self.processes.swap_remove(who);
            process.space.cpu_left(process.cpu);
            self.world.hardware.forget(process.space.root());
            if self.random.below(2) == 0 {
                process.space.begin_teardown();
                while !process.space.teardown_step(50) {}
                assert_eq!(process.space.usage().resident, 0);
            }
            self.count("exit");
        }
    }

    fn drop_pages(&mut self, who: usize) {
        let (start, len) = self.range();
        let process = &mut self.processes[who];
        let whole = process.pages.range(start..start + len).count() as u64 == len;
        match process.space.advise(start * 4096, len * 4096, Advice::DontNeed) {
            Err(MemoryError::NoMemory) if whole => return self.count("drop failed"),
            // A hole, or no frame: told apart below by reading, so do it again.
            Err(MemoryError::NoMemory) => {
                fail_frames_after(None);
                assert_eq!(
                    process.space.advise(start * 4096, len * 4096, Advice::DontNeed),
                    Err(MemoryError::NoMemory)
                );
            }
            result => assert_eq!(result, Ok(())),
        }
        for (_, page) in process.pages.range_mut(start..start + len) {
            page.value = page.backing.map_or(Value::Own(0), |(object, index)| Value::Object(object, index));
        }
        self.count("drop pages");
    }

    fn remap(&mut self, who: usize) {
        let process = &mut self.processes[who];
        let areas = process.space.areas().unwrap();
        if areas.is_empty() {
            return;
        }
        let area = &areas[self.random.below(areas.len() as u64) as usize];
        let (start, pages) = (area.start / 4096, (area.end - area.start) / 4096);
        let new_pages = 1 + self.random.below(pages + 20);
        // Into an arena, at a free place, or wherever it is (only if smaller: the model's world is the arenas).
        let (to, to_len) =
            (ARENAS[self.random.below(3) as usize] / 4096 + self.random.below(ARENA_PAGES - 400), new_pages);
        let free = to_len <= 400 && process.pages.range(to..to + to_len).next().is_none();
        let placement = if free { RemapPlacement::Fixed(to * 4096) } else { RemapPlacement::InPlace };
        let template = process.pages[&start];
        match process.space.remap(area.start, area.end - area.start, new_pages * 4096, placement) {
            Ok(at) => {
                let moved: Vec<_> = (start..start + pages).map(|page| process.pages.remove(&page).unwrap()).collect();
                for index in 0..new_pages {
                    let page = moved.get(index as usize).copied().unwrap_or_else(|| {
                        let backing = template.backing.map(|(object, first)| (object, first + index));
                        let value = backing.map_or(Value::Own(0), |(object, index)| Value::Object(object, index));
                        Page { value, backing, ..template }
                    });
                    process.pages.insert(at / 4096 + index, page);
                }
                self.count("remap");
            }
            Err(error) => {
                assert_eq!(error, MemoryError::NoMemory);
                // Shrinking is done before moving.
                if new_pages < pages {
                    let listed = process.space.areas().unwrap();
                    let gone = !listed
                        .iter()
                        .any(|area| area.start <= (start + new_pages) * 4096 && (start + new_pages) * 4096 < area.end);
                    if gone {
                        process.pages.retain(|page, _| !(start + new_pages..start + pages).contains(page));
                    }
                }
                self.count("remap failed");
            }
        }
    }

    /// One access, by user code or by the kernel for it, to a page that is likely mapped.
    fn pick(&mut self, who: usize) -> u64 {
        let (start, _) = self.range();
        let page = match self.random.below(10) {
            0 => start,
            1..6 => self.recent[self.random.below(16) as usize],
            _ => self.processes[who].pages.range(start..).next().map_or(start, |(page, _)| *page),
        };
        self.recent[self.random.below(16) as usize] = page;
        page
    }

    fn beyond_object(&self, page: Page) -> bool {
        page.backing.is_some_and(|(object, index)| index >= self.objects[object].pages)
            && !matches!(page.value, Value::Own(_))
    }

    /// What an access must come to.
    fn verdict(&self, who: usize, number: u64, write: bool) -> Result<Page, FaultOutcome> {
        let page = *self.processes[who].pages.get(&number).ok_or(FaultOutcome::NoMapping)?;
        let allowed = if write { page.prot.contains(Prot::WRITE) } else { !page.prot.is_empty() };
        if !allowed {
            return Err(FaultOutcome::Access);
        }
        if self.beyond_object(page) { Err(FaultOutcome::Bus) } else { Ok(page) }
    }

    fn stored(&mut self, who: usize, number: u64, value: u64) {
        let page = self.processes[who].pages.get_mut(&number).unwrap();
        match (page.sharing, page.backing) {
            (Sharing::Shared, Some(key)) => {
                self.values.insert(key, value);
            }
            _ => page.value = Value::Own(value),
        }
    }

    fn touch(&mut self, who: usize) {
        let number = self.pick(who);
        let write = self.random.below(2) == 0;
        let address = number * 4096 + 16;
        let process = &self.processes[who];
        let access = if write { Access::Write } else { Access::Read };
        let outcome = self.world.hardware.user(&process.space, process.cpu, address, access);
        let expected = self.verdict(who, number, write);
        let map = self.world.frames.direct_map();
        match (outcome, expected) {
            (Ok(frame), Ok(page)) => {
                let mut bytes = [0; 8];
                map.read(frame, (address % 4096) as usize, &mut bytes);
                assert_eq!(u64::from_le_bytes(bytes), self.expected(page), "page {number:x} of {who}: {page:?}");
                if write {
                    self.next_value += 1;
                    map.write(frame, (address % 4096) as usize, &self.next_value.to_le_bytes());
                    self.stored(who, number, self.next_value);
                }
                self.count(if write { "write" } else { "read" });
            }
            (Err(FaultOutcome::OutOfMemory), Ok(_) | Err(FaultOutcome::Bus)) => self.count("touch failed"),
            (outcome, expected) => {
                assert_eq!(outcome.err(), expected.err(), "page {number:x} of {who}");
                self.count("fault refused");
            }
        }
    }

    fn kernel_copy(&mut self, who: usize) {
        let number = self.pick(who);
        let address = number * 4096 + 16;
        let space = self.processes[who].space.clone();
        self.next_value += 1;
        let value = self.next_value;
        let write = self.random.below(2) == 0;
        let mut bytes = [0; 8];
        let done = if write { space.write(address, &value.to_le_bytes()) } else { space.read(address, &mut bytes) };
        match self.verdict(who, number, write) {
            Ok(page) if done == 8 => {
                if write {
                    self.stored(who, number, value);
                } else {
                    assert_eq!(u64::from_le_bytes(bytes), self.expected(page));
                }
                self.count("kernel copy");
            }
            _ => {
                assert_eq!(done, 0);
                self.count("kernel copy refused");
            }
        }
    }

    fn check(&mut self) {
        for who in 0..self.processes.len() {
            let process = &self.processes[who];
            self.world.hardware.check(&process.space);
            check_entries(&process.space);
            assert_eq!(process.space.usage().size, process.pages.len() as u64);
        }
    }

    /// Every page of every process, through the MMU.
    fn compare_all(&mut self) {
        let map = self.world.frames.direct_map();
        for process in &self.processes {
            for (number, page) in &process.pages {
                if page.prot.is_empty() || self.beyond_object(*page) {
                    continue;
                }
                let address = number * 4096 + 16;
                let frame = self.world.hardware.user(&process.space, process.cpu, address, Access::Read).unwrap();
                let mut bytes = [0; 8];
                map.read(frame, (address % 4096) as usize, &mut bytes);
                assert_eq!(u64::from_le_bytes(bytes), self.expected(*page), "page {number:x}");
            }
        }
    }
}

fn run(seed: u64, shared_level: u32, steps: u32) -> BTreeMap<&'static str, u64> {
    std::println!("seed {seed}, tables shared up to level {shared_level}");
    let world = World::new(65_536);
    let before = world.free();
    let first = Process { space: world.space(shared_level), pages: BTreeMap::new(), cpu: CpuId(0) };
    first.space.cpu_entered(CpuId(0));
    let objects =
        [3, 900].map(|pages| Object { pager: Arc::new(SharedMemory::new(world.frames, pages * 4096)), pages });
    let mut test = Test {
        world,
        random: Random::new(seed),
        processes: std::vec![first],
        objects: objects.into(),
        values: HashMap::new(),
        next_value: 0,
        recent: [ARENAS[0] / 4096; 16],
        counts: BTreeMap::new(),
    };
    for step in 0..steps {
        test.step();
        if step % 8 == 0 {
            test.check();
        }
    }
    test.check();
    test.compare_all();
    assert_eq!(test.objects[0].pager.len_bytes(), 3 * 4096);
    test.counts.insert("TLB hit", test.world.hardware.hits());
    test.counts.insert("TLB flush", test.world.hardware.flushes());
    let Test { world, processes, objects, counts, .. } = test;
    drop(processes);
    drop(objects);
    assert_eq!(world.free(), before, "a frame leaked");
    counts
}

#[test]
fn random_sequences_agree_with_the_model() {
    let mut total: BTreeMap<&str, u64> = BTreeMap::new();
    for shared_level in 0..=3 {
        for seed in 0..4 {
            for (what, count) in run(seed * 10 + u64::from(shared_level), shared_level, 1200) {
                *total.entry(what).or_default() += count;
            }
        }
    }
    std::println!("{total:?}");
    for what in [
        "map",
        "unmap",
        "protect",
        "fork",
        "exit",
        "drop pages",
        "remap",
        "read",
        "write",
        "kernel copy",
        "map failed",
        "unmap failed",
        "protect failed",
        "fork failed",
        "touch failed",
        "fault refused",
        "kernel copy refused",
        "remap failed",
        "TLB hit",
        "TLB flush",
    ] {
        assert!(total.get(what).is_some_and(|count| *count >= 3), "{what} hardly happened: {total:?}");
    }
}
