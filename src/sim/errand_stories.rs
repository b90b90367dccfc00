//! Hooks and alerts on whole nodes: which events lead to which, how often, and that nothing turns in a circle.

use serde_json::Value;

use super::check::{back_up, household, MINUTE, ROOT};
use super::cluster::Cluster;
use super::feed_stories::{good, refused};
use crate::base::limits::ALERT_ATTEMPTS_MAX;
use crate::node::api::Call;
use crate::node::events::alerts::PostEnd;
use crate::node::events::errands::Errand;
use crate::node::events::hooks::HookEnd;

/// Hooks that the first node ran since that was last asked: name and event, and what they got.
fn hooks(cluster: &mut Cluster) -> Vec<(String, Value)> {
    let ran = cluster.nodes[0].errands.asked.drain(..).filter_map(|errand| match errand {
        Errand::Hook(run) => {
            let body: Value = serde_json::from_str(&run.body).expect("it is JSON");
            assert_eq!(body["event"], run.event);
            Some((format!("{} of {}", run.name, run.event), body))
        }
        Errand::Post(_) => None,
    });
    ran.collect()
}

/// Alerts that it has sent since then: what they say.
fn posts(cluster: &mut Cluster) -> Vec<Value> {
    let sent = cluster.nodes[0].errands.asked.drain(..).filter_map(|errand| match errand {
        Errand::Post(post) => serde_json::from_slice(&post.body).ok(),
        Errand::Hook(_) => None,
    });
    sent.collect()
}

/// Names of hooks only.
fn names(ran: &[(String, Value)]) -> Vec<&str> {
    ran.iter().map(|(name, _)| name.as_str()).collect()
}

/// The words of the warnings in its log.
fn warnings(cluster: &mut Cluster) -> Vec<String> {
    let lines = cluster.ask(0, Call::Log { follow: false, after: None }, MINUTE).lines;
    let warned = lines.iter().filter(|line| line["level"] != "info");
    warned.map(|line| line["event"].as_str().unwrap_or_default().to_owned()).collect()
}

/// Sets a key.
fn set(cluster: &mut Cluster, key: &str, value: &str) {
    good(&cluster.ask(0, Call::ConfigSet { key: key.into(), value: value.into() }, MINUTE));
}

/// Changes a file and backs it up.
fn change(cluster: &mut Cluster, text: &str) {
    cluster.nodes[0].files.write(ROOT, b"changing", text.as_bytes());
    good(&back_up(cluster));
}

#[test]
fn a_backup_runs_its_hook_and_any_at_once_and_many_of_a_minute_together() {
    let mut cluster = household(80);
    cluster.run_until(MINUTE.times(3), |_| false);
    hooks(&mut cluster);
    cluster.nodes[0].errands.hooks = Some(HookEnd::Ended { code: 0, line: String::new() });
    for number in 0..5 {
        change(&mut cluster, &format!("content {number}"));
    }
    let ran = hooks(&mut cluster);
    assert_eq!(names(&ran), ["backup_done of backup_done", "any of backup_done"]);
    assert_eq!((&ran[0].1["folder"], &ran[0].1["device"]), (&"family".into(), &"node0".into()));
    assert!(ran[0].1["times"].is_null() && ran[0].1["time"].is_string());
    cluster.run_until(MINUTE.times(3), |_| false);
    let ran = hooks(&mut cluster);
    assert_eq!(names(&ran), ["backup_done of backup_done", "any of backup_done"]);
    assert_eq!(ran[0].1["times"], 4, "the other four are one");
    let log = cluster.ask(0, Call::Log { follow: false, after: None }, MINUTE).lines;
    assert!(log.iter().any(|line| line["message"] == "hook backup_done ended with exit code 0"));
}

