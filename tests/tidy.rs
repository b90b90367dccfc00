//! Holds the house to its plan: floors, orphans, sizes, ASCII, and no clock or file below `io/`.
//!
//! Reads the sources as text. What it looks for is simple on purpose: a rule that one can explain in a sentence, and an
//! error that names the file and line.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// Which floor each directory of `src/` is on. `sim` stands beside the house and may use floors 0 to 3.
const FLOORS: [(&str, u8); 11] = [
    ("base", 0),
    ("file", 1),
    ("seal", 1),
    ("wire", 1),
    ("feed", 1),
    ("store", 2),
    ("peer", 2),
    ("replicate", 2),
    ("node", 3),
    ("face", 4),
    ("io", 4),
];

/// Files that are longer, with the lines they may have at the most. They are to be split:
/// no number here may grow, and no file may be added.
const LONG_FILES: [(&str, usize); 4] =
    [("node/core.rs", 401), ("node/folders.rs", 471), ("node/status.rs", 514), ("node/verify.rs", 450)];

/// Most lines of a file, its tests not counted.
const LINES_MAX: usize = 400;
/// Most lines of a file with its tests.
const LINES_WITH_TESTS_MAX: usize = 600;

/// What only `io/` and `face/` may name: clocks, files, sockets, threads, entropy, the process and its environment.
const OUTER_WORLD: [&str; 17] = [
    "std::fs",
    "std::thread",
    "std::process",
    "std::env",
    "std::os::",
    "Instant",
    "SystemTime",
    "UdpSocket",
    "TcpStream",
    "TcpListener",
    "UnixStream",
    "async_net",
    "smol::",
    "socket2",
    "rustix::",
    "OsRng",
    "getrandom",
];

/// A source file.
struct Source {
    /// Below `src/`.
    path: PathBuf,
    /// Its text.
    text: String,
    /// Its `mod` line stands behind `#[cfg(test)]`.
    is_test: bool,
}

impl Source {
    /// The directory of `src/` that it is in; None for `lib.rs` and `main.rs`.
    fn room(&self) -> Option<&str> {
        let mut parts = self.path.iter().filter_map(|part| part.to_str());
        let first = parts.next()?;
        parts.next().map(|_| first)
    }

    /// Lines of code with their numbers, without comments and without the test module at the end.
    fn code(&self) -> impl Iterator<Item = (usize, &str)> {
        numbered(self.before_tests())
    }

    /// The text up to the test module.
    fn before_tests(&self) -> &str {
        if self.is_test {
            return "";
        }
        self.text.find("\n#[cfg(test)]\nmod ").map_or(&self.text, |end| &self.text[..end])
    }
}

/// Lines with their numbers, comments taken away.
fn numbered(text: &str) -> impl Iterator<Item = (usize, &str)> {
    text.lines().enumerate().map(|(index, line)| (index + 1, line.split("//").next().unwrap_or_default()))
}

/// Every file below `src/`.
fn sources() -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut found = Vec::new();
    let mut waiting = vec![root.clone()];
    while let Some(directory) = waiting.pop() {
        for entry in std::fs::read_dir(&directory).expect("src/ can be listed") {
            let path = entry.expect("src/ can be listed").path();
            if path.is_dir() {
                waiting.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = std::fs::read_to_string(&path).expect("sources are text");
                found.push(Source {
                    path: path.strip_prefix(&root).expect("it lies below").to_path_buf(),
                    text,
                    is_test: false,
                });
            }
        }
    }
    found.sort_by(|one, other| one.path.cmp(&other.path));
    assert!(found.len() > 40, "the sources were not found");
    let tests: BTreeSet<PathBuf> = found.iter().flat_map(test_files).collect();
    for source in &mut found {
        source.is_test = tests.contains(&source.path);
    }
    found
}

/// The files that a file declares for tests only.
fn test_files(source: &Source) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut room = PathBuf::new();
    let lines: Vec<&str> = source.text.lines().map(str::trim).collect();
    for pair in lines.windows(2) {
        if let Some(name) = pair[0].strip_prefix("pub mod ").and_then(|rest| rest.strip_suffix(" {")) {
            room = PathBuf::from(name);
        }
        if let Some(name) = declared(pair[1]).filter(|_| pair[0] == "#[cfg(test)]") {
            let is_map = source.path == Path::new("lib.rs");
            let directory = if is_map { room.clone() } else { source.path.with_extension("") };
            found.push(directory.join(name).with_extension("rs"));
        }
    }
    found
}

