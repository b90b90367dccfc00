//! Stories of nodes that meet and part: invitations and those who come with a code, nodes that are stopped, paths that are
//! away for a while.

use super::check::{add_folder, back_up, found, household, join, text, weather, MINUTE};
use super::cluster::{Answer, Cluster};
use super::feed_stories::{good, nodes, refused, short_folder};
use crate::base::units::Span;
use crate::feed::entry::Role;
use crate::node::api::Call;
use crate::node::ports::{CallId, Ending};

/// A vault of one node, reached at two addresses, and some that are in none yet.
fn founder(seed: u64, others: usize) -> Cluster {
    let mut cluster = Cluster::new(seed, others + 1, weather(0));
    found(&mut cluster);
    cluster.nodes[0].second_address = Some("10.0.1.1:7117".parse().expect("an address"));
    cluster
}

/// The first node invites and does not wait; the answer.
fn invite(cluster: &mut Cluster) -> Answer {
    let answer = cluster.ask(0, Call::Invite { role: Role::Full, wait: false }, MINUTE);
    good(&answer);
    answer
}

/// The code in an answer.
fn code_in(answer: &Answer) -> String {
    text(&answer.lines[0], "code")
}

/// Another code.
fn typo(code: &str) -> String {
    let last = if code.ends_with('0') { '1' } else { '0' };
    format!("{}{last}", &code[..code.len() - 1])
}

/// A node tries a code with the first one.
fn knock(cluster: &mut Cluster, number: usize, code: &str, name: Option<&str>) -> CallId {
    let (code, peer) = (code.to_owned(), Some(cluster.nodes[0].address));
    cluster.call(number, Call::Join { code, peer, name: name.map(str::to_owned), site: None })
}

/// A node looks for whoever invites, and tries a code there.
fn look(cluster: &mut Cluster, number: usize, code: &str) -> CallId {
    let id = cluster.call(number, Call::Join { code: code.to_owned(), peer: None, name: None, site: None });
    cluster.sight(number, 0);
    id
}

/// What a node has noted, as one text.
fn log(cluster: &mut Cluster, number: usize) -> String {
    let lines = cluster.ask(number, Call::Log { follow: false, after: None }, MINUTE).lines;
    serde_json::to_string(&lines).expect("JSON can be written")
}

/// Whether a node is connected to the one of this name.
fn is_connected(cluster: &mut Cluster, number: usize, name: &str) -> bool {
    let answer = cluster.ask(number, Call::Nodes, MINUTE);
    let list = answer.lines[0].as_array().expect("a list");
    list.iter().find(|node| node["name"] == name).expect("a member")["connected"] == true
}

/// The first sentence of a node's status, and all that needs attention.
fn status(cluster: &mut Cluster, number: usize) -> (String, String) {
    let answer = cluster.ask(number, Call::Status, MINUTE);
    (text(&answer.lines[0], "summary"), answer.lines[0]["attention"].to_string())
}

#[test]
fn of_three_nodes_that_come_with_one_code_at_once_one_is_let_in_and_the_others_hear_why_not() {
    for seed in 0..10 {
        let mut cluster = founder(seed, 3);
        let code = code_in(&invite(&mut cluster));
        let calls: Vec<CallId> = (1..=3).map(|number| knock(&mut cluster, number, &code, None)).collect();
        let mut inside = 0;
        for (number, id) in (1..).zip(calls) {
            let answer = cluster.finish(number, id, MINUTE);
            match answer.end {
                Some(Ok(Ending::Complete)) => inside += 1,
                Some(Err(error)) => {
                    assert_eq!(error.code, "invitation_closed", "seed {seed}");
                    assert!(error.message.contains("used"), "seed {seed}: {}", error.message);
                }
                other => panic!("seed {seed}: {other:?}"),
            }
        }
        assert_eq!((inside, nodes(&mut cluster, 0).len()), (1, 2), "seed {seed}");
        assert_eq!(log(&mut cluster, 0).matches("joins from").count(), 1, "seed {seed}");
    }
}

#[test]
fn a_slip_costs_one_try_though_the_inviter_is_found_at_two_addresses() {
    let mut cluster = founder(20, 6);
    let code = code_in(&invite(&mut cluster));
    for number in 1..=4 {
        let id = look(&mut cluster, number, &typo(&code));
        assert_eq!(refused(&cluster.finish(number, id, MINUTE)), "wrong_code");
    }
    let id = look(&mut cluster, 5, &code);
    good(&cluster.finish(5, id, MINUTE));
    assert_eq!(nodes(&mut cluster, 0).len(), 2);
    assert_eq!(log(&mut cluster, 0).matches("joins from").count(), 1);
}

#[test]
fn who_comes_when_an_invitation_was_tried_out_is_told_so_and_need_not_wait() {
    let mut cluster = founder(21, 7);
    let code = code_in(&invite(&mut cluster));
    for number in 1..=5 {
        let id = knock(&mut cluster, number, &typo(&code), None);
        assert_eq!(refused(&cluster.finish(number, id, MINUTE)), "wrong_code");
    }
    assert!(log(&mut cluster, 0).contains("too many wrong codes"));
    let id = look(&mut cluster, 6, &code);
    let answer = cluster.finish(6, id, Span::from_secs(5));
    assert_eq!(refused(&answer), "invitation_closed");
    assert!(format!("{:?}", answer.end).contains("too many wrong codes"), "{:?}", answer.end);
    // After the invitation's time the node does not announce that it invites.
    let announced = |cluster: &Cluster| cluster.nodes[0].announced.clone().map(|said| said.state);
    assert_eq!(announced(&cluster), Some(crate::peer::discovery::State::Inviting));
    cluster.run_until(MINUTE.times(11), |_| false);
    assert_eq!(announced(&cluster), Some(crate::peer::discovery::State::Member));
}

