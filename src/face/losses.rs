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
    let older = match folder["older_lost"].as_u64() {
        None | Some(0) => None,
        Some(1) => Some("one older snapshot".to_owned()),
        Some(count) => Some(format!("{count} older snapshots")),
    };
    match (folder["left_taken"].as_str(), older) {
        (None, _) => format!("{name} is lost"),
        (Some(_), Some(older)) if folder["left"] == folder["newest"] => format!("{name} loses {older}"),
        (Some(taken), None) => format!("{name} goes back to {}", text(taken)),
        (Some(taken), Some(older)) => format!("{name} goes back to {} and loses {older}", text(taken)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_fire_is_told_with_what_it_takes() {
        let left = json!({"folder": "music", "left": "ab", "left_taken": "2026-01-02T03:04:05Z"});
        let lost = json!({"folder": "photos", "left": null, "left_taken": null, "older_lost": 0});
        let [mut more, mut kept] = [left.clone(), left.clone()];
        (more["older_lost"], kept["older_lost"], kept["newest"]) = (2.into(), 1.into(), "ab".into());
        let value = json!([
            {"node": "ab", "name": "attic", "site": null, "folders": [lost, left]},
            {"node": null, "name": null, "site": "home", "folders": [lost, more, kept]},
        ]);
        assert_eq!(
            losses(&value),
            "  - if attic burns: photos is lost, music goes back to 2026-01-02T03:04:05Z\n  - if all of home burns: photos is lost, music goes back to 2026-01-02T03:04:05Z and loses 2 older snapshots, music loses one older snapshot\n"
        );
        assert_eq!(losses(&json!([])), "");
    }
}
