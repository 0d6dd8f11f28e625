//! One table of a file: each getter takes a key with its type, and what nobody asked for is an unknown key.

use std::cell::RefCell;

use super::problem::{At, Problem};
use super::quantity;
use super::tree::{Entry, Table, Value};
use types::Nanos;

/// Keys of other sections, for the hint where a misplaced key belongs.
pub(super) type Sections<'a> = &'a [(&'a str, &'a [&'a str])];

/// A table that is being read.
pub(super) struct Section<'a> {
    name: &'a str,
    table: Option<&'a Table>,
    asked: RefCell<Vec<&'static str>>,
    problems: &'a RefCell<Vec<Problem>>,
}

impl<'a> Section<'a> {
    /// The section of that name; without one every key has its default.
    pub(super) fn open(file: &'a Table, name: &'a str, problems: &'a RefCell<Vec<Problem>>) -> Self {
        let table = file.get(name).and_then(|entry| match &entry.value {
            Value::Table(table) => Some(table),
            other => {
                let message = format!("[{name}] is a table, not {}", other.kind());
                problems.borrow_mut().push(Problem::new(entry.at.clone(), message));
                None
            }
        });
        Self { name, table, asked: RefCell::default(), problems }
    }

    /// A table inside of a value.
    pub(super) fn inner(name: &'a str, table: &'a Table, problems: &'a RefCell<Vec<Problem>>) -> Self {
        Self { name, table: Some(table), asked: RefCell::default(), problems }
    }

    /// The entry as it is.
    pub(super) fn entry(&self, key: &'static str) -> Option<&'a Entry> {
        self.asked.borrow_mut().push(key);
        self.table?.get(key)
    }

    pub(super) fn wrong(&self, at: &At, message: String) {
        self.problems.borrow_mut().push(Problem::new(at.clone(), message));
    }

    /// The value as `read` understands it; a problem if it does not.
    pub(super) fn read<T>(&self, key: &'static str, read: impl FnOnce(&'a Value) -> Result<T, String>) -> Option<T> {
        let entry = self.entry(key)?;
        match read(&entry.value) {
            Ok(value) => Some(value),
            Err(message) => {
                self.wrong(&entry.at, format!("{key}: {message}"));
                None
            }
        }
    }

    pub(super) fn text(&self, key: &'static str) -> Option<&'a str> {
        self.read(key, text)
    }

    pub(super) fn flag(&self, key: &'static str) -> Option<bool> {
        self.read(key, |value| match value {
            Value::Flag(flag) => Ok(*flag),
            other => Err(format!("true or false is expected, not {}", other.kind())),
        })
    }

    pub(super) fn integer<T: TryFrom<i64> + PartialOrd + std::fmt::Display>(
        &self,
        key: &'static str,
        most: T,
    ) -> Option<T> {
        self.read(key, |value| integer(value, most))
    }

    pub(super) fn duration(&self, key: &'static str) -> Option<Nanos> {
        self.read(key, |value| match value {
            Value::Integer(Some(0)) => Ok(Nanos::ZERO),
            Value::Integer(_) => Err("a duration needs its unit, as in \"30s\"".into()),
            other => quantity::duration(text(other)?),
        })
    }

    pub(super) fn size(&self, key: &'static str) -> Option<u64> {
        self.read(key, |value| match value {
            Value::Integer(_) => integer(value, i64::MAX).map(|bytes| bytes as u64),
            other => quantity::size(text(other)?),
        })
    }

    pub(super) fn share(&self, key: &'static str) -> Option<u32> {
        self.read(key, |value| quantity::share(text(value)?))
    }

    pub(super) fn signal(&self, key: &'static str) -> Option<u8> {
        self.read(key, |value| match value {
            Value::Integer(_) => integer(value, 64u8),
            other => quantity::signal(text(other)?),
        })
    }

    /// One of a few words.
    pub(super) fn choice<T: Copy>(&self, key: &'static str, words: &[(&str, T)]) -> Option<T> {
        self.read(key, |value| choose(text(value)?, words))
    }

    /// A list of texts with their places; a problem for each element that is none.
    pub(super) fn texts(&self, key: &'static str) -> Option<Vec<(&'a At, &'a str)>> {
        let entry = self.entry(key)?;
        let Value::List(list) = &entry.value else {
            self.wrong(&entry.at, format!("{key}: a list is expected, not {}: {key} = [...]", entry.value.kind()));
            return None;
        };
        let mut texts = Vec::new();
        for (at, value) in list {
            match value {
                Value::Text(text) => texts.push((at, text.as_str())),
                other => self.wrong(at, format!("{key}: text is expected, not {}", other.kind())),
            }
        }
        Some(texts)
    }

    /// Everything has been asked for: what is left is unknown.
    pub(super) fn finish(self, elsewhere: Sections<'_>) {
        let asked = self.asked.into_inner();
        for entry in self.table.map_or(&[][..], |table| &table.entries) {
            if asked.contains(&entry.key.as_str()) {
                continue;
            }
            let mut message = format!("unknown key \"{}\" in [{}]", entry.key, self.name);
            let other = elsewhere.iter().find(|(_, keys)| keys.contains(&entry.key.as_str()));
            if let Some((section, _)) = other {
                message.push_str(&format!("; it belongs in [{section}]"));
            } else if let Some(near) = nearest(&entry.key, asked.iter().copied()) {
                message.push_str(&format!("; did you mean \"{near}\"?"));
            }
            self.problems.borrow_mut().push(Problem::new(entry.key_at.clone(), message));
        }
    }
}

fn text(value: &Value) -> Result<&str, String> {
    match value {
        Value::Text(text) => Ok(text),
        other => Err(format!("text is expected, not {}", other.kind())),
    }
}

fn integer<T: TryFrom<i64> + PartialOrd + std::fmt::Display>(value: &Value, most: T) -> Result<T, String> {
    let Value::Integer(number) = value else { return Err(format!("a number is expected, not {}", value.kind())) };
    let limit = format!("a number from 0 to {most} is expected");
    let number = number.filter(|number| *number >= 0).ok_or_else(|| limit.clone())?;
    T::try_from(number).ok().filter(|number| *number <= most).ok_or(limit)
}

/// One of a few words.
pub(super) fn choose<T: Copy>(text: &str, words: &[(&str, T)]) -> Result<T, String> {
    if let Some((_, value)) = words.iter().find(|(word, _)| *word == text) {
        return Ok(*value);
    }
    let all: Vec<String> = words.iter().map(|(word, _)| format!("\"{word}\"")).collect();
    let near = nearest(text, words.iter().map(|(word, _)| *word));
    let hint = near.map_or_else(String::new, |near| format!("; did you mean \"{near}\"?"));
    Err(format!("{text:?} is none of {}{hint}", all.join(", ")))
}

/// The most similar of some words, if it is similar at all.
pub(super) fn nearest<'a>(wanted: &str, words: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let lower = wanted.to_lowercase();
    let similar = words.map(|word| (strsim::damerau_levenshtein(&lower, &word.to_lowercase()), word));
    similar.filter(|(edits, word)| *edits * 3 <= wanted.len().max(word.len())).min().map(|(_, word)| word)
}
