//! What the service needs to use a directory: whether it sees it, whether it may, and what a person has to do where neither group nor mode help.
//!
//! Below /home, /root and /run/user the unit shows it empty directories (`ProtectHome=tmpfs`); what is bound into them is reached whatever
//! the rights of the directories above are, so that a private home stays private. Nothing is changed about the files themselves.

use std::fs::{self, Metadata};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use super::plan::word;
use crate::base::limits::SETUP_ENTRIES_MAX;

/// Where the unit shows nothing.
const HIDDEN: [&str; 3] = ["/home", "/root", "/run/user"];

/// To read a file.
const READ: u32 = 4;
/// To make and remove names in a directory, or to write a file.
const WRITE: u32 = 2;
/// To go through a directory.
const PASS: u32 = 1;

/// A directory that the service may use.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Grant {
    /// Which.
    pub(super) directory: String,
    /// Whether it may write there.
    write: bool,
    /// What the drop-in says.
    lines: Vec<String>,
    /// What a person should know.
    pub(super) notes: Vec<String>,
}

impl Grant {
    /// The drop-in; None: nothing needs to be said.
    pub(super) fn drop_in(&self) -> Option<String> {
        if self.lines.is_empty() {
            return None;
        }
        let write = if self.write { " --write" } else { "" };
        let called = format!("nuthatch setup-service --folder {}{write}", word(&self.directory));
        let back =
            "To take it back: remove this file, then systemctl daemon-reload && systemctl restart nuthatch";
        Some(format!("# Made by `{called}`.\n# {back}\n[Service]\n{}\n", self.lines.join("\n")))
    }
}

/// Users and groups of the machine.
#[derive(Debug, Default)]
pub(super) struct Names {
    /// Name, number, number of the first group.
    users: Vec<(String, u32, u32)>,
    /// Name, number, names of members.
    groups: Vec<(String, u32, Vec<String>)>,
}

impl Names {
    /// Those that stand in the files, below `root`.
    pub(super) fn read(root: Option<&Path>) -> Self {
        let read = |path| fs::read_to_string(super::below(root, path)).unwrap_or_default();
        Self::parse(&read("/etc/passwd"), &read("/etc/group"))
    }

    /// From the texts of the files.
    fn parse(passwd: &str, group: &str) -> Self {
        let fields = |line: &str| -> Vec<String> { line.split(':').map(str::to_owned).collect() };
        let user = |line| {
            let fields = fields(line);
            Some((fields.first()?.clone(), fields.get(2)?.parse().ok()?, fields.get(3)?.parse().ok()?))
        };
        let members = |list: &String| list.split(',').map(str::to_owned).collect();
        let group_of = |line| {
            let fields = fields(line);
            Some((fields.first()?.clone(), fields.get(2)?.parse().ok()?, members(fields.get(3)?)))
        };
        Self {
            users: passwd.lines().filter_map(user).collect(),
            groups: group.lines().filter_map(group_of).collect(),
        }
    }

    /// The number of a user.
    pub(super) fn user(&self, name: &str) -> Option<u32> {
        self.users.iter().find(|(other, _, _)| other == name).map(|(_, number, _)| *number)
    }

    /// Who somebody is to the kernel; a user who is yet to be made is in no group.
    fn who(&self, name: &str) -> Who {
        let user = self.users.iter().find(|(other, _, _)| other == name);
        let member = self.groups.iter().filter(|(_, _, members)| members.iter().any(|member| member == name));
        let groups = user.map(|(_, _, group)| *group).into_iter().chain(member.map(|(_, number, _)| *number));
        Who { user: user.map(|(_, number, _)| *number), groups: groups.collect() }
    }
}

/// A user and the groups that count.
#[derive(Debug, Clone)]
struct Who {
    /// None: not made yet.
    user: Option<u32>,
    /// The groups.
    groups: Vec<u32>,
}

impl Who {
    /// Whether all of `wanted` is allowed.
    fn may(&self, path: &Path, facts: &Metadata, wanted: u32) -> bool {
        let mut list = [0; 2048];
        let length = rustix::fs::getxattr(path, "system.posix_acl_access", &mut list).unwrap_or(0);
        self.bits(facts.mode(), (facts.uid(), facts.gid()), &list[..length]) & wanted == wanted
    }

