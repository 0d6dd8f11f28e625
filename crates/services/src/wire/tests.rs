//! Every message comes back as it was; no bytes make the reader panic or take more memory than they are worth.

use alloc::boxed::Box;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use std::fmt::Debug;

use super::*;
use crate::definition::{Definition, DependencyKind, Name, Version, VersionReq};
use crate::id::{Generation, InstanceId, ServiceId};
use types::{Gid, Nanos, Uid};

/// splitmix64: the same values for the same seed everywhere.
pub(super) struct Draw(u64);

impl Draw {
    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut x = self.0;
        x = (x ^ x >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        x = (x ^ x >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        x ^ x >> 31
    }

    pub(super) fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound as u64) as usize
    }
}

/// A random value; the macros of `codec` give it for every type they describe.
pub(super) trait Sample {
    fn sample(draw: &mut Draw) -> Self;
}

/// A message with its kinds, so that a test can ask for each.
pub(super) trait Message: Sized + PartialEq + Debug {
    const KINDS: &'static [u16];
    fn sample_of(kind: u16, draw: &mut Draw) -> Self;
    fn encode(&self, out: &mut Vec<u8>) -> Result<(), WireError>;
    fn decode(frame: &[u8]) -> Result<Self, WireError>;
}

macro_rules! sample_numbers {
    ($($type:ident),*) => {$(
        impl Sample for $type {
            fn sample(draw: &mut Draw) -> Self {
                match draw.below(4) {
                    0 => 0,
                    1 => $type::MAX,
                    _ => draw.next() as $type,
                }
            }
        }
    )*};
}

macro_rules! sample_newtypes {
    ($($type:ident),*) => {$(
        impl Sample for $type {
            fn sample(draw: &mut Draw) -> Self {
                Self(Sample::sample(draw))
            }
        }
    )*};
}

sample_numbers!(u8, u16, u32, u64);
sample_newtypes!(Nanos, Uid, Gid, ServiceId, InstanceId, Generation);

impl Sample for bool {
    fn sample(draw: &mut Draw) -> Self {
        draw.below(2) == 1
    }
}

impl Sample for String {
    fn sample(draw: &mut Draw) -> Self {
        let alphabet = ['a', 'Z', '0', '/', ' ', '"', '\n', '\0', 'ü', '漢', '🦀'];
        (0..draw.below(12)).map(|_| alphabet[draw.below(alphabet.len())]).collect()
    }
}

impl Sample for Name {
    fn sample(draw: &mut Draw) -> Self {
        let rest: String = (0..draw.below(64)).map(|_| char::from(b"az09._-@#:"[draw.below(10)])).collect();
        Self::new(&format!("n{rest}")).unwrap()
    }
}

impl Sample for Version {
    fn sample(draw: &mut Draw) -> Self {
        let text = format!("{}.{}.{}", draw.below(9), draw.next(), draw.below(1000));
        Self::parse(&format!("{text}{}", ["", "-rc.1", "+build.7", "-a+b"][draw.below(4)])).unwrap()
    }
}

impl Sample for VersionReq {
    fn sample(draw: &mut Draw) -> Self {
        let texts = ["*", "1.2", ">=2.1, <3", "=0.1.0", "~1", "^0.3.1-rc.1", "<=9"];
        Self::parse(texts[draw.below(texts.len())]).unwrap()
    }
}

impl<T: Sample> Sample for Option<T> {
    fn sample(draw: &mut Draw) -> Self {
        bool::sample(draw).then(|| T::sample(draw))
    }
}

impl<T: Sample> Sample for Vec<T> {
    fn sample(draw: &mut Draw) -> Self {
        (0..draw.below(4)).map(|_| T::sample(draw)).collect()
    }
}

impl<T: Sample> Sample for Box<T> {
    fn sample(draw: &mut Draw) -> Self {
        Self::new(T::sample(draw))
    }
}

impl<A: Sample, B: Sample> Sample for (A, B) {
    fn sample(draw: &mut Draw) -> Self {
        (A::sample(draw), B::sample(draw))
    }
}

