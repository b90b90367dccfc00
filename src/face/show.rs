//! Values as people read them: numbers, sizes, times, names and tables.
//!
//! Only makes text; prints nothing. Names come from other people's file systems and nodes, so that every control
//! character in them is escaped before it can reach a terminal.

use crate::base::units::Span;

/// A whole number with a comma after every third digit.
#[must_use]
pub fn number(value: u64) -> String {
    let digits = value.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index) % 3 == 0 {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// A number and what it counts: `1 file`, `2 files`.
#[must_use]
pub fn count(value: u64, one: &str) -> String {
    let word = match one.strip_suffix('y') {
        _ if value == 1 => one.to_owned(),
        Some(stem) if !stem.ends_with(['a', 'e', 'o', 'u']) => format!("{stem}ies"),
        _ => format!("{one}s"),
    };
    format!("{} {word}", number(value))
}

/// A size in powers of 1,000, with three digits.
#[must_use]
pub fn bytes(value: u64) -> String {
    const UNITS: [&str; 6] = ["kB", "MB", "GB", "TB", "PB", "EB"];
    if value < 1_000 {
        return format!("{value} B");
    }
    // Hundredths of the unit, in integers: no rounding surprises, and no float.
    let mut hundredths = value / 10;
    let mut unit = 0;
    while hundredths >= 100_000 && unit + 1 < UNITS.len() {
        hundredths /= 1_000;
        unit += 1;
    }
    let (whole, rest) = (hundredths / 100, hundredths % 100);
    let name = UNITS[unit];
    match whole {
        0..=9 => format!("{whole}.{rest:02} {name}"),
        10..=99 => format!("{whole}.{} {name}", rest / 10),
        _ => format!("{whole} {name}"),
    }
}

/// How many percent `part` is of `whole`, rounded down; 100 when there is nothing.
#[must_use]
pub fn percent(part: u64, whole: u64) -> u64 {
    if whole == 0 {
        return 100;
    }
    u64::try_from(u128::from(part) * 100 / u128::from(whole)).unwrap_or(u64::MAX)
}

/// Bytes in a time as a rate.
#[must_use]
pub fn rate(value: u64, span: Span) -> String {
    let micros = u128::from(span.as_micros().max(1));
    let second = u128::from(value) * 1_000_000 / micros;
    format!("{}/s", bytes(u64::try_from(second).unwrap_or(u64::MAX)))
}

/// A span: `0.42 s`, `12.3 s`, `4 min 05 s`, `2 h 10 min`, `3 d 4 h`.
#[must_use]
pub fn span(span: Span) -> String {
    let seconds = span.as_micros() / 1_000_000;
    match seconds {
        0..=9 => format!("{:.2} s", span.as_secs_f64()),
        10..=119 => format!("{:.1} s", span.as_secs_f64()),
        120..=7_199 => format!("{} min {:02} s", seconds / 60, seconds % 60),
        7_200..=172_799 => format!("{} h {:02} min", seconds / 3_600, seconds / 60 % 60),
        _ => format!("{} d {} h", seconds / 86_400, seconds / 3_600 % 24),
    }
}

/// A name that is safe on a terminal: control characters, and bytes that are no UTF-8, as `\xNN`.
#[must_use]
pub fn name(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        text_into(&mut out, chunk.valid());
        for byte in chunk.invalid() {
            out.push_str(&format!("\\x{byte:02x}"));
        }
    }
    out
}

/// A text that is safe on a terminal.
#[must_use]
pub fn text(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    text_into(&mut out, text);
    out
}

