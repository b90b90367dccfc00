//! What a core is started with.

use super::Core;
use crate::base::units::Span;
use crate::node::config::Config;

/// What a core is started with.
#[derive(Debug, Clone)]
pub struct Setup {
    /// `nuthatch.toml`, read.
    pub config: Config,
    /// Its text, so that changes keep the comments.
    pub config_text: String,
    /// The machine's name, where nothing better is said.
    pub host_name: String,
    /// Whether mDNS runs.
    pub discovery: bool,
    /// The fingerprint of the web page's certificate, if it has one.
    pub certificate: Option<String>,
    /// Entries of one feed after which this node begins another one.
    pub feed_entries: u64,
    /// What the store has lost since it was closed, in words.
    pub lost: Option<String>,
}

impl Core {
    /// From now on it keeps what was retired for so long, be it less than any configuration may say: simulated nodes have no months.
    pub fn keep_retired_for(&mut self, floor: Span) {
        self.setup.config.retired = floor;
    }
}
