//! Structures as bytes, in the machine's little-endian layout, without `unsafe`.

/// A structure that user space and the kernel exchange byte by byte.
pub trait Wire: Sized + Copy {
    /// Bytes it takes in user memory.
    const SIZE: usize;
    /// The same structure as a byte array.
    type Bytes: AsRef<[u8]> + AsMut<[u8]> + Zeroed;

    /// Its bytes as user space sees them.
    fn to_bytes(&self) -> Self::Bytes;
    /// The structure that those bytes spell.
    fn from_bytes(bytes: &Self::Bytes) -> Self;
}

/// An all-zero byte array of any length (the standard `Default` stops at 32).
pub trait Zeroed {
    /// All bytes zero.
    fn zeroed() -> Self;
}

impl<const N: usize> Zeroed for [u8; N] {
    fn zeroed() -> Self {
        [0; N]
    }
}

/// A field of such a structure.
pub trait WireField: Copy {
    /// Bytes it takes.
    const SIZE: usize;
    /// Writes itself to `out`, which is [`Self::SIZE`] long.
    fn put(&self, out: &mut [u8]);
    /// Reads itself from `bytes`, which is [`Self::SIZE`] long.
    fn get(bytes: &[u8]) -> Self;
}

macro_rules! integer {
    ($($t:ty)*) => {$(
        impl WireField for $t {
            const SIZE: usize = size_of::<$t>();
            fn put(&self, out: &mut [u8]) {
                out.copy_from_slice(&self.to_le_bytes());
            }
            fn get(bytes: &[u8]) -> Self {
                let mut buffer = [0; size_of::<$t>()];
                buffer.copy_from_slice(bytes);
                Self::from_le_bytes(buffer)
            }
        }

        impl Wire for $t {
            const SIZE: usize = size_of::<$t>();
            type Bytes = [u8; size_of::<$t>()];
            fn to_bytes(&self) -> Self::Bytes {
                self.to_le_bytes()
            }
            fn from_bytes(bytes: &Self::Bytes) -> Self {
                Self::from_le_bytes(*bytes)
            }
        }
    )*};
}

integer!(u8 i8 u16 i16 u32 i32 u64 i64);

impl<T: WireField, const N: usize> WireField for [T; N] {
    const SIZE: usize = T::SIZE * N;

    fn put(&self, out: &mut [u8]) {
        for (item, slot) in self.iter().zip(out.chunks_exact_mut(T::SIZE)) {
            item.put(slot);
        }
    }

    fn get(bytes: &[u8]) -> Self {
        core::array::from_fn(|i| T::get(bytes.get(i * T::SIZE..(i + 1) * T::SIZE).unwrap_or(&[])))
    }
}

/// Declares a `#[repr(C)]` structure with [`Wire`] and [`WireField`]; padding must be written out as fields.
///
/// A layout whose fields do not fill it exactly does not compile.
#[macro_export]
macro_rules! abi_struct {
    ($(#[$doc:meta])* pub struct $name:ident { $($(#[$fdoc:meta])* pub $field:ident: $type:ty),* $(,)? }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[repr(C)]
        pub struct $name { $($(#[$fdoc])* pub $field: $type),* }

        impl $crate::WireField for $name {
            const SIZE: usize = 0 $(+ <$type as $crate::WireField>::SIZE)*;

            #[allow(unused_assignments)]
            fn put(&self, out: &mut [u8]) {
                let mut at = 0;
                $(
                    if let Some(slot) = out.get_mut(at..at + <$type as $crate::WireField>::SIZE) {
                        $crate::WireField::put(&self.$field, slot);
                    }
                    at += <$type as $crate::WireField>::SIZE;
                )*
            }

            #[allow(unused_assignments)]
            fn get(bytes: &[u8]) -> Self {
                let mut at = 0;
                $(
                    let $field = <$type as $crate::WireField>::get(
                        bytes.get(at..at + <$type as $crate::WireField>::SIZE).unwrap_or(&[]));
                    at += <$type as $crate::WireField>::SIZE;
                )*
                Self { $($field),* }
            }
        }

        impl $crate::Wire for $name {
            const SIZE: usize = <Self as $crate::WireField>::SIZE;
            type Bytes = [u8; <Self as $crate::WireField>::SIZE];

            fn to_bytes(&self) -> Self::Bytes {
                let mut bytes = [0; <Self as $crate::WireField>::SIZE];
                $crate::WireField::put(self, &mut bytes);
                bytes
            }

            fn from_bytes(bytes: &Self::Bytes) -> Self {
                <Self as $crate::WireField>::get(bytes)
            }
        }

        const _: () = assert!(size_of::<$name>() == <$name as $crate::WireField>::SIZE, "padding must be explicit");
    };
}
