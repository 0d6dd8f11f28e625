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
mod attachment;
mod error;
mod file;
mod inode;
mod ioctl;
mod metadata;
pub mod pipe;
mod poll;
mod ring;
pub mod terminal;
#[cfg(test)]
mod testing;

pub use attachment::Attachment;
pub use error::{Result, VfsError};
pub use file::{File, MapRequest, Mapping, Pager, Positioning};
pub use inode::{
    Access, AttributeChange, Caller, DirEntry, FIRST_COOKIE, FileSystem, FileSystemInfo, Inode, LinkTarget, NewContent,
    NewNode, OpenRequest, Place, RenameMode, TimeChange,
};
pub use ioctl::{IOCTL_MAX_BYTES, IoctlShape};
pub use metadata::{Clock, DeviceNumber, FileType, Metadata, Timestamp};
pub use poll::PollEvents;
