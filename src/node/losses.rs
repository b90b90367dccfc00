//! Losses: if this device, or this place, burns: which folder is gone, and which goes back to an older snapshot. Exactly what the
//! receipts say, never better. Read [`crate::replicate::ledger`] first.
//!
//! What is said presumes that the recovery phrase, or another device that can read, is left.

use serde_json::{json, Value};
use std::collections::{BTreeMap, BTreeSet};

use super::core::Core;
use super::member::SnapshotFact;
use crate::base::gather;
use crate::base::ids::NodeId;
use crate::replicate::ledger::{Fire, Ledger, Protection};

impl Core {
    /// How well a snapshot is protected, by receipts.
    pub(super) fn protection_of(&self, fact: &SnapshotFact) -> Protection {
        self.ledger_of(fact).protection(fact.entry.copies)
    }

    /// Where the copies of a snapshot are. A draft is here and nowhere else.
    fn ledger_of(&self, fact: &SnapshotFact) -> Ledger<'_> {
        let Some(member) = &self.member else { return Ledger::default() };
        let site_of = |node: &NodeId| {
            member.view.describe(node).map(|said| said.site.as_str()).filter(|site| !site.is_empty())
        };
        let is_believed = |node: &NodeId| !self.reconciling.auditing.is_marked(node);
        let is_here = member.view.roster().member(&fact.writer).is_some() && is_believed(&fact.writer);
        let receipts = member.view.receipts(&fact.id).filter(|(node, _)| !fact.draft && is_believed(node));
        Ledger::new(fact.writer, is_here || fact.draft, receipts, site_of)
    }

    /// For `status`: every fire that would take something, and of each folder the newest snapshot that would be left.
    pub(super) fn losses(&self) -> Value {
        let mut lost: BTreeMap<Fire<'_>, Vec<Value>> = BTreeMap::new();
        for (_, entry, text) in self.shown_folders() {
            let mut facts = self.snapshots(Some(&entry.folder));
            if facts.iter().any(|fact| fact.entry.complete) {
                facts.retain(|fact| fact.entry.complete);
            }
            facts.reverse();
            // Newest first; older ones are looked at only as far as something is missing of the newer ones.
            let newest_left =
                |fire: Option<&Fire<'_>>| facts.iter().position(|fact| self.ledger_of(fact).survives(fire));
            let Some(now) = newest_left(None) else { continue };
            // Who stands nowhere known may stand anywhere.
            let everywhere = self.member.iter().flat_map(|member| member.sites()).map(Fire::Site);
            let ledger = self.ledger_of(&facts[now]);
            let fires: BTreeSet<Fire<'_>> = gather::set(ledger.fires().chain(everywhere));
            for fire in fires {
                let left = newest_left(Some(&fire));
                if left == Some(now) {
                    continue;
                }
                let left = left.map(|place| &facts[place]);
                lost.entry(fire).or_default().push(json!({
                    "folder": text.name,
                    "newest": facts[now].id.hex(),
                    "left": left.map(|fact| fact.id.hex()),
                    "left_taken": left.map(|fact| fact.entry.taken.to_string()),
                }));
            }
        }
        let name = |node: &NodeId| self.member.as_ref().map(|member| member.name_of(node));
        let entry = |(fire, folders): (Fire<'_>, Vec<Value>)| match fire {
            Fire::Node(node) => {
                json!({"node": node.hex(), "name": name(&node), "site": null, "folders": folders})
            }
            Fire::Site(site) => json!({"node": null, "name": null, "site": site, "folders": folders}),
        };
        lost.into_iter().map(entry).collect()
    }
}
