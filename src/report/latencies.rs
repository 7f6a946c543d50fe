//! `latencies.json`: how the latencies of a test's samples are distributed.
//!
//! The harness takes two times of each sample: when LoadGen issued it, and when LoadGen was given its answer. LoadGen
//! counts from the time that its schedule had for a query, so that its figures, which are the result, also hold what a
//! query was issued too late; that is microseconds, unless the machine has no time for LoadGen.

use serde::{Deserialize, Serialize};

use super::result::SCHEMA_VERSION;

/// Its name in the folder of a test.
pub const FILE_NAME: &str = "latencies.json";
/// Steps of the quantile table.
const STEPS: u32 = 400;
/// Further quantiles, where latency bounds are.
const TAIL: &[f64] = &[0.9985, 0.999, 0.9995, 0.9999];

/// A table of quantiles, as fine as a curve needs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Latencies {
    /// [`SCHEMA_VERSION`].
    pub schema_version: u32,
    /// Samples.
    pub count: u64,
    /// Nanoseconds.
    pub mean_ns: u64,
    /// Ascending, from 0 to 1.
    pub quantiles: Vec<f64>,
    /// Nanoseconds at each of them: of the first, the smallest latency, of the last, the largest.
    pub latency_ns: Vec<u64>,
}

impl Latencies {
    /// The table of some latencies; absent when there are none.
    pub fn of(mut latencies: Vec<u64>) -> Option<Self> {
        latencies.sort_unstable();
        let last = latencies.len().checked_sub(1)?;
        let mut quantiles: Vec<f64> = (0..=STEPS)
            .map(|step| f64::from(step) / f64::from(STEPS))
            .chain(TAIL.iter().copied())
            .collect();
        quantiles.sort_by(f64::total_cmp);
        // As LoadGen takes its percentiles.
        let rank = |quantile: f64| ((latencies.len() as f64 * quantile) as usize).min(last);
        let sum: u128 = latencies.iter().map(|ns| u128::from(*ns)).sum();
        Some(Self {
            schema_version: SCHEMA_VERSION,
            count: latencies.len() as u64,
            // A mean of 64-bit numbers is one.
            mean_ns: (sum / latencies.len() as u128) as u64,
            latency_ns: quantiles.iter().map(|q| latencies[rank(*q)]).collect(),
            quantiles,
        })
    }

    /// Whether a file of this form makes sense.
    pub fn check(&self) -> Result<(), String> {
        if self.quantiles.len() != self.latency_ns.len() || self.quantiles.is_empty() {
            return Err("its columns are empty or of different lengths".to_owned());
        }
        let ascend = self.quantiles.windows(2).all(|pair| pair[0] < pair[1])
            && self.latency_ns.windows(2).all(|pair| pair[0] <= pair[1]);
        match ascend {
            true => Ok(()),
            false => Err("its columns do not ascend".to_owned()),
        }
    }

    /// The latency at a quantile, of the next one that the table has.
    pub fn at(&self, quantile: f64) -> Option<u64> {
        let index = self.quantiles.partition_point(|q| *q < quantile - 1e-9);
        self.latency_ns.get(index).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_those_of_loadgen() {
        // 1..=1000 in some order.
        let latencies: Vec<u64> = (0..1000).map(|i| (i * 7919) % 1000 + 1).collect();
        let table = Latencies::of(latencies).unwrap();
        table.check().unwrap();
        assert_eq!(table.count, 1000);
        assert_eq!(table.mean_ns, 500);
        assert_eq!(table.latency_ns.first(), Some(&1));
        assert_eq!(table.latency_ns.last(), Some(&1000));
        // sorted[count * quantile]
        assert_eq!(table.at(0.5), Some(501));
        assert_eq!(table.at(0.99), Some(991));
        assert_eq!(table.at(0.999), Some(1000));
        assert_eq!(table.quantiles.len(), 405);
    }

    #[test]
    fn one_sample_is_all_quantiles_and_none_has_none() {
        let table = Latencies::of(vec![7]).unwrap();
        assert!(table.latency_ns.iter().all(|ns| *ns == 7));
        assert_eq!(Latencies::of(Vec::new()), None);
    }

    #[test]
    fn a_file_that_makes_no_sense_is_found_out() {
        let mut table = Latencies::of(vec![1, 2, 3]).unwrap();
        table.latency_ns.reverse();
        assert!(table.check().unwrap_err().contains("ascend"));
        table.latency_ns.pop();
        assert!(table.check().unwrap_err().contains("lengths"));
    }
}
