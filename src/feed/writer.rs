//! For tests: somebody who writes a feed, honestly or not. Signs whatever it is told to; keeps no bytes.

use super::entry::{author_of, hash, sign, Admit, Begin, Body, Entry, Head, Remove, Role, NO_ENTRY};
use crate::base::ids::{EntryHash, FeedId, NodeId};
use crate::base::units::WallTime;
use ed25519_dalek::SigningKey;

/// A node's (or the root's) key and the end of its feed.
#[derive(Debug, Clone)]
pub(crate) struct Writer {
    /// The signing key.
    pub key: SigningKey,
    /// The feed that is written now.
    pub feed: FeedId,
    /// How many entries it has.
    pub length: u64,
    /// The hash of the last.
    pub last: EntryHash,
}

impl Writer {
    /// The writer whose key is made of this number.
    pub fn new(number: u8) -> Self {
        let key = SigningKey::from_bytes(&[number; 32]);
        let feed = FeedId { node: author_of(key.verifying_key().as_bytes()), random: [0; 8] };
        Self { key, feed, length: 0, last: NO_ENTRY }
    }

    /// Its node id.
    pub fn node(&self) -> NodeId {
        self.feed.node
    }

    /// Its public signing key.
    pub fn public(&self) -> [u8; 32] {
        self.key.verifying_key().to_bytes()
    }

    /// How far its feed is.
    pub fn head(&self) -> Head {
        Head { feed: self.feed, length: self.length, hash: self.last }
    }

    /// Signs the next entry.
    pub fn write(&mut self, body: Body) -> Vec<u8> {
        let wall = WallTime::from_micros(i64::try_from(self.length).unwrap() * 1_000_000);
        let entry = Entry { feed: self.feed, sequence: self.length, previous: self.last, wall, body };
        let bytes = sign(&entry, &self.key).unwrap();
        self.length += 1;
        self.last = hash(&bytes);
        bytes
    }

    /// Admits another.
    pub fn admit(&mut self, other: &Self, role: Role) -> Vec<u8> {
        let (signing, mut channel) = (other.public(), other.public());
        channel[0] ^= 1;
        self.write(Body::Admit(Admit { signing, channel, role, name: "bird".into() }))
    }

    /// Removes a node, its feeds as far as these heads.
    pub fn remove(&mut self, node: NodeId, heads: Vec<Head>) -> Vec<u8> {
        self.write(Body::Remove(Remove { node, heads }))
    }

    /// Begins another feed that follows the present one.
    pub fn begin(&mut self, random: u8) -> Vec<u8> {
        let predecessor = Some(self.head());
        self.feed.random = [random; 8];
        (self.length, self.last) = (0, NO_ENTRY);
        self.write(Body::Begin(Begin { predecessor }))
    }
}
