//! Stories of shares that take hours: others have their turn meanwhile.

use rand_core::RngCore;

use super::check::{add_folder, found, join, weather, MINUTE, ROOT};
use super::cluster::Cluster;
use super::collect_stories::hours;
use super::feed_stories::folder_in;
use crate::feed::entry::Role;
use crate::node::api::Call;
use crate::node::ports::Ending;

/// How many copies there are of a folder's newest snapshot, as its writer says.
fn copies(cluster: &mut Cluster, number: usize, folder: &str) -> u64 {
    let lines = cluster.ask(number, Call::Snapshots { name: Some(folder.into()) }, MINUTE).lines;
    lines.last().and_then(|line| line["protected"]["have"].as_u64()).expect("it is told")
}

/// Three full nodes. The first has made two backups that take more than half an hour to each of the others, over its slow line.
fn household(seed: u64) -> Cluster {
    let mut cluster = Cluster::new(seed, 3, weather(0));
    found(&mut cluster);
    (1..3).for_each(|number| join(&mut cluster, number, Role::Full));
    add_folder(&mut cluster);
    let address = cluster.nodes[0].address;
    cluster.net.uplinks.insert(address, 16_000);
    for name in [b"large", b"other"] {
        let mut content = vec![0; 20 << 20];
        cluster.rng.fill_bytes(&mut content);
        cluster.nodes[0].files.write(ROOT, name, &content);
        let answer = cluster.ask(0, Call::Backup { name: None, wait: false }, MINUTE.times(10));
        assert_eq!(answer.end, Some(Ok(Ending::Complete)), "{:?}", answer.lines);
        cluster.run_until(MINUTE.times(2), |_| false);
    }
    cluster
}

#[test]
fn a_first_backup_over_a_slow_line_does_not_keep_others_waiting_for_it() {
    let mut cluster = household(121);
    assert_eq!(cluster.ask(1, folder_in("desk", 3), MINUTE).end, Some(Ok(Ending::Complete)));
    for day in 0..10_u8 {
        cluster.nodes[1].files.write(ROOT, b"diary", &[day; 30_000]);
        let answer = cluster.ask(1, Call::Backup { name: Some("desk".into()), wait: false }, MINUTE);
        assert_eq!(answer.end, Some(Ok(Ending::Complete)), "{:?}", answer.lines);
        cluster.run_until(MINUTE.times(2), |_| false);
        assert_eq!(copies(&mut cluster, 1, "desk"), 3, "those who have all of it have signed");
    }
    assert_eq!(copies(&mut cluster, 0, "family"), 1, "the large one is still on its way");
    hours(&mut cluster, 2);
    assert_eq!(copies(&mut cluster, 0, "family"), 3);
    let bytes = cluster.net.sent_bytes();
    assert!(bytes < (40 << 20) * 5 / 2, "{bytes} bytes for two copies of 40 MiB");
}
