//! The initial file system: the programs of `user/`, busybox with its applets, a few files of /etc.
//!
//! The archive works as initramfs of MultiOS and of Linux alike.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::cpio::{self, Entry, Kind};
use crate::{build, paths, tools};

/// Where `init` looks for the program to run in place of a shell: its arguments, each ended by a NUL.
const EXEC_FILE: &str = "etc/multios/exec";
/// What that program reads as standard input, if it is not the console.
const STDIN_FILE: &str = "etc/multios/stdin";
/// A line that `init` prints before the program's output, to tell it from what firmware printed.
const MARKER_FILE: &str = "etc/multios/marker";
/// There when the program is to have the console as its terminal.
const TERMINAL_FILE: &str = "etc/multios/terminal";

/// Rows and columns of the terminal behind the console.
const WINDOW_FILE: &str = "etc/multios/window";

/// A tree of files under construction; keys are paths without the leading slash.
#[derive(Clone, Default)]
pub struct Tree {
    entries: BTreeMap<String, Entry>,
}

impl Tree {
    /// The usual tree: our programs and busybox, if there is one.
    pub fn standard() -> Result<Self> {
        let mut tree = Self::default();
        for dir in [
            "bin",
            "sbin",
            "usr/bin",
            "usr/sbin",
            "etc/svc",
            "etc/multios",
            "dev",
            "proc",
            "sys",
            "root",
            "var/log",
            "var/run",
        ] {
            tree.directory(dir, 0o755);
        }
        tree.directory("tmp", 0o1777);
        tree.directory("var/tmp", 0o1777);
        tree.device("dev/console", 0o600, (5, 1));
        tree.device("dev/null", 0o666, (1, 3));
        tree.file("etc/passwd", 0o644, "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n");
        tree.file("etc/group", 0o644, "root:x:0:\ntty:x:5:\nnogroup:x:65534:\n");
        tree.file("etc/hostname", 0o644, "multios\n");
        tree.file("etc/profile", 0o644, PROFILE);
        tree.file("etc/shells", 0o644, "/bin/sh\n/bin/msh\n");
        if let Some(busybox) = tools::busybox() {
            tree.busybox(&busybox)?;
        }
        for (name, path) in build::user_programs()? {
            // An applet of the same name would be another program with the same name.
            tree.entries.remove(&format!("usr/bin/{name}"));
            tree.host_file(&format!("bin/{name}"), &path)?;
        }
        for definition in build::sorted(&paths::root().join("user/svc/image"))? {
            let name = definition.file_name().unwrap_or_default().to_string_lossy().into_owned();
            tree.file(&format!("etc/svc/{name}"), 0o644, fs::read(&definition)?);
        }
        tree.symlink("sbin/init", "/bin/init");
        tree.symlink("init", "bin/init"); // where Linux starts an initramfs
        if !tree.entries.contains_key("bin/sh") {
            tree.symlink("bin/sh", "/bin/msh");
        }
        Ok(tree)
    }

    /// What is laid over a foreign initramfs to run a program on it.
    pub fn overlay() -> Result<Self> {
        let mut tree = Self::default();
        let programs = build::user_programs()?;
        let (_, init) = programs.iter().find(|(name, _)| name == "init").context("user/init is missing")?;
        tree.host_file("bin/multios-init", init)?;
        Ok(tree)
    }

    fn busybox(&mut self, path: &Path) -> Result<()> {
        self.host_file("bin/busybox", path)?;
        let output =
            Command::new(path).arg("--list-full").output().with_context(|| format!("cannot run {}", path.display()))?;
        for link in String::from_utf8_lossy(&output.stdout).lines() {
            if link != "bin/busybox" {
                self.symlink(link, "/bin/busybox");
            }
        }
        Ok(())
    }

    /// Adds `HOST[:GUEST]`: a file or a directory with everything below it; GUEST defaults to `/` and the file's name.
    pub fn add(&mut self, spec: &str) -> Result<()> {
        let (host, guest) = match spec.rsplit_once(':') {
            Some((host, guest)) if guest.starts_with('/') => (PathBuf::from(host), guest.to_owned()),
            _ => {
                let host = PathBuf::from(spec);
                let name = host.file_name().with_context(|| format!("--add {spec}: no file name"))?;
                let guest = format!("/{}", name.to_string_lossy());
                (host, guest)
            }
        };
        self.host_tree(guest.trim_matches('/'), &host).with_context(|| format!("--add {spec}"))
    }

    fn host_tree(&mut self, guest: &str, host: &Path) -> Result<()> {
        let metadata = fs::metadata(host).with_context(|| format!("{}", host.display()))?;
        if !metadata.is_dir() {
            return self.host_file(guest, host);
        }
        if !guest.is_empty() {
            self.directory(guest, metadata.permissions().mode() & 0o7777);
        }
        for child in build::sorted(host)? {
            let name = child.file_name().unwrap_or_default().to_string_lossy().into_owned();
            let inner = if guest.is_empty() { name } else { format!("{guest}/{name}") };
            if child.is_symlink() {
                self.symlink(&inner, &fs::read_link(&child)?.to_string_lossy());
            } else {
                self.host_tree(&inner, &child)?;
            }
        }
        Ok(())
    }

