//! Server: too slow, or too few queries to be sure. Whether a lower rate is needed, and which one, is told from how the
//! queue grew.

use super::{Asked, Figures, Finding, in_percent, ordinal, rounded, seconds};
use crate::report::early_stopping as needs;
use crate::report::loadgen_log::LoadgenLog;
use crate::report::server_rate::{Goal, Pace};

/// Below the highest rate that should hold: engines have better and worse minutes.
const MARGIN: f64 = 0.97;
/// Where the queue did not grow, bursts made it too long, which a little less makes rarer.
const A_LITTLE_LESS: f64 = 0.95;
/// More queries than so many times those that were run are no advice.
const MOST_MORE: u64 = 20;

/// What a Server test came to.
struct Seen {
    goal: Goal,
    queries: u64,
    over: u64,
    /// Queries a second as LoadGen scheduled them.
    came: f64,
    /// What `server_target_qps` is multiplied with.
    factor: f64,
    /// What the engines did while requests waited, if they did for long enough.
    pace: Option<Pace>,
    outstanding: u64,
    /// The finding `latency` says why it was too slow.
    told_before: bool,
}

/// A lower rate, and why that one.
struct Lower {
    /// As `server_target_qps`; `None`: no rate helps.
    qps: Option<f64>,
    why: String,
}

/// The percentile is over the bound.
pub fn latency(log: &LoadgenLog, asked: &Asked<'_>) -> Finding {
    let seen = Seen::of(log, asked);
    let at = percentile_latency(log, seen.goal.percentile);
    let over_by = at.map_or(String::new(), |at| {
        format!(
            "; the {} percentile is {at:.3} s, {:.3} s too long",
            ordinal(seen.goal.percentile),
            at - seen.goal.bound
        )
    });
    let message = format!("{}{over_by}", seen.count());
    let lower = seen.lower(log);
    seen.finding("latency", message, asked, lower)
}

/// LoadGen is not sure of the percentile.
pub fn early_stopping(log: &LoadgenLog, asked: &Asked<'_>) -> Finding {
    let seen = Seen::of(log, asked);
    let more = seen.more();
    let at_share = seen.needed_at_share();
    let mut message = format!(
        "too few queries to be sure of the percentile (early stopping): {}. {more} more are needed if all of them are within \
         the bound",
        seen.count()
    );
    if seen.over > 0 {
        message += &match at_share {
            Some(needed) => format!(
                ", {} more if they are over it as often as these",
                needed.saturating_sub(seen.queries)
            ),
            None => ", and no number is enough if they are over it as often as these".to_owned(),
        };
    }
    let few_more = at_share.filter(|needed| *needed <= seen.queries.saturating_mul(MOST_MORE));
    match few_more.filter(|_| !seen.grows()) {
        Some(needed) => Finding {
            rule: "early_stopping".to_owned(),
            message,
            remedy: match seen.over {
                0 => format!("run {needed} queries; the rate holds"),
                _ => format!("run {needed} queries, or ask for a little less"),
            },
            command: Some(asked.next(&[("min_query_count", &needed.to_string())])),
            figures: Some(seen.figures(seen.lower(log).qps.filter(|_| seen.over > 0))),
        },
        None => {
            let lower = seen.lower(log);
            seen.finding("early_stopping", message, asked, lower)
        }
    }
}

impl Seen {
    fn of(log: &LoadgenLog, asked: &Asked<'_>) -> Self {
        let mut goal = Goal::of(asked.config);
        // What LoadGen went by, should it differ.
        if let Some(percentile) = log.number("effective_target_latency_percentile") {
            goal.percentile = percentile;
        }
        Self {
            goal,
            queries: log.count("result_query_count").unwrap_or(0),
            over: log.count("result_overlatency_query_count").unwrap_or(0),
            came: log
                .number("result_scheduled_samples_per_sec")
                .unwrap_or(0.0),
            factor: asked.config.loadgen.server_target_qps_adj_factor,
            pace: asked.queue.and_then(Pace::of),
            outstanding: asked
                .queue
                .map_or(0, |queue| queue.outstanding_at_last_arrival),
            told_before: log.flag("result_perf_constraints_met") == Some(false),
        }
    }

    fn allowed(&self) -> Option<u64> {
        needs::allowed(self.queries, self.goal.percentile)
    }