/// Appends `text` with its control characters, and those that turn the direction of writing, escaped.
fn text_into(out: &mut String, text: &str) {
    for character in text.chars() {
        let turns =
            matches!(character, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
        if character.is_control() || turns {
            out.extend(character.escape_default());
        } else {
            out.push(character);
        }
    }
}

/// Rows under headings, in columns that are as wide as they must be.
#[derive(Debug)]
pub struct Table {
    /// The first row.
    headings: Vec<&'static str>,
    /// Which columns are numbers, set to the right.
    right: Vec<bool>,
    /// All other rows; each as long as the headings.
    rows: Vec<Vec<String>>,
}

impl Table {
    /// A table with these columns; a heading that begins with `>` is of numbers.
    #[must_use]
    pub fn new(headings: &[&'static str]) -> Self {
        Self {
            headings: headings.iter().map(|heading| heading.trim_start_matches('>')).collect(),
            right: headings.iter().map(|heading| heading.starts_with('>')).collect(),
            rows: Vec::new(),
        }
    }

    /// One more row; missing cells are empty.
    pub fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        let mut row: Vec<String> = cells.into_iter().collect();
        row.resize(self.headings.len(), String::new());
        self.rows.push(row);
    }

    /// Whether no row was added.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// The table as lines, with `indent` before each.
    #[must_use]
    pub fn render(&self, indent: &str) -> String {
        let width = |column: usize| {
            let cells = self.rows.iter().map(|row| row[column].chars().count());
            cells.max().unwrap_or(0).max(self.headings[column].len())
        };
        let widths: Vec<usize> = (0..self.headings.len()).map(width).collect();
        let mut out = String::new();
        self.line(&mut out, indent, &widths, &self.headings);
        for row in &self.rows {
            self.line(&mut out, indent, &widths, row);
        }
        out
    }

    /// One line.
    fn line(&self, out: &mut String, indent: &str, widths: &[usize], cells: &[impl AsRef<str>]) {
        let mut line = String::from(indent);
        for (index, cell) in cells.iter().enumerate() {
            let cell = cell.as_ref();
            let fill = " ".repeat(widths[index].saturating_sub(cell.chars().count()));
            if index > 0 {
                line.push_str("  ");
            }
            if self.right[index] {
                line.push_str(&fill);
                line.push_str(cell);
            } else {
                line.push_str(cell);
                line.push_str(&fill);
            }
        }
        out.push_str(line.trim_end());
        out.push('\n');
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_sizes_are_short_and_not_rounded_up() {
        assert_eq!(number(0), "0");
        assert_eq!(number(1_234_567), "1,234,567");
        assert_eq!(count(1, "entry"), "1 entry");
        assert_eq!(count(2_000, "entry"), "2,000 entries");
        assert_eq!(count(2, "day"), "2 days");
        assert_eq!(bytes(999), "999 B");
        assert_eq!(bytes(1_000), "1.00 kB");
        assert_eq!(bytes(12_345), "12.3 kB");
        assert_eq!(bytes(999_999), "999 kB");
        assert_eq!(bytes(268_435_456), "268 MB");
        assert_eq!(bytes(u64::MAX), "18.4 EB");
        assert_eq!(percent(1, 3), 33);
        assert_eq!(percent(0, 0), 100);
    }

    #[test]
    fn times_are_shown_in_two_units_at_most() {
        assert_eq!(span(Span::from_millis(420)), "0.42 s");
        assert_eq!(span(Span::from_secs(245)), "4 min 05 s");
        assert_eq!(span(Span::from_secs(7_800)), "2 h 10 min");
        assert_eq!(span(Span::from_secs(273_600)), "3 d 4 h");
        assert_eq!(rate(5_000_000, Span::from_millis(500)), "10.0 MB/s");
    }

    #[test]
    fn a_name_cannot_move_the_cursor_or_turn_the_line() {
        assert_eq!(name(b"a\x1b[2J\n\xff"), "a\\u{1b}[2J\\n\\xff");
        assert_eq!(text("ab\u{202e}cd"), "ab\\u{202e}cd");
        assert_eq!(name("Gr\u{fc}n".as_bytes()), "Gr\u{fc}n");
    }

    #[test]
    fn a_table_aligns_its_columns() {
        let mut table = Table::new(&["name", ">size"]);
        table.row(["a".to_owned(), "10 B".to_owned()]);
        table.row(["longer".to_owned(), "9 B".to_owned()]);
        assert_eq!(table.render(" "), " name    size\n a       10 B\n longer   9 B\n");
    }
}
