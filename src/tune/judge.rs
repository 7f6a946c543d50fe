//! What a short Server test says about a full one.
//!
//! Latencies of a short test alone say little: when queries come faster than they are answered, each waits longer than the
//! one before, and a test of 20 s has not seen what comes in minute ten. So where the queue grew, its growth is followed to
//! the end of a full test ([`Goal::latency`]); where it did not, the queries that were too slow are counted.

use crate::report::result::{Performance, Queue};
use crate::report::server_rate::{Goal, Pace};

/// What was seen of a short test.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Seen {
    /// Queries a second that LoadGen was told.
    pub rate: f64,
    /// Queries that came.
    pub queries: u64,
    /// Those that took longer than the bound.
    pub over: u64,
    /// The fastest answer, in seconds.
    pub fastest: f64,
    /// The 99th percentile, in seconds.
    pub p99: f64,
    /// What the engines did while requests waited, if they did for long enough.
    pub pace: Option<Pace>,
}

impl Seen {
    /// From the result of a Server test.
    pub fn of(rate: f64, performance: &Performance, queue: Option<&Queue>) -> Self {
        Self {
            rate,
            queries: performance.query_count,
            over: performance.overlatency_query_count.unwrap_or(0),
            fastest: performance.latency_ns.min as f64 / 1e9,
            p99: performance.latency_ns.p99 as f64 / 1e9,
            pace: queue.and_then(Pace::of),
        }
    }
}

/// What follows.
#[derive(Debug, Clone, PartialEq)]
pub struct Judged {
    /// Whether a full test at that rate should be VALID.
    pub holds: bool,
    /// Why, for people.
    pub reason: String,
    /// The highest rate that should hold, if it can be told.
    pub limit: Option<f64>,
    /// No rate holds: even a request that waits for nothing takes too long.
    pub hopeless: bool,
}

/// Whether a full test would hold.
pub fn judge(goal: &Goal, seen: &Seen) -> Judged {
    let limit = seen.pace.and_then(|pace| goal.limit(pace));
    let judged = |holds, reason| Judged {
        holds,
        reason,
        limit,
        hopeless: seen.fastest > goal.bound,
    };
    let queries = goal.queries(seen.rate);
    let allowed = goal.allowed(seen.rate).unwrap_or(0);
    if seen.over > allowed {
        return judged(
            false,
            format!(
                "{} of {} queries took longer than {} s, {allowed} of {queries} may",
                seen.over, seen.queries, goal.bound
            ),
        );
    }
    if let Some(pace) = seen.pace.filter(|pace| pace.served < seen.rate) {
        let latency = goal.latency(seen.rate, pace);
        return judged(
            latency <= goal.bound,
            format!(
                "{:.2} of {:.2} a second are answered: after {:.0} s a query takes {latency:.1} s",
                pace.served,
                seen.rate,
                goal.seconds(seen.rate)
            ),
        );
    }
    let expected = seen.over as f64 * queries as f64 / seen.queries.max(1) as f64;
    if expected > allowed as f64 {
        return judged(
            false,
            format!(
                "{} of {} queries took longer than {} s, which makes {expected:.0} of {queries}, and {allowed} may",
                seen.over, seen.queries, goal.bound
            ),
        );
    }
    judged(
        true,
        format!("the queue does not grow, p99 is {:.2} s", seen.p99),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::server_rate::tests::GOAL;

    const CALM: Seen = Seen {
        rate: 30.0,
        queries: 1800,
        over: 0,
        fastest: 2.0,
        p99: 9.0,
        pace: None,
    };

    fn growing(served: f64) -> Seen {
        Seen {
            pace: Some(Pace { served, lag: 8.0 }),
            ..CALM
        }
    }

    #[test]
    fn a_short_test_without_a_slow_query_may_still_break() {
        let judged = judge(&GOAL, &growing(27.0));
        assert!(!judged.holds);
        assert!(
            judged
                .reason
                .starts_with("27.00 of 30.00 a second are answered: after 600 s a query takes 7"),
            "{}",
            judged.reason
        );
        let limit = judged.limit.unwrap();
        assert!((27.5..27.7).contains(&limit), "{limit}");
    }

    #[test]
    fn a_queue_that_grows_slowly_enough_holds() {
        let judged = judge(&GOAL, &growing(29.6));
        assert!(judged.holds, "{judged:?}");
        assert!(judged.limit.unwrap() > 30.0);
    }

    #[test]
    fn busy_engines_that_keep_up_hold_and_say_how_far() {
        let judged = judge(&GOAL, &growing(31.0));
        assert!(judged.holds);
        assert!(judged.limit.unwrap() > 31.0);
        assert_eq!(judge(&GOAL, &CALM).limit, None);
    }

    #[test]
    fn slow_queries_count_in_proportion() {
        let with = |over| judge(&GOAL, &Seen { over, ..CALM });
        // 18,000 queries may have 148 over the bound; a tenth of them was seen.
        assert!(with(14).holds, "{:?}", with(14));
        assert!(!with(15).holds);
        assert!(!with(1000).holds);
        assert!(!with(0).hopeless);
        let slow = Seen {
            fastest: 21.0,
            over: 1800,
            ..CALM
        };
        assert!(judge(&GOAL, &slow).hopeless);
    }
}
