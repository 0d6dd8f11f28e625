//! What stat(2) tells.

use abi::linux::general as linux;
use abi::{Stat, Statx, StatxTimestamp, Timespec};
use types::{Gid, Uid};

/// A point of real time: seconds since 1970 and nanoseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Default, Hash)]
pub struct Timestamp {
    /// Whole seconds; negative before 1970.
    pub secs: i64,
    /// Nanoseconds past that, `0..1_000_000_000`.
    pub nanos: u32,
}

impl Timestamp {
    /// `secs` seconds since 1970.
    pub const fn from_secs(secs: i64) -> Self {
        Self { secs, nanos: 0 }
    }

    const fn to_timespec(self) -> Timespec {
        Timespec { tv_sec: self.secs, tv_nsec: self.nanos as i64 }
    }

    const fn to_statx(self) -> StatxTimestamp {
        StatxTimestamp { tv_sec: self.secs, tv_nsec: self.nanos, pad: 0 }
    }
}

/// Real time, for the time stamps of files.
pub trait Clock: Send + Sync {
    /// Now.
    fn now(&self) -> Timestamp;
}

/// Kind of a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FileType {
    /// Regular file.
    Regular,
    /// Directory.
    Directory,
    /// Symbolic link.
    Symlink,
    /// Named pipe.
    Fifo,
    /// Socket.
    Socket,
    /// Character device.
    CharDevice,
    /// Block device.
    BlockDevice,
}

impl FileType {
    /// As in `st_mode`.
    pub const fn mode_bits(self) -> u32 {
        match self {
            Self::Regular => linux::S_IFREG,
            Self::Directory => linux::S_IFDIR,
            Self::Symlink => linux::S_IFLNK,
            Self::Fifo => linux::S_IFIFO,
            Self::Socket => linux::S_IFSOCK,
            Self::CharDevice => linux::S_IFCHR,
            Self::BlockDevice => linux::S_IFBLK,
        }
    }

    /// From the type bits of `st_mode`.
    pub const fn from_mode(mode: u32) -> Option<Self> {
        Some(match mode & linux::S_IFMT {
            linux::S_IFREG => Self::Regular,
            linux::S_IFDIR => Self::Directory,
            linux::S_IFLNK => Self::Symlink,
            linux::S_IFIFO => Self::Fifo,
            linux::S_IFSOCK => Self::Socket,
            linux::S_IFCHR => Self::CharDevice,
            linux::S_IFBLK => Self::BlockDevice,
            _ => return None,
        })
    }

    /// As in `d_type` of a directory entry.
    pub const fn dirent_type(self) -> u8 {
        (self.mode_bits() >> 12) as u8
    }
}

/// Which device.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct DeviceNumber {
    /// The driver.
    pub major: u32,
    /// The driver's device.
    pub minor: u32,
}

impl DeviceNumber {
    /// Device `major:minor`.
    pub const fn new(major: u32, minor: u32) -> Self {
        Self { major, minor }
    }

    /// As in `st_rdev` (makedev(3)).
    pub const fn encode(self) -> u64 {
        let (major, minor) = (self.major as u64, self.minor as u64);
        (minor & 0xff) | (major & 0xfff) << 8 | (minor & !0xff) << 12 | (major & !0xfff) << 32
    }

    /// From `st_rdev` or mknod(2)'s argument.
    pub const fn decode(dev: u64) -> Self {
        Self {
            major: ((dev >> 8) & 0xfff) as u32 | ((dev >> 32) & !0xfff) as u32,
            minor: (dev & 0xff) as u32 | ((dev >> 12) & !0xff) as u32,
        }
    }
}

/// Everything stat(2) tells about a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Metadata {
    /// Device of the file system.
    pub dev: DeviceNumber,
    /// Inode number.
    pub ino: u64,
    /// Kind.
    pub kind: FileType,
    /// Permission, set-id and sticky bits, 0o7777.
    pub mode: u32,
    /// Hard links.
    pub nlink: u32,
    /// Owner.
    pub uid: Uid,
    /// Group.
    pub gid: Gid,
    /// Device that the node stands for.
    pub rdev: DeviceNumber,
    /// Length, bytes.
    pub size: u64,
    /// Bytes allocated.
    pub allocated: u64,
    /// Last access.
    pub atime: Timestamp,
    /// Last change of content.
    pub mtime: Timestamp,
    /// Last change of the node.
    pub ctime: Timestamp,
    /// Creation.
    pub btime: Timestamp,
}

impl Metadata {
    /// A node of that kind and mode, all else zero and one link.
    pub const fn new(kind: FileType, mode: u32) -> Self {
        let epoch = Timestamp::from_secs(0);
        Self {
            dev: DeviceNumber::new(0, 0),
            ino: 0,
            kind,
            mode,
            nlink: 1,
            uid: Uid::ROOT,
            gid: Gid::ROOT,
            rdev: DeviceNumber::new(0, 0),
            size: 0,
            allocated: 0,
            atime: epoch,
            mtime: epoch,
            ctime: epoch,
            btime: epoch,
        }
    }

    /// Type and permission bits together.
    pub const fn st_mode(&self) -> u32 {
        self.kind.mode_bits() | self.mode & 0o7777
    }

    /// For stat(2).
    pub const fn to_stat(&self) -> Stat {
        Stat {
            st_dev: self.dev.encode(),
            st_ino: self.ino,
            st_nlink: self.nlink as u64,
            st_mode: self.st_mode(),
            st_uid: self.uid.0,
            st_gid: self.gid.0,
            pad0: 0,
            st_rdev: self.rdev.encode(),
            st_size: self.size as i64,
            st_blksize: types::PAGE_SIZE as i64,
            st_blocks: self.allocated.div_ceil(512) as i64,
            st_atime: self.atime.to_timespec(),
            st_mtime: self.mtime.to_timespec(),
            st_ctime: self.ctime.to_timespec(),
            unused: [0; 3],
        }
    }

    /// For statx(2); `mount` is the number of the mount the node was reached by.
    pub const fn to_statx(&self, mount: u64) -> Statx {
        Statx {
            stx_mask: linux::STATX_BASIC_STATS | linux::STATX_BTIME | linux::STATX_MNT_ID,
            stx_blksize: types::PAGE_SIZE as u32,
            stx_attributes: 0,
            stx_nlink: self.nlink,
            stx_uid: self.uid.0,
            stx_gid: self.gid.0,
            stx_mode: self.st_mode() as u16,
            pad0: 0,
            stx_ino: self.ino,
            stx_size: self.size,
            stx_blocks: self.allocated.div_ceil(512),
            stx_attributes_mask: 0,
            stx_atime: self.atime.to_statx(),
            stx_btime: self.btime.to_statx(),
            stx_ctime: self.ctime.to_statx(),
            stx_mtime: self.mtime.to_statx(),
            stx_rdev_major: self.rdev.major,
            stx_rdev_minor: self.rdev.minor,
            stx_dev_major: self.dev.major,
            stx_dev_minor: self.dev.minor,
            stx_mnt_id: mount,
            spare: [0; 13],
        }
    }
}
