//! Archives, read as other programs read them: from their end.

use super::archive::{update, update_zeros};
use super::*;
use crate::base::limits::ZIP_LIST_BYTES_MAX;
use crate::file::entry::Stat;

/// The frame of something.
fn entry(path: &[u8], kind: Kind, size: u64) -> Frame {
    let stat = Stat {
        size,
        mtime_ns: 1_700_000_001_000_000_000,
        ctime_ns: 0,
        inode: 0,
        mode: 0o640,
        uid: 0,
        gid: 0,
        links: 1,
    };
    let target = (kind == Kind::Symlink).then(|| b"../there".to_vec());
    Frame::Entry { path: path.to_vec(), kind, stat, attributes: Vec::new(), target, torn: false }
}

/// An archive of these frames, each with its data.
fn archive(below: &[u8], frames: Vec<(Frame, &[u8])>) -> Vec<u8> {
    let home = tempfile::tempdir().unwrap();
    let mut zip = Zip::new(below, home.path());
    let mut bytes = Vec::new();
    for (frame, data) in frames {
        zip.frame(frame).unwrap();
        if !data.is_empty() {
            zip.data(data).unwrap();
        }
        while let Some(more) = zip.archive.take() {
            bytes.extend(more);
        }
    }
    zip.end().unwrap();
    while let Some(more) = zip.archive.list_piece().unwrap() {
        bytes.extend(more);
    }
    bytes
}

/// What Python, which has a zip reader of its own, finds: lines of name, length, mode, first bytes, or why it cannot be read.
fn read_by_python(bytes: &[u8]) -> Option<Vec<String>> {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("a.zip");
    std::fs::write(&path, bytes).unwrap();
    let program = "import sys,zipfile\nz=zipfile.ZipFile(sys.argv[1])\nfor i in z.infolist():\n try: c=z.open(i).read(1<<40)\n except Exception as e: c=b'! '+str(e)[:7].encode()\n print(i.filename,i.file_size,oct(i.external_attr>>16),c[:20],i.date_time)";
    let output = std::process::Command::new("python3").arg("-c").arg(program).arg(&path).output().ok()?;
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Some(String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect())
}

#[test]
fn other_programs_find_everything_in_an_archive() {
    let bytes = archive(
        b"family",
        vec![
            (entry(b"d", Kind::Directory, 0), b""),
            (entry(b"d/\xc3\xbc.txt", Kind::File, 5), b""),
            (Frame::Data(5), b"hello"),
            (entry(b"empty", Kind::File, 0), b""),
            (entry(b"link", Kind::Symlink, 8), b""),
            (entry(b"sparse", Kind::File, 100_003), b""),
            (Frame::Hole(100_000), b""),
            (Frame::Data(3), b"end"),
            (Frame::End { files: 4, bytes: 0, lost: 0 }, b""),
        ],
    );
    let Some(lines) = read_by_python(&bytes) else { return };
    let expected = [
        "family/d/ 0 0o40640 b'' (2023, 11, 14, 22, 13, 20)",
        "family/d/\u{fc}.txt 5 0o100640 b'hello' (2023, 11, 14, 22, 13, 20)",
        "family/empty 0 0o100640 b'' (2023, 11, 14, 22, 13, 20)",
        "family/link 8 0o120640 b'../there' (2023, 11, 14, 22, 13, 20)",
    ];
    assert_eq!(lines[..4], expected);
    assert!(lines[4].starts_with("family/sparse 100003 "), "{}", lines[4]);
}

