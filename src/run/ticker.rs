//! Progress for people, on stderr: a line that is drawn over on a terminal, a plain line now and then elsewhere.

use std::io::IsTerminal;
use std::time::{Duration, Instant};

use indicatif::{HumanDuration, ProgressBar, ProgressDrawTarget, ProgressStyle};

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
    look: Look,
    stage: Option<(Stage, Instant)>,
    /// Times and counts of completed samples, oldest first, for the present rate.
    seen: Vec<(Instant, ProgressSnapshot)>,
}

enum Look {
    Hidden,
    Plain(Option<Instant>),
    Terminal(ProgressBar),
}

impl Ticker {
    /// Decides how things are drawn.
    pub fn new(config: &ResolvedConfig) -> Self {
        let look = if config.report.quiet {
            Look::Hidden
        } else if std::io::stderr().is_terminal() {
            let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
            // A template of literals that are known to parse.
            if let Ok(style) = ProgressStyle::with_template("{spinner} {msg}") {
                bar.set_style(style);
            }
            Look::Terminal(bar)
        } else {
            Look::Plain(None)
        };
        Self {
            goal: Goal {
                title: format!("{} {}", config.benchmark_full(), config.run.scenario),
                offline: config.run.scenario == Scenario::Offline,
                accuracy: config.run.test_mode != TestMode::PerformanceOnly,
                min_duration: Duration::from_millis(config.loadgen.min_duration_ms),
                min_queries: config.loadgen.min_query_count,
            },
            look,
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
                if let Look::Plain(last) = &mut self.look {
                    *last = None;
                }
                now
            }
        };
        if matches!(self.look, Look::Hidden) {
            return;
        }
        self.seen.push((now, snapshot));
        while self.seen.len() > 2 && now - self.seen[1].0 > WINDOW {
            self.seen.remove(0);
        }
        let text = match stage {
            Stage::Loading => format!("{}: reading model and data", self.goal.title),
            Stage::Measuring => format!("{}: measuring the rate", self.goal.title),
            Stage::Scoring => format!("{}: scoring the answers", self.goal.title),
            Stage::Running => self.running(now - since, snapshot),
        };
        match &mut self.look {
            Look::Hidden => {}
            Look::Terminal(bar) => {
                bar.set_message(text);
                bar.tick();
            }
            Look::Plain(last) if last.is_none_or(|last| now - last >= PLAIN) => {
                *last = Some(now);
                eprintln!("{text}");
            }
            Look::Plain(_) => {}
        }
    }

    /// Leaves the terminal as it was.
    pub fn finish(&mut self) {
        if let Look::Terminal(bar) = &self.look {
            bar.finish_and_clear();
        }
    }

    fn running(&self, elapsed: Duration, snapshot: ProgressSnapshot) -> String {
        let (first, then) = self.seen[0];
        let seconds = self.seen[self.seen.len() - 1]
            .0
            .duration_since(first)
            .as_secs_f64();
        let per_second = |now: u64, then: u64| match seconds {
            0.0 => 0.0,
            seconds => now.saturating_sub(then) as f64 / seconds,
        };
        let rate = per_second(snapshot.samples_completed, then.samples_completed);
        let tokens = per_second(snapshot.tokens_generated, then.tokens_generated);
        let overall = snapshot.samples_completed as f64 / elapsed.as_secs_f64().max(1e-3);
        let total = match self.goal.offline || self.goal.accuracy {
            true => format!("/{}", snapshot.samples_issued),
            false => String::new(),
        };
        let left = match self.left(elapsed, overall, snapshot) {
            Some(left) => format!(", {} left", HumanDuration(left)),
            None => String::new(),
        };
        format!(
            "{}: {}{total} samples, {rate:.2} samples/s, {tokens:.0} tokens/s, {} running, {} waiting{left}",
            self.goal.title, snapshot.samples_completed, snapshot.running, snapshot.waiting
        )
    }

    fn left(&self, elapsed: Duration, rate: f64, snapshot: ProgressSnapshot) -> Option<Duration> {
        if rate <= 0.0 {
            return None;
        }
        let open = if self.goal.offline {
            snapshot
                .samples_issued
                .saturating_sub(snapshot.samples_completed)
        } else if self.goal.accuracy {
            return None;
        } else {
            self.goal
                .min_queries
                .saturating_sub(snapshot.samples_completed)
        };
        let by_samples = Duration::try_from_secs_f64(open as f64 / rate).ok()?;
        let by_time = match self.goal.offline {
            true => Duration::ZERO,
            false => self.goal.min_duration.saturating_sub(elapsed),
        };
        Some(by_samples.max(by_time))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::testing::Setup;

    fn ticker(scenario: &str) -> Ticker {
        let config = Setup {
            workload: "gptj-mini",
            gpus: 0,
        }
        .config(&[("scenarios", scenario), ("min_query_count", "100")]);
        Ticker::new(&config)
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
            ticker("offline").left(Duration::from_secs(10), 2.0, snapshot(1000, completed))
        };
        assert_eq!(left(900), Some(Duration::from_secs(50)));
        assert_eq!(left(1000), Some(Duration::ZERO));
        assert_eq!(
            ticker("offline").left(Duration::ZERO, 0.0, snapshot(10, 0)),
            None
        );
    }

    #[test]
    fn server_ends_with_its_time_and_its_queries() {
        let left = |seconds, completed| {
            ticker("server").left(Duration::from_secs(seconds), 2.0, snapshot(0, completed))
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
