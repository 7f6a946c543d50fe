//! The parent process: one child after the other, signals passed on, the summary at the end.

use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use super::child::lost;
use super::folder::TestFolder;
use super::protocol::{TestReport, TestSpec, receive_report, send_spec};
use super::signals::StopRequests;
use crate::config::{Plan, Resolution, ResolvedConfig, Scenario};
use crate::error::{Failure, FailureKind};
use crate::report::{Status, TestResult, summary};

/// LoadGen obeys this file in the working folder without being asked.
pub const AUDIT_CONFIG: &str = "audit.config";
/// How often the child is looked at.
const LOOK: Duration = Duration::from_millis(50);
/// How long a child may take to end after it was told to.
const PATIENCE: Duration = Duration::from_secs(20);

/// Runs all tests of a resolution. The text is the summary, for stdout; the failure, if any, is what the command ends
/// with: the first test that failed, an interruption, or INVALID results where only valid ones will do.
pub fn run_all(resolution: &Resolution) -> (String, Option<Failure>) {
    match Tests::new(resolution) {
        Ok(mut tests) => {
            let failure = tests.run().err();
            (tests.summary(), failure)
        }
        Err(failure) => (String::new(), Some(failure)),
    }
}

struct Tests<'a> {
    plans: &'a [Plan],
    /// Held until all tests are over.
    _folders: Vec<TestFolder>,
    stop: StopRequests,
    results: Vec<(PathBuf, TestResult)>,
}

impl<'a> Tests<'a> {
    /// Claims every folder before anything runs: a mistake is told at once, not after the first test.
    fn new(resolution: &'a Resolution) -> Result<Self, Failure> {
        if Path::new(AUDIT_CONFIG).exists() {
            return Err(
                Failure::user(format!("there is an {AUDIT_CONFIG} in the working folder"))
                    .because(
                        "LoadGen would take its settings from it instead of from the configuration",
                    )
                    .hint(format!("remove {AUDIT_CONFIG}, or run in another folder")),
            );
        }
        let folders = resolution
            .plans
            .iter()
            .map(|plan| TestFolder::claim(&plan.config.test_dir()))
            .collect::<Result<_, _>>()?;
        Ok(Self {
            plans: &resolution.plans,
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
            };
            let report = self.one(&spec)?;
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

    fn one(&self, spec: &TestSpec) -> Result<TestReport, Failure> {
        let (mut child, mut socket) = start(&spec.config)?;
        // A child that cannot be told what to do says why itself, or ends without a word.
        let _ = send_spec(&mut socket, spec);
        // Read beside the waiting: a report that does not fit the socket's buffer would keep the child from ending.
        let reader = std::thread::spawn(move || receive_report(&mut socket));
        let status = self.wait(&mut child)?;
        match reader.join() {
            Ok(Ok(Some(report))) => Ok(report),
            _ => Ok(lost(spec, self.ended_without_a_word(status))),
        }
    }

    fn wait(&self, child: &mut Child) -> Result<ExitStatus, Failure> {
        let failed = |error: std::io::Error| {
            Failure::harness("cannot wait for a test's process").because(error)
        };
        let mut told: Option<Instant> = None;
        loop {
            if let Some(status) = child.try_wait().map_err(failed)? {
                return Ok(status);
            }
            let asked = self.stop.count();
            if asked > 0 && told.is_none() {
                told = Some(Instant::now());
                eprintln!("stopping; once more to stop at once");
                signal(child, Signal::TERM);
            }
            if asked > 1 || told.is_some_and(|told| told.elapsed() > PATIENCE) {
                signal(child, Signal::KILL);
            }
            std::thread::sleep(LOOK);
        }
    }

    fn ended_without_a_word(&self, status: ExitStatus) -> Failure {
        if self.stop.count() > 0 {
            return Failure::interrupted("the test was stopped before its end");
        }
        match status.signal() {
            Some(9) => Failure::harness("the test's process was killed (signal 9)")
                .because("the system kills processes when memory runs out; so may an administrator")
                .hint("use a smaller --gpu_batch_size, which sizes the KV cache; `dmesg` may say more"),
            Some(number) => Failure::harness(format!("the test's process crashed (signal {number})"))
                .hint("this is a defect of this program: please report it with the command and the logs"),
            None => Failure::harness(format!("the test's process ended without a result ({status})")),
        }
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

    fn summary(&self) -> String {
        let not_run: Vec<String> = self.plans[self.results.len()..]
            .iter()
            .map(|plan| name(&plan.config))
            .collect();
        summary(&self.results, &not_run)
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

/// A child with one end of a socket as its stdin. It has a process group of its own: Ctrl-C reaches this process alone,
/// which then tells the child once.
fn start(config: &ResolvedConfig) -> Result<(Child, UnixStream), Failure> {
    let failed = |error: std::io::Error| {
        Failure::harness("cannot start a process for the test").because(error)
    };
    let (ours, theirs) = UnixStream::pair().map_err(failed)?;
    let program = std::env::current_exe().map_err(failed)?;
    let child = child_command(&program, config)
        .stdin(Stdio::from(OwnedFd::from(theirs)))
        .process_group(0)
        .spawn()
        .map_err(failed)?;
    Ok((child, ours))
}

/// Its environment says which GPUs it sees.
fn child_command(program: &Path, config: &ResolvedConfig) -> Command {
    let mut command = Command::new(program);
    command.arg("run-test").envs(config.engine.environment());
    command
}

fn signal(child: &Child, signal: Signal) {
    // A child that ended in the meantime needs no signal.
    if let Some(pid) = i32::try_from(child.id()).ok().and_then(Pid::from_raw) {
        let _ = kill_process(pid, signal);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::testing::Setup;

    #[test]
    fn a_child_sees_the_devices_that_were_asked_for() {
        let seen = |flags: &[(&str, &str)]| {
            let setup = Setup {
                workload: "gptj-mini",
                gpus: 3,
            };
            let command = child_command(Path::new("program"), &setup.config(flags));
            let mut envs = command.get_envs();
            let found = envs.find(|(name, _)| *name == "CUDA_VISIBLE_DEVICES");
            found.and_then(|(_, value)| Some(value?.to_str()?.to_owned()))
        };
        let gpus = seen(&[("engine", "cuda"), ("devices", "2,0")]);
        assert_eq!(gpus.as_deref(), Some("GPU-2,GPU-0"));
        assert_eq!(seen(&[("engine", "cpu")]), None);
    }
}
