//! What stands in the heads of answers with content, and what conditions and ranges in those of requests mean (RFC 9110).
//!
//! Pure. Names of files come from anywhere: what is made of them here can be put into a header whatever they are.

use crate::base::units::WallTime;

/// Types by the last part of a name. What a browser could run is not among those that are shown (see [`is_shown`]).
const TYPES: &[(&str, &str)] = &[
    ("aac", "audio/aac"),
    ("apng", "image/apng"),
    ("avif", "image/avif"),
    ("bmp", "image/bmp"),
    ("c", TEXT),
    ("css", "text/css; charset=utf-8"),
    ("csv", TEXT),
    ("conf", TEXT),
    ("flac", "audio/flac"),
    ("gif", "image/gif"),
    ("gz", "application/gzip"),
    ("htm", "text/html; charset=utf-8"),
    ("html", "text/html; charset=utf-8"),
    ("ico", "image/x-icon"),
    ("ini", TEXT),
    ("jpeg", "image/jpeg"),
    ("jpg", "image/jpeg"),
    ("js", "text/javascript; charset=utf-8"),
    ("json", "application/json"),
    ("log", TEXT),
    ("m4a", "audio/mp4"),
    ("m4v", "video/mp4"),
    ("md", TEXT),
    ("mkv", "video/x-matroska"),
    ("mov", "video/quicktime"),
    ("mp3", "audio/mpeg"),
    ("mp4", "video/mp4"),
    ("oga", "audio/ogg"),
    ("ogg", "audio/ogg"),
    ("ogv", "video/ogg"),
    ("opus", "audio/ogg"),
    ("pdf", "application/pdf"),
    ("png", "image/png"),
    ("py", TEXT),
    ("rs", TEXT),
    ("sh", TEXT),
    ("srt", TEXT),
    ("svg", "image/svg+xml"),
    ("tar", "application/x-tar"),
    ("toml", TEXT),
    ("txt", TEXT),
    ("vtt", "text/vtt; charset=utf-8"),
    ("wav", "audio/wav"),
    ("webm", "video/webm"),
    ("webp", "image/webp"),
    ("xml", "application/xml"),
    ("yaml", TEXT),
    ("yml", TEXT),
    ("zip", "application/zip"),
];

/// Text of which nothing is known but that it is some.
const TEXT: &str = "text/plain; charset=utf-8";

/// The type of a file of this name.
pub(super) fn type_of(name: &str) -> &'static str {
    let ending = name.rsplit_once('.').map_or("", |(_, ending)| ending);
    let found = TYPES.iter().find(|(known, _)| known.eq_ignore_ascii_case(ending));
    found.map_or("application/octet-stream", |(_, media)| media)
}

/// Whether a browser may show content of this type by itself: it is nothing that it could run.
pub(super) fn is_shown(media: &str) -> bool {
    let is_picture = media.starts_with("image/") && !media.contains("svg");
    is_picture
        || media.starts_with("audio/")
        || media.starts_with("video/")
        || media == TEXT
        || media.starts_with("text/vtt")
}

/// `Content-Disposition` (RFC 6266) for a file of any name: an ASCII name, and the name itself as RFC 8187 has it.
pub(super) fn disposition(is_shown: bool, name: &str) -> String {
    let plain = |character: char| match character {
        ' '..='~' if !matches!(character, '"' | '\\' | '/' | '%') => character,
        _ => '_',
    };
    let how = if is_shown { "inline" } else { "attachment" };
    let fallback: String = name.chars().map(plain).take(NAME_CHARACTERS_MAX).collect();
    let mut text = format!("{how}; filename=\"{fallback}\"; filename*=UTF-8''");
    for byte in name.bytes() {
        // attr-char of RFC 8187, section 3.2.1.
        if byte.is_ascii_alphanumeric() || b"!#$&+-.^_`|~".contains(&byte) {
            text.push(char::from(byte));
        } else {
            text.push_str(&format!("%{byte:02X}"));
        }
    }
    text
}

