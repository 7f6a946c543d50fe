//! The work of a child process, step by step: read, create engines, measure, run LoadGen, read what came of it.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use cxx::SharedPtr;

use super::evaluate;
use super::inputs::{self, Loaded, SampleSource, failed};
use super::protocol::TestSpec;
use super::queue;
use super::rates::{self, Need};
use crate::bridge::ffi;
use crate::config::{Scenario, TestMode};
use crate::engines::{Engines, Listener, Phase};
use crate::error::Failure;
use crate::model::calibration::RangesUsed;
use crate::report::latencies::{self, Latencies};
use crate::report::result::{Harness, Loadgen, PlanInUse, Status, TestResult};
use crate::report::timeline::{Recorder, Timeline};
use crate::report::{explain, files};

/// How far the work is, for whoever draws it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// Configuration, headers, tokenizer: nothing that lasts.
    Loading,
    /// Weights are read for what identifies them. Counted in bytes.
    Weights,
    /// Prompts are tokenised. Counted in samples.
    Tokenising,
    /// Engines are created.
    Creating,
    /// The engines' plan is looked at, or built.
    Providing(Phase),
    /// The rate is measured.
    Measuring,
    /// LoadGen runs.
    Running,
    /// Answers are scored. Counted in samples.
    Scoring,
}

/// How much of a stage is done.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Count {
    /// What is done.
    pub done: u64,
    /// What there is to do; 0: not known.
    pub total: u64,
}

/// What the worker and whoever watches it share.
pub struct Shared {
    stage: Mutex<Stage>,
    progress: Mutex<SharedPtr<ffi::Progress>>,
    done: AtomicU64,
    total: AtomicU64,
    said: Mutex<Vec<String>>,
    recorder: Mutex<Recorder>,
}

impl Shared {
    /// Before anything happened.
    pub fn new() -> Self {
        Self {
            stage: Mutex::new(Stage::Loading),
            progress: Mutex::new(ffi::new_progress()),
            done: AtomicU64::new(0),
            total: AtomicU64::new(0),
            said: Mutex::new(Vec::new()),
            recorder: Mutex::new(Recorder::default()),
        }
    }

    /// The present stage and its counters.
    pub fn look(&self) -> (Stage, SharedPtr<ffi::Progress>) {
        (*locked(&self.stage), locked(&self.progress).clone())
    }

    /// How much of the present stage is done.
    pub fn count(&self) -> Count {
        Count {
            done: self.done.load(Ordering::Relaxed),
            total: self.total.load(Ordering::Relaxed),
        }
    }

    /// So much more was done.
    pub fn add(&self, more: u64) {
        self.done.fetch_add(more, Ordering::Relaxed);
    }

    /// A stage begins that has so much to do.
    pub fn enter_counted(&self, stage: Stage, total: u64) -> SharedPtr<ffi::Progress> {
        let fresh = self.enter(stage);
        self.total.store(total, Ordering::Relaxed);
        fresh
    }

    /// Keeps a look at the counters of the test itself.
    pub fn record(&self, seen: ffi::ProgressSnapshot) {
        locked(&self.recorder).look(seen);
    }

    /// What was kept of the test, if it came to anything.
    pub fn timeline(&self) -> Option<Timeline> {
        let timeline = locked(&self.recorder).timeline().clone();
        Some(timeline).filter(|timeline| !timeline.is_empty())
    }

    /// Lines for people since the last call: whoever draws the progress keeps them apart from it.
    pub fn said(&self) -> Vec<String> {
        std::mem::take(&mut *locked(&self.said))
    }

    /// Counters of a new stage begin at zero.
    fn enter(&self, stage: Stage) -> SharedPtr<ffi::Progress> {
        let fresh = ffi::new_progress();
        self.done.store(0, Ordering::Relaxed);
        self.total.store(0, Ordering::Relaxed);
        *locked(&self.progress) = fresh.clone();
        *locked(&self.stage) = stage;
        fresh
    }
}

impl Listener for Shared {
    fn phase(&self, phase: Phase) {
        self.enter(Stage::Providing(phase));
    }

    fn say(&self, line: String) {
        locked(&self.said).push(line);
    }
}

/// Nothing panics while it holds one of these locks, so that a poisoned one is as good as any.
fn locked<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner)
}

