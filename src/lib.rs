//! # The house
//! nuthatch keeps a household's files safe on its own machines. This is the map; `docs/DESIGN.md` is the contract, and why.
//!
//! ## A file's journey
//! ```text
//!  a file on disk
//!     |  io/walk      lists directories, reads blocks            (the file thread)
//!  node/backup        compares with the last snapshot; asks for what changed
//!     |  file/cut     finds where the stream of bytes is cut
//!     |  seal/sealed  compresses, pads, seals; the id is SHA-256 of what comes out
//!     |  file/map     collects path -> entry, and the set of ids (tree and manifest)
//!  store/service      appends to a segment, syncs in groups       (the storage thread)
//!     |  feed/entry   a signed Snapshot entry says: this tree, this manifest
//!  peer/table         carries feeds and chunks to other nodes     (Noise over UDP, io/udp)
//!     |  node/keep    a holder fetches what the manifest lists, syncs, signs a Receipt
//!  replicate/ledger   counts receipts: protected, or not yet
//! ```
//! And back: `node/restore` walks a tree, takes chunks from the store or, where they are missing, from holders
//! (`replicate/fetch`), opens them and streams files to the command line, which writes them.
//! ## Floors, as `tests/tidy.rs` holds them
//! | floor | modules | may use |
//! |---|---|---|
//! | 0 | [`base`] | nothing |
//! | 1 | [`mod@file`], [`seal`], [`wire`], [`feed`] | floor 0 and their own directory; pure |
//! | 2 | [`store`], [`peer`], [`replicate`] | floors 0-1 and their own directory; no clock, file, socket or entropy |
//! | 3 | [`node`] | floors 0-2; the same |
//! | 4 | [`face`], [`io`] | all below; `face` may use `io` |
//! | - | [`sim`] | floors 0-3: many nodes, one seed, virtual time |

pub mod base {
    //! Floor 0: words that everyone shares.
    pub mod derived;
    pub mod gather;
    pub mod ids;
    pub mod limits;
    pub mod ranges;
    pub mod units;
    pub mod version;
}

pub mod file {
    //! Floor 1: file <-> chunks. Pure.
    pub mod applied;
    pub mod attributes;
    pub mod cut;
    pub mod entry;
    pub mod field;
    pub mod ignore;
    pub mod inline;
    pub mod map;
    pub mod merge;
    pub mod piece;
    pub mod retain;
    pub mod tree;
}

pub mod seal {
    //! Floor 1: chunk <-> sealed chunk. Pure.
    pub mod cipher;
    pub mod derive;
    pub mod keys;
    pub mod layout;
    pub mod phrase;
    pub mod sealed;
    pub mod wrap;
}

pub mod wire {
    //! Floor 1: datagram <-> packet <-> frame <-> message. Pure.
    #![doc = include_str!("wire/PROTOCOL.md")]
    pub mod frame;
    pub mod message;
    pub mod packet;
    pub mod writer;
}

pub mod feed {
    //! Floor 1: signed entries <-> what the vault agrees on. Pure.
    pub mod body;
    pub mod chain;
    pub mod entry;
    pub mod epochs;
    pub mod erase;
    pub mod error;
    pub mod facts;
    pub mod groups;
    pub mod key;
    pub mod leave;
    pub mod mark;
    pub mod member;
    mod receipts;
    pub mod roster;
    mod standing;
    #[cfg(test)]
    mod tests;
    pub mod text;
    pub mod view;
    #[cfg(test)]
    pub(crate) mod writer;
}

pub mod store {
    //! Floor 2: sealed chunk <-> disk. Synchronous; all input and output goes through [`disk::Disk`].
    #![doc = include_str!("store/FORMAT.md")]
    pub mod check;
    pub mod chunks;
    mod compact;
    pub mod delta;
    pub mod disk;
    mod dropping;
    pub mod error;
    pub mod feeds;
    pub mod figures;
    pub mod index;
    mod index_build;
    mod index_merge;
    pub mod log;
    pub mod log_open;
    pub mod merge;
    pub mod meter;
    pub mod overlay;
    mod reading;
    pub mod removed;
    pub mod request;
    pub mod run;
    pub mod run_cursor;
    pub mod run_writer;
    pub mod runs;
    mod scrub;
    pub mod segment;
    pub mod service;
    pub mod sets;
    mod soundness;
    mod tallies;
    pub mod usage;
    pub mod walk;
}

pub mod peer {
    //! Floor 2: datagrams <-> peers. State machines without input or output of their own.
    pub mod answers;
    pub mod bbr;
    pub mod bucket;
    pub mod cipher;
    pub mod congestion;
    pub mod cookie;
    pub mod desk;
    pub mod discovery;
    pub mod event;
    pub mod gate;
    pub mod generations;
    pub mod handshake;
    pub mod invite;
    pub mod join;
    pub mod joins;
    pub mod knocks;
    pub mod lasting;
    pub mod ledbat;
    pub mod life;
    pub mod links;
    pub mod loss;
    pub mod mtu;
    pub mod opened;
    pub mod opening;
    pub mod pacing;
    pub mod pages;
    pub mod pairing;
    pub mod pool;
    pub mod ranges;
    pub mod rate;
    pub mod reasons;
    pub mod received;
    pub mod recv;
    pub mod send;
    pub mod session;
    pub mod table;
    pub mod timers;
    pub mod withdrawn;
}

