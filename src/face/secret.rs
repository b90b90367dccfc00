//! Secrets from a person: the join code and the recovery phrase, by prompt, standard input or file.
//!
//! Never from an argument alone where that can be avoided (others can see arguments), never shown while the phrase is
//! typed, and wiped from memory here when they have been handed on.

use std::io::{self, BufRead, IsTerminal as _, Read, Write as _};
use std::path::Path;

use rustix::termios::{tcgetattr, tcsetattr, LocalModes, OptionalActions, Termios};
use zeroize::Zeroizing;

use super::exit::Fail;
use crate::base::limits::{PAIRING_CODE_DIGITS, SECRET_BYTES_MAX};

/// The join code: from the argument, from standard input (`-`), or asked for.
///
/// # Errors
/// When there is none, or it is no code.
pub fn join_code(arguments: &[String]) -> Result<String, Fail> {
    match arguments {
        [only] if only == "-" => code_of(&first_line(&mut io::stdin().lock())?),
        [_, ..] => code_of(&arguments.concat()),
        [] => {
            ask("Code that `nuthatch invite` shows on the other node: ")?;
            code_of(&first_line(&mut io::stdin().lock())?)
        }
    }
}

/// The recovery phrase: from a file, from standard input (`-`), or asked for without showing it.
///
/// # Errors
/// When it cannot be read. Whether the words are right is for the node to say.
pub fn recovery_phrase(file: Option<&Path>) -> Result<Zeroizing<String>, Fail> {
    match file {
        Some(path) if path == Path::new("-") => bounded(&mut io::stdin().lock(), "read standard input"),
        Some(path) => {
            let mut file = std::fs::File::open(path).map_err(|error| Fail::file("open", path, &error))?;
            bounded(&mut file, "read the phrase file")
        }
        None => {
            ask("Recovery phrase, 24 words (not shown while you type): ")?;
            let hidden = Hidden::new();
            let words = words_of(&mut io::stdin().lock());
            drop(hidden);
            // The person's own line break was not shown either.
            let _ = writeln!(io::stderr());
            words
        }
    }
}

/// A new password: asked for twice without showing it, or the first line of standard input where nobody can be asked.
///
/// # Errors
/// When it cannot be read, or the two differ. Whether it is good enough is for the node to say.
pub fn new_password() -> Result<Zeroizing<String>, Fail> {
    if !io::stdin().is_terminal() {
        return typed_line();
    }
    let hidden = Hidden::new();
    let typed = |prompt: &str| -> Result<Zeroizing<String>, Fail> {
        ask(prompt)?;
        let line = typed_line();
        // The person's own line break was not shown.
        let _ = writeln!(io::stderr());
        line
    };
    let (first, second) = (typed("New password (not shown while you type): ")?, typed("Once more: ")?);
    drop(hidden);
    if *first != *second {
        return Err(Fail::usage("the two passwords differ", "type the same one twice"));
    }
    Ok(first)
}

/// A line without its end.
fn typed_line() -> Result<Zeroizing<String>, Fail> {
    let line = first_line(&mut io::stdin().lock())?;
    Ok(Zeroizing::new(line.trim_end_matches(['\r', '\n']).to_owned()))
}

/// Shows a prompt; there must be somebody to see it.
fn ask(prompt: &str) -> Result<(), Fail> {
    if !io::stdin().is_terminal() {
        return Err(Fail::usage(
            "there is no terminal to ask on",
            "give the code as `-` or the phrase with --phrase-file -, and send it through standard input",
        ));
    }
    let mut out = io::stderr();
    out.write_all(prompt.as_bytes())
        .and_then(|()| out.flush())
        .map_err(|error| Fail::new("terminal", error.to_string(), ""))
}

