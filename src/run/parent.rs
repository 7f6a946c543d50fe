//! The parent process: one child after the other, signals passed on, the summary at the end.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::child::lost;
use super::folder::TestFolder;
use super::process::Job;
use super::protocol::{TestReport, TestSpec};
use super::signals::StopRequests;
use crate::config::{Plan, Resolution, ResolvedConfig, Scenario, SettingUsed, settings_used};
use crate::error::{Failure, FailureKind};
use crate::report::{CommandLine, Status, TestResult};

/// LoadGen obeys this file in the working folder without being asked.
pub const AUDIT_CONFIG: &str = "audit.config";

/// What came of all tests.
pub struct Ran {
    /// Folder and result of each test that was started.
    pub results: Vec<(PathBuf, TestResult)>,
    /// Names of the others.
    pub not_run: Vec<String>,
    /// What the command ends with: the first test that failed, an interruption, or INVALID results where only valid
    /// ones will do.
    pub failure: Option<Failure>,
}

/// Runs all tests of a resolution. Failing before the first one has no results to tell of.
pub fn run_all(resolution: &Resolution, command: &CommandLine) -> Result<Ran, Failure> {
    let mut tests = Tests::new(resolution, command)?;
    let failure = tests.run().err();
    let not_run = tests.plans[tests.results.len()..].iter();
    Ok(Ran {
        not_run: not_run.map(|plan| name(&plan.config)).collect(),
        results: tests.results,
        failure,
    })
}

/// Runs tests one by one, each decided on when the one before is known.
pub struct OneByOne {
    command: CommandLine,
    stop: StopRequests,
}

impl OneByOne {
    /// From now on, signals are counted instead of ending the process.
    pub fn new(command: CommandLine) -> Result<Self, Failure> {
        refuse_audit_config()?;
        Ok(Self {
            command,
            stop: StopRequests::listen()?,
        })
    }

    /// Runs a test to its end. One that did not complete is a failure. `settings`: where the configuration came from.
    pub fn run(
        &self,
        config: &ResolvedConfig,
        settings: BTreeMap<String, SettingUsed>,
    ) -> Result<TestResult, Failure> {
        if self.stop.count() > 0 {
            return Err(Failure::interrupted("stopped before the next test"));
        }
        let _folder = TestFolder::claim(&config.test_dir())?;
        let spec = TestSpec {
            offline_rate: None,
            config: config.clone(),
            command: self.command.clone(),
            settings,
        };
        let report = one(&spec, &self.stop)?;
        match report.unwritten.or(report.result.failure.clone()) {
            Some(failure) => Err(failure.because_of(config)),
            None => Ok(report.result),
        }
    }
}

/// LoadGen would take its settings from there.
fn refuse_audit_config() -> Result<(), Failure> {
    if !Path::new(AUDIT_CONFIG).exists() {
        return Ok(());
    }
    Err(
        Failure::user(format!("there is an {AUDIT_CONFIG} in the working folder"))
            .because("LoadGen would take its settings from it instead of from the configuration")
            .hint(format!("remove {AUDIT_CONFIG}, or run in another folder")),
    )
}

fn one(spec: &TestSpec, stop: &StopRequests) -> Result<TestReport, Failure> {
    let job = Job {
        command: "run-test",
        what: "the test's process",
        stopped: "the test was stopped before its end",
        engine: &spec.config.engine,
    };
    let report = job.run(spec, stop)?;
    Ok(report.unwrap_or_else(|failure| lost(spec, failure)))
}

struct Tests<'a> {
    plans: &'a [Plan],
    command: &'a CommandLine,
    /// Held until all tests are over.
    _folders: Vec<TestFolder>,
    stop: StopRequests,
    results: Vec<(PathBuf, TestResult)>,
}

impl<'a> Tests<'a> {
    /// Claims every folder before anything runs: a mistake is told at once, not after the first test.
    fn new(resolution: &'a Resolution, command: &'a CommandLine) -> Result<Self, Failure> {
        refuse_audit_config()?;
        let folders = resolution
            .plans
            .iter()
            .map(|plan| TestFolder::claim(&plan.config.test_dir()))
            .collect::<Result<_, _>>()?;
        Ok(Self {
            plans: &resolution.plans,
            command,
            _folders: folders,
            stop: StopRequests::listen()?,
            results: Vec::new(),
        })
    }

    fn run(&mut self) -> Result<(), Failure> {
        for plan in self.plans {
            if self.stop.count() > 0 {
                return Err(Failure::interrupted("stopped before all tests had run"));
            }
            let spec = TestSpec {
                offline_rate: self.offline_rate(&plan.config),
                config: plan.config.clone(),
                command: self.command.clone(),
                settings: settings_used(plan),
            };
            let report = one(&spec, &self.stop)?;
            let failure = report.unwritten.or(report.result.failure.clone());
            self.results.push((plan.config.test_dir(), report.result));
            if let Some(failure) = failure {
                return Err(failure.because_of(&plan.config));
            }
        }
        self.check_validity()
    }

    /// What an Offline test reached that ran on the same engines with the same model.
    fn offline_rate(&self, config: &ResolvedConfig) -> Option<f64> {
        let same = |other: &ResolvedConfig| {
            other.run.scenario == Scenario::Offline
                && other.run.workload == config.run.workload
                && other.engine == config.engine
                && other.scheduler.name == config.scheduler.name
                && other.generation == config.generation
                && other.paths.model == config.paths.model
                && other.paths.dataset == config.paths.dataset
        };
        let (_, result) = self.results.iter().rev().find(|(_, result)| {
            same(&result.config) && result.status == Status::Completed && result.valid == Some(true)
        })?;
        Some(result.performance.as_ref()?.samples_per_second)
    }

    fn check_validity(&self) -> Result<(), Failure> {
        let invalid: Vec<&TestResult> = self
            .results
            .iter()
            .map(|(_, result)| result)
            .filter(|result| result.valid == Some(false))
            .collect();
        let Some(first) = invalid.first() else {
            return Ok(());
        };
        let names: Vec<String> = invalid.iter().map(|result| name(&result.config)).collect();
        let said = format!("INVALID: {}", names.join(", "));
        if first.config.report.require_valid {
            return Err(Failure::new(FailureKind::User, said)
                .because("require_valid is set")
                .hint("the summary says what was broken, and what to change"));
        }
        eprintln!("warning: {said}; the summary says why and what to change");
        Ok(())
    }
}

impl Failure {
    /// Names the test, as the last cause.
    fn because_of(self, config: &ResolvedConfig) -> Self {
        self.because(format!(
            "in {}, logs in `{}`",
            name(config),
            config.test_dir().display()
        ))
    }
}

fn name(config: &ResolvedConfig) -> String {
    format!("{} {}", config.benchmark_full(), config.run.scenario)
}
