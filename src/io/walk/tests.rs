//! What the file thread must do with strange trees.

use super::*;
use crate::node::ports::{Extent, FileErrorKind, Found};
use std::ffi::OsStr;
use std::fs;
use std::os::unix::fs::{symlink, FileExt, MetadataExt, PermissionsExt};

/// A tree in a temporary directory, and a service to look at it.
struct Lab {
    /// Removed at the end.
    directory: tempfile::TempDir,
    /// Under test.
    service: FileService,
}

impl Lab {
    fn new() -> Self {
        Self { directory: tempfile::tempdir().unwrap(), service: FileService::default() }
    }

    fn path(&self, name: &[u8]) -> std::path::PathBuf {
        self.directory.path().join(OsStr::from_bytes(name))
    }

    fn root(&self) -> Vec<u8> {
        self.directory.path().as_os_str().as_bytes().to_vec()
    }

    fn facts(&mut self) -> Result<RootFacts, FileError> {
        match self.service.execute(FileRequest::Root { op: 1, root: self.root() }) {
            FileReply::Root { op: 1, result } => result,
            other => panic!("{other:?}"),
        }
    }

    fn list(&mut self, path: &[u8]) -> Result<Listing, FileError> {
        let request = FileRequest::List {
            op: 2,
            root: self.root(),
            path: path.to_vec(),
            after: None,
            ahead: false,
            watch: None,
        };
        match self.service.execute(request) {
            FileReply::List { op: 2, result } => result,
            other => panic!("{other:?}"),
        }
    }

    fn open(&mut self, path: &[u8], budget: usize) -> Result<Opened, FileError> {
        let request =
            FileRequest::Open { op: 3, root: self.root(), path: path.to_vec(), budget, known: None };
        match self.service.execute(request) {
            FileReply::Open { op: 3, result } => result,
            other => panic!("{other:?}"),
        }
    }

    /// Opens what is listed with this stat.
    fn open_listed(&mut self, path: &[u8], budget: usize, listed: Stat) -> Opened {
        let (root, path) = (self.root(), path.to_vec());
        let request = FileRequest::Open { op: 3, root, path, budget, known: Some(listed) };
        match self.service.execute(request) {
            FileReply::Open { op: 3, result } => result.unwrap(),
            other => panic!("{other:?}"),
        }
    }

    fn read(&mut self, path: &[u8], offset: u64, budget: usize) -> Result<Block, FileError> {
        let request = FileRequest::Read { op: 4, root: self.root(), path: path.to_vec(), offset, budget };
        match self.service.execute(request) {
            FileReply::Read { op: 4, result } => result,
            other => panic!("{other:?}"),
        }
    }
}

/// What std knows of a path.
fn expected(path: &Path) -> Stat {
    let facts = fs::symlink_metadata(path).unwrap();
    Stat {
        size: facts.size(),
        mtime_ns: facts.mtime() * 1_000_000_000 + facts.mtime_nsec(),
        ctime_ns: facts.ctime() * 1_000_000_000 + facts.ctime_nsec(),
        inode: facts.ino(),
        mode: facts.mode() & 0o7777,
        uid: facts.uid(),
        gid: facts.gid(),
        links: u32::try_from(facts.nlink()).unwrap(),
    }
}