    fn more(&self) -> u64 {
        needs::queries_needed(self.over, self.goal.percentile).saturating_sub(self.queries)
    }

    fn needed_at_share(&self) -> Option<u64> {
        let share = self.over as f64 / self.queries.max(1) as f64;
        needs::queries_needed_at_share(share, self.goal.percentile)
    }

    /// Whether queries came faster than the engines answer.
    fn grows(&self) -> bool {
        self.pace.is_some_and(|pace| self.came > pace.served)
    }

    /// `120 of 1000 queries (12.0 %) took longer than 20.000 s, 2 may`
    fn count(&self) -> String {
        let may = match self.allowed() {
            Some(0) => "none may".to_owned(),
            Some(allowed) => format!("{allowed} may"),
            None => format!(
                "none may, and so few queries prove nothing about {} %",
                in_percent(self.goal.percentile)
            ),
        };
        format!(
            "{} of {} queries ({:.2} %) took longer than {:.3} s, {may}",
            self.over,
            self.queries,
            100.0 * self.over as f64 / self.queries.max(1) as f64,
            self.goal.bound
        )
    }

    fn figures(&self, nearest_qps: Option<f64>) -> Figures {
        Figures {
            queries: self.queries,
            over_latency: self.over,
            allowed: self.allowed(),
            more_queries: self.more(),
            more_queries_at_this_share: self
                .needed_at_share()
                .map(|needed| needed.saturating_sub(self.queries)),
            nearest_qps,
        }
    }

    fn lower(&self, log: &LoadgenLog) -> Lower {
        let fastest = seconds(log, "result_min_latency_ns");
        if fastest > self.goal.bound {
            return Lower {
                qps: None,
                why: format!("no rate helps, as even the fastest answer took {fastest:.3} s"),
            };
        }
        match self.pace.filter(|_| self.grows()) {
            Some(pace) => self.below_the_limit(pace),
            None => Lower {
                qps: Some(self.came * A_LITTLE_LESS / self.factor),
                why: format!(
                    "queries came at {:.2} a second, and the queue did not grow without end: bursts made it too long",
                    self.came
                ),
            },
        }
    }

    fn below_the_limit(&self, pace: Pace) -> Lower {
        let grew = format!(
            "queries came at {:.2} a second and {:.2} were answered while others waited: the queue grew to the end, when \
             {} were open",
            self.came, pace.served, self.outstanding
        );
        // Engines that are behind by more than the bound as soon as they are full have to be kept from filling.
        let Some(limit) = self.goal.limit(pace) else {
            return Lower {
                qps: Some(pace.served * A_LITTLE_LESS / self.factor),
                why: grew,
            };
        };
        let rate = (limit * MARGIN).min(self.came * A_LITTLE_LESS);
        Lower {
            qps: Some(rate / self.factor),
            why: format!(
                "{grew}; at {:.2} the last of {:.0} s of queries would still be within the bound",
                rate,
                self.goal.seconds(rate)
            ),
        }
    }

    fn finding(&self, rule: &str, message: String, asked: &Asked<'_>, lower: Lower) -> Finding {
        let (remedy, command) = match lower.qps {
            Some(qps) => (
                format!(
                    "ask for about {} queries a second; `run_harness tune-server` finds the highest rate that holds",
                    rounded(qps)
                ),
                asked.next(&[("server_target_qps", &rounded(qps))]),
            ),
            None => (
                "a request has to be faster by itself: another --precision or --engine; SingleStream says how long one takes \
                 alone"
                    .to_owned(),
                asked.command.with(&[("scenarios", "single_stream")]),
            ),
        };
        Finding {
            rule: rule.to_owned(),
            message: match self.told_before && rule != "latency" {
                true => message,
                false => format!("{message}. {}", first_letter_large(&lower.why)),
            },
            remedy,
            command: Some(command),
            figures: Some(self.figures(lower.qps)),
        }
    }
}

/// The latency at the percentile, where LoadGen logs that one.
fn percentile_latency(log: &LoadgenLog, percentile: f64) -> Option<f64> {
    let key = format!("result_{:.2}_percentile_latency_ns", percentile * 100.0);
    Some(log.number(&key)? / 1e9)
}

fn first_letter_large(text: &str) -> String {
    let mut letters = text.chars();
    let first = letters.next().map(|letter| letter.to_ascii_uppercase());
    first.into_iter().chain(letters).collect()
}

