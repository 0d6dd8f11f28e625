//! Bytes and values: the writer, the reader, and how plain values are written.
//!
//! The macros `record!` and `choice!` describe a type once and give its writer, its reader and, for tests, a generator of
//! random values. They name every field and variant, so a type that grows does not compile until it is said here.

use alloc::boxed::Box;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use super::{HEADER, MAX_FRAME, VERSION};
use crate::definition::{Name, Version, VersionReq};
use crate::id::{Generation, InstanceId, ServiceId};
use types::{Gid, Nanos, Uid};

/// Why bytes are not a message, or a message does not become bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum WireError {
    /// They end in the middle.
    Truncated,
    /// There are more than the message has, or the length is not that of the frame.
    Length,
    /// Another version of the protocol.
    Version,
    /// No such kind of message.
    Kind,
    /// A value is not one of those its field may have.
    Value,
    /// Text is not UTF-8.
    Text,
    /// Longer than a frame or a text may be.
    TooLong,
    /// No memory.
    Memory,
}

type Result<T> = core::result::Result<T, WireError>;

/// A value with a place in the protocol.
pub(super) trait Wire: Sized {
    fn put(&self, out: &mut Writer<'_>) -> Result<()>;
    fn take(from: &mut Reader<'_>) -> Result<Self>;
}

/// Appends to a vector, but never more than a frame.
pub(super) struct Writer<'a> {
    out: &'a mut Vec<u8>,
    start: usize,
}

impl Writer<'_> {
    pub(super) fn bytes(&mut self, bytes: &[u8]) -> Result<()> {
        if self.out.len() - self.start + bytes.len() > MAX_FRAME {
            return Err(WireError::TooLong);
        }
        self.out.try_reserve(bytes.len()).map_err(|_| WireError::Memory)?;
        self.out.extend_from_slice(bytes);
        Ok(())
    }
}

/// Takes from the front of a slice.
pub(super) struct Reader<'a> {
    left: &'a [u8],
}

impl<'a> Reader<'a> {
    fn bytes(&mut self, count: usize) -> Result<&'a [u8]> {
        let (taken, left) = self.left.split_at_checked(count).ok_or(WireError::Truncated)?;
        self.left = left;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N]> {
        let (taken, left) = self.left.split_first_chunk().ok_or(WireError::Truncated)?;
        self.left = left;
        Ok(*taken)
    }
}