/// The eight digits in what was typed; spaces and hyphens between them are fine.
fn code_of(typed: &str) -> Result<String, Fail> {
    let code: String =
        typed.chars().filter(|character| !character.is_whitespace() && *character != '-').collect();
    if code.len() != PAIRING_CODE_DIGITS || !code.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(Fail::usage(
            format!("a code has {PAIRING_CODE_DIGITS} digits"),
            "run `nuthatch invite` on a node of the vault and type what it shows",
        ));
    }
    Ok(code)
}

/// One line.
fn first_line(input: &mut impl BufRead) -> Result<Zeroizing<String>, Fail> {
    let mut line = Zeroizing::new(String::new());
    let limit = u64::try_from(SECRET_BYTES_MAX).unwrap_or(u64::MAX);
    input.take(limit).read_line(&mut line).map_err(|error| unreadable("read standard input", &error))?;
    Ok(line)
}

/// Lines until there are 24 words, an empty line, or the end.
fn words_of(input: &mut impl BufRead) -> Result<Zeroizing<String>, Fail> {
    let mut phrase = Zeroizing::new(String::with_capacity(SECRET_BYTES_MAX));
    while phrase.split_whitespace().count() < 24 {
        let line = first_line(input)?;
        if line.trim().is_empty() || phrase.len() + line.len() > SECRET_BYTES_MAX {
            break;
        }
        phrase.push_str(&line);
        phrase.push(' ');
    }
    Ok(phrase)
}

/// Everything there is, if it is not more than a phrase can be.
fn bounded(input: &mut impl Read, verb: &str) -> Result<Zeroizing<String>, Fail> {
    let mut text = Zeroizing::new(String::with_capacity(SECRET_BYTES_MAX));
    let limit = u64::try_from(SECRET_BYTES_MAX).unwrap_or(u64::MAX);
    input.take(limit).read_to_string(&mut text).map_err(|error| unreadable(verb, &error))?;
    Ok(text)
}

/// The error for an input that cannot be read.
fn unreadable(verb: &str, error: &io::Error) -> Fail {
    Fail::new("input", format!("cannot {verb}: {error}"), "give the words as plain text")
}

/// While it lives the terminal shows nothing that is typed.
struct Hidden {
    /// How the terminal was before; None when standard input is none.
    before: Option<Termios>,
}

impl Hidden {
    /// Stops the echo.
    fn new() -> Self {
        let before = tcgetattr(io::stdin()).ok();
        if let Some(mut quiet) = before.clone() {
            quiet.local_modes.remove(LocalModes::ECHO);
            if let Err(errno) = tcsetattr(io::stdin(), OptionalActions::Flush, &quiet) {
                log::warn!("the terminal goes on showing what is typed: {errno}");
            }
        }
        Self { before }
    }
}

impl Drop for Hidden {
    fn drop(&mut self) {
        if let Some(before) = &self.before {
            if let Err(errno) = tcsetattr(io::stdin(), OptionalActions::Flush, before) {
                log::warn!("the terminal does not show what is typed: {errno}; run `stty echo`");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_may_be_typed_in_groups_and_nothing_else_is_one() {
        for typed in ["12345678", "1234 5678\n", "1234-5678"] {
            assert_eq!(code_of(typed).as_deref(), Ok("12345678"));
        }
        for typed in ["", "1234567", "123456789", "1234567a", "\u{661}2345678"] {
            assert!(code_of(typed).is_err(), "{typed}");
        }
    }

    #[test]
    fn a_phrase_ends_with_its_24th_word_or_an_empty_line() {
        let typed = "one two\nthree\n\nfour\n";
        assert_eq!(words_of(&mut typed.as_bytes()).unwrap().split_whitespace().count(), 3);
        let typed = format!("{}\n{}\nmore\n", "word ".repeat(12), "word ".repeat(12));
        assert_eq!(words_of(&mut typed.as_bytes()).unwrap().split_whitespace().count(), 24);
    }

    #[test]
    fn an_endless_input_is_not_read_to_its_end() {
        assert_eq!(bounded(&mut io::repeat(b'a'), "read").unwrap().len(), SECRET_BYTES_MAX);
    }
}
