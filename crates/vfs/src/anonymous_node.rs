//! Nodes for open files that have no place in the tree, so that /proc/PID/fd/N of a pipe can be followed.

use alloc::string::String;
use alloc::sync::Arc;

use abi::Statfs;

use crate::{File, FileSystem, FileSystemInfo, FileType, Inode, Metadata, OpenFile, OpenRequest, Result};

/// A node that stands for an open file.
pub(crate) struct AnonymousNode(pub(crate) Arc<OpenFile>);

impl Inode for AnonymousNode {
    fn metadata(&self) -> Metadata {
        self.0.file().metadata()
    }

    fn open(self: Arc<Self>, request: &OpenRequest<'_>) -> Result<Arc<dyn File>> {
        self.0.file().clone().reopen(request)
    }
}

/// The file system of such nodes. It has no content.
pub(crate) struct AnonymousFs {
    root: Arc<AnonymousRoot>,
}

impl AnonymousFs {
    pub(crate) fn new() -> Self {
        Self { root: Arc::new(AnonymousRoot) }
    }
}

struct AnonymousRoot;

impl Inode for AnonymousRoot {
    fn metadata(&self) -> Metadata {
        Metadata { ino: u64::MAX, ..Metadata::new(FileType::Directory, 0) }
    }
}

impl FileSystem for AnonymousFs {
    fn root(&self) -> Arc<dyn Inode> {
        self.root.clone()
    }

    fn statfs(&self) -> Statfs {
        crate::statfs::empty(abi::linux::general::ANON_INODE_FS_MAGIC)
    }

    fn info(&self) -> FileSystemInfo {
        FileSystemInfo { kind: "anon_inodefs", options: String::new() }
    }
}
