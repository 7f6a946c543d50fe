//! The child process: runs one test on a thread, draws its progress, and sees to its end, whatever that is.
//!
//! A run that failed or was stopped first drains: outstanding samples are answered empty, and LoadGen returns. In the
//! Server scenario LoadGen goes on issuing until its schedule ends, which may take ten minutes; nobody waits for that.

use std::process::ExitCode;
use std::sync::Arc;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::{Duration, Instant};

use rustix::process::{Signal, set_parent_process_death_signal};

use super::folder::disown_logs;
use super::protocol::{ChildEnd, TestReport, TestSpec};
use super::signals::StopRequests;
use super::ticker::Ticker;
use super::work::{Shared, Stage, work};
use crate::bridge::{EngineError, ffi};
use crate::engines::Phase;
use crate::error::{Failure, FailureKind};
use crate::report::metadata::{self, metadata};
use crate::report::result::{FILE_NAME, Rates, SCHEMA_VERSION, Status, TestResult};
use crate::report::{files, timestamp};
use crate::system;

/// How often the progress is looked at.
const LOOK: Duration = Duration::from_millis(200);
/// How long a run that is over may take to drain before the process ends without it.
const GRACE: Duration = Duration::from_secs(5);

type Worked = (TestResult, Result<(), Failure>);

/// Runs the test that the parent hands over.
pub fn child_main() -> Result<ExitCode, Failure> {
    let broken = |error: std::io::Error| {
        Failure::user("this command is run by `run_harness` itself, which hands over the test")
            .because(error)
            .hint("run `run_harness` without a command to run tests")
    };
    // A parent that is killed takes its child with it.
    let _ = set_parent_process_death_signal(Some(Signal::TERM));
    let stop = StopRequests::listen()?;
    let mut parent = ChildEnd::open().map_err(broken)?;
    let spec = Arc::new(parent.receive_spec().map_err(broken)?);
    let fresh = begin(&spec);

    let shared = Arc::new(Shared::new());
    let (sender, worked) = mpsc::channel();
    let thread = {
        let (spec, shared, mut result) = (spec.clone(), shared.clone(), fresh.clone());
        std::thread::Builder::new()
            .name("test".to_owned())
            .spawn(move || {
                let outcome = work(&spec, &shared, &mut result);
                // Nobody listens any more only when the process is about to end.
                let _ = sender.send((result, outcome));
            })
    };
    let thread =
        thread.map_err(|error| Failure::harness("cannot start a thread").because(error))?;

    let mut ticker = Ticker::new(&spec.config);
    let watched = watch(&shared, &stop, &worked, &mut ticker);
    shared.said().iter().for_each(|line| ticker.say(line));
    ticker.finish();
    let (at_once, (result, outcome)) = match watched {
        Watched::Worked(worked) => {
            let _ = thread.join();
            (false, *worked)
        }
        Watched::GaveUp(failure) => (true, (fresh, Err(failure))),
    };
    let report = conclude(result, outcome);
    let code = match &report.result.failure {
        None => 0,
        Some(failure) => failure.exit_code(),
    };
    if parent.send_report(&report).is_err() {
        // The parent is gone; whoever started it may still read this.
        if let Some(failure) = report.unwritten.or(report.result.failure) {
            eprint!("{}", failure.render());
        }
    }
    if at_once {
        // LoadGen's threads still run; destructors of its globals would pull the ground from under them.
        signal_hook::low_level::exit(code.into());
    }
    Ok(ExitCode::from(code))
}

enum Watched {
    /// The worker came to its end.
    Worked(Box<Worked>),
    /// It does not, and is left behind.
    GaveUp(Failure),
}

fn watch(
    shared: &Shared,
    stop: &StopRequests,
    worked: &mpsc::Receiver<Worked>,
    ticker: &mut Ticker,
) -> Watched {
    let mut over: Option<(Instant, Failure)> = None;
    loop {
        match worked.recv_timeout(LOOK) {
            Ok(worked) => return Watched::Worked(Box::new(worked)),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => {
                return Watched::GaveUp(Failure::harness("the test's thread panicked"));
            }
        }
        let (stage, progress) = shared.look();
        let snapshot = ffi::snapshot(&progress);
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
            None => ticker.tick(stage, snapshot),
            Some((since, failure)) => {
                // Again and again: a new stage may have begun since.
                ffi::request_stop(&progress);
                // Nothing stops a builder, and what it has so far is of no use.
                let building = stage == Stage::Providing(Phase::Building);
                if building || since.elapsed() >= GRACE {
                    return Watched::GaveUp(failure.clone());
                }
            }
        }
    }
}

/// A result that says that nothing was done yet.
fn begin(spec: &TestSpec) -> TestResult {
    TestResult {
        schema_version: SCHEMA_VERSION,
        status: Status::Failed,
        failure: None,
        benchmark: spec.config.benchmark_full(),
        valid: None,
        findings: Vec::new(),
        not_for_submission: spec.config.run.not_for_submission.clone(),
        performance: None,
        accuracy: None,
        harness: None,
        rates: Rates::default(),
        loadgen: None,
        engines: Vec::new(),
        plan: None,
        inputs: None,
        fp8_ranges: None,
        machine: system::detect(),
        program: format!("run_harness {}", env!("CARGO_PKG_VERSION")),
        started: timestamp(),
        finished: timestamp(),
        config: spec.config.clone(),
    }
}

/// What the parent writes down for a child that ended without a word.
pub fn lost(spec: &TestSpec, failure: Failure) -> TestReport {
    conclude(begin(spec), Err(failure))
}

/// Writes result.json, and metadata.json for a test that completed; the logs of any other get names that nobody takes
/// for a result.
fn conclude(mut result: TestResult, outcome: Result<(), Failure>) -> TestReport {
    let folder = result.config.test_dir();
    if let Err(failure) = outcome {
        result.status = match failure.kind {
            FailureKind::Interrupted => Status::Interrupted,
            FailureKind::User | FailureKind::Harness => Status::Failed,
        };
        // Numbers of a run that did not complete are no result.
        result.performance = None;
        result.accuracy = None;
        result.valid = None;
        result.findings.clear();
        result.failure = Some(failure);
    }
    result.finished = timestamp();
    let mut unwritten = None;
    let mut keep = |written: Result<(), Failure>| {
        if let Err(failure) = written {
            unwritten.get_or_insert(failure);
        }
    };
    keep(disown_logs(&folder, result.status).map_err(|error| {
        Failure::user(format!("cannot rename the logs in `{}`", folder.display())).because(error)
    }));
    if result.status == Status::Completed {
        keep(files::write_json(
            &folder.join(metadata::FILE_NAME),
            &metadata(&result),
        ));
    }
    keep(files::write_json(&folder.join(FILE_NAME), &result));
    TestReport { result, unwritten }
}
