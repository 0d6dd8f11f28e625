//! From a line of text to what is to be run: words, pipelines, redirections.

use std::iter::Peekable;
use std::str::Chars;

/// Where a stream goes in place of the terminal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Redirection {
    /// `< file`
    Input(String),
    /// `> file`, or `>> file` if `append`
    Output { file: String, append: bool },
    /// `2> file`
    Error(String),
    /// `2>&1`
    ErrorToOutput,
}

/// One program of a pipeline.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Simple {
    /// The program and its arguments.
    pub words: Vec<String>,
    /// In the order given.
    pub redirections: Vec<Redirection>,
}

/// When a pipeline of a line runs, given how the one before ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    /// `;` or the first
    Always,
    /// `&&`
    Succeeded,
    /// `||`
    Failed,
}

/// Programs joined by `|`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pipeline {
    /// When it runs.
    pub when: When,
    /// Its programs.
    pub programs: Vec<Simple>,
    /// Whether `&` follows.
    pub background: bool,
}

#[derive(Debug, PartialEq, Eq)]
enum Token {
    Word(String),
    Sign(&'static str),
}

/// Longest first, so that `&&` is not read as two `&`.
const SIGNS: [&str; 10] = ["2>&1", "2>", "&&", "||", ">>", "<", ">", "|", "&", ";"];

/// Reads a line; `value` gives the value of a variable.
pub fn parse(text: &str, value: &dyn Fn(&str) -> String) -> Result<Vec<Pipeline>, String> {
    let mut pipelines = Vec::new();
    let mut current = Pipeline { when: When::Always, programs: vec![Simple::default()], background: false };
    let mut tokens = tokens(text, value)?.into_iter();
    while let Some(token) = tokens.next() {
        let Some(program) = current.programs.last_mut() else { break };
        let sign = match token {
            Token::Word(word) => {
                program.words.push(word);
                continue;
            }
            Token::Sign(sign) => sign,
        };
        let mut file = || match tokens.next() {
            Some(Token::Word(file)) => Ok(file),
            _ => Err(format!("a file name must follow {sign}")),
        };
        match sign {
            "<" => program.redirections.push(Redirection::Input(file()?)),
            ">" => program.redirections.push(Redirection::Output { file: file()?, append: false }),
            ">>" => program.redirections.push(Redirection::Output { file: file()?, append: true }),
            "2>" => program.redirections.push(Redirection::Error(file()?)),
            "2>&1" => program.redirections.push(Redirection::ErrorToOutput),
            "|" => {
                if program.words.is_empty() {
                    return Err("a program is missing before |".into());
                }
                current.programs.push(Simple::default());
            }
            _ => {
                current.background = sign == "&";
                let when = match sign {
                    "&&" => When::Succeeded,
                    "||" => When::Failed,
                    _ => When::Always,
                };
                let next = Pipeline { when, programs: vec![Simple::default()], background: false };
                finish(std::mem::replace(&mut current, next), &mut pipelines)?;
            }
        }
    }
    finish(current, &mut pipelines)?;
    Ok(pipelines)
}

fn finish(pipeline: Pipeline, pipelines: &mut Vec<Pipeline>) -> Result<(), String> {
    let empty = |program: &Simple| program.words.is_empty();
    match pipeline.programs.as_slice() {
        [only] if empty(only) && only.redirections.is_empty() => Ok(()),
        programs if programs.iter().any(empty) => Err("a program is missing".into()),
        _ => {
            pipelines.push(pipeline);
            Ok(())
        }
    }
}

fn tokens(text: &str, value: &dyn Fn(&str) -> String) -> Result<Vec<Token>, String> {
    let mut tokens = Vec::new();
    let mut rest = text;
    loop {
        rest = rest.trim_start();
        if rest.is_empty() || rest.starts_with('#') {
            return Ok(tokens);
        }
        if let Some(sign) = SIGNS.into_iter().find(|sign| rest.starts_with(sign)) {
            tokens.push(Token::Sign(sign));
            rest = rest.split_at(sign.len()).1;
            continue;
        }
        let mut chars = rest.chars().peekable();
        tokens.push(Token::Word(word(&mut chars, value)?));
        let left: usize = chars.map(char::len_utf8).sum();
        rest = rest.split_at(rest.len() - left).1;
    }
}

fn word(chars: &mut Peekable<Chars<'_>>, value: &dyn Fn(&str) -> String) -> Result<String, String> {
    let mut word = String::new();
    let mut quote = None;
    while let Some(&next) = chars.peek() {
        match (quote, next) {
            (Some(open), _) if next == open => quote = None,
            (None, '\'' | '"') => quote = Some(next),
            (None | Some('"'), '$') => {
                chars.next();
                word.push_str(&variable(chars, value));
                continue;
            }
            (None | Some('"'), '\\') => {
                chars.next();
                word.extend(chars.peek());
            }
            (None, _) if next.is_whitespace() || "|&;<>".contains(next) => break,
            _ => word.push(next),
        }
        chars.next();
    }
    if quote.is_some() { Err("a quote is not closed".into()) } else { Ok(word) }
}

fn variable(chars: &mut Peekable<Chars<'_>>, value: &dyn Fn(&str) -> String) -> String {
    if let Some(special) = chars.next_if(|c| "?$".contains(*c)) {
        return value(&special.to_string());
    }
    let mut name = String::new();
    while let Some(c) = chars.next_if(|c| c.is_ascii_alphanumeric() || *c == '_') {
        name.push(c);
    }
    if name.is_empty() { "$".into() } else { value(&name) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Vec<Pipeline> {
        parse(text, &|name| format!("<{name}>")).unwrap()
    }

    fn words(text: &str) -> Vec<String> {
        read(text)[0].programs[0].words.clone()
    }

    #[test]
    fn quotes_and_backslashes_keep_a_word_together() {
        assert_eq!(words(r#"echo 'a  b' "c | d" e\ f"#), ["echo", "a  b", "c | d", "e f"]);
    }

    #[test]
    fn variables_are_replaced_except_in_single_quotes() {
        assert_eq!(words(r#"echo $HOME "$?x" '$HOME' $"#), ["echo", "<HOME>", "<?>x", "$HOME", "$"]);
    }

    #[test]
    fn pipes_redirections_and_lists_are_told_apart() {
        let line = read("a <in | b >>out 2>&1 && c & d || e");
        assert_eq!(line.len(), 4);
        assert_eq!(line[0].programs.len(), 2);
        assert_eq!(line[0].programs[0].redirections, [Redirection::Input("in".into())]);
        let out = Redirection::Output { file: "out".into(), append: true };
        assert_eq!(line[0].programs[1].redirections, [out, Redirection::ErrorToOutput]);
        assert_eq!(
            line.iter().map(|p| p.when).collect::<Vec<_>>(),
            [When::Always, When::Succeeded, When::Always, When::Failed]
        );
        assert!(line[1].background && !line[0].background);
    }

    #[test]
    fn nonsense_is_an_error_and_comments_are_nothing() {
        for bad in ["a |", "| a", "a >", "'a"] {
            assert!(parse(bad, &|_| String::new()).is_err(), "{bad}");
        }
        assert!(read("  # nothing").is_empty());
        assert!(read(";;").is_empty());
    }
}
