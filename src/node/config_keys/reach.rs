//! Who may set a key, and from when on a change counts.

use super::Key;

impl Key {
    /// Whether it is changed on the machine only, not over the network: whoever sets it decides which programs the node runs.
    #[must_use]
    pub fn is_local_only(&self) -> bool {
        self.name == "hooks.dir"
    }

    /// Whether a change counts from the next start on only.
    #[must_use]
    pub fn is_for_next_start(&self) -> bool {
        matches!(self.name, "network.listen" | "peers.sessions" | "log.level")
            || matches!(self.section(), "mdns" | "web")
    }
}

#[cfg(test)]
mod tests {
    use crate::node::config_keys::{key_named, KEYS};

    #[test]
    fn what_decides_which_programs_run_is_set_on_the_machine_only() {
        let local: Vec<&str> = KEYS.iter().filter(|key| key.is_local_only()).map(|key| key.name).collect();
        assert_eq!(local, ["hooks.dir"]);
        assert!(key_named("web.listen").unwrap().is_for_next_start());
        assert!(!key_named("backup.watch").unwrap().is_for_next_start());
    }
}