#[cfg(test)]
mod tests {
    use super::super::findings;
    use super::*;
    use crate::config::testing::Setup;
    use crate::report::command_line::CommandLine;
    use crate::report::result::Queue;

    const GREW: Queue = Queue {
        arrival_seconds: 30.0,
        outstanding_at_last_arrival: 1800,
        busy_seconds: 80.0,
        served_per_second: Some(30.0),
        lag_seconds: Some(2.0),
    };

    fn found(over: u64, queries: u64, queue: Option<&Queue>) -> Vec<Finding> {
        let log = LoadgenLog::of(&[
            ("result_perf_constraints_met", (over * 100 < queries).into()),
            ("early_stopping_met", false.into()),
            ("effective_target_latency_percentile", 0.99.into()),
            ("result_overlatency_query_count", over.into()),
            ("result_query_count", queries.into()),
            ("result_scheduled_samples_per_sec", 90.0.into()),
            ("result_min_latency_ns", 1_000_000_000_u64.into()),
            (
                "result_99.00_percentile_latency_ns",
                51_500_000_000_u64.into(),
            ),
        ]);
        let setup = Setup {
            workload: "gptj-mini",
            gpus: 0,
        };
        let config = setup.config(&[("scenarios", "server")]);
        let command = CommandLine::default();
        findings(
            &log,
            &Asked {
                config: &config,
                command: &command,
                queue,
            },
        )
    }

    #[test]
    fn a_queue_that_grew_is_told_the_rate_that_holds_to_the_end() {
        let found = found(2000, 2700, Some(&GREW));
        let rules: Vec<&str> = found.iter().map(|finding| &*finding.rule).collect();
        assert_eq!(rules, ["latency", "early_stopping"]);
        let message = &found[0].message;
        for part in [
            "2000 of 2700 queries (74.07 %) took longer than 20.000 s, 15 may",
            "the 99th percentile is 51.500 s, 31.500 s too long",
            "Queries came at 90.00 a second and 30.00 were answered while others waited",
            "when 1800 were open",
        ] {
            assert!(message.contains(part), "{message}");
        }
        // (rate / 30 - 1) * 30 s + 2 s reach 20 s at 48; less a margin.
        let nearest = found[0].figures.as_ref().unwrap().nearest_qps.unwrap();
        assert!((46.0..48.0).contains(&nearest), "{nearest}");
        assert_eq!(
            found[0].command,
            Some(format!(
                "run_harness --scenarios=server --server_target_qps={}",
                rounded(nearest)
            ))
        );
        assert_eq!(
            found[1]
                .figures
                .as_ref()
                .unwrap()
                .more_queries_at_this_share,
            None
        );
    }

    #[test]
    fn bursts_are_told_from_a_queue_that_grows() {
        let found = found(40, 2700, None);
        assert!(
            found[0].message.contains("did not grow without end"),
            "{found:?}"
        );
        let nearest = found[0].figures.as_ref().unwrap().nearest_qps.unwrap();
        assert!((nearest - 85.5).abs() < 1e-9, "{nearest}");
    }

    #[test]
    fn early_stopping_is_told_how_many_queries_are_missing() {
        let none_over = &found(0, 300, None)[0];
        assert!(
            none_over.message.contains("159 more are needed if all"),
            "{none_over:?}"
        );
        assert_eq!(none_over.remedy, "run 459 queries; the rate holds");
        assert_eq!(none_over.figures.as_ref().unwrap().more_queries, 159);
        assert_eq!(none_over.figures.as_ref().unwrap().nearest_qps, None);

        let one_over = &found(1, 500, None)[0];
        let figures = one_over.figures.as_ref().unwrap();
        assert_eq!((figures.allowed, figures.more_queries), (Some(0), 162));
        let needed = 500 + figures.more_queries_at_this_share.unwrap();
        assert_eq!(needs::allowed(needed, 0.99), Some(needed.div_ceil(500)));
        assert_eq!(
            one_over.command,
            Some(format!(
                "run_harness --scenarios=server --min_query_count={needed}"
            ))
        );
    }

    #[test]
    fn more_queries_do_not_help_where_the_queue_grows() {
        let found = found(1, 500, Some(&GREW));
        let command = found[0].command.as_ref().unwrap();
        assert!(command.contains("--server_target_qps="), "{command}");
    }
}