#[test]
fn names_are_bytes_and_every_type_is_told() {
    let mut lab = Lab::new();
    let odd = [&b"line\nbreak"[..], b"\xff\xfe", b" ", b"-rf", "f\u{fc}r".as_bytes(), b"*?[", &[b'n'; 255]];
    for name in odd {
        fs::write(lab.path(name), name).unwrap();
    }
    fs::create_dir(lab.path(b"directory")).unwrap();
    symlink("nowhere", lab.path(b"link")).unwrap();
    let pipe = lab.path(b"pipe");
    rustix::fs::mknodat(rustix::fs::CWD, &pipe, rustix::fs::FileType::Fifo, Mode::RUSR, 0).unwrap();
    let listing = lab.list(b"").unwrap();
    assert!(!listing.more);
    let names: Vec<&[u8]> = listing.items.iter().map(|item| item.name.as_slice()).collect();
    let mut wanted: Vec<&[u8]> = odd.iter().copied().chain([&b"directory"[..], b"link", b"pipe"]).collect();
    wanted.sort_unstable();
    assert_eq!(names, wanted);
    for item in &listing.items {
        let Found { kind, stat, disk } = *item.found.as_ref().unwrap();
        assert_eq!(disk, crate::file::applied::Disk::Root);
        assert_eq!(stat, expected(&lab.path(&item.name)));
        let wanted = match item.name.as_slice() {
            b"directory" => FoundKind::Directory,
            b"link" => FoundKind::Symlink,
            b"pipe" => FoundKind::Special,
            _ => FoundKind::File,
        };
        assert_eq!(kind, wanted);
    }
    for name in odd {
        let opened = lab.open(name, 1_000).unwrap();
        assert_eq!(opened.block.extents, vec![Extent::Data(name.to_vec())]);
        assert!(opened.block.end);
    }
    assert_eq!(lab.open(b"link", 10).unwrap().target.as_deref(), Some(&b"nowhere"[..]));
    assert_eq!(lab.open(b"directory", 10).unwrap().found.kind, FoundKind::Directory);
    // A pipe that nobody writes to must not hold up the thread.
    assert_eq!(lab.open(b"pipe", 10).unwrap().found.kind, FoundKind::Special);
}

#[test]
fn the_nodes_own_data_are_left_out_and_are_no_folder() {
    let mut lab = Lab::new();
    fs::create_dir_all(lab.path(b"home/segments")).unwrap();
    fs::write(lab.path(b"home/state.redb"), b"x").unwrap();
    assert_eq!(lab.list(b"home").unwrap().items.len(), 2);
    lab.service = FileService::outside(&lab.path(b"home"));
    let listing = lab.list(b"home").unwrap();
    assert!(listing.cache && listing.items.is_empty());
    assert_eq!(lab.list(b"").unwrap().items.len(), 1, "it is still there as a directory");
    let root = lab.path(b"home").into_os_string().into_encoded_bytes();
    let FileReply::Root { result, .. } = lab.service.execute(FileRequest::Root { op: 1, root }) else {
        panic!()
    };
    assert_eq!(result.unwrap_err().kind, FileErrorKind::Denied);
}

#[test]
fn nothing_is_read_through_a_link_below_the_root() {
    let mut lab = Lab::new();
    fs::create_dir(lab.path(b"real")).unwrap();
    fs::write(lab.path(b"real/file"), b"x").unwrap();
    symlink("real", lab.path(b"alias")).unwrap();
    symlink("/etc", lab.path(b"etc")).unwrap();
    assert_eq!(lab.open(b"alias/file", 9).unwrap_err().kind, FileErrorKind::Changed);
    assert_eq!(lab.open(b"etc/passwd", 9).unwrap_err().kind, FileErrorKind::Changed);
    assert_eq!(lab.list(b"alias").unwrap_err().kind, FileErrorKind::Changed);
    assert_eq!(lab.read(b"alias", 0, 9).unwrap_err().kind, FileErrorKind::Changed);
    assert_eq!(lab.open(b"real/gone", 9).unwrap_err().kind, FileErrorKind::Missing);
    assert_eq!(lab.open(b"../x", 9).unwrap_err().kind, FileErrorKind::Failed);
}

