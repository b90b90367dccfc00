//! The two threads beside the main one: storage and files. Each does one request at a time, in order.
//!
//! Their queues are as long as what the core has under way, which its own bounds hold. The storage thread also keeps
//! the time of a group sync ([`GROUP_DELAY_MAX`]): a put waits no longer than that for its sync.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::Arc;
use std::thread::{Builder, JoinHandle};

use smol::channel::Sender;

use super::disk::FileDisk;
use super::home::{replace_file, CONFIG_NAME};
use super::os::{duration, Clock, Pulse};
use super::walk::FileService;
use super::watch::Watches;
use crate::base::limits::{FILE_REST, GROUP_DELAY_MAX};
use crate::base::units::Time;
use crate::node::events::errands::ErrandEnd;
use crate::node::ports::{FileReply, FileRequest, Notice, WatchOrder};
use crate::store::service::{OpenReport, Reply, Request, Service, StoreError, StoreOptions};

/// What the threads tell the main one.
#[derive(Debug)]
pub enum Word {
    /// The storage thread answers.
    Store(Reply),
    /// The file thread answers.
    File(FileReply),
    /// It tells of the watches over a folder.
    Notice(Notice),
    /// What came of a hook or an alert.
    Errand(ErrandEnd),
    /// A thread ended though nobody asked it to.
    Died(&'static str),
}

/// Why a thread does not run.
#[derive(Debug)]
pub enum ThreadError {
    /// The system gave none.
    Spawn(std::io::Error),
    /// The store could not be opened.
    Store(StoreError),
    /// It ended by itself.
    Died(&'static str),
}

impl fmt::Display for ThreadError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Spawn(error) => write!(formatter, "the system gave no thread: {error}; close other programs"),
            Self::Store(error) => error.fmt(formatter),
            Self::Died(name) => write!(
                formatter,
                "the {name} thread failed, so the node stops; nothing acknowledged is lost, start it again with nuthatch run"
            ),
        }
    }
}

impl std::error::Error for ThreadError {}

/// Tells the main thread when a thread ends before it is asked to: by a panic, which unwinds through this.
struct Obituary {
    /// The thread's name.
    name: &'static str,
    /// To the main thread.
    words: Sender<Word>,
    /// It ends as it should.
    expected: bool,
}

impl Drop for Obituary {
    fn drop(&mut self) {
        if !self.expected {
            let _ = self.words.try_send(Word::Died(self.name));
        }
    }
}

/// A thread that takes requests.
#[derive(Debug)]
pub struct Worker<R> {
    /// Its name.
    name: &'static str,
    /// To it; dropped to end it.
    requests: mpsc::Sender<R>,
    /// To wait for its end.
    thread: JoinHandle<()>,
    /// Whether it turns.
    pulse: Pulse,
}

impl<R: Send + 'static> Worker<R> {
    /// Starts a thread that does `work` until its requests end, and shows in `pulse` that it does.
    fn start(
        name: &'static str,
        words: Sender<Word>,
        pulse: Pulse,
        work: impl FnOnce(mpsc::Receiver<R>, &Sender<Word>) + Send + 'static,
    ) -> Result<Self, ThreadError> {
        let (requests, asked) = mpsc::channel();
        let thread = Builder::new()
            .name(format!("nuthatch-{name}"))
            .spawn(move || {
                let mut obituary = Obituary { name, words, expected: false };
                work(asked, &obituary.words);
                obituary.expected = true;
            })
            .map_err(ThreadError::Spawn)?;
        Ok(Self { name, requests, thread, pulse })
    }

    /// Odd while it does something, even while it waits; another one whenever it has come further.
    pub fn pulse(&self) -> u32 {
        self.pulse.count()
    }

    /// Asks; a thread that has ended is told of by [`Word::Died`].
    pub fn ask(&self, request: R) {
        let _ = self.requests.send(request);
    }

    /// Lets it finish what it was asked, and waits for that.
    ///
    /// # Errors
    /// When it failed.
    pub fn finish(self) -> Result<(), ThreadError> {
        drop(self.requests);
        self.thread.join().map_err(|_| ThreadError::Died(self.name))
    }
}

