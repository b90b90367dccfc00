//! Five real processes, each in a network namespace of its own, in two sites: one is cut off, one is lost, the writer is lost and comes
//! back from the words, one is added, one is removed. After each step everything can be restored and what is said is true.
//!
//! Needs root and `ip`; where there is neither it says so and passes.

mod household;
mod namespaces;

use household::{snapshot_of, wait_for, write_noise, Node};
use namespaces::Network;
use serde_json::Value;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The household: its network goes after its nodes.
struct Household {
    /// Those that run, by name.
    nodes: Vec<(&'static str, Node)>,
    /// What the owner keeps.
    root: PathBuf,
    /// Restores so far: each has a directory of its own.
    restores: usize,
    /// Where the owner's files are, and what is restored.
    dir: tempfile::TempDir,
    /// The cables.
    network: Network,
}

impl Household {
    /// A node that belongs to no vault yet.
    fn empty_node(&mut self) -> Node {
        let (namespace, address) = self.network.plug_in();
        let mut node = Node::within(namespace, address);
        // Whoever is gone is missed within half a minute.
        node.configure("[peers]\nkeepalive = \"10s\"\n");
        node.start();
        node
    }

    /// A node that joins by an invitation of another one; it is told where that is, or finds it by mDNS.
    fn join(&mut self, (by, role): (&str, &str), name: &'static str, site: &str, is_told: bool) {
        let node = self.empty_node();
        let inviter = self.node(by);
        let invitation = inviter.json(&["invite", "--role", role, "--no-wait"]);
        let code = invitation[0]["code"].as_str().expect("an invitation has a code");
        let address = inviter.address.to_string();
        let mut words = vec!["join", code, "--name", name, "--site", site];
        if is_told {
            words.extend(["--peer", &address]);
        }
        node.ok(&words);
        self.nodes.push((name, node));
    }

    /// A node that runs.
    fn node(&self, name: &str) -> &Node {
        let found = self.nodes.iter().find(|(other, _)| *other == name);
        &found.unwrap_or_else(|| panic!("{name} runs")).1
    }

    /// A node is killed, and its home is deleted.
    fn burn(&mut self, name: &str) {
        let place = self.nodes.iter().position(|(other, _)| *other == name).expect("it runs");
        let (_, mut node) = self.nodes.remove(place);
        node.kill();
        std::fs::remove_dir_all(node.home()).expect("a home can be deleted");
    }

    /// What a node says of itself and the others.
    fn status(&self, name: &str) -> Value {
        self.node(name).json(&["status"]).remove(0)
    }

    /// Waits until a node is connected with just these.
    fn wait_for_peers(&self, name: &str, others: &[&str]) {
        let wanted: BTreeSet<String> = others.iter().map(|other| (*other).to_owned()).collect();
        wait_for(&format!("{name} is connected with {others:?}"), || {
            let status = self.status(name);
            let peers = status["peers"].as_array().expect("peers are listed");
            peers.iter().map(|peer| text(peer, "name")).collect::<BTreeSet<_>>() == wanted
        });
    }

    /// Waits until these say that the folder has three copies in two places, and that no fire takes anything.
    fn wait_protected(&self, readers: &[&str]) {
        for name in readers {
            let mut last = Value::Null;
            let mut is_good = || {
                last = self.status(name);
                let folder = &last["folders"][0];
                folder["state"] == "protected"
                    && (&folder["protected"]["have"], &folder["protected"]["sites"]) == (&3.into(), &2.into())
                    && last["losses"].as_array().is_some_and(Vec::is_empty)
                    && last["summary"]
                        .as_str()
                        .is_some_and(|said| said.starts_with("Everything is protected: 3 copies in 2 places"))
            };
            wait_for(&format!("{name} says that all is protected"), &mut is_good);
        }
    }

    /// The newest snapshot of the folder, as a node knows it.
    fn newest(&self, name: &str) -> String {
        text(&self.status(name)["folders"][0], "last_snapshot")
    }

