//! Mappings: brk, mmap, munmap, mprotect, mremap, madvise, mincore, msync.

use alloc::sync::Arc;
use core::fmt;

use abi::Errno;
use abi::linux::general as linux;
use memory::{
    Advice, Backing, MapFlags, MapRequest, ObjectId, PageAccess, Pager, PagerError, Placement, Prot, RemapPlacement,
    Sharing,
};
use types::{PAGE_SIZE, PhysAddr, USER_END};
use vfs::{ExecutionGuard, Mapping, VfsError};

use super::memory_lock::{may_lock, note_lock_limit};
use crate::mapped_files::object_of;
use crate::{Caller, OpenFile, SysResult, System, own_limits};

const PAGE: u64 = PAGE_SIZE as u64;

pub(crate) fn sys_brk(caller: Caller<'_>, end: u64) -> SysResult {
    if caller.process.is_limited() && !own_limits::heap_limit(caller, end) {
        return Ok(caller.space.brk(0));
    }
    note_lock_limit(caller);
    Ok(caller.space.brk(end))
}

/// Flags of mmap that every file takes; MAP_SHARED_VALIDATE refuses others.
const KNOWN_TO_ALL: u32 = linux::MAP_TYPE
    | linux::MAP_FIXED
    | linux::MAP_ANONYMOUS
    | linux::MAP_32BIT
    | linux::MAP_GROWSDOWN
    | linux::MAP_DENYWRITE
    | linux::MAP_EXECUTABLE
    | linux::MAP_LOCKED
    | linux::MAP_NORESERVE
    | linux::MAP_POPULATE
    | linux::MAP_NONBLOCK
    | linux::MAP_STACK
    | linux::MAP_HUGETLB
    | MAP_ABOVE_4_GIB;
/// MAP_ABOVE4G: all addresses that are chosen here are.
const MAP_ABOVE_4_GIB: u32 = 0x80;

pub(crate) fn sys_mmap(caller: Caller<'_>, args: [u64; 6]) -> SysResult {
    let [address, len, prot, flags, fd, offset] = args;
    let (flags, prot_bits) = (flags as u32, prot as u32);
    if offset % PAGE != 0 {
        return Err(Errno::EINVAL.into());
    }
    let file = if flags & linux::MAP_ANONYMOUS == 0 { Some(caller.file(fd)?) } else { None };
    if len == 0 {
        return Err(Errno::EINVAL.into());
    }
    if len > USER_END {
        return Err(Errno::ENOMEM.into());
    }
    let prot = decode_prot(prot_bits)?;
    let sharing = match flags & linux::MAP_TYPE {
        linux::MAP_PRIVATE => Sharing::Private,
        linux::MAP_SHARED => Sharing::Shared,
        // The kind that asks to be refused where a flag means nothing.
        linux::MAP_SHARED_VALIDATE if file.is_some() && flags & !KNOWN_TO_ALL == 0 => Sharing::Shared,
        linux::MAP_SHARED_VALIDATE if file.is_some() => return Err(Errno::EOPNOTSUPP.into()),
        _ => return Err(Errno::EINVAL.into()),
    };
    let placement = if flags & linux::MAP_FIXED_NOREPLACE != 0 {
        Placement::FixedNoReplace(address)
    } else if flags & linux::MAP_FIXED != 0 {
        Placement::Fixed(address)
    } else {
        Placement::Hint(address)
    };
    if let Placement::Fixed(at) | Placement::FixedNoReplace(at) = placement {
        if at % PAGE != 0 {
            return Err(Errno::EINVAL.into());
        }
        if at.checked_add(len).is_none_or(|end| end > USER_END) {
            return Err(Errno::ENOMEM.into());
        }
    }
    let mut wishes = MapFlags::empty();
    wishes.set(MapFlags::GROWS_DOWN, flags & linux::MAP_GROWSDOWN != 0);
    wishes.set(MapFlags::POPULATE, flags & linux::MAP_POPULATE != 0);
    wishes.set(MapFlags::LOCKED, flags & linux::MAP_LOCKED != 0);
    let mut max_prot = Prot::all();
    let backing = match file {
        None => Backing::Anonymous,
        Some(file) => {
            let (backing, limit) = map_file(caller, &file, sharing, prot, offset, len)?;
            max_prot = limit;
            backing
        }
    };
    if wishes.contains(MapFlags::LOCKED) {
        caller.space.set_lock_limit(may_lock(caller)?);
    } else {
        note_lock_limit(caller);
    }
    let request = MapRequest { placement, len, prot, max_prot, sharing, backing, flags: wishes };
    Ok(caller.space.map(request)?)
}

pub(crate) fn sys_munmap(caller: Caller<'_>, start: u64, len: u64) -> SysResult {
    caller.space.unmap(start, len)?;
    Ok(0)
}