#[test]
fn a_hook_that_fails_is_said_and_runs_none() {
    let mut cluster = household(81);
    cluster.run_until(MINUTE.times(3), |_| false);
    hooks(&mut cluster);
    cluster.nodes[0].errands.hooks = Some(HookEnd::Ended { code: 7, line: "no mail".into() });
    good(&cluster.ask(0, Call::Say { text: "hello".into() }, MINUTE));
    cluster.run_until(MINUTE.times(5), |_| false);
    assert_eq!(names(&hooks(&mut cluster)), ["note of note", "any of note"]);
    assert_eq!(warnings(&mut cluster), ["hook_failed", "hook_failed"]);
    let log = cluster.ask(0, Call::Log { follow: false, after: None }, MINUTE).lines;
    let failed = log.iter().find(|line| line["event"] == "hook_failed").expect("it is said");
    assert_eq!(failed["message"], "hook note failed with exit code 7: no mail");
}

#[test]
fn errors_are_posted_and_what_cannot_be_delivered_is_said_and_posted_no_more() {
    let mut cluster = household(82);
    set(&mut cluster, "alerts.url", "http://10.9.9.9/home");
    change(&mut cluster, "as it should be");
    cluster.run_until(MINUTE.times(3), |_| false);
    assert!(posts(&mut cluster).is_empty(), "what is as it should be is no alert");
    cluster.nodes[0].files.remove_root(ROOT);
    assert_eq!(refused(&back_up(&mut cluster)), "folder_missing");
    cluster.run_until(MINUTE.times(3), |_| false);
    let sent = posts(&mut cluster);
    assert_eq!(sent.len(), 1, "once, though the folder is looked for every minute: {sent:?}");
    assert_eq!((&sent[0]["event"], &sent[0]["subject"]), (&"backup_failed".into(), &"folder_missing".into()));

    // The other end is off: it is tried for half an hour, then said, and that is no alert.
    cluster.nodes[0].errands.posts = Some(PostEnd::Failed("nobody is there".into()));
    cluster.nodes[0].errands.hooks = Some(HookEnd::Refused("others may write to it".into()));
    good(&cluster.ask(0, Call::Say { text: "a hook is refused".into() }, MINUTE));
    cluster.run_until(MINUTE.times(120), |_| false);
    let sent = posts(&mut cluster);
    let attempts = usize::try_from(ALERT_ATTEMPTS_MAX).expect("few");
    for name in ["note", "any"] {
        let of_hook = sent.iter().filter(|alert| alert["subject"] == name);
        assert_eq!(of_hook.count(), attempts, "{name}: {sent:?}");
    }
    assert!(sent.iter().all(|alert| alert["event"] == "hook_failed"), "{sent:?}");
    let told = warnings(&mut cluster);
    let given_up = told.iter().filter(|word| *word == "alert_failed").count();
    assert_eq!(given_up * attempts, sent.len(), "{told:?}");
    set(&mut cluster, "alerts.url", "off");
    cluster.run_until(MINUTE.times(5), |_| false);
    assert!(posts(&mut cluster).is_empty());
}

#[test]
fn a_trial_says_what_works_and_what_does_not() {
    let mut cluster = household(83);
    cluster.run_until(MINUTE.times(3), |_| false);
    let trial = |cluster: &mut Cluster, event: Option<&str>| {
        cluster.ask(0, Call::TestAlert { event: event.map(str::to_owned) }, MINUTE)
    };
    assert_eq!(refused(&trial(&mut cluster, None)), "nothing_set_up");
    assert_eq!(refused(&trial(&mut cluster, Some("backup_dnoe"))), "no_event");
    cluster.nodes[0].errands.hooks = Some(HookEnd::Ended { code: 0, line: String::new() });
    set(&mut cluster, "alerts.url", "http://10.9.9.9/home");
    hooks(&mut cluster);
    let answer = trial(&mut cluster, Some("backup_failed"));
    good(&answer);
    assert_eq!(answer.lines.len(), 3, "{:?}", answer.lines);
    let ran = hooks(&mut cluster);
    assert_eq!(names(&ran), ["backup_failed of backup_failed", "any of backup_failed"]);
    assert_eq!(ran[0].1["test"], true);
    cluster.nodes[0].errands.posts = Some(PostEnd::Failed("nobody is there".into()));
    let answer = trial(&mut cluster, None);
    assert_eq!(refused(&answer), "alert_failed");
    assert!(answer.lines.iter().any(|line| line["result"] == "nobody is there"), "{:?}", answer.lines);
}