#[test]
fn the_root_itself_may_be_a_link_and_says_whether_it_is_empty() {
    let mut lab = Lab::new();
    assert!(lab.facts().unwrap().empty);
    fs::create_dir(lab.path(b"real")).unwrap();
    let facts = lab.facts().unwrap();
    assert!(!facts.empty);
    assert_eq!(facts.inode, fs::metadata(lab.directory.path()).unwrap().ino());
    symlink("real", lab.path(b"alias")).unwrap();
    let root = lab.path(b"alias").into_os_string().into_encoded_bytes();
    let FileReply::Root { result, .. } = lab.service.execute(FileRequest::Root { op: 9, root }) else {
        panic!("another reply");
    };
    let linked = result.unwrap();
    assert_eq!((linked.inode, linked.empty), (fs::metadata(lab.path(b"real")).unwrap().ino(), true));
    assert_eq!(linked.file_system, facts.file_system);
    let missing = lab.service.execute(FileRequest::Root { op: 9, root: b"/no/such/place".to_vec() });
    assert!(
        matches!(missing, FileReply::Root { result: Err(error), .. } if error.kind == FileErrorKind::Missing)
    );
}

#[test]
fn a_file_is_read_in_blocks_and_seen_to_change() {
    let mut lab = Lab::new();
    let content: Vec<u8> = (0..100_000_u32).flat_map(u32::to_le_bytes).collect();
    fs::write(lab.path(b"f"), &content).unwrap();
    let opened = lab.open(b"f", 100_000).unwrap();
    assert_eq!(opened.block.extents, vec![Extent::Data(content[..100_000].to_vec())]);
    assert!(!opened.block.end);
    assert_eq!(opened.block.after, Some(opened.found.stat));
    let second = lab.read(b"f", 100_000, 250_000).unwrap();
    assert_eq!(second.extents, vec![Extent::Data(content[100_000..350_000].to_vec())]);
    fs::OpenOptions::new().write(true).open(lab.path(b"f")).unwrap().write_all_at(b"+", 400_000).unwrap();
    let third = lab.read(b"f", 350_000, 250_000).unwrap();
    assert_eq!(third.extents, vec![Extent::Data(content[350_000..].to_vec())]);
    assert_eq!(third.after.unwrap().size, 400_001);
    assert!(!third.end, "it grew");
    let fourth = lab.read(b"f", 400_000, 250_000).unwrap();
    assert_eq!((fourth.extents, fourth.end), (vec![Extent::Data(b"+".to_vec())], true));
    assert!(lab.service.files.is_empty(), "a file that was read is closed");
}

#[test]
fn a_replaced_file_is_read_to_its_end_and_known_by_its_change_time() {
    let mut lab = Lab::new();
    fs::write(lab.path(b"f"), [1; 1_000]).unwrap();
    let opened = lab.open(b"f", 500).unwrap();
    fs::write(lab.path(b"g"), [2; 1_000]).unwrap();
    fs::rename(lab.path(b"g"), lab.path(b"f")).unwrap();
    let rest = lab.read(b"f", 500, 1_000).unwrap();
    assert_eq!(rest.extents, vec![Extent::Data(vec![1; 500])]);
    assert_ne!(rest.after, Some(opened.found.stat));
}

#[test]
fn holes_are_told_and_attributes_come_along() {
    let mut lab = Lab::new();
    let file = fs::File::create(lab.path(b"sparse")).unwrap();
    file.set_len(10_000_000).unwrap();
    file.write_all_at(b"end", 9_999_997).unwrap();
    let _ = rustix::fs::fsetxattr(&file, "user.k", b"v", rustix::fs::XattrFlags::empty());
    let opened = lab.open(b"sparse", 100_000).unwrap();
    assert!(matches!(opened.block.extents[..], [Extent::Hole(hole), Extent::Data(_)] if hole > 9_000_000));
    assert!(opened.block.end);
    if rustix::fs::fgetxattr(&file, "user.k", &mut [0; 8]).is_ok() {
        assert!(opened.attributes.contains(&(b"user.k".to_vec(), b"v".to_vec())));
    }
}