pub(crate) fn sys_mprotect(caller: Caller<'_>, start: u64, len: u64, prot: u64) -> SysResult {
    if !start.is_multiple_of(PAGE) {
        return Err(Errno::EINVAL.into());
    }
    if len == 0 {
        return Ok(0);
    }
    let len = len.checked_next_multiple_of(PAGE).ok_or(Errno::ENOMEM)?;
    caller.space.protect(start, len, decode_prot(prot as u32)?)?;
    Ok(0)
}

pub(crate) fn sys_mremap(caller: Caller<'_>, args: [u64; 6]) -> SysResult {
    let [old, old_len, new_len, flags, new, _] = args;
    let flags = flags as u32;
    let known = linux::MREMAP_MAYMOVE | linux::MREMAP_FIXED | linux::MREMAP_DONTUNMAP;
    if flags & !known != 0 || old % PAGE != 0 || new_len == 0 {
        return Err(Errno::EINVAL.into());
    }
    note_lock_limit(caller);
    if flags & linux::MREMAP_DONTUNMAP != 0 {
        if flags & linux::MREMAP_MAYMOVE == 0 || old_len != new_len {
            return Err(Errno::EINVAL.into());
        }
        let placement = match flags & linux::MREMAP_FIXED {
            0 => RemapPlacement::MayMove,
            _ if new % PAGE == 0 => RemapPlacement::Fixed(new),
            _ => return Err(Errno::EINVAL.into()),
        };
        return Ok(caller.space.remap_and_keep(old, old_len, placement)?);
    }
    let placement = match (flags & linux::MREMAP_FIXED != 0, flags & linux::MREMAP_MAYMOVE != 0) {
        (true, true) if new % PAGE == 0 => RemapPlacement::Fixed(new),
        (true, _) => return Err(Errno::EINVAL.into()),
        (false, true) => RemapPlacement::MayMove,
        (false, false) => RemapPlacement::InPlace,
    };
    Ok(caller.space.remap(old, old_len, new_len, placement)?)
}

pub(crate) fn sys_madvise(caller: Caller<'_>, start: u64, len: u64, advice: u64) -> SysResult {
    let advice = match advice as u32 {
        linux::MADV_DONTNEED => Advice::DontNeed,
        linux::MADV_DONTNEED_LOCKED => Advice::DontNeedLocked,
        linux::MADV_COLD | linux::MADV_PAGEOUT => Advice::Cold,
        linux::MADV_FREE => Advice::Free,
        linux::MADV_REMOVE => Advice::Remove,
        linux::MADV_WILLNEED => Advice::WillNeed,
        linux::MADV_POPULATE_READ => Advice::PopulateRead,
        linux::MADV_POPULATE_WRITE => Advice::PopulateWrite,
        linux::MADV_DONTFORK => Advice::DontFork,
        linux::MADV_DOFORK => Advice::DoFork,
        linux::MADV_WIPEONFORK => Advice::WipeOnFork,
        linux::MADV_KEEPONFORK => Advice::KeepOnFork,
        linux::MADV_NORMAL
        | linux::MADV_RANDOM
        | linux::MADV_SEQUENTIAL
        | linux::MADV_HUGEPAGE
        | linux::MADV_NOHUGEPAGE
        | linux::MADV_DONTDUMP
        | linux::MADV_DODUMP => Advice::Ignored,
        _ => return Err(Errno::EINVAL.into()),
    };
    if !start.is_multiple_of(PAGE) {
        return Err(Errno::EINVAL.into());
    }
    if len == 0 {
        return Ok(0);
    }
    let len = len.checked_next_multiple_of(PAGE).ok_or(Errno::EINVAL)?;
    caller.space.advise(start, len, advice)?;
    Ok(0)
}

pub(crate) fn sys_mincore(caller: Caller<'_>, start: u64, len: u64, out: u64) -> SysResult {
    if !start.is_multiple_of(PAGE) {
        return Err(Errno::EINVAL.into());
    }
    if start >= USER_END || len > USER_END - start {
        return Err(Errno::ENOMEM.into());
    }
    let pages = len.div_ceil(PAGE);
    let mut done = 0;
    while done < pages {
        let mut chunk = [0; 256];
        let count = (pages - done).min(chunk.len() as u64);
        let chunk = chunk.get_mut(..count as usize).unwrap_or_default();
        caller.space.mincore(start + done * PAGE, chunk)?;
        caller.memory().write_bytes(out + done, chunk)?;
        done += count;
    }
    Ok(0)
}

