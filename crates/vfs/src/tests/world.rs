//! A namespace over a ramfs whose frames, clock and failures a test controls.

use std::boxed::Box;
use std::collections::HashMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::vec::Vec;

use alloc::sync::Arc;
use hal::FrameStore;
use types::{Credentials, Gid, PAGE_SIZE, PhysAddr, Uid};

use crate::ramfs::{RamFs, RamOptions};
use crate::{
    Caller, Clock, DeviceNumber, DeviceRegistry, Follow, FsContext, Location, Metadata, Namespace, OpenFile, Result,
    WriteRules,
};

/// References and bytes.
type Frame = (u32, Box<[u8; PAGE_SIZE]>);

/// Frames as plain arrays, counted; allocation fails on demand.
#[derive(Default)]
pub(crate) struct FakeStore {
    frames: Mutex<HashMap<u64, Frame>>,
    next: AtomicU64,
    // Allocations left before all fail; negative for no limit.
    left: AtomicI64,
}

impl FakeStore {
    pub(crate) fn leak() -> &'static Self {
        let store = Self::default();
        store.left.store(-1, Ordering::SeqCst);
        Box::leak(Box::new(store))
    }

    pub(crate) fn fail_after(&self, allocations: i64) {
        self.left.store(allocations, Ordering::SeqCst);
    }

    pub(crate) fn in_use(&self) -> usize {
        self.frames.lock().unwrap().len()
    }
}

impl FrameStore for FakeStore {
    fn alloc(&self) -> Option<PhysAddr> {
        let left = self.left.load(Ordering::SeqCst);
        if left == 0 {
            return None;
        }
        if left > 0 {
            self.left.fetch_sub(1, Ordering::SeqCst);
        }
        let number = self.next.fetch_add(1, Ordering::SeqCst) * PAGE_SIZE as u64;
        self.frames.lock().unwrap().insert(number, (1, Box::new([0; PAGE_SIZE])));
        Some(PhysAddr::new(number))
    }

    fn retain(&self, frame: PhysAddr) {
        self.frames.lock().unwrap().get_mut(&frame.as_u64()).unwrap().0 += 1;
    }

    fn release(&self, frame: PhysAddr) {
        let mut frames = self.frames.lock().unwrap();
        let entry = frames.get_mut(&frame.as_u64()).expect("a frame released twice");
        entry.0 -= 1;
        if entry.0 == 0 {
            frames.remove(&frame.as_u64());
        }
    }

    fn read(&self, frame: PhysAddr, offset: usize, out: &mut [u8]) {
        out.copy_from_slice(&self.frames.lock().unwrap()[&frame.as_u64()].1[offset..offset + out.len()]);
    }

    fn write(&self, frame: PhysAddr, offset: usize, data: &[u8]) {
        self.frames.lock().unwrap().get_mut(&frame.as_u64()).unwrap().1[offset..offset + data.len()]
            .copy_from_slice(data);
    }
}

/// A clock that goes on by a second each time it is asked.
#[derive(Default)]
pub(crate) struct FakeClock(AtomicI64);

impl Clock for FakeClock {
    fn now(&self) -> crate::Timestamp {
        crate::Timestamp::from_secs(self.0.fetch_add(1, Ordering::SeqCst))
    }
}

/// A namespace with a ramfs on top.
pub(crate) struct World {
    pub(crate) store: &'static FakeStore,
    pub(crate) clock: &'static FakeClock,
    pub(crate) ramfs: Arc<RamFs>,
    pub(crate) namespace: Namespace,
    pub(crate) root: Location,
    pub(crate) credentials: Credentials,
}

impl World {
    pub(crate) fn new() -> Self {
        Self::with(RamOptions::new("tmpfs", DeviceNumber::new(0, 1)))
    }

    pub(crate) fn with(options: RamOptions) -> Self {
        let store = FakeStore::leak();
        let clock: &'static FakeClock = Box::leak(Box::default());
        let ramfs = RamFs::new(store, clock, options);
        let namespace = Namespace::new(ramfs.clone(), b"none", Arc::new(DeviceRegistry::new()));
        let root = namespace.root();
        Self { store, clock, ramfs, namespace, root, credentials: Credentials::ROOT }
    }

    /// The same world for another user.
    pub(crate) fn become_user(&mut self, uid: u32, gid: u32) {
        self.credentials = Credentials::user(Uid(uid), Gid(gid));
    }

    pub(crate) fn fs(&self) -> FsContext<'_> {
        FsContext {
            namespace: &self.namespace,
            root: &self.root,
            base: &self.root,
            caller: Caller::kernel(&self.credentials),
            confine: crate::Confine::empty(),
        }
    }

    pub(crate) fn open(&self, path: &str, flags: u32) -> Result<Arc<OpenFile>> {
        self.fs().open(path.as_bytes(), flags, 0o644).map(|opened| opened.file)
    }

    pub(crate) fn write(&self, path: &str, data: &[u8]) -> Result<()> {
        use abi::linux::general as linux;
        let file = self.open(path, linux::O_WRONLY | linux::O_CREAT | linux::O_TRUNC)?;
        assert_eq!(file.write(data, &WriteRules::UNLIMITED)?, data.len());
        Ok(())
    }

    pub(crate) fn read(&self, path: &str) -> Result<Vec<u8>> {
        let file = self.open(path, 0)?;
        let mut content = Vec::new();
        let mut buffer = [0; 1000];
        loop {
            let count = file.read(&mut buffer)?;
            if count == 0 {
                return Ok(content);
            }
            content.extend_from_slice(&buffer[..count]);
        }
    }

    pub(crate) fn stat(&self, path: &str) -> Result<Metadata> {
        self.fs().resolve(path.as_bytes(), Follow::No).map(|location| location.metadata())
    }

    /// Names in a directory, in the order shown, without `.` and `..`; read through a small buffer.
    pub(crate) fn list(&self, path: &str) -> Result<Vec<std::string::String>> {
        let directory = self.open(path, abi::linux::general::O_DIRECTORY)?;
        let mut names = Vec::new();
        let mut buffer = [0; 300];
        loop {
            let used = directory.read_dir(&mut buffer)?;
            if used == 0 {
                return Ok(names);
            }
            names.extend(names_in(&buffer[..used]));
        }
    }
}

/// Names in what getdents64 gave, without `.` and `..`.
pub(crate) fn names_in(mut records: &[u8]) -> Vec<std::string::String> {
    let mut names = Vec::new();
    while !records.is_empty() {
        let length = usize::from(u16::from_le_bytes([records[16], records[17]]));
        let text = &records[19..length];
        let end = text.iter().position(|byte| *byte == 0).unwrap();
        let name = std::string::String::from_utf8(text[..end].to_vec()).unwrap();
        if name != "." && name != ".." {
            names.push(name);
        }
        records = &records[length..];
    }
    names
}