    /// Adds a file of the host with its permission bits.
    pub fn host_file(&mut self, guest: &str, host: &Path) -> Result<()> {
        let bytes = fs::read(host).with_context(|| format!("cannot read {}", host.display()))?;
        let mode = fs::metadata(host)?.permissions().mode() & 0o7777;
        self.file(guest, mode, bytes);
        Ok(())
    }

    /// Adds a file.
    pub fn file(&mut self, path: &str, permissions: u32, bytes: impl Into<Vec<u8>>) {
        self.insert(path, Entry { kind: Kind::File(bytes.into()), permissions });
    }

    /// Adds a directory; its parents come by themselves.
    pub fn directory(&mut self, path: &str, permissions: u32) {
        self.insert(path, Entry { kind: Kind::Directory, permissions });
    }

    /// Adds a symbolic link.
    pub fn symlink(&mut self, path: &str, target: &str) {
        self.insert(path, Entry { kind: Kind::Symlink(target.to_owned()), permissions: 0o777 });
    }

    /// Takes a file out again.
    pub fn remove(&mut self, path: &str) {
        self.entries.remove(path);
    }

    fn device(&mut self, path: &str, permissions: u32, (major, minor): (u32, u32)) {
        self.insert(path, Entry { kind: Kind::Device { major, minor }, permissions });
    }

    fn insert(&mut self, path: &str, entry: Entry) {
        let path = path.trim_matches('/');
        for (at, _) in path.match_indices('/') {
            let parent = &path[..at];
            if !self.entries.contains_key(parent) {
                self.entries.insert(parent.to_owned(), Entry { kind: Kind::Directory, permissions: 0o755 });
            }
        }
        self.entries.insert(path.to_owned(), entry);
    }

    /// Makes `init` run `argv` and power off.
    pub fn execute(&mut self, argv: &[String], stdin: Stdin) -> Result<()> {
        if argv.iter().any(|arg| arg.contains('\0')) {
            bail!("an argument contains a NUL");
        }
        let list: Vec<u8> = argv.iter().flat_map(|arg| arg.bytes().chain([0])).collect();
        self.file(EXEC_FILE, 0o644, list);
        match stdin {
            Stdin::Empty => {}
            Stdin::Bytes(bytes) => self.file(STDIN_FILE, 0o644, bytes),
            Stdin::Terminal => self.file(TERMINAL_FILE, 0o644, ""),
        }
        Ok(())
    }

    /// Makes `init` print `marker` before anything else.
    pub fn mark(&mut self, marker: &str) {
        self.file(MARKER_FILE, 0o644, format!("{marker}\n"));
    }

    /// Tells `init` how large the terminal is: `size` is rows and columns.
    pub fn window(&mut self, size: &str) {
        self.file(WINDOW_FILE, 0o644, format!("{size}\n"));
    }

    /// The archive.
    pub fn archive(&self) -> Vec<u8> {
        cpio::archive(self.entries.iter().map(|(path, entry)| (path.as_str(), entry)))
    }

    /// Writes the tree below `dir` of the host, for running the same programs there; devices are left out.
    pub fn unpack(&self, dir: &Path) -> Result<()> {
        for (path, entry) in &self.entries {
            let path = dir.join(path);
            let mode = fs::Permissions::from_mode(entry.permissions);
            match &entry.kind {
                Kind::Directory => {
                    fs::create_dir_all(&path)?;
                    fs::set_permissions(&path, mode)?;
                }
                Kind::File(bytes) => {
                    fs::write(&path, bytes)?;
                    fs::set_permissions(&path, mode)?;
                }
                Kind::Symlink(target) => std::os::unix::fs::symlink(target, &path)?,
                Kind::Device { .. } => fs::write(&path, "")?, // a place to mount the host's device on
            }
        }
        Ok(())
    }
}

/// What the program of `exec` reads.
pub enum Stdin {
    /// Nothing: /dev/null.
    Empty,
    /// These bytes, as a file.
    Bytes(Vec<u8>),
    /// The console, as its controlling terminal.
    Terminal,
}

/// The function is there since busybox's shell would take its own applet `svc`, which is for runit.
const PROFILE: &str = "export PATH=/bin:/sbin:/usr/bin:/usr/sbin\n\
    [ \"$PS1\" ] && PS1='\\u@\\h:\\w\\$ '\n\
    svc() { /bin/svc \"$@\"; }\n";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parents_are_made_and_come_first() {
        let mut tree = Tree::default();
        tree.file("a/b/c", 0o644, "x");
        assert_eq!(tree.entries.keys().collect::<Vec<_>>(), ["a", "a/b", "a/b/c"]);
    }

    #[test]
    fn add_takes_the_guest_path_after_the_colon_or_the_files_name() {
        let dir = tempfile::tempdir().unwrap();
        let host = dir.path().join("prog");
        fs::write(&host, "x").unwrap();
        let mut tree = Tree::default();
        tree.add(&format!("{}:/opt/other", host.display())).unwrap();
        tree.add(&host.display().to_string()).unwrap();
        assert!(tree.entries.contains_key("opt/other") && tree.entries.contains_key("prog"));
        assert!(tree.add("/does/not/exist").is_err());
    }

    #[test]
    fn arguments_are_separated_by_nul() {
        let mut tree = Tree::default();
        tree.execute(&["sh".into(), "-c".into(), "a b".into()], Stdin::Empty).unwrap();
        assert_eq!(tree.entries[EXEC_FILE].kind, Kind::File(b"sh\0-c\0a b\0".to_vec()));
    }
}
