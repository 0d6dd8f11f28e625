//! Archives made here, whole and damaged.

use std::format;
use std::string::String;
use std::vec::Vec;

use abi::linux::general as linux;
use miniz_oxide::deflate::compress_to_vec;
use proptest::prelude::*;

use super::{CpioError, CpioErrorKind, Unpacked, unpack};
use crate::testing::Random;
use crate::tests::World;
use crate::{DeviceNumber, FileType, VfsError};

/// An archive under construction.
#[derive(Default)]
struct Archive {
    bytes: Vec<u8>,
}

/// Numbers of an entry's header.
#[derive(Clone, Copy)]
struct Numbers {
    ino: u32,
    mode: u32,
    uid: u32,
    nlink: u32,
    mtime: u32,
    rdev: (u32, u32),
}

const FILE: Numbers = Numbers { ino: 0, mode: linux::S_IFREG | 0o644, uid: 0, nlink: 1, mtime: 1000, rdev: (0, 0) };
const DIRECTORY: Numbers = Numbers { mode: linux::S_IFDIR | 0o755, ..FILE };
const SYMLINK: Numbers = Numbers { mode: linux::S_IFLNK | 0o777, ..FILE };

impl Archive {
    fn entry(mut self, name: &str, numbers: Numbers, data: &[u8]) -> Self {
        let Numbers { ino, mode, uid, nlink, mtime, rdev } = numbers;
        let (size, name_size) = (data.len(), name.len() + 1);
        let (major, minor) = rdev;
        let header = format!(
            "070701{ino:08x}{mode:08X}{uid:08x}{uid:08x}{nlink:08x}{mtime:08x}{size:08x}\
             {:08x}{:08x}{major:08x}{minor:08x}{name_size:08x}{:08x}",
            0, 0, 0
        );
        self.bytes.extend_from_slice(header.as_bytes());
        self.bytes.extend_from_slice(name.as_bytes());
        self.bytes.push(0);
        self.align();
        self.bytes.extend_from_slice(data);
        self.align();
        self
    }

    fn finish(self) -> Vec<u8> {
        self.entry("TRAILER!!!", Numbers { mode: 0, ..FILE }, b"").bytes
    }

    fn align(&mut self) {
        while !self.bytes.len().is_multiple_of(4) {
            self.bytes.push(0);
        }
    }
}

fn gzip(data: &[u8]) -> Vec<u8> {
    let mut out = Vec::from([0x1f, 0x8b, 8, 8, 0, 0, 0, 0, 0, 3]);
    out.extend_from_slice(b"initramfs.cpio\0");
    out.extend_from_slice(&compress_to_vec(data, 6));
    let mut crc = !0_u32;
    for byte in data {
        crc ^= u32::from(*byte);
        for _ in 0..8 {
            crc = if crc & 1 != 0 { (crc >> 1) ^ 0xedb8_8320 } else { crc >> 1 };
        }
    }
    out.extend_from_slice(&(!crc).to_le_bytes());
    out.extend_from_slice(&(data.len() as u32).to_le_bytes());
    out
}

fn load(world: &World, image: &[u8]) -> Result<Unpacked, CpioError> {
    unpack(image, &world.fs())
}

fn sample() -> Vec<u8> {
    Archive::default()
        .entry(".", DIRECTORY, b"")
        .entry("bin", DIRECTORY, b"")
        .entry("bin/busybox", Numbers { mode: linux::S_IFREG | 0o4755, uid: 7, ..FILE }, &[0x7f; 70_001])
        .entry("bin/sh", SYMLINK, b"busybox")
        .entry("dev", DIRECTORY, b"")
        .entry("dev/console", Numbers { mode: linux::S_IFCHR | 0o600, rdev: (5, 1), ..FILE }, b"")
        .entry("fifo", Numbers { mode: linux::S_IFIFO | 0o600, ..FILE }, b"")
        .entry("one", Numbers { ino: 9, nlink: 2, ..FILE }, b"")
        .entry("two", Numbers { ino: 9, nlink: 2, ..FILE }, b"linked")
        .finish()
}

