//! One call done in this process, under the home's lock, without network: `init` where no node runs.
//!
//! The same core as in a running node, driven without threads: its requests are answered one after the other.

use std::collections::VecDeque;
use std::path::Path;
use std::sync::Arc;

use smol::Timer;

use super::disk::FileDisk;
use super::drive::Machine;
use super::home::{replace_file, CONFIG_NAME};
use super::os::{self, duration, lock_home, Clock};
use super::run::{setup, RunError};
use super::threads::ThreadError;
use super::walk::FileService;
use crate::base::limits::{ALONE_TIME_MAX, DATAGRAM_BYTES_MAX, TICK_MIN};
use crate::base::units::Time;
use crate::node::api::{ApiError, Call, Piece};
use crate::node::core::Core;
use crate::node::ports::{CallId, Ending, FileReply, Input, Output};
use crate::store::service::{Reply, Service, StoreOptions};

/// Does `call` and gives its pieces.
///
/// # Errors
/// [`RunError::Api`] when the call fails; [`RunError::Home`] when another process uses the home.
pub fn run_call(home: &Path, call: Call) -> Result<(Vec<Piece>, Ending), RunError> {
    let lock = lock_home(home).map_err(RunError::Home)?;
    let setup = setup(lock.home())?;
    let core = Core::new(os::entropy().map_err(RunError::Os)?, setup);
    drive_call(lock.home(), core, call)
}

/// The surroundings of a core without threads.
struct Alone<'a> {
    /// The data home.
    home: &'a Path,
    /// The store.
    service: Service,
    /// Files.
    files: FileService,
    /// Answers that the core was not told yet.
    stored: VecDeque<Reply>,
    /// Likewise.
    found: VecDeque<FileReply>,
    /// The answer to the call.
    pieces: Vec<Piece>,
    /// Pieces whose taking the core was not told of.
    taken: usize,
    /// How the call ended.
    result: Option<Result<Ending, ApiError>>,
}

/// The only call.
const CALL: CallId = CallId(1);

/// [`run_call`] with any machine.
fn drive_call<M: Machine>(home: &Path, mut machine: M, call: Call) -> Result<(Vec<Piece>, Ending), RunError> {
    let disk = Arc::new(FileDisk::new(home));
    let (service, _) = Service::open(disk, StoreOptions::default())
        .map_err(|error| RunError::Thread(ThreadError::Store(error)))?;
    let clock = Clock::new();
    let mut alone = Alone {
        home,
        service,
        files: FileService::default(),
        stored: VecDeque::new(),
        found: VecDeque::new(),
        pieces: Vec::new(),
        taken: 0,
        result: None,
    };
    machine.handle(clock.now(), Input::Call { id: CALL, call });
    let mut nowhere = [0; DATAGRAM_BYTES_MAX];
    let mut failed = None;
    while alone.result.is_none() {
        while let Some(output) = machine.poll(clock.now()) {
            alone.carry(output)?;
        }
        while machine.poll_transmit(clock.now(), &mut nowhere).is_some() {}
        if alone.result.is_some() || alone.tell(&mut machine, &clock) || machine.busy() {
            continue;
        }
        if !wait(&mut machine, &clock) {
            failed = Some(RunError::Stuck);
            break;
        }
    }
    // Whatever the call began to write is on the disk before its answer is believed.
    let mut replies = Vec::new();
    alone.service.flush(&mut replies);
    alone.service.close();
    match (failed, alone.result) {
        (None, Some(Ok(ending))) => Ok((alone.pieces, ending)),
        (None, Some(Err(error))) => Err(RunError::Api(error)),
        (failed, _) => Err(failed.unwrap_or(RunError::Stuck)),
    }
}

