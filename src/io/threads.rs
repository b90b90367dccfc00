//! The two threads beside the main one: storage and files. Each does one request at a time, in order.
//!
//! What is asked of them in one turn is handed over together, and so are their replies, as far as nothing has to wait for that: each
//! hand-over may wake a thread, which costs more than a small request. Their queues are as long as what the core has under way, which its own bounds hold. The storage thread also keeps
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
use crate::base::limits::{FILE_REST, GROUP_DELAY_MAX, REPLIES_TOGETHER_MAX};
use crate::base::units::Time;
use crate::node::events::errands::ErrandEnd;
use crate::node::ports::{FileReply, FileRequest, Notice, WatchOrder};
use crate::store::service::{OpenReport, Reply, Request, Service, StoreError, StoreOptions};

/// What the threads tell the main one.
#[derive(Debug)]
pub enum Word {
    /// The storage thread answers.
    Store(Vec<Reply>),
    /// The file thread answers.
    File(Vec<FileReply>),
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
    requests: mpsc::Sender<Vec<R>>,
    /// What goes to it next.
    asked: Vec<R>,
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
        work: impl FnOnce(mpsc::Receiver<Vec<R>>, &Sender<Word>) + Send + 'static,
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
        Ok(Self { name, requests, asked: Vec::new(), thread, pulse })
    }

    /// Odd while it does something, even while it waits; another one whenever it has come further.
    pub fn pulse(&self) -> u32 {
        self.pulse.count()
    }

    /// Asks, with the next [`Worker::hand_over`].
    pub fn ask(&mut self, request: R) {
        self.asked.push(request);
    }

    /// Hands over what was asked; a thread that has ended is told of by [`Word::Died`].
    pub fn hand_over(&mut self) {
        if !self.asked.is_empty() {
            let _ = self.requests.send(std::mem::take(&mut self.asked));
        }
    }

    /// Lets it finish what it was asked, and waits for that.
    ///
    /// # Errors
    /// When it failed.
    pub fn finish(mut self) -> Result<(), ThreadError> {
        self.hand_over();
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
    asked: &mpsc::Receiver<Vec<Request>>,
    words: &Sender<Word>,
    pulse: &Pulse,
) {
    let mut replies = Vec::new();
    // When the oldest unsynced put came.
    let mut waiting_since: Option<Time> = None;
    loop {
        let requests = match waiting_since {
            None => asked.recv().map_err(|_| RecvTimeoutError::Disconnected),
            Some(since) => asked.recv_timeout(duration(GROUP_DELAY_MAX - clock.time().since(since))),
        };
        pulse.turn();
        match requests {
            Ok(requests) => {
                for request in requests {
                    if !is_quick(&request) || replies.len() >= REPLIES_TOGETHER_MAX {
                        tell(&mut replies, words);
                    }
                    service.execute(request, &mut replies);
                }
            }
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
        tell(&mut replies, words);
        pulse.turn();
    }
    service.flush(&mut replies);
    service.close();
}

/// Tells the main thread what the store has answered.
fn tell(replies: &mut Vec<Reply>, words: &Sender<Word>) {
    if !replies.is_empty() {
        let _ = words.try_send(Word::Store(std::mem::take(replies)));
    }
}

/// Whether a request only reads: what was answered before it can wait for its answer. Others may wait for the disk.
const fn is_quick(request: &Request) -> bool {
    matches!(request, Request::Get { .. } | Request::Lend { .. } | Request::Has { .. })
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
            let jobs = if resting {
                asked.recv().map_err(|_| RecvTimeoutError::Disconnected)
            } else {
                asked.recv_timeout(duration(FILE_REST))
            };
            pulse.turn();
            match jobs {
                Ok(jobs) => {
                    resting = false;
                    do_jobs(&mut service, jobs, words, &pulse);
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

/// Does jobs of the file thread, in order; their answers go together, a few at a time.
fn do_jobs(service: &mut FileService, jobs: Vec<FileJob>, words: &Sender<Word>, pulse: &Pulse) {
    let mut replies = Vec::new();
    let tell = |replies: &mut Vec<FileReply>| {
        if !replies.is_empty() {
            let _ = words.try_send(Word::File(std::mem::take(replies)));
        }
    };
    for job in jobs {
        pulse.step();
        match job {
            FileJob::Ask(request) => {
                replies.push(service.execute(request));
                if replies.len() >= REPLIES_TOGETHER_MAX {
                    tell(&mut replies);
                }
            }
            FileJob::Watch(order) => {
                if let Some(notice) = service.watch(&order) {
                    tell(&mut replies);
                    let _ = words.try_send(Word::Notice(notice));
                }
            }
            FileJob::SaveConfig { home, text } => {
                if let Err(error) = replace_file(&home, CONFIG_NAME, &text) {
                    log::error!("the changed configuration is not saved: {error}");
                }
            }
        }
    }
    tell(&mut replies);
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
        let (mut store, report) = start_store(home.path(), Clock::new(), words.clone()).unwrap();
        assert!(report.new);
        let bytes = vec![7; 1_000];
        let id = ChunkId::from_bytes(Sha256::digest(&bytes).into());
        store.ask(Request::Put { op: 1, id, bytes: bytes.clone() });
        store.hand_over();
        let word = heard.recv_blocking().unwrap();
        let Word::Store(replies) = word else { panic!("{word:?}") };
        assert!(matches!(replies[..], [Reply::Put { op: 1, result: Ok(true), .. }]), "{replies:?}");
        store.finish().unwrap();
        let (mut store, report) = start_store(home.path(), Clock::new(), words).unwrap();
        assert!(!report.new);
        store.ask(Request::Get { op: 2, id });
        store.hand_over();
        let Ok(Word::Store(replies)) = heard.recv_blocking() else { panic!("it answers") };
        assert!(matches!(&replies[..], [Reply::Get { result: Ok(Some(found)), .. }] if *found == bytes));
        store.finish().unwrap();
        assert!(heard.try_recv().is_err(), "a thread that was asked to end is not reported dead");
    }

    #[test]
    fn files_are_answered_in_order_and_together() {
        let (words, heard) = unbounded();
        let home = tempfile::tempdir().unwrap();
        let mut files = start_files(home.path(), None, words).unwrap();
        let (lots, rest) = (3, 2);
        for op in 0..u64::try_from(lots * REPLIES_TOGETHER_MAX + rest).unwrap() {
            files.ask(FileJob::Ask(FileRequest::Root { op, root: b"/".to_vec() }));
        }
        assert!(heard.is_empty(), "nothing is asked before it is handed over");
        files.finish().unwrap();
        let mut wanted = 0..;
        let mut lengths = Vec::new();
        while let Ok(word) = heard.try_recv() {
            let Word::File(replies) = word else { panic!("{word:?}") };
            lengths.push(replies.len());
            for (reply, wanted) in replies.iter().zip(&mut wanted) {
                assert!(matches!(reply, FileReply::Root { op, result: Ok(_) } if *op == wanted));
            }
        }
        assert_eq!(lengths, [REPLIES_TOGETHER_MAX, REPLIES_TOGETHER_MAX, REPLIES_TOGETHER_MAX, rest]);
    }

    #[test]
    fn what_is_read_is_told_before_the_disk_is_waited_for() {
        let home = tempfile::tempdir().unwrap();
        let (words, heard) = unbounded();
        let (mut store, _) = start_store(home.path(), Clock::new(), words).unwrap();
        let ids = Vec::new();
        store.ask(Request::Has { op: 1, ids: ids.clone() });
        store.ask(Request::Has { op: 2, ids });
        store.ask(Request::Flush { op: 3 });
        store.finish().unwrap();
        let Ok(Word::Store(first)) = heard.try_recv() else { panic!("it answers") };
        assert!(matches!(first[..], [Reply::Has { op: 1, .. }, Reply::Has { op: 2, .. }]), "{first:?}");
        let Ok(Word::Store(then)) = heard.try_recv() else { panic!("it answers") };
        assert!(matches!(then[..], [Reply::Flush { op: 3, result: Ok(()) }]), "{then:?}");
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
        let (mut store, _) = start_store(home.path(), Clock::new(), words.clone()).unwrap();
        let before = store.pulse();
        store.ask(Request::Flush { op: 1 });
        store.hand_over();
        let Ok(Word::Store(replies)) = heard.recv_blocking() else { panic!("it answers") };
        assert!(matches!(replies[..], [Reply::Flush { .. }]));
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
