//! Stories of charts: what goes through a node is seen, in its own run and the next.

use serde_json::Value;

use super::check::{household, MINUTE, ROOT};
use super::cluster::Cluster;
use super::feed_stories::good;
use crate::node::api::Call;

/// What a node tells of its day.
fn day(cluster: &mut Cluster, number: usize) -> Value {
    let answer = cluster.ask(number, Call::Charts, MINUTE);
    good(&answer);
    let day = answer.lines[0]["day"].clone();
    assert_eq!(day["sent_bytes"].as_array().map(Vec::len), Some(288));
    assert_eq!(answer.lines[0]["month"]["saved_bytes"].as_array().map(Vec::len), Some(372));
    day
}

/// All that is known of one kind.
fn sum(day: &Value, kind: &str) -> u64 {
    day[kind].as_array().into_iter().flatten().filter_map(Value::as_u64).sum()
}

#[test]
fn a_backup_is_seen_in_the_charts_of_who_makes_it_and_who_holds_it_also_after_a_restart() {
    let mut cluster = household(70);
    cluster.run_until(MINUTE.times(30), |_| false);
    cluster.nodes[0].files.write(ROOT, b"twice", &vec![7; 3_000_000]);
    good(&cluster.ask(0, Call::Backup { name: None, wait: true }, MINUTE.times(10)));
    let (made, held) = (day(&mut cluster, 0), day(&mut cluster, 1));
    assert!(sum(&made, "saved_bytes") > 2_500_000, "sevens are small: {made}");
    assert!(sum(&held, "stored_bytes") > 0 && sum(&held, "saved_bytes") == 0, "{held}");
    assert!(sum(&made, "sent_bytes") >= sum(&held, "stored_bytes"), "what one holds the other has sent");
    assert!(sum(&held, "received_bytes") >= sum(&held, "stored_bytes"));
    cluster.stop(1);
    cluster.run_until(MINUTE.times(60), |_| false);
    cluster.start(1);
    cluster.run_until(MINUTE, |_| false);
    let after = day(&mut cluster, 1);
    assert_eq!(sum(&after, "stored_bytes"), sum(&held, "stored_bytes"));
    let shown = after["sent_bytes"].as_array().cloned().unwrap_or_default();
    let known = shown.iter().skip_while(|bytes| bytes.is_null());
    let off = known.filter(|bytes| bytes.is_null()).count();
    assert!((11..=12).contains(&off), "an hour of which nothing is known: {off} steps");
}