/// Writes a frame of that kind; on failure `out` is as before.
pub(super) fn frame(out: &mut Vec<u8>, kind: u16, payload: impl FnOnce(&mut Writer<'_>) -> Result<()>) -> Result<()> {
    let start = out.len();
    let written = write_frame(out, start, kind, payload);
    if written.is_err() {
        out.truncate(start);
    }
    written
}

fn write_frame(
    out: &mut Vec<u8>,
    start: usize,
    kind: u16,
    payload: impl FnOnce(&mut Writer<'_>) -> Result<()>,
) -> Result<()> {
    let mut writer = Writer { out, start };
    0u32.put(&mut writer)?;
    VERSION.put(&mut writer)?;
    kind.put(&mut writer)?;
    payload(&mut writer)?;
    let length = (out.len() - start).checked_sub(size_of::<u32>()).ok_or(WireError::Length)?;
    let length = u32::try_from(length).map_err(|_| WireError::TooLong)?;
    let field = out.get_mut(start..start + size_of::<u32>()).ok_or(WireError::Length)?;
    field.copy_from_slice(&length.to_le_bytes());
    Ok(())
}

/// The whole length of the frame that begins with these bytes, as soon as enough of it is there to tell.
///
/// # Errors
/// `TooLong` and `Length` if no frame can begin so.
pub(super) fn frame_length(begin: &[u8]) -> Result<Option<usize>> {
    let Some(length) = begin.first_chunk() else { return Ok(None) };
    let length = u32::from_le_bytes(*length) as usize;
    let whole = length.checked_add(size_of::<u32>()).filter(|whole| *whole <= MAX_FRAME).ok_or(WireError::TooLong)?;
    if whole < HEADER { Err(WireError::Length) } else { Ok(Some(whole)) }
}

/// Reads a frame whole: its kind decides how its payload is read, and nothing may be left over.
pub(super) fn unframe<T>(frame: &[u8], payload: impl FnOnce(u16, &mut Reader<'_>) -> Result<T>) -> Result<T> {
    let length = frame_length(frame)?.ok_or(WireError::Truncated)?;
    match frame.len() {
        there if there < length => return Err(WireError::Truncated),
        there if there > length => return Err(WireError::Length),
        _ => {}
    }
    let mut reader = Reader { left: frame };
    u32::take(&mut reader)?;
    if u16::take(&mut reader)? != VERSION {
        return Err(WireError::Version);
    }
    let kind = u16::take(&mut reader)?;
    let value = payload(kind, &mut reader)?;
    if reader.left.is_empty() { Ok(value) } else { Err(WireError::Length) }
}

macro_rules! number {
    ($($type:ty),*) => {$(
        impl Wire for $type {
            fn put(&self, out: &mut Writer<'_>) -> Result<()> {
                out.bytes(&self.to_le_bytes())
            }

            fn take(from: &mut Reader<'_>) -> Result<Self> {
                Ok(Self::from_le_bytes(from.array()?))
            }
        }
    )*};
}

macro_rules! newtype {
    ($($type:ident),*) => {$(
        impl Wire for $type {
            fn put(&self, out: &mut Writer<'_>) -> Result<()> {
                self.0.put(out)
            }

            fn take(from: &mut Reader<'_>) -> Result<Self> {
                Ok(Self(Wire::take(from)?))
            }
        }
    )*};
}

number!(u8, u16, u32, u64);
newtype!(Nanos, Uid, Gid, ServiceId, InstanceId, Generation);

impl Wire for bool {
    fn put(&self, out: &mut Writer<'_>) -> Result<()> {
        u8::from(*self).put(out)
    }

    fn take(from: &mut Reader<'_>) -> Result<Self> {
        match u8::take(from)? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(WireError::Value),
        }
    }
}

impl Wire for String {
    fn put(&self, out: &mut Writer<'_>) -> Result<()> {
        put_text(self, out)
    }

    fn take(from: &mut Reader<'_>) -> Result<Self> {
        let text = take_text(from)?;
        let mut string = Self::new();
        string.try_reserve_exact(text.len()).map_err(|_| WireError::Memory)?;
        string.push_str(text);
        Ok(string)
    }
}

fn put_text(text: &str, out: &mut Writer<'_>) -> Result<()> {
    u16::try_from(text.len()).map_err(|_| WireError::TooLong)?.put(out)?;
    out.bytes(text.as_bytes())
}

fn take_text<'a>(from: &mut Reader<'a>) -> Result<&'a str> {
    let length = u16::take(from)?;
    core::str::from_utf8(from.bytes(length.into())?).map_err(|_| WireError::Text)
}

impl Wire for Name {
    fn put(&self, out: &mut Writer<'_>) -> Result<()> {
        put_text(self.as_str(), out)
    }

    fn take(from: &mut Reader<'_>) -> Result<Self> {
        Self::new(take_text(from)?).map_err(|_| WireError::Value)
    }
}

/// Longest version or requirement: `semver` allocates by its own rules, so not more than this is given to it.
const MAX_VERSION: usize = 256;

macro_rules! parsed {
    ($($type:ident),*) => {$(
        impl Wire for $type {
            fn put(&self, out: &mut Writer<'_>) -> Result<()> {
                let text = self.to_string();
                if text.len() > MAX_VERSION { Err(WireError::TooLong) } else { put_text(&text, out) }
            }

            fn take(from: &mut Reader<'_>) -> Result<Self> {
                let text = take_text(from)?;
                if text.len() > MAX_VERSION {
                    return Err(WireError::TooLong);
                }
                Self::parse(text).map_err(|_| WireError::Value)
            }
        }
    )*};
}

parsed!(Version, VersionReq);

impl<T: Wire> Wire for Option<T> {
    fn put(&self, out: &mut Writer<'_>) -> Result<()> {
        self.is_some().put(out)?;
        self.as_ref().map_or(Ok(()), |value| value.put(out))
    }

