//! Sockets that a service owns, and what its probe asks.

use alloc::string::String;
use alloc::vec::Vec;

use super::Name;

/// Kind of a socket.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum SocketKind {
    /// A local stream.
    #[default]
    Stream,
    /// Local datagrams.
    Datagram,
    /// Local packets in sequence.
    Packet,
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
}

impl SocketKind {
    /// Whether it has a path rather than a port.
    pub const fn is_local(self) -> bool {
        matches!(self, Self::Stream | Self::Datagram | Self::Packet)
    }
}

/// Where a socket is: an absolute path or `@abstract` if local, else `port` or `a.b.c.d:port`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Endpoint {
    /// Kind of socket.
    pub kind: SocketKind,
    /// Its address.
    pub address: String,
}

/// `sun_path` holds 108 bytes, one of them the final zero or the first of an abstract name.
const MAX_PATH: usize = 107;

impl Endpoint {
    /// Whether the address is one of its kind.
    pub fn is_sound(&self) -> bool {
        let text = self.address.as_str();
        if self.kind.is_local() {
            let named = text.strip_prefix('@').or_else(|| text.strip_prefix('/'));
            return named.is_some_and(|name| !name.is_empty()) && text.len() <= MAX_PATH && !text.contains('\0');
        }
        let (host, port) = text.rsplit_once(':').unwrap_or(("0.0.0.0", text));
        let port = port.parse::<u16>().is_ok_and(|port| port > 0);
        port && host.parse::<core::net::Ipv4Addr>().is_ok()
    }
}

/// A listening socket that the service owns: it outlives instances, so that what waits in it is not lost with one of them.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Listen {
    /// Where.
    pub at: Endpoint,
    /// As programs see it (`LISTEN_FDNAMES`).
    pub name: Name,
    /// Connections that may wait to be accepted.
    pub backlog: u32,
    /// Permissions of a local path.
    pub mode: u16,
}

impl Listen {
    /// With the usual backlog, for its own user and group.
    pub const fn new(kind: SocketKind, address: String, name: Name) -> Self {
        Self { at: Endpoint { kind, address }, name, backlog: 128, mode: 0o660 }
    }
}

/// What a probe asks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum ProbeTarget {
    /// Connects to the first socket that the service owns.
    #[default]
    Own,
    /// Connects there.
    Connect(Endpoint),
    /// Runs this program in the cell; status 0 passes.
    Execute(Vec<String>),
}