/// Opens the store in `home` and starts its thread; returns when it is open.
///
/// # Errors
/// When it cannot be opened.
pub fn start_store(
    home: &Path,
    clock: Clock,
    words: Sender<Word>,
) -> Result<(Worker<Request>, OpenReport), ThreadError> {
    let pulse = Pulse::default();
    let disk = Arc::new(FileDisk::new(home).with_pulse(pulse.clone()));
    let (opened, told) = mpsc::sync_channel(1);
    let worker = Worker::start("storage", words, pulse.clone(), move |asked, words| {
        match Service::open(disk, StoreOptions::default()) {
            Ok((service, report)) => {
                let _ = opened.send(Ok(report));
                keep_store(service, clock, &asked, words, &pulse);
            }
            Err(error) => {
                let _ = opened.send(Err(error));
            }
        }
    })?;
    match told.recv() {
        Ok(Ok(report)) => Ok((worker, report)),
        Ok(Err(error)) => Err(ThreadError::Store(error)),
        Err(_) => Err(ThreadError::Died("storage")),
    }
}

/// The storage thread's work.
fn keep_store(
    mut service: Service,
    clock: Clock,
    asked: &mpsc::Receiver<Request>,
    words: &Sender<Word>,
    pulse: &Pulse,
) {
    let mut replies = Vec::new();
    // When the oldest unsynced put came.
    let mut waiting_since: Option<Time> = None;
    loop {
        let request = match waiting_since {
            None => asked.recv().map_err(|_| RecvTimeoutError::Disconnected),
            Some(since) => asked.recv_timeout(duration(GROUP_DELAY_MAX - clock.time().since(since))),
        };
        pulse.turn();
        match request {
            Ok(request) => service.execute(request, &mut replies),
            Err(RecvTimeoutError::Timeout) => service.flush(&mut replies),
            Err(RecvTimeoutError::Disconnected) => break,
        }
        if waiting_since.is_some_and(|since| clock.time().since(since) >= GROUP_DELAY_MAX) {
            service.flush(&mut replies);
        }
        waiting_since = match (service.unsynced(), waiting_since) {
            (false, _) => None,
            // A group that was synced meanwhile has a younger first put; this only makes its wait shorter.
            (true, since) => since.or_else(|| Some(clock.time())),
        };
        for reply in replies.drain(..) {
            let _ = words.try_send(Word::Store(reply));
        }
        pulse.turn();
    }
    service.flush(&mut replies);
    service.close();
}

/// What the file thread does.
#[derive(Debug)]
pub enum FileJob {
    /// Answers the core.
    Ask(FileRequest),
    /// Sets watches over a folder, or takes them away.
    Watch(WatchOrder),
    /// Replaces `nuthatch.toml` in the home.
    SaveConfig {
        /// The home.
        home: PathBuf,
        /// The new text.
        text: String,
    },
}

