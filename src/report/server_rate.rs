//! What a Server run says about the rates that hold.
//!
//! Requests are answered in their order, more or less. While more of them wait than the engines take in, the engines
//! answer at a pace of their own, whatever the rate: `served` a second, `lag` seconds behind the first query. At `rate`, a
//! query that comes at the time `t` has `rate * t` before it, and is answered when the engines have come that far:
//!
//! ```text
//! latency(t) = rate * t / served + lag - t = (rate / served - 1) * t + lag
//! ```
//!
//! Below `served` nothing grows, and latency has to be looked at itself. Above it the last queries are the slowest, so
//! that the length of the run decides which rate still holds.

use super::early_stopping;
use super::result::Queue;
use crate::config::ResolvedConfig;

/// What a Server run has to reach.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Goal {
    /// Seconds that queries come for, at least.
    pub min_seconds: f64,
    /// Queries, at least.
    pub min_queries: u64,
    /// Queries come in whole permutations of so many samples; 0: they do not.
    pub permutation: u64,
    /// Seconds that a query may take.
    pub bound: f64,
    /// Share of queries that must be within it.
    pub percentile: f64,
}

/// What engines do while requests wait.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Pace {
    /// Answers a second.
    pub served: f64,
    /// Seconds that answers are behind.
    pub lag: f64,
}

impl Pace {
    /// As it was seen in a run whose engines were busy for long enough.
    pub fn of(queue: &Queue) -> Option<Self> {
        Some(Self {
            served: queue.served_per_second?,
            lag: queue.lag_seconds?.max(0.0),
        })
    }
}

impl Goal {
    /// What the configuration of a Server test asks for.
    pub fn of(config: &ResolvedConfig) -> Self {
        let loadgen = &config.loadgen;
        let permutation = match loadgen.performance_sample_count_override {
            0 => loadgen.performance_sample_count,
            samples => samples,
        };
        Self {
            min_seconds: loadgen.min_duration_ms as f64 / 1e3,
            min_queries: loadgen.min_query_count,
            permutation: match loadgen.sample_concatenate_permutation {
                true => permutation,
                false => 0,
            },
            bound: loadgen.server_target_latency_ns as f64 / 1e9,
            percentile: loadgen.server_target_latency_percentile,
        }
    }

    /// How many queries a run at that rate has.
    pub fn queries(&self, rate: f64) -> u64 {
        let by_time = (self.min_seconds * rate).ceil() as u64;
        let least = by_time.max(self.min_queries).max(1);
        match self.permutation {
            0 => least,
            samples => least.next_multiple_of(samples),
        }
    }

    /// How long queries come in such a run.
    pub fn seconds(&self, rate: f64) -> f64 {
        self.queries(rate) as f64 / rate
    }

    /// How many queries of such a run may take longer than the bound.
    pub fn allowed(&self, rate: f64) -> Option<u64> {
        early_stopping::allowed(self.queries(rate), self.percentile)
    }

    /// The latency that may not be over the bound in a run at that rate: that of the last query behind which only those
    /// come that are allowed to be over it.
    pub fn latency(&self, rate: f64, pace: Pace) -> f64 {
        let counted = self.queries(rate) - self.allowed(rate).unwrap_or(0);
        let grows = (rate / pace.served - 1.0).max(0.0);
        grows * counted as f64 / rate + pace.lag
    }

    /// The highest rate that holds at that pace. `None` when none does, or when no rate is too high for so short a run.
    pub fn limit(&self, pace: Pace) -> Option<f64> {
        if pace.lag > self.bound || pace.served <= 0.0 {
            return None;
        }
        let mut holds = pace.served;
        let mut breaks = holds * 2.0;
        while self.latency(breaks, pace) <= self.bound {
            (holds, breaks) = (breaks, breaks * 2.0);
            if breaks > pace.served * 1e6 {
                return None;
            }
        }
        // Allowed queries come in whole ones, so that the latency has little steps; the result is on one of them.
        while breaks / holds > 1.0005 {
            let middle = (holds * breaks).sqrt();
            match self.latency(middle, pace) <= self.bound {
                true => holds = middle,
                false => breaks = middle,
            }
        }
        Some(holds)
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::config::testing::Setup;

    /// Ten minutes with 99 % within 20 s.
    pub(crate) const GOAL: Goal = Goal {
        min_seconds: 600.0,
        min_queries: 100,
        permutation: 0,
        bound: 20.0,
        percentile: 0.99,
    };

    #[test]
    fn a_long_run_allows_little_more_than_the_engines_answer() {
        let pace = Pace {
            served: 40.0,
            lag: 8.0,
        };
        let limit = GOAL.limit(pace).unwrap();
        // 12 s more after nearly 600 s: two per cent and the allowed queries.
        assert!((1.02..1.025).contains(&(limit / 40.0)), "{limit}");
        assert!(GOAL.latency(limit, pace) <= 20.0);
        assert!(GOAL.latency(limit * 1.002, pace) > 20.0);
        let short = Goal {
            min_seconds: 30.0,
            ..GOAL
        };
        let limit = short.limit(pace).unwrap();
        assert!((1.39..1.45).contains(&(limit / 40.0)), "{limit}");
    }

    #[test]
    fn there_may_be_no_such_rate() {
        let slow = Pace {
            served: 40.0,
            lag: 21.0,
        };
        assert_eq!(GOAL.limit(slow), None);
        let few = Goal {
            min_seconds: 0.0,
            min_queries: 500,
            ..GOAL
        };
        let fast = Pace {
            served: 100.0,
            lag: 1.0,
        };
        assert_eq!(few.limit(fast), None, "500 queries never wait for 20 s");
    }

    #[test]
    fn a_run_has_the_queries_that_the_configuration_asks_for() {
        let goal = |flags: &[(&str, &str)]| {
            let setup = Setup {
                workload: "gptj-mini",
                gpus: 0,
            };
            let server = [("scenarios", "server")];
            Goal::of(&setup.config(&[&server, flags].concat()))
        };
        let mini = goal(&[]);
        assert_eq!((mini.queries(10.0), mini.queries(40.0)), (500, 1200));
        assert_eq!(mini.seconds(10.0), 50.0);
        assert_eq!(mini.allowed(10.0), Some(0));
        let whole = goal(&[("sample_concatenate_permutation", "true")]);
        assert_eq!((whole.queries(10.0), whole.queries(40.0)), (1000, 2000));
    }
}
