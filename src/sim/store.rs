//! Tests only: the store on simulated disks.
//!
//! Owns what the store cannot test by itself, for it knows no disk: crashes, rot, failures, full disks.

mod check;
mod crash;
mod damage;
mod feeds;
mod promises;
mod runs;
mod sets;
mod tester;
mod walks;