    fn take(from: &mut Reader<'_>) -> Result<Self> {
        Ok(if bool::take(from)? { Some(T::take(from)?) } else { None })
    }
}

impl<T: Wire> Wire for Vec<T> {
    fn put(&self, out: &mut Writer<'_>) -> Result<()> {
        u32::try_from(self.len()).map_err(|_| WireError::TooLong)?.put(out)?;
        self.iter().try_for_each(|value| value.put(out))
    }

    fn take(from: &mut Reader<'_>) -> Result<Self> {
        let count = u32::take(from)? as usize;
        // Every element takes a byte at least; what is reserved grows with what was read, not with the count.
        if count > from.left.len() {
            return Err(WireError::Truncated);
        }
        let mut list = Self::new();
        for _ in 0..count {
            list.try_reserve(1).map_err(|_| WireError::Memory)?;
            list.push(T::take(from)?);
        }
        Ok(list)
    }
}

impl<T: Wire> Wire for Box<T> {
    fn put(&self, out: &mut Writer<'_>) -> Result<()> {
        T::put(self, out)
    }

    fn take(from: &mut Reader<'_>) -> Result<Self> {
        Ok(Self::new(T::take(from)?))
    }
}

impl<A: Wire, B: Wire> Wire for (A, B) {
    fn put(&self, out: &mut Writer<'_>) -> Result<()> {
        self.0.put(out)?;
        self.1.put(out)
    }

    fn take(from: &mut Reader<'_>) -> Result<Self> {
        Ok((A::take(from)?, B::take(from)?))
    }
}

impl<const N: usize> Wire for [u8; N] {
    fn put(&self, out: &mut Writer<'_>) -> Result<()> {
        out.bytes(self)
    }

    fn take(from: &mut Reader<'_>) -> Result<Self> {
        from.array()
    }
}

impl<T: Wire + Copy + Default, const N: usize> Wire for [Option<T>; N] {
    fn put(&self, out: &mut Writer<'_>) -> Result<()> {
        self.iter().try_for_each(|value| value.put(out))
    }

    fn take(from: &mut Reader<'_>) -> Result<Self> {
        let mut all = [None; N];
        for slot in &mut all {
            *slot = Wire::take(from)?;
        }
        Ok(all)
    }
}

/// `record!(Type { every, field })`: the fields one after the other.
macro_rules! record {
    ($type:ident { $($field:ident),* $(,)? }) => {
        impl $crate::wire::codec::Wire for $type {
            fn put(
                &self,
                out: &mut $crate::wire::codec::Writer<'_>,
            ) -> core::result::Result<(), $crate::wire::codec::WireError> {
                let Self { $($field),* } = self;
                $($crate::wire::codec::Wire::put($field, out)?;)*
                Ok(())
            }

            fn take(
                from: &mut $crate::wire::codec::Reader<'_>,
            ) -> core::result::Result<Self, $crate::wire::codec::WireError> {
                $(let $field = $crate::wire::codec::Wire::take(from)?;)*
                Ok(Self { $($field),* })
            }
        }

        #[cfg(test)]
        impl $crate::wire::tests::Sample for $type {
            fn sample(draw: &mut $crate::wire::tests::Draw) -> Self {
                $(let $field = $crate::wire::tests::Sample::sample(draw);)*
                Self { $($field),* }
            }
        }
    };
}

