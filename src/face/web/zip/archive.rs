//! The bytes of a zip archive (APPNOTE.TXT of PKWARE, 6.3.10), written from its beginning to its end.
//!
//! Everything is stored. The length and checksum of a file follow it in a data descriptor, for nobody knows them before. Sizes of
//! 4 GiB and more, and 65,535 files and more, are written as Zip64.

use std::collections::VecDeque;
use std::path::PathBuf;

use super::list::List;
use crate::base::limits::READ_PIECE_BYTES;
use crate::base::units::WallTime;
use crate::file::entry::{Kind, Stat};
use crate::node::api::ApiError;

/// Something in an archive.
#[derive(Debug, Clone)]
pub(super) struct Item {
    /// In UTF-8.
    pub(super) name: Vec<u8>,
    /// What it is.
    pub(super) kind: Kind,
    /// What is known of it.
    pub(super) stat: Stat,
}

/// An archive.
pub(super) struct Archive {
    /// What was not taken yet.
    out: VecDeque<Out>,
    /// Bytes written in all.
    written: u64,
    /// The file whose content comes.
    open: Option<Open>,
    /// What stands at the end.
    list: List,
    /// How many files there are.
    count: u64,
    /// The end, once it is known.
    tail: Option<Vec<u8>>,
}

/// Something that leaves.
enum Out {
    /// Bytes.
    Bytes(Vec<u8>),
    /// So many zeros.
    Zeros(u64),
}

/// A file whose content comes.
struct Open {
    /// It.
    item: Item,
    /// Where its header is.
    offset: u64,
    /// Bytes of content so far.
    length: u64,
    /// Their checksum so far.
    crc: u32,
    /// Its descriptor has 64-bit lengths.
    is_large: bool,
}

/// What the list at the end says of something.
struct Listed {
    /// Where its header is.
    offset: u64,
    /// Its length.
    length: u64,
    /// Its checksum.
    crc: u32,
    /// General purpose flags.
    flags: u16,
}

impl Archive {
    /// Nothing is in it.
    pub(super) fn new(home: PathBuf) -> Self {
        Self { out: VecDeque::new(), written: 0, open: None, list: List::new(home), count: 0, tail: None }
    }

    /// The next bytes that were written and not taken yet; None: all were.
    pub(super) fn take(&mut self) -> Option<Vec<u8>> {
        match self.out.front_mut()? {
            Out::Bytes(bytes) => {
                let bytes = std::mem::take(bytes);
                self.out.pop_front();
                Some(bytes)
            }
            Out::Zeros(left) => {
                let now = usize::try_from(*left).unwrap_or(usize::MAX).min(READ_PIECE_BYTES);
                *left -= u64::try_from(now).unwrap_or(*left);
                if *left == 0 {
                    self.out.pop_front();
                }
                Some(vec![0; now])
            }
        }
    }

    /// Something whose content is known: a directory, a link, an empty file.
    pub(super) fn whole(&mut self, item: &Item, content: &[u8]) -> Result<(), ApiError> {
        let offset = self.written;
        let length = u64::try_from(content.len()).unwrap_or(u64::MAX);
        let crc = !update(!0, content);
        self.header(item, FLAG_UTF8, (crc, length));
        self.write(content);
        self.listed(item, &Listed { offset, length, crc, flags: FLAG_UTF8 })
    }

    /// A text by whoever makes the archive.
    pub(super) fn note(&mut self, name: &[u8], text: &[u8]) -> Result<(), ApiError> {
        let stat =
            Stat { size: 0, mtime_ns: 0, ctime_ns: 0, inode: 0, mode: 0o644, uid: 0, gid: 0, links: 1 };
        self.whole(&Item { name: name.to_vec(), kind: Kind::File, stat }, text)
    }

    /// A file begins.
    pub(super) fn begin(&mut self, item: &Item) -> Result<(), ApiError> {
        self.end(true)?;
        let offset = self.written;
        let is_large = item.stat.size >= LARGE;
        let flags = FLAG_UTF8 | FLAG_DESCRIPTOR;
        // Lengths that follow are zero here; that they have 64 bits is said by an extra field.
        self.header(item, flags, (0, if is_large { u64::MAX } else { 0 }));
        self.open = Some(Open { item: item.clone(), offset, length: 0, crc: !0, is_large });
        Ok(())
    }

