//! A directory of /proc that another room fills: a directory for each of its items, with the same few files in each.

use alloc::string::String;
use core::fmt;

use super::text::Text;
use crate::Caller;

/// Items by number; a number is not given to another item while somebody may still look at it.
pub trait ProcItems: Send + Sync {
    /// Names of the files of each item, at most 255.
    fn files(&self) -> &'static [&'static str];
    /// The first item whose number is `from` or higher, and its name.
    fn next(&self, from: u32) -> Option<(u32, String)>;
    /// The item of that name.
    fn find(&self, name: &[u8]) -> Option<u32>;
    /// The name of an item; `None` if it is gone.
    fn name(&self, item: u32) -> Option<String>;
    /// Whether `caller` may read about it.
    fn may_read(&self, item: u32, caller: &Caller<'_>) -> bool;
    /// Writes the text of a file.
    ///
    /// # Errors
    /// Those of `out`.
    fn write(&self, item: u32, file: u8, out: &mut Text) -> fmt::Result;
}
