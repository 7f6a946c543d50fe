//! `timeline.json`: what the harness's counters were over the time of a test.
//!
//! The thread that draws the progress looks at the counters anyway; it keeps what it saw. Nothing on the timed path knows
//! of it.

use serde::{Deserialize, Serialize};

use super::result::SCHEMA_VERSION;
use crate::bridge::ffi::ProgressSnapshot;

/// Its name in the folder of a test.
pub const FILE_NAME: &str = "timeline.json";
/// Rows that are kept; with one more, every other goes.
const MOST_ROWS: usize = 3000;

/// Counters over time, a column for each; all columns are equally long.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Timeline {
    /// [`SCHEMA_VERSION`].
    pub schema_version: u32,
    /// Seconds since the first query.
    pub seconds: Vec<f64>,
    /// Samples that LoadGen had issued.
    pub samples_issued: Vec<u64>,
    /// Samples that were answered.
    pub samples_completed: Vec<u64>,
    /// Tokens of those answers.
    pub tokens_generated: Vec<u64>,
    /// Prompt tokens prefilled.
    pub prompt_tokens: Vec<u64>,
    /// Steps of all engines.
    pub steps: Vec<u64>,
    /// Samples in the queue.
    pub waiting: Vec<u32>,
    /// Samples in the engines.
    pub running: Vec<u32>,
    /// KV blocks in use.
    pub kv_blocks: Vec<u32>,
}

impl Default for Timeline {
    fn default() -> Self {
        Self {
            schema_version: SCHEMA_VERSION,
            seconds: Vec::new(),
            samples_issued: Vec::new(),
            samples_completed: Vec::new(),
            tokens_generated: Vec::new(),
            prompt_tokens: Vec::new(),
            steps: Vec::new(),
            waiting: Vec::new(),
            running: Vec::new(),
            kv_blocks: Vec::new(),
        }
    }
}

impl Timeline {
    /// Rows.
    pub fn len(&self) -> usize {
        self.seconds.len()
    }

    /// Whether nothing was seen.
    pub fn is_empty(&self) -> bool {
        self.seconds.is_empty()
    }

    /// Whether a file of this form makes sense: columns of one length, times that ascend.
    pub fn check(&self) -> Result<(), String> {
        let rows = self.len();
        let columns = [
            self.samples_issued.len(),
            self.samples_completed.len(),
            self.tokens_generated.len(),
            self.prompt_tokens.len(),
            self.steps.len(),
            self.waiting.len(),
            self.running.len(),
            self.kv_blocks.len(),
        ];
        if columns.iter().any(|column| *column != rows) {
            return Err("its columns are of different lengths".to_owned());
        }
        if self.seconds.windows(2).any(|pair| pair[1] <= pair[0]) {
            return Err("its times do not ascend".to_owned());
        }
        Ok(())
    }

    fn push(&mut self, row: ProgressSnapshot) {
        // Milliseconds are enough for people, and keep the file small.
        self.seconds.push((row.seconds * 1e3).round() / 1e3);
        self.samples_issued.push(row.samples_issued);
        self.samples_completed.push(row.samples_completed);
        self.tokens_generated.push(row.tokens_generated);
        self.prompt_tokens.push(row.prompt_tokens);
        self.steps.push(row.steps);
        self.waiting.push(row.waiting);
        self.running.push(row.running);
        self.kv_blocks.push(row.kv_blocks_used);
    }

    /// Rows that `stays` holds for, counted from 0; the others go.
    fn keep_rows(&mut self, stays: impl Fn(usize) -> bool) {
        fn thin<T>(column: &mut Vec<T>, stays: impl Fn(usize) -> bool) {
            let mut row = 0;
            column.retain(|_| {
                row += 1;
                stays(row - 1)
            });
        }
        thin(&mut self.seconds, &stays);
        thin(&mut self.samples_issued, &stays);
        thin(&mut self.samples_completed, &stays);
        thin(&mut self.tokens_generated, &stays);
        thin(&mut self.prompt_tokens, &stays);
        thin(&mut self.steps, &stays);
        thin(&mut self.waiting, &stays);
        thin(&mut self.running, &stays);
        thin(&mut self.kv_blocks, &stays);
    }
}

/// Keeps a bounded number of looks at the counters: with each halving, it takes every other look as before.
#[derive(Debug)]
pub struct Recorder {
    timeline: Timeline,
    most_rows: usize,
    /// Looks for each row.
    stride: usize,
    /// Looks since the last row.
    skipped: usize,
    closed: bool,
}

