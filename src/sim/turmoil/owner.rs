//! The owner's node is lost, and the household goes on with its folder as a person would.

use super::{Health, Turmoil};
use crate::node::api::Call;
use crate::node::ports::Ending;
use crate::sim::check::{attaching, text, MINUTE};

impl Turmoil {
    /// The owner's node is gone for good, but not the disk with the files: a new node comes back from the words and goes on with them.
    pub(super) fn burn_the_owner(&mut self) {
        if self.hurt() + 1 >= usize::from(self.copies) || self.health[self.owner] != Health::Sound {
            return;
        }
        let before = self.owner;
        self.note(format!("node {before}, the owner's, burns"));
        self.cluster.crash(before);
        self.health[before] = Health::Burnt;
        self.running = None;
        self.calm_down();
        let number = self.cluster.add_node();
        self.health.push(Health::Sound);
        let peer = Some(self.cluster.nodes[1].address);
        let mut adopted = false;
        for attempt in 0..5 {
            let (phrase, replace) = (self.words.clone(), Some(format!("node{before}")));
            let call = Call::Recover { phrase, peer, replace, name: None, site: None };
            let answer = self.cluster.ask(number, call, MINUTE.times(20));
            if answer.end == Some(Ok(Ending::Complete)) {
                adopted = answer.lines.iter().any(|line| line["adopted"] == serde_json::json!(["family"]));
                break;
            }
            if attempt == 4 {
                self.fail(&format!("the owner does not come back from the words: {:?}", answer.end));
            }
            self.cluster.run_until(MINUTE, |_| false);
        }
        self.cluster.nodes[number].files = std::mem::take(&mut self.cluster.nodes[before].files);
        self.owner = number;
        self.note(format!("node {number} goes on with its folder"));
        if !adopted {
            self.take_over_from_the_one_before();
        }
        self.edit();
        self.begin_backup();
    }

    /// The lost node had taken the folder over itself, and was lost before anybody had heard of that: in the others' eyes it is
    /// still that of the one before, whose place is taken as well; or, where they have heard that this one was removed, the folder alone.
    fn take_over_from_the_one_before(&mut self) {
        let folder = self.status(self.owner)["folders"][0].clone();
        self.learn_ids();
        let writer = text(&folder, "writer");
        let number = self.ids.iter().find(|(id, _)| id.hex() == writer).map(|(_, number)| *number);
        let Some(number) = number.filter(|number| self.health[*number] == Health::Burnt) else { return };
        let call = if folder["left_behind"] == true {
            attaching()
        } else {
            let (phrase, replace) = (self.words.clone(), Some(format!("node{number}")));
            Call::Recover { phrase, peer: None, replace, name: None, site: None }
        };
        let mut end = None;
        for _ in 0..5 {
            end = self.order(call.clone());
            if end == Some(Ok(Ending::Complete)) {
                return self.note(format!("the folder is taken over from node {number}, whose it was still"));
            }
            self.cluster.run_until(MINUTE, |_| false);
        }
        self.fail(&format!("the folder of node {number} cannot be taken over: {end:?}"));
    }
}
