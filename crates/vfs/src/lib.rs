//! Files as programs see them: a tree of mounted file systems, open files, devices and streams.
//!
//! Nothing here waits and nothing here touches user memory: operations work on kernel slices and answer
//! [`VfsError::WouldBlock`]; who wants to wait registers in the queues a [`File`] names and tries again. Time, user,
//! process and randomness come in as arguments or injected objects.
//!
//! [`File`] is behaviour behind an open file, [`Inode`] a node of a file system, [`FileSystem`] what can be mounted.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;
#[cfg(test)]
extern crate std;

mod anonymous;
mod anonymous_node;
mod attachment;
mod attributes;
pub mod cpio;
mod create;
pub mod dev;
mod device;
mod dirents;
pub mod epoll;
mod error;
pub mod eventfd;
mod file;
mod file_locks;
mod inode;
pub mod inotify;
mod ioctl;
mod location;
mod metadata;
mod mount;
pub mod mqueue;
mod notify;
mod open;
mod open_file;
mod permission;
pub mod pipe;
mod poll;
pub mod proc;
pub mod ramfs;
mod remove;
mod ring;
pub mod signalfd;
pub mod socket;
pub mod statfs;
pub mod terminal;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
pub mod timerfd;
mod walk;
mod write_count;

pub use attachment::Attachment;
pub use attributes::Rights;
pub use device::{Device, DeviceKind, DeviceRegistry};
pub use error::{Result, VfsError};
pub use file::{File, MapRequest, Mapping, Pager, Positioning};
pub use file_locks::{FileLocks, LockKind, LockOwner, RecordLock};
pub use inode::{
    Access, AttributeChange, Caller, DirEntry, FIRST_COOKIE, FileSystem, FileSystemInfo, Inode, LinkTarget, NamedIn,
    NewContent, NewNode, OpenRequest, RenameMode, TimeChange,
};
pub use ioctl::{IOCTL_MAX_BYTES, IoctlShape};
pub use location::Location;
pub use metadata::{Clock, DeviceNumber, FileType, Metadata, Timestamp};
pub use mount::{Mount, MountCopies, MountFlags, MountLine, Namespace, Recursion, Unmount};
pub use notify::{WATCH_LIMITS, WatchLimits};
pub use open::Opened;
pub use open_file::{MAX_FILE_SIZE, OpenFile, SeekFrom, WriteRules};
pub use permission::{Want, is_owner, permit, real_rights};
pub use poll::PollEvents;
pub use walk::{Confine, Follow, FsContext, NAME_MAX, PATH_MAX};
pub use write_count::{ExecutionGuard, WriteCount};