/// Characters of the ASCII name in a `Content-Disposition`.
const NAME_CHARACTERS_MAX: usize = 200;

/// A date as HTTP writes it (IMF-fixdate), of nanoseconds since 1970.
pub(super) fn date_of(mtime_ns: i64) -> String {
    let seconds = mtime_ns.div_euclid(1_000_000_000).clamp(0, LAST_SECOND);
    let (year, month, day, hour, minute, second, _) = WallTime::from_micros(seconds * 1_000_000).civil();
    let week = usize::try_from(seconds / 86_400 % 7).unwrap_or(0);
    let month = usize::from(month) - 1;
    format!("{}, {day:02} {} {year:04} {hour:02}:{minute:02}:{second:02} GMT", WEEK[week], MONTHS[month])
}

/// Seconds since 1970 of a date as HTTP writes it; None: it is none.
pub(super) fn seconds_of(date: &str) -> Option<i64> {
    let rest = date.get(5..)?;
    let part = |at: std::ops::Range<usize>| rest.get(at)?.parse::<i64>().ok();
    let month = MONTHS.iter().position(|name| rest.get(3..6) == Some(*name))?;
    let (day, year) = (part(0..2)?, part(7..11)?);
    let (hour, minute, second) = (part(12..14)?, part(15..17)?, part(18..20)?);
    if rest.get(20..)? != " GMT" {
        return None;
    }
    // Days since 1970 of a date in the Gregorian calendar, with years that begin in March.
    let month = i64::try_from(month).ok()? + 1;
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let era = year.div_euclid(400);
    let in_year = (153 * month + 2) / 5 + day - 1;
    let in_era = year.rem_euclid(400) * 365 + year.rem_euclid(400) / 4 - year.rem_euclid(400) / 100 + in_year;
    let days = era * 146_097 + in_era - 719_468;
    Some(days * 86_400 + hour * 3_600 + minute * 60 + second)
}

/// Names of days, from the first of January 1970 on.
const WEEK: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
/// Names of months.
const MONTHS: [&str; 12] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
/// The end of the year 9999.
const LAST_SECOND: i64 = 253_402_300_799;

/// Whether a list of tags (or `*`) has this one; `weakly`: a tag that is only said to be much the same will do.
pub(super) fn has_tag(list: &str, etag: &str, weakly: bool) -> bool {
    list.split(',').map(str::trim).any(|tag| {
        let strong = if weakly { tag.strip_prefix("W/").unwrap_or(tag) } else { tag };
        tag == "*" || strong == etag
    })
}

/// What a `Range` asks of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wanted {
    /// All of it: there is no range, or one that is not understood, or several.
    Whole,
    /// So many bytes from there on, at least one.
    Part(u64, u64),
    /// Nothing that it has.
    Nothing,
}