    /// The owner changes something: one file anew, one other, one gone.
    fn edit(&self, number: u64) {
        write_noise(&self.root.join(format!("new{number}/photo")), 1_500_000, number);
        std::fs::write(self.root.join("note"), format!("edited {number} times"))
            .expect("a file can be written");
        if number > 1 {
            std::fs::remove_file(self.root.join(format!("new{}/photo", number - 1))).expect("it is there");
        }
    }

    /// Backs up, not waiting for copies; the snapshot.
    fn back_up(&self, name: &str) -> String {
        let before = self.newest(name);
        self.node(name).ok(&["backup", "docs"]);
        let after = self.newest(name);
        assert_ne!(before, after, "something was changed");
        after
    }

    /// These restore all that the owner has, and it is what it is; those have on their disks what they said they have.
    fn assert_whole(&mut self, readers: &[&str], keepers: &[&str]) {
        let expected = snapshot_of(&self.root);
        for name in readers {
            self.restores += 1;
            let target = self.dir.path().join(format!("back{}", self.restores));
            self.node(name).ok(&["restore", "docs", "--to", path(&target)]);
            assert!(snapshot_of(&target) == expected, "{name} restores something else");
            std::fs::remove_dir_all(&target).expect("what was restored can be deleted");
        }
        for name in keepers {
            let told = self.node(name).json(&["verify", "--all"]);
            let last = told.last().expect("verify tells a result");
            assert_eq!((&last["damaged"], &last["missing"]), (&0.into(), &0.into()), "{name}: {told:?}");
        }
    }
}

/// A text of a JSON object.
fn text(value: &Value, key: &str) -> String {
    value[key].as_str().unwrap_or_else(|| panic!("{key} is a text in {value}")).to_owned()
}

/// A path as text.
fn path(path: &Path) -> &str {
    path.to_str().expect("a plain path")
}

/// The sources and pages of this very repository, and some megabytes that do not compress.
fn fill(root: &Path) {
    std::fs::create_dir(root).expect("a directory can be made");
    for name in ["src", "docs"] {
        let from = Path::new(env!("CARGO_MANIFEST_DIR")).join(name);
        let done = Command::new("cp").arg("-a").arg(from).arg(root).status().expect("there is cp");
        assert!(done.success());
    }
    for number in 0..4 {
        write_noise(&root.join(format!("photos/{number}")), 1_300_000, 100 + number);
    }
}

/// Why the lab cannot be here.
fn hindrance() -> Option<String> {
    let id = Command::new("id").arg("-u").output().ok()?;
    (id.stdout != b"0\n").then(|| "it needs root".to_owned())
}

/// Five nodes in two sites and what they keep: node one writes, two can read as well, the others are storage.
fn five() -> Option<(Household, String)> {
    let network = match hindrance().map_or_else(Network::new, Err) {
        Ok(network) => network,
        Err(reason) => {
            println!("the lab of network namespaces is skipped: {reason}");
            return None;
        }
    };
    let dir = tempfile::tempdir().expect("a temporary directory");
    let root = dir.path().join("docs");
    fill(&root);
    let mut house = Household { nodes: Vec::new(), root, restores: 0, dir, network };
    let first = house.empty_node();
    let words = first.json(&["init", "--name", "one", "--site", "home"])[0]["recovery_phrase"].clone();
    house.nodes.push(("one", first));
    house.join(("one", "full"), "two", "home", false);
    house.join(("one", "store"), "three", "home", true);
    house.join(("one", "store"), "four", "parents", false);
    house.join(("one", "store"), "five", "parents", true);
    let root = path(&house.root).to_owned();
    house.node("one").ok(&["folder", "add", "docs", &root, "--copies", "3"]);
    Some((house, words.as_str().expect("init tells the words").to_owned()))
}

#[test]
fn five_nodes_in_two_places_are_cut_off_lost_recovered_added_and_removed_and_nothing_is_lost() {
    let Some((mut house, words)) = five() else { return };
    house.wait_for_peers("one", &["two", "three", "four", "five"]);
    house.wait_for_peers("five", &["one", "two", "three", "four"]);
    house.node("one").ok(&["backup", "docs", "--wait"]);
    house.wait_protected(&["one", "two"]);
    house.assert_whole(&["one", "two"], &["one", "two", "three", "four", "five"]);
    println!("five nodes hold a tree");

    cut_off(&mut house);
    println!("one was cut off, and is back");

    house.burn("three");
    house.assert_whole(&["one", "two"], &["one", "two", "four", "five"]);
    house.node("one").ok(&["remove", "three", "--yes"]);
    house.edit(2);
    house.back_up("one");
    house.wait_protected(&["one", "two"]);
    house.wait_for_peers("four", &["one", "two", "five"]);
    house.assert_whole(&["two"], &["one", "two", "four", "five"]);
    println!("a store node was lost and removed");

    recover(&mut house, &words);
    println!("the writer was lost, and another node goes on with its folder");

    house.join(("six", "full"), "seven", "home", false);
    house.edit(3);
    house.back_up("six");
    house.wait_protected(&["six", "two", "seven"]);
    house.assert_whole(&["seven", "two"], &["two", "four", "five", "six", "seven"]);
    println!("a node was added");

    let seen = house.newest("two");
    house.node("six").ok(&["remove", "two", "--yes"]);
    house.wait_for_peers("two", &[]);
    house.edit(4);
    let hidden = house.back_up("six");
    house.wait_protected(&["six", "seven"]);
    house.wait_for_peers("six", &["four", "five", "seven"]);
    house.assert_whole(&["six", "seven"], &["four", "five", "six", "seven"]);
    let told: Vec<String> =
        house.node("two").json(&["snapshots", "docs"]).iter().map(|line| text(line, "snapshot")).collect();
    assert!(
        told.contains(&seen) && !told.contains(&hidden),
        "a removed node learns of nothing new: {told:?}"
    );
    println!("a full node was removed");
}

/// A node at the parents' is cut off while the owner changes something and backs up; then its cable is plugged in again.
fn cut_off(house: &mut Household) {
    let before = house.newest("one");
    house.network.set_cable(house.node("four").address, false);
    house.edit(1);
    let after = house.back_up("one");
    house.wait_for_peers("one", &["two", "three", "five"]);
    house.wait_for_peers("four", &[]);
    let status = house.status("one");
    let folder = &status["folders"][0];
    assert_eq!(
        folder["state"], "partly_protected",
        "some groups are to be at the parents' and only there: {folder}"
    );
    assert_eq!(status["summary"], "Partly protected: docs (2 of 3).");
    // The parents' other node has not all of it: if the home burns, it is the snapshot before that is left.
    let home = status["losses"].as_array().and_then(|fires| fires.iter().find(|fire| fire["site"] == "home"));
    let folders =
        &home.unwrap_or_else(|| panic!("a fire at home takes something: {}", status["losses"]))["folders"];
    assert_eq!(
        (&folders[0]["newest"], &folders[0]["left"]),
        (&after.as_str().into(), &before.as_str().into())
    );
    house.assert_whole(&["one", "two"], &["one", "two", "three", "four", "five"]);
    assert_eq!(house.status("four")["members"], 5, "whoever is cut off goes on knowing the others");
    house.network.set_cable(house.node("four").address, true);
    house.wait_protected(&["one", "two"]);
    house.wait_for_peers("four", &["one", "two", "three", "five"]);
    house.assert_whole(&["two"], &["four"]);
}

/// The writer's node is lost with all that it has; a new one comes back from the words and goes on with its folder.
fn recover(house: &mut Household, words: &str) {
    house.burn("one");
    house.assert_whole(&["two"], &["two", "four", "five"]);
    let node = house.empty_node();
    let file = house.dir.path().join("words");
    std::fs::write(&file, words).expect("the words can be written");
    let peer = house.node("five").address.to_string();
    node.ok(&[
        "recover",
        "--phrase-file",
        path(&file),
        "--peer",
        &peer,
        "--replace",
        "one",
        "--name",
        "six",
        "--site",
        "home",
    ]);
    house.nodes.push(("six", node));
    house.wait_for_peers("six", &["two", "four", "five"]);
    house.assert_whole(&["six", "two"], &["two", "four", "five", "six"]);
}