fn check_sample(world: &World) {
    assert_eq!(world.read("/bin/sh").unwrap(), [0x7f; 70_001]);
    let busybox = world.stat("/bin/busybox").unwrap();
    assert_eq!((busybox.mode, busybox.uid.0, busybox.gid.0, busybox.mtime.secs), (0o4755, 7, 7, 1000));
    assert_eq!(world.stat("/bin").unwrap().mtime.secs, 1000);
    let console = world.stat("/dev/console").unwrap();
    assert_eq!((console.kind, console.rdev), (FileType::CharDevice, DeviceNumber::new(5, 1)));
    assert_eq!(world.stat("/fifo").unwrap().kind, FileType::Fifo);
    assert_eq!(world.read("/one").unwrap(), b"linked");
    assert_eq!(world.stat("/two").unwrap().nlink, 2);
}

#[test]
fn plain_archive_is_unpacked() {
    let world = World::new();
    let done = load(&world, &sample()).unwrap();
    assert_eq!((done.archives, done.entries, done.bytes), (1, 9, 70_007));
    check_sample(&world);
}

#[test]
fn compressed_archive_is_unpacked() {
    let world = World::new();
    load(&world, &gzip(&sample())).unwrap();
    check_sample(&world);
}

#[test]
fn archives_follow_each_other_with_zeros_between() {
    let world = World::new();
    let early = Archive::default().entry("kernel", DIRECTORY, b"").entry("kernel/x", FILE, b"early").finish();
    let mut image = early.clone();
    image.resize(image.len().next_multiple_of(512), 0);
    image.extend(gzip(&sample()));
    image.extend([0; 7]);
    let late = Archive::default().entry("kernel/x", FILE, b"late").entry("bin/sh", FILE, b"file").finish();
    image.extend(gzip(&[late, Vec::from([0; 600]), Archive::default().entry("z", FILE, b"").finish()].concat()));
    image.extend([0; 512]);
    let done = load(&world, &image).unwrap();
    assert_eq!(done.archives, 4);
    assert_eq!(world.read("/kernel/x").unwrap(), b"late");
    assert_eq!(world.read("/bin/sh").unwrap(), b"file", "a file has replaced the link");
    assert_eq!(world.read("/bin/busybox").unwrap().len(), 70_001);
    assert!(world.stat("/z").is_ok());
}

#[test]
fn nothing_leaves_the_root() {
    for name in ["../x", "a/../../x", "..", "a/.."] {
        let world = World::new();
        let error = load(&world, &Archive::default().entry(name, FILE, b"x").finish()).unwrap_err();
        assert_eq!(error.kind, CpioErrorKind::BadName, "{name}");
    }
    let world = World::new();
    world.fs().mkdir(b"/jail", 0o755).unwrap();
    world.fs().mkdir(b"/etc", 0o755).unwrap();
    let jail = world.fs().resolve_directory(b"/jail").unwrap();
    let mut fs = world.fs();
    fs.root = &jail;
    let image = Archive::default()
        .entry("etc", SYMLINK, b"/etc")
        .entry("up", SYMLINK, b"../../etc")
        .entry("/abs/file", FILE, b"inside")
        .finish();
    unpack(&image, &fs).unwrap();
    assert_eq!(world.read("/jail/abs/file").unwrap(), b"inside");
    for through in ["etc/passwd", "up/passwd"] {
        // The links lead to the jail's own /etc, which does not exist.
        let outcome = unpack(&Archive::default().entry(through, FILE, b"x").finish(), &fs);
        assert!(outcome.is_err(), "{through}");
    }
    assert_eq!(world.list("/etc").unwrap(), [""; 0]);
}

#[test]
fn damage_is_named_with_its_place() {
    let world = World::new();
    let error = |image: &[u8]| load(&world, image).unwrap_err();
    assert_eq!(error(b"hello").kind, CpioErrorKind::UnknownFormat);
    assert_eq!(error(&[b"\0\0\0\0x".as_slice()].concat()).image_offset, 4);
    assert_eq!(error(b"070707").kind, CpioErrorKind::Truncated);
    let good = Archive::default().entry("f", FILE, b"data").finish();
    let mut bad = good.clone();
    bad[20] = b'g';
    assert_eq!(error(&bad).kind, CpioErrorKind::BadNumber);
    let mut bad = good.clone();
    bad[116] = b'x';
    assert_eq!(error(&bad), CpioError { kind: CpioErrorKind::BadMagic, image_offset: 0, offset: 226 }, "{bad:?}");
    // A size that the archive does not hold.
    let mut huge = good.clone();
    huge[54..62].copy_from_slice(b"ffffffff");
    assert_eq!(error(&huge).kind, CpioErrorKind::Truncated);
    for size in ["00000000", "00001001", "ffffffff"] {
        let mut bad = good.clone();
        bad[94..102].copy_from_slice(size.as_bytes());
        assert_eq!(error(&bad).kind, CpioErrorKind::BadName, "{size}");
    }
    let mut unterminated = good.clone();
    unterminated[111] = b'x';
    assert_eq!(error(&unterminated).kind, CpioErrorKind::BadName);
    let long = String::from_utf8([b'n'; 300].to_vec()).unwrap();
    let kind = error(&Archive::default().entry(&long, FILE, b"").finish()).kind;
    assert_eq!(kind, CpioErrorKind::FileSystem(VfsError::NameTooLong));
    assert_eq!(error(&Archive::default().entry("l", SYMLINK, &[b'x'; 5000]).finish()).kind, CpioErrorKind::BadEntry);
    assert_eq!(
        error(&Archive::default().entry("l", SYMLINK, b"").finish()).kind,
        CpioErrorKind::FileSystem(VfsError::NotFound)
    );
    assert_eq!(
        error(&Archive::default().entry("t", Numbers { mode: 0o170_000, ..FILE }, b"").finish()).kind,
        CpioErrorKind::BadEntry
    );
}

