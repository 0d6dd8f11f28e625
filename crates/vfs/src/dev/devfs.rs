//! The file system for /dev, with the nodes that programs expect.

use alloc::sync::Arc;

use hal::FrameStore;
use types::{Gid, Uid};

use super::{FullDevice, KernelLog, LogDevice, NullDevice, RandomDevice, RandomSource, ZeroDevice};
use crate::ramfs::{RamFs, RamOptions};
use crate::{
    AttributeChange, Clock, DeviceKind, DeviceNumber, DeviceRegistry, FileSystem, NewContent, NewNode, Result,
};

/// Device numbers as in Linux's devices.txt.
pub mod number {
    use crate::DeviceNumber;

    /// /dev/null.
    pub const NULL: DeviceNumber = DeviceNumber::new(1, 3);
    /// /dev/zero.
    pub const ZERO: DeviceNumber = DeviceNumber::new(1, 5);
    /// /dev/full.
    pub const FULL: DeviceNumber = DeviceNumber::new(1, 7);
    /// /dev/random.
    pub const RANDOM: DeviceNumber = DeviceNumber::new(1, 8);
    /// /dev/urandom.
    pub const URANDOM: DeviceNumber = DeviceNumber::new(1, 9);
    /// /dev/kmsg.
    pub const KMSG: DeviceNumber = DeviceNumber::new(1, 11);
    /// /dev/tty, the caller's own terminal.
    pub const TTY: DeviceNumber = DeviceNumber::new(5, 0);
    /// /dev/console.
    pub const CONSOLE: DeviceNumber = DeviceNumber::new(5, 1);
    /// /dev/svc, the supervisor of services: a number that devices.txt leaves to local use.
    pub const SVC: DeviceNumber = DeviceNumber::new(60, 0);
    /// /dev/ptmx.
    pub const PTMX: DeviceNumber = DeviceNumber::new(5, 2);
    /// /dev/tty0, the virtual terminal in front.
    pub const TTY0: DeviceNumber = DeviceNumber::new(4, 0);
    /// /dev/tty1.
    pub const TTY1: DeviceNumber = DeviceNumber::new(4, 1);
    /// /dev/ttyS0, the first serial port.
    pub const TTY_S0: DeviceNumber = DeviceNumber::new(4, 64);
}

const NODES: &[(&[u8], DeviceNumber, u32)] = &[
    (b"null", number::NULL, 0o666),
    (b"zero", number::ZERO, 0o666),
    (b"full", number::FULL, 0o666),
    (b"random", number::RANDOM, 0o666),
    (b"urandom", number::URANDOM, 0o666),
    (b"kmsg", number::KMSG, 0o644),
    (b"tty", number::TTY, 0o666),
    (b"console", number::CONSOLE, 0o600),
    (b"ttyS0", number::TTY_S0, 0o620),
    (b"ptmx", number::PTMX, 0o666),
    (b"svc", number::SVC, 0o666),
];

const DIRECTORIES: &[(&[u8], u32)] = &[(b"pts", 0o755), (b"shm", 0o1777)];

const LINKS: &[(&[u8], &[u8])] = &[
    (b"fd", b"/proc/self/fd"),
    (b"stdin", b"/proc/self/fd/0"),
    (b"stdout", b"/proc/self/fd/1"),
    (b"stderr", b"/proc/self/fd/2"),
];

/// A file system for /dev ("devtmpfs") with its nodes, directories and links.
///
/// # Errors
/// [`crate::VfsError::NoMemory`].
pub fn devfs(store: &'static dyn FrameStore, clock: &'static dyn Clock, dev: DeviceNumber) -> Result<Arc<RamFs>> {
    let file_system = RamFs::new(store, clock, RamOptions::new("devtmpfs", dev));
    let root = file_system.root();
    let make = |name: &[u8], content: NewContent<'_>, mode: u32| {
        let made = root.create(name, &NewNode { content, mode, uid: Uid::ROOT, gid: Gid::ROOT })?;
        made.set_attributes(&AttributeChange { mode: Some(mode), ..AttributeChange::default() })
    };
    for (name, device, mode) in NODES {
        make(name, NewContent::CharDevice(*device), *mode)?;
    }
    for (name, mode) in DIRECTORIES {
        make(name, NewContent::Directory, *mode)?;
    }
    for (name, target) in LINKS {
        make(name, NewContent::Symlink(target), 0o777)?;
    }
    Ok(file_system)
}

/// Registers null, zero, full, random, urandom and kmsg.
///
/// # Errors
/// [`crate::VfsError::Exists`] if one was registered before.
pub fn register_memory_devices(
    registry: &DeviceRegistry,
    random: Arc<dyn RandomSource>,
    log: Arc<dyn KernelLog>,
) -> Result<()> {
    let random = Arc::new(RandomDevice(random));
    registry.add(DeviceKind::Char, number::NULL, Arc::new(NullDevice))?;
    registry.add(DeviceKind::Char, number::ZERO, Arc::new(ZeroDevice))?;
    registry.add(DeviceKind::Char, number::FULL, Arc::new(FullDevice))?;
    registry.add(DeviceKind::Char, number::RANDOM, random.clone())?;
    registry.add(DeviceKind::Char, number::URANDOM, random)?;
    registry.add(DeviceKind::Char, number::KMSG, Arc::new(LogDevice::new(log)))
}
