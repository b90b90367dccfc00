//! `NAME[@SNAPSHOT][:PATH]`: reading it, and finding the nearest name when there is none.

use std::collections::BTreeSet;

use super::api::ApiError;
use super::core::Core;
use crate::base::ids::{NodeId, SnapshotId};
use crate::base::limits::{COPIES_MAX, NAME_BYTES_MAX};
use crate::base::units::WallTime;

/// A place in a vault as a person wrote it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The folder.
    pub folder: String,
    /// Which snapshot.
    pub snapshot: Wanted,
    /// Path below the folder, components joined by `/`; empty for all of it.
    pub path: String,
}

/// Which snapshot of a folder is meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wanted {
    /// The newest.
    Latest,
    /// The one whose id begins with these hexadecimal digits.
    Prefix(String),
    /// The newest that was taken before the end of this minute, `YYYY-MM-DDTHHMM` in UTC.
    Minute(String),
}

impl Place {
    /// Reads `NAME[@SNAPSHOT][:PATH]`.
    ///
    /// # Errors
    /// When the name or the snapshot is none.
    pub fn parse(text: &str) -> Result<Self, ApiError> {
        let (head, path) = text.split_once(':').unwrap_or((text, ""));
        let (folder, snapshot) = match head.split_once('@') {
            Some((folder, snapshot)) => (folder, Wanted::parse(snapshot)?),
            None => (head, Wanted::Latest),
        };
        check_folder_name(folder)?;
        Ok(Self { folder: folder.into(), snapshot, path: path.trim_matches('/').into() })
    }
}

impl Wanted {
    /// Reads what stands behind the `@`.
    fn parse(text: &str) -> Result<Self, ApiError> {
        if text == "latest" {
            return Ok(Self::Latest);
        }
        let is_minute = text.len() == 15
            && text.bytes().enumerate().all(|(index, byte)| match index {
                4 | 7 => byte == b'-',
                10 => byte == b'T',
                _ => byte.is_ascii_digit(),
            });
        // Compared as text later on: a time that no clock shows would quietly mean some other one.
        let within = |at: std::ops::Range<usize>, least: &str, most: &str| {
            text.get(at).is_some_and(|part| (least..=most).contains(&part))
        };
        let is_time = is_minute
            && within(5..7, "01", "12")
            && within(8..10, "01", "31")
            && within(11..13, "00", "23")
            && within(13..15, "00", "59");
        if is_time {
            return Ok(Self::Minute(text.into()));
        }
        let digits = text.to_ascii_lowercase();
        if digits.len() >= PREFIX_DIGITS_MIN && digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Ok(Self::Prefix(digits));
        }
        Err(ApiError::new(
            "bad_snapshot",
            format!("'{text}' is no snapshot"),
            "write at least 6 hexadecimal digits of its id, `latest`, or a time like 2026-11-21T0830 (UTC)",
        ))
    }

    /// Whether a snapshot with this id, taken then, may be the one (for `Minute`: was taken in time).
    #[must_use]
    pub fn fits(&self, id: &SnapshotId, taken: WallTime) -> bool {
        match self {
            Self::Latest => true,
            Self::Prefix(digits) => id.hex().starts_with(digits),
            Self::Minute(minute) => compact(taken) <= *minute,
        }
    }
}

/// `YYYY-MM-DDTHHMM` in UTC.
#[must_use]
pub fn compact(wall: WallTime) -> String {
    let (year, month, day, hour, minute, _, _) = wall.civil();
    format!("{year:04}-{month:02}-{day:02}T{hour:02}{minute:02}")
}

/// Checks a folder's name: `[A-Za-z0-9._-]{1,64}`.
///
/// # Errors
/// When it is none.
pub fn check_folder_name(name: &str) -> Result<(), ApiError> {
    let good = (1..=64).contains(&name.len())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte));
    if good {
        return Ok(());
    }
    let hint = match name.split_once('/') {
        Some((folder, path)) if !folder.is_empty() => {
            format!("a path in a folder is written '{folder}:{path}'")
        }
        _ => "use 1 to 64 letters, digits, dots, underscores and hyphens".into(),
    };
    Err(ApiError::new("bad_name", format!("'{name}' is no folder name"), hint))
}

/// Checks how many copies of a folder are wanted.
///
/// # Errors
/// When it is none, or more than there may be.
pub fn check_copies(wanted: Option<u8>) -> Result<(), ApiError> {
    if wanted.is_none_or(|copies| (1..=COPIES_MAX).contains(&copies)) {
        return Ok(());
    }
    Err(ApiError::new(
        "bad_copies",
        "a folder cannot be on that many devices",
        format!("give a whole number from 1 to {COPIES_MAX}"),
    ))
}

/// " (did you mean 'X'?)" for the nearest of `names`, or nothing.
#[must_use]
pub fn nearest<'a>(wanted: &str, names: impl Iterator<Item = &'a str>) -> String {
    let best = names.map(|name| (distance(wanted, name), name)).min();
    match best {
        Some((distance, name)) if distance <= name.chars().count().max(3) / 2 + 1 => {
            format!("; the nearest name is '{name}'")
        }
        _ => String::new(),
    }
}

