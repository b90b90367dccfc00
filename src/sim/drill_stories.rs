//! Restore drills among whole nodes: a healthy vault passes, a device without what it signed for is named, and what could not be
//! tried is neither.

use serde_json::Value;

use super::check::{household, text, MINUTE, ROOT};
use super::cluster::{Answer, Cluster};
use crate::node::api::Call;
use crate::node::ports::Ending;

/// A drill that a person makes.
fn drill(cluster: &mut Cluster) -> Answer {
    cluster.ask(0, Call::Drill { name: None }, MINUTE.times(30))
}

/// What the first node says of itself.
fn status(cluster: &mut Cluster) -> Value {
    cluster.ask(0, Call::Status, MINUTE).lines.remove(0)
}

/// More files, of all sizes.
fn fill_more(cluster: &mut Cluster) {
    for number in 0..40_usize {
        let content: Vec<u8> = format!("line {number} ").into_bytes().repeat(1 + number * number * 20);
        cluster.nodes[0].files.write(ROOT, format!("more/{number}").as_bytes(), &content);
    }
    let backup = Call::Backup { name: None, wait: true };
    assert_eq!(cluster.ask(0, backup, MINUTE.times(20)).end, Some(Ok(Ending::Complete)));
}

/// Lines of an answer of this kind.
fn lines<'a>(answer: &'a Answer, event: &str) -> Vec<&'a Value> {
    answer.lines.iter().filter(|line| line["event"] == event).collect()
}

#[test]
fn a_healthy_vault_passes_by_itself_every_week_and_says_so() {
    let mut cluster = household(1);
    fill_more(&mut cluster);
    assert!(status(&mut cluster)["drill"]["last"].is_null(), "no drill is not a good one");
    let answer = drill(&mut cluster);
    assert_eq!(answer.end, Some(Ok(Ending::Complete)), "{:?}", answer.lines);
    let restored = lines(&answer, "restored");
    assert!(restored.len() >= 20, "{} files", restored.len());
    let result = lines(&answer, "result")[0];
    assert_eq!((&result["problems"], &result["untested"]), (&Value::from(0), &Value::from(0)));
    assert_eq!(result["nodes"].as_array().map(Vec::len), Some(2), "both others are asked: {result}");
    let first = text(&status(&mut cluster)["drill"]["last"], "ended");
    cluster.crash(0);
    cluster.start(0);
    assert_eq!(text(&status(&mut cluster)["drill"]["last"], "ended"), first, "a restart forgets nothing");
    cluster.run_until(MINUTE.times(60 * 24 * 8), |_| false);
    let last = status(&mut cluster)["drill"]["last"].clone();
    assert_ne!(text(&last, "ended"), first, "a week later there was another one");
    assert_eq!(last["problems"], 0);
    let log = cluster.ask(0, Call::Log { follow: false, after: None }, MINUTE).lines;
    assert!(log.iter().any(|line| line["event"] == "drill_done"), "{log:?}");
}

#[test]
fn a_device_that_lost_what_it_signed_for_is_named_and_the_files_come_from_another() {
    let mut cluster = household(2);
    fill_more(&mut cluster);
    cluster.stop(2);
    let chunks = cluster.chunks_of(2);
    cluster.lose_chunks(2, &chunks);
    cluster.start(2);
    cluster.run_until(MINUTE.part(2), |_| false);
    let answer = drill(&mut cluster);
    assert!(matches!(&answer.end, Some(Err(error)) if error.code == "drill_failed"), "{:?}", answer.end);
    let problems = lines(&answer, "problem");
    assert!(!problems.is_empty() && problems.iter().all(|line| line["node"] == "node2"), "{problems:?}");
    assert!(!lines(&answer, "restored").is_empty(), "the other one has it all");
    let told = status(&mut cluster);
    let concern = &told["attention"][0];
    assert!(text(concern, "message").contains("node2"), "{}", told["attention"]);
    assert!(text(concern, "hint").contains("nuthatch drill"), "{concern}");
    assert_eq!(concern["severity"], "danger");
    assert!(!text(&told, "summary").starts_with("Everything"), "{}", told["summary"]);
    let log = cluster.ask(0, Call::Log { follow: false, after: None }, MINUTE).lines;
    assert!(log.iter().any(|line| line["event"] == "drill_failed"), "{log:?}");
    // What was lost is fetched again in the end, and a drill a day later says so.
    cluster.run_until(MINUTE.times(60 * 24 * 3), |_| false);
    let last = status(&mut cluster)["drill"]["last"].clone();
    assert_eq!(last["problems"], 0, "{last}");
}

#[test]
fn where_nobody_can_be_asked_a_drill_is_neither_good_nor_bad() {
    let mut cluster = household(3);
    cluster.crash(1);
    cluster.crash(2);
    cluster.run_until(MINUTE.times(5), |_| false);
    let answer = drill(&mut cluster);
    assert_eq!(answer.end, Some(Ok(Ending::Partial)), "{:?}", answer.lines);
    assert_eq!(lines(&answer, "result")[0]["done"], false);
    assert!(!lines(&answer, "untested").is_empty());
    assert!(status(&mut cluster)["drill"]["last"].is_null());
    cluster.start(1);
    cluster.run_until(MINUTE.times(5), |_| false);
    assert_eq!(drill(&mut cluster).end, Some(Ok(Ending::Complete)));
    let error = cluster.ask(0, Call::Drill { name: Some("famly".into()) }, MINUTE).end;
    assert!(matches!(error, Some(Err(error)) if error.code == "no_folder"));
}
