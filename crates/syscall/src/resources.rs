//! The types that this kernel plugs into a process.

use alloc::sync::Arc;

use memory::AddressSpace;

/// What processes keep for the other rooms.
#[derive(Debug)]
pub struct Resources;

/// An open file description; descriptors share it.
pub type OpenFile = vfs::OpenFile;
/// A process of this kernel.
pub type Process = process::Process<Resources>;
/// A thread of this kernel.
pub type Thread = process::Thread<Resources>;

impl process::Resources for Resources {
    type Space = AddressSpace;
    type File = Arc<OpenFile>;
    type Path = vfs::Location;
    type Terminal = Arc<vfs::terminal::Terminal>;
    type Namespaces = Arc<crate::NamespaceSet>;
    type Filter = Arc<process::filter::CallFilter>;
}