impl<T: Sample, const N: usize> Sample for [T; N] {
    fn sample(draw: &mut Draw) -> Self {
        core::array::from_fn(|_| T::sample(draw))
    }
}

fn encoded(message: &impl Message) -> Vec<u8> {
    let mut bytes = Vec::new();
    message.encode(&mut bytes).unwrap();
    bytes
}

fn come_back<M: Message>(seed: u64, rounds: usize) {
    let mut draw = Draw(seed);
    for &kind in M::KINDS {
        for _ in 0..rounds {
            let message = M::sample_of(kind, &mut draw);
            let bytes = encoded(&message);
            assert_eq!(M::decode(&bytes).as_ref(), Ok(&message));
            assert_eq!(encoded(&M::decode(&bytes).unwrap()), bytes, "one value has one form");
        }
    }
}

#[test]
fn every_kind_of_request_comes_back_as_it_was() {
    come_back::<Request>(1, 200);
}

#[test]
fn every_kind_of_reply_comes_back_as_it_was() {
    come_back::<Reply>(2, 200);
}

#[test]
fn frames_follow_each_other_in_one_buffer() {
    let mut bytes = Vec::new();
    Request::List.encode(&mut bytes).unwrap();
    let first = bytes.len();
    Request::Boot.encode(&mut bytes).unwrap();
    assert_eq!(Request::length(&bytes), Ok(Some(first)));
    assert_eq!(Request::length(&bytes[..3]), Ok(None));
    assert_eq!(Request::decode(&bytes[..first]), Ok(Request::List));
    assert_eq!(Request::decode(&bytes[first..]), Ok(Request::Boot));
    assert_eq!(Request::decode(&bytes), Err(WireError::Length));
}

#[test]
fn the_header_is_as_documented() {
    let mut bytes = Vec::new();
    Request::Status(Name::new("db").unwrap()).encode(&mut bytes).unwrap();
    assert_eq!(bytes, [8, 0, 0, 0, 1, 0, 2, 0, 2, 0, b'd', b'b']);
}

#[test]
fn each_way_to_be_wrong_has_its_error() {
    let good =
        encoded(&Request::Control { verb: Verb::Stop, name: Name::new("db").unwrap(), mode: crate::StopMode::Alone });
    let with = |at: usize, byte: u8| {
        let mut bytes = good.clone();
        bytes[at] = byte;
        Request::decode(&bytes)
    };
    assert_eq!(with(4, 2), Err(WireError::Version));
    assert_eq!(with(6, 0xff), Err(WireError::Kind));
    assert_eq!(with(8, 99), Err(WireError::Value));
    assert_eq!(with(11, b'/'), Err(WireError::Value));
    assert_eq!(with(11, 0xff), Err(WireError::Text));
    assert_eq!(with(3, 1), Err(WireError::TooLong));
    assert_eq!(with(0, 3), Err(WireError::Length));
    assert_eq!(with(9, 200), Err(WireError::Truncated));
    assert_eq!(Request::decode(&[]), Err(WireError::Truncated));
}

#[test]
fn a_frame_cut_anywhere_is_refused() {
    let mut draw = Draw(3);
    for &kind in Request::KINDS {
        let bytes = encoded(&Request::sample_of(kind, &mut draw));
        for end in 0..bytes.len() {
            let mut cut = bytes[..end].to_vec();
            assert_eq!(Request::decode(&cut), Err(WireError::Truncated));
            // Even if the length field agrees.
            if end >= HEADER {
                cut[..4].copy_from_slice(&(end as u32 - 4).to_le_bytes());
                assert!(Request::decode(&cut).is_err());
            }
        }
    }
}

/// Bytes of memory that one byte of a frame may cost: the worst is a list of pairs of empty texts, 48 bytes for 4, in a
/// vector that doubles.
const WORTH: u64 = 64;

fn try_bytes<M: Message>(bytes: &[u8]) -> bool {
    let mut fine = false;
    let used = allocation_counter::measure(|| fine = M::decode(bytes).is_ok());
    assert!(used.bytes_max <= WORTH * bytes.len() as u64 + 2048, "{} for {} bytes", used.bytes_max, bytes.len());
    fine
}

