//! What status says of snapshots that shall go at once: who asks for it, whose word is missing, and who has them still.
//!
//! Only what is still somewhere is told of: pinned here, or receipted by a member. Questions are asked of full nodes, where somebody can
//! answer. Read `node/erase.rs` first.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{json, Value};

use super::core::Core;
use super::known::Heed;
use super::member::Membership;
use super::status::attention::{Attention, Severity};
use crate::base::ids::{FolderId, NodeId, SnapshotId};
use crate::base::limits::ERASED_NAMED_MAX;

/// A snapshot that shall go at once and is still somewhere.
struct Going {
    /// Which.
    id: SnapshotId,
    /// Of which folder.
    folder: FolderId,
    /// Who says so.
    words: BTreeSet<NodeId>,
    /// What this node makes of that.
    heed: Heed,
    /// It is here.
    here: bool,
    /// Other members that have it.
    holders: Vec<NodeId>,
}

/// What a person is told of some snapshots together.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Concern {
    /// One other full node says so, and this one may say it too.
    Asked(NodeId),
    /// This node says so, and one more has to.
    Waits,
    /// There are enough words, but this node has not known their authors for long enough.
    Young,
    /// It is decided, and these have it still.
    Held(Vec<NodeId>),
}

impl Core {
    /// Snapshots that shall go at once, as far as they are not gone.
    fn going(&self) -> Vec<Going> {
        let Some(member) = &self.member else { return Vec::new() };
        let mut all = Vec::new();
        for (id, words) in member.view.erased() {
            let Some(fact) = member.view.snapshot(&id) else { continue };
            let here = self.upkeep.collect.pins().contains_key(&id);
            let holders = member.view.receipts(&id).map(|(node, _)| node);
            let holders: Vec<NodeId> = holders.filter(|node| *node != member.node).collect();
            if here || !holders.is_empty() {
                let heed = self.heeds(&words);
                all.push(Going { id, folder: fact.entry.folder, words, heed, here, holders });
            }
        }
        all
    }

    /// For `status`: what is asked and what goes on.
    pub(super) fn erase_status(&self, attention: &mut Attention) -> Value {
        let Some(member) = &self.member else { return Value::Null };
        let all = self.going();
        if member.sealer.is_some() {
            self.erase_attention(member, &all, attention);
        }
        let root = member.view.roster().root();
        let name = |node: &NodeId| member.name_of(node);
        let told = all.iter().map(|going| {
            let nodes = going.words.iter().filter(|node| **node != root);
            json!({
                "snapshot": going.id.hex(), "folder": self.folder_name(&going.folder),
                "said_by": nodes.map(name).collect::<Vec<_>>(), "phrase": going.words.contains(&root),
                "enough": going.heed == Heed::Enough, "here": going.here,
                "held_by": going.holders.iter().map(name).collect::<Vec<_>>(),
            })
        });
        Value::Array(told.collect())
    }

    /// What a person is told.
    fn erase_attention(&self, member: &Membership, all: &[Going], attention: &mut Attention) {
        let mut concerns: BTreeMap<(FolderId, Concern), Vec<SnapshotId>> = BTreeMap::new();
        for going in all {
            let has_spoken = going.words.contains(&member.node);
            let concern = match (going.heed, going.words.first()) {
                (Heed::Few, Some(author)) if !has_spoken => Concern::Asked(*author),
                (Heed::Few, _) => Concern::Waits,
                (Heed::Young, _) => Concern::Young,
                (Heed::Enough, _) if going.holders.is_empty() => continue,
                (Heed::Enough, _) => Concern::Held(going.holders.clone()),
            };
            concerns.entry((going.folder, concern)).or_default().push(going.id);
        }
        for ((folder, concern), ids) in concerns {
            let folder = self.folder_name(&folder);
            let named: Vec<String> = ids.iter().take(ERASED_NAMED_MAX).map(SnapshotId::short).collect();
            let command = format!("`nuthatch erase {folder} {}`", named.join(" "));
            let what = match ids.len() {
                1 => format!("snapshot {} of {folder}", named.concat()),
                count => format!("{count} forgotten snapshots of {folder}"),
            };
            let severity =
                if matches!(concern, Concern::Asked(_)) { Severity::Trouble } else { Severity::Advice };
            let (message, hint) = match concern {
                Concern::Asked(author) => {
                    let name = member.name_of(&author);
                    let message = format!("{name} wants {what} to be erased at once, for good");
                    (message, format!("if that is meant: {command} here too; if not, do nothing: the word of one device erases nothing"))
                }
                Concern::Waits => {
                    let message = format!("{what} is to be erased, and waits for a second word");
                    (message, format!("{command} on another full node, or here with --phrase"))
                }
                Concern::Young => {
                    let message = format!("{what} is to be erased, but this device has not known those who say so for long enough");
                    (message, format!("{command} here too, or on any full node with --phrase"))
                }
                Concern::Held(holders) => {
                    let names: Vec<String> = holders.iter().map(|node| member.name_of(node)).collect();
                    let message = format!("{what}, which is erased, is still on {}", names.join(", "));
                    (message, "a device gives it up when it is on, connected, and makes no backup; `nuthatch status` there says what it waits for".to_owned())
                }
            };
            attention.add(severity, message, hint);
        }
    }
}
