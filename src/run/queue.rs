//! How the queue grew while a Server test ran: what its latencies alone do not tell.

use crate::report::result::Queue;
use crate::report::timeline::Timeline;

/// Answers that are needed before a pace is believed.
const LEAST_ANSWERS: u64 = 30;
/// Looks that are needed.
const LEAST_LOOKS: usize = 12;
/// The engines must have been busy for this share of the time in which queries came.
const LEAST_SHARE: f64 = 0.4;
/// At first the requests in flight are all at their beginning.
const SETTLING: f64 = 0.25;

#[derive(Debug, Clone, Copy, PartialEq)]
struct Look {
    seconds: f64,
    issued: u64,
    completed: u64,
    steps: u64,
    waiting: u32,
}

/// What the counters of a test came to; `None` when it was over before anything could be seen.
pub fn of(timeline: &Timeline) -> Option<Queue> {
    let looks: Vec<Look> = (0..timeline.len())
        .map(|row| Look {
            seconds: timeline.seconds[row],
            issued: timeline.samples_issued[row],
            completed: timeline.samples_completed[row],
            steps: timeline.steps[row],
            waiting: timeline.waiting[row],
        })
        .collect();
    let issued = looks.last()?.issued;
    let last = looks.iter().find(|look| look.issued == issued)?;
    let arrival_seconds = last.seconds;
    let busy = busiest(&looks, issued as f64 / arrival_seconds.max(1e-3));
    let busy_seconds = match busy {
        [first, .., last] => last.seconds - first.seconds,
        _ => 0.0,
    };
    let pace = (busy_seconds >= LEAST_SHARE * arrival_seconds)
        .then(|| pace(busy))
        .flatten();
    Some(Queue {
        arrival_seconds,
        outstanding_at_last_arrival: last.issued.saturating_sub(last.completed),
        busy_seconds,
        served_per_second: pace.map(|(served, _)| served),
        lag_seconds: pace.map(|(_, lag)| lag),
    })
}

/// The longest time in which requests waited that engines would have taken in had they had room: more than come in two
/// steps.
fn busiest(looks: &[Look], rate: f64) -> &[Look] {
    let is_busy = |index: usize| {
        let (before, now) = (&looks[index - 1], &looks[index]);
        let steps = now.steps.saturating_sub(before.steps).max(1);
        let step = (now.seconds - before.seconds) / steps as f64;
        f64::from(now.waiting) > 2.0 * rate * step + 1.0
    };
    let (mut best, mut begin) = (0..0, None);
    for index in 1..=looks.len() {
        if index < looks.len() && is_busy(index) {
            begin.get_or_insert(index);
        } else if let Some(from) = begin.take()
            && index - from > best.len()
        {
            best = from..index;
        }
    }
    &looks[best]
}

/// Answers a second and how far they are behind: a straight line through what was answered when.
fn pace(busy: &[Look]) -> Option<(f64, f64)> {
    let busy = &busy[busy.iter().position(|look| look.completed > 0)?..];
    let (first, last) = (busy.first()?, busy.last()?);
    let settled = first.seconds + SETTLING * (last.seconds - first.seconds);
    let line: Vec<(f64, f64)> = busy
        .iter()
        .filter(|look| look.seconds >= settled)
        .map(|look| (look.seconds, look.completed as f64))
        .collect();
    let (from, to) = (line.first()?.1, line.last()?.1);
    if line.len() < LEAST_LOOKS || to - from < LEAST_ANSWERS as f64 {
        return None;
    }
    let count = line.len() as f64;
    let mean_time = line.iter().map(|(time, _)| time).sum::<f64>() / count;
    let mean_done = line.iter().map(|(_, done)| done).sum::<f64>() / count;
    let (mut both, mut times) = (0.0, 0.0);
    for (time, done) in line {
        both += (time - mean_time) * (done - mean_done);
        times += (time - mean_time).powi(2);
    }
    let served = both / times;
    Some((served, mean_time - mean_done / served))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bridge::ffi::ProgressSnapshot;
    use crate::report::timeline::Recorder;

    /// Queries at `rate` for `seconds`, engines that answer `served` a second from the second `lag` on, ten steps a
    /// second, looked at twenty times a second.
    fn seen(rate: f64, seconds: f64, served: f64, lag: f64) -> Queue {
        let mut recorder = Recorder::default();
        for look in 0..8000 {
            let now = f64::from(look) * 0.05;
            let issued = (rate * now.min(seconds)).floor() + 1.0;
            let done = (served * (now - lag)).max(0.0).min(issued);
            // Below their pace, engines are as far as the queries of `lag` seconds ago.
            let done = done.min(rate * (now - lag).max(0.0)).floor();
            if done >= issued {
                break;
            }
            let in_flight = served * lag;
            recorder.look(ProgressSnapshot {
                seconds: now,
                samples_issued: issued as u64,
                samples_completed: done as u64,
                steps: (now * 10.0) as u64,
                waiting: (issued - done - in_flight).max(0.0) as u32,
                ..ProgressSnapshot::default()
            });
        }
        of(recorder.timeline()).unwrap()
    }

    #[test]
    fn a_queue_that_grows_shows_the_pace_of_the_engines() {
        for rate in [33.0, 45.0, 90.0] {
            let queue = seen(rate, 20.0, 30.0, 1.5);
            let served = queue.served_per_second.unwrap();
            assert!((served - 30.0).abs() < 0.6, "{rate}: {queue:?}");
            assert!((queue.lag_seconds.unwrap() - 1.5).abs() < 0.3, "{queue:?}");
            assert!((queue.arrival_seconds - 20.0).abs() < 0.5, "{queue:?}");
            let outstanding = queue.outstanding_at_last_arrival as f64;
            let expected = (rate - 30.0) * 20.0 + 45.0;
            assert!((outstanding - expected).abs() < 5.0, "{queue:?}");
        }
    }

    #[test]
    fn a_queue_that_does_not_grow_tells_no_pace() {
        let queue = seen(20.0, 20.0, 30.0, 1.5);
        assert_eq!(queue.served_per_second, None, "{queue:?}");
        assert!(queue.outstanding_at_last_arrival < 40, "{queue:?}");
    }

    #[test]
    fn a_run_that_nobody_saw_has_none() {
        assert_eq!(of(&Timeline::default()), None);
        let queue = seen(50.0, 0.4, 30.0, 0.1);
        assert_eq!(queue.served_per_second, None, "{queue:?}");
    }
}
