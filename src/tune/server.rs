//! Runs the tests of a search: short ones that find the rate, full ones that confirm it.

use std::path::PathBuf;

use serde::Serialize;

use super::judge::{Seen, judge};
use super::search::{self, Full, Next, Outcome, Said, Search, Settings, round};
use crate::config::{Qps, ResolvedConfig};
use crate::error::Failure;
use crate::report::early_stopping;
use crate::report::result::Performance;
use crate::report::server_rate::{Goal, Pace};
use crate::report::{Finding, TestResult};

/// Short tests, at most.
const MOST_PROBES: usize = 24;
/// Full tests, at most.
const MOST_CONFIRMING: usize = 5;
/// Queries of a short test, at least.
const LEAST_QUERIES: u64 = 64;
/// A test that is to show how engines work when they are full fills them so many times.
const FILLINGS: u64 = 4;

/// What is searched, and how.
pub struct Tuning<'a> {
    /// The test: everything but its rate.
    pub config: &'a ResolvedConfig,
    /// The found rate is below the limit by this share at most.
    pub precision: f64,
    /// Milliseconds that queries of a short test come for.
    pub probe_ms: u64,
    /// Runs a test.
    pub run: &'a mut dyn FnMut(&ResolvedConfig) -> Result<TestResult, Failure>,
    /// Told how it goes, a line at a time.
    pub say: &'a mut dyn FnMut(&str),
}

/// A short test.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Probe {
    /// `server_target_qps`.
    pub qps: f64,
    /// Whether a full test at that rate should be VALID.
    pub holds: bool,
    /// Why.
    pub reason: String,
    /// Queries that came.
    pub queries: u64,
    /// Those over the bound.
    pub over_latency: u64,
    /// 99th percentile, in seconds.
    pub p99_seconds: f64,
    /// Queries answered a second.
    pub completed_per_second: f64,
    /// Answers a second while requests waited; absent when the engines were not busy for long enough.
    pub served_per_second: Option<f64>,
    /// Where the limit should be, as `server_target_qps`.
    pub estimated_limit: Option<f64>,
    /// Its logs.
    pub folder: PathBuf,
}

/// A full test.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Confirming {
    /// `server_target_qps`.
    pub qps: f64,
    /// LoadGen's verdict.
    pub valid: bool,
    /// Queries that came.
    pub queries: u64,
    /// Those over the bound.
    pub over_latency: u64,
    /// 99th percentile, in seconds.
    pub p99_seconds: f64,
    /// Queries answered a second.
    pub completed_per_second: f64,
    /// Broken rules.
    pub findings: Vec<Finding>,
    /// Its logs.
    pub folder: PathBuf,
}

/// What a search came to, however it ended.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Tuned {
    /// Short tests in their order.
    pub probes: Vec<Probe>,
    /// Full tests in their order.
    pub confirming: Vec<Confirming>,
    /// The rate that a full test confirmed.
    pub qps: Option<f64>,
    /// The highest rate that short tests found to hold.
    pub best_probed: Option<f64>,
    /// Why no rate was confirmed.
    pub failure: Option<Failure>,
}

/// Searches for the highest rate that holds, and confirms it.
pub fn tune(tuning: &mut Tuning<'_>) -> Tuned {
    let mut tuned = Tuned::default();
    tuned.failure = match tuning.config_is_possible() {
        Ok(()) => tuning.search(&mut tuned).err(),
        Err(failure) => Some(failure),
    };
    tuned
}