/// Reads a `Range` for a file of this size (RFC 9110, section 14).
pub(super) fn range_of(range: &str, size: u64) -> Wanted {
    let Some(set) = range.trim().strip_prefix("bytes=").map(str::trim) else { return Wanted::Whole };
    let digits = |text: &str| {
        let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        is_number.then(|| text.parse::<u64>().unwrap_or(u64::MAX))
    };
    let Some((first, last)) = set.split_once('-').filter(|_| !set.contains(',')) else {
        return Wanted::Whole;
    };
    match (digits(first), digits(last)) {
        (Some(first), last) if last.is_some() != set.ends_with('-') => {
            let end = last.map_or(size, |last| last.saturating_add(1).min(size));
            match last {
                Some(last) if last < first => Wanted::Whole,
                _ if first >= size => Wanted::Nothing,
                _ => Wanted::Part(first, end - first),
            }
        }
        (None, Some(tail)) if first.is_empty() => match tail.min(size) {
            0 => Wanted::Nothing,
            tail => Wanted::Part(size - tail, tail),
        },
        _ => Wanted::Whole,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hyper::header::HeaderValue;

    #[test]
    fn a_range_is_read_as_rfc_9110_says() {
        let read = |text| range_of(text, 100);
        assert_eq!(read("bytes=0-0"), Wanted::Part(0, 1));
        assert_eq!(read("bytes=10-"), Wanted::Part(10, 90));
        assert_eq!(read("bytes=90-1000"), Wanted::Part(90, 10));
        assert_eq!(read("bytes=-5"), Wanted::Part(95, 5));
        assert_eq!(read("bytes=-500"), Wanted::Part(0, 100));
        assert_eq!(read("bytes=0-18446744073709551615"), Wanted::Part(0, 100));
        assert_eq!(read("bytes=100-"), Wanted::Nothing);
        assert_eq!(read("bytes=99999999999999999999999-"), Wanted::Nothing);
        assert_eq!(read("bytes=-0"), Wanted::Nothing);
        for whole in [
            "",
            "bytes",
            "bytes=",
            "bytes=-",
            "bytes=5-3",
            "bytes=0-1,5-6",
            "lines=1-2",
            "bytes=a-b",
            "bytes=+1-2",
            "bytes=1-x",
        ] {
            assert_eq!(read(whole), Wanted::Whole, "{whole}");
        }
        assert_eq!(range_of("bytes=0-", 0), Wanted::Nothing);
        assert_eq!(range_of("bytes=-1", 0), Wanted::Nothing);
    }

    #[test]
    fn any_name_can_be_put_into_a_header() {
        let names = [
            "a\r\nSet-Cookie: x=1",
            "\u{fc}ber \u{1f600}.txt",
            "\"quoted\\\"",
            "a;b=c,d",
            "\u{202e}gpj.exe",
            "\u{0}\u{7f}",
            &"x".repeat(10_000),
            "",
        ];
        for name in names {
            let text = disposition(false, name);
            assert!(text.bytes().all(|byte| (b' '..=b'~').contains(&byte)), "{text}");
            assert!(HeaderValue::from_str(&text).is_ok());
            assert_eq!(text.matches('"').count(), 2, "{text}");
        }
        assert_eq!(
            disposition(true, "\u{fc} 1.txt"),
            "inline; filename=\"_ 1.txt\"; filename*=UTF-8''%C3%BC%201.txt"
        );
    }

    #[test]
    fn nothing_that_a_browser_could_run_is_shown() {
        for name in [
            "a.html",
            "a.HTM",
            "a.svg",
            "a.SVG",
            "a.js",
            "a.css",
            "a.xml",
            "a.pdf",
            "a",
            ".html",
            "a.unknown",
            "a.xhtml",
        ] {
            assert!(!is_shown(type_of(name)), "{name}");
        }
        for name in ["a.JPG", "b.png", "c.mp4", "d.mp3", "e.txt", "f.md"] {
            assert!(is_shown(type_of(name)), "{name}");
        }
    }

    #[test]
    fn dates_survive_both_ways() {
        assert_eq!(date_of(784_111_777_000_000_000), "Sun, 06 Nov 1994 08:49:37 GMT");
        for seconds in [0, 951_782_399, 951_868_800, 1_700_000_000, 4_102_444_799, LAST_SECOND] {
            let text = date_of(seconds.saturating_mul(1_000_000_000));
            let read = seconds_of(&text);
            assert!(read == Some(seconds) || seconds > 9_000_000_000, "{text} {read:?}");
        }
        assert_eq!(date_of(-5), "Thu, 01 Jan 1970 00:00:00 GMT");
        for bad in ["", "yesterday", "Sun, 06 Nov 1994 08:49:37 CET", "Sunday, 06-Nov-94 08:49:37 GMT"] {
            assert_eq!(seconds_of(bad), None, "{bad}");
        }
    }

    #[test]
    fn tags_are_compared_strongly_or_weakly() {
        assert!(has_tag("\"a\", W/\"b\"", "\"b\"", true) && !has_tag("\"a\", W/\"b\"", "\"b\"", false));
        assert!(has_tag("*", "\"b\"", false) && !has_tag("\"a\"", "\"b\"", true));
    }
}