    /// Content of the file.
    pub(super) fn data(&mut self, data: &[u8]) -> Result<(), ApiError> {
        self.grow(u64::try_from(data.len()).unwrap_or(u64::MAX))?;
        if let Some(open) = &mut self.open {
            open.crc = update(open.crc, data);
            self.write(data);
        }
        Ok(())
    }

    /// Zeros of the file.
    pub(super) fn zeros(&mut self, length: u64) -> Result<(), ApiError> {
        self.grow(length)?;
        if let Some(open) = self.open.as_mut().filter(|_| length > 0) {
            open.crc = update_zeros(open.crc, length);
            self.written = self.written.saturating_add(length);
            self.out.push_back(Out::Zeros(length));
        }
        Ok(())
    }

    /// The file becomes longer.
    fn grow(&mut self, length: u64) -> Result<(), ApiError> {
        let Some(open) = &mut self.open else { return Ok(()) };
        open.length = open.length.saturating_add(length);
        if open.is_large || open.length < LARGE {
            return Ok(());
        }
        let message = format!("'{}' is longer than it should be", String::from_utf8_lossy(&open.item.name));
        Err(ApiError::new("damaged", message, "run `nuthatch verify`"))
    }

    /// The file has ended; a file that is not whole gets a checksum that is not its own.
    pub(super) fn end(&mut self, is_whole: bool) -> Result<(), ApiError> {
        let Some(open) = self.open.take() else { return Ok(()) };
        let Open { item, offset, length, crc, is_large } = open;
        let crc = if is_whole { !crc } else { crc };
        let mut bytes = Vec::with_capacity(24);
        bytes.extend_from_slice(&0x0807_4b50_u32.to_le_bytes());
        bytes.extend_from_slice(&crc.to_le_bytes());
        for _ in 0..2 {
            match u32::try_from(length) {
                Ok(length) if !is_large => bytes.extend_from_slice(&length.to_le_bytes()),
                _ => bytes.extend_from_slice(&length.to_le_bytes()),
            }
        }
        self.write(&bytes);
        self.listed(&item, &Listed { offset, length, crc, flags: FLAG_UTF8 | FLAG_DESCRIPTOR })
    }

    /// All was added.
    pub(super) fn finish(&mut self) -> Result<(), ApiError> {
        self.end(true)?;
        let (start, length) = (self.written, self.list.length());
        self.list.rewind()?;
        self.tail = Some(ending(self.count, start, length));
        Ok(())
    }

    /// The next bytes of what stands at the end, after [`Archive::finish`]; None: that was all.
    pub(super) fn list_piece(&mut self) -> Result<Option<Vec<u8>>, ApiError> {
        if let Some(bytes) = self.take() {
            return Ok(Some(bytes));
        }
        match self.list.piece()? {
            Some(bytes) => Ok(Some(bytes)),
            None => Ok(self.tail.take()),
        }
    }

    /// Writes the header before something.
    fn header(&mut self, item: &Item, flags: u16, (crc, length): (u32, u64)) {
        let is_large = length >= LARGE;
        let short = if is_large { u32::MAX } else { u32::try_from(length).unwrap_or(u32::MAX) };
        let mut extra = time_extra(item.stat.mtime_ns);
        if is_large {
            extra.extend_from_slice(&[1, 0, 16, 0]);
            extra.extend_from_slice(&[0; 16]);
        }
        let mut bytes = Vec::with_capacity(30 + item.name.len() + extra.len());
        bytes.extend_from_slice(&0x0403_4b50_u32.to_le_bytes());
        common(&mut bytes, item, flags, crc, (short, short));
        bytes.extend_from_slice(&sixteen(item.name.len()).to_le_bytes());
        bytes.extend_from_slice(&sixteen(extra.len()).to_le_bytes());
        bytes.extend_from_slice(&item.name);
        bytes.extend_from_slice(&extra);
        self.write(&bytes);
    }