impl Alone<'_> {
    /// Does what the core wants.
    fn carry(&mut self, output: Output) -> Result<(), RunError> {
        match output {
            Output::Store(request) => {
                let mut replies = Vec::new();
                self.service.execute(request, &mut replies);
                self.stored.extend(replies);
            }
            Output::File(request) => self.found.push_back(self.files.execute(request)),
            Output::Piece { id: CALL, piece } => {
                self.pieces.push(piece);
                self.taken += 1;
            }
            Output::Done { id: CALL, result } => self.result = Some(result),
            Output::SaveConfig(text) => {
                replace_file(self.home, CONFIG_NAME, &text).map_err(RunError::Home)?;
            }
            Output::Piece { .. }
            | Output::Done { .. }
            | Output::More(_)
            | Output::Watch(_)
            | Output::Errand(_)
            | Output::Announce(_)
            | Output::Restart => {}
        }
        Ok(())
    }

    /// Tells the core one thing; whether there was any.
    fn tell<M: Machine>(&mut self, machine: &mut M, clock: &Clock) -> bool {
        if self.stored.is_empty() && self.found.is_empty() && self.service.unsynced() {
            let mut replies = Vec::new();
            self.service.flush(&mut replies);
            self.stored.extend(replies);
        }
        let input = if let Some(reply) = self.stored.pop_front() {
            Input::Store(reply)
        } else if let Some(reply) = self.found.pop_front() {
            Input::File(reply)
        } else if self.taken > 0 {
            self.taken -= 1;
            Input::Taken(CALL)
        } else {
            return false;
        };
        machine.handle(clock.now(), input);
        true
    }
}

/// Waits for the next deadline; false if there is none, or none in time.
fn wait<M: Machine>(machine: &mut M, clock: &Clock) -> bool {
    let now = clock.time();
    let end = Time::ZERO + ALONE_TIME_MAX;
    let Some(due) = machine.deadline().filter(|&due| due < end && now < end) else { return false };
    smol::block_on(Timer::after(duration(due.since(now).max(TICK_MIN))));
    machine.handle(clock.now(), Input::Tick);
    true
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::units::{Moment, Span};
    use crate::peer::event::Transmit;
    use crate::store::service::Request;

    /// Saves a setting, reads the root directory, waits for a tick, then answers; never ends a call to join.
    #[derive(Debug, Default)]
    struct Clerk {
        outputs: VecDeque<Output>,
        deadline: Option<Time>,
        steps: Vec<&'static str>,
    }

    impl Machine for Clerk {
        fn handle(&mut self, moment: Moment, input: Input<'_>) {
            match input {
                Input::Call { call: Call::Nodes, .. } => {
                    self.outputs.push_back(Output::Store(Request::Save {
                        op: 1,
                        settings: vec![("key".into(), Some(b"value".to_vec()))],
                    }))
                }
                Input::Store(Reply::Save { op: 1, result: Ok(()) }) => {
                    self.steps.push("saved");
                    let root = b"/".to_vec();
                    self.outputs
                        .push_back(Output::File(crate::node::ports::FileRequest::Root { op: 2, root }));
                }
                Input::File(FileReply::Root { op: 2, result: Ok(_) }) => {
                    self.steps.push("seen");
                    self.deadline = Some(moment.time + Span::from_millis(2));
                }
                Input::Tick => {
                    self.steps.push("ticked");
                    self.deadline = None;
                    let text = self.steps.join(" ");
                    self.outputs.push_back(Output::Piece { id: CALL, piece: Piece::Json(text.into()) });
                }
                Input::Taken(CALL) => {
                    self.outputs.push_back(Output::Done { id: CALL, result: Ok(Ending::Partial) });
                }
                _ => {}
            }
        }

        fn poll(&mut self, _: Moment) -> Option<Output> {
            self.outputs.pop_front()
        }

        fn poll_transmit(&mut self, _: Moment, _: &mut [u8]) -> Option<Transmit> {
            None
        }

        fn deadline(&self) -> Option<Time> {
            self.deadline
        }

        fn busy(&self) -> bool {
            false
        }
    }

    #[test]
    fn a_call_is_carried_through_store_files_and_time() {
        let home = tempfile::tempdir().unwrap();
        let (pieces, ending) = drive_call(home.path(), Clerk::default(), Call::Nodes).unwrap();
        assert_eq!(pieces, [Piece::Json("saved seen ticked".into())]);
        assert_eq!(ending, Ending::Partial);
    }

    #[test]
    fn a_call_that_waits_for_others_is_refused() {
        let home = tempfile::tempdir().unwrap();
        let answer = drive_call(home.path(), Clerk::default(), Call::Status);
        assert!(matches!(answer, Err(RunError::Stuck)));
    }
}
