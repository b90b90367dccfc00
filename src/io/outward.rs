//! Errands of the core: hooks that are run, alerts that are sent. Each tells its end as [`Word::Errand`].

use std::path::{Path, PathBuf};

use smol::channel::{bounded, Receiver, Sender};

use super::threads::Word;
use crate::base::limits::ALERTS_WAITING_MAX;
use crate::node::events::alerts::Post;
use crate::node::events::errands::Errand;

pub mod alerts;
pub mod hooks;

/// Where errands go.
#[derive(Debug)]
pub struct Errands {
    /// The node's home.
    home: PathBuf,
    /// For what comes of them.
    words: Sender<Word>,
    /// To who sends alerts.
    posts: Sender<Post>,
}

impl Errands {
    /// For a node with this home; whoever gets the other end sends alerts ([`alerts::deliver`]).
    #[must_use]
    pub fn new(home: &Path, words: Sender<Word>) -> (Self, Receiver<Post>) {
        let (posts, sent) = bounded(ALERTS_WAITING_MAX);
        (Self { home: home.to_path_buf(), words, posts }, sent)
    }

    /// Does an errand, elsewhere.
    pub fn run(&self, errand: Errand) {
        match errand {
            Errand::Hook(run) => hooks::start(&self.home, run, &self.words),
            // The core has one on its way at a time.
            Errand::Post(post) => drop(self.posts.try_send(post)),
        }
    }
}
