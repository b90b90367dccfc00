//! Bytes of a lane that belong to no begun message yet, in pages.
//!
//! Owns the pages. Refuses to know which bytes of a page have arrived: [`super::recv`] does, and reads no others. Pages
//! are small, because a peer may write one byte into each: what a window can cost is its length and two pages.

use std::collections::VecDeque;

/// Bytes of one page.
const PAGE_BYTES: u64 = 1_024;
/// The same as a length.
const PAGE_LENGTH: usize = 1_024;
/// Places that the list of pages keeps without need.
const PLACES_SPARE: usize = 64;

/// Pages of a stream, allocated as they are written.
#[derive(Debug, Default)]
pub struct Pages {
    /// Pages from number `first` on; the first and the last are there.
    pages: VecDeque<Option<Box<[u8; PAGE_LENGTH]>>>,
    /// Number of the first page: its offset in the stream in pages.
    first: u64,
    /// How many are there.
    count: usize,
}

impl Pages {
    /// Keeps `data` for `offset`, which is not below what was released.
    pub fn write(&mut self, mut offset: u64, mut data: &[u8]) {
        while !data.is_empty() {
            let page = self.page(offset / PAGE_BYTES);
            let start = within(offset % PAGE_BYTES);
            let length = data.len().min(PAGE_LENGTH - start);
            page[start..start + length].copy_from_slice(&data[..length]);
            data = &data[length..];
            offset += u64::try_from(length).expect("a page is short");
        }
    }

    /// The page with this number.
    fn page(&mut self, number: u64) -> &mut [u8; PAGE_LENGTH] {
        if self.pages.is_empty() {
            self.first = number;
        }
        while self.first > number {
            self.pages.push_front(None);
            self.first -= 1;
        }
        let index = within(number - self.first);
        if self.pages.len() <= index {
            self.pages.resize_with(index + 1, || None);
        }
        let page = &mut self.pages[index];
        self.count += usize::from(page.is_none());
        page.get_or_insert_with(|| Box::new([0; PAGE_LENGTH]))
    }

    /// The pages that have bytes of `start..end`: where each part begins, and the part. Not all of it need have arrived.
    pub fn parts(&self, start: u64, end: u64) -> impl Iterator<Item = (u64, &[u8])> {
        let skip = within((start / PAGE_BYTES).saturating_sub(self.first));
        let numbered = (self.first..).zip(&self.pages).skip(skip);
        let numbered = numbered.take_while(move |(number, _)| number * PAGE_BYTES < end);
        numbered.filter_map(move |(number, page)| {
            let page = page.as_deref()?;
            let from = start.max(number * PAGE_BYTES);
            let to = end.min((number + 1) * PAGE_BYTES);
            let base = number * PAGE_BYTES;
            Some((from, page.get(within(from - base)..within(to.max(from) - base))?))
        })
    }

    /// Gives up all pages wholly below `offset`; all of them if `all`.
    pub fn release(&mut self, offset: u64, all: bool) {
        if all && self.pages.is_empty() {
            return;
        }
        while !self.pages.is_empty() && (all || (self.first + 1) * PAGE_BYTES <= offset) {
            self.count -= usize::from(self.pages.pop_front().flatten().is_some());
            self.first += 1;
        }
        if self.pages.capacity() > PLACES_SPARE.max(4 * self.pages.len()) {
            self.pages.shrink_to(2 * self.pages.len());
        }
    }

    /// Bytes of memory.
    pub fn bytes(&self) -> usize {
        self.count * PAGE_LENGTH + self.pages.capacity() * size_of::<Option<Box<[u8; PAGE_LENGTH]>>>()
    }
}

/// A distance within the window as a length in memory.
fn within(length: u64) -> usize {
    usize::try_from(length).expect("the window is in memory")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_what_was_written_and_pages_go_when_they_are_behind() {
        let mut pages = Pages::default();
        pages.write(5_000, &[2; 3]);
        pages.write(1_000, &[1; 100]);
        assert_eq!(pages.count, 3, "the hundred bytes lie in two pages");
        let parts: Vec<(u64, usize)> = pages.parts(1_010, 5_001).map(|(at, part)| (at, part.len())).collect();
        assert_eq!(parts, [(1_010, 14), (1_024, 1_024), (4_096, 905)]);
        let all: Vec<u8> = pages.parts(1_000, 1_100).flat_map(|(_, part)| part.to_vec()).collect();
        assert_eq!(all, [1; 100]);
        pages.release(1_100, false);
        assert_eq!((pages.count, pages.parts(0, 1_024).count()), (2, 0));
        pages.release(4_096, false);
        assert_eq!(pages.parts(5_000, 5_003).map(|(_, part)| part.to_vec()).collect::<Vec<_>>(), [[2; 3]]);
        pages.release(0, true);
        assert_eq!((pages.count, pages.bytes() <= PLACES_SPARE * 8), (0, true));
    }
}
