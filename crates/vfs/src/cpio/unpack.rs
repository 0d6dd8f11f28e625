//! From entries to files.

use alloc::sync::Arc;
use alloc::vec::Vec;

use abi::linux::general as linux;
use hashbrown::HashMap;
use types::{Gid, Uid};

use super::gzip::Gzip;
use super::header::{HEADER_SIZE, Header};
use super::source::{Plain, Source, align, read_exact};
use super::{CpioError, CpioErrorKind};
use crate::{
    AttributeChange, DeviceNumber, FileType, Follow, FsContext, Inode, Location, PATH_MAX, Result as VfsResult,
    TimeChange, Timestamp, VfsError, WriteRules,
};

/// Content handed to a file at once: bounds the time under the file's lock.
const CHUNK: usize = 64 * 1024;

/// Name of an archive's last entry.
const TRAILER: &[u8] = b"TRAILER!!!";

/// What was unpacked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Unpacked {
    /// Archives.
    pub archives: u64,
    /// Entries, those without effect included.
    pub entries: u64,
    /// Bytes of file content.
    pub bytes: u64,
}

/// Unpacks all archives in `image` into `context.root`, with the rights of `context.caller`.
///
/// As in Linux, a later entry replaces an earlier one of the same name, and absolute names start at the root given.
/// Missing directories are made.
///
/// # Errors
/// The first thing that is wrong; what came before it stays.
pub fn unpack(image: &[u8], context: &FsContext<'_>) -> Result<Unpacked, CpioError> {
    let mut unpacker = Unpacker::new(context);
    let mut position = 0;
    loop {
        let rest = image.get(position..).unwrap_or(&[]);
        let zeros = rest.iter().take_while(|byte| **byte == 0).count();
        position += zeros;
        let rest = rest.get(zeros..).unwrap_or(&[]);
        if rest.is_empty() {
            break;
        }
        let begin = position as u64;
        let fail = |offset: u64| move |kind| CpioError { kind, image_offset: begin, offset };
        if Gzip::is_here(rest) {
            let mut gzip = Gzip::new(rest).map_err(fail(0))?;
            unpacker.archives_in(&mut gzip).map_err(|kind| fail(gzip.offset())(kind))?;
            position = image.len() - gzip.remainder().len();
        } else if rest.starts_with(b"0707") {
            let mut plain = Plain { rest, offset: 0 };
            unpacker.archive(&mut plain).map_err(|kind| fail(plain.offset)(kind))?;
            position += plain.offset as usize;
        } else {
            return Err(fail(0)(CpioErrorKind::UnknownFormat));
        }
    }
    unpacker.finish();
    Ok(unpacker.done)
}

struct Unpacker<'c> {
    context: FsContext<'c>,
    root: &'c Location,
    // First places of files with several names, in this archive.
    links: HashMap<(u32, (u32, u32)), Location>,
    // Directories get their times at the end, since what comes into them changes those.
    directories: Vec<(Arc<dyn Inode>, Timestamp)>,
    done: Unpacked,
}

impl<'c> Unpacker<'c> {
    fn new(context: &FsContext<'c>) -> Self {
        let mut inside = *context;
        inside.base = inside.root;
        inside.caller.umask = 0;
        Self {
            context: inside,
            root: inside.root,
            links: HashMap::new(),
            directories: Vec::new(),
            done: Unpacked::default(),
        }
    }

    /// All archives of a compressed stream.
    fn archives_in(&mut self, source: &mut dyn Source) -> Result<(), CpioErrorKind> {
        loop {
            let bytes = source.peek()?;
            let Some(first) = bytes.first() else { return Ok(()) };
            if *first == 0 {
                let zeros = bytes.iter().take_while(|byte| **byte == 0).count();
                source.consume(zeros);
            } else {
                self.archive(source)?;
            }
        }
    }

    fn archive(&mut self, source: &mut dyn Source) -> Result<(), CpioErrorKind> {
        self.links.clear();
        self.done.archives += 1;
        while self.entry(source)? {}
        Ok(())
    }

