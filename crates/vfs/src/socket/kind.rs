//! Words of the calls: what kind of socket, which directions.

use abi::linux::net;

use super::channel::Framing;
use crate::{Result, VfsError};

/// Semantics of a socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SocketKind {
    /// A stream of bytes between two.
    Stream,
    /// Messages from anybody.
    Datagram,
    /// Messages between two.
    SeqPacket,
}

impl SocketKind {
    /// From the arguments of socket(2), flags removed.
    ///
    /// # Errors
    /// [`VfsError::AddressFamilyNotSupported`] for anything but AF_UNIX, [`VfsError::SocketTypeNotSupported`],
    /// [`VfsError::ProtocolNotSupported`].
    pub const fn from_raw(family: u32, kind: u32, protocol: u32) -> Result<Self> {
        if family != net::AF_UNIX {
            return Err(VfsError::AddressFamilyNotSupported);
        }
        if protocol != 0 && protocol != net::AF_UNIX {
            return Err(VfsError::ProtocolNotSupported);
        }
        match kind {
            net::SOCK_STREAM => Ok(Self::Stream),
            // As Linux: a raw Unix socket is a datagram socket.
            net::SOCK_DGRAM | net::SOCK_RAW => Ok(Self::Datagram),
            net::SOCK_SEQPACKET => Ok(Self::SeqPacket),
            _ => Err(VfsError::SocketTypeNotSupported),
        }
    }

    /// SO_TYPE.
    pub const fn to_raw(self) -> u32 {
        match self {
            Self::Stream => net::SOCK_STREAM,
            Self::Datagram => net::SOCK_DGRAM,
            Self::SeqPacket => net::SOCK_SEQPACKET,
        }
    }

    pub(super) const fn framing(self) -> Framing {
        match self {
            Self::Stream => Framing::Bytes,
            Self::Datagram | Self::SeqPacket => Framing::Messages,
        }
    }
}

/// Which directions shutdown(2) ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shutdown {
    /// Receiving.
    Read,
    /// Sending.
    Write,
    /// Both.
    Both,
}

impl Shutdown {
    /// From shutdown(2)'s argument.
    ///
    /// # Errors
    /// [`VfsError::InvalidArgument`].
    pub const fn from_raw(how: u32) -> Result<Self> {
        match how {
            net::SHUT_RD => Ok(Self::Read),
            net::SHUT_WR => Ok(Self::Write),
            net::SHUT_RDWR => Ok(Self::Both),
            _ => Err(VfsError::InvalidArgument),
        }
    }

    pub(super) const fn reads(self) -> bool {
        matches!(self, Self::Read | Self::Both)
    }

    pub(super) const fn writes(self) -> bool {
        matches!(self, Self::Write | Self::Both)
    }
}
