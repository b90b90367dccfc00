//! Tests only: the store on simulated disks.
//!
//! Owns what the store cannot test by itself, for it knows no disk: crashes, rot, failures, full disks.

mod check;
mod compaction;
mod crash;
mod damage;
mod feeds;
mod full;
mod images;
mod promises;
mod runs;
mod scrub;
mod sets;
mod strangers;
mod tallies;
mod tester;
mod walks;
