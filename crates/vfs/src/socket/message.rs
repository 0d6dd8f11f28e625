//! What is sent and how it is received, as calls say it.

use alloc::sync::Arc;
use alloc::vec::Vec;

use super::{PeerCredentials, Socket};
use crate::{OpenFile, Result};

/// What to send besides the bytes.
pub struct Outgoing<'a> {
    /// To that socket instead of the peer (datagrams).
    pub to: Option<&'a Arc<Socket>>,
    /// Descriptors to send along.
    pub files: Vec<Arc<OpenFile>>,
    /// The sender.
    pub credentials: PeerCredentials,
}

/// Whether received data stays queued.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReceiveMode {
    /// It does not.
    Take,
    /// It does (MSG_PEEK).
    Peek,
}

/// Somebody in the kernel who takes what is sent to a datagram socket at once, while its sender is at it.
pub trait DatagramSink: Send + Sync {
    /// Takes a datagram; its length.
    ///
    /// # Errors
    /// The sender's.
    fn take(&self, data: &[u8]) -> Result<usize>;
}