/// Starts the file thread, for a node whose data are in `home`; it sets watches where there are any.
///
/// # Errors
/// When the system gives none.
pub fn start_files(
    home: &Path,
    watches: Option<Watches>,
    words: Sender<Word>,
) -> Result<Worker<FileJob>, ThreadError> {
    let home = home.to_path_buf();
    let pulse = Pulse::default();
    Worker::start("file", words, pulse.clone(), move |asked, words| {
        let mut service = FileService::outside(&home).watching(watches);
        let mut resting = true;
        loop {
            let request = if resting {
                asked.recv().map_err(|_| RecvTimeoutError::Disconnected)
            } else {
                asked.recv_timeout(duration(FILE_REST))
            };
            pulse.turn();
            match request {
                Ok(FileJob::Ask(request)) => {
                    resting = false;
                    let _ = words.try_send(Word::File(service.execute(request)));
                }
                Ok(FileJob::Watch(order)) => {
                    if let Some(notice) = service.watch(&order) {
                        let _ = words.try_send(Word::Notice(notice));
                    }
                }
                Ok(FileJob::SaveConfig { home, text }) => {
                    if let Err(error) = replace_file(&home, CONFIG_NAME, &text) {
                        log::error!("the changed configuration is not saved: {error}");
                    }
                }
                Err(RecvTimeoutError::Timeout) => {
                    resting = true;
                    service.rest();
                }
                Err(RecvTimeoutError::Disconnected) => return,
            }
            pulse.turn();
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::ids::ChunkId;
    use sha2::{Digest, Sha256};
    use smol::channel::unbounded;

    #[test]
    fn a_put_is_synced_though_nothing_else_is_asked_and_survives_a_restart() {
        let home = tempfile::tempdir().unwrap();
        let (words, heard) = unbounded();
        let (store, report) = start_store(home.path(), Clock::new(), words.clone()).unwrap();
        assert!(report.new);
        let bytes = vec![7; 1_000];
        let id = ChunkId::from_bytes(Sha256::digest(&bytes).into());
        store.ask(Request::Put { op: 1, id, bytes: bytes.clone() });
        let word = heard.recv_blocking().unwrap();
        assert!(matches!(word, Word::Store(Reply::Put { op: 1, result: Ok(true), .. })), "{word:?}");
        store.finish().unwrap();
        let (store, report) = start_store(home.path(), Clock::new(), words).unwrap();
        assert!(!report.new);
        store.ask(Request::Get { op: 2, id });
        let word = heard.recv_blocking().unwrap();
        assert!(matches!(word, Word::Store(Reply::Get { result: Ok(Some(found)), .. }) if found == bytes));
        store.finish().unwrap();
        assert!(heard.try_recv().is_err(), "a thread that was asked to end is not reported dead");
    }

    #[test]
    fn files_are_answered_in_order() {
        let (words, heard) = unbounded();
        let home = tempfile::tempdir().unwrap();
        let files = start_files(home.path(), None, words).unwrap();
        for op in 0..10 {
            files.ask(FileJob::Ask(FileRequest::Root { op, root: b"/".to_vec() }));
        }
        files.finish().unwrap();
        for wanted in 0..10 {
            let word = heard.try_recv().unwrap();
            assert!(matches!(word, Word::File(FileReply::Root { op, result: Ok(_) }) if op == wanted));
        }
    }

    #[test]
    fn a_thread_that_fails_is_reported() {
        let (words, heard) = unbounded();
        let worker: Worker<()> =
            Worker::start("test", words, Pulse::default(), |_, _| panic!("as wanted")).unwrap();
        assert!(matches!(heard.recv_blocking(), Ok(Word::Died("test"))));
        assert!(matches!(worker.finish(), Err(ThreadError::Died("test"))));
    }

    #[test]
    fn a_pulse_tells_a_thread_that_stands_from_one_that_waits_or_works() {
        let (words, heard) = unbounded();
        let home = tempfile::tempdir().unwrap();
        let (store, _) = start_store(home.path(), Clock::new(), words.clone()).unwrap();
        let before = store.pulse();
        store.ask(Request::Flush { op: 1 });
        assert!(matches!(heard.recv_blocking(), Ok(Word::Store(Reply::Flush { .. }))));
        assert_ne!(store.pulse(), before, "it has worked");
        store.finish().unwrap();
        let (pulse, (release, held), (begin, begun)) = (Pulse::default(), mpsc::channel(), mpsc::channel());
        let own = pulse.clone();
        let stuck: Worker<()> = Worker::start("test", words, pulse, move |_, _| {
            own.turn();
            begin.send(()).unwrap();
            let _: Result<(), _> = held.recv();
            own.turn();
        })
        .unwrap();
        begun.recv().unwrap();
        assert_eq!((stuck.pulse() % 2, stuck.pulse()), (1, 1), "in the midst of something, and no further");
        release.send(()).unwrap();
        stuck.finish().unwrap();
    }
}
