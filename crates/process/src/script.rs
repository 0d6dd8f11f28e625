//! The first line of a script: `#!interpreter [argument]` (execve(2)).

/// Bytes of a file that exec looks at; a `#!` line ends within them or is cut there.
pub const SCRIPT_HEAD: usize = 256;
/// How often an interpreter may be a script itself; the caller counts (ELOOP).
pub const SCRIPT_DEPTH: usize = 5;

/// What a script asks for. The new argument list: interpreter, argument if any, path of the script, the caller's
/// arguments without the first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Script<'a> {
    /// Path of the interpreter.
    pub interpreter: &'a [u8],
    /// Everything after it, as one argument.
    pub argument: Option<&'a [u8]>,
}

/// Why a `#!` line is none (ENOEXEC).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ScriptError {
    /// The file does not start with `#!`.
    NotScript,
    /// No interpreter is named.
    NoInterpreter,
    /// The interpreter's path goes on beyond what exec reads.
    TooLong,
}

impl<'a> Script<'a> {
    /// Reads the line from the first bytes of a file; what is beyond [`SCRIPT_HEAD`] does not count.
    ///
    /// Blanks (space and tab) around interpreter and argument are dropped; blanks within the argument stay, since it is one.
    ///
    /// # Errors
    /// See [`ScriptError`].
    pub fn parse(head: &'a [u8]) -> Result<Self, ScriptError> {
        let whole_file = head.len() < SCRIPT_HEAD;
        let head = head.get(..SCRIPT_HEAD - 1).unwrap_or(head);
        let body = head.strip_prefix(b"#!").ok_or(ScriptError::NotScript)?;
        let (line, complete) = match body.iter().position(|byte| *byte == b'\n') {
            Some(end) => (body.get(..end).unwrap_or(body), true),
            None => (body, whole_file),
        };
        // A NUL ends a string for user space, whatever follows.
        let (line, complete) = match line.iter().position(|byte| *byte == 0) {
            Some(end) => (line.get(..end).unwrap_or(line), true),
            None => (line, complete),
        };
        let line = trim(line);
        if line.is_empty() {
            return Err(ScriptError::NoInterpreter);
        }
        let Some(end) = line.iter().position(|byte| is_blank(*byte)) else {
            let cut = !complete && body.last().is_some_and(|byte| !is_blank(*byte));
            return if cut { Err(ScriptError::TooLong) } else { Ok(Self { interpreter: line, argument: None }) };
        };
        let (interpreter, rest) = line.split_at(end);
        let argument = trim(rest);
        Ok(Self { interpreter, argument: (!argument.is_empty()).then_some(argument) })
    }
}

const fn is_blank(byte: u8) -> bool {
    byte == b' ' || byte == b'\t'
}

fn trim(mut line: &[u8]) -> &[u8] {
    while let [first, rest @ ..] = line
        && is_blank(*first)
    {
        line = rest;
    }
    while let [rest @ .., last] = line
        && is_blank(*last)
    {
        line = rest;
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec::Vec;

    fn parse(head: &[u8]) -> Result<(&[u8], Option<&[u8]>), ScriptError> {
        Script::parse(head).map(|script| (script.interpreter, script.argument))
    }

    #[test]
    fn all_after_the_interpreter_is_one_argument() {
        assert_eq!(parse(b"#!/bin/sh\n"), Ok((&b"/bin/sh"[..], None)));
        assert_eq!(parse(b"#! \t/bin/sh \t \n"), Ok((&b"/bin/sh"[..], None)));
        assert_eq!(parse(b"#!/usr/bin/env -S a  b \nx"), Ok((&b"/usr/bin/env"[..], Some(&b"-S a  b"[..]))));
        assert_eq!(parse(b"#!/bin/sh"), Ok((&b"/bin/sh"[..], None)), "a file without a newline");
        assert_eq!(parse(b"#!/bin/sh\0x y\n"), Ok((&b"/bin/sh"[..], None)));
    }

    #[test]
    fn lines_without_an_interpreter_are_refused() {
        assert_eq!(parse(b"#"), Err(ScriptError::NotScript));
        assert_eq!(parse(b""), Err(ScriptError::NotScript));
        assert_eq!(parse(b"#!"), Err(ScriptError::NoInterpreter));
        assert_eq!(parse(b"#!  \t\n/bin/sh"), Err(ScriptError::NoInterpreter));
    }

    #[test]
    fn a_cut_argument_is_kept_and_a_cut_interpreter_is_not() {
        let mut long = Vec::from(&b"#!/bin/sh "[..]);
        long.resize(300, b'a');
        let (interpreter, argument) = parse(&long).unwrap();
        assert_eq!((interpreter, argument.unwrap().len()), (&b"/bin/sh"[..], 255 - 10));
        let mut path = Vec::from(&b"#!/"[..]);
        path.resize(300, b'a');
        assert_eq!(parse(&path), Err(ScriptError::TooLong));
    }
}