    /// What is allowed by a mode, its owners, and an access control list as the kernel tells it (acl(5); empty: none).
    fn bits(&self, mode: u32, (owner, group): (u32, u32), list: &[u8]) -> u32 {
        if self.user == Some(owner) {
            return mode >> 6 & 7;
        }
        let entries = list.get(4..).unwrap_or_default().chunks_exact(8).map(|entry| {
            let short = |at: usize| u32::from(u16::from_le_bytes([entry[at], entry[at + 1]]));
            (short(0), short(2), u32::from_le_bytes([entry[4], entry[5], entry[6], entry[7]]))
        });
        let entries: Vec<(u32, u32, u32)> = entries.collect();
        let of = |tag: u32| entries.iter().filter(move |entry| entry.0 == tag);
        let mask = of(0x10).next().map_or(7, |entry| entry.1);
        if let Some(entry) = of(0x02).find(|entry| Some(entry.2) == self.user) {
            return entry.1 & mask;
        }
        let own = of(0x04).next().map_or(mode >> 3 & 7, |entry| entry.1);
        let own = self.groups.contains(&group).then_some(own);
        let named = of(0x08).filter(|entry| self.groups.contains(&entry.2)).map(|entry| entry.1);
        own.into_iter().chain(named).reduce(|one, other| one | other).map_or(mode & 7, |bits| bits & mask)
    }
}

/// What it takes that `user` can use a directory.
pub(super) fn grant(directory: &Path, names: &Names, user: &str, write: bool) -> Grant {
    let mut lines = Vec::new();
    let mut notes = Vec::new();
    let name = directory.to_string_lossy().into_owned();
    let hidden = is_hidden(directory);
    // A directory that has gone must not keep the service from starting: that is what the minus says.
    match (hidden, write) {
        (true, false) => lines.push(format!("BindReadOnlyPaths={}", word(&format!("-{name}")))),
        (true, true) => lines.push(format!("BindPaths={}", word(&format!("-{name}")))),
        (false, true) => lines.push(format!("ReadWritePaths={}", word(&format!("-{name}")))),
        (false, false) => {}
    }
    let mut who = names.who(user);
    let wanted = if write { READ | WRITE | PASS } else { READ | PASS };
    let Ok(facts) = fs::metadata(directory) else { return Grant { directory: name, write, lines, notes } };
    if !who.may(directory, &facts, wanted) {
        let mut more = who.clone();
        more.groups.push(facts.gid());
        let group = names.groups.iter().find(|(_, number, _)| *number == facts.gid() && *number != 0);
        if let Some((group, _, _)) = group.filter(|_| more.may(directory, &facts, wanted)) {
            lines.push(format!("SupplementaryGroups={group}"));
            who = more;
        }
    }
    let refused = refused(directory, &who, write);
    if let Some(first) = refused.first {
        let rights = if write { "rwX" } else { "rX" };
        let (shown, quoted) = (first.to_string_lossy(), name.replace('\'', "'\\''"));
        notes.push(format!(
            "The user {user} may not use {} of the first {} files and directories there, such as {shown}. To let it, also for what comes later:\n    \
             sudo setfacl -R -m u:{user}:{rights},d:u:{user}:{rights} '{quoted}'",
            refused.count, refused.looked
        ));
    }
    let closed = directory
        .ancestors()
        .skip(1)
        .filter(|_| !hidden)
        .find(|above| fs::metadata(above).is_ok_and(|facts| !who.may(above, &facts, PASS)));
    if let Some(above) = closed {
        notes.push(format!(
            "The user {user} may not go through {}. To let it:\n    sudo setfacl -m u:{user}:x '{}'",
            above.display(),
            above.display()
        ));
    }
    if write && who.user != Some(facts.uid()) {
        notes.push(format!("What arrives in {name} belongs to {user}. In a folder that a person works in, that is in the way: have the service run as that person (--user)."));
    }
    Grant { directory: name, write, lines, notes }
}

/// Whether the unit hides this place.
fn is_hidden(directory: &Path) -> bool {
    HIDDEN.iter().any(|place| {
        let real = fs::canonicalize(place).unwrap_or_else(|_| PathBuf::from(place));
        directory.starts_with(real)
    })
}

/// What of a directory cannot be used.
#[derive(Debug, Default)]
struct Refused {
    /// How much was looked at.
    looked: usize,
    /// How much of that cannot be used.
    count: usize,
    /// The first of it.
    first: Option<PathBuf>,
}