#[test]
fn while_the_hook_permit_says_no_nothing_is_backed_up_but_what_a_person_asks_for() {
    let mut cluster = household(84);
    cluster.run_until(MINUTE.times(3), |_| false);
    let says = |code, line: &str| Some(HookEnd::Ended { code, line: line.into() });
    cluster.nodes[0].errands.hooks = says(1, "on battery");
    set(&mut cluster, "hooks.permit", "5m");
    hooks(&mut cluster);
    let snapshots =
        |cluster: &mut Cluster| cluster.ask(0, Call::Snapshots { name: None }, MINUTE).lines.len();
    let before = snapshots(&mut cluster);
    cluster.nodes[0].files.write(ROOT, b"changing", b"on the train");
    cluster.run_until(MINUTE.times(90), |_| false);
    assert_eq!(snapshots(&mut cluster), before, "neither for the change nor at its hour");
    assert!(hooks(&mut cluster).iter().filter(|(name, _)| name == "permit of permit").count() >= 17);
    let told = cluster.ask(0, Call::Status, MINUTE).lines.remove(0);
    assert!(
        told["summary"].as_str().is_some_and(|text| text.starts_with("Holding still (on battery).")),
        "{told}"
    );
    assert!(told["attention"].to_string().contains("the hook permit says no: on battery"), "{told}");
    assert!(warnings(&mut cluster).is_empty(), "it is no fault");
    good(&back_up(&mut cluster));
    assert_eq!(snapshots(&mut cluster), before + 1, "what a person asks for is done");

    cluster.nodes[0].files.write(ROOT, b"changing", b"at home again");
    cluster.nodes[0].errands.hooks = says(0, "");
    cluster.run_until(MINUTE.times(70), |_| false);
    assert_eq!(snapshots(&mut cluster), before + 2, "at its hour");
    // A hook that is not there holds nothing up, and that is said once.
    cluster.nodes[0].errands.hooks = None;
    cluster.nodes[0].files.write(ROOT, b"changing", b"once more");
    cluster.run_until(MINUTE.times(70), |_| false);
    assert_eq!(snapshots(&mut cluster), before + 3);
    let log = cluster.ask(0, Call::Log { follow: false, after: None }, MINUTE).lines;
    let said: Vec<_> = log.iter().filter(|line| line["subject"] == "permit").collect();
    assert_eq!(said.len(), 1, "{said:?}");
    assert_eq!(said[0]["message"], "the hook permit is not there; this node works as if it said yes");
    let told = cluster.ask(0, Call::Status, MINUTE).lines.remove(0);
    assert!(
        told["attention"].to_string().contains("the hook permit cannot be asked: it is not there"),
        "{told}"
    );
    set(&mut cluster, "hooks.permit", "off");
    cluster.run_until(MINUTE, |_| false);
    let told = cluster.ask(0, Call::Status, MINUTE).lines.remove(0);
    assert!(!told["attention"].to_string().contains("permit"), "{told}");
    // Who is to be asked more often is asked at once.
    cluster.nodes[0].errands.hooks = says(0, "");
    set(&mut cluster, "hooks.permit", "1d");
    cluster.run_until(MINUTE, |_| false);
    hooks(&mut cluster);
    set(&mut cluster, "hooks.permit", "1h");
    cluster.run_until(MINUTE, |_| false);
    assert_eq!(names(&hooks(&mut cluster)), ["permit of permit"]);
}
