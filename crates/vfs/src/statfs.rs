//! Plain answers to statfs(2).

use abi::Statfs;
use types::PAGE_SIZE;

/// A file system of that magic number without blocks (proc(5) and the like).
pub const fn empty(magic: u32) -> Statfs {
    Statfs {
        f_type: magic as i64,
        f_bsize: PAGE_SIZE as i64,
        f_blocks: 0,
        f_bfree: 0,
        f_bavail: 0,
        f_files: 0,
        f_ffree: 0,
        f_fsid: [0; 2],
        f_namelen: crate::NAME_MAX as i64,
        f_frsize: PAGE_SIZE as i64,
        f_flags: 0,
        f_spare: [0; 4],
    }
}
