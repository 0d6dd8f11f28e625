//! Answers as text for people.

mod definition;
mod explain;
mod history;
mod status;
mod table;
mod words;

pub(crate) use definition::definition;
pub(crate) use explain::{chain, dot, explanations, failure, links, plan};
pub(crate) use history::{audit, boot, happenings, verb_of};
pub(crate) use status::{list, not_started, states, status, top};
pub(crate) use words::{cause, exit_of, root};
