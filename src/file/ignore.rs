//! What a backup leaves out: globs given with the folder, and files `.nuthatchignore` in its directories.
//!
//! The syntax and the rules of precedence are those of gitignore(5): the last rule that matches decides, the file of a
//! deeper directory before one further up, the folder's own globs before all files; and what lies in a directory
//! that is left out is left out, whatever any rule says. Names are bytes. This file knows which rule decides, the
//! patterns themselves are `file/ignore/pattern.rs`. It reads nothing: the walk hands in the files that it comes upon.

pub mod pattern;
#[cfg(test)]
mod pattern_tests;

use crate::base::limits::IGNORE_FILE_BYTES_MAX;
use core::fmt;
use pattern::Pattern;

/// First bytes of a file `CACHEDIR.TAG` that marks its directory as one that need not be backed up
/// (<https://bford.info/cachedir/>).
pub const CACHEDIR_SIGNATURE: &[u8] = b"Signature: 8a477f597d28d172789f06886806bc55";

/// A glob given with a folder that means nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IgnoreError {
    /// The glob.
    pub glob: String,
}

impl fmt::Display for IgnoreError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            formatter,
            "the ignore pattern {:?} can match nothing: write one like *.tmp or /build/",
            self.glob
        )
    }
}

impl std::error::Error for IgnoreError {}

/// The rules of one file.
#[derive(Debug, Clone, Default)]
pub struct IgnoreRules {
    /// In the order of the file.
    rules: Vec<Rule>,
    /// Lines that mean nothing, or lie behind [`IGNORE_FILE_BYTES_MAX`].
    lost_lines: u64,
}

/// One line.
#[derive(Debug, Clone)]
struct Rule {
    /// What it matches.
    pattern: Pattern,
    /// Takes back in what an earlier rule leaves out (`!`).
    negated: bool,
    /// Matches directories only (trailing `/`).
    directories: bool,
}

/// The rules that hold in the directory where a walk is.
#[derive(Debug, Clone)]
pub struct IgnoreStack {
    /// Given with the folder.
    globs: IgnoreRules,
    /// The directories that the walk is in, outermost first.
    levels: Vec<Level>,
    /// Lines lost in all files so far.
    lost_lines: u64,
}

/// A directory that the walk is in.
#[derive(Debug, Clone)]
struct Level {
    /// Its path, relative to the folder.
    directory: Vec<u8>,
    /// The rules of its file.
    rules: IgnoreRules,
    /// It is left out itself.
    ignored: bool,
}

impl IgnoreRules {
    /// Reads a file. Lines that mean nothing match nothing, and are counted.
    #[must_use]
    pub fn parse(text: &[u8]) -> Self {
        let text = text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text);
        let mut parsed = Self::default();
        let mut offset = 0;
        for line in text.split(|byte| *byte == b'\n') {
            offset += line.len() + 1;
            if offset > IGNORE_FILE_BYTES_MAX + 1 {
                parsed.lost_lines += 1;
                continue;
            }
            match Rule::parse(line.strip_suffix(b"\r").unwrap_or(line)) {
                Line::Rule(rule) => parsed.rules.push(rule),
                Line::Nothing => {}
                Line::Lost => parsed.lost_lines += 1,
            }
        }
        parsed
    }

    /// What the last rule that matches says of `path`, relative to the directory of the file: Some(true) to leave it
    /// out, Some(false) to keep it, None if no rule matches.
    #[must_use]
    pub fn decide(&self, path: &[u8], is_directory: bool) -> Option<bool> {
        let matching = |rule: &&Rule| (is_directory || !rule.directories) && rule.pattern.matches(path);
        self.rules.iter().rev().find(matching).map(|rule| !rule.negated)
    }
}

/// What a line is.
enum Line {
    /// A rule.
    Rule(Rule),
    /// Empty, or a comment.
    Nothing,
    /// A pattern that can match nothing.
    Lost,
}

impl Rule {
    /// Reads one line without its end.
    fn parse(line: &[u8]) -> Line {
        if line.first() == Some(&b'#') {
            return Line::Nothing;
        }
        let line = without_trailing_spaces(line);
        let (negated, line) = match line.strip_prefix(b"!") {
            Some(rest) => (true, rest),
            None => (false, line),
        };
        let (directories, line) = match line.strip_suffix(b"/") {
            Some(rest) => (true, rest),
            None => (false, line),
        };
        if line.is_empty() {
            return if negated || directories { Line::Lost } else { Line::Nothing };
        }
        match Pattern::parse(line) {
            Some(pattern) => Line::Rule(Self { pattern, negated, directories }),
            None => Line::Lost,
        }
    }
}