    /// Unpacks one entry; whether it was not the last.
    fn entry(&mut self, source: &mut dyn Source) -> Result<bool, CpioErrorKind> {
        let mut bytes = [0; HEADER_SIZE];
        read_exact(source, &mut bytes)?;
        let header = Header::parse(&bytes)?;
        if header.name_size as usize > PATH_MAX {
            return Err(CpioErrorKind::BadName);
        }
        let name = read_text(source, header.name_size)?;
        align(source)?;
        let (terminator, name) = name.split_last().ok_or(CpioErrorKind::BadName)?;
        if *terminator != 0 || name.contains(&0) {
            return Err(CpioErrorKind::BadName);
        }
        if name == TRAILER {
            skip(source, header.size)?;
            align(source)?;
            return Ok(false);
        }
        self.done.entries += 1;
        let path = inner_path(name)?;
        if path.is_empty() {
            // The root itself: only its attributes.
            skip(source, header.size)?;
            self.set_attributes(self.root, &header)?;
        } else {
            self.make(path, &header, source)?;
        }
        align(source)?;
        Ok(true)
    }

    fn make(&mut self, path: &[u8], header: &Header, source: &mut dyn Source) -> Result<(), CpioErrorKind> {
        let kind = FileType::from_mode(header.mode).ok_or(CpioErrorKind::BadEntry)?;
        self.clear(path, kind).map_err(CpioErrorKind::FileSystem)?;
        if kind == FileType::Regular {
            return self.make_regular(path, header, source);
        }
        if kind == FileType::Symlink {
            if header.size as usize >= PATH_MAX {
                return Err(CpioErrorKind::BadEntry);
            }
            let target = read_text(source, header.size)?;
            if target.contains(&0) {
                return Err(CpioErrorKind::BadEntry);
            }
            self.context.symlink(&target, path).map_err(CpioErrorKind::FileSystem)?;
        } else {
            skip(source, header.size)?;
            if self.make_linked(path, header)? {
                return Ok(());
            }
            let made = match kind {
                FileType::Directory => self.context.mkdir(path, header.mode & 0o1777),
                _ => {
                    let device = DeviceNumber::new(header.rdev.0, header.rdev.1);
                    self.context.mknod(path, header.mode, device)
                }
            };
            match made {
                Err(VfsError::Exists) if kind == FileType::Directory => {}
                other => other.map_err(CpioErrorKind::FileSystem)?,
            }
        }
        let location = self.context.resolve(path, Follow::No).map_err(CpioErrorKind::FileSystem)?;
        self.set_attributes(&location, header)?;
        if kind == FileType::Directory {
            let reserved = self.directories.try_reserve(1);
            reserved.map_err(|_| CpioErrorKind::FileSystem(VfsError::NoMemory))?;
            let mtime = Timestamp::from_secs(header.mtime.into());
            self.directories.push((location.inode().clone(), mtime));
        } else {
            self.remember(header, location)?;
        }
        Ok(())
    }

    fn make_regular(&mut self, path: &[u8], header: &Header, source: &mut dyn Source) -> Result<(), CpioErrorKind> {
        let linked = self.make_linked(path, header)?;
        if linked && header.size == 0 {
            return Ok(());
        }
        let truncate = if linked { 0 } else { linux::O_TRUNC };
        let flags = linux::O_WRONLY | linux::O_CREAT | linux::O_NOFOLLOW | truncate;
        let file = self.context.open(path, flags, header.mode & 0o7777).map_err(CpioErrorKind::FileSystem)?.file;
        let mut sum: u32 = 0;
        copy(source, header.size, |data| {
            if header.checksum.is_some() {
                sum = data.iter().fold(sum, |sum, byte| sum.wrapping_add(u32::from(*byte)));
            }
            let mut rest = data;
            while !rest.is_empty() {
                let taken = file.write(rest, &WriteRules::UNLIMITED)?;
                if taken == 0 {
                    return Err(VfsError::NoSpace);
                }
                rest = rest.get(taken..).unwrap_or(&[]);
            }
            Ok(())
        })?;
        self.done.bytes += u64::from(header.size);
        if header.checksum.is_some_and(|checksum| checksum != sum) {
            return Err(CpioErrorKind::BadChecksum);
        }
        let Some(location) = file.location().cloned() else { return Ok(()) };
        drop(file);
        self.set_attributes(&location, header)?;
        self.remember(header, location)
    }

    /// Gives a file that was there already this further name; whether it did.
    fn make_linked(&mut self, path: &[u8], header: &Header) -> Result<bool, CpioErrorKind> {
        if header.nlink < 2 {
            return Ok(false);
        }
        let Some(first) = self.links.get(&(header.ino, header.dev)) else { return Ok(false) };
        if FileType::from_mode(header.mode) != Some(first.kind()) {
            return Ok(false);
        }
        let first = first.clone();
        if let Ok(existing) = self.context.resolve(path, Follow::No) {
            if existing == first {
                return Ok(true);
            }
            self.context.unlink(path).map_err(CpioErrorKind::FileSystem)?;
        }
        self.context.link(&first, path).map_err(CpioErrorKind::FileSystem)?;
        Ok(true)
    }

