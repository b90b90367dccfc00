//! Amounts in words of the configuration: bytes and spans of time with their units. Owns the words, and nothing of what
//! they are for.

use crate::base::units::Span;

/// A size: a number, then B, kB, MB, GB, TB (powers of 1,000) or KiB, MiB, GiB, TiB.
#[must_use]
pub fn bytes_of(text: &str) -> Option<u64> {
    let (number, unit) = split_unit(text)?;
    let scale: u64 = match unit.to_ascii_lowercase().as_str() {
        "" | "b" => 1,
        "kb" | "k" => 1_000,
        "mb" | "m" => 1_000_000,
        "gb" | "g" => 1_000_000_000,
        "tb" | "t" => 1_000_000_000_000,
        "kib" => 1 << 10,
        "mib" => 1 << 20,
        "gib" => 1 << 30,
        "tib" => 1 << 40,
        _ => return None,
    };
    scaled(number, scale)
}

/// A span: a number, then s, m, h or d.
#[must_use]
pub fn span_of(text: &str) -> Option<Span> {
    let (number, unit) = split_unit(text)?;
    let seconds: u64 = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3_600,
        "d" => 86_400,
        _ => return None,
    };
    scaled(number, seconds * 1_000_000).map(Span::from_micros)
}

/// A span as [`span_of`] reads it.
pub(super) fn span_text(span: Span) -> String {
    let seconds = span.as_micros() / 1_000_000;
    match seconds {
        _ if seconds % 86_400 == 0 => format!("{}d", seconds / 86_400),
        _ if seconds % 3_600 == 0 => format!("{}h", seconds / 3_600),
        _ if seconds % 60 == 0 => format!("{}m", seconds / 60),
        _ => format!("{seconds}s"),
    }
}

/// A size as [`bytes_of`] reads it.
pub(in crate::node) fn size_text(bytes: u64) -> String {
    let units = [
        (1 << 40, "TiB"),
        (1 << 30, "GiB"),
        (1 << 20, "MiB"),
        (1_000_000_000_000, "TB"),
        (1_000_000_000, "GB"),
        (1_000_000, "MB"),
        (1_000, "kB"),
    ];
    let fitting = units.iter().find(|(unit, _)| bytes > 0 && bytes % unit == 0);
    fitting.map_or_else(|| bytes.to_string(), |(unit, name)| format!("{}{name}", bytes / unit))
}

/// The digits (with at most one point) and what follows them.
fn split_unit(text: &str) -> Option<(&str, &str)> {
    let text = text.trim();
    let end =
        text.find(|character: char| !character.is_ascii_digit() && character != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    (!number.is_empty()).then(|| (number, unit.trim()))
}

/// `number` (digits, perhaps a point and up to six more) times `scale`; None on overflow.
fn scaled(number: &str, scale: u64) -> Option<u64> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let mut total = whole.parse::<u64>().ok()?.checked_mul(scale)?;
    if !fraction.is_empty() {
        if fraction.len() > 6 {
            return None;
        }
        let digits = u32::try_from(fraction.len()).ok()?;
        let part =
            u128::from(fraction.parse::<u64>().ok()?) * u128::from(scale) / u128::from(10_u64.pow(digits));
        total = total.checked_add(u64::try_from(part).ok()?)?;
    }
    Some(total)
}
