//! A regular file as an open file sees it.

use alloc::sync::Arc;
use core::fmt;

use abi::linux::general as linux;
use types::PhysAddr;

use super::node::RamNode;
use crate::{File, Inode, MapRequest, Mapping, Metadata, OpenRequest, Pager, Positioning, Result, VfsError};

impl File for RamNode {
    fn read(&self, offset: u64, out: &mut [u8]) -> Result<usize> {
        Ok(self.content()?.read(offset, out))
    }

    fn write(&self, offset: u64, data: &[u8]) -> Result<usize> {
        let taken = self.content()?.write(offset, data)?;
        self.modified();
        Ok(taken)
    }

    fn append(&self, data: &[u8], limit: u64) -> Result<(usize, u64)> {
        let done = self.content()?.append(data, limit)?;
        self.modified();
        Ok(done)
    }

    fn positioning(&self) -> Positioning {
        Positioning::Seekable
    }

    fn len(&self) -> u64 {
        self.content().map_or(0, super::content::Content::size)
    }

    fn seek_data(&self, offset: u64) -> Result<u64> {
        self.content()?.seek_data(offset)
    }

    fn seek_hole(&self, offset: u64) -> Result<u64> {
        self.content()?.seek_hole(offset)
    }

    fn truncate(&self, len: u64) -> Result<()> {
        self.content()?.truncate(len)?;
        self.modified();
        Ok(())
    }

    fn allocate(&self, mode: u32, offset: u64, len: u64) -> Result<()> {
        /// FALLOC_FL_PUNCH_HOLE never comes without FALLOC_FL_KEEP_SIZE.
        const PUNCH: u32 = linux::FALLOC_FL_PUNCH_HOLE | linux::FALLOC_FL_KEEP_SIZE;
        const ZERO_AND_KEEP: u32 = linux::FALLOC_FL_ZERO_RANGE | linux::FALLOC_FL_KEEP_SIZE;
        let content = self.content()?;
        match mode {
            0 => content.allocate(offset, len, false)?,
            linux::FALLOC_FL_KEEP_SIZE => content.allocate(offset, len, true)?,
            PUNCH => content.punch(offset, len)?,
            linux::FALLOC_FL_ZERO_RANGE | ZERO_AND_KEEP => {
                content.punch(offset, len)?;
                content.allocate(offset, len, mode == ZERO_AND_KEEP)?;
            }
            _ => return Err(VfsError::NotSupported),
        }
        self.modified();
        Ok(())
    }

    fn sync(&self) -> Result<()> {
        Ok(())
    }

    fn control(&self, command: u32, arg: u64) -> Result<u64> {
        let content = self.content()?;
        match command {
            linux::F_GET_SEALS => Ok(content.seals().into()),
            linux::F_ADD_SEALS => {
                let mut seals = u32::try_from(arg).map_err(|_| VfsError::InvalidArgument)?;
                if seals & linux::F_SEAL_EXEC != 0 && self.is_executable() {
                    // A program that can no longer be changed into another one must not change at all (fcntl(2)).
                    seals |=
                        linux::F_SEAL_SHRINK | linux::F_SEAL_GROW | linux::F_SEAL_WRITE | linux::F_SEAL_FUTURE_WRITE;
                }
                content.add_seals(seals).map(|()| 0)
            }
            _ => Err(VfsError::InvalidArgument),
        }
    }

    fn reopen(self: Arc<Self>, _request: &OpenRequest<'_>) -> Result<Arc<dyn File>> {
        Ok(self)
    }

    fn map(self: Arc<Self>, request: MapRequest) -> Result<Mapping> {
        if request.shared && request.writable {
            self.content()?.map_writable()?;
            return Ok(Mapping::Pages(Arc::new(WritablePages(self))));
        }
        self.content()?;
        Ok(Mapping::Pages(self))
    }

    fn metadata(&self) -> Metadata {
        Inode::metadata(self)
    }

    fn describe(&self, out: &mut dyn fmt::Write) -> fmt::Result {
        out.write_str("/memfd: (deleted)")
    }
}

impl Pager for RamNode {
    fn page(&self, index: u64, _write: bool) -> Result<PhysAddr> {
        self.content()?.page(index)
    }

    fn has_page(&self, index: u64) -> bool {
        self.content().is_ok_and(|content| content.has_page(index))
    }

    fn pages_at_hand(&self, first: u64, frames: &mut [Option<PhysAddr>]) {
        if let Ok(content) = self.content() {
            content.pages_at_hand(first, frames);
        }
    }
}

/// Pages that the mapping may change; counted while it exists.
struct WritablePages(Arc<RamNode>);

impl Pager for WritablePages {
    fn page(&self, index: u64, _write: bool) -> Result<PhysAddr> {
        self.0.content()?.page(index)
    }

    fn has_page(&self, index: u64) -> bool {
        Pager::has_page(&*self.0, index)
    }
}

impl Drop for WritablePages {
    fn drop(&mut self) {
        if let Ok(content) = self.0.content() {
            content.unmap_writable();
        }
    }
}