#[test]
fn a_directory_swapped_in_the_middle_of_a_scan_is_noticed_after_a_rest() {
    let mut lab = Lab::new();
    fs::create_dir(lab.path(b"root")).unwrap();
    fs::write(lab.path(b"root/file"), b"x").unwrap();
    let root = lab.path(b"root").into_os_string().into_encoded_bytes();
    let list = || FileRequest::List {
        op: 1,
        root: root.clone(),
        path: Vec::new(),
        after: None,
        ahead: false,
        watch: None,
    };
    lab.service.execute(FileRequest::Root { op: 0, root: root.clone() });
    lab.service.rest();
    assert!(matches!(lab.service.execute(list()), FileReply::List { result: Ok(_), .. }));
    lab.service.rest();
    fs::rename(lab.path(b"root"), lab.path(b"moved")).unwrap();
    fs::create_dir(lab.path(b"root")).unwrap();
    let FileReply::List { result, .. } = lab.service.execute(list()) else { panic!("another reply") };
    assert_eq!(result.unwrap_err().kind, FileErrorKind::Changed);
    // Asked about anew, it is accepted.
    lab.service.execute(FileRequest::Root { op: 0, root: root.clone() });
    assert!(matches!(lab.service.execute(list()), FileReply::List { result: Ok(_), .. }));
}

#[test]
fn what_may_not_be_read_is_denied_not_missing() {
    let mut lab = Lab::new();
    fs::write(lab.path(b"closed"), b"x").unwrap();
    fs::set_permissions(lab.path(b"closed"), fs::Permissions::from_mode(0o0)).unwrap();
    let opened = lab.open(b"closed", 10);
    if rustix::process::geteuid().is_root() {
        assert!(opened.is_ok());
    } else {
        assert_eq!(opened.unwrap_err().kind, FileErrorKind::Denied);
    }
}

#[test]
fn many_files_at_once_stay_within_the_bound_on_open_ones() {
    let mut lab = Lab::new();
    let names: Vec<Vec<u8>> = (0..100).map(|number| format!("f{number}").into_bytes()).collect();
    for name in &names {
        fs::write(lab.path(name), [7; 100]).unwrap();
    }
    for name in &names {
        assert!(!lab.open(name, 10).unwrap().block.end);
        assert!(lab.service.files.len() <= OPEN_SOURCE_FILES_MAX);
    }
    for name in &names {
        let block = lab.read(name, 10, 1_000).unwrap();
        assert_eq!((block.extents, block.end), (vec![Extent::Data(vec![7; 90])], true));
    }
}

#[test]
fn a_file_that_is_as_it_was_listed_is_looked_at_once_and_any_other_before_and_after() {
    let mut lab = Lab::new();
    fs::write(lab.path(b"small"), b"small").unwrap();
    fs::write(lab.path(b"large"), vec![7; 10_000]).unwrap();
    let holes = fs::File::create(lab.path(b"holes")).unwrap();
    holes.set_len(100_000).unwrap();
    fs::write(lab.path(b"empty"), b"").unwrap();
    lab.facts().unwrap();
    let listing = lab.list(b"").unwrap();
    let listed = |name: &[u8]| {
        let found = listing.items.iter().find(|item| item.name == name).unwrap().found.clone();
        found.unwrap().stat
    };
    for name in [&b"empty"[..], b"holes", b"large", b"small"] {
        let stat = listed(name);
        let (with, without) = (lab.open_listed(name, 4_096, stat), lab.open(name, 4_096).unwrap());
        assert_eq!(with, without, "{}", String::from_utf8_lossy(name));
        assert_eq!((with.found.stat, with.block.after), (stat, Some(stat)));
    }
    // What it is now counts, whatever it was when it was listed.
    let before = listed(b"small");
    fs::write(lab.path(b"small"), b"changed since").unwrap();
    let opened = lab.open_listed(b"small", 4_096, before);
    assert_eq!(opened.found.stat.size, 13);
    assert_eq!(opened.block.extents, [Extent::Data(b"changed since".to_vec())]);
    fs::remove_file(lab.path(b"small")).unwrap();
    fs::create_dir(lab.path(b"small")).unwrap();
    assert_eq!(lab.open_listed(b"small", 4_096, before).found.kind, FoundKind::Directory);
    fs::remove_dir(lab.path(b"small")).unwrap();
    symlink("large", lab.path(b"small")).unwrap();
    assert_eq!(lab.open_listed(b"small", 4_096, before).found.kind, FoundKind::Symlink);
}
