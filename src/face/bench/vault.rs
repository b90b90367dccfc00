//! The vault of `nuthatch bench`: its keys are made from a text that everybody can read here, so that two processes need
//! no invitation to measure the real handshake and the real session.
//!
//! Protects nothing, and nothing is at stake: whoever measures sends noise that the other side counts and drops. No real
//! node is in this vault, for a real root secret is random, and a node opens its door only to the vault that it is in.

use crate::base::ids::{EntryHash, FeedId, NodeId};
use crate::base::units::WallTime;
use crate::feed::entry::{decode, hash, sign, Admit, Body, Entry, Role};
use crate::feed::roster::Roster;
use crate::peer::event::{Door, Identity};
use crate::peer::table::Endpoint;
use crate::seal::keys::{NodeSecret, RootSecret};
use sha2::{Digest, Sha256};

/// The text that all keys are made from.
const TEXT: &str = "nuthatch bench: not a secret, and no real vault";

/// The two members.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Who {
    /// Whoever counts.
    Server,
    /// Whoever sends.
    Sender,
}

impl Who {
    /// Its name in the vault.
    const fn name(self) -> &'static str {
        match self {
            Self::Server => "server",
            Self::Sender => "sender",
        }
    }

    /// Its secret.
    fn secret(self) -> NodeSecret {
        NodeSecret::from_seed(derived(self.name()))
    }

    /// Its id.
    #[must_use]
    pub fn node(self) -> NodeId {
        self.secret().node_id()
    }
}

/// An endpoint that is `who`, and knows the other one. All randomness of its sessions comes from `seed`.
#[must_use]
pub fn endpoint(seed: [u8; 32], who: Who) -> Endpoint {
    let root = RootSecret::from_bytes(derived("root"));
    let mut roster = Roster::new(root.root_public());
    let feed = FeedId { node: roster.root(), random: [0; 8] };
    let mut previous = EntryHash::from_bytes([0; 32]);
    for (sequence, member) in (0..).zip([Who::Server, Who::Sender]) {
        let secret = member.secret();
        let (signing, channel) = (secret.signing_public(), secret.channel_public());
        let name = member.name().to_owned();
        let body = Body::Admit(Admit { signing, channel, role: Role::Store, name });
        let entry = Entry { feed, sequence, previous, wall: WallTime::from_micros(0), body };
        let bytes = sign(&entry, &root.signing_key()).expect("an Admit with a short name is valid");
        debug_assert_eq!(decode(&bytes).as_ref(), Ok(&entry));
        roster.add(&bytes, &entry);
        previous = hash(&bytes);
    }
    let secret = who.secret();
    let mut endpoint = Endpoint::new(seed);
    let door = *root.full_keys().door.as_bytes();
    endpoint.open(
        Identity { node: who.node(), channel_secret: *secret.channel_secret() },
        Door { vault: root.vault(), secret: door, root_public: root.root_public() },
    );
    let chain = roster.admit_chain(&who.node());
    endpoint.set_roster(roster, chain);
    endpoint
}

/// 32 bytes that belong to a name.
fn derived(name: &str) -> [u8; 32] {
    Sha256::new().chain_update(TEXT).chain_update([0]).chain_update(name).finalize().into()
}
