//! A definition as it is put together from its files.

use services::Name;

use super::table::columns;
use crate::definitions::{Table, Value};

/// Each key with its value and the place where it was written.
pub(crate) fn definition(name: &Name, table: &Table) -> String {
    let mut text = format!("# {name}\n");
    for section in &table.entries {
        let Value::Table(inner) = &section.value else { continue };
        text.push_str(&format!("\n[{}]\n", section.key));
        let rows = inner.entries.iter().map(|entry| {
            // A value may be written over several lines; what counts is one.
            let value: Vec<&str> = entry.raw.lines().map(str::trim).collect();
            vec![format!("{} = {}", entry.key, value.join(" ")), format!("# {}", entry.at)]
        });
        text.push_str(&columns(&rows.collect::<Vec<_>>()));
    }
    text
}