impl Tuning<'_> {
    fn factor(&self) -> f64 {
        self.config.loadgen.server_target_qps_adj_factor
    }

    /// Settings under which no rate is VALID.
    fn config_is_possible(&self) -> Result<(), Failure> {
        let loadgen = &self.config.loadgen;
        for (name, value) in [
            ("max_query_count", loadgen.max_query_count),
            ("max_duration", loadgen.max_duration_ms),
        ] {
            if value != 0 {
                return Err(
                    Failure::user(format!("{name} is {value}, which ends tests early"))
                        .because("LoadGen counts an early end as an error")
                        .hint(format!("use --{name}=0")),
                );
            }
        }
        Ok(())
    }

    fn search(&mut self, tuned: &mut Tuned) -> Result<(), Failure> {
        let first = match self.config.loadgen.server_target_qps {
            Qps::Fixed(qps) => Some(qps),
            Qps::Auto => None,
        };
        let mut search: Option<Search> = None;
        let outcome = loop {
            let next = search
                .as_ref()
                .map_or(first.map(Next::Try), |search| Some(search.next()));
            let asked = match next {
                Some(Next::Over(outcome)) => break outcome,
                Some(Next::Try(qps)) => Some(round(qps)),
                None => None,
            };
            let (probe, hopeless) = self.probe(asked, tuned.probes.len() + 1)?;
            let search = search.get_or_insert_with(|| {
                Search::new(Settings {
                    start: probe.qps,
                    precision: self.precision,
                    most: MOST_PROBES,
                })
            });
            let said = Said {
                holds: probe.holds,
                estimate: probe.estimated_limit,
            };
            search.note(probe.qps, said);
            tuned.best_probed = search.best();
            tuned.probes.push(probe);
            if hopeless {
                break Outcome::NothingHolds(tuned.probes.last().map_or(0.0, |probe| probe.qps));
            }
        };
        let rate = match outcome {
            Outcome::Found(qps) => qps,
            Outcome::UsedUp(Some(qps)) => {
                (self.say)(
                    "the short tests contradict each other; the highest rate that held is tried",
                );
                qps
            }
            Outcome::NoLimit(qps) => {
                (self.say)("no limit was found within reach; the highest rate that held is tried");
                qps
            }
            Outcome::UsedUp(None) | Outcome::NothingHolds(_) => {
                return Err(nothing_holds(tuned));
            }
        };
        self.confirm(rate, tuned)
    }

    /// A short test. Without a rate, one is measured first, as any test does.
    fn probe(&mut self, qps: Option<f64>, number: usize) -> Result<(Probe, bool), Failure> {
        let config = self.short(qps, number);
        let result = (self.run)(&config)?;
        let told = result.rates.target_qps;
        let rate = told.ok_or_else(|| Failure::harness("LoadGen was told no rate"))?;
        let performance = performance(&result)?;
        let queue = result.harness.as_ref().and_then(|harness| harness.queue);
        let seen = Seen::of(rate, performance, queue.as_ref());
        let judged = judge(&Goal::of(self.config), &seen);
        let probe = Probe {
            qps: qps.unwrap_or_else(|| round(rate / self.factor())),
            holds: judged.holds,
            reason: judged.reason,
            queries: seen.queries,
            over_latency: seen.over,
            p99_seconds: seen.p99,
            completed_per_second: performance.samples_per_second,
            served_per_second: seen.pace.map(|pace| pace.served),
            estimated_limit: judged.limit.map(|limit| limit / self.factor()),
            folder: config.test_dir(),
        };
        let verdict = if probe.holds { "holds" } else { "too high" };
        (self.say)(&format!(
            "probe {number}: {} queries/s: {verdict}: {}",
            probe.qps, probe.reason
        ));
        Ok((probe, judged.hopeless))
    }

    fn short(&self, qps: Option<f64>, number: usize) -> ResolvedConfig {
        let name = match qps {
            Some(qps) => format!("probe-{number:02}-{qps}"),
            None => format!("probe-{number:02}"),
        };
        let mut config = self.at(qps, &name);
        let engine = &self.config.engine;
        let engines = engine
            .devices
            .len()
            .max(engine.fake.instances as usize)
            .max(1) as u64;
        let filling = FILLINGS * engines * u64::from(engine.max_requests);
        let loadgen = &mut config.loadgen;
        loadgen.min_duration_ms = self.probe_ms.min(loadgen.min_duration_ms);
        loadgen.min_query_count = LEAST_QUERIES.max(filling).min(loadgen.min_query_count);
        loadgen.sample_concatenate_permutation = false;
        config
    }

    /// The test at a rate, in a folder of its own.
    fn at(&self, qps: Option<f64>, name: &str) -> ResolvedConfig {
        let mut config = self.config.clone();
        config.loadgen.server_target_qps = qps.map_or(Qps::Auto, Qps::Fixed);
        config.paths.log_dir = self.config.paths.log_dir.join("tune_server").join(name);
        config
    }

    /// Full tests: as a rule one. Where it is INVALID, or VALID and saw that much more would hold, short tests were
    /// disturbed, and others follow.
    fn confirm(&mut self, mut qps: f64, tuned: &mut Tuned) -> Result<(), Failure> {
        self.enough_queries(qps)?;
        let mut full = Full::default();
        for number in 1..=MOST_CONFIRMING {
            let seconds = Goal::of(self.config).seconds(qps * self.factor());
            (self.say)(&format!(
                "confirming run {number}: {qps} queries/s for {seconds:.0} s"
            ));
            let config = self.at(Some(qps), &format!("confirming-{number}-{qps}"));
            let result = (self.run)(&config)?;
            let one = confirming(qps, &result, config.test_dir())?;
            full.note(qps, one.valid);
            if !one.valid && full.valid.is_none() {
                only_too_fast(&result)?;
            }
            tuned.confirming.push(one);
            tuned.qps = full.valid;
            match full.next(self.limit(&result), self.precision) {
                Some(next) => qps = next,
                None => return Ok(()),
            }
        }
        if tuned.qps.is_some() {
            return Ok(());
        }
        let lowest = tuned.confirming.last().map_or(0.0, |one| one.qps);
        Err(Failure::user(format!(
            "{MOST_CONFIRMING} full tests were INVALID, the last one at {lowest} queries/s"
        ))
        .because("the machine held more in short tests than in full ones")
        .hint(format!(
            "see that nothing else runs on it, and go on from there: --server_target_qps={}, with a longer \
             --probe_duration",
            round(lowest * (1.0 - search::LARGEST_STEP))
        )))
    }

    /// Whether a full test has as many queries as early stopping needs.
    fn enough_queries(&self, qps: f64) -> Result<(), Failure> {
        let goal = Goal::of(self.config);
        let rate = qps * self.factor();
        if goal.allowed(rate).is_some() {
            return Ok(());
        }
        let needed = early_stopping::queries_needed(0, goal.percentile);
        Err(Failure::user(format!(
            "{} queries are too few to be sure of the percentile",
            goal.queries(rate)
        ))
        .because(format!(
            "early stopping needs {needed}, none of them over the bound"
        ))
        .hint(format!("use --min_query_count={needed}")))
    }

    /// The highest rate that should hold, as `server_target_qps`, from what a full test saw of its queue.
    fn limit(&self, result: &TestResult) -> Option<f64> {
        let queue = result.harness.as_ref()?.queue?;
        let limit = Goal::of(self.config).limit(Pace::of(&queue)?)?;
        Some(limit / self.factor())
    }
}

