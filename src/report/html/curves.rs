//! The curves of a scenario's tests: latencies, tokens, queue, batch, KV cache.

use super::super::figures::{count, duration, number};
use super::super::read::StoredTest;
use super::super::result::EngineInstance;
use super::super::timeline::Timeline;
use super::chart::{Chart, Mark, Series};
use super::page::Named;
use crate::config::Scenario;

/// Intervals over which rates are taken, and points of other curves over time.
const RATE_INTERVALS: f64 = 80.0;
const MOST_POINTS: usize = 240;
/// Shorter intervals would show single answers.
const SHORTEST_INTERVAL: f64 = 1.0;
/// A bound so many times beyond the largest latency is said, not drawn: it would squeeze the curves.
const BOUND_IN_SIGHT: f64 = 2.5;

/// All charts of the tests of one scenario.
pub fn charts(scenario: Scenario, tests: &[Named<'_>]) -> Vec<Chart> {
    let with_timeline: Vec<(&Named<'_>, &Timeline)> = tests
        .iter()
        .filter_map(|test| Some((test, test.stored.timeline.as_ref()?)))
        .collect();
    let mut charts: Vec<Chart> = latencies(scenario, tests).into_iter().collect();
    if !with_timeline.is_empty() {
        charts.extend(over_time(scenario, &with_timeline));
    }
    charts
}

/// The share of samples that took no longer than x.
fn latencies(scenario: Scenario, tests: &[Named<'_>]) -> Option<Chart> {
    let all: Vec<(&Named<'_>, Vec<(f64, f64)>)> = tests
        .iter()
        .filter_map(|test| Some((test, distribution(test.stored)?)))
        .collect();
    let longest = all
        .iter()
        .flat_map(|(_, points)| points)
        .map(|point| point.0);
    let longest = longest.fold(0.0, f64::max);
    if longest <= 0.0 {
        return None;
    }
    let (unit, scale) = if longest >= 1e9 {
        ("s", 1e9)
    } else {
        ("ms", 1e6)
    };
    let (mut marks, mut remark) = (Vec::new(), String::new());
    if let (Scenario::Server, Some((test, _))) = (scenario, all.first()) {
        let loadgen = &test.stored.result.config.loadgen;
        let bound = loadgen.server_target_latency_ns as f64;
        let share = number(loadgen.server_target_latency_percentile * 100.0);
        let share = share.trim_end_matches('0').trim_end_matches('.');
        remark = format!("bound: {share} % within {}", duration(bound));
        if bound <= longest * BOUND_IN_SIGHT {
            marks.push(Mark {
                x: bound / scale,
                label: "bound".to_owned(),
            });
        }
    } else if let [(test, _)] = all.as_slice() {
        remark = test
            .stored
            .result
            .performance
            .as_ref()
            .map_or(String::new(), |performance| {
                format!("median {}", duration(performance.latency_ns.p50 as f64))
            });
    }
    let meaning = match scenario {
        Scenario::Offline => "All samples arrive at once, so a latency is mostly waiting.",
        Scenario::Server | Scenario::SingleStream => "A curve further left is faster.",
    };
    let series = all.into_iter().map(|(test, points)| Series {
        test: test.number,
        name: test.label.clone(),
        points: points
            .into_iter()
            .map(|(ns, share)| (ns / scale, share))
            .collect(),
    });
    Some(Chart {
        id: format!("latency-{scenario}"),
        title: "Latency".to_owned(),
        remark,
        description: format!("Share of samples that were answered within a latency. {meaning}"),
        x_label: format!("latency, {unit}"),
        y_unit: "% of samples".to_owned(),
        y_reach: 100.0,
        series: series.collect(),
        marks,
    })
}

/// Nanoseconds and percent: as the harness kept them, else LoadGen's percentiles with straight lines between them.
fn distribution(test: &StoredTest) -> Option<Vec<(f64, f64)>> {
    if let Some(latencies) = &test.latencies {
        let points = latencies.quantiles.iter().zip(&latencies.latency_ns);
        return Some(
            points
                .map(|(share, ns)| (*ns as f64, share * 100.0))
                .collect(),
        );
    }
    let ns = &test.result.performance.as_ref()?.latency_ns;
    let points = [
        (ns.min, 0.0),
        (ns.p50, 50.0),
        (ns.p90, 90.0),
        (ns.p95, 95.0),
        (ns.p97, 97.0),
        (ns.p99, 99.0),
        (ns.p99_9, 99.9),
        (ns.max, 100.0),
    ];
    Some(points.map(|(ns, share)| (ns as f64, share)).to_vec())
}

/// One curve over time, for each test.
struct OverTime {
    id: &'static str,
    title: &'static str,
    unit: &'static str,
    reach: f64,
    description: &'static str,
    values: fn(&StoredTest, &Timeline) -> Vec<(f64, f64)>,
}

const OVER_TIME: [OverTime; 5] = [
    OverTime {
        id: "tokens",
        title: "Tokens generated",
        unit: "tokens/s",
        reach: 0.0,
        description: "Tokens of the answers that were given, in each second of the test.",
        values: |_, timeline| rate(timeline, &timeline.tokens_generated),
    },
    OverTime {
        id: "queue",
        title: "Queue depth",
        unit: "samples",
        reach: 0.0,
        description: "Samples that waited in the queue, over the time of the test.",
        values: |_, timeline| averages(&timeline.seconds, &timeline.waiting, 1.0),
    },
    OverTime {
        id: "flight",
        title: "Samples in flight",
        unit: "samples",
        reach: 0.0,
        description: "Samples that the engines worked on, all engines together, over the time of the test.",
        values: |_, timeline| averages(&timeline.seconds, &timeline.running, 1.0),
    },
    OverTime {
        id: "batch",
        title: "Batch occupancy",
        unit: "% of max_requests",
        reach: 100.0,
        description: "Samples in flight as a share of those that the engines would take, over the time of the test.",
        values: |test, timeline| {
            let most = of_all_engines(test, |engine| engine.max_requests);
            averages(&timeline.seconds, &timeline.running, percent_of(most))
        },
    },
    OverTime {
        id: "kv",
        title: "KV cache in use",
        unit: "% of blocks",
        reach: 100.0,
        description: "Blocks of the KV cache in use as a share of all, over the time of the test.",
        values: |test, timeline| {
            let most = of_all_engines(test, |engine| engine.kv_blocks);
            averages(&timeline.seconds, &timeline.kv_blocks, percent_of(most))
        },
    },
];

/// A limit of the engines, all of them together.
fn of_all_engines(test: &StoredTest, limit: fn(&EngineInstance) -> i32) -> f64 {
    let engines = test.result.engines.iter();
    engines.map(|engine| f64::from(limit(engine))).sum()
}

fn percent_of(most: f64) -> f64 {
    if most > 0.0 { 100.0 / most } else { 0.0 }
}

fn over_time(scenario: Scenario, tests: &[(&Named<'_>, &Timeline)]) -> Vec<Chart> {
    let ends = tests
        .iter()
        .filter_map(|(_, timeline)| timeline.seconds.last());
    let longest = ends.copied().fold(0.0, f64::max);
    let (unit, seconds) = match longest {
        longest if longest < 240.0 => ("seconds", 1.0),
        longest if longest < 4.0 * 3600.0 => ("minutes", 60.0),
        _ => ("hours", 3600.0),
    };
    let one = |kind: &OverTime| {
        let series: Vec<Series> = tests
            .iter()
            .map(|(test, timeline)| Series {
                test: test.number,
                name: test.label.clone(),
                points: (kind.values)(test.stored, timeline)
                    .into_iter()
                    .map(|(at, value)| (at / seconds, value))
                    .collect(),
            })
            .collect();
        Chart {
            id: format!("{}-{scenario}", kind.id),
            title: kind.title.to_owned(),
            remark: remark(kind.id, tests),
            description: kind.description.to_owned(),
            x_label: format!("{unit} since the first query"),
            y_unit: kind.unit.to_owned(),
            y_reach: kind.reach,
            series,
            marks: Vec::new(),
        }
    };
    OVER_TIME.iter().map(one).collect()
}

/// The harness's own figure to a curve, where there is but one.
fn remark(id: &str, tests: &[(&Named<'_>, &Timeline)]) -> String {
    let [(test, _)] = tests else {
        return String::new();
    };
    let result = &test.stored.result;
    let Some(harness) = &result.harness else {
        return String::new();
    };
    let engines = result.engines.iter();
    match id {
        "tokens" => {
            let rate = harness.generated_tokens as f64 / harness.seconds;
            format!("mean {}", number(rate))
        }
        "queue" => format!("peak {}", count(harness.peak_waiting.into())),
        "flight" => format!(
            "mean {}, peak {}",
            number(harness.mean_running),
            harness.peak_running
        ),
        "batch" => {
            let most: i32 = engines.map(|engine| engine.max_requests).sum();
            format!("max_requests {}", count(most.unsigned_abs().into()))
        }
        "kv" => {
            let most: i32 = engines.map(|engine| engine.kv_blocks).sum();
            format!(
                "peak {} of {}",
                count(harness.peak_kv_blocks.into()),
                count(most.unsigned_abs().into())
            )
        }
        _ => String::new(),
    }
}

/// A counter's rate over even intervals, each at its middle.
fn rate(timeline: &Timeline, counter: &[u64]) -> Vec<(f64, f64)> {
    let Some(end) = timeline.seconds.last().copied().filter(|end| *end > 0.0) else {
        return Vec::new();
    };
    let intervals = (end / (end / RATE_INTERVALS).max(SHORTEST_INTERVAL))
        .floor()
        .max(1.0);
    let width = end / intervals;
    let mut points = Vec::new();
    let mut before = 0.0;
    for interval in 0..intervals as u32 {
        let from = f64::from(interval) * width;
        let now = counted(&timeline.seconds, counter, from + width);
        points.push((from + width / 2.0, (now - before) / width));
        before = now;
    }
    points
}

/// A counter at a time between rows, on the straight line between them.
fn counted(seconds: &[f64], counter: &[u64], at: f64) -> f64 {
    let after = seconds.partition_point(|second| *second < at);
    let value = |index: usize| counter.get(index).map_or(0.0, |count| *count as f64);
    match (after, seconds.get(after)) {
        (0, _) => value(0),
        (_, None) => value(seconds.len() - 1),
        (_, Some(next)) => {
            let last = seconds[after - 1];
            let share = (at - last) / (next - last);
            value(after - 1) + share * (value(after) - value(after - 1))
        }
    }
}

/// A value over time, as averages of neighbours where there are more than a chart can show. The first row, before anything
/// happened, stays alone.
fn averages(seconds: &[f64], values: &[u32], factor: f64) -> Vec<(f64, f64)> {
    let together = seconds.len().div_ceil(MOST_POINTS).max(1);
    let mean = |chunk: &[f64]| chunk.iter().sum::<f64>() / chunk.len() as f64;
    let values: Vec<f64> = values
        .iter()
        .map(|value| f64::from(*value) * factor)
        .collect();
    let (Some((start, seconds)), Some((first, values))) =
        (seconds.split_first(), values.split_first())
    else {
        return Vec::new();
    };
    let chunks = seconds.chunks(together).zip(values.chunks(together));
    let rest = chunks.map(|(at, values)| (mean(at), mean(values)));
    std::iter::once((*start, *first)).chain(rest).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn timeline(rows: u32, step: f64) -> Timeline {
        Timeline {
            seconds: (0..rows).map(|row| f64::from(row) * step).collect(),
            ..Timeline::default()
        }
    }

    #[test]
    fn a_steady_counter_has_a_steady_rate() {
        let timeline = timeline(1001, 0.25);
        let counter: Vec<u64> = (0..1001).map(|row| row * 100).collect();
        let points = rate(&timeline, &counter);
        assert_eq!(points.len(), 80);
        for (_, rate) in &points {
            assert!((rate - 400.0).abs() < 1e-6, "{rate}");
        }
        let sum: f64 = points.iter().map(|point| point.1 * 250.0 / 80.0).sum();
        assert!((sum - 100_000.0).abs() < 1e-3, "nothing is lost: {sum}");
    }

    #[test]
    fn a_short_test_has_intervals_of_a_second() {
        let timeline = timeline(21, 0.2);
        let counter: Vec<u64> = (0..21).collect();
        let points = rate(&timeline, &counter);
        assert_eq!(points.len(), 4);
        assert!((points[0].1 - 5.0).abs() < 1e-9);
        assert!(rate(&Timeline::default(), &[]).is_empty());
    }

    #[test]
    fn many_rows_become_averages() {
        let timeline = timeline(481, 1.0);
        let values: Vec<u32> = (0..481).collect();
        let points = averages(&timeline.seconds, &values, 2.0);
        assert_eq!(points.len(), 161);
        assert_eq!(points[0], (0.0, 0.0));
        assert_eq!(points[1], (2.0, 4.0));
        assert_eq!(points[160], (479.0, 958.0));
        assert_eq!(averages(&[1.0], &[3], 1.0), [(1.0, 3.0)]);
    }
}
