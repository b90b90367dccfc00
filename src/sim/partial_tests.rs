//! What is true of a partial snapshot (`node/backup/partial.rs`) and of the backup behind it, over the bench of `sim/duties.rs`.

use std::collections::BTreeSet;

use super::backup_tests::{assert_restores, noise, varied};
use super::duties::{Bench, ROOT};
use crate::base::ids::ChunkId;
use crate::base::units::WallTime;
use crate::node::backup::{BackupError, BackupJob, Outcome, Parent, Partial, Taken};
use crate::node::ports::Ending;

/// A snapshot as the one before another.
fn parent(taken: &Taken) -> Parent {
    Parent { tree: taken.tree, manifest: taken.manifest, counts: taken.counts }
}

/// A job behind a partial snapshot.
fn behind(bench: &Bench, complete: Option<Parent>, taken: &Taken) -> BackupJob {
    let mut job = bench.job(complete);
    job.partial = Some(Partial { known: parent(taken), trusted_before: job.trusted_before });
    job
}

/// Runs until the partial snapshot with this number (from 0) was taken, then the power goes.
fn interrupted(bench: &mut Bench, job: BackupJob, number: usize) -> Option<Taken> {
    let mut seen = Vec::new();
    let ended = bench.run_in_parts(job, &mut |taken| {
        seen.push(taken.clone());
        seen.len() > number
    });
    ended.is_none().then(|| seen.pop().expect("one was taken"))
}

/// What an undisturbed backup of the same files makes.
fn undisturbed() -> (Bench, Parent) {
    let mut bench = Bench::new();
    varied(&mut bench);
    let (whole, _) = bench.changed(bench.job(None));
    (bench, whole)
}

#[test]
fn each_partial_snapshot_is_a_beginning_of_the_folder_that_its_manifest_lists() {
    let (mut whole, complete) = undisturbed();
    let (all, _) = whole.restore(&complete, b"", false).unwrap();
    let mut bench = Bench::new();
    varied(&mut bench);
    let mut seen: Vec<Taken> = Vec::new();
    let job = bench.job(None);
    let ended = bench.run_in_parts(job, &mut |taken| {
        seen.push(taken.clone());
        false
    });
    let Some(Ok(Outcome::Changed(last))) = ended else { panic!("it comes to its end: {ended:?}") };
    assert_eq!(last.tree, complete.tree, "partial snapshots leave no trace in the tree");
    let listed = whole.manifest(complete.manifest);
    assert_eq!(bench.manifest(last.manifest), listed, "nor in the manifest");
    assert!(seen.len() >= 10, "{} were taken", seen.len());
    let mut before = 0;
    for taken in &seen {
        let (stream, ending) = bench.restore(&parent(taken), b"", false).unwrap();
        assert_eq!(ending, Ending::Complete, "{:?}", stream.losses);
        assert_eq!(stream.order, all.order[..stream.order.len()], "it is a beginning");
        assert!(stream.order.len() >= before && !stream.order.is_empty(), "each goes further");
        before = stream.order.len();
        for path in &stream.order {
            assert!(stream.files[path].content == all.files[path].content, "{path:?} is what it is");
        }
        bench.asked.clear();
        bench.restore(&parent(taken), b"", false).unwrap();
        let asked: BTreeSet<ChunkId> = bench.asked.iter().copied().collect();
        assert!(bench.manifest(taken.manifest).is_superset(&asked), "the manifest lists all of it");
        assert!(taken.counts.files <= complete.counts.files);
    }
}

#[test]
fn whatever_moment_the_power_goes_the_next_backup_reads_and_stores_nothing_twice() {
    let (whole, complete) = undisturbed();
    let opens_of_all = whole.files.asked().opens;
    let listed = whole.manifest(complete.manifest);
    let mut moments = 0;
    for number in 0.. {
        let mut bench = Bench::new();
        varied(&mut bench);
        let job = bench.job(None);
        let Some(taken) = interrupted(&mut bench, job, number) else { break };
        moments += 1;
        let (stream, _) = bench.restore(&parent(&taken), b"", false).unwrap();
        let has = u64::try_from(stream.order.len()).unwrap();
        let opens = bench.files.asked().opens;
        let job = behind(&bench, None, &taken);
        let (next, _) = bench.changed(job);
        assert_eq!(bench.files.asked().opens - opens, opens_of_all - has, "only what it lacks is opened");
        assert_eq!(next.tree, complete.tree, "the tree is the one of an undisturbed backup");
        assert!(bench.manifest(next.manifest).is_superset(&listed));
        let content: u64 = listed.iter().map(|id| u64::try_from(whole.chunks[id].len()).unwrap()).sum();
        assert!(
            taken.counts.stored_bytes + next.counts.stored_bytes < content + content / 4,
            "after {number}"
        );
    }
    assert!(moments >= 10, "{moments} moments");
}