#[test]
fn a_second_invitation_takes_the_place_of_the_first_and_says_so() {
    let mut cluster = founder(22, 2);
    let first = cluster.call(0, Call::Invite { role: Role::Full, wait: true });
    assert!(cluster.run_until(MINUTE, |cluster| !cluster.answer(0, first).lines.is_empty()));
    let old = code_in(cluster.answer(0, first));
    assert_eq!(cluster.answer(0, first).lines[0]["replaces"], false);
    let second = invite(&mut cluster);
    assert_eq!(second.lines[0]["replaces"], true);
    let ended = cluster.finish(0, first, MINUTE);
    assert_eq!(refused(&ended), "invitation_closed");
    assert!(format!("{:?}", ended.end).contains("took its place"), "{:?}", ended.end);
    let id = knock(&mut cluster, 1, &old, None);
    assert_eq!(refused(&cluster.finish(1, id, MINUTE)), "wrong_code");
    let id = knock(&mut cluster, 1, &code_in(&second), None);
    good(&cluster.finish(1, id, MINUTE));
}

#[test]
fn two_nodes_of_one_name_are_told_apart() {
    let mut cluster = founder(23, 2);
    for number in 1..=2 {
        let code = code_in(&invite(&mut cluster));
        let id = knock(&mut cluster, number, &code, Some("pi"));
        let answer = cluster.finish(number, id, MINUTE);
        good(&answer);
        let name = text(answer.lines.last().expect("it is told"), "name");
        assert_eq!(name, ["pi", "pi-2"][number - 1]);
    }
    // Also when they have described themselves.
    cluster.run_until(MINUTE, |_| false);
    for number in 0..3 {
        assert_eq!(nodes(&mut cluster, number), ["node0", "pi", "pi-2"]);
    }
}

#[test]
fn a_node_that_is_stopped_is_not_taken_for_connected() {
    let mut cluster = household(24);
    cluster.run_until(MINUTE, |_| false);
    assert!(is_connected(&mut cluster, 0, "node1") && is_connected(&mut cluster, 2, "node1"));
    cluster.stop(1);
    cluster.run_until(Span::from_millis(100), |_| false);
    assert!(!is_connected(&mut cluster, 0, "node1") && !is_connected(&mut cluster, 2, "node1"));
    assert!(log(&mut cluster, 0).contains("lost node1: it has stopped"));
    cluster.start(1);
    cluster.run_until(Span::from_secs(5), |_| false);
    assert!(is_connected(&mut cluster, 0, "node1") && is_connected(&mut cluster, 2, "node1"));
}

#[test]
fn a_path_that_was_away_for_long_is_used_again_within_seconds() {
    let mut cluster = household(25);
    for outage in [150, 200, 247, 300, 391, 1_000] {
        cluster.cut(&[1]);
        cluster.run_until(Span::from_secs(outage), |_| false);
        assert!(!is_connected(&mut cluster, 0, "node1"), "{outage} s");
        cluster.cut(&[]);
        cluster.run_until(Span::from_secs(12), |_| false);
        assert!(is_connected(&mut cluster, 0, "node1"), "{outage} s");
    }
    // Whoever is away for good costs little: five datagrams a minute to each of its addresses.
    cluster.stop(1);
    cluster.stop(2);
    cluster.run_until(MINUTE.times(120), |_| false);
    let before = cluster.net.sent_bytes();
    cluster.run_until(MINUTE.times(60), |_| false);
    let hour = cluster.net.sent_bytes() - before;
    assert!(hour < 400_000, "{hour} bytes in an hour");
}

#[test]
fn a_folder_that_was_removed_is_not_nagged_about() {
    let mut cluster = Cluster::new(26, 2, weather(0));
    found(&mut cluster);
    join(&mut cluster, 1, Role::Full);
    super::check::fill(&mut cluster, 3);
    add_folder(&mut cluster);
    back_up(&mut cluster);
    let (summary, attention) = status(&mut cluster, 0);
    assert_eq!(summary, "Partly protected: family (2 of 3).");
    assert!(attention.contains("family is partly protected"), "{attention}");
    good(&cluster.ask(0, Call::FolderRemove { name: "family".into() }, MINUTE));
    assert_eq!(status(&mut cluster, 0), ("No folder is backed up on this vault yet.".into(), "[]".into()));
    good(&cluster.ask(0, short_folder("second"), MINUTE));
    good(&cluster.ask(0, Call::Backup { name: Some("second".into()), wait: true }, MINUTE.times(5)));
    let (summary, attention) = status(&mut cluster, 0);
    assert!(summary.starts_with("Everything is protected: 2 copies in "), "{summary}");
    assert!(summary.ends_with(", newest less than a minute ago."), "{summary}");
    assert_eq!(attention, "[]");
    assert_eq!(status(&mut cluster, 1).0, summary);
}

#[test]
fn a_node_says_where_it_is_and_what_it_gives_in_words_that_programs_understand() {
    let mut cluster = household(27);
    let answer = cluster.ask(0, Call::Nodes, MINUTE);
    for node in answer.lines[0].as_array().expect("a list") {
        assert!(node["address"].is_string() && node["version"].is_string(), "{node}");
        assert!(
            node["capacity_bytes"].as_u64() > Some(1 << 39) && node["full"] == false,
            "about its disk: {node}"
        );
    }
}
