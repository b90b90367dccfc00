//! Losses: if this device, or this place, burns: which folder is gone, which goes back to an older snapshot, and of which older
//! snapshots are gone. Exactly what the receipts say, never better. Read [`crate::replicate::ledger`] first.
//!
//! What is said presumes that the recovery phrase, or another device that can read, is left.

use serde_json::{json, Value};
use std::collections::{BTreeMap, BTreeSet};

use super::core::Core;
use super::member::SnapshotFact;
use crate::base::gather;
use crate::base::ids::NodeId;
use crate::replicate::ledger::{Fire, Fires, Ledger, Protection};

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

    /// For `status`: every fire that would take something; of each folder the newest snapshot that would be left, and how many older
    /// ones than that would be gone.
    pub(super) fn losses(&self) -> Value {
        let mut lost: BTreeMap<Fire<'_>, Vec<Value>> = BTreeMap::new();
        for (_, entry, text) in self.shown_folders() {
            let mut facts = self.snapshots(Some(&entry.folder));
            if facts.iter().any(|fact| fact.entry.complete) {
                facts.retain(|fact| fact.entry.complete);
            }
            facts.reverse();
            // Newest first, of those that are there before the fire.
            let with_fires = |fact: &SnapshotFact| {
                let ledger = self.ledger_of(fact);
                ledger.is_whole().then(|| ledger.fires())
            };
            let here = facts.iter().filter_map(|fact| Some((fact, with_fires(fact)?)));
            let here: Vec<(&SnapshotFact, Fires<'_>)> = here.collect();
            let Some((newest, _)) = here.first() else { continue };
            // Who stands nowhere known may stand anywhere.
            let is_anywhere = here.iter().any(|(_, fires)| fires.every_site);
            let everywhere = self.member.iter().filter(|_| is_anywhere).flat_map(|member| member.sites());
            let some = here.iter().flat_map(|(_, fires)| fires.some.iter().cloned());
            let fires: BTreeSet<Fire<'_>> = gather::set(some.chain(everywhere.map(Fire::Site)));
            for fire in fires {
                let left = here.iter().position(|(_, fires)| !fires.has(&fire));
                let older = here.iter().skip(left.unwrap_or(here.len()));
                let older_lost = older.filter(|(_, fires)| fires.has(&fire)).count();
                let left = left.map(|place| here[place].0);
                lost.entry(fire).or_default().push(json!({
                    "folder": text.name,
                    "newest": newest.id.hex(),
                    "left": left.map(|fact| fact.id.hex()),
                    "left_taken": left.map(|fact| fact.entry.taken.to_string()),
                    "older_lost": older_lost,
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