/// Drops spaces at the end, unless the first of them is escaped.
fn without_trailing_spaces(line: &[u8]) -> &[u8] {
    let mut end = 0;
    let mut escaped = false;
    for (index, byte) in line.iter().enumerate() {
        if escaped || *byte != b' ' {
            end = index + 1;
        }
        escaped = !escaped && *byte == b'\\';
    }
    &line[..end]
}

impl IgnoreStack {
    /// A walk that has not begun, with the globs given with the folder; each is a line of the same syntax.
    ///
    /// # Errors
    /// Names the first glob that can match nothing.
    pub fn new(globs: &[String]) -> Result<Self, IgnoreError> {
        let mut rules = IgnoreRules::default();
        for glob in globs {
            match Rule::parse(glob.as_bytes()) {
                Line::Rule(rule) => rules.rules.push(rule),
                Line::Nothing | Line::Lost => return Err(IgnoreError { glob: glob.clone() }),
            }
        }
        Ok(Self { globs: rules, levels: Vec::new(), lost_lines: 0 })
    }

    /// The walk goes into `directory` (relative to the folder, empty for the folder itself), where it finds this ignore file.
    pub fn enter(&mut self, directory: &[u8], file: Option<&[u8]>) {
        let rules = file.map(IgnoreRules::parse).unwrap_or_default();
        self.lost_lines += rules.lost_lines;
        let ignored = !directory.is_empty() && self.is_ignored(directory, true);
        self.levels.push(Level { directory: directory.to_vec(), rules, ignored });
    }

    /// The walk leaves the directory that it entered last.
    pub fn leave(&mut self) {
        self.levels.pop();
    }

    /// Is `path`, relative to the folder, left out?
    #[must_use]
    pub fn is_ignored(&self, path: &[u8], is_directory: bool) -> bool {
        let levels = self.levels.partition_point(|level| below(&level.directory, path).is_some());
        let levels = &self.levels[..levels];
        if levels.last().is_some_and(|level| level.ignored) {
            return true;
        }
        // Directories between the innermost level and the path, which the walk did not enter, count too.
        let known =
            levels.last().map_or(0, |level| level.directory.len() + usize::from(!level.directory.is_empty()));
        let between = path.iter().enumerate().skip(known).filter(|(_, byte)| **byte == b'/');
        between.into_iter().any(|(end, _)| self.decide(levels, &path[..end], true))
            || self.decide(levels, path, is_directory)
    }

    /// Lines of all files so far that mean nothing or lie too far behind: a walk may report them.
    #[must_use]
    pub fn lost_lines(&self) -> u64 {
        self.lost_lines
    }

    /// What the rules of `levels` and the globs say of this path alone.
    fn decide(&self, levels: &[Level], path: &[u8], is_directory: bool) -> bool {
        let by_file = |level: &Level| level.rules.decide(below(&level.directory, path)?, is_directory);
        let by_globs = self.globs.decide(path, is_directory);
        by_globs.or_else(|| levels.iter().rev().find_map(by_file)).unwrap_or(false)
    }
}

/// The part of `path` below `directory`, if it lies there.
fn below<'a>(directory: &[u8], path: &'a [u8]) -> Option<&'a [u8]> {
    if directory.is_empty() {
        return Some(path);
    }
    path.strip_prefix(directory)?.strip_prefix(b"/")
}

