//! What child processes share: they work on a thread, draw its progress, and see to their end, whatever that is.
//!
//! A run that failed or was stopped first drains: outstanding samples are answered empty, and LoadGen returns. In the
//! Server scenario LoadGen goes on issuing until its schedule ends, which may take ten minutes; nobody waits for that,
//! nor for a builder of plans, which nothing stops.

use std::process::ExitCode;
use std::sync::Arc;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::{Duration, Instant};

use rustix::process::{Signal, set_parent_process_death_signal};
use serde::de::DeserializeOwned;

use super::protocol::ChildEnd;
use super::signals::StopRequests;
use super::ticker::Ticker;
use super::work::{Shared, Stage};
use crate::bridge::{EngineError, ffi};
use crate::config::ResolvedConfig;
use crate::engines::Phase;
use crate::error::Failure;

/// How often the progress is looked at. Short tests of `tune-server` have to show how their queue grew.
const LOOK: Duration = Duration::from_millis(50);
/// How long a run that is over may take to drain before the process ends without it.
const GRACE: Duration = Duration::from_secs(5);

/// A child process that knows what it is to do.
pub struct Started<Spec> {
    /// What that is.
    pub spec: Spec,
    /// Where its report goes.
    pub parent: ChildEnd,
    stop: StopRequests,
}

/// How the work ended.
pub enum Worked<T> {
    /// It came to its end.
    Done(T),
    /// It does not, and is left behind; the process has to end without it.
    GaveUp(Failure),
}

impl<Spec: DeserializeOwned> Started<Spec> {
    /// Waits for what the parent hands over.
    pub fn begin() -> Result<Self, Failure> {
        let broken = |error: std::io::Error| {
            Failure::user("this command is run by `run_harness` itself, which hands over its work")
                .because(error)
                .hint("`run_harness --help` lists the commands for people")
        };
        // A parent that is killed takes its child with it.
        let _ = set_parent_process_death_signal(Some(Signal::TERM));
        let stop = StopRequests::listen()?;
        let mut parent = ChildEnd::open().map_err(broken)?;
        Ok(Self {
            spec: parent.receive_spec().map_err(broken)?,
            parent,
            stop,
        })
    }
}

impl<Spec> Started<Spec> {
    /// Does the work on a thread of its own and draws its progress.
    pub fn supervise<T: Send + 'static>(
        &self,
        shared: &Arc<Shared>,
        config: &ResolvedConfig,
        work: impl FnOnce(&Shared) -> T + Send + 'static,
    ) -> Result<Worked<T>, Failure> {
        let (sender, worked) = mpsc::channel();
        let thread = {
            let shared = shared.clone();
            std::thread::Builder::new()
                .name("work".to_owned())
                .spawn(move || {
                    // Nobody listens any more only when the process is about to end.
                    let _ = sender.send(work(&shared));
                })
        };
        let thread =
            thread.map_err(|error| Failure::harness("cannot start a thread").because(error))?;
        let mut ticker = Ticker::new(config);
        let watched = watch(shared, &self.stop, &worked, &mut ticker);
        shared.said().iter().for_each(|line| ticker.say(line));
        ticker.finish();
        if matches!(watched, Worked::Done(_)) {
            let _ = thread.join();
        }
        Ok(watched)
    }
}

fn watch<T>(
    shared: &Shared,
    stop: &StopRequests,
    worked: &mpsc::Receiver<T>,
    ticker: &mut Ticker,
) -> Worked<T> {
    let mut over: Option<(Instant, Failure)> = None;
    loop {
        match worked.recv_timeout(LOOK) {
            Ok(worked) => return Worked::Done(worked),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => {
                return Worked::GaveUp(Failure::harness("the thread that works panicked"));
            }
        }
        let (stage, progress) = shared.look();
        let snapshot = ffi::snapshot(&progress);
        if stage == Stage::Running {
            shared.record(snapshot);
        }
        shared.said().iter().for_each(|line| ticker.say(line));
        if over.is_none() && stop.count() > 0 {
            over = Some((
                Instant::now(),
                Failure::interrupted("the test was stopped before its end"),
            ));
        }
        if over.is_none() && snapshot.failed {
            let failure = EngineError::parse(&ffi::failure_message(&progress)).into();
            over = Some((Instant::now(), failure));
        }
        match &over {
            None => ticker.tick(stage, snapshot, shared.count()),
            Some((since, failure)) => {
                // Again and again: a new stage may have begun since.
                ffi::request_stop(&progress);
                let building = stage == Stage::Providing(Phase::Building);
                if building || since.elapsed() >= GRACE {
                    return Worked::GaveUp(failure.clone());
                }
            }
        }
    }
}

/// The end of a child process. Threads that were left behind still run, and destructors of globals, LoadGen's or a
/// builder's, would pull the ground from under them.
pub fn end(code: u8, gave_up: bool) -> ExitCode {
    if gave_up {
        signal_hook::low_level::exit(code.into());
    }
    ExitCode::from(code)
}
