//! Tests: what the store answers, and when: only what was asked for, and only once it is synced.

use super::crash::{chunk, Tester};
use super::damage::filled;
use crate::sim::disk::Fault;
use crate::store::disk::Disk;
use crate::store::segment::{segment_name, Frame};
use crate::store::service::{Request, StoreError};

#[test]
fn what_was_put_under_the_name_of_another_chunk_is_not_given_out() {
    let (_, mut tester) = filled(0..3);
    let ((id, _), (_, bytes)) = (chunk(7), chunk(8));
    tester.ask(Request::Put { op: 0, id, bytes });
    tester.ask(Request::Flush { op: 0 });
    assert_eq!(tester.get(7), Err(StoreError::Damaged { id }));
    assert_eq!(tester.get(7), Ok(None));
}

#[test]
fn a_chunk_that_is_put_again_before_its_sync_is_not_acknowledged_either() {
    let (_, mut tester) = filled(0..3);
    let (id, bytes) = chunk(9);
    for op in [100, 101] {
        tester.ask(Request::Put { op, id, bytes: bytes.clone() });
        assert!(!tester.acknowledged.contains(&op), "{op}");
    }
    tester.ask(Request::Flush { op: 0 });
    assert!(tester.acknowledged.contains(&100) && tester.acknowledged.contains(&101));
}

#[test]
fn a_tail_that_cannot_be_read_once_is_not_cut() {
    for call in 0..120 {
        let (disk, tester) = filled(0..5);
        drop(tester);
        // The last mark was lost in a crash: what was acknowledged stands behind the one before.
        let last = disk.list("segments").unwrap().len() - 1;
        let name = segment_name(u32::try_from(last).unwrap());
        disk.set_len(&name, disk.len(&name).unwrap() - Frame::mark().total()).unwrap();
        disk.fail_after(call, Fault::Io);
        drop(Tester::open(&disk));
        disk.heal();
        let mut tester = Tester::open(&disk).unwrap();
        for number in 0..5 {
            assert_eq!(tester.get(number), Ok(Some(chunk(number).1)), "call {call}");
        }
    }
}
