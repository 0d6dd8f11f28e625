//! What all runs of one program share.
//!
//! The first run of a file makes a [`Program`], and every space that was loaded from it, or forked from such a one, keeps it.
//! As long as it lives nobody can write to the file (ETXTBSY), so what was read of it stays true; the inode refers to it
//! weakly. The second run makes an image of it, from which that run and all later ones start ([`AddressSpace::launch`]).
//! Memory is bounded by the programs that run: an image has the page tables of one process and its first page of data.

use alloc::sync::Arc;
use alloc::vec::Vec;

use abi::Errno;
use memory::{AddressSpace, Launch, MapRequest, Prot};
use process::elf::{ELF_HEADER_SIZE, ElfHeader, ElfKind, LoadPlan, Segment, WritableCode};
use sync::{Rank, SpinLock};
use types::PAGE_SIZE;
use vfs::{ExecutionGuard, Location, Mapping};

use super::read_fully;
use crate::calls::memory::FilePager;
use crate::{OpenFile, SysResult, System};

const PAGE: u64 = PAGE_SIZE as u64;
/// Pages of the file that an image maps beforehand: it takes as long as that to make. What is not mapped comes by faults.
const IMAGE_PAGES: u64 = 4096;

/// Which run of a program this is.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Run {
    /// Nobody runs it yet, so perhaps nobody will again.
    First,
    /// It is being run already.
    Another,
}

/// A file that is being executed.
pub(super) struct Program {
    pager: Arc<FilePager>,
    header: ElfHeader,
    /// Its program headers.
    table: Vec<u8>,
    prepared: SpinLock<Option<Arc<Prepared>>>,
}

/// A program laid out in memory, never run itself.
pub(super) struct Prepared {
    base: u64,
    plan: LoadPlan,
    image: AddressSpace,
}

impl Program {
    /// The program at `location` if somebody runs it.
    pub(super) fn running(location: &Location) -> Option<Arc<Self>> {
        let program: Arc<Self> = location.inode().write_count()?.shared()?;
        // The same file reached by another mount has another path in /proc/PID/maps.
        let same = program.pager.file().location() == Some(location);
        same.then(|| {
            program.pager.file().accessed();
            program
        })
    }

    /// The program that `file`, which `guard` keeps from being written, holds and whose first bytes are `head`.
    pub(super) fn open(
        system: &'static System,
        file: Arc<OpenFile>,
        guard: ExecutionGuard,
        head: &[u8],
    ) -> SysResult<Arc<Self>> {
        let header = ElfHeader::parse(head.get(..ELF_HEADER_SIZE).unwrap_or(head)).map_err(Errno::from)?;
        let mut table = Vec::new();
        table.try_reserve_exact(header.table_size()).map_err(|_| Errno::ENOMEM)?;
        table.resize(header.table_size(), 0);
        let got = read_fully(&file, header.table_offset, &mut table)?;
        table.truncate(got);
        let pages = match file.file().clone().map(vfs::MapRequest { shared: false, writable: false })? {
            Mapping::Pages(pages) => pages,
            Mapping::Anonymous => return Err(Errno::ENOEXEC.into()),
        };
        let pager = Arc::new(FilePager::new(pages, file, system, Some(guard)));
        let program = Arc::new(Self { pager, header, table, prepared: SpinLock::new(Rank::INODE, None) });
        if let Some(count) = program.location().and_then(|location| location.inode().write_count()) {
            count.share(&program);
        }
        Ok(program)
    }

    /// Whether it has its addresses in the file.
    pub(super) fn kind(&self) -> ElfKind {
        self.header.kind
    }

    /// How to load it to `base`.
    pub(super) fn plan(&self, base: u64) -> SysResult<LoadPlan> {
        let len = self.pager.file().file().len();
        Ok(LoadPlan::new(&self.header, &self.table, len, base, WritableCode::Allow).map_err(Errno::from)?)
    }

    /// Its image at `base`, made if there is none; `None` if it cannot be made.
    pub(super) fn prepared(&self, system: &'static System, base: u64) -> Option<Arc<Prepared>> {
        let kept = self.prepared.lock().clone();
        if let Some(kept) = kept.filter(|kept| kept.base == base) {
            return Some(kept);
        }
        let made = Arc::new(self.prepare(system, base).ok()?);
        let old = self.prepared.lock().replace(made.clone());
        drop(old);
        Some(made)
    }

    fn prepare(&self, system: &'static System, base: u64) -> SysResult<Prepared> {
        let plan = self.plan(base)?;
        if plan.interpreter.is_some() {
            return Err(Errno::ENOEXEC.into());
        }
        let image = system.platform.new_space().ok_or(Errno::ENOMEM)?;
        self.map_into(&image, &plan)?;
        let mut left = IMAGE_PAGES;
        for segment in &plan.segments {
            let pages = segment.file_pages.min(left);
            left -= pages;
            image.map_at_hand(segment.address, pages * PAGE)?;
        }
        Ok(Prepared { base, plan, image })
    }

    /// New memory with the program in it.
    pub(super) fn load(
        &self,
        system: &'static System,
        plan: &LoadPlan,
        launch: Launch,
    ) -> SysResult<Arc<AddressSpace>> {
        let space = system.platform.new_space().ok_or(Errno::ENOMEM)?;
        space.set_limits(launch.limits);
        self.map_into(&space, plan)?;
        space.equip(launch)?;
        Ok(Arc::new(space))
    }

    fn map_into(&self, space: &AddressSpace, plan: &LoadPlan) -> SysResult<()> {
        plan.segments.iter().try_for_each(|segment| map_segment(space, &self.pager, segment))
    }

    fn location(&self) -> Option<&Location> {
        self.pager.file().location()
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        if let Some(count) = self.location().and_then(|location| location.inode().write_count()) {
            count.forget_shared();
        }
    }
}

impl Prepared {
    /// What the image was laid out by.
    pub(super) fn plan(&self) -> &LoadPlan {
        &self.plan
    }

    /// Memory that starts as the image.
    pub(super) fn launch(&self, launch: Launch) -> SysResult<Arc<AddressSpace>> {
        Ok(self.image.launch(launch)?)
    }
}

fn map_segment(space: &AddressSpace, pager: &Arc<FilePager>, segment: &Segment) -> SysResult<()> {
    let prot = Prot::from_bits_truncate(segment.protection.bits() as u8);
    if segment.file_pages > 0 {
        let request = MapRequest::file(pager.clone(), segment.file_offset, segment.file_pages * PAGE, prot);
        space.map(request.at(segment.address))?;
    }
    if segment.zero_len > 0 {
        // A read-only segment may end in zeroes as well: they are written before its rights are put in force.
        let writable = prot.contains(Prot::WRITE);
        let page = segment.zero_start & !(PAGE - 1);
        if !writable {
            space.protect(page, PAGE, prot | Prot::WRITE)?;
        }
        if space.zero(segment.zero_start, segment.zero_len) != segment.zero_len {
            return Err(Errno::ENOMEM.into());
        }
        if !writable {
            space.protect(page, PAGE, prot)?;
        }
    }
    if segment.anonymous_pages > 0 {
        let request = MapRequest::anonymous(segment.anonymous_pages * PAGE, prot);
        space.map(request.at(segment.anonymous_start()))?;
    }
    Ok(())
}
