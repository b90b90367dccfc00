//! A vault of any number of nodes, made without a single invitation: the root admits the first node, which has admitted all
//! others; each entry is signed once. A node's disk has its secrets, its keys and its Admit chain, as after joining, and
//! nothing else; the first one's has the Admit entries too.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, LazyLock};

use rand_chacha::ChaCha20Rng;
use rand_core::{RngCore, SeedableRng};

use super::{address_of, open, Crowd, Person, WALL};
use crate::base::ids::FeedId;
use crate::base::units::{Time, WallTime};
use crate::feed::entry::{sign, Admit, Body, Role};
use crate::node::config::Config;
use crate::node::enter::member_settings;
use crate::node::member::{Keys, Membership};
use crate::seal::keys::{NodeSecret, RootSecret};
use crate::sim::cluster::die;
use crate::sim::disk::SimDisk;
use crate::sim::files::FakeFiles;
use crate::sim::net::{Net, Weather};
use crate::store::service::Request;

impl Crowd {
    /// A vault of `count` nodes that are off, each of which may have so many sessions. The first `full` ones are full nodes.
    #[must_use]
    pub fn forge(seed: u64, count: usize, full: usize, sessions: usize, weather: Weather) -> Self {
        let mut rng = ChaCha20Rng::seed_from_u64(seed);
        let mut draw = || {
            let mut bytes = [0; 32];
            rng.fill_bytes(&mut bytes);
            bytes
        };
        let (root, wall) = (RootSecret::from_bytes(draw()), WallTime::from_micros(WALL));
        let secrets: Vec<NodeSecret> = (0..count).map(|_| NodeSecret::from_seed(draw())).collect();
        let role = |number: usize| if number < full.max(1) { Role::Full } else { Role::Store };
        let admit = |number: usize| {
            let secret = &secrets[number];
            let (signing, channel) = (secret.signing_public(), secret.channel_public());
            Body::Admit(Admit { signing, channel, role: role(number), name: format!("node{number}") })
        };
        let keys = |number: usize| match role(number) {
            Role::Full => Keys::Full(root.full_keys()),
            Role::Store => Keys::Store(root.full_keys().store_keys()),
        };
        let first = FeedId { node: secrets[0].node_id(), random: [1; 8] };
        let mut founder = Membership::new(
            NodeSecret::decode(&secrets[0].encode()).expect("it was encoded"),
            keys(0),
            first,
        );
        let root_feed = FeedId { node: founder.view.roster().root(), random: [0; 8] };
        let entry = founder.view.next_entry(&root_feed, wall, admit(0));
        let anchor = sign(&entry, &root.signing_key()).expect("an Admit is short");
        founder.view.apply(&anchor).expect("the root may admit");
        let admits: Vec<Vec<u8>> = (1..count)
            .map(|number| founder.append(wall, admit(number)).expect("a full node may admit").1)
            .collect();
        let mut crowd = Self {
            rng,
            now: Time::ZERO,
            nodes: Vec::new(),
            net: Net::new(weather),
            places: BTreeMap::new(),
            due: BTreeSet::new(),
            call_count: 0,
        };
        for (number, secret) in secrets.into_iter().enumerate() {
            let node = secret.node_id();
            let own = FeedId { node, random: [1; 8] };
            let chain: Vec<Vec<u8>> =
                std::iter::once(&anchor).chain(admits.get(number.wrapping_sub(1))).cloned().collect();
            let settings = member_settings(&Membership::new(secret, keys(number), own), &chain);
            let entries = if number == 0 {
                vec![(root_feed, vec![anchor.clone()]), (first, admits.clone())]
            } else {
                Vec::new()
            };
            let mut config = Config::parse("").expect("an empty configuration is the default");
            config.sessions = sessions;
            let address = address_of(number, 0);
            crowd.places.insert(address, number);
            crowd.nodes.push(Person {
                node,
                address,
                config,
                disk: Arc::new(furnished(settings, entries)),
                files: FakeFiles::default(),
                running: None,
                due: None,
                sent_bytes: 0,
                received_bytes: 0,
                stray_count: BTreeMap::new(),
                answers: BTreeMap::new(),
            });
        }
        crowd
    }
}

/// The disk of a node that was started once: to make its database costs more than all else that is done to it here.
static EMPTY: LazyLock<SimDisk> = LazyLock::new(|| {
    let disk = Arc::new(SimDisk::new(1 << 40));
    let _ = open(&disk).close();
    disk.bare_copy()
});

/// A disk with these settings and entries on it.
fn furnished(settings: Vec<(String, Option<Vec<u8>>)>, feeds: Vec<(FeedId, Vec<Vec<u8>>)>) -> SimDisk {
    let disk = Arc::new(EMPTY.bare_copy());
    let mut service = open(&disk);
    let mut replies = Vec::new();
    let mut settings = Some(settings);
    for (feed, entries) in feeds {
        let settings = settings.take().unwrap_or_default();
        service.execute(Request::Append { op: 1, feed, sequence: 0, entries, settings }, &mut replies);
    }
    if let Some(settings) = settings {
        service.execute(Request::Save { op: 1, settings }, &mut replies);
    }
    service.flush(&mut replies);
    // As after a power cut that lost nothing.
    let furnished = disk.bare_copy();
    die(service, &disk);
    furnished
}
