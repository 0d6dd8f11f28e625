//! Random operations on a tree against a map from paths to contents.

use std::collections::BTreeMap;
use std::string::{String, ToString};
use std::vec::Vec;

use super::World;
use crate::testing::Random;
use crate::{FileType, Follow, RenameMode, VfsError};

/// A node of the model: a directory, or a file with content shared by its names.
#[derive(Clone, Debug, PartialEq)]
enum Node {
    Directory,
    File(usize),
    Symlink(String),
}

/// Paths without a slash at the end; the root is "".
#[derive(Default)]
struct Model {
    nodes: BTreeMap<String, Node>,
    contents: Vec<Vec<u8>>,
}

fn parent(path: &str) -> &str {
    path.rsplit_once('/').map_or("", |(parent, _)| parent)
}

impl Model {
    /// Checks what each operation needs of the way to `path`; links are not on the way in this model.
    fn reach(&self, path: &str) -> Result<(), VfsError> {
        let mut at = parent(path);
        let mut ancestors = Vec::new();
        while !at.is_empty() {
            ancestors.push(at);
            at = parent(at);
        }
        for ancestor in ancestors.into_iter().rev() {
            match self.nodes.get(ancestor) {
                Some(Node::Directory) => {}
                Some(_) => return Err(VfsError::NotADirectory),
                None => return Err(VfsError::NotFound),
            }
        }
        Ok(())
    }

    fn get(&self, path: &str) -> Result<&Node, VfsError> {
        self.reach(path)?;
        self.nodes.get(path).ok_or(VfsError::NotFound)
    }

    fn make(&mut self, path: &str, node: Node) -> Result<(), VfsError> {
        self.reach(path)?;
        if self.nodes.contains_key(path) {
            return Err(VfsError::Exists);
        }
        self.nodes.insert(path.to_string(), node);
        Ok(())
    }

    fn is_empty(&self, path: &str) -> bool {
        let prefix = std::format!("{path}/");
        !self.nodes.keys().any(|other| other.starts_with(&prefix))
    }

    fn unlink(&mut self, path: &str) -> Result<(), VfsError> {
        if *self.get(path)? == Node::Directory {
            return Err(VfsError::IsADirectory);
        }
        self.nodes.remove(path);
        Ok(())
    }

    fn rmdir(&mut self, path: &str) -> Result<(), VfsError> {
        if *self.get(path)? != Node::Directory {
            return Err(VfsError::NotADirectory);
        }
        if !self.is_empty(path) {
            return Err(VfsError::NotEmpty);
        }
        self.nodes.remove(path);
        Ok(())
    }

    fn take(&mut self, path: &str) -> Vec<(String, Node)> {
        let prefix = std::format!("{path}/");
        let inside: Vec<String> =
            self.nodes.keys().filter(|other| *other == path || other.starts_with(&prefix)).cloned().collect();
        inside
            .into_iter()
            .map(|other| {
                let node = self.nodes.remove(&other).unwrap();
                (other[path.len()..].to_string(), node)
            })
            .collect()
    }

    fn put(&mut self, path: &str, nodes: Vec<(String, Node)>) {
        self.nodes.extend(nodes.into_iter().map(|(rest, node)| (std::format!("{path}{rest}"), node)));
    }

    fn rename(&mut self, from: &str, to: &str, mode: RenameMode) -> Result<(), VfsError> {
        self.reach(from)?;
        self.reach(to)?;
        let node = self.get(from)?.clone();
        let target = self.nodes.get(to).cloned();
        match mode {
            RenameMode::NoReplace if target.is_some() => return Err(VfsError::Exists),
            RenameMode::Exchange if target.is_none() => return Err(VfsError::NotFound),
            _ => {}
        }
        let inside = |path: &str, top: &str| path.starts_with(&std::format!("{top}/"));
        if node == Node::Directory && inside(to, from) {
            return Err(VfsError::InvalidArgument);
        }
        if target == Some(Node::Directory) && inside(from, to) {
            return Err(if mode == RenameMode::Exchange { VfsError::InvalidArgument } else { VfsError::NotEmpty });
        }
        let same_file = matches!((&node, &target), (Node::File(a), Some(Node::File(b))) if a == b);
        if from == to || same_file {
            return Ok(());
        }
        if mode == RenameMode::Exchange {
            let (first, second) = (self.take(from), self.take(to));
            self.put(to, first);
            self.put(from, second);
            return Ok(());
        }
        match (&node, &target) {
            (_, None) => {}
            (Node::Directory, Some(Node::Directory)) if self.is_empty(to) => {}
            (Node::Directory, Some(Node::Directory)) => return Err(VfsError::NotEmpty),
            (Node::Directory, Some(_)) => return Err(VfsError::NotADirectory),
            (_, Some(Node::Directory)) => return Err(VfsError::IsADirectory),
            _ => {}
        }
        self.nodes.remove(to);
        let moved = self.take(from);
        self.put(to, moved);
        Ok(())
    }