/// Everything is in memory already: only the arguments are checked, and locked pages cannot be made invalid.
pub(crate) fn sys_msync(caller: Caller<'_>, start: u64, len: u64, flags: u64) -> SysResult {
    let flags = flags as u32;
    let known = linux::MS_ASYNC | linux::MS_INVALIDATE | linux::MS_SYNC;
    let both = linux::MS_ASYNC | linux::MS_SYNC;
    if flags & !known != 0 || flags & both == both || !start.is_multiple_of(PAGE) {
        return Err(Errno::EINVAL.into());
    }
    if len == 0 {
        return Ok(0);
    }
    let len = len.checked_next_multiple_of(PAGE).ok_or(Errno::EINVAL)?;
    if start.checked_add(len).is_none_or(|end| end > USER_END) {
        return Err(Errno::ENOMEM.into());
    }
    if flags & linux::MS_INVALIDATE != 0 && caller.space.has_locks() && caller.space.has_locked(start, len)? {
        return Err(Errno::EBUSY.into());
    }
    caller.space.advise(start, len, Advice::Ignored)?;
    Ok(0)
}

fn decode_prot(bits: u32) -> SysResult<Prot> {
    if bits & !(linux::PROT_READ | linux::PROT_WRITE | linux::PROT_EXEC | linux::PROT_GROWSDOWN | linux::PROT_GROWSUP)
        != 0
    {
        return Err(Errno::EINVAL.into());
    }
    Ok(Prot::from_bits_truncate(bits as u8))
}

/// The object behind a file mapping, and what it may ever be made to allow.
fn map_file(
    caller: Caller<'_>,
    file: &Arc<OpenFile>,
    sharing: Sharing,
    prot: Prot,
    offset: u64,
    len: u64,
) -> SysResult<(Backing, Prot)> {
    if offset.checked_add(len).is_none_or(|end| end > i64::MAX as u64) {
        return Err(Errno::EOVERFLOW.into());
    }
    if !file.is_readable() {
        return Err(Errno::EACCES.into());
    }
    let shared = sharing == Sharing::Shared;
    let mut max_prot = Prot::all();
    if shared && !file.is_writable() {
        if prot.contains(Prot::WRITE) {
            return Err(Errno::EACCES.into());
        }
        max_prot.remove(Prot::WRITE);
    }
    let writable = shared && file.is_writable();
    match file.file().clone().map(vfs::MapRequest { shared, writable })? {
        Mapping::Anonymous => Ok((Backing::Anonymous, max_prot)),
        Mapping::Pages(pages) => {
            let pager = Arc::new(FilePager::new(pages, file.clone(), caller.system, None));
            Ok((Backing::File { pager, offset }, max_prot))
        }
    }
}

/// A file's pages, as memory management wants them; keeps the file open while it is mapped.
pub(crate) struct FilePager {
    pages: Arc<dyn vfs::Pager>,
    file: Arc<OpenFile>,
    /// For its path as /proc shows it.
    system: &'static System,
    /// The file is being executed: nobody may write to it meanwhile.
    executed: Option<ExecutionGuard>,
    /// What its file is known by among those that are mapped; 0: not among them.
    object: usize,
}

impl FilePager {
    /// The file.
    pub(crate) fn file(&self) -> &Arc<OpenFile> {
        &self.file
    }

    /// Pages of `file`; `executed` for a program.
    pub(crate) fn new(
        pages: Arc<dyn vfs::Pager>,
        file: Arc<OpenFile>,
        system: &'static System,
        executed: Option<ExecutionGuard>,
    ) -> Self {
        let object = if executed.is_some() { 0 } else { object_of(file.file()) };
        if object != 0 {
            system.mapped_files.add(object);
        }
        Self { pages, file, system, executed, object }
    }
}

impl Drop for FilePager {
    fn drop(&mut self) {
        if self.object != 0 {
            self.system.mapped_files.remove(self.object);
        }
    }
}

impl Pager for FilePager {
    fn page(&self, index: u64, access: PageAccess) -> Result<PhysAddr, PagerError> {
        self.pages.page(index, access == PageAccess::Write).map_err(|error| match error {
            VfsError::BadAddress => PagerError::BeyondEnd,
            _ => PagerError::NoMemory,
        })
    }

    fn pages_at_hand(&self, first: u64, frames: &mut [Option<PhysAddr>]) {
        // Any other file may be truncated, and a page that was mapped along would not give SIGBUS then.
        if self.executed.is_some() {
            self.pages.pages_at_hand(first, frames);
        }
    }

    fn has_page(&self, index: u64) -> bool {
        self.pages.has_page(index)
    }

    fn object(&self) -> usize {
        self.object
    }

    fn make_hole(&self, offset: u64, len: u64) -> bool {
        const MODE: u32 = linux::FALLOC_FL_PUNCH_HOLE | linux::FALLOC_FL_KEEP_SIZE;
        let made = self.file.file().allocate(MODE, offset, len).is_ok();
        if made {
            self.system.file_got_hole(self.object, offset, len);
        }
        made
    }

    fn len_bytes(&self) -> u64 {
        self.file.file().len()
    }

    fn id(&self) -> ObjectId {
        let metadata = self.file.metadata();
        ObjectId { device: metadata.dev.encode(), inode: metadata.ino }
    }

    fn write_name(&self, out: &mut dyn fmt::Write) -> fmt::Result {
        self.system.describe_file(&self.file, out)
    }
}
