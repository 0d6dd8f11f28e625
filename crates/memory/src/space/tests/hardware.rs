//! An MMU in software: walks the very tables, checks every permission bit, and remembers translations and the ways to them
//! until it is told to forget.

use std::collections::HashMap;
use std::sync::Mutex;

use hal::{Mmu, PageFault, PageFaultFlags, TlbRange};
use types::{CpuId, CpuSet, PhysAddr};

use crate::space::AddressSpace;
use crate::space::fault::Access;
use crate::space::tables::index;
use crate::{FaultOutcome, Frames, Pte};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Translation {
    frame: PhysAddr,
    writable: bool,
    executable: bool,
}

#[derive(Default)]
struct Caches {
    /// By page number.
    pages: HashMap<u64, Translation>,
    /// By 2 MiB number: page-holding table and the rights above it.
    ways: HashMap<u64, Translation>,
}

pub(super) struct Hardware {
    frames: &'static Frames,
    caches: Mutex<HashMap<(u64, CpuId), Caches>>,
    flushes: Mutex<u64>,
    hits: Mutex<u64>,
}

impl Hardware {
    pub(super) fn new(frames: &'static Frames) -> Self {
        Self { frames, caches: Mutex::default(), flushes: Mutex::default(), hits: Mutex::default() }
    }

    pub(super) fn flushes(&self) -> u64 {
        *self.flushes.lock().unwrap()
    }

    /// Accesses that a remembered translation served.
    pub(super) fn hits(&self) -> u64 {
        *self.hits.lock().unwrap()
    }

    /// Forgets everything about a space that goes away.
    pub(super) fn forget(&self, root: PhysAddr) {
        self.caches.lock().unwrap().retain(|(space, _), _| *space != root.as_u64());
    }

    fn step(&self, table: PhysAddr, at: usize, above: Translation) -> Option<Translation> {
        let entry = self.frames.direct_map().table(table).get(at);
        if !entry.is_present() || !entry.is_user() {
            return None;
        }
        Some(Translation {
            frame: entry.frame(),
            writable: above.writable && entry.is_writable(),
            executable: above.executable && entry.is_executable(),
        })
    }

    /// The tables' word on `address`, nothing remembered.
    fn walk(&self, root: PhysAddr, address: u64) -> Option<Translation> {
        let mut here = Translation { frame: root, writable: true, executable: true };
        for level in (1..=4).rev() {
            here = self.step(here.frame, index(address, level), here)?;
        }
        Some(here)
    }

    /// One access by user code on `cpu`: the frame, or a fault.
    pub(super) fn access(
        &self,
        space: &AddressSpace,
        cpu: CpuId,
        address: u64,
        access: Access,
    ) -> Result<PhysAddr, PageFault> {
        let root = space.root();
        let allows = |t: &Translation| match access {
            Access::Read => true,
            Access::Write => t.writable,
            Access::Fetch => t.executable,
        };
        let mut caches = self.caches.lock().unwrap();
        let caches = caches.entry((root.as_u64(), cpu)).or_default();
        if let Some(known) = caches.pages.get(&(address >> 12))
            && allows(known)
        {
            *self.hits.lock().unwrap() += 1;
            return Ok(known.frame);
        }
        let mut here = Some(Translation { frame: root, writable: true, executable: true });
        let mut first = 4;
        if let Some(way) = caches.ways.get(&(address >> 21)) {
            (here, first) = (Some(*way), 1);
        }
        for level in (1..=first).rev() {
            here = here.and_then(|above| self.step(above.frame, index(address, level), above));
            if level == 2
                && let Some(way) = here
            {
                caches.ways.insert(address >> 21, way);
            }
        }
        match here {
            Some(found) if allows(&found) => {
                caches.pages.insert(address >> 12, found);
                Ok(found.frame)
            }
            _ => {
                // A fault makes the CPU forget the address and the ways to it.
                caches.pages.remove(&(address >> 12));
                caches.ways.remove(&(address >> 21));
                let mut flags = 4 | u32::from(here.is_some());
                match access {
                    Access::Read => {}
                    Access::Write => flags |= 2,
                    Access::Fetch => flags |= 16,
                }
                Err(PageFault { address, flags: PageFaultFlags(flags) })
            }
        }
    }

