//! Reading a run of a file as data and holes.
//!
//! Holes are looked for only in files that take less room than their length: for all others that would be two system
//! calls a block for nothing.

use std::os::fd::BorrowedFd;

use rustix::buffer::spare_capacity;
use rustix::fs::SeekFrom;
use rustix::io::Errno;

use crate::base::limits::BLOCK_EXTENTS_MAX;
use crate::node::ports::Extent;

/// Why reading stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// At the length that the file was said to have; the position.
    Reached(u64),
    /// The file ended before that: it was cut meanwhile.
    Short,
    /// As much as was allowed is read.
    Budget,
}

/// Reads from `offset` on at most `budget` bytes of data of a file of `size` bytes.
///
/// # Errors
/// What the system says.
pub fn read(
    file: BorrowedFd<'_>,
    offset: u64,
    size: u64,
    sparse: bool,
    budget: usize,
) -> Result<(Vec<Extent>, End), Errno> {
    let mut extents = Vec::new();
    let mut position = offset;
    let mut left = budget;
    while position < size {
        if left == 0 || extents.len() >= BLOCK_EXTENTS_MAX {
            return Ok((extents, End::Budget));
        }
        let (data, hole) = if sparse { next_data(file, position, size)? } else { (position, size) };
        if data > position {
            extents.push(Extent::Hole(data - position));
            position = data;
            continue;
        }
        let wanted = usize::try_from(hole - position).unwrap_or(usize::MAX).min(left);
        let bytes = read_exactly(file, position, wanted)?;
        let length = bytes.len();
        position += u64::try_from(length).unwrap_or(u64::MAX);
        left -= length;
        if length > 0 {
            extents.push(Extent::Data(bytes));
        }
        if length < wanted {
            return Ok((extents, End::Short));
        }
    }
    Ok((extents, End::Reached(position)))
}

/// Where the next data at or after `position` begins and ends. A file system that knows no holes says that all is data.
fn next_data(file: BorrowedFd<'_>, position: u64, size: u64) -> Result<(u64, u64), Errno> {
    let data = match rustix::fs::seek(file, SeekFrom::Data(position)) {
        Ok(data) => data.min(size),
        Err(Errno::NXIO) => size, // nothing but a hole up to the end
        Err(Errno::INVAL | Errno::OPNOTSUPP) => return Ok((position, size)),
        Err(errno) => return Err(errno),
    };
    let hole = match rustix::fs::seek(file, SeekFrom::Hole(data)) {
        Ok(hole) => hole.min(size),
        Err(Errno::NXIO | Errno::INVAL | Errno::OPNOTSUPP) => size,
        Err(errno) => return Err(errno),
    };
    Ok((data.max(position), hole))
}

/// Reads `wanted` bytes, or fewer where the file ends.
fn read_exactly(file: BorrowedFd<'_>, position: u64, wanted: usize) -> Result<Vec<u8>, Errno> {
    let mut bytes = Vec::with_capacity(wanted);
    while bytes.len() < wanted {
        let at = position + u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        match rustix::io::pread(file, spare_capacity(&mut bytes), at) {
            Ok(0) => break,
            Ok(_) | Err(Errno::INTR) => {}
            Err(errno) => return Err(errno),
        }
    }
    // An allocator may have given more room than was asked for, and the file may have grown into it.
    bytes.truncate(wanted);
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::File;
    use std::os::fd::AsFd;
    use std::os::unix::fs::FileExt;

    /// All of a file, read in blocks of `budget`.
    fn read_all(file: &File, size: u64, sparse: bool, budget: usize) -> (Vec<u8>, u64) {
        let (mut bytes, mut holes, mut position) = (Vec::new(), 0, 0);
        loop {
            let (extents, end) = read(file.as_fd(), position, size, sparse, budget).unwrap();
            let mut data = 0;
            for extent in extents {
                match extent {
                    Extent::Data(run) => {
                        data += run.len();
                        bytes.extend_from_slice(&run);
                    }
                    Extent::Hole(length) => {
                        holes += length;
                        bytes.resize(bytes.len() + usize::try_from(length).unwrap(), 0);
                    }
                }
            }
            assert!(data <= budget);
            position = u64::try_from(bytes.len()).unwrap();
            if end != End::Budget {
                return (bytes, holes);
            }
        }
    }

    #[test]
    fn holes_and_data_together_are_the_file() {
        let file = tempfile::tempfile().unwrap();
        file.set_len(3_000_000).unwrap();
        file.write_all_at(&[1; 10_000], 1_000_000).unwrap();
        file.write_all_at(&[2; 70_000], 2_000_123).unwrap();
        let mut wanted = vec![0; 3_000_000];
        wanted[1_000_000..1_010_000].fill(1);
        wanted[2_000_123..2_070_123].fill(2);
        for budget in [4_097, 64 * 1024, 10_000_000] {
            let (bytes, holes) = read_all(&file, 3_000_000, true, budget);
            assert!(bytes == wanted, "budget {budget}");
            assert!(holes > 2_800_000 || holes == 0, "{holes}"); // 0: a file system without holes
            let (bytes, holes) = read_all(&file, 3_000_000, false, budget);
            assert!(bytes == wanted && holes == 0);
        }
    }

    #[test]
    fn a_file_that_was_cut_meanwhile_ends_early() {
        let file = tempfile::tempfile().unwrap();
        file.write_all_at(&[1; 100], 0).unwrap();
        let (extents, end) = read(file.as_fd(), 0, 1_000, false, 1_000).unwrap();
        assert_eq!((extents, end), (vec![Extent::Data(vec![1; 100])], End::Short));
    }
}