/// The name that a new member gets: the one that it wants, or with a number behind it where another one has that.
#[must_use]
pub fn free_name(wanted: &str, taken: &BTreeSet<String>) -> String {
    let mut name = wanted.to_owned();
    let mut number = 1_u32;
    while taken.contains(&name) {
        number += 1;
        let tail = format!("-{number}");
        let mut length = wanted.len().min(NAME_BYTES_MAX - tail.len());
        while !wanted.is_char_boundary(length) {
            length -= 1;
        }
        name = format!("{}{tail}", &wanted[..length]);
    }
    name
}

impl Core {
    /// The names of all members.
    pub(super) fn member_names(&self) -> BTreeSet<String> {
        let names = self
            .member
            .iter()
            .flat_map(|member| member.view.roster().members().map(|known| member.name_of(&known.node)));
        names.collect()
    }

    /// The member that a person means: by name, or by the beginning of its id. With `other` it is never this node,
    /// which may well have the name of the one that it replaces.
    pub(super) fn find_node(&self, wanted: &str, other: bool) -> Result<NodeId, ApiError> {
        let Some(member) = &self.member else { return Err(no_node(wanted, "")) };
        let all: Vec<(NodeId, String)> = member
            .view
            .roster()
            .members()
            .filter(|known| !other || known.node != member.node)
            .map(|known| (known.node, member.name_of(&known.node)))
            .collect();
        let found: Vec<NodeId> = all
            .iter()
            .filter(|(node, name)| name == wanted || (wanted.len() >= 6 && node.hex().starts_with(wanted)))
            .map(|(node, _)| *node)
            .collect();
        match found.as_slice() {
            [node] => Ok(*node),
            [] => Err(no_node(wanted, &nearest(wanted, all.iter().map(|(_, name)| name.as_str())))),
            _ => Err(ApiError::new(
                "ambiguous",
                format!("several nodes are called '{wanted}'"),
                "use the beginning of its id, as `nuthatch nodes` shows it",
            )),
        }
    }
}

/// Unknown node.
fn no_node(name: &str, near: &str) -> ApiError {
    ApiError::new("no_node", format!("there is no member '{name}'{near}"), "see `nuthatch nodes`")
}

/// Edit distance (Levenshtein, 1966), one row at a time.
fn distance(one: &str, other: &str) -> usize {
    let other: Vec<char> = other.chars().collect();
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (index, character) in one.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = index + 1;
        for (column, candidate) in other.iter().enumerate() {
            let change = diagonal + usize::from(character != *candidate);
            diagonal = row[column + 1];
            row[column + 1] = change.min(diagonal + 1).min(row[column] + 1);
        }
    }
    row[other.len()]
}

/// Fewer digits of a snapshot's id name too many snapshots.
const PREFIX_DIGITS_MIN: usize = 6;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_read_in_all_its_forms() {
        let place = |text: &str| Place::parse(text).unwrap();
        assert_eq!(
            place("photos"),
            Place { folder: "photos".into(), snapshot: Wanted::Latest, path: String::new() }
        );
        assert_eq!(place("photos:a/b:c").path, "a/b:c");
        assert_eq!(place("photos@latest:x").snapshot, Wanted::Latest);
        assert_eq!(place("photos@ABCdef12").snapshot, Wanted::Prefix("abcdef12".into()));
        assert_eq!(place("p@2026-11-21T0830:x").snapshot, Wanted::Minute("2026-11-21T0830".into()));
        for bad in
            ["", "a b", "photos@xyz", "photos@abc", "photos@2026", "p@2026-13-01T0000", "p@2026-01-01T2400"]
        {
            assert!(Place::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn the_nearest_name_is_offered_only_when_it_is_near() {
        assert_eq!(nearest("phots", ["music", "photos"].into_iter()), "; the nearest name is 'photos'");
        assert_eq!(nearest("xxxxxxxxxxxx", ["music"].into_iter()), "");
    }

    #[test]
    fn a_name_that_another_member_has_gets_a_number() {
        let long = "\u{fc}".repeat(NAME_BYTES_MAX / 2);
        let taken: BTreeSet<String> = ["pi", "pi-2", &long].map(str::to_owned).into();
        assert_eq!(free_name("attic", &taken), "attic");
        assert_eq!(free_name("pi", &taken), "pi-3");
        assert_eq!(free_name("pi-2", &taken), "pi-2-2");
        assert_eq!(free_name(&long, &taken), format!("{}-2", "\u{fc}".repeat(NAME_BYTES_MAX / 2 - 1)));
    }

    #[test]
    fn a_minute_means_the_newest_snapshot_until_its_end() {
        let wanted = Wanted::Minute("1970-01-01T0001".into());
        let id = SnapshotId::from_bytes([0; 32]);
        assert!(wanted.fits(&id, WallTime::from_micros(119_999_999)));
        assert!(!wanted.fits(&id, WallTime::from_micros(120_000_000)));
    }
}
