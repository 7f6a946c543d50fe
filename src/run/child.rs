//! The child process of a test: runs it, and writes down what came of it.

use std::process::ExitCode;
use std::sync::Arc;

use super::folder::{disown_logs, name_for};
use super::protocol::{TestReport, TestSpec};
use super::supervise::{Started, Worked, end};
use super::work::{Shared, work};
use crate::error::{Failure, FailureKind};
use crate::report::metadata::{self, metadata};
use crate::report::result::{FILE_NAME, Rates, SCHEMA_VERSION, Status, TestResult};
use crate::report::timeline::{self, Timeline};
use crate::report::{files, timestamp};
use crate::system;

/// Runs the test that the parent hands over.
pub fn child_main() -> Result<ExitCode, Failure> {
    let mut started = Started::<TestSpec>::begin()?;
    let fresh = begin(&started.spec);
    let (spec, mut result) = (started.spec.clone(), fresh.clone());
    let shared = Arc::new(Shared::new());
    let worked = started.supervise(&shared, &started.spec.config, move |shared| {
        let outcome = work(&spec, shared, &mut result);
        (result, outcome)
    })?;
    let (gave_up, (result, outcome)) = match worked {
        Worked::Done(worked) => (false, worked),
        Worked::GaveUp(failure) => (true, (fresh, Err(failure))),
    };
    let report = conclude(result, outcome, shared.timeline());
    let code = match &report.result.failure {
        None => 0,
        Some(failure) => failure.exit_code(),
    };
    if started.parent.send_report(&report).is_err() {
        // The parent is gone; whoever started it may still read this.
        if let Some(failure) = report.unwritten.or(report.result.failure) {
            eprint!("{}", failure.render());
        }
    }
    Ok(end(code, gave_up))
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
        settings: spec.settings.clone(),
    }
}

/// What the parent writes down for a child that ended without a word.
pub fn lost(spec: &TestSpec, failure: Failure) -> TestReport {
    conclude(begin(spec), Err(failure), None)
}

/// Writes result.json, and metadata.json for a test that completed; the logs and the timeline of any other get names that
/// nobody takes for a result.
fn conclude(
    mut result: TestResult,
    outcome: Result<(), Failure>,
    timeline: Option<Timeline>,
) -> TestReport {
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
    if let Some(timeline) = timeline {
        let path = folder.join(name_for(timeline::FILE_NAME, result.status));
        keep(files::write_compact_json(&path, &timeline));
    }
    if result.status == Status::Completed {
        keep(files::write_json(
            &folder.join(metadata::FILE_NAME),
            &metadata(&result),
        ));
    }
    keep(files::write_json(&folder.join(FILE_NAME), &result));
    TestReport { result, unwritten }
}
