//! Takes a `multipart/form-data` body apart while it comes (RFC 7578).
//!
//! Holds no more than the head of a part, and of content what may be the beginning of a boundary.

/// What was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Found {
    /// A part begins; the name of the file in it, if it is one.
    Part(Option<String>),
    /// Content of it, never nothing.
    Data(Vec<u8>),
    /// It ends.
    PartEnd,
    /// The body ends.
    End,
}

/// The body is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Malformed;

/// A body.
#[derive(Debug)]
pub(super) struct Multipart {
    /// CR, LF, two hyphens and the boundary.
    delimiter: Vec<u8>,
    /// What came and was not taken.
    buffer: Vec<u8>,
    /// What comes next.
    next: Next,
}

/// What comes next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Next {
    /// What nobody reads, up to the first boundary.
    Preamble,
    /// What follows on a boundary: two hyphens, or the end of the line.
    Boundary,
    /// The head of a part.
    Head,
    /// Its content.
    Content,
    /// Nothing.
    Nothing,
}

impl Multipart {
    /// The body that a `Content-Type` announces; None: it is another one.
    pub(super) fn new(content_type: &str) -> Option<Self> {
        let (media, parameters) = content_type.split_once(';')?;
        if !media.trim().eq_ignore_ascii_case("multipart/form-data") {
            return None;
        }
        let is_boundary = |one: &str| {
            one.trim()
                .split_once('=')
                .filter(|(key, _)| key.eq_ignore_ascii_case("boundary"))
                .map(|(_, value)| value.trim().trim_matches('"').to_owned())
        };
        let boundary = parameters.split(';').find_map(is_boundary)?;
        if boundary.is_empty() || boundary.len() > BOUNDARY_BYTES_MAX {
            return None;
        }
        let delimiter = [b"\r\n--", boundary.as_bytes()].concat();
        // The first boundary may be right at the beginning.
        Some(Self { delimiter, buffer: b"\r\n".to_vec(), next: Next::Preamble })
    }

    /// More came.
    pub(super) fn push(&mut self, bytes: &[u8]) {
        if self.next != Next::Nothing {
            self.buffer.extend_from_slice(bytes);
        }
    }

    /// The next thing; None: more has to come.
    pub(super) fn next(&mut self) -> Result<Option<Found>, Malformed> {
        loop {
            match self.next {
                Next::Preamble => match position(&self.buffer, &self.delimiter) {
                    Some(at) => {
                        self.buffer.drain(..at + self.delimiter.len());
                        self.next = Next::Boundary;
                    }
                    None => {
                        self.drop_all_but_a_beginning();
                        return Ok(None);
                    }
                },
                Next::Boundary => {
                    if self.buffer.starts_with(b"--") {
                        self.buffer.clear();
                        self.next = Next::Nothing;
                        return Ok(Some(Found::End));
                    }
                    let Some(end) = position(&self.buffer, b"\r\n") else {
                        return self.wait(PADDING_BYTES_MAX + 1);
                    };
                    if end > PADDING_BYTES_MAX
                        || !self.buffer[..end].iter().all(|byte| matches!(byte, b' ' | b'\t'))
                    {
                        return Err(Malformed);
                    }
                    // The end of this line is the beginning of an empty head.
                    self.buffer.drain(..end);
                    self.next = Next::Head;
                }
                Next::Head => {
                    let Some(end) = position(&self.buffer, b"\r\n\r\n") else {
                        return self.wait(HEAD_BYTES_MAX + 3);
                    };
                    if end > HEAD_BYTES_MAX {
                        return Err(Malformed);
                    }
                    let head: Vec<u8> = self.buffer.drain(..end + 4).collect();
                    let head = String::from_utf8(head).map_err(|_| Malformed)?;
                    self.next = Next::Content;
                    return name_in(&head).map(|name| Some(Found::Part(name)));
                }
                Next::Content => return Ok(self.content()),
                Next::Nothing => return Ok(Some(Found::End)),
            }
        }
    }

    /// Content, or its end.
    fn content(&mut self) -> Option<Found> {
        if let Some(at) = position(&self.buffer, &self.delimiter) {
            if at > 0 {
                return Some(Found::Data(self.buffer.drain(..at).collect()));
            }
            self.buffer.drain(..self.delimiter.len());
            self.next = Next::Boundary;
            return Some(Found::PartEnd);
        }
        let keep = self.delimiter.len() - 1;
        let length = self.buffer.len().checked_sub(keep).filter(|length| *length > 0)?;
        Some(Found::Data(self.buffer.drain(..length).collect()))
    }

    /// More has to come, unless too much did: of what ends it, all but one byte may have come.
    fn wait(&self, most: usize) -> Result<Option<Found>, Malformed> {
        if self.buffer.len() > most {
            return Err(Malformed);
        }
        Ok(None)
    }

    /// Forgets what cannot be a part of a boundary.
    fn drop_all_but_a_beginning(&mut self) {
        let length = self.buffer.len().saturating_sub(self.delimiter.len() - 1);
        self.buffer.drain(..length);
    }
}

/// The name of the file in the head of a part, if it is one.
fn name_in(head: &str) -> Result<Option<String>, Malformed> {
    let disposition = head.lines().find_map(|line| {
        let (key, value) = line.split_once(':')?;
        key.trim().eq_ignore_ascii_case("content-disposition").then(|| file_name(value))
    });
    disposition.ok_or(Malformed)
}

