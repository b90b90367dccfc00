//! Reads the small XML documents of WebDAV requests, strictly, and nothing else of XML.
//!
//! What is not well-formed, has a document type, is deeper or longer than any client sends, is refused: so nothing expands and nothing
//! refers to anything. What comes out is a list of elements with how deep they are, which is all that a request is asked for.

/// An element, in the order in which they begin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Element {
    /// 0: the outermost.
    pub(super) depth: usize,
    /// Its namespace.
    pub(super) space: String,
    /// Its name in that.
    pub(super) name: String,
    /// The text right in it, without what is in others within.
    pub(super) text: String,
}

impl Element {
    /// Whether it is this one of `DAV:`.
    pub(super) fn is_dav(&self, name: &str) -> bool {
        self.space == "DAV:" && self.name == name
    }
}

/// What is being read.
struct Reader<'a> {
    /// What is left.
    rest: &'a str,
    /// What was found.
    found: Vec<Element>,
    /// Elements that are open: their place in `found`, their name as it was written, and how many prefixes were known before.
    open: Vec<(usize, &'a str, usize)>,
    /// Prefixes and what they mean, the nearest last.
    spaces: Vec<(&'a str, String)>,
}

/// The elements of a document; None: it is none.
pub(super) fn read(text: &[u8]) -> Option<Vec<Element>> {
    let text = std::str::from_utf8(text).ok()?;
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let spaces = vec![("xml", "http://www.w3.org/XML/1998/namespace".to_owned()), ("", String::new())];
    let mut reader = Reader { rest: text, found: Vec::new(), open: Vec::new(), spaces };
    while !reader.rest.is_empty() {
        reader.step()?;
    }
    (reader.open.is_empty() && !reader.found.is_empty()).then_some(reader.found)
}

impl<'a> Reader<'a> {
    /// Reads the next tag or text.
    fn step(&mut self) -> Option<()> {
        let Some(behind) = self.rest.strip_prefix('<') else { return self.text() };
        if let Some(behind) = behind.strip_prefix("!--") {
            let (comment, rest) = behind.split_once("-->")?;
            self.rest = rest;
            return (!comment.contains("--")).then_some(());
        }
        if let Some(behind) = behind.strip_prefix("![CDATA[") {
            let (text, rest) = behind.split_once("]]>").filter(|(text, _)| !text.contains(is_forbidden))?;
            self.rest = rest;
            let at = self.open.last()?.0;
            self.found[at].text.push_str(text);
            return Some(());
        }
        if let Some(behind) = behind.strip_prefix('?') {
            self.rest = behind.split_once("?>")?.1;
            return Some(());
        }
        if behind.starts_with('!') {
            return None;
        }
        let (tag, rest) = split_tag(behind)?;
        self.rest = rest;
        if let Some(name) = tag.strip_prefix('/') {
            return self.close(name.trim_end());
        }
        match tag.strip_suffix('/') {
            Some(tag) => {
                let name = self.begin(tag)?;
                self.close(name)
            }
            None => self.begin(tag).map(|_| ()),
        }
    }

    /// Text up to the next tag.
    fn text(&mut self) -> Option<()> {
        let end = self.rest.find('<').unwrap_or(self.rest.len());
        let (text, rest) = self.rest.split_at(end);
        self.rest = rest;
        match self.open.last() {
            Some((at, ..)) => self.found[*at].text.push_str(&plain(text)?),
            None => return text.trim().is_empty().then_some(()),
        }
        Some(())
    }

    /// An element begins; its name as it was written.
    fn begin(&mut self, tag: &'a str) -> Option<&'a str> {
        let depth = self.open.len();
        let is_second_root = depth == 0 && !self.found.is_empty();
        if depth >= DEPTH_MAX || self.found.len() >= ELEMENTS_MAX || is_second_root {
            return None;
        }
        let name_end = tag.find(char::is_whitespace).unwrap_or(tag.len());
        let (name, mut attributes) = tag.split_at(name_end);
        let known = self.spaces.len();
        let mut seen = Vec::new();
        loop {
            attributes = attributes.trim_start();
            if attributes.is_empty() {
                break;
            }
            let (key, behind) = attributes.split_once('=')?;
            let (key, behind) = (key.trim_end(), behind.trim_start());
            let quote = behind.chars().next().filter(|quote| matches!(quote, '"' | '\''))?;
            let (value, rest) = behind[1..].split_once(quote)?;
            if !is_name(key) || seen.contains(&key) || seen.len() >= ATTRIBUTES_MAX || value.contains('<') {
                return None;
            }
            seen.push(key);
            if !rest.is_empty() && !rest.starts_with(char::is_whitespace) {
                return None;
            }
            attributes = rest;
            let value = plain(value)?;
            match key.strip_prefix("xmlns:") {
                // A prefix cannot mean nothing.
                Some(prefix) if value.is_empty() || prefix.is_empty() => return None,
                Some(prefix) => self.spaces.push((prefix, value)),
                None if key == "xmlns" => self.spaces.push(("", value)),
                None => {}
            }
        }
        let (prefix, local) = name.split_once(':').unwrap_or(("", name));
        if !is_name(local) || local.contains(':') || (name.contains(':') && !is_name(prefix)) {
            return None;
        }
        let space = self.spaces.iter().rev().find(|(known, _)| *known == prefix)?.1.clone();
        self.open.push((self.found.len(), name, known));
        self.found.push(Element { depth, space, name: local.to_owned(), text: String::new() });
        Some(name)
    }

    /// An element ends.
    fn close(&mut self, name: &str) -> Option<()> {
        let (_, opened, known) = self.open.pop()?;
        self.spaces.truncate(known);
        (opened == name).then_some(())
    }
}

/// What is in a tag, and what is behind it: a `>` in quotes is none.
fn split_tag(text: &str) -> Option<(&str, &str)> {
    let mut quote = None;
    for (at, character) in text.char_indices() {
        match (quote, character) {
            (None, '>') => return Some((&text[..at], &text[at + 1..])),
            (None, '<') => return None,
            (None, '"' | '\'') => quote = Some(character),
            (Some(open), _) if open == character => quote = None,
            _ => {}
        }
    }
    None
}

/// Text without its entities; None: there is one that nobody knows.
fn plain(text: &str) -> Option<String> {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, behind)) = rest.split_once('&') {
        out.push_str(before);
        let (entity, behind) = behind.split_once(';').filter(|(entity, _)| entity.len() <= 10)?;
        rest = behind;
        out.push(match entity {
            "amp" => '&',
            "lt" => '<',
            "gt" => '>',
            "quot" => '"',
            "apos" => '\'',
            _ => {
                let number = entity.strip_prefix('#')?;
                let number = match number.strip_prefix('x') {
                    Some(digits) => u32::from_str_radix(digits, 16).ok()?,
                    None => number.parse().ok()?,
                };
                char::from_u32(number).filter(|character| !is_forbidden(*character))?
            }
        });
    }
    out.push_str(rest);
    (!out.contains(is_forbidden)).then_some(out)
}