/// The file that a line declares.
fn declared(line: &str) -> Option<&str> {
    let rest = line.trim().strip_suffix(';')?;
    let (before, name) = rest.rsplit_once("mod ")?;
    (before.is_empty() || before.starts_with("pub")).then_some(name)
}

/// The floor of a room.
fn floor(room: &str) -> Option<u8> {
    FLOORS.iter().find(|(name, _)| *name == room).map(|(_, floor)| *floor)
}

/// The rooms that a line names through `crate::`, also in braces.
fn rooms_named(line: &str) -> Vec<String> {
    let mut rooms = Vec::new();
    for (at, start) in line.match_indices("crate::") {
        let rest = &line[at + start.len()..];
        let list = rest.strip_prefix('{').map(|list| list.split('}').next().unwrap_or_default());
        for part in list.unwrap_or(rest).split(',').take(if list.is_some() { usize::MAX } else { 1 }) {
            let name: String = part.trim().chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
            if floor(&name).is_some() || name == "sim" {
                rooms.push(name);
            }
        }
    }
    rooms
}

/// Whether code in `from` may name `to`.
fn may_use(from: &str, to: &str) -> bool {
    if from == to {
        return true;
    }
    match (floor(from), floor(to)) {
        (None, Some(below)) => from == "sim" && below <= 3,
        (Some(_), Some(_)) if from == "face" && to == "io" => true,
        (Some(from), Some(to)) => to < from,
        _ => false,
    }
}

/// Fails with a list.
fn none(wrong: &[String], rule: &str) {
    assert!(wrong.is_empty(), "{rule}\n  {}", wrong.join("\n  "));
}

#[test]
fn a_file_uses_lower_floors_and_its_own_directory_only() {
    let mut wrong = Vec::new();
    for source in sources() {
        let Some(room) = source.room() else { continue };
        assert!(floor(room).is_some() || room == "sim", "src/{room} is on no floor: see src/lib.rs");
        // Tests too, for they are read together with the code; they may use the simulator's disk and network.
        let tests_from = source.before_tests().lines().count();
        for (line, code) in numbered(&source.text) {
            let is_test = line > tests_from;
            let refused = |named: &String| !(may_use(room, named) || is_test && named == "sim");
            for named in rooms_named(code).into_iter().filter(refused) {
                wrong.push(format!("src/{}:{line} names crate::{named}", source.path.display()));
            }
        }
    }
    none(&wrong, "a floor uses lower floors, never the same sideways, never up (src/lib.rs)");
}

#[test]
fn every_file_is_in_the_map() {
    let sources = sources();
    let text_of =
        |path: &Path| sources.iter().find(|source| source.path == path).map(|source| source.text.as_str());
    let map = text_of(Path::new("lib.rs")).unwrap();
    let mut wrong = Vec::new();
    for source in &sources {
        let Some(room) = source.room() else { continue };
        let stem = source.path.file_stem().and_then(|stem| stem.to_str()).unwrap();
        let parent = source.path.parent().unwrap();
        let declared_in = if parent == Path::new(room) {
            let start = map.find(&format!("pub mod {room} {{"));
            let list = start.and_then(|start| map[start..].split("\n}").next());
            list.or_else(|| text_of(&Path::new(room).with_extension("rs")))
        } else {
            text_of(&parent.with_extension("rs"))
        };
        if !declared_in.is_some_and(|text| text.lines().any(|line| declared(line) == Some(stem))) {
            wrong.push(format!("src/{}", source.path.display()));
        }
    }
    none(&wrong, "a file that no `mod` names is dead: add it to src/lib.rs or remove it");
}

#[test]
fn files_are_short() {
    let mut wrong = Vec::new();
    for source in sources() {
        let (code, all) = (source.before_tests().lines().count(), source.text.lines().count());
        let long = LONG_FILES.iter().find(|(path, _)| source.path == Path::new(path));
        let (code_max, all_max) =
            long.map_or((LINES_MAX, LINES_WITH_TESTS_MAX), |(_, lines)| (*lines, *lines));
        if code > code_max || all > all_max {
            wrong.push(format!("src/{}: {code} lines, {all} with tests", source.path.display()));
        }
    }
    let gone = |path: &&str| !sources().iter().any(|source| source.path == Path::new(path));
    wrong.extend(
        LONG_FILES
            .iter()
            .map(|(path, _)| path)
            .copied()
            .filter(|path| gone(path))
            .map(|path| format!("{path} is gone")),
    );
    none(&wrong, "one concept a file: at most 400 lines, 600 with tests");
}

