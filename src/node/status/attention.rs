//! What needs a person's attention: sentences, each with what to do about it, the worst first.
//!
//! Owns the order and the shape in `status`. Who has something to say adds it here, with its severity and with the command
//! that solves it; where no command helps, with what else does. All of it is told as JSON; the command line shows the first few.

use serde_json::{json, Value};

use crate::base::ids::NodeId;
use crate::base::limits::RECEIPTS_UNWRITTEN_MANY;
use crate::node::api::ApiError;
use crate::node::core::Core;
use crate::node::folders::Local;
use crate::node::sighting::HINT;
use crate::node::status::wear;
use crate::replicate::ledger::Protection;
use crate::store::service::StoreStats;

/// How much something matters, the worst first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::node) enum Severity {
    /// Data is at risk, or is not backed up.
    Danger,
    /// Less is protected than a person wants, or an answer is awaited.
    Trouble,
    /// It could be better, and nothing is in danger.
    Advice,
}

/// One thing that needs attention.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::node) struct Concern {
    /// How much it matters.
    pub(in crate::node) severity: Severity,
    /// What is the case.
    pub(in crate::node) message: String,
    /// What to do: the command in backquotes, where there is one.
    pub(in crate::node) hint: String,
}

/// All of it.
#[derive(Debug, Default)]
pub(in crate::node) struct Attention {
    /// In the order in which it was said.
    concerns: Vec<Concern>,
}

/// A folder that is backed up, as far as it can need attention.
#[derive(Debug, Clone, Copy)]
pub(in crate::node) struct About<'a> {
    /// Its name.
    pub(in crate::node) name: &'a str,
    /// How it is, in the word of `status`.
    pub(in crate::node) state: &'a str,
    /// Why the last scan here failed.
    pub(in crate::node) failure: Option<&'a ApiError>,
    /// How well its newest snapshot is protected.
    pub(in crate::node) protection: Option<Protection>,
    /// This node writes it.
    pub(in crate::node) is_own: bool,
}

impl Severity {
    /// The word for programs.
    const fn word(self) -> &'static str {
        match self {
            Self::Danger => "danger",
            Self::Trouble => "trouble",
            Self::Advice => "advice",
        }
    }
}

impl Attention {
    /// One more.
    pub(in crate::node) fn add(
        &mut self,
        severity: Severity,
        message: impl Into<String>,
        hint: impl Into<String>,
    ) {
        self.concerns.push(Concern { severity, message: message.into(), hint: hint.into() });
    }

    /// Something that does not work.
    pub(in crate::node) fn error(&mut self, error: ApiError) {
        self.add(Severity::Danger, error.message, error.hint);
    }

    /// The same, if there is something to say.
    pub(in crate::node) fn extend(&mut self, concern: Option<Concern>) {
        self.concerns.extend(concern);
    }

    /// As `status` tells it: the worst first, else in the order in which it was said.
    pub(in crate::node) fn told(mut self) -> Value {
        self.concerns.sort_by_key(|concern| concern.severity);
        let told = |concern: Concern| {
            let Concern { severity, message, hint } = concern;
            json!({"severity": severity.word(), "message": message, "hint": hint})
        };
        self.concerns.into_iter().map(told).collect()
    }
}

impl Core {
    /// What the disk, the watches and the network are the reason of.
    pub(in crate::node) fn surroundings_attention(
        &self,
        stats: Option<&StoreStats>,
        attention: &mut Attention,
    ) {
        if let Some(reason) = self.member.as_ref().and_then(|member| member.refused.as_ref()) {
            // Before what is a consequence of it.
            attention.concerns.insert(0, Concern {
                severity: Severity::Danger,
                message: format!("the disk with this node's data did not take what was to be written: {reason}"),
                hint: "free space on it, or see to it: the node tries it every few minutes and starts anew by itself when it takes something".into(),
            });
        }
        self.fork_attention(attention);
        self.unwritten_attention(attention);
        attention.extend(stats.and_then(wear::damaged));
        attention.extend(stats.and_then(wear::worn));
        if let Some(message) = &self.folders.unwatched {
            let hint =
                "changes are found by the rescan; `nuthatch config set backup.rescan 15m` has it more often";
            attention.add(Severity::Advice, message.clone(), hint);
        }
        if let Some(message) = self.multicast_doubt() {
            attention.add(Severity::Advice, message, HINT);
        }
    }