pub mod replicate {
    //! Floor 2: which nodes hold which chunks.
    pub mod audit;
    pub mod fetch;
    pub mod leave;
    pub mod ledger;
    pub mod mesh;
    pub mod place;
    #[cfg(test)]
    mod place_tests;
    pub mod push;
    pub mod reconcile;
    pub mod score;
    pub mod share;
    pub mod stand_in;
    pub mod weigh;
}

pub mod node {
    //! Floor 3: all machines as one value.
    pub mod absence;
    pub mod activity;
    mod admit;
    pub mod after;
    pub mod answering;
    pub mod api;
    mod apply_file;
    mod apply_pass;
    pub mod around;
    mod auditing;
    pub mod backup;
    pub mod bandwidth;
    pub mod boot;
    mod build;
    pub mod calls;
    pub mod challenge;
    pub mod changes;
    pub mod collect;
    mod common;
    mod compacting;
    mod compare;
    pub mod config;
    pub mod config_keys;
    pub mod confirm;
    mod content;
    pub mod core;
    pub mod daily;
    pub mod drafts;
    pub mod drill;
    mod duties;
    pub mod duty;
    pub mod edit;
    pub mod edit_pass;
    mod editing;
    pub mod enter;
    mod erase;
    mod erasing;
    pub mod events;
    pub mod finding;
    mod folder_add;
    mod folder_set;
    pub mod folders;
    #[cfg(test)]
    pub mod forge;
    mod former;
    pub mod frames;
    pub mod gossip;
    pub mod guard;
    pub mod healing;
    pub mod hearing;
    pub mod history;
    pub mod holding;
    mod join;
    mod joining;
    pub mod keep;
    pub mod keyring;
    pub mod known;
    mod leaving;
    pub mod linking;
    pub mod list;
    pub mod listed;
    mod lookup;
    mod losses;
    pub mod manifest;
    pub mod marking;
    pub mod member;
    mod merge_pass;
    pub mod merging;
    mod moving;
    pub mod names;
    mod offer;
    mod order;
    mod outbox;
    pub mod outcome;
    mod partials;
    mod parts;
    pub mod pausing;
    mod peer_feeds;
    mod pending;
    pub mod placing;
    pub mod ports;
    pub mod proving;
    mod pushing;
    pub mod put;
    mod queue;
    pub mod reach;
    mod reader;
    pub mod reconcile;
    mod reconciling;
    mod recover;
    mod removal;
    pub mod restore;
    pub mod retire;
    pub mod room;
    mod root;
    mod said;
    mod scan;
    mod scanned;
    mod scrubbing;
    pub mod seeking;
    pub mod seen;
    mod share;
    pub mod share_scan;
    mod sighting;
    pub mod silence;
    mod sink;
    mod snapshots;
    pub mod source;
    pub mod status;
    mod stream;
    mod surplus;
    mod tell;
    mod turns;
    mod unfinished;
    mod unpublished;
    pub mod upkeep;
    pub mod upload;
    pub mod verify;
    mod versions;
    mod wanting;
    pub mod watching;
    mod writer;
}

pub mod face {
    //! Floor 4: person <-> node.
    pub mod act;
    pub mod appliance;
    pub mod bar;
    pub mod bench;
    pub mod bodies;
    pub mod cli;
    pub mod compare;
    pub mod demo;
    pub mod erase;
    pub mod exit;
    pub mod files;
    pub mod folder;
    pub mod hold;
    pub mod job;
    pub mod link;
    pub mod losses;
    pub mod options;
    pub mod out;
    pub mod place;
    pub mod report;
    pub mod restore;
    pub mod routes;
    pub mod secret;
    pub mod serve;
    pub mod settings;
    pub mod show;
    pub mod store;
    pub mod upkeep;
    pub mod vault;
    pub mod versions;
    pub mod web;
}

pub mod io {
    //! Floor 4: the only place with sockets, files, clocks and entropy. Decides nothing.
    pub mod alone;
    pub mod attributes;
    pub mod beneath;
    pub mod calls;
    pub mod client;
    pub mod disk;
    pub mod drive;
    pub mod extents;
    pub mod facts;
    pub mod home;
    pub mod http;
    pub mod known;
    pub mod levels;
    pub mod links;
    pub mod list;
    pub mod mdns;
    pub mod metadata;
    pub mod names;
    pub mod os;
    pub mod outward;
    pub mod place;
    pub mod post;
    pub mod put;
    pub mod restored;
    pub mod run;
    pub mod scope;
    pub mod socket;
    pub mod splitter;
    pub mod target;
    pub mod tcp;
    pub mod threads;
    pub mod udp;
    pub mod unpack;
    pub mod walk;
    pub mod watch;
    pub mod wear;
}

pub mod sim;
