//! Writer of cpio archives in the "newc" format, the one Linux and MultiOS unpack as initramfs.
//!
//! Reproducible: the same entries give the same bytes (time stamps are 0, inode numbers count up).
//! Format: Linux `Documentation/driver-api/early-userspace/buffer-format.rst`.

/// What an entry is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A directory.
    Directory,
    /// A regular file and its bytes.
    File(Vec<u8>),
    /// A symbolic link and where it points.
    Symlink(String),
    /// A character device.
    Device { major: u32, minor: u32 },
}

/// One member of an archive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// What it is.
    pub kind: Kind,
    /// The permission bits, `0o7777` at most.
    pub permissions: u32,
}

impl Entry {
    fn mode(&self) -> u32 {
        let kind = match self.kind {
            Kind::Directory => 0o040_000,
            Kind::File(_) => 0o100_000,
            Kind::Symlink(_) => 0o120_000,
            Kind::Device { .. } => 0o020_000,
        };
        kind | self.permissions
    }
}

/// Archives `entries`, given by their paths without a leading slash, parents first.
pub fn archive<'a>(entries: impl Iterator<Item = (&'a str, &'a Entry)>) -> Vec<u8> {
    let mut out = Vec::new();
    for (number, (path, entry)) in (1..).zip(entries) {
        let (major, minor) = match entry.kind {
            Kind::Device { major, minor } => (major, minor),
            _ => (0, 0),
        };
        let data: &[u8] = match &entry.kind {
            Kind::File(bytes) => bytes,
            Kind::Symlink(target) => target.as_bytes(),
            Kind::Directory | Kind::Device { .. } => &[],
        };
        let links = if entry.kind == Kind::Directory { 2 } else { 1 };
        member(&mut out, number, entry.mode(), links, (major, minor), path, data);
    }
    member(&mut out, 0, 0, 1, (0, 0), "TRAILER!!!", &[]);
    // Archives may follow each other; each starts at a multiple of 4. 512 is what `cpio` pads to.
    out.resize(out.len().next_multiple_of(512), 0);
    out
}

fn member(out: &mut Vec<u8>, inode: u32, mode: u32, links: u32, device: (u32, u32), path: &str, data: &[u8]) {
    let sizes = (data.len(), path.len() + 1);
    let fields = [inode, mode, 0, 0, links, 0, sizes.0 as u32, 0, 0, device.0, device.1, sizes.1 as u32, 0];
    out.extend_from_slice(b"070701");
    for field in fields {
        out.extend_from_slice(format!("{field:08X}").as_bytes());
    }
    out.extend_from_slice(path.as_bytes());
    out.push(0);
    out.resize(out.len().next_multiple_of(4), 0);
    out.extend_from_slice(data);
    out.resize(out.len().next_multiple_of(4), 0);
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;
    use std::process::{Command, Stdio};

    fn sample() -> Vec<(&'static str, Entry)> {
        vec![
            ("bin", Entry { kind: Kind::Directory, permissions: 0o755 }),
            ("bin/a", Entry { kind: Kind::File(b"hello".to_vec()), permissions: 0o4755 }),
            ("bin/b", Entry { kind: Kind::Symlink("a".into()), permissions: 0o777 }),
        ]
    }

    fn bytes() -> Vec<u8> {
        let sample = sample();
        archive(sample.iter().map(|(path, entry)| (*path, entry)))
    }

    #[test]
    fn the_same_entries_give_the_same_bytes() {
        assert_eq!(bytes(), bytes());
    }

    #[test]
    fn every_member_starts_aligned_and_the_trailer_is_last() {
        let bytes = bytes();
        assert_eq!(bytes.len() % 512, 0);
        let starts: Vec<_> = bytes.windows(6).enumerate().filter(|(_, w)| *w == b"070701").map(|(i, _)| i).collect();
        assert_eq!(starts.len(), 4);
        assert!(starts.iter().all(|start| start % 4 == 0));
        assert!(bytes.windows(10).any(|w| w == b"TRAILER!!!"));
    }

    #[test]
    fn the_systems_cpio_reads_it_back() {
        let Ok(mut child) = Command::new("cpio").arg("-tv").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn() else {
            return; // cpio is not needed for anything else, so it may be missing
        };
        child.stdin.take().unwrap().write_all(&bytes()).unwrap();
        let listing = String::from_utf8(child.wait_with_output().unwrap().stdout).unwrap();
        assert!(listing.contains("-rwsr-xr-x"), "{listing}");
        assert!(listing.contains("bin/b -> a"), "{listing}");
    }
}
