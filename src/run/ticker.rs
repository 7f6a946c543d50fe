//! The progress of a test, for people.

use std::time::{Duration, Instant};

use indicatif::{DecimalBytes, FormattedDuration, HumanDuration};

use super::progress_line::ProgressLine;
use super::work::{Count, Stage};
use crate::bridge::ffi::ProgressSnapshot;
use crate::config::{ResolvedConfig, Scenario, TestMode};

/// How often a plain line appears.
const PLAIN: Duration = Duration::from_secs(10);
/// The rate shown is that of the last samples, over at least this time.
const WINDOW: Duration = Duration::from_secs(5);

/// What ends a test.
struct Goal {
    title: String,
    offline: bool,
    accuracy: bool,
    min_duration: Duration,
    min_queries: u64,
}

/// Draws the progress of one test.
pub struct Ticker {
    goal: Goal,
    line: ProgressLine,
    stage: Option<(Stage, Instant)>,
    /// Times and counts of completed samples, oldest first, for the present rate.
    seen: Vec<(Instant, ProgressSnapshot)>,
}

impl Ticker {
    /// Decides how things are drawn.
    pub fn new(config: &ResolvedConfig) -> Self {
        Self {
            goal: Goal {
                title: format!("{} {}", config.benchmark_full(), config.run.scenario),
                offline: config.run.scenario == Scenario::Offline,
                accuracy: config.run.test_mode != TestMode::PerformanceOnly,
                min_duration: Duration::from_millis(config.loadgen.min_duration_ms),
                min_queries: config.loadgen.min_query_count,
            },
            line: ProgressLine::new(&config.report, PLAIN),
            stage: None,
            seen: Vec::new(),
        }
    }

    /// Shows where things are; called several times a second.
    pub fn tick(&mut self, stage: Stage, snapshot: ProgressSnapshot, count: Count) {
        let now = Instant::now();
        let since = match self.stage {
            Some((shown, since)) if shown == stage => since,
            _ => {
                self.stage = Some((stage, now));
                self.seen.clear();
                self.line.begin();
                now
            }
        };
        self.seen.push((now, snapshot));
        while self.seen.len() > 2 && now - self.seen[1].0 > WINDOW {
            self.seen.remove(0);
        }
        // May last minutes, and has nothing new to say in all of them.
        let is_quiet = matches!(stage, Stage::Providing(_) | Stage::Creating);
        if is_quiet && !self.line.is_terminal() {
            return;
        }
        let (goal, seen, elapsed) = (&self.goal, &self.seen, now - since);
        self.line.show(|| {
            let what = match stage {
                Stage::Loading => "reading model and data".to_owned(),
                Stage::Weights => format!("reading weights, {}", bytes(count, elapsed)),
                Stage::Tokenising => format!("tokenising, {}", samples(count, elapsed)),
                Stage::Creating => format!("creating the engine, {}", FormattedDuration(elapsed)),
                Stage::Providing(phase) => format!("{phase}, {}", FormattedDuration(elapsed)),
                Stage::Measuring => format!(
                    "measuring the rate, {} samples, {}",
                    snapshot.samples_completed,
                    FormattedDuration(elapsed)
                ),
                Stage::Scoring => format!("scoring the answers, {}", samples(count, elapsed)),
                Stage::Running => goal.running(seen, elapsed, snapshot, count.total),
            };
            format!("{}: {what}", goal.title)
        });
    }

    /// Prints a line for people, above the progress.
    pub fn say(&self, line: &str) {
        self.line.say(line);
    }

    /// Leaves the terminal as it was.
    pub fn finish(&mut self) {
        self.line.finish();
    }
}

impl Goal {
    /// `seen` holds at least the snapshot.
    fn running(
        &self,
        seen: &[(Instant, ProgressSnapshot)],
        elapsed: Duration,
        snapshot: ProgressSnapshot,
        samples: u64,
    ) -> String {
        let (first, then) = seen[0];
        let seconds = seen[seen.len() - 1].0.duration_since(first).as_secs_f64();
        let per_second = |now: u64, then: u64| match seconds {
            0.0 => 0.0,
            seconds => now.saturating_sub(then) as f64 / seconds,
        };
        let rate = per_second(snapshot.samples_completed, then.samples_completed);
        let tokens = per_second(snapshot.tokens_generated, then.tokens_generated);
        let overall = snapshot.samples_completed as f64 / elapsed.as_secs_f64().max(1e-3);
        let total = match samples {
            0 if self.offline || self.accuracy => format!("/{}", snapshot.samples_issued),
            0 => String::new(),
            samples => format!("/{samples}"),
        };
        let left = until(self.left(elapsed, overall, snapshot, samples));
        format!(
            "{}{total} samples, {rate:.2} samples/s, {tokens:.0} tokens/s, {} running, {} waiting{left}",
            snapshot.samples_completed, snapshot.running, snapshot.waiting
        )
    }

