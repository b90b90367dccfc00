//! Where members were met last: the first places to look for them after a restart.
//!
//! Owns what is remembered and saved. Only members are: a list of whoever came by would grow for ever, and is written whole.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use super::after::AfterSave;
use super::core::Core;
use crate::base::ids::NodeId;

/// The setting that remembers it.
const SEEN_KEY: &str = "seen";

/// By member, its address.
#[derive(Debug, Default)]
pub struct Seen(BTreeMap<NodeId, SocketAddr>);

impl Seen {
    /// What was remembered.
    pub fn load(&mut self, settings: &BTreeMap<String, Vec<u8>>) {
        let bytes = settings.get(SEEN_KEY).map_or(&[][..], Vec::as_slice);
        if let Ok((seen, [])) = postcard::take_from_bytes::<Vec<(NodeId, SocketAddr)>>(bytes) {
            self.0 = seen.into_iter().collect();
        }
    }

    /// Where a member was met last.
    pub(super) fn at(&self, node: &NodeId) -> Option<&SocketAddr> {
        self.0.get(node)
    }

    /// The setting that keeps it.
    fn setting(&self) -> (String, Option<Vec<u8>>) {
        let seen: Vec<(NodeId, SocketAddr)> =
            self.0.iter().map(|(node, address)| (*node, *address)).collect();
        (SEEN_KEY.to_owned(), postcard::to_stdvec(&seen).ok())
    }
}

impl Core {
    /// A member was met at `address`. Nothing is written if that is where it was last time.
    pub(super) fn remember_seen(&mut self, node: NodeId, address: SocketAddr) {
        let Some(member) = &self.member else { return };
        if self.reach.seen.0.insert(node, address) == Some(address) {
            return;
        }
        let roster = member.view.roster();
        self.reach.seen.0.retain(|other, _| *other == node || roster.member(other).is_some());
        let settings = vec![self.reach.seen.setting()];
        self.save(settings, AfterSave::Nothing);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_saved_is_remembered_and_what_is_none_is_not() {
        let (node, address) = (NodeId::from_bytes([3; 32]), "10.0.0.1:7117".parse().unwrap());
        let mut seen = Seen::default();
        seen.0.insert(node, address);
        let (key, value) = seen.setting();
        let mut settings = BTreeMap::from([(key.clone(), value.unwrap())]);
        let mut again = Seen::default();
        again.load(&settings);
        assert_eq!((again.at(&node), again.0.len()), (Some(&address), 1));
        settings.insert(key, vec![7, 7]);
        again.load(&settings);
        assert_eq!(again.at(&node), Some(&address), "what cannot be read changes nothing");
    }
}