    /// A device has signed two histories.
    fn fork_attention(&self, attention: &mut Attention) {
        let Some(member) = &self.member else { return };
        let mut nodes: Vec<NodeId> = member.view.open_forks().map(|fork| fork.feed.node).collect();
        nodes.dedup();
        for node in nodes {
            let name = member.name_of(&node);
            let message = format!("{name} has written two histories (a copied disk?): nothing is retired or given up anywhere while it is a member");
            let hint = format!("`nuthatch remove {name}` on another device, and let it join anew; until then nothing is lost, and disks fill");
            attention.add(Severity::Trouble, message, hint);
        }
    }

    /// A device says very often that it holds what nobody is known to have written.
    fn unwritten_attention(&self, attention: &mut Attention) {
        let Some(member) = &self.member else { return };
        if member.view.open_forks().next().is_some() {
            // Who is honest may hold what is in the other one of two histories.
            return;
        }
        for other in member.view.roster().members() {
            let count = member.view.unwritten_of(&other.node);
            if count < RECEIPTS_UNWRITTEN_MANY {
                continue;
            }
            let name = member.name_of(&other.node);
            let message = format!("{name} says of {count} snapshots that it holds them which no known device has written; each takes memory on all devices");
            let hint = format!("if all devices have met and others say so, too: `nuthatch remove {name}`");
            attention.add(Severity::Trouble, message, hint);
        }
    }

    /// The device that backed a folder up was removed.
    pub(in crate::node) fn left_attention(&self, name: &str, writer: &NodeId, attention: &mut Attention) {
        let Some(member) = &self.member else { return };
        let message =
            format!("no device backs up {name} any more: its own {} was removed", member.name_of(writer));
        let hint = format!("`nuthatch folder attach {name} DIR` where its files are now; or, if nobody shall go on with it, `nuthatch folder remove {name}`: what there is stays");
        attention.add(Severity::Trouble, message, hint);
    }

    /// What is the matter with a folder that is backed up.
    pub(in crate::node) fn folder_attention(&self, about: &About<'_>, attention: &mut Attention) {
        let name = about.name;
        let is_asked =
            |failure: &&ApiError| matches!(failure.code.as_str(), "folder_emptied" | "folder_guarded");
        // What the guard asks it says itself.
        if let Some(failure) = about.failure.filter(|failure| !is_asked(failure)) {
            let message = format!("{name}: {}", failure.message);
            attention.add(Severity::Danger, message, remedy(name, failure));
        }
        let here = if about.is_own { "" } else { "on its own device: " };
        match (about.state, about.protection) {
            ("partly_protected", Some(Protection { have, wanted, .. })) if have > 0 => {
                let members = self.member.as_ref().map_or(0, |member| member.view.roster().members().count());
                let are_all_connected = self.gossip.peers().count() + 1 >= members;
                let hint = if members < usize::from(wanted) {
                    format!("let another device join: `nuthatch invite`; or be content with less: `nuthatch folder set {name} copies={members}`")
                } else if are_all_connected {
                    "every device is connected and fetches it by itself, unless one is full or paused: its own `nuthatch status` says so"
                        .into()
                } else {
                    "start the devices that are off or not connected (`nuthatch nodes`); they fetch it by themselves then".into()
                };
                let message = format!("{name} is partly protected: {have} of {wanted} copies");
                attention.add(Severity::Trouble, message, hint);
            }
            ("partial", _) => {
                let message = format!("{name} is backed up in part only, as a partial snapshot lists it");
                let hint = format!(
                    "an interrupted backup goes on by itself, or now, {here}`nuthatch backup {name} --wait`"
                );
                attention.add(Severity::Trouble, message, hint);
            }
            ("never", _) => {
                let hint = format!("{here}`nuthatch backup {name} --wait`");
                attention.add(Severity::Trouble, format!("{name} is not backed up yet"), hint);
            }
            _ => {}
        }
    }
}