    /// Adds something to the list at the end.
    fn listed(&mut self, item: &Item, listed: &Listed) -> Result<(), ApiError> {
        let Listed { offset, length, crc, flags } = *listed;
        let mut large = Vec::new();
        let mut short = |value: u64| match u32::try_from(value) {
            Ok(short) if short < u32::MAX => short,
            _ => {
                large.extend_from_slice(&value.to_le_bytes());
                u32::MAX
            }
        };
        let (length_short, compressed_short, offset_short) = (short(length), short(length), short(offset));
        let mut extra = time_extra(item.stat.mtime_ns);
        if !large.is_empty() {
            extra.extend_from_slice(&1_u16.to_le_bytes());
            extra.extend_from_slice(&sixteen(large.len()).to_le_bytes());
            extra.extend_from_slice(&large);
        }
        let kind = match item.kind {
            Kind::File => 0o100_000,
            Kind::Directory => 0o040_000,
            Kind::Symlink => 0o120_000,
        };
        let is_directory = u32::from(item.kind == Kind::Directory) << 4;
        let mut bytes = Vec::with_capacity(46 + item.name.len() + extra.len());
        bytes.extend_from_slice(&0x0201_4b50_u32.to_le_bytes());
        // Made by version 4.5 on Unix, which is what says that there are permissions.
        bytes.extend_from_slice(&(3 << 8 | VERSION).to_le_bytes());
        common(&mut bytes, item, flags, crc, (compressed_short, length_short));
        bytes.extend_from_slice(&sixteen(item.name.len()).to_le_bytes());
        bytes.extend_from_slice(&sixteen(extra.len()).to_le_bytes());
        bytes.extend_from_slice(&[0; 6]);
        bytes.extend_from_slice(&((kind | (item.stat.mode & 0o777)) << 16 | is_directory).to_le_bytes());
        bytes.extend_from_slice(&offset_short.to_le_bytes());
        bytes.extend_from_slice(&item.name);
        bytes.extend_from_slice(&extra);
        self.count += 1;
        self.list.add(&bytes)
    }

    /// Writes bytes.
    fn write(&mut self, bytes: &[u8]) {
        self.written = self.written.saturating_add(u64::try_from(bytes.len()).unwrap_or(u64::MAX));
        match self.out.back_mut() {
            Some(Out::Bytes(before)) => before.extend_from_slice(bytes),
            _ => self.out.push_back(Out::Bytes(bytes.to_vec())),
        }
    }
}

/// What both headers have in the same order.
fn common(bytes: &mut Vec<u8>, item: &Item, flags: u16, crc: u32, (compressed, length): (u32, u32)) {
    bytes.extend_from_slice(&VERSION.to_le_bytes());
    bytes.extend_from_slice(&flags.to_le_bytes());
    bytes.extend_from_slice(&0_u16.to_le_bytes());
    bytes.extend_from_slice(&dos_time(item.stat.mtime_ns).to_le_bytes());
    bytes.extend_from_slice(&crc.to_le_bytes());
    bytes.extend_from_slice(&compressed.to_le_bytes());
    bytes.extend_from_slice(&length.to_le_bytes());
}

/// What stands behind the list: where it begins, how long it is, how many there are.
fn ending(count: u64, start: u64, length: u64) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(98);
    let is_large = count >= 0xffff || start >= LARGE || length >= LARGE;
    if is_large {
        bytes.extend_from_slice(&0x0606_4b50_u32.to_le_bytes());
        bytes.extend_from_slice(&44_u64.to_le_bytes());
        bytes.extend_from_slice(&(3 << 8 | VERSION).to_le_bytes());
        bytes.extend_from_slice(&VERSION.to_le_bytes());
        bytes.extend_from_slice(&[0; 8]);
        for value in [count, count, length, start] {
            bytes.extend_from_slice(&value.to_le_bytes());
        }
        bytes.extend_from_slice(&0x0706_4b50_u32.to_le_bytes());
        bytes.extend_from_slice(&0_u32.to_le_bytes());
        bytes.extend_from_slice(&start.saturating_add(length).to_le_bytes());
        bytes.extend_from_slice(&1_u32.to_le_bytes());
    }
    bytes.extend_from_slice(&0x0605_4b50_u32.to_le_bytes());
    bytes.extend_from_slice(&[0; 4]);
    let short = u16::try_from(count).unwrap_or(u16::MAX);
    bytes.extend_from_slice(&short.to_le_bytes());
    bytes.extend_from_slice(&short.to_le_bytes());
    for value in [length, start] {
        bytes.extend_from_slice(&u32::try_from(value).unwrap_or(u32::MAX).to_le_bytes());
    }
    bytes.extend_from_slice(&0_u16.to_le_bytes());
    bytes
}

