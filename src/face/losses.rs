//! What `status` says would be lost in a fire, for people.

use serde_json::Value;

use super::report::{items, word};
use super::show::text;

/// The lines of the section; nothing where every fire leaves everything.
#[must_use]
pub fn losses(value: &Value) -> String {
    let mut out = String::new();
    for fire in items(value) {
        let what = match fire["site"].as_str() {
            Some(site) => format!("all of {}", text(site)),
            None => text(word(fire, "name")),
        };
        let folders: Vec<String> = items(&fire["folders"]).map(folder).collect();
        out.push_str(&format!("  - if {what} burns: {}\n", folders.join(", ")));
    }
    out
}

/// What becomes of one folder.
fn folder(folder: &Value) -> String {
    let name = text(word(folder, "folder"));
    match folder["left_taken"].as_str() {
        Some(taken) => format!("{name} goes back to {}", text(taken)),
        None => format!("{name} is lost"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_fire_is_told_with_what_it_takes() {
        let left = json!({"folder": "music", "left": "ab", "left_taken": "2026-01-02T03:04:05Z"});
        let lost = json!({"folder": "photos", "left": null, "left_taken": null});
        let value = json!([
            {"node": "ab", "name": "attic", "site": null, "folders": [lost, left]},
            {"node": null, "name": null, "site": "home", "folders": [lost]},
        ]);
        assert_eq!(
            losses(&value),
            "  - if attic burns: photos is lost, music goes back to 2026-01-02T03:04:05Z\n  - if all of home burns: photos is lost\n"
        );
        assert_eq!(losses(&json!([])), "");
    }
}