/// The `filename` of a `Content-Disposition`.
fn file_name(value: &str) -> Option<String> {
    let at = value.find("filename=\"")?;
    let mut name = String::new();
    let mut characters = value[at + "filename=\"".len()..].chars();
    while let Some(character) = characters.next() {
        match character {
            '"' => return Some(name.replace("%22", "\"").replace("%0D%0A", " ")),
            '\\' => name.extend(characters.next()),
            other => name.push(other),
        }
    }
    None
}

/// Where `wanted` is.
fn position(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    bytes.windows(wanted.len()).position(|window| window == wanted)
}

/// What a fuzzer calls: any bytes are a body or are not, wherever its pieces end. The first byte says how long those are.
///
/// # Panics
/// When it makes a difference, which is what the fuzzer looks for.
pub fn check_multipart_bytes(bytes: &[u8]) {
    let Some((piece, body)) = bytes.split_first() else { return };
    let whole = found_in(body, body.len());
    assert_eq!(found_in(body, usize::from(*piece)), whole, "pieces make no difference");
    let data = |found: &Found| if let Found::Data(data) = found { data.len() } else { 0 };
    let length: usize = whole.iter().flatten().map(data).sum();
    assert!(length <= body.len(), "no content is made up");
}

/// All that is found in a body that comes in pieces of this length, data of a part as one. Its boundary is `XX`.
fn found_in(body: &[u8], piece: usize) -> Result<Vec<Found>, Malformed> {
    let media = "multipart/form-data; charset=x; boundary=\"XX\"";
    let mut multipart = Multipart::new(media).ok_or(Malformed)?;
    let mut found: Vec<Found> = Vec::new();
    let mut pieces = body.chunks(piece.max(1));
    loop {
        match multipart.next()? {
            None => multipart.push(pieces.next().ok_or(Malformed)?),
            Some(Found::End) => {
                found.push(Found::End);
                return Ok(found);
            }
            Some(Found::Data(data)) => match found.last_mut() {
                Some(Found::Data(before)) => before.extend(data),
                _ => found.push(Found::Data(data)),
            },
            Some(other) => found.push(other),
        }
    }
}

/// Bytes of a boundary (RFC 2046).
const BOUNDARY_BYTES_MAX: usize = 70;
/// Bytes of the head of a part.
const HEAD_BYTES_MAX: usize = 8 * 1024;
/// Spaces behind a boundary.
const PADDING_BYTES_MAX: usize = 128;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const BODY: &[u8] = b"preamble\r\n--XX  \r\nContent-Disposition: form-data; name=\"a\"\r\n\r\nvalue\r\n--XX\r\n\
        content-disposition: form-data; name=\"file\"; filename=\"b \\\"c%22.txt\"\r\nContent-Type: x/y\r\n\r\nline\r\n--X\r\n\r\n--XX\r\n\
        Content-Disposition: form-data; name=\"file\"; filename=\"empty\"\r\n\r\n\r\n--XX--\r\nepilogue";

    #[test]
    fn parts_are_found_wherever_pieces_end() {
        let expected = vec![
            Found::Part(None),
            Found::Data(b"value".to_vec()),
            Found::PartEnd,
            Found::Part(Some("b \"c\".txt".into())),
            Found::Data(b"line\r\n--X\r\n".to_vec()),
            Found::PartEnd,
            Found::Part(Some("empty".into())),
            Found::PartEnd,
            Found::End,
        ];
        for piece in [1, 2, 3, 5, 7, 20, 64, 1_000] {
            assert_eq!(found_in(BODY, piece), Ok(expected.clone()), "{piece}");
        }
    }

    #[test]
    fn what_is_no_body_is_refused() {
        assert!(
            Multipart::new("multipart/form-data").is_none()
                && Multipart::new("text/plain; boundary=x").is_none()
        );
        assert!(Multipart::new(&format!("multipart/form-data; boundary={}", "x".repeat(71))).is_none());
        let head =
            [&b"--XX\r\nContent-Disposition: form-data; x=\""[..], &[b'x'; 10_000], b"\"\r\n\r\n"].concat();
        assert_eq!(found_in(&head, 100), Err(Malformed));
        assert_eq!(found_in(b"--XX\r\nno: disposition\r\n\r\nx\r\n--XX--", 100), Err(Malformed));
        assert_eq!(
            found_in(b"--XXY\r\nContent-Disposition: form-data\r\n\r\nx\r\n--XX--", 100),
            Err(Malformed)
        );
        assert_eq!(found_in(&BODY[..BODY.len() - 15], 100), Err(Malformed), "it breaks off");
    }

    proptest! {
        #[test]
        fn any_bytes_are_a_body_or_are_not(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            check_multipart_bytes(&bytes);
        }

        #[test]
        fn what_looks_like_a_body_is_one_or_is_not(text in "[\u{1}-\u{20}](\r\n|--XX|--XX--| |Content-Disposition: form-data|; filename=\"|\"|\\\\|a:|[ -~\u{fc}]){0,40}") {
            check_multipart_bytes(text.as_bytes());
        }

        #[test]
        fn content_comes_as_it_is(content in "[-X\r\nabc]{0,60}", piece in 1_usize..20) {
            prop_assume!(!content.contains("\r\n--XX"));
            let body = format!("--XX\r\nContent-Disposition: form-data; filename=\"f\"\r\n\r\n{content}\r\n--XX--");
            let found = found_in(body.as_bytes(), piece).unwrap();
            let data = found.iter().find_map(|one| match one { Found::Data(data) => Some(data.clone()), _ => None });
            prop_assert_eq!(data.unwrap_or_default(), content.as_bytes());
        }
    }
}
