//! What needs attention, as text for people: the worst few, each with what to do about it.
//!
//! Takes the list of `status`, which is in order, and makes lines; prints nothing.

use super::{items, word};
use crate::face::show::text;
use serde_json::Value;

/// At most three of them unless `all` is wanted; how many more there are is said.
#[must_use]
pub fn attention(value: &Value, all: bool) -> String {
    let concerns: Vec<&Value> = items(value).collect();
    if concerns.is_empty() {
        return String::new();
    }
    let mut out = String::from("\nNeeds attention\n");
    let shown = if all { concerns.len() } else { SHOWN_MAX };
    for concern in concerns.iter().take(shown) {
        out.push_str(&format!("  - {}\n", text(word(concern, "message"))));
        if !word(concern, "hint").is_empty() {
            out.push_str(&format!("    {}\n", text(word(concern, "hint"))));
        }
    }
    if let Some(more) = concerns.len().checked_sub(shown).filter(|more| *more > 0) {
        out.push_str(&format!("  and {more} more: `nuthatch status --all`\n"));
    }
    out
}

/// More than that nobody reads.
const SHOWN_MAX: usize = 3;

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn three_are_shown_and_the_rest_is_counted() {
        let all: Vec<Value> = (1..=5)
            .map(|number| json!({"message": format!("m{number}"), "hint": format!("h{number}")}))
            .collect();
        assert_eq!(attention(&json!([]), false), "");
        let few = attention(&json!(all[..3]), false);
        assert!(few.ends_with("  - m3\n    h3\n"), "{few}");
        let many = attention(&json!(all), false);
        assert!(many.contains("m3") && !many.contains("m4"), "{many}");
        assert!(many.ends_with("  and 2 more: `nuthatch status --all`\n"), "{many}");
        let every = attention(&json!(all), true);
        assert!(every.contains("m5") && !every.contains("--all"), "{every}");
    }
}