/// Does all of it and fills in `result`, as far as it gets.
pub fn work(spec: &TestSpec, shared: &Shared, result: &mut TestResult) -> Result<(), Failure> {
    let config = &spec.config;
    let loaded = inputs::load(config, shared)?;
    if let SampleSource::Texts(texts) = &loaded.source
        && let Some(failure) = texts.not_kept()
    {
        shared.say(format!(
            "note: the tokenised prompts cannot be kept, each run makes them anew: {}",
            failure.message
        ));
    }
    let inputs = loaded.describe();
    result.fp8_ranges = loaded.fp8_ranges.clone();
    if let Some(RangesUsed::Calibrated { dataset, .. }) = &result.fp8_ranges
        && *dataset == inputs.dataset
    {
        let reason = "FP8 was calibrated with the data that accuracy is measured on";
        result.not_for_submission.push(reason.to_owned());
    }
    result.inputs = Some(inputs);
    let samples = loaded.sample_set()?;
    let generation = config.generation.to_settings(loaded.model.eos_token);
    let plan = Engines::new(shared, Vec::new()).provide(config, &loaded.model)?;
    result.plan = plan.as_ref().map(PlanInUse::from);
    shared.enter(Stage::Creating);
    let plan = plan.as_ref().map(|plan| plan.path.as_path());
    let mut pool = loaded.engines(config, &generation, plan)?;
    result.engines = inputs::describe_engines(&pool)?;

    let need = rates::need(config, spec.offline_rate);
    result.rates = match need {
        Need::Nothing => result.rates.clone(),
        Need::Known(rate) => rates::from_offline(rate),
        Need::Measurement => {
            let progress = shared.enter(Stage::Measuring);
            let settings = rates::measurement(config);
            let measured =
                ffi::measure(&settings, &generation, pool.pin_mut(), &samples, &progress);
            rates::from_measurement(&measured.map_err(failed)?)
        }
    };
    rates::write_user_conf(config, need, &mut result.rates)?;

    // What performance runs end with is for LoadGen to say.
    let total = match config.run.test_mode {
        TestMode::AccuracyOnly => loaded.samples as u64,
        _ => 0,
    };
    let progress = shared.enter_counted(Stage::Running, total);
    let settings = ffi::RunSettings::from(config);
    let outcome = ffi::run_test(&settings, &generation, pool.pin_mut(), &samples, &progress);
    let outcome = outcome.map_err(failed)?;
    let mut last = ffi::snapshot(&progress);
    last.seconds = outcome.seconds;
    locked(&shared.recorder).close(last);
    let queue = match config.run.scenario {
        Scenario::Server => queue::of(locked(&shared.recorder).timeline()),
        Scenario::Offline | Scenario::SingleStream => None,
    };
    result.harness = Some(Harness {
        queue,
        ..Harness::from(&outcome)
    });
    if outcome.interrupted {
        return Err(Failure::interrupted("the test was stopped before its end"));
    }

    let log = evaluate::read_logs(config)?;
    result.loadgen = Some(Loadgen {
        version: log
            .text("loadgen_version")
            .unwrap_or_default()
            .trim()
            .to_owned(),
        errors: log.errors.clone(),
        warnings: log.warnings.clone(),
    });
    if config.run.test_mode != TestMode::PerformanceOnly {
        shared.enter_counted(Stage::Scoring, loaded.samples as u64);
        if let SampleSource::Texts(texts) = &loaded.source {
            let progress = || shared.add(1);
            result.accuracy = Some(evaluate::score(config, &loaded, texts, &progress)?);
        }
    }
    if config.run.test_mode != TestMode::AccuracyOnly {
        result.performance = Some(evaluate::performance(&log, config, &outcome)?);
        let asked = explain::Asked {
            config,
            command: &spec.command,
            queue: queue.as_ref(),
        };
        result.findings = explain::findings(&log, &asked);
        write_latencies(spec, &loaded, outcome.latencies_ns)?;
        result.valid = Some(log.is_valid() == Some(true) && log.errors.is_empty());
    }
    result.status = Status::Completed;
    Ok(())
}

/// Writes down how the latencies of the performance run are distributed.
fn write_latencies(
    spec: &TestSpec,
    loaded: &Loaded,
    mut latencies: Vec<u64>,
) -> Result<(), Failure> {
    // LoadGen answers every sample once for the accuracy, and only then begins to measure.
    if spec.config.run.test_mode == TestMode::SubmissionRun {
        latencies.drain(..loaded.samples.min(latencies.len()));
    }
    let Some(table) = Latencies::of(latencies) else {
        return Ok(());
    };
    let path = spec.config.test_dir().join(latencies::FILE_NAME);
    files::write_compact_json(&path, &table)
}
