//! Notes to the household: who gets them, when, and who never does.

use serde_json::Value;

use super::check::{found, join, weather, MINUTE};
use super::cluster::Cluster;
use super::feed_stories::{good, refused};
use crate::feed::entry::Role;
use crate::node::api::Call;

/// Three full nodes and a store node.
fn vault(seed: u64) -> Cluster {
    let mut cluster = Cluster::new(seed, 4, weather(seed));
    found(&mut cluster);
    for (number, role) in [(1, Role::Full), (2, Role::Full), (3, Role::Store)] {
        join(&mut cluster, number, role);
    }
    cluster
}

/// A node says something.
fn say(cluster: &mut Cluster, number: usize, text: &str) {
    good(&cluster.ask(number, Call::Say { text: text.into() }, MINUTE));
}

/// The log of a node, as lines.
fn log(cluster: &mut Cluster, number: usize) -> Vec<Value> {
    cluster.ask(number, Call::Log { follow: false, after: None }, MINUTE).lines
}

/// Who said what, as a node's log has it.
fn notes(cluster: &mut Cluster, number: usize) -> Vec<String> {
    of_notes(&log(cluster, number))
}

/// The notes among lines of a log.
fn of_notes(lines: &[Value]) -> Vec<String> {
    let word = |line: &Value, key: &str| line[key].as_str().unwrap_or_default().to_owned();
    let notes = lines.iter().filter(|line| line["event"] == "note");
    notes.map(|line| format!("{}: {}", word(line, "node"), word(line, "message"))).collect()
}

#[test]
fn a_note_reaches_all_full_nodes_also_who_was_off_and_who_joins_later_and_no_store_node_reads_it() {
    let mut cluster = vault(70);
    let following = cluster.call(1, Call::Log { follow: true, after: None });
    cluster.stop(2);
    say(&mut cluster, 0, "milk \u{1b}[2J is out\n");
    let milk = "node0: milk \u{1b}[2J is out";
    assert_eq!(notes(&mut cluster, 0), [milk], "who wrote it sees it, too");
    assert!(cluster.run_until(MINUTE, |cluster| { of_notes(&cluster.answer(1, following).lines) == [milk] }));

    // Who comes back hears it from whoever is there; who wrote it may be gone.
    cluster.crash(0);
    cluster.start(2);
    assert!(cluster.run_until(MINUTE.times(3), |cluster| cluster.is_running(2)));
    cluster.run_until(MINUTE, |_| false);
    assert_eq!(notes(&mut cluster, 2), [milk]);
    say(&mut cluster, 1, "bread, too");
    cluster.run_until(MINUTE, |_| false);
    assert_eq!(notes(&mut cluster, 2), [milk, "node1: bread, too"]);

    // They stand in the feeds: a restart loses none, and tells none twice.
    cluster.crash(2);
    cluster.start(2);
    cluster.start(0);
    cluster.run_until(MINUTE, |_| false);
    for number in 0..3 {
        assert_eq!(notes(&mut cluster, number), [milk, "node1: bread, too"], "node {number}");
    }
    let late = cluster.add_node();
    join(&mut cluster, late, Role::Full);
    cluster.run_until(MINUTE, |_| false);
    assert_eq!(notes(&mut cluster, late).len(), 2, "{:?}", notes(&mut cluster, late));

    // A store node carries them, says that it cannot read them, and writes none.
    let told = log(&mut cluster, 3);
    let (shown, hint) =
        (Value::from(told.clone()).to_string(), "wrote a note, which only full nodes can read");
    assert!(!shown.contains("milk") && !shown.contains("bread"), "{shown}");
    assert_eq!(told.iter().filter(|line| line["message"].to_string().contains(hint)).count(), 2, "{shown}");
    assert_eq!(refused(&cluster.ask(3, Call::Say { text: "me".into() }, MINUTE)), "not_full");
}

#[test]
fn what_is_no_note_is_refused_and_leaves_no_trace() {
    let mut cluster = vault(71);
    for (text, code) in [("\n", "empty_note"), (&*"long ".repeat(500), "note_too_long")] {
        assert_eq!(refused(&cluster.ask(0, Call::Say { text: text.into() }, MINUTE)), code);
    }
    cluster.run_until(MINUTE, |_| false);
    assert!(notes(&mut cluster, 0).is_empty() && notes(&mut cluster, 1).is_empty());
}

#[test]
fn after_many_notes_the_newest_are_in_the_log_once_each() {
    let mut cluster = vault(72);
    let count = crate::base::limits::NOTES_MAX + 20;
    for number in 0..count {
        say(&mut cluster, number % 3, &format!("number {number}"));
    }
    cluster.run_until(MINUTE, |_| false);
    assert_eq!(notes(&mut cluster, 1).len(), count, "all of them have happened in this run");
    cluster.crash(1);
    cluster.start(1);
    cluster.run_until(MINUTE, |_| false);
    let kept = notes(&mut cluster, 1);
    assert_eq!(kept.len(), crate::base::limits::NOTES_MAX);
    assert!(kept.last().is_some_and(|last| last.ends_with(&format!("number {}", count - 1))), "{kept:?}");
    assert!(kept[0].ends_with("number 20"), "{}", kept[0]);
}
