//! A parsed file as a tree that knows where everything stands; drop-ins are laid over it.

use std::rc::Rc;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::problem::{At, Problem};

/// Keys and values in the order in which they were written.
#[derive(Clone, Debug, Default)]
pub struct Table {
    /// The entries.
    pub entries: Vec<Entry>,
}

/// A key with its value.
#[derive(Clone, Debug)]
pub struct Entry {
    /// The key.
    pub key: String,
    /// Where the key stands.
    pub key_at: At,
    /// Where the value stands.
    pub at: At,
    /// The value as it was written.
    pub raw: String,
    /// The value.
    pub value: Value,
}

/// A value.
#[derive(Clone, Debug)]
pub enum Value {
    /// Text.
    Text(String),
    /// A number; `None` if it does not fit into 64 bits.
    Integer(Option<i64>),
    /// Yes or no.
    Flag(bool),
    /// Something that no definition has: a fraction, a date.
    Other(&'static str),
    /// A list, each element with its place.
    List(Vec<(At, Self)>),
    /// A table.
    Table(Table),
}

impl Value {
    /// What it is, in words.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Text(_) => "text",
            Self::Integer(_) => "a number",
            Self::Flag(_) => "true or false",
            Self::Other(kind) => kind,
            Self::List(_) => "a list",
            Self::Table(_) => "a table",
        }
    }
}

impl Table {
    /// The entry of that key.
    pub fn get(&self, key: &str) -> Option<&Entry> {
        self.entries.iter().find(|entry| entry.key == key)
    }

    /// Lays `over` over it: tables key by key, everything else whole.
    pub fn merge(&mut self, over: Self) {
        for entry in over.entries {
            let known = self.entries.iter_mut().find(|known| known.key == entry.key);
            match (known, entry) {
                (Some(Entry { value: Value::Table(below), .. }), Entry { value: Value::Table(above), .. }) => {
                    below.merge(above);
                }
                (Some(known), entry) => *known = entry,
                (None, entry) => self.entries.push(entry),
            }
        }
    }

    /// Replaces `%i`, `%n` and `%%` in every text.
    pub fn expand(&mut self, name: &str, instance: &str) {
        for entry in &mut self.entries {
            entry.raw = expanded(&entry.raw, name, instance);
            expand_value(&mut entry.value, name, instance);
        }
    }
}

fn expand_value(value: &mut Value, name: &str, instance: &str) {
    match value {
        Value::Text(text) => *text = expanded(text, name, instance),
        Value::List(list) => list.iter_mut().for_each(|(_, value)| expand_value(value, name, instance)),
        Value::Table(table) => table.expand(name, instance),
        Value::Integer(_) | Value::Flag(_) | Value::Other(_) => {}
    }
}

fn expanded(text: &str, name: &str, instance: &str) -> String {
    let mut result = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('%') {
        result.push_str(before);
        let (put, length) = match after.chars().next() {
            Some('i') => (instance, 1),
            Some('n') => (name, 1),
            Some('%') => ("%", 1),
            _ => ("%", 0),
        };
        result.push_str(put);
        rest = after.get(length..).unwrap_or_default();
    }
    result.push_str(rest);
    result
}

/// Parses a file as far as it goes; mistakes of syntax are added to `problems`.
pub(super) fn parse(file: &str, text: &str, problems: &mut Vec<Problem>) -> Table {
    let places = Places::new(file, text);
    let (table, errors) = DeTable::parse_recoverable(text);
    let before = problems.len();
    for error in errors {
        let at = places.at(error.span().map_or(text.len(), |span| span.start));
        // What follows on the same line follows from it.
        if !problems.iter().skip(before).any(|problem| problem.at.line == at.line) {
            problems.push(Problem::new(at, error.message().to_owned()));
        }
    }
    convert_table(table.get_ref(), text, &places)
}

/// Turns offsets into lines and columns.
struct Places<'a> {
    file: Rc<str>,
    text: &'a str,
    lines: Vec<usize>,
}

impl<'a> Places<'a> {
    fn new(file: &str, text: &'a str) -> Self {
        let breaks = text.match_indices('\n').map(|(at, _)| at + 1);
        Self { file: file.into(), text, lines: std::iter::once(0).chain(breaks).collect() }
    }

    fn at(&self, offset: usize) -> At {
        let line = self.lines.partition_point(|start| *start <= offset).max(1);
        let start = self.lines.get(line - 1).copied().unwrap_or(0);
        let column = self.text.get(start..offset).map_or(0, |before| before.chars().count());
        At { file: self.file.clone(), line: line as u32, column: column as u32 + 1 }
    }
}

fn convert_table(table: &DeTable<'_>, text: &str, places: &Places<'_>) -> Table {
    let mut all: Vec<_> = table.iter().collect();
    // A key as the place: the span of a `[section]` value begins elsewhere.
    all.sort_by_key(|(key, _)| key.span().start);
    let entries = all.into_iter().map(|(key, value)| Entry {
        key: key.get_ref().to_string(),
        key_at: places.at(key.span().start),
        at: places.at(value.span().start),
        raw: text.get(value.span()).unwrap_or_default().to_owned(),
        value: convert(value, text, places),
    });
    Table { entries: entries.collect() }
}

fn convert(value: &Spanned<DeValue<'_>>, text: &str, places: &Places<'_>) -> Value {
    match value.get_ref() {
        DeValue::String(text) => Value::Text(text.to_string()),
        DeValue::Integer(number) => Value::Integer(i64::from_str_radix(number.as_str(), number.radix()).ok()),
        DeValue::Boolean(flag) => Value::Flag(*flag),
        DeValue::Float(_) => Value::Other("a fraction"),
        DeValue::Datetime(_) => Value::Other("a date"),
        DeValue::Array(list) => Value::List(
            list.iter().map(|element| (places.at(element.span().start), convert(element, text, places))).collect(),
        ),
        DeValue::Table(table) => Value::Table(convert_table(table, text, places)),
    }
}