#[test]
fn every_file_says_what_it_owns() {
    let mut wrong = Vec::new();
    for source in sources() {
        if !source.text.starts_with("//! ") {
            wrong.push(format!("src/{}", source.path.display()));
        }
        if source.path == Path::new("lib.rs") {
            let lines: Vec<&str> = source.text.lines().collect();
            let rooms =
                lines.windows(2).filter(|pair| pair[0].starts_with("pub mod ") && pair[0].ends_with('{'));
            wrong.extend(
                rooms.filter(|pair| !pair[1].trim().starts_with("//! ")).map(|pair| pair[0].to_owned()),
            );
        }
    }
    none(&wrong, "a file opens with `//!`: what it owns, what it refuses to do, what to read first");
}

#[test]
fn sources_are_ascii() {
    let mut wrong = Vec::new();
    for source in sources() {
        for (index, line) in source.text.lines().enumerate().filter(|(_, line)| !line.is_ascii()) {
            wrong.push(format!("src/{}:{}: {line}", source.path.display(), index + 1));
        }
    }
    none(&wrong, "comments and code are ASCII; other characters are written as \\u{...}");
}

#[test]
fn nothing_below_io_touches_the_outer_world() {
    let mut wrong = Vec::new();
    for source in sources() {
        if !source.room().is_some_and(|room| room == "sim" || floor(room).is_some_and(|floor| floor < 4)) {
            continue;
        }
        for (line, code) in source.code() {
            let words = OUTER_WORLD.iter().filter(|word| names(code, word));
            wrong.extend(words.map(|word| format!("src/{}:{line} names {word}", source.path.display())));
        }
    }
    none(&wrong, "time, files, sockets, threads and entropy come in as inputs (docs/DESIGN.md, section 3)");
}

/// Whether a line names a word as a whole.
fn names(code: &str, word: &str) -> bool {
    let is_name = |character: char| character.is_alphanumeric() || character == '_';
    code.match_indices(word).any(|(at, _)| {
        let before = code[..at].chars().next_back();
        let after = code[at + word.len()..].chars().next();
        !before.is_some_and(is_name) && (word.ends_with(':') || !after.is_some_and(is_name))
    })
}

#[test]
fn no_two_directories_use_each_other() {
    let mut uses: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for source in sources() {
        let Some(room) = source.room() else { continue };
        for (_, code) in source.code() {
            let named = rooms_named(code).into_iter().filter(|named| named != room);
            uses.entry(room.to_owned()).or_default().extend(named);
        }
    }
    // Takes away what uses nothing that is left, until nothing changes; what stays is a circle.
    loop {
        let leaves: Vec<String> = uses
            .iter()
            .filter(|(_, used)| used.iter().all(|used| !uses.contains_key(used)))
            .map(|(room, _)| room.clone())
            .collect();
        if leaves.is_empty() {
            break;
        }
        for leaf in leaves {
            uses.remove(&leaf);
        }
    }
    none(&uses.keys().cloned().collect::<Vec<_>>(), "these directories use each other in a circle");
}

#[test]
fn every_error_code_is_in_the_list() {
    let list = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/ERRORS.md")).unwrap();
    let listed: BTreeSet<&str> = list
        .lines()
        .filter_map(|line| line.strip_prefix("| `"))
        .filter_map(|line| line.split('`').next())
        .collect();
    let mut used: BTreeMap<String, String> = BTreeMap::new();
    for source in sources() {
        // `Self::new` only where Self is an error.
        let own = ["face/exit.rs", "node/config.rs"].iter().any(|path| source.path == Path::new(path));
        for start in ["ApiError::new(", "Fail::new(", "Self::new("].into_iter().take(if own { 3 } else { 2 })
        {
            for (at, _) in source.before_tests().match_indices(start) {
                let rest = source.text[at + start.len()..].trim_start();
                if let Some(code) = rest.strip_prefix('"').and_then(|rest| rest.split('"').next()) {
                    used.insert(code.to_owned(), format!("src/{}", source.path.display()));
                }
            }
        }
    }
    assert!(used.len() > 10, "no error codes were found");
    let missing: Vec<String> = used
        .iter()
        .filter(|(code, _)| !listed.contains(code.as_str()))
        .map(|(code, file)| format!("{code} ({file})"))
        .collect();
    none(&missing, "every error code stands in docs/ERRORS.md with what it means");
}