#[test]
fn behind_a_complete_snapshot_the_rest_is_known_from_that_one() {
    let mut bench = Bench::new();
    for number in 0..40_u64 {
        bench.files.write(ROOT, format!("f{number:02}").as_bytes(), &noise(number, 9_000));
    }
    let (complete, _) = bench.changed(bench.job(None));
    // Changes at the beginning and at the end; one goes in what the partial snapshot has, one in the rest.
    for number in [1_u64, 2, 3, 37] {
        bench.files.write(ROOT, format!("f{number:02}").as_bytes(), &noise(100 + number, 9_000));
    }
    bench.files.remove(ROOT, b"f00");
    bench.files.remove(ROOT, b"f38");
    let job = bench.job(Some(complete));
    let taken = interrupted(&mut bench, job, 2).expect("there are partial snapshots");
    let (stream, _) = bench.restore(&parent(&taken), b"", false).unwrap();
    assert!(stream.order.len() < 36 && !stream.files.contains_key(&b"f00"[..]), "{:?}", stream.order);
    assert!(
        bench.manifest(taken.manifest).is_superset(&bench.manifest(complete.manifest)),
        "the rest is listed"
    );
    let opens = bench.files.asked().opens;
    let job = behind(&bench, Some(complete), &taken);
    let (next, _) = bench.changed(job);
    assert!(bench.files.asked().opens - opens <= 4, "what is as before is opened in neither part");
    let (stream, ending) = bench.restore(&next, b"", false).unwrap();
    assert_eq!((ending, stream.order.len()), (Ending::Complete, 38));
    let (new, old) = (noise(103, 9_000), noise(20, 9_000));
    assert_restores(&mut bench, &next, b"", &[(b"f03", &new), (b"f20", &old)]);
    let (last, back) = (noise(137, 9_000), noise(39, 9_000));
    assert_restores(&mut bench, &next, b"", &[(b"f37", &last), (b"f39", &back)]);
}

#[test]
fn a_backup_behind_a_partial_snapshot_is_never_unchanged_and_takes_none_that_goes_less_far() {
    let mut bench = Bench::new();
    varied(&mut bench);
    let (complete, _) = bench.changed(bench.job(None));
    let whole = Taken {
        tree: complete.tree,
        manifest: complete.manifest,
        counts: complete.counts,
        report: Default::default(),
        marker: (0, 0),
        shared: None,
    };
    // The power went right before the end: the partial snapshot has everything, and is still none of the folder.
    let job = behind(&bench, Some(complete), &whole);
    let mut partial = 0;
    let ended = bench.run_in_parts(job, &mut |_| {
        partial += 1;
        false
    });
    assert!(matches!(ended, Some(Ok(Outcome::Changed(taken))) if taken.tree == complete.tree));
    assert!(partial <= 1, "{partial}: before the end of the one before, none is taken");
}

#[test]
fn what_changed_while_a_partial_snapshot_was_taken_is_read_again() {
    let mut bench = Bench::new();
    bench.files.write(ROOT, b"a", b"1");
    bench.files.write(ROOT, b"b", b"2");
    let job = bench.job(None);
    let taken = interrupted(&mut bench, job, 0).expect("there is one");
    let mut job = behind(&bench, None, &taken);
    // As if the interrupted backup had begun before the files were written: a change may hide behind an equal stat.
    job.partial = Some(Partial { known: parent(&taken), trusted_before: WallTime::from_micros(0) });
    let opens = bench.files.asked().opens;
    bench.changed(job);
    assert_eq!(bench.files.asked().opens - opens, 2);
}

#[test]
fn an_emptied_or_exchanged_root_is_no_deletion_behind_a_partial_snapshot_either() {
    let mut bench = Bench::new();
    varied(&mut bench);
    let job = bench.job(None);
    let taken = interrupted(&mut bench, job, 2).expect("there is one");
    let mut job = behind(&bench, None, &taken);
    job.marker = Some(taken.marker);
    bench.files.remove_root(ROOT);
    bench.files.make_root(ROOT);
    assert!(matches!(bench.run(job.clone()), Err(BackupError::RootChanged { .. })));
    job.marker = None;
    assert!(matches!(bench.run(job), Err(BackupError::RootEmptied { .. })));
}

#[test]
fn a_partial_snapshot_that_is_lost_costs_a_read_and_no_more() {
    let (_, complete) = undisturbed();
    let mut bench = Bench::new();
    varied(&mut bench);
    let job = bench.job(None);
    let taken = interrupted(&mut bench, job, 5).expect("there is one");
    for lost in [taken.tree, taken.manifest] {
        let mut copy = Bench::new();
        varied(&mut copy);
        copy.chunks = bench.chunks.clone();
        copy.chunks.remove(&lost);
        let job = behind(&copy, None, &taken);
        let (next, _) = copy.changed(job);
        assert_eq!(next.tree, complete.tree);
        let (_, ending) = copy.restore(&next, b"", false).unwrap();
        assert_eq!(ending, Ending::Complete);
    }
}