    fn remember(&mut self, header: &Header, location: Location) -> Result<(), CpioErrorKind> {
        if header.nlink >= 2 {
            let reserved = self.links.try_reserve(1);
            reserved.map_err(|_| CpioErrorKind::FileSystem(VfsError::NoMemory))?;
            self.links.insert((header.ino, header.dev), location);
        }
        Ok(())
    }

    /// Makes way for an entry of that kind: its directories exist, and nothing of another kind has its name.
    fn clear(&self, path: &[u8], kind: FileType) -> VfsResult<()> {
        let existing = match self.context.resolve(path, Follow::No) {
            Ok(existing) => existing,
            Err(VfsError::NotFound) => return self.make_parents(path),
            Err(error) => return Err(error),
        };
        let stays = matches!(kind, FileType::Regular | FileType::Directory);
        if existing.kind() == kind && stays {
            return Ok(());
        }
        if existing.kind() == FileType::Directory { self.context.rmdir(path) } else { self.context.unlink(path) }
    }

    fn make_parents(&self, path: &[u8]) -> VfsResult<()> {
        for (end, _) in path.iter().enumerate().filter(|(at, byte)| **byte == b'/' && *at != 0) {
            match self.context.mkdir(path.get(..end).unwrap_or(&[]), 0o755) {
                Ok(()) | Err(VfsError::Exists) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn set_attributes(&self, location: &Location, header: &Header) -> Result<(), CpioErrorKind> {
        let mtime = TimeChange::To(Timestamp::from_secs(header.mtime.into()));
        let change = AttributeChange {
            mode: (location.kind() != FileType::Symlink).then_some(header.mode & 0o7777),
            uid: Some(Uid(header.uid)),
            gid: Some(Gid(header.gid)),
            atime: mtime,
            mtime,
            size: None,
        };
        location.inode().set_attributes(&change).map_err(CpioErrorKind::FileSystem)
    }

    fn finish(&mut self) {
        for (inode, mtime) in self.directories.drain(..) {
            // A directory that a later entry replaced does not matter any more.
            let mtime = TimeChange::To(mtime);
            let _ = inode.set_attributes(&AttributeChange { atime: mtime, mtime, ..AttributeChange::default() });
        }
    }
}

/// The path below the root that an entry's name means; empty for the root.
fn inner_path(name: &[u8]) -> Result<&[u8], CpioErrorKind> {
    let components = || name.split(|byte| *byte == b'/');
    if name.is_empty() || components().any(|component| component == b"..") {
        return Err(CpioErrorKind::BadName);
    }
    if components().all(|component| component.is_empty() || component == b".") {
        return Ok(&[]);
    }
    // A slash at the end would ask for a directory.
    let end = name.iter().rposition(|byte| *byte != b'/').map_or(0, |last| last + 1);
    let path = name.get(..end).unwrap_or(name);
    if path.ends_with(b"/.") { Err(CpioErrorKind::BadName) } else { Ok(path) }
}

/// Hands the next `size` bytes to `take` in pieces.
fn copy(source: &mut dyn Source, size: u32, mut take: impl FnMut(&[u8]) -> VfsResult<()>) -> Result<(), CpioErrorKind> {
    let mut left = size as usize;
    while left != 0 {
        let bytes = source.peek()?;
        if bytes.is_empty() {
            return Err(CpioErrorKind::Truncated);
        }
        let count = bytes.len().min(left).min(CHUNK);
        take(bytes.get(..count).unwrap_or(bytes)).map_err(CpioErrorKind::FileSystem)?;
        left -= count;
        source.consume(count);
    }
    Ok(())
}

fn skip(source: &mut dyn Source, size: u32) -> Result<(), CpioErrorKind> {
    copy(source, size, |_| Ok(()))
}

/// The next `size` bytes; the caller has checked that these are few.
fn read_text(source: &mut dyn Source, size: u32) -> Result<Vec<u8>, CpioErrorKind> {
    let mut text = Vec::new();
    text.try_reserve_exact(size as usize).map_err(|_| CpioErrorKind::FileSystem(VfsError::NoMemory))?;
    text.resize(size as usize, 0);
    read_exact(source, &mut text)?;
    Ok(text)
}
