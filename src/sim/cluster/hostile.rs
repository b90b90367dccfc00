//! Tests only: a member gone bad, who says what no node of ours would, and a disk that loses what nobody told it to.

use std::sync::Arc;

use super::Cluster;
use crate::base::ids::{ChunkId, NodeId};
use crate::node::ports::Input;
use crate::store::disk::Disk;
use crate::store::service::{Reply, Request, Service, StoreOptions};
use crate::wire::message::Message;

impl Cluster {
    /// A node says this to another one, whatever its program would say.
    pub(in crate::sim) fn say(&mut self, number: usize, to: &NodeId, message: &Message) {
        let moment = self.moment(number);
        if let Some(running) = &mut self.nodes[number].running {
            running.core.say_anything(moment, to, message);
        }
        self.give(number, Input::Tick);
    }

    /// A node claims what it has not got, or is honest again.
    pub(in crate::sim) fn claim_falsely(&mut self, number: usize, lies: bool) {
        if let Some(running) = &mut self.nodes[number].running {
            running.core.claim_falsely(lies);
        }
    }

    /// Does something to the store of a node that is off.
    fn with_store(&mut self, number: usize, act: impl FnOnce(&mut Service)) {
        assert!(!self.is_running(number));
        let disk: Arc<dyn Disk> = Arc::clone(&self.nodes[number].disk) as Arc<dyn Disk>;
        // What is appended begins a segment of its own.
        let options = StoreOptions { reserve_bytes: 0, segment_bytes_max: 1, ..StoreOptions::default() };
        let (mut service, _) = Service::open(disk, options).expect("the store opens");
        act(&mut service);
        service.close();
    }

    /// The chunks on the disk of a node that is off.
    pub(in crate::sim) fn chunks_of(&mut self, number: usize) -> Vec<ChunkId> {
        let mut ids: Vec<ChunkId> = Vec::new();
        self.with_store(number, |service| loop {
            let mut replies = Vec::new();
            let after = ids.last().copied();
            service.execute(Request::Scan { op: 1, after, limit: 1_000, read: false }, &mut replies);
            let Some(Reply::Scan { found, more, .. }) = replies.pop() else { panic!("a scan is answered") };
            ids.extend(found.into_iter().map(|(id, _)| id));
            if !more {
                break;
            }
        });
        ids
    }

    /// These chunks go from the disk of a node that is off.
    pub(in crate::sim) fn lose_chunks(&mut self, number: usize, ids: &[ChunkId]) {
        self.with_store(number, |service| {
            let mut replies = Vec::new();
            for ids in ids.chunks(1_000) {
                service.execute(Request::Drop { op: 1, ids: ids.to_vec() }, &mut replies);
            }
            service.flush(&mut replies);
        });
    }

    /// A chunk comes onto the disk of a node that is off.
    pub(in crate::sim) fn put_chunk(&mut self, number: usize, id: ChunkId, bytes: Vec<u8>) {
        self.with_store(number, |service| {
            let mut replies = Vec::new();
            service.execute(Request::Put { op: 1, id, bytes }, &mut replies);
            service.flush(&mut replies);
        });
    }
}