    /// What user code sees: the access, with faults settled.
    pub(super) fn user(
        &self,
        space: &AddressSpace,
        cpu: CpuId,
        address: u64,
        access: Access,
    ) -> Result<PhysAddr, FaultOutcome> {
        for _ in 0..4 {
            match self.access(space, cpu, address, access) {
                Ok(frame) => return Ok(frame),
                Err(fault) => match space.fault(&fault) {
                    FaultOutcome::Resolved(_) => {}
                    outcome => return Err(outcome),
                },
            }
        }
        panic!("the fault at {address:x} does not end");
    }

    /// No CPU remembers more than the tables say.
    pub(super) fn check(&self, space: &AddressSpace) {
        let caches = self.caches.lock().unwrap();
        for ((root, cpu), caches) in caches.iter().filter(|((root, _), _)| *root == space.root().as_u64()) {
            for (page, known) in &caches.pages {
                let now = self.walk(PhysAddr::new(*root), page << 12);
                let right = now.is_some_and(|now| {
                    now.frame == known.frame
                        && (now.writable || !known.writable)
                        && (now.executable || !known.executable)
                });
                assert!(right, "{cpu:?} remembers {known:?} for page {page:x}, the tables say {now:?}");
            }
            for number in caches.ways.keys() {
                let way = caches.ways[number];
                assert!(self.frames.references(way.frame) > 0, "{cpu:?} remembers a freed table for {number:x}");
            }
        }
    }
}

impl Mmu for Hardware {
    fn flush(&self, root: PhysAddr, cpus: CpuSet, range: TlbRange) {
        *self.flushes.lock().unwrap() += 1;
        let mut all = self.caches.lock().unwrap();
        for cpu in cpus.iter() {
            let Some(caches) = all.get_mut(&(root.as_u64(), cpu)) else { continue };
            // Until now this CPU could use them: nothing may have been freed before the flush.
            let held = |known: &Translation| assert!(self.frames.references(known.frame) > 0, "freed before the flush");
            caches.ways.values().for_each(held);
            caches.ways.clear();
            match range {
                TlbRange::All => {
                    caches.pages.values().for_each(held);
                    caches.pages.clear();
                }
                TlbRange::Pages { start, pages } => {
                    (start >> 12..(start >> 12) + pages).for_each(|page| {
                        caches.pages.remove(&page).iter().for_each(held);
                    });
                }
            }
        }
    }
}

/// Every entry's bits obey its area: checked after random sequences.
pub(super) fn check_entries(space: &AddressSpace) {
    let mut inner = space.inner.lock();
    let mut resident = 0;
    let areas: std::vec::Vec<_> = inner.areas.iter_from(0).cloned().collect();
    for area in &areas {
        space.visit_pages(area.start, area.end, &mut |_, _, address, entry: Pte| {
            resident += 1;
            assert!(!entry.is_writable() || area.prot.contains(crate::Prot::WRITE), "{address:x}");
            assert_eq!(entry.is_executable(), area.prot.contains(crate::Prot::EXEC), "{address:x}");
            assert_eq!(entry.is_present(), !area.prot.is_empty(), "{address:x}");
            assert_eq!(entry.has(Pte::SHARED_PAGE), area.is_shared(), "{address:x}");
        });
    }
    assert_eq!(resident, inner.counts.resident, "pages outside areas, or miscounted");
    let size: u64 = areas.iter().map(|area| area.len() / 4096).sum();
    let data: u64 = areas.iter().filter(|area| area.is_data()).map(|area| area.len() / 4096).sum();
    assert_eq!((size, data), (inner.counts.size, inner.counts.data));
    assert!(areas.iter().all(|area| inner.areas.find(area.start).is_some()));
}
