//! The way from the command line to a node: over its control socket, or, where none runs, a node inside this process.
//!
//! Knows which calls may be served without a running node (`init`, `join`, `recover`); all others need one. Turns every
//! failure of the way into a [`Fail`] with its exit code.

use std::path::{Path, PathBuf};

use super::exit::{Exit, Fail};
use super::routes::{request_of, Request};
use super::serve::failed;
use super::web::make_site;
use crate::io::alone::run_call;
use crate::io::client::{Ask, Client, ClientError, Event, Source};
use crate::io::run::{run, Ready, RunOptions, Web};
use crate::node::api::{Call, Piece};
use crate::node::ports::Ending;
use rustix::process::{getpid, kill_process, Signal};
use serde_json::Value;

/// Where the node is.
#[derive(Debug, Clone)]
pub struct Link {
    /// Its data home.
    home: PathBuf,
    /// Nobody named a home: the machine's service is tried as well.
    any: bool,
}

/// Takes the pieces of an answer; an error ends the call.
pub type Each<'a> = &'a mut dyn FnMut(Piece) -> Result<(), Fail>;

impl Link {
    /// The way to the node of this home.
    #[must_use]
    pub const fn to(home: PathBuf) -> Self {
        Self { home, any: false }
    }

    /// The way to the node of this home, or else to the machine's service.
    #[must_use]
    pub const fn to_any(home: PathBuf) -> Self {
        Self { home, any: true }
    }

    /// The data home.
    #[must_use]
    pub fn home(&self) -> &Path {
        &self.home
    }

    /// Whether a node answers.
    ///
    /// # Errors
    /// When one does and this user may not speak to it.
    pub fn is_running(&self) -> Result<bool, Fail> {
        self.connect().map(|client| client.is_some())
    }

    /// Asks the running node, and gives every piece of its answer to `each`.
    ///
    /// # Errors
    /// When no node runs, it refuses, the way breaks, or `each` fails.
    pub fn call(&self, call: &Call, each: Each<'_>) -> Result<Ending, Fail> {
        self.ask(call, None, each)
    }

    /// The same with something to send, which is read as it goes.
    ///
    /// # Errors
    /// As [`Link::call`].
    pub fn send(&self, call: &Call, source: Source, each: Each<'_>) -> Result<Ending, Fail> {
        self.ask(call, Some(source), each)
    }

    /// Asks with or without something to send.
    fn ask(&self, call: &Call, source: Option<Source>, each: Each<'_>) -> Result<Ending, Fail> {
        self.ask_for(&request_of(call), source, each)
    }

    /// Asks for one JSON value by a route that is no call to the core.
    ///
    /// # Errors
    /// As [`Link::call`]; also when there is none.
    pub fn request(&self, request: &Request) -> Result<Value, Fail> {
        let mut found = None;
        self.ask_for(request, None, &mut |piece| {
            if let Piece::Json(value) = piece {
                found = Some(value);
            }
            Ok(())
        })?;
        found.ok_or_else(|| Fail::new("lost", "the node answered nothing", "try again"))
    }

    /// Sends a request, and gives every piece of its answer to `each`.
    fn ask_for(&self, request: &Request, source: Option<Source>, each: Each<'_>) -> Result<Ending, Fail> {
        let client = self.connect()?.ok_or_else(|| Fail::not_running(&self.home))?;
        let ask = Ask { method: request.method, path: &request.path, body: &request.body };
        let asked = match source {
            Some(source) => client.send(&ask, source),
            None => client.call(&ask),
        };
        let mut answer = asked.map_err(|error| self.fail(error))?;
        loop {
            match answer.next_event().map_err(|error| self.fail(error))? {
                Event::Piece(piece) => each(piece)?,
                Event::End(ending) => return Ok(ending),
            }
        }
    }