#[test]
fn random_bytes_are_refused_without_panic_or_waste() {
    let mut draw = Draw(4);
    for round in 0..60_000u32 {
        let mut bytes: Vec<u8> = (0..HEADER + draw.below(200)).map(|_| draw.next() as u8).collect();
        let length = bytes.len() as u32 - 4;
        bytes[..4].copy_from_slice(&length.to_le_bytes());
        bytes[4..8].copy_from_slice(&[1, 0, (round % 24) as u8, 0]);
        try_bytes::<Request>(&bytes);
        try_bytes::<Reply>(&bytes);
    }
}

#[test]
fn damaged_messages_are_refused_or_read_as_others() {
    let mut draw = Draw(5);
    let (mut read, mut refused) = (0u32, 0u32);
    for round in 0..20_000 {
        let request = round % 2 == 0;
        let kinds = if request { Request::KINDS } else { Reply::KINDS };
        let kind = kinds[draw.below(kinds.len())];
        let mut bytes = if request {
            encoded(&Request::sample_of(kind, &mut draw))
        } else {
            encoded(&Reply::sample_of(kind, &mut draw))
        };
        for _ in 0..=draw.below(3) {
            let at = draw.below(bytes.len());
            match draw.below(4) {
                0 => bytes[at] = draw.next() as u8,
                1 => bytes[at] ^= 1 << draw.below(8),
                2 => bytes.insert(at, draw.next() as u8),
                _ => {
                    bytes.remove(at);
                }
            }
            if bytes.len() < HEADER {
                break;
            }
            if draw.below(4) > 0 {
                let length = bytes.len() as u32 - 4;
                bytes[..4].copy_from_slice(&length.to_le_bytes());
            }
        }
        let fine = if request { try_bytes::<Request>(&bytes) } else { try_bytes::<Reply>(&bytes) };
        read += u32::from(fine);
        refused += u32::from(!fine);
    }
    assert!(read > 500 && refused > 5_000, "{read} read, {refused} refused");
}

#[test]
fn a_count_alone_reserves_nothing() {
    // A load of four thousand million units in 17 bytes.
    let mut bytes = [13, 0, 0, 0, 1, 0, 9, 0, 0, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0];
    assert!(!try_bytes::<Request>(&bytes));
    bytes[9..13].copy_from_slice(&4u32.to_le_bytes());
    assert!(!try_bytes::<Request>(&bytes));
}

#[test]
fn what_does_not_fit_leaves_the_buffer_alone() {
    let text = "x".repeat(60_000);
    let mut definition = Definition::daemon(Name::new("big").unwrap(), "/bin/true");
    definition.env = (0..80).map(|at| (format!("K{at}"), text.clone())).collect();
    let mut bytes = [1, 2, 3].to_vec();
    let unit = Unit::bare(definition.clone());
    assert_eq!(Request::Update(Box::new(unit)).encode(&mut bytes), Err(WireError::TooLong));
    assert_eq!(bytes, [1, 2, 3]);
    definition.env = [(String::from("K"), "x".repeat(70_000))].to_vec();
    assert_eq!(Request::Update(Box::new(Unit::bare(definition))).encode(&mut bytes), Err(WireError::TooLong));
    assert_eq!(bytes, [1, 2, 3]);
}

#[test]
fn a_full_set_fits_into_a_frame() {
    let name = |at: usize| Name::new(&format!("{:x<56}{at}", "service-")).unwrap();
    let units: Vec<Unit> = (0..1024)
        .map(|at| {
            let mut definition = Definition::daemon(name(at), "/usr/bin/some/program/with/a/path");
            for dependency in 0..16 {
                definition = definition.with(DependencyKind::Requires, name(dependency));
            }
            let places = (0..16).map(|line| format!("/usr/lib/svc/service-{at}.svc:{line}:13")).collect();
            Unit { places, ..Unit::bare(definition) }
        })
        .collect();
    let request = Request::Load { mode: LoadMode::Replace, units };
    let bytes = encoded(&request);
    assert!(bytes.len() < MAX_FRAME, "{}", bytes.len());
    assert_eq!(Request::decode(&bytes), Ok(request));
}
