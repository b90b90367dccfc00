//! The one true sentence with which `status` begins.
//!
//! Says the worst that is known, by name; that all is well only where everything that it takes is known.

use serde_json::Value;

use crate::base::ids::NodeId;
use crate::base::limits::CHANGE_WAITS_TOLD;
use crate::base::units::Moment;
use crate::node::core::Core;
use crate::node::member::Membership;
use crate::node::status::attention::Attention;

impl Core {
    /// How things are, in the sentence with which `status` begins; None as long as the state is not read.
    pub fn sentence(&mut self, moment: Moment) -> Option<String> {
        if self.loading.is_some() {
            return None;
        }
        self.now = moment;
        let folders = self.folder_states(&mut Attention::default());
        Some(self.pausing.summary(self.summary(&folders)))
    }

    /// The one true sentence.
    pub(in crate::node) fn summary(&self, folders: &[Value]) -> String {
        let Some(member) = &self.member else {
            return "This node belongs to no vault yet.".into();
        };
        if member.refused.is_some() {
            return "The disk with this node's data did not take an entry: this node is not to be counted on before it has started anew.".into();
        }
        if member.sealer.is_none() {
            let kept = member
                .view
                .snapshots()
                .filter(|fact| member.view.receipts(&fact.id).any(|(node, _)| node == member.node))
                .count();
            return format!("This node keeps sealed copies of {kept} snapshots for its vault.");
        }
        // What was removed is kept as it is; nobody waits for it.
        let folders: Vec<&Value> = folders.iter().filter(|folder| folder["removed"] != true).collect();
        if folders.is_empty() {
            return "No folder is backed up on this vault yet.".into();
        }
        let named = |is_it: fn(&Value) -> bool| -> Vec<&str> {
            folders
                .iter()
                .filter(|folder| is_it(folder))
                .filter_map(|folder| folder["name"].as_str())
                .collect()
        };
        let asked = named(|folder| !folder["guard"].is_null() && folder["guard"]["answered"] != true);
        let failing = named(|folder| folder["state"] == "failed");
        let never = named(|folder| folder["last_snapshot"].is_null());
        let in_part = named(|folder| folder["state"] == "partial");
        let partly: Vec<String> = folders
            .iter()
            .filter(|folder| folder["state"] == "partly_protected")
            .map(|folder| {
                format!(
                    "{} ({} of {})",
                    folder["name"].as_str().unwrap_or("?"),
                    folder["protected"]["have"],
                    folder["protected"]["wanted"]
                )
            })
            .collect();
        if !asked.is_empty() {
            format!("Much is gone or looks encrypted at once in {}: an answer is awaited.", asked.join(", "))
        } else if !failing.is_empty() {
            format!("The last backup failed: {}.", failing.join(", "))
        } else if !in_part.is_empty() && in_part.len() == never.len() {
            format!("Backed up in part so far: {}.", in_part.join(", "))
        } else if !never.is_empty() {
            format!("Not backed up yet: {}.", never.join(", "))
        } else if let left @ [_, ..] = named(|folder| folder["left_behind"] == true).as_slice() {
            format!("No device backs up {} any more.", left.join(", "))
        } else if let [device, ..] = self.silent_devices().as_slice() {
            format!("No backup by {device} was heard of for too long.")
        } else if !partly.is_empty() {
            format!("Partly protected: {}.", partly.join(", "))
        } else if self.hearing.around.is_cut_off() {
            "All copies are signed for, but most of the devices that keep them were not heard of for too long.".into()
        } else if self.is_drill_bad() {
            "All copies are signed for, but the last restore drill failed.".into()
        } else {
            let waits =
                |folder: &Value| folder["changed"]["for_us"].as_u64() >= Some(CHANGE_WAITS_TOLD.as_micros());
            let but = match named(waits).as_slice() {
                [] => String::new(),
                names => format!(" but the latest changes in {}", names.join(", ")),
            };
            format!("Everything is protected{but}: {}{}.", self.least(&folders), self.newest_age())
        }
    }

    /// How many copies of the least protected folder there are, and in how many places, where that is known.
    fn least(&self, folders: &[&Value]) -> String {
        let least = |key: &str| folders.iter().filter_map(|folder| folder["protected"][key].as_u64()).min();
        let copies = match least("have") {
            Some(1) | None => "1 copy".to_owned(),
            Some(copies) => format!("{copies} copies"),
        };
        let has_place = |member: &Membership, node: &NodeId| {
            member.view.describe(node).is_some_and(|said| !said.site.is_empty())
        };
        let known = self
            .member
            .as_ref()
            .is_some_and(|member| member.view.roster().members().all(|other| has_place(member, &other.node)));
        match least("sites").filter(|_| known) {
            None => copies,
            Some(1) => format!("{copies} in 1 place"),
            Some(sites) => format!("{copies} in {sites} places"),
        }
    }

    /// How old the newest of all snapshots is, by the clocks of this device and of the one that took it; nothing where they contradict each other.
    fn newest_age(&self) -> String {
        let shown = self.shown_folders().into_iter().filter(|(_, entry, _)| !entry.removed);
        let newest = shown.filter_map(|(_, entry, _)| self.newest_complete(&entry.folder));
        let taken = newest.map(|fact| fact.entry.taken).max();
        let age = taken.map(|taken| self.now.wall.as_micros().saturating_sub(taken.as_micros()));
        let age = age.and_then(|age| u64::try_from(age).ok());
        age.map_or_else(String::new, |age| format!(", newest {}", ago(age / 1_000_000)))
    }
}

/// So many seconds ago, as people say it.
pub(in crate::node) fn ago(seconds: u64) -> String {
    match seconds {
        0..=59 => "less than a minute ago".into(),
        60..=7_199 => format!("{} min ago", seconds / 60),
        7_200..=172_799 => format!("{} hours ago", seconds / 3_600),
        _ => format!("{} days ago", seconds / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_age_is_said_in_one_unit_and_rounded_down() {
        let said = [0, 59, 60, 7_199, 7_200, 172_799, 172_800].map(ago);
        let expected = [
            "less than a minute ago",
            "less than a minute ago",
            "1 min ago",
            "119 min ago",
            "2 hours ago",
            "47 hours ago",
            "2 days ago",
        ];
        assert_eq!(said, expected);
    }
}
