//! Directory entries as getdents64(2) lays them out.

use crate::{DirEntry, FIRST_COOKIE, FileType, Location, Result, VfsError};

/// Bytes before the name: inode, cookie, record length, type.
const HEADER: usize = 19;

/// Fills `out` with entries of the directory `location` from `*position` on, and moves `*position`.
pub(crate) fn fill(location: &Location, position: &mut u64, out: &mut [u8]) -> Result<usize> {
    let inode = location.inode();
    if inode.access().kind != FileType::Directory {
        return Err(VfsError::NotADirectory);
    }
    if inode.is_removed() {
        return Err(VfsError::NotFound);
    }
    let mut writer = Writer { out, used: 0, full: false };
    let own = inode.ino();
    if *position == 0 && writer.put(&DirEntry { name: b".", ino: own, kind: FileType::Directory, next: 1 }) {
        *position = 1;
    }
    if *position == 1 && !writer.full {
        let parent = inode.parent().map_or(own, |(parent, _)| parent.ino());
        let next = FIRST_COOKIE;
        if writer.put(&DirEntry { name: b"..", ino: parent, kind: FileType::Directory, next }) {
            *position = FIRST_COOKIE;
        }
    }
    if *position >= FIRST_COOKIE && !writer.full {
        inode.read_dir(*position, &mut |entry| {
            let taken = writer.put(entry);
            if taken {
                *position = entry.next;
            }
            taken
        })?;
    }
    if writer.used == 0 && writer.full { Err(VfsError::InvalidArgument) } else { Ok(writer.used) }
}

struct Writer<'a> {
    out: &'a mut [u8],
    used: usize,
    full: bool,
}

impl Writer<'_> {
    /// Adds a record, padded to eight bytes; whether it fit.
    fn put(&mut self, entry: &DirEntry<'_>) -> bool {
        let length = (HEADER + entry.name.len() + 1).next_multiple_of(8);
        let Some(record) = self.out.get_mut(self.used..).and_then(|free| free.get_mut(..length)) else {
            self.full = true;
            return false;
        };
        record.fill(0);
        let header = entry
            .ino
            .to_le_bytes()
            .into_iter()
            .chain(entry.next.to_le_bytes())
            .chain((length as u16).to_le_bytes())
            .chain([entry.kind.dirent_type()])
            .chain(entry.name.iter().copied());
        for (slot, byte) in record.iter_mut().zip(header) {
            *slot = byte;
        }
        self.used += length;
        true
    }
}