    /// `samples` are all that the test has, where that is known.
    fn left(
        &self,
        elapsed: Duration,
        rate: f64,
        snapshot: ProgressSnapshot,
        samples: u64,
    ) -> Option<Duration> {
        if rate <= 0.0 {
            return None;
        }
        let open = if samples != 0 {
            samples.saturating_sub(snapshot.samples_completed)
        } else if self.offline {
            snapshot
                .samples_issued
                .saturating_sub(snapshot.samples_completed)
        } else if self.accuracy {
            return None;
        } else {
            self.min_queries.saturating_sub(snapshot.samples_completed)
        };
        let by_samples = Duration::try_from_secs_f64(open as f64 / rate).ok()?;
        let by_time = match self.offline || samples != 0 {
            true => Duration::ZERO,
            false => self.min_duration.saturating_sub(elapsed),
        };
        Some(by_samples.max(by_time))
    }
}

/// `3.20 GB/24.20 GB, 1.90 GB/s, 11 seconds left`.
fn bytes(count: Count, elapsed: Duration) -> String {
    let rate = per_second(count, elapsed);
    format!(
        "{}/{}, {}/s{}",
        DecimalBytes(count.done),
        DecimalBytes(count.total),
        DecimalBytes(rate as u64),
        until(time_left(count, rate))
    )
}

/// `300/13368 samples, 560 samples/s, 23 seconds left`.
fn samples(count: Count, elapsed: Duration) -> String {
    let rate = per_second(count, elapsed);
    format!(
        "{}/{} samples, {rate:.0} samples/s{}",
        count.done,
        count.total,
        until(time_left(count, rate))
    )
}

fn per_second(count: Count, elapsed: Duration) -> f64 {
    count.done as f64 / elapsed.as_secs_f64().max(1e-3)
}

fn time_left(count: Count, rate: f64) -> Option<Duration> {
    let open = count.total.saturating_sub(count.done);
    // There is no saying before anything is done.
    Duration::try_from_secs_f64(open as f64 / rate).ok()
}

fn until(left: Option<Duration>) -> String {
    left.map_or(String::new(), |left| {
        format!(", {} left", HumanDuration(left))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::testing::Setup;

    fn goal(scenario: &str) -> Goal {
        let config = Setup {
            workload: "gptj-mini",
            gpus: 0,
        }
        .config(&[("scenarios", scenario), ("min_query_count", "100")]);
        Ticker::new(&config).goal
    }

    fn snapshot(issued: u64, completed: u64) -> ProgressSnapshot {
        ProgressSnapshot {
            samples_issued: issued,
            samples_completed: completed,
            ..ProgressSnapshot::default()
        }
    }

    #[test]
    fn offline_ends_with_its_samples() {
        let left = |completed| {
            goal("offline").left(Duration::from_secs(10), 2.0, snapshot(1000, completed), 0)
        };
        assert_eq!(left(900), Some(Duration::from_secs(50)));
        assert_eq!(left(1000), Some(Duration::ZERO));
        assert_eq!(
            goal("offline").left(Duration::ZERO, 0.0, snapshot(10, 0), 0),
            None
        );
    }

    #[test]
    fn server_ends_with_its_time_and_its_queries() {
        let left = |seconds, completed| {
            goal("server").left(Duration::from_secs(seconds), 2.0, snapshot(0, completed), 0)
        };
        assert_eq!(
            left(10, 95),
            Some(Duration::from_secs(20)),
            "30 s are asked for"
        );
        assert_eq!(
            left(40, 80),
            Some(Duration::from_secs(10)),
            "100 queries are asked for"
        );
    }

    #[test]
    fn an_accuracy_run_ends_with_its_samples() {
        let left = |completed| {
            let elapsed = Duration::from_secs(1);
            goal("server").left(elapsed, 2.0, snapshot(0, completed), 64)
        };
        assert_eq!(left(60), Some(Duration::from_secs(2)));
        let text = goal("server").running(
            &[(Instant::now(), snapshot(8, 4))],
            Duration::from_secs(2),
            snapshot(8, 4),
            64,
        );
        assert!(text.starts_with("4/64 samples, "), "{text}");
        assert!(text.ends_with(", 30 seconds left"), "{text}");
    }

    #[test]
    fn what_is_counted_has_a_rate_and_a_time() {
        let count = |done, total| Count { done, total };
        let ten = Duration::from_secs(10);
        assert_eq!(
            bytes(count(5_000_000_000, 15_000_000_000), ten),
            "5.00 GB/15.00 GB, 500.00 MB/s, 20 seconds left"
        );
        assert_eq!(
            samples(count(100, 400), ten),
            "100/400 samples, 10 samples/s, 30 seconds left"
        );
        assert_eq!(samples(count(0, 400), ten), "0/400 samples, 0 samples/s");
    }
}
