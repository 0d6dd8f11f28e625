//! `struct sockaddr_un`.

use abi::linux::net::AF_UNIX;
use alloc::sync::Arc;
use alloc::vec::Vec;

use crate::{Result, VfsError};

/// Longest name in a `sockaddr_un`.
pub const MAX_NAME: usize = 108;

/// Name of a socket.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub enum Address {
    /// None.
    #[default]
    Unnamed,
    /// A path, as it was given to bind(2), without NUL.
    Path(Arc<[u8]>),
    /// A name outside the file system, without the leading NUL.
    Abstract(Arc<[u8]>),
}

impl Address {
    /// From `struct sockaddr_un` as user space passes it.
    ///
    /// # Errors
    /// [`VfsError::InvalidArgument`] if it is too short, too long or of another family.
    pub fn parse(bytes: &[u8]) -> Result<Self> {
        let (family, name) = bytes.split_first_chunk::<2>().ok_or(VfsError::InvalidArgument)?;
        if u32::from(u16::from_le_bytes(*family)) != AF_UNIX || name.len() > MAX_NAME {
            return Err(VfsError::InvalidArgument);
        }
        Ok(match name.split_first() {
            None => Self::Unnamed,
            Some((0, name)) => Self::Abstract(name.into()),
            Some(_) => Self::Path(name.split(|byte| *byte == 0).next().unwrap_or(name).into()),
        })
    }

    /// As `struct sockaddr_un`; its length is that of the vector.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(2 + MAX_NAME + 1);
        bytes.extend_from_slice(&(AF_UNIX as u16).to_le_bytes());
        match self {
            Self::Unnamed => {}
            Self::Path(name) => {
                bytes.extend_from_slice(name);
                bytes.push(0);
            }
            Self::Abstract(name) => {
                bytes.push(0);
                bytes.extend_from_slice(name);
            }
        }
        bytes
    }

    /// Whether there is a name.
    pub const fn is_named(&self) -> bool {
        !matches!(self, Self::Unnamed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_survive_the_way_there_and_back() {
        for address in [Address::Unnamed, Address::Path((*b"/run/x").into()), Address::Abstract((*b"a\0b").into())] {
            assert_eq!(Address::parse(&address.to_bytes()), Ok(address));
        }
        assert_eq!(Address::parse(b"\x01\0/a\0junk"), Ok(Address::Path((*b"/a").into())));
    }

    #[test]
    fn foreign_and_overlong_addresses_are_refused() {
        assert_eq!(Address::parse(b"\x02\0abc"), Err(VfsError::InvalidArgument));
        assert_eq!(Address::parse(b"\x01"), Err(VfsError::InvalidArgument));
        let mut long = b"\x01\0".to_vec();
        long.extend([b'a'; MAX_NAME + 1]);
        assert_eq!(Address::parse(&long), Err(VfsError::InvalidArgument));
    }
}