impl Default for Recorder {
    fn default() -> Self {
        Self::new(MOST_ROWS)
    }
}

impl Recorder {
    fn new(most_rows: usize) -> Self {
        Self {
            timeline: Timeline::default(),
            most_rows,
            stride: 1,
            skipped: 0,
            closed: false,
        }
    }

    /// One look, which is kept or not. Before the first query there is nothing to keep.
    pub fn look(&mut self, seen: ProgressSnapshot) {
        if self.closed || seen.seconds <= 0.0 {
            return;
        }
        if self.timeline.is_empty() {
            self.timeline.push(ProgressSnapshot::default());
        }
        self.skipped += 1;
        if self.skipped >= self.stride {
            self.keep(seen);
        }
    }

    /// The last row, at the end of the test; what comes later is not looked at.
    pub fn close(&mut self, last: ProgressSnapshot) {
        if !self.closed && last.seconds > 0.0 {
            // Looks go on for a moment behind the last answer, until whoever runs the test says that it is over.
            let times = &self.timeline.seconds;
            let before = times.partition_point(|seconds| *seconds <= last.seconds - 1e-3);
            self.timeline.keep_rows(|row| row < before);
            self.keep(last);
        }
        self.closed = true;
    }

    /// What was kept so far.
    pub fn timeline(&self) -> &Timeline {
        &self.timeline
    }

    fn keep(&mut self, row: ProgressSnapshot) {
        let last = self.timeline.seconds.last().copied().unwrap_or(-1.0);
        // Rounded times must still ascend.
        if row.seconds < last + 1e-3 {
            return;
        }
        self.skipped = 0;
        self.timeline.push(row);
        if self.timeline.len() > self.most_rows {
            self.timeline.keep_rows(|row| row % 2 == 0);
            self.stride *= 2;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(seconds: f64) -> ProgressSnapshot {
        ProgressSnapshot {
            seconds,
            samples_issued: 10,
            samples_completed: seconds as u64,
            ..ProgressSnapshot::default()
        }
    }

    #[test]
    fn a_long_test_has_no_more_rows_than_a_short_one() {
        let mut recorder = Recorder::new(100);
        for look in 0..10_000 {
            recorder.look(seen(f64::from(look) * 0.2));
        }
        recorder.close(seen(2000.0));
        let timeline = recorder.timeline();
        timeline.check().unwrap();
        assert!((50..=101).contains(&timeline.len()), "{}", timeline.len());
        assert_eq!(timeline.seconds[0], 0.0);
        assert_eq!(timeline.samples_issued[0], 0);
        assert_eq!(timeline.seconds.last(), Some(&2000.0));
        assert_eq!(timeline.samples_completed.last(), Some(&2000));
        let gaps: Vec<f64> = timeline
            .seconds
            .windows(2)
            .map(|pair| pair[1] - pair[0])
            .collect();
        let widest = gaps.iter().copied().fold(0.0, f64::max);
        assert!(
            widest <= 2.0 * 0.2 * recorder.stride as f64,
            "rows are evenly spaced: {widest}"
        );
    }

    #[test]
    fn nothing_is_kept_before_the_first_query_and_after_the_end() {
        let mut recorder = Recorder::default();
        recorder.look(seen(0.0));
        assert!(recorder.timeline().is_empty());
        recorder.look(seen(0.2));
        recorder.close(seen(0.3));
        recorder.look(seen(0.4));
        assert_eq!(recorder.timeline().seconds, [0.0, 0.2, 0.3]);
        let text = serde_json::to_string(recorder.timeline()).unwrap();
        let read: Timeline = serde_json::from_str(&text).unwrap();
        assert_eq!(&read, recorder.timeline());
    }

    #[test]
    fn the_last_row_is_the_end_of_the_test_though_looks_went_on() {
        let mut recorder = Recorder::default();
        for seconds in [1.0, 2.0, 3.0, 3.05] {
            recorder.look(seen(seconds));
        }
        recorder.close(seen(2.9));
        assert_eq!(recorder.timeline().seconds, [0.0, 1.0, 2.0, 2.9]);
        recorder.timeline().check().unwrap();
    }

    #[test]
    fn a_file_that_makes_no_sense_is_found_out() {
        let mut recorder = Recorder::default();
        recorder.look(seen(1.0));
        let mut short = recorder.timeline().clone();
        short.steps.pop();
        assert!(short.check().unwrap_err().contains("lengths"));
        let mut back = recorder.timeline().clone();
        back.seconds.reverse();
        assert!(back.check().unwrap_err().contains("ascend"));
    }
}