/// `choice!(Type { 0 => Plain, 1 => With(value), 2 => Named { field } })`: a byte, then the fields.
macro_rules! choice {
    ($type:ident { $($code:literal => $variant:ident $(($($value:ident),*))? $({ $($field:ident),* })?),* $(,)? }) => {
        impl $crate::wire::codec::Wire for $type {
            fn put(
                &self,
                out: &mut $crate::wire::codec::Writer<'_>,
            ) -> core::result::Result<(), $crate::wire::codec::WireError> {
                match self {
                    $(Self::$variant $(($($value),*))? $({ $($field),* })? => {
                        out.bytes(&[$code])?;
                        $($($crate::wire::codec::Wire::put($value, out)?;)*)?
                        $($($crate::wire::codec::Wire::put($field, out)?;)*)?
                    })*
                }
                Ok(())
            }

            fn take(
                from: &mut $crate::wire::codec::Reader<'_>,
            ) -> core::result::Result<Self, $crate::wire::codec::WireError> {
                match <u8 as $crate::wire::codec::Wire>::take(from)? {
                    $($code => {
                        $($(let $value = $crate::wire::codec::Wire::take(from)?;)*)?
                        $($(let $field = $crate::wire::codec::Wire::take(from)?;)*)?
                        Ok(Self::$variant $(($($value),*))? $({ $($field),* })?)
                    })*
                    _ => Err($crate::wire::codec::WireError::Value),
                }
            }
        }

        #[cfg(test)]
        impl $crate::wire::tests::Sample for $type {
            fn sample(draw: &mut $crate::wire::tests::Draw) -> Self {
                let codes: &[u8] = &[$($code),*];
                match codes[draw.below(codes.len())] {
                    $($code => {
                        $($(let $value = $crate::wire::tests::Sample::sample(draw);)*)?
                        $($(let $field = $crate::wire::tests::Sample::sample(draw);)*)?
                        Self::$variant $(($($value),*))? $({ $($field),* })?
                    })*
                    _ => unreachable!(),
                }
            }
        }
    };
}

/// As `choice!`, for a whole message: the number is the frame's kind. Gives `encode` and `decode`.
macro_rules! message {
    ($type:ident { $($kind:literal => $variant:ident $(($($value:ident),*))? $({ $($field:ident),* })?),* $(,)? }) => {
        impl $type {
            /// Appends its frame to `out`.
            ///
            /// # Errors
            /// `TooLong` and `Memory`; then `out` is as before.
            pub fn encode(&self, out: &mut alloc::vec::Vec<u8>) -> core::result::Result<(), $crate::wire::WireError> {
                match self {
                    $(Self::$variant $(($($value),*))? $({ $($field),* })? => {
                        $crate::wire::codec::frame(out, $kind, |_out| {
                            $($($crate::wire::codec::Wire::put($value, _out)?;)*)?
                            $($($crate::wire::codec::Wire::put($field, _out)?;)*)?
                            Ok(())
                        })
                    })*
                }
            }

            /// Reads exactly one frame.
            ///
            /// # Errors
            /// What is wrong with the bytes.
            pub fn decode(frame: &[u8]) -> core::result::Result<Self, $crate::wire::WireError> {
                $crate::wire::codec::unframe(frame, |kind, _from| match kind {
                    $($kind => {
                        $($(let $value = $crate::wire::codec::Wire::take(_from)?;)*)?
                        $($(let $field = $crate::wire::codec::Wire::take(_from)?;)*)?
                        Ok(Self::$variant $(($($value),*))? $({ $($field),* })?)
                    })*
                    _ => Err($crate::wire::WireError::Kind),
                })
            }

            /// The whole length of the frame that begins with these bytes; `None` if too few are there to tell.
            ///
            /// # Errors
            /// `TooLong` and `Length` if no frame can begin so.
            pub fn length(begin: &[u8]) -> core::result::Result<Option<usize>, $crate::wire::WireError> {
                $crate::wire::codec::frame_length(begin)
            }
        }

        #[cfg(test)]
        impl $crate::wire::tests::Message for $type {
            const KINDS: &'static [u16] = &[$($kind),*];

            fn sample_of(kind: u16, draw: &mut $crate::wire::tests::Draw) -> Self {
                let _ = &draw;
                match kind {
                    $($kind => {
                        $($(let $value = $crate::wire::tests::Sample::sample(draw);)*)?
                        $($(let $field = $crate::wire::tests::Sample::sample(draw);)*)?
                        Self::$variant $(($($value),*))? $({ $($field),* })?
                    })*
                    _ => unreachable!(),
                }
            }

            fn encode(&self, out: &mut alloc::vec::Vec<u8>) -> core::result::Result<(), $crate::wire::WireError> {
                Self::encode(self, out)
            }

            fn decode(frame: &[u8]) -> core::result::Result<Self, $crate::wire::WireError> {
                Self::decode(frame)
            }
        }
    };
}

pub(super) use {choice, message, record};