/// Whether XML cannot have this character.
fn is_forbidden(character: char) -> bool {
    matches!(character, '\0'..='\u{8}' | '\u{b}' | '\u{c}' | '\u{e}'..='\u{1f}' | '\u{fffe}' | '\u{ffff}')
}

/// Whether an element or attribute may be called so; stricter than XML where that makes no difference.
fn is_name(name: &str) -> bool {
    let is_first = |character: char| character.is_alphabetic() || character == '_';
    let is_other = |character: char| {
        is_first(character) || character.is_numeric() || matches!(character, '-' | '.' | ':')
    };
    name.len() <= NAME_BYTES && name.chars().next().is_some_and(is_first) && name.chars().all(is_other)
}

/// Text as it may stand in XML, also in an attribute.
pub(super) fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 8);
    for character in text.chars() {
        match character {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            character if is_forbidden(character) => out.push('\u{fffd}'),
            character => out.push(character),
        }
    }
    out
}

/// What a fuzzer calls: any bytes are a document or are not.
///
/// # Panics
/// When what was read is not one tree within its bounds, or its text does not survive being written, which is what the fuzzer looks for.
pub fn check_xml_bytes(bytes: &[u8]) {
    let Some(found) = read(bytes) else { return };
    assert!(found.len() <= ELEMENTS_MAX, "there are not too many elements");
    let mut depths = found.windows(2).map(|pair| (pair[0].depth, pair[1].depth));
    assert!(found[0].depth == 0, "the first one is the root");
    assert!(depths.all(|(before, after)| (1..=before + 1).contains(&after)), "it is one tree");
    assert!(found.iter().all(|one| one.depth < DEPTH_MAX), "it is not too deep");
    let length: usize = found.iter().map(|one| one.text.len()).sum();
    assert!(length <= bytes.len(), "nothing expands");
    for one in &found {
        let again = read(format!("<a b=\"{0}\">{0}</a>", escaped(&one.text)).as_bytes());
        let text = again.map(|again| again[0].text.clone());
        assert_eq!(text.as_deref(), Some(one.text.as_str()), "text survives both ways");
    }
}

