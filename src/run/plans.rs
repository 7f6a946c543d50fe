//! `generate-engines`: the plan of each test, in a process that sees the GPUs that the test would see. What the library
//! and its GPU do there ends with it, be it a crash.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::inputs;
use super::process::Job;
use super::signals::StopRequests;
use super::supervise::{Started, Worked, end};
use super::work::Shared;
use crate::config::ResolvedConfig;
use crate::engines::{Engines, Listener, Origin, Phase, Provided};
use crate::error::{Failure, FailureKind};

/// What the child is told.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct PlanSpec {
    config: ResolvedConfig,
    fresh: Vec<PathBuf>,
}

/// What it answers.
type PlanReport = Result<Option<Provided>, Failure>;

/// Provides plans for the tests of one command, each in a process of its own.
pub struct Plans {
    stop: StopRequests,
    fresh: Vec<PathBuf>,
}

impl Plans {
    /// From now on, signals are counted instead of ending the process.
    pub fn new() -> Result<Self, Failure> {
        Ok(Self {
            stop: StopRequests::listen()?,
            fresh: Vec::new(),
        })
    }

    /// The plan of a test; `None` where the engine runs without one.
    pub fn provide(&mut self, config: &ResolvedConfig) -> Result<Option<Provided>, Failure> {
        let job = Job {
            command: "provide-plan",
            what: "the process that provides the plan",
            stopped: "engines were not generated to the end",
            engine: &config.engine,
        };
        let spec = PlanSpec {
            config: config.clone(),
            fresh: self.fresh.clone(),
        };
        let report: PlanReport = job
            .run(&spec, &self.stop)?
            .and_then(|report: PlanReport| report);
        let provided = report.map_err(|failure| match failure.kind {
            FailureKind::Interrupted => Failure::interrupted(job.stopped)
                .because("a plan appears when it is complete: what was there before is untouched"),
            FailureKind::User | FailureKind::Harness => failure,
        })?;
        if let Some(plan) = provided.as_ref().filter(|plan| plan.origin != Origin::Kept) {
            self.fresh.push(plan.path.clone());
        }
        Ok(provided)
    }
}

/// Provides the plan that the parent asks for.
pub fn provide_main() -> Result<ExitCode, Failure> {
    let mut started = Started::<PlanSpec>::begin()?;
    let PlanSpec { config, fresh } = started.spec.clone();
    let work = move |shared: &Shared| -> PlanReport {
        shared.phase(Phase::Asking);
        let model = inputs::model(&config)?;
        Engines::new(shared, fresh).provide(&config, &model)
    };
    let (report, gave_up) =
        match started.supervise(&Arc::new(Shared::new()), &started.spec.config, work)? {
            Worked::Done(report) => (report, false),
            Worked::GaveUp(failure) => (Err(failure), true),
        };
    let code = report.as_ref().err().map_or(0, Failure::exit_code);
    if let (Err(_), Err(failure)) = (started.parent.send_report(&report), &report) {
        // The parent is gone; whoever started it may still read this.
        eprint!("{}", failure.render());
    }
    Ok(end(code, gave_up))
}
