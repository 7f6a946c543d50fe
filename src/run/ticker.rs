//! The progress of a test, for people.

use std::time::{Duration, Instant};

use indicatif::{FormattedDuration, HumanDuration};

use super::progress_line::ProgressLine;
use super::work::Stage;
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
            line: ProgressLine::new(config.report.quiet, PLAIN),
            stage: None,
            seen: Vec::new(),
        }
    }

    /// Shows where things are; called several times a second.
    pub fn tick(&mut self, stage: Stage, snapshot: ProgressSnapshot) {
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
        if matches!(stage, Stage::Providing(_)) && !self.line.is_terminal() {
            return;
        }
        let (goal, seen) = (&self.goal, &self.seen);
        self.line.show(|| match stage {
            Stage::Loading => format!("{}: reading model and data", goal.title),
            Stage::Providing(phase) => {
                format!(
                    "{}: {phase}, {}",
                    goal.title,
                    FormattedDuration(now - since)
                )
            }
            Stage::Measuring => format!("{}: measuring the rate", goal.title),
            Stage::Scoring => format!("{}: scoring the answers", goal.title),
            Stage::Running => goal.running(seen, now - since, snapshot),
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
        let total = match self.offline || self.accuracy {
            true => format!("/{}", snapshot.samples_issued),
            false => String::new(),
        };
        let left = match self.left(elapsed, overall, snapshot) {
            Some(left) => format!(", {} left", HumanDuration(left)),
            None => String::new(),
        };
        format!(
            "{}: {}{total} samples, {rate:.2} samples/s, {tokens:.0} tokens/s, {} running, {} waiting{left}",
            self.title, snapshot.samples_completed, snapshot.running, snapshot.waiting
        )
    }

    fn left(&self, elapsed: Duration, rate: f64, snapshot: ProgressSnapshot) -> Option<Duration> {
        if rate <= 0.0 {
            return None;
        }
        let open = if self.offline {
            snapshot
                .samples_issued
                .saturating_sub(snapshot.samples_completed)
        } else if self.accuracy {
            return None;
        } else {
            self.min_queries.saturating_sub(snapshot.samples_completed)
        };
        let by_samples = Duration::try_from_secs_f64(open as f64 / rate).ok()?;
        let by_time = match self.offline {
            true => Duration::ZERO,
            false => self.min_duration.saturating_sub(elapsed),
        };
        Some(by_samples.max(by_time))
    }
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
            goal("offline").left(Duration::from_secs(10), 2.0, snapshot(1000, completed))
        };
        assert_eq!(left(900), Some(Duration::from_secs(50)));
        assert_eq!(left(1000), Some(Duration::ZERO));
        assert_eq!(
            goal("offline").left(Duration::ZERO, 0.0, snapshot(10, 0)),
            None
        );
    }

    #[test]
    fn server_ends_with_its_time_and_its_queries() {
        let left = |seconds, completed| {
            goal("server").left(Duration::from_secs(seconds), 2.0, snapshot(0, completed))
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
}