/// What a fuzzer calls: any text is a file of rules, and any path is left out or not.
pub fn check_rules_bytes(bytes: &[u8]) {
    let (text, path) = bytes.split_at(bytes.len() / 2);
    let mut stack = match IgnoreStack::new(&[String::from_utf8_lossy(text).into_owned()]) {
        Ok(stack) => stack,
        Err(IgnoreError { .. }) => {
            IgnoreStack { globs: IgnoreRules::default(), levels: Vec::new(), lost_lines: 0 }
        }
    };
    stack.enter(b"", Some(text));
    stack.enter(path, Some(text));
    let _ = (stack.is_ignored(path, true), stack.is_ignored(text, false));
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::{any, proptest};

    /// A walk in the folder itself, whose ignore file is `text`.
    fn stack(text: &str) -> IgnoreStack {
        let mut stack = IgnoreStack::new(&[]).unwrap();
        stack.enter(b"", Some(text.as_bytes()));
        stack
    }

    /// Is the file left out?
    fn file(stack: &IgnoreStack, path: &str) -> bool {
        stack.is_ignored(path.as_bytes(), false)
    }

    /// Is the directory left out?
    fn directory(stack: &IgnoreStack, path: &str) -> bool {
        stack.is_ignored(path.as_bytes(), true)
    }

    #[test]
    fn the_last_rule_that_matches_decides() {
        let stack = stack("*.log\n!keep.log\nb/keep.log\n");
        assert!(file(&stack, "a.log") && file(&stack, "x/a.log"));
        assert!(!file(&stack, "keep.log") && !file(&stack, "x/keep.log"));
        assert!(file(&stack, "b/keep.log"));
    }

    #[test]
    fn comments_spaces_and_escapes_are_read_as_git_reads_them() {
        let stack = stack("\u{feff}# comment\n\n  \n\\#hash\n\\!bang\ntrail   \nkept\\ \r\nlast");
        assert!(
            file(&stack, "#hash") && file(&stack, "!bang") && file(&stack, "trail") && file(&stack, "kept ")
        );
        assert!(file(&stack, "last"));
        assert!(!file(&stack, "# comment") && !file(&stack, "kept") && !file(&stack, "  "));
        assert_eq!(stack.lost_lines(), 0);
    }

    #[test]
    fn a_slash_at_the_end_means_directories_only() {
        let stack = stack("build/\n/dist/\n");
        assert!(directory(&stack, "build") && directory(&stack, "a/build") && !file(&stack, "build"));
        assert!(directory(&stack, "dist") && !directory(&stack, "a/dist"));
        assert!(file(&stack, "a/build/x/y") && !file(&stack, "a/builds/x"));
    }

    #[test]
    fn what_lies_in_a_directory_that_is_left_out_is_not_taken_back_in() {
        let mut stack = stack("out\n!out/keep\nin/*\n!in/keep\n");
        assert!(file(&stack, "out/keep") && directory(&stack, "out/keep"));
        assert!(file(&stack, "in/x") && !file(&stack, "in/keep"));
        stack.enter(b"out", Some(b"!*"));
        assert!(file(&stack, "out/keep"), "nor by a file inside");
        stack.enter(b"out/deeper", Some(b"!*"));
        assert!(file(&stack, "out/deeper/keep"));
    }

    #[test]
    fn a_deeper_file_decides_first_and_only_below_itself() {
        let mut stack = stack("*.tmp\n");
        stack.enter(b"a", Some(b"!*.tmp\n/x\n"));
        assert!(!file(&stack, "a/1.tmp") && !file(&stack, "a/b/1.tmp") && file(&stack, "1.tmp"));
        assert!(file(&stack, "a/x") && !file(&stack, "a/b/x") && !file(&stack, "x"));
        stack.enter(b"a/b", None);
        assert!(!file(&stack, "a/b/1.tmp"));
        stack.leave();
        stack.leave();
        assert!(file(&stack, "a/1.tmp") && !file(&stack, "a/x"));
        assert!(!file(&stack, "ab/x"), "a name that starts alike is elsewhere");
    }

    #[test]
    fn globs_given_with_the_folder_decide_before_all_files() {
        let mut stack = IgnoreStack::new(&["*.iso".into(), "!/keep".into()]).unwrap();
        stack.enter(b"", Some(b"!*.iso\nkeep\n"));
        assert!(file(&stack, "a/b.iso") && !file(&stack, "keep") && file(&stack, "a/keep"));
    }

    #[test]
    fn globs_that_mean_nothing_are_refused_and_lines_are_counted() {
        for glob in ["", "# comment", "[a", "!", "/", "a\\"] {
            let error = IgnoreStack::new(&["fine".into(), glob.into()]).unwrap_err();
            assert_eq!(error.glob, glob);
        }
        let stack = stack("[a\n!\n*.o\n");
        assert_eq!(stack.lost_lines(), 2);
        assert!(file(&stack, "x.o") && !file(&stack, "[a"));
    }

    #[test]
    fn lines_too_far_behind_are_counted_and_not_followed() {
        let text = format!("first\n{}\nbehind", "#".repeat(IGNORE_FILE_BYTES_MAX));
        let stack = stack(&text);
        assert!(file(&stack, "first") && !file(&stack, "behind"));
        assert_eq!(stack.lost_lines(), 2);
    }

    #[test]
    fn names_are_bytes() {
        let mut stack = IgnoreStack::new(&[]).unwrap();
        stack.enter(b"\xff", Some(b"\xfe*\n"));
        assert!(stack.is_ignored(b"\xff/\xfe\x80", false) && !stack.is_ignored(b"\xff/x", false));
    }

    proptest! {
        #[test]
        fn any_text_is_a_file_of_rules(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            check_rules_bytes(&bytes);
            let few: Vec<u8> = bytes.iter().map(|byte| b"ab/*![]\\\n -"[usize::from(byte % 11)]).collect();
            check_rules_bytes(&few);
        }
    }
}