/// Looks at the first files and directories.
fn refused(directory: &Path, who: &Who, write: bool) -> Refused {
    let mut found = Refused::default();
    let mut waiting = vec![directory.to_path_buf()];
    while let Some(path) = waiting.pop() {
        let Ok(facts) = fs::symlink_metadata(&path) else { continue };
        if facts.is_symlink() {
            continue;
        }
        found.looked += 1;
        // A file is replaced, not written to; that takes rights over its directory.
        let wanted = if !facts.is_dir() {
            READ
        } else if write {
            READ | WRITE | PASS
        } else {
            READ | PASS
        };
        if !who.may(&path, &facts, wanted) {
            found.count += 1;
            found.first.get_or_insert_with(|| path.clone());
        }
        if facts.is_dir() {
            let room = SETUP_ENTRIES_MAX.saturating_sub(found.looked + waiting.len());
            let entries = fs::read_dir(&path).into_iter().flatten().flatten();
            waiting.extend(entries.take(room).map(|entry| entry.path()));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An access control list as the kernel tells it.
    fn list(entries: &[(u16, u16, u32)]) -> Vec<u8> {
        let mut bytes = vec![2, 0, 0, 0];
        for (tag, bits, number) in entries {
            bytes.extend([tag.to_le_bytes(), bits.to_le_bytes()].concat());
            bytes.extend(number.to_le_bytes());
        }
        bytes
    }

    #[test]
    fn rights_are_those_that_the_kernel_gives() {
        let who = Who { user: Some(900), groups: vec![900, 50] };
        assert_eq!(who.bits(0o750, (900, 1), &[]), 7, "the owner");
        assert_eq!(who.bits(0o057, (900, 50), &[]), 0, "who may less than others");
        assert_eq!(who.bits(0o750, (1, 50), &[]), 5, "a group");
        assert_eq!(who.bits(0o754, (1, 1), &[]), 4, "others");
        assert_eq!(Who { user: None, groups: vec![] }.bits(0o754, (1, 1), &[]), 4, "who is yet to be made");
        let none = u32::MAX;
        let named = list(&[(1, 7, none), (2, 7, 900), (4, 5, none), (0x10, 5, none), (0x20, 0, none)]);
        assert_eq!(who.bits(0o750, (1, 1), &named), 5, "a named user, as far as the mask goes");
        let group = list(&[(1, 7, none), (4, 0, none), (8, 4, 50), (0x10, 7, none), (0x20, 7, none)]);
        assert_eq!(who.bits(0o777, (1, 50), &group), 4, "a named group; others do not count then");
        assert_eq!(who.bits(0o750, (1, 1), &[2, 0, 0]), 0, "a list that is cut off is none");
    }

    #[test]
    fn names_are_read_and_lines_that_make_no_sense_left_out() {
        let names = Names::parse(
            "root:x:0:0::/root:/bin/sh\nbad\nanna:x:1000:1001::/:/bin/sh\n",
            "anna:x:1001:\nfamily:x:60:bob,anna\n",
        );
        assert_eq!((names.user("anna"), names.user("bad")), (Some(1000), None));
        assert_eq!(names.who("anna").groups, [1001, 60]);
        assert!(names.who("nobody-yet").user.is_none());
    }

    #[test]
    fn what_the_unit_hides_is_bound_and_what_all_may_read_needs_nothing() {
        assert!(is_hidden(Path::new("/home/anna/photos")) && !is_hidden(Path::new("/homes/anna")));
        let place = tempfile::tempdir().unwrap();
        let folder = place.path().join("photos");
        fs::create_dir(&folder).unwrap();
        fs::write(folder.join("one"), "1").unwrap();
        let mode = |path: &Path, mode| {
            fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(mode)).unwrap()
        };
        mode(place.path(), 0o755);
        mode(&folder, 0o755);
        mode(&folder.join("one"), 0o644);
        let names = Names::default();
        let open = grant(&folder, &names, "nuthatch", false);
        assert_eq!((open.drop_in(), &open.notes[..]), (None, &[][..]));
        let written = grant(&folder, &names, "nuthatch", true);
        assert!(written.drop_in().is_some_and(|text| text.contains("\nReadWritePaths=-/")));
        mode(&folder.join("one"), 0o600);
        let closed = grant(&folder, &names, "nuthatch", false);
        assert!(
            closed.notes[0].contains("1 of the first 2")
                && closed.notes[0].contains("setfacl -R -m u:nuthatch:rX"),
            "{closed:?}"
        );
    }

    #[test]
    fn a_group_is_joined_where_that_suffices() {
        let place = tempfile::tempdir().unwrap();
        fs::set_permissions(place.path(), std::os::unix::fs::PermissionsExt::from_mode(0o770)).unwrap();
        let group = fs::metadata(place.path()).unwrap().gid();
        let names = Names { users: Vec::new(), groups: vec![("family".into(), group, Vec::new())] };
        let granted = grant(place.path(), &names, "nuthatch", false);
        // The group of root is joined by nobody.
        let joined = granted.lines.contains(&"SupplementaryGroups=family".to_owned());
        assert_eq!((joined, granted.notes.is_empty()), (group != 0, group != 0), "{granted:?}");
    }
}