#[test]
fn every_truncation_is_an_error() {
    let plain = Archive::default().entry("d", DIRECTORY, b"").entry("d/f", FILE, b"some data").finish();
    let packed = gzip(&plain);
    for image in [&plain, &packed] {
        for length in 1..image.len() {
            let world = World::new();
            assert!(load(&world, &image[..length]).is_err(), "{length} of {}", image.len());
        }
    }
}

#[test]
fn checksums_are_looked_at() {
    let world = World::new();
    let mut packed = gzip(&sample());
    let at = packed.len() - 6;
    packed[at] ^= 1;
    assert_eq!(load(&world, &packed).unwrap_err().kind, CpioErrorKind::BadChecksum);
    let mut summed = Archive::default().entry("f", FILE, b"\x01\x02").finish();
    summed[5] = b'2';
    assert_eq!(load(&world, &summed).unwrap_err().kind, CpioErrorKind::BadChecksum);
    summed[109] = b'3';
    assert!(load(&world, &summed).is_ok());
}

#[test]
fn memory_that_ends_is_an_error() {
    for allocations in 0..19 {
        let world = World::new();
        world.store.fail_after(allocations);
        let outcome = load(&world, &sample());
        assert!(matches!(outcome.unwrap_err().kind, CpioErrorKind::FileSystem(VfsError::NoMemory | VfsError::NoSpace)));
    }
}

#[test]
fn random_damage_never_panics() {
    let plain = sample();
    let packed = gzip(&plain);
    let mut errors = 0;
    for seed in 0..1500 {
        let mut random = Random::new(seed);
        let mut image = if seed % 2 == 0 { plain.clone() } else { packed.clone() };
        for _ in 0..=random.below(6) {
            // Headers are short among the data, so hit the first kilobyte more often.
            let range = if random.below(2) == 0 { image.len() } else { image.len().min(1200) };
            let at = random.below(range as u64) as usize;
            image[at] = [random.next() as u8, b'0', b'f', 0][random.below(4) as usize];
        }
        errors += usize::from(load(&World::new(), &image).is_err());
    }
    assert!(errors > 300, "only {errors} damaged images were refused");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300), start in 0..3) {
        let mut image = [b"070701".as_slice(), &[0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3], b""][start as usize].to_vec();
        image.extend(bytes);
        let _ = load(&World::new(), &image);
    }

    #[test]
    fn what_is_packed_is_unpacked(
        files in proptest::collection::btree_map("[a-z]{1,12}(/[a-z]{1,8}){0,2}", proptest::collection::vec(any::<u8>(), 0..9000), 0..12),
        compressed in any::<bool>(),
    ) {
        let world = World::new();
        let mut archive = Archive::default();
        for (name, content) in &files {
            archive = archive.entry(&format!("x{}", name.replace('/', "/x")), FILE, content);
        }
        // A name that is also another's directory cannot be both.
        let clash = files.keys().any(|name| files.keys().any(|other| other.starts_with(&format!("{name}/"))));
        let image = archive.finish();
        let image = if compressed { gzip(&image) } else { image };
        let outcome = load(&world, &image);
        prop_assert_eq!(outcome.is_err(), clash);
        if !clash {
            for (name, content) in &files {
                prop_assert_eq!(&world.read(&format!("/x{}", name.replace('/', "/x"))).unwrap(), content);
            }
        }
    }
}
