//! Unix sockets (unix(7)): stream, datagram and seqpacket, by path, abstract name or in pairs.
//!
//! A connection is two `channel`s, one each way; a datagram socket owns one that everybody sends to. Sockets hold
//! channels, channels hold queued bytes, messages and descriptors, and neither takes the other's lock inside its own.
//! Who sends and who asks is told by the caller ([`PeerCredentials`]); so is the socket a path leads to: the gate finds
//! the inode and asks [`Socket::at`].

mod address;
mod channel;
mod endpoint;
mod file;
mod in_flight;
mod kind;
mod message;
mod names;
mod shared_listener;

#[cfg(test)]
mod shared_tests;
#[cfg(test)]
mod tests;

pub use address::{Address, MAX_NAME};
pub use channel::{Ancillary, PeerCredentials, Received};
pub use endpoint::Socket;
pub use kind::{Shutdown, SocketKind};
pub use message::{DatagramSink, Outgoing, ReceiveMode};
pub use names::AbstractNames;
pub use shared_listener::{Distributor, Outcome, SharedListener};