    /// Asks for the JSON values of an answer, one after the other.
    ///
    /// # Errors
    /// As [`Link::call`].
    pub fn lines(
        &self,
        call: &Call,
        each: &mut dyn FnMut(Value) -> Result<(), Fail>,
    ) -> Result<Ending, Fail> {
        self.call(call, &mut |piece| match piece {
            Piece::Json(value) => each(value),
            Piece::Bytes(_) => {
                Err(Fail::new("lost", "the node answered with bytes", "use the same version on both sides"))
            }
        })
    }

    /// Asks for one JSON value.
    ///
    /// # Errors
    /// As [`Link::call`]; also when there is none.
    pub fn value(&self, call: &Call) -> Result<(Value, Ending), Fail> {
        let mut found = None;
        let ending = self.lines(call, &mut |value| {
            found = Some(value);
            Ok(())
        })?;
        found
            .map(|value| (value, ending))
            .ok_or_else(|| Fail::new("lost", "the node answered nothing", "try again"))
    }

    /// Asks the running node; where none runs, one inside this process, for as long as the call takes.
    ///
    /// # Errors
    /// As [`Link::call`]; also when the home cannot be used.
    pub fn call_anywhere(
        &self,
        call: Call,
        each: &mut dyn FnMut(Value) -> Result<(), Fail>,
    ) -> Result<Ending, Fail> {
        if self.is_running()? {
            return self.lines(&call, each);
        }
        if matches!(call, Call::Init { .. }) {
            let (pieces, ending) = run_call(&self.home, call).map_err(|error| failed(&error))?;
            for piece in pieces {
                if let Piece::Json(value) = piece {
                    each(value)?;
                }
            }
            return Ok(ending);
        }
        self.call_with_node(&call, each)
    }

    /// Runs the whole node in a thread of this process while the call is going on.
    fn call_with_node(
        &self,
        call: &Call,
        each: &mut dyn FnMut(Value) -> Result<(), Fail>,
    ) -> Result<Ending, Fail> {
        let home = self.home.clone();
        let (tell, told) = std::sync::mpsc::channel();
        let node = move || {
            // Nobody hears it only if this process is about to end.
            let ready = Box::new(move |_: &Ready| {
                let _ = tell.send(());
            });
            let (web, site) = (Web::Off, Box::new(make_site));
            run(RunOptions { home, listen: None, web, mdns: None, site, ready: Some(ready) })
        };
        let spawned = std::thread::Builder::new().name("node".to_owned()).spawn(node);
        let thread = spawned.map_err(|error| {
            Fail::new("start", format!("cannot start a thread: {error}"), "end other programs")
        })?;
        let result = match told.recv() {
            Ok(()) => self.lines(call, each),
            Err(_) => Err(Fail::silent(Exit::Failed)),
        };
        if let Err(errno) = kill_process(getpid(), Signal::TERM) {
            log::error!("cannot stop the node: {errno}");
        }
        match thread.join() {
            Ok(Err(error)) => Err(failed(&error)),
            Ok(Ok(_)) => result,
            Err(_) => Err(Fail::new(
                "internal",
                "the node in this process has ended by a mistake of its own",
                "please report this",
            )),
        }
    }

    /// A connection, if there is a node.
    fn connect(&self) -> Result<Option<Client>, Fail> {
        let own = match Client::connect(&self.home) {
            Err(ClientError::NotRunning { .. }) if self.any => Client::connect_system(),
            other => other,
        };
        match own {
            Ok(client) => Ok(Some(client)),
            Err(ClientError::NotRunning { .. }) => Ok(None),
            Err(error) => Err(self.fail(error)),
        }
    }

    /// A failure of the way as the command line tells it.
    fn fail(&self, error: ClientError) -> Fail {
        match error {
            ClientError::Api(error) => error.into(),
            ClientError::NotRunning { .. } => Fail::not_running(&self.home),
            ClientError::Denied { socket } => Fail::new(
                "denied",
                format!("{} belongs to another user", socket.display()),
                "run this as that user, or with sudo",
            ),
            ClientError::Lost(detail) => Fail::new(
                "lost",
                format!("the connection to the node broke: {detail}"),
                "see whether it still runs with `nuthatch status`",
            ),
        }
    }
}