    fn check(&self, world: &World, context: &str) {
        let mut links: BTreeMap<usize, u32> = BTreeMap::new();
        for node in self.nodes.values() {
            if let Node::File(content) = node {
                *links.entry(*content).or_default() += 1;
            }
        }
        for (path, node) in &self.nodes {
            let metadata = world.stat(path).unwrap_or_else(|error| panic!("{context}: {path}: {error:?}"));
            match node {
                Node::Directory => {
                    assert_eq!(metadata.kind, FileType::Directory, "{context}: {path}");
                    let mut expected: Vec<&str> = self
                        .nodes
                        .keys()
                        .filter(|other| parent(other) == path)
                        .map(|other| &other[path.len() + 1..])
                        .collect();
                    let subdirectories = self
                        .nodes
                        .iter()
                        .filter(|(other, node)| parent(other) == path && **node == Node::Directory)
                        .count();
                    assert_eq!(metadata.nlink as usize, 2 + subdirectories, "{context}: {path}");
                    let mut listed = world.list(path).unwrap();
                    listed.sort();
                    expected.sort_unstable();
                    assert_eq!(listed, expected, "{context}: {path}");
                    let place = world.fs().resolve(path.as_bytes(), Follow::No).unwrap();
                    let name = place.working_directory(&world.namespace, &world.root).unwrap();
                    assert_eq!(name, path.as_bytes(), "{context}");
                }
                Node::File(content) => {
                    assert_eq!(metadata.nlink, links[content], "{context}: {path}");
                    assert_eq!(world.read(path).unwrap(), self.contents[*content], "{context}: {path}");
                }
                Node::Symlink(target) => assert_eq!(metadata.size as usize, target.len(), "{context}: {path}"),
            }
        }
        let nodes = self.nodes.len() - links.values().map(|links| *links as usize - 1).sum::<usize>();
        assert_eq!(world.ramfs.used_inodes() as usize, nodes + 1, "{context}");
    }
}

fn path(random: &mut Random) -> String {
    let mut path = String::new();
    for _ in 0..=random.below(3) {
        path.push('/');
        path.push(char::from(b'a' + random.below(4) as u8));
    }
    path
}

#[test]
fn random_operations_match_the_model() {
    let mut outcomes: BTreeMap<String, u64> = BTreeMap::new();
    for seed in 0..60 {
        let world = World::new();
        let mut model = Model::default();
        let mut random = Random::new(seed);
        for step in 0..250 {
            let (first, second) = (path(&mut random), path(&mut random));
            let fs = world.fs();
            let operation = random.below(8);
            let (got, expected) = match operation {
                0 => (fs.mkdir(first.as_bytes(), 0o755), model.make(&first, Node::Directory)),
                1 | 2 => {
                    let data: Vec<u8> = (0..random.below(50)).map(|_| random.next() as u8).collect();
                    let expected = match model.get(&first).cloned() {
                        Ok(Node::File(content)) => {
                            model.contents[content] = data.clone();
                            Ok(())
                        }
                        Ok(Node::Directory) => Err(VfsError::IsADirectory),
                        // Links in this model point to nothing that can be made.
                        Ok(Node::Symlink(_)) => Err(VfsError::NotFound),
                        Err(VfsError::NotFound) if model.reach(&first).is_ok() => {
                            model.contents.push(data.clone());
                            model.make(&first, Node::File(model.contents.len() - 1))
                        }
                        Err(error) => Err(error),
                    };
                    (world.write(&first, &data), expected)
                }
                3 => (fs.unlink(first.as_bytes()), model.unlink(&first)),
                4 => (fs.rmdir(first.as_bytes()), model.rmdir(&first)),
                5 => {
                    let mode = match random.below(4) {
                        0 => RenameMode::NoReplace,
                        1 => RenameMode::Exchange,
                        _ => RenameMode::Replace,
                    };
                    let got = fs.rename(first.as_bytes(), &world.root, second.as_bytes(), mode);
                    (got, model.rename(&first, &second, mode))
                }
                6 => {
                    let got =
                        fs.resolve(first.as_bytes(), Follow::No).and_then(|place| fs.link(&place, second.as_bytes()));
                    let expected = model.get(&first).cloned().and_then(|node| {
                        model.reach(&second)?;
                        if model.nodes.contains_key(&second) {
                            return Err(VfsError::Exists);
                        }
                        match node {
                            Node::Directory => Err(VfsError::NotPermitted),
                            // Symbolic links with several names would need numbers in the model.
                            Node::Symlink(_) => Err(VfsError::Stale),
                            Node::File(_) => model.make(&second, node),
                        }
                    });
                    if expected == Err(VfsError::Stale) {
                        assert_eq!(got, Ok(()));
                        fs.unlink(second.as_bytes()).unwrap();
                        continue;
                    }
                    (got, expected)
                }
                _ => {
                    let target = std::format!("no/where/{step}");
                    let got = fs.symlink(target.as_bytes(), first.as_bytes());
                    // A link on the way leads nowhere, so nothing is made below it.
                    (got, model.make(&first, Node::Symlink(target)))
                }
            };
            // A symbolic link on the way gives ENOENT in the tree and ENOTDIR in the model.
            let expected = match expected {
                Err(VfsError::NotADirectory) if got == Err(VfsError::NotFound) => got,
                other => other,
            };
            let context = std::format!("seed {seed} step {step}: {operation} {first} {second}");
            assert_eq!(got, expected, "{context}");
            *outcomes.entry(std::format!("{operation} {got:?}")).or_default() += 1;
            if step % 25 == 0 {
                model.check(&world, &context);
            }
        }
        model.check(&world, &std::format!("seed {seed}"));
    }
    // Each kind of outcome that the test is about did happen.
    for needed in ["0 Ok(())", "0 Err(Exists)", "3 Err(IsADirectory)", "4 Err(NotEmpty)", "4 Ok(())"] {
        assert!(outcomes.contains_key(needed), "{needed} never happened");
    }
    for needed in ["InvalidArgument", "NotEmpty", "Exists", "NotADirectory", "IsADirectory"] {
        assert!(outcomes.contains_key(&std::format!("5 Err({needed})")), "rename never gave {needed}");
    }
}