/// An INVALID result that a lower rate does not heal is a failure.
fn only_too_fast(result: &TestResult) -> Result<(), Failure> {
    let about_rate = |finding: &Finding| match (finding.rule.as_str(), &finding.figures) {
        ("latency", _) => true,
        ("early_stopping", Some(figures)) => figures.over_latency > 0,
        _ => false,
    };
    match result.findings.iter().find(|finding| !about_rate(finding)) {
        Some(other) => {
            let said = format!("no rate is VALID: {}: {}", other.rule, other.message);
            let todo = other.command.as_ref().unwrap_or(&other.remedy);
            Err(Failure::user(said).hint(todo))
        }
        None => Ok(()),
    }
}

fn confirming(qps: f64, result: &TestResult, folder: PathBuf) -> Result<Confirming, Failure> {
    let performance = performance(result)?;
    Ok(Confirming {
        qps,
        valid: result.valid == Some(true),
        queries: performance.query_count,
        over_latency: performance.overlatency_query_count.unwrap_or(0),
        p99_seconds: performance.latency_ns.p99 as f64 / 1e9,
        completed_per_second: performance.samples_per_second,
        findings: result.findings.clone(),
        folder,
    })
}

fn performance(result: &TestResult) -> Result<&Performance, Failure> {
    let found = result.performance.as_ref();
    found.ok_or_else(|| Failure::harness("a test that completed has no performance"))
}

fn nothing_holds(tuned: &Tuned) -> Failure {
    let failure = Failure::user("no rate holds the latency bound");
    let failure = match tuned.probes.last() {
        Some(last) => failure.because(format!("{} queries/s: {}", last.qps, last.reason)),
        None => failure,
    };
    failure.hint(
        "make each request faster: a smaller --gpu_batch_size, another --precision or --engine; `run_harness \
         --scenarios=single_stream` says how long one takes alone",
    )
}
