//! Tests of the tree as a whole: path operations over ramfs, mounts, permissions, random sequences.

mod basics;
mod concurrency;
mod content;
mod locks;
mod memory_file;
mod model;
mod mounts;
mod paths;
mod permissions;
pub(crate) mod suite;
mod watches;
mod world;

pub(crate) use world::World;