#[test]
fn what_is_lost_is_named_and_half_a_file_cannot_be_taken_for_a_whole() {
    let lost = |path: &[u8]| Frame::Lost { path: path.to_vec(), reason: "no device\nholds it".into() };
    let bytes = archive(
        b"",
        vec![
            (entry(b"gone", Kind::File, 50), b""),
            (lost(b"gone"), b""),
            (entry(b"half", Kind::File, 50), b""),
            (Frame::Data(4), b"half"),
            (lost(b"half"), b""),
            (entry(b"whole", Kind::File, 5), b""),
            (Frame::Data(5), b"whole"),
            (Frame::End { files: 3, bytes: 0, lost: 2 }, b""),
        ],
    );
    let text = String::from_utf8_lossy(&bytes);
    assert!(text.contains("2 of the files") && text.contains("gone: no device"));
    let Some(lines) = read_by_python(&bytes) else { return };
    let names: Vec<&str> = lines.iter().map(|line| line.split(" 0").next().unwrap()).collect();
    assert_eq!(lines.len(), 3, "{names:?}");
    assert!(lines[0].starts_with("half 4 ") && lines[0].contains("! Bad CRC"), "{}", lines[0]);
    assert!(lines[1].starts_with("whole 5 ") && lines[1].contains("b'whole'"));
    assert!(lines[2].starts_with("NOT EVERYTHING IS HERE.txt"));
}

#[test]
fn no_name_leads_out_of_the_directory_on_any_system() {
    let name = |path: &[u8]| String::from_utf8(name_of(b"", path, Kind::File)).unwrap();
    assert_eq!(name(b"..\\..\\evil.exe"), "..%5C..%5Cevil.exe");
    assert_eq!(name(b"a\r\nb\x00c\x1b"), "a%0D%0Ab%00c%1B");
    assert_eq!(name(b"\xff\xfe/\xc3\xbc"), "%FF%FE/\u{fc}");
    assert_eq!(name_of(b"family", b"d", Kind::Directory), b"family/d/");
}

#[test]
fn the_checksum_is_that_of_zip_and_zeros_are_skipped() {
    assert_eq!(!update(!0, b"123456789"), 0xcbf4_3926);
    assert_eq!(!update(!0, b""), 0);
    for length in [0_u32, 1, 2, 3, 4, 5, 255, 4096, 100_001] {
        let zeros = vec![0; usize::try_from(length).unwrap()];
        let start = update(!0, b"something before");
        assert_eq!(update_zeros(start, u64::from(length)), update(start, &zeros), "{length}");
    }
}

#[test]
fn a_million_files_take_no_more_memory_than_a_few() {
    let home = tempfile::tempdir().unwrap();
    let mut zip = Zip::new(b"family", home.path());
    let (mut written, mut largest) = (0_u64, 0);
    let size = |bytes: &Vec<u8>| u64::try_from(bytes.len()).unwrap();
    for number in 0..1_000_000_u32 {
        zip.frame(entry(format!("d/{number:07}").as_bytes(), Kind::File, 0)).unwrap();
        while let Some(bytes) = zip.archive.take() {
            written += size(&bytes);
            largest = largest.max(bytes.len());
        }
    }
    assert_eq!(std::fs::read_dir(home.path()).unwrap().count(), 0, "the list has no name");
    zip.frame(Frame::End { files: 1_000_000, bytes: 0, lost: 0 }).unwrap();
    zip.end().unwrap();
    let (start, mut end) = (written, Vec::new());
    while let Some(bytes) = zip.archive.list_piece().unwrap() {
        written += size(&bytes);
        largest = largest.max(bytes.len());
        end = bytes;
    }
    assert!(largest <= ZIP_LIST_BYTES_MAX, "{largest}");
    assert!(written - start > 60_000_000 && end.ends_with(&[0, 0]));
    // Zip64: how many, how long the list is, where it begins.
    let at = |offset: usize| u64::from_le_bytes(*end[offset..].first_chunk().unwrap());
    assert_eq!((&end[..4], at(24), at(32)), (&b"PK\x06\x06"[..], 1_000_000, 1_000_000));
    assert_eq!((at(40), at(48)), (written - start - 98, start));
}

#[test]
fn a_file_of_a_terabyte_of_nothing_takes_no_memory_and_has_64_bit_lengths() {
    let home = tempfile::tempdir().unwrap();
    let mut zip = Zip::new(b"", home.path());
    zip.frame(entry(b"image", Kind::File, 1 << 40)).unwrap();
    zip.frame(Frame::Hole(1 << 40)).unwrap();
    let header = zip.archive.take().unwrap();
    assert_eq!(header[18..26], [0xff; 8], "both lengths are elsewhere");
    assert_eq!(zip.archive.take().unwrap().len(), 64 * 1024, "zeros come piece by piece");
}
