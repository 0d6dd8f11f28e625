//! A definition with what only its surroundings need: where it was written down, and what the kernel opens for it.

use alloc::string::String;
use alloc::vec::Vec;

use super::codec::{choice, record};
use crate::definition::{Definition, Name};

/// A service as it is loaded.
#[derive(Clone, Debug, PartialEq)]
pub struct Unit {
    /// What the supervisor decides by.
    pub definition: Definition,
    /// The file it was read from.
    pub file: String,
    /// Where each dependency was written down, `file:line:column`; in the order of `definition.dependencies`, and as many.
    pub places: Vec<String>,
    /// Sockets that belong to the service, not to an instance: opened before the first start, kept until it is unloaded.
    pub sockets: Vec<Socket>,
    /// Whom a probe asks; `definition.health.live` says how often.
    pub probe: ProbeTarget,
}

impl Unit {
    /// A definition that was written down nowhere.
    pub fn bare(definition: Definition) -> Self {
        Self { definition, file: String::new(), places: Vec::new(), sockets: Vec::new(), probe: ProbeTarget::None }
    }
}

/// A listening socket, passed on as LISTEN_FDS.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Socket {
    /// Its name in LISTEN_FDNAMES.
    pub name: Name,
    /// What goes over it.
    pub kind: SocketKind,
    /// Where it is.
    pub address: Address,
}

/// What goes over a socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SocketKind {
    /// Bytes.
    Stream,
    /// Messages, without connection.
    Datagram,
    /// Messages, over a connection.
    SequencedPacket,
}

/// Where a socket is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    /// A Unix socket in the file system.
    Path(String),
    /// A Unix socket with a name outside the file system.
    Abstract(String),
    /// An internet socket.
    Internet {
        /// Address, as four bytes; all zero means any.
        host: [u8; 4],
        /// Port.
        port: u16,
    },
}

/// Whom a probe asks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum ProbeTarget {
    /// There is no probe.
    #[default]
    None,
    /// A connection to this address must be accepted.
    Connect(Address),
    /// This program must end with status 0.
    Execute(Vec<String>),
}

choice!(SocketKind { 0 => Stream, 1 => Datagram, 2 => SequencedPacket });
choice!(Address { 0 => Path(path), 1 => Abstract(name), 2 => Internet { host, port } });
record!(Socket { name, kind, address });
choice!(ProbeTarget { 0 => None, 1 => Connect(address), 2 => Execute(argv) });
record!(Unit { definition, file, places, sockets, probe });