/// Elements within each other.
const DEPTH_MAX: usize = 32;
/// Elements of a document.
const ELEMENTS_MAX: usize = 512;
/// Attributes of an element.
const ATTRIBUTES_MAX: usize = 32;
/// Bytes of a name.
const NAME_BYTES: usize = 256;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn names(text: &str) -> Option<Vec<(usize, String, String)>> {
        read(text.as_bytes())
            .map(|found| found.into_iter().map(|one| (one.depth, one.space, one.name)).collect())
    }

    fn element(depth: usize, space: &str, name: &str) -> (usize, String, String) {
        (depth, space.to_owned(), name.to_owned())
    }

    #[test]
    fn what_clients_send_is_read() {
        let text = "<?xml version=\"1.0\" encoding=\"utf-8\" ?>\n<D:propfind xmlns:D=\"DAV:\" xmlns:Z='urn:x'><D:prop><D:getetag/><Z:a b=\">\"></Z:a><c xmlns=\"urn:c\"/></D:prop></D:propfind>\n";
        let expected = vec![
            element(0, "DAV:", "propfind"),
            element(1, "DAV:", "prop"),
            element(2, "DAV:", "getetag"),
            element(2, "urn:x", "a"),
            element(2, "urn:c", "c"),
        ];
        assert_eq!(names(text), Some(expected));
        let owner = read(b"<lockinfo xmlns='DAV:'><owner>Ada &amp; <href>mailto:a&#64;b</href></owner><!-- x --></lockinfo>").unwrap();
        assert_eq!((owner[1].text.as_str(), owner[2].text.as_str()), ("Ada & ", "mailto:a@b"));
    }

    #[test]
    fn what_is_no_document_or_could_do_harm_is_refused() {
        let deep = "<a>".repeat(40) + &"</a>".repeat(40);
        let many = format!("<a>{}</a>", "<b/>".repeat(600));
        let bad = [
            "",
            " ",
            "x",
            "<a>",
            "</a>",
            "<a></b>",
            "<a/><b/>",
            "<a b/>",
            "<a b=c/>",
            "<a b='1' b='2'/>",
            "<a b='1'c='2'/>",
            "<!DOCTYPE a [<!ENTITY b \"c\">]><a>&b;</a>",
            "<a>&b;</a>",
            "<a>&#0;</a>",
            "<a>&#xD800;</a>",
            "<a>& b</a>",
            "<x:a/>",
            "<a xmlns:x=''/>",
            "<a:b:c xmlns:a='d'/>",
            "<a b='<'/>",
            "<a><![CDATA[x</a>",
            "<a><![CDATA[x\u{1}]]></a>",
            "<1/>",
            "<a",
            "<a x=\"/>",
            "<!-- -- --><a/>",
            &deep,
            &many,
        ];
        for text in bad {
            assert_eq!(names(text), None, "{text}");
        }
        assert!(read(b"<a>\xff</a>").is_none() && read(b"<a>\0</a>").is_none());
    }

    proptest! {
        #[test]
        fn any_bytes_are_a_document_or_are_not(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            check_xml_bytes(&bytes);
        }

        #[test]
        fn what_looks_like_a_document_is_one_or_is_not(text in "(<[/?!]?[a-b:]{0,3}( xmlns(:a)?=['\"]D['\"])?/?>|&[a-z#0-9]{0,4};|<!--|-->|[ -~\u{fc}]){0,30}") {
            check_xml_bytes(text.as_bytes());
            check_xml_bytes(format!("<a>{text}</a>").as_bytes());
            check_xml_bytes(format!("<a><![CDATA[{text}\u{1}]]></a>").as_bytes());
        }

        #[test]
        fn text_survives_both_ways(text in "[ -~\u{fc}\u{20ac}]{0,40}") {
            let found = read(format!("<a b=\"{0}\">{0}</a>", escaped(&text)).as_bytes()).unwrap();
            prop_assert_eq!(&found[0].text, &text);
        }
    }
}