/// All that is left together does not hold the newest snapshot of a folder.
pub(in crate::node) fn gone_attention(name: &str, attention: &mut Attention) {
    const HINT: &str =
        "an older one may be left: `nuthatch snapshots`; where the files still are, back them up again";
    let message = format!("the newest snapshot of {name} is lost, as far as is known here: no devices are left that hold all of it");
    attention.add(Severity::Danger, message, HINT);
}

/// Two devices have taken a folder over at once.
pub(in crate::node) fn rival_attention(name: &str, rival: &str, attention: &mut Attention) {
    let hint = format!(
        "`nuthatch folder remove {name}` on one of the two: what it has stays, and the other goes on"
    );
    attention.add(Severity::Trouble, format!("{name} is backed up by {rival} as well"), hint);
}

/// What could not be read of a folder here, or not be written into it.
pub(in crate::node) fn hurdles(local: &Local, name: &str, attention: &mut Attention) {
    let unwritten = &local.unwritten;
    if unwritten.count > 0 {
        let why = unwritten.reasons();
        let message =
            format!("{} changes of other devices to {name} are not on this disk{why}", unwritten.count);
        let hint = format!("`nuthatch status --json` names more; `nuthatch backup {name}` tries again");
        attention.add(Severity::Trouble, message, hint);
    }
    if local.unreadable > 0 {
        let message = format!("{} files of {name} could not be read", local.unreadable);
        let hint = format!(
            "`nuthatch log` names them: let the node's user read them, or leave them out with `nuthatch folder set {name} ignore+=GLOB`"
        );
        attention.add(Severity::Trouble, message, hint);
    }
}

/// What to do about a scan that failed.
fn remedy(name: &str, failure: &ApiError) -> String {
    let again = format!("`nuthatch backup {name}`");
    match failure.code.as_str() {
        "folder_missing" | "folder_changed" => format!(
            "plug the disk in or mount it, then {again}; if the folder has moved: `nuthatch folder set {name} directory=DIR`; a service must be shown what is in a home: `sudo nuthatch setup-service --folder DIR`"
        ),
        "folder_unreadable" => format!("let the node's user read it, then {again}"),
        "bad_pattern" => format!("`nuthatch folder set {name} ignore=GLOB,GLOB`"),
        "disk" => format!("`nuthatch verify --all` says whether the store is whole; make room on its disk, then {again}"),
        "no_room" => format!("make room on the disk that the store is on, then {again}"),
        "internal" => format!("`nuthatch verify`, then {again}; older snapshots stay as they are"),
        _ if failure.hint.is_empty() => format!("{again} tries again; `nuthatch log` says more"),
        _ => failure.hint.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_worst_comes_first_and_equals_stay_in_order() {
        let mut attention = Attention::default();
        attention.add(Severity::Advice, "a", "`nuthatch a`");
        attention.add(Severity::Danger, "b", "`nuthatch b`");
        attention.add(Severity::Trouble, "c", "`nuthatch c`");
        attention.add(Severity::Danger, "d", "`nuthatch d`");
        let told = attention.told();
        let messages: Vec<&str> =
            told.as_array().unwrap().iter().filter_map(|told| told["message"].as_str()).collect();
        assert_eq!(messages, ["b", "d", "c", "a"]);
        assert_eq!(told[0]["severity"], "danger");
        assert_eq!(told[3]["hint"], "`nuthatch a`");
    }

    #[test]
    fn every_failure_of_a_scan_has_something_to_do_about_it() {
        let codes = [
            "folder_missing",
            "folder_unreadable",
            "folder_changed",
            "bad_pattern",
            "disk",
            "no_room",
            "internal",
            "another",
        ];
        for code in codes {
            let hint = remedy("photos", &ApiError::new(code, "what", ""));
            assert!(hint.contains("`nuthatch ") && hint.contains("photos"), "{code}: {hint}");
        }
        assert_eq!(remedy("photos", &ApiError::new("offline", "what", "meet another")), "meet another");
    }
}