/// The time as FAT has it, in UTC, for nobody knows where this will be unpacked.
fn dos_time(mtime_ns: i64) -> u32 {
    let (year, month, day, hour, minute, second, _) =
        WallTime::from_micros(mtime_ns.div_euclid(1_000)).civil();
    let Some(years) = u32::try_from(year - 1980).ok().filter(|years| *years < 128) else {
        // The first of January 1980.
        return 0x0021_0000;
    };
    let date = years << 9 | u32::from(month) << 5 | u32::from(day);
    date << 16 | u32::from(hour) << 11 | u32::from(minute) << 5 | u32::from(second / 2)
}

/// The time in seconds since 1970 (Info-ZIP's extended timestamp), where it fits.
fn time_extra(mtime_ns: i64) -> Vec<u8> {
    let Ok(seconds) = i32::try_from(mtime_ns.div_euclid(1_000_000_000)) else { return Vec::new() };
    let mut extra = vec![0x55, 0x54, 5, 0, 1];
    extra.extend_from_slice(&seconds.to_le_bytes());
    extra
}

/// A length of a name or field; names are at most three times a longest path.
fn sixteen(length: usize) -> u16 {
    u16::try_from(length).unwrap_or(u16::MAX)
}

/// Goes on with a CRC-32 (ISO 3309), four bytes at a time.
pub(super) fn update(mut crc: u32, data: &[u8]) -> u32 {
    let at = |value: u32| usize::from(value.to_le_bytes()[0]);
    let mut blocks = data.chunks_exact(4);
    for block in &mut blocks {
        crc ^= block.first_chunk().map_or(0, |block| u32::from_le_bytes(*block));
        crc = TABLES[3][at(crc)]
            ^ TABLES[2][at(crc >> 8)]
            ^ TABLES[1][at(crc >> 16)]
            ^ TABLES[0][at(crc >> 24)];
    }
    for byte in blocks.remainder() {
        crc = TABLES[0][at(crc ^ u32::from(*byte))] ^ (crc >> 8);
    }
    crc
}

/// Tables for [`update`]: what a byte does to the checksum, with nothing to three bytes behind it.
static TABLES: [[u32; 256]; 4] = tables();

/// Makes the tables.
const fn tables() -> [[u32; 256]; 4] {
    let mut tables = [[0_u32; 256]; 4];
    let mut table = 0;
    while table < 4 {
        let (mut index, mut start) = (0, 0_u32);
        while index < 256 {
            let (mut value, mut bit) = (start, 0);
            while bit < 8 * (table + 1) {
                value = if value & 1 == 1 { (value >> 1) ^ 0xedb8_8320 } else { value >> 1 };
                bit += 1;
            }
            tables[table][index] = value;
            index += 1;
            start += 1;
        }
        table += 1;
    }
    tables
}

/// Goes on with as many zeros, however many: what one zero does to the checksum is linear, so powers of it are squares of a matrix.
pub(super) fn update_zeros(mut crc: u32, mut length: u64) -> u32 {
    let times = |matrix: &[u32; 32], vector: u32| {
        (0..32).filter(|bit| vector >> bit & 1 == 1).fold(0, |sum, bit| sum ^ matrix[bit])
    };
    let mut matrix: [u32; 32] = std::array::from_fn(|bit| update(1 << bit, &[0]));
    while length > 0 {
        if length & 1 == 1 {
            crc = times(&matrix, crc);
        }
        matrix = std::array::from_fn(|bit| times(&matrix, matrix[bit]));
        length >>= 1;
    }
    crc
}

/// The version that knows Zip64.
const VERSION: u16 = 45;
/// Length and checksum follow the content.
const FLAG_DESCRIPTOR: u16 = 1 << 3;
/// The name is in UTF-8.
const FLAG_UTF8: u16 = 1 << 11;
/// From here on lengths need 64 bits; a file that grew a little behind its stat still has room.
const LARGE: u64 = 0xffff_ffff;
