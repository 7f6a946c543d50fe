//! How long the prompts of a data set are, for people.

use std::fmt;

use super::Prepared;

/// Tokens of one bar; the most that a prompt may have, 1919, are just below a multiple of it.
const BAR: u32 = 128;
/// Characters of the longest bar.
const WIDTH: u64 = 40;

/// Lengths of prompts in tokens. Shown as a histogram.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lengths {
    /// In ascending order; at least one.
    sorted: Vec<u32>,
}

impl Lengths {
    /// The lengths of all prompts.
    pub fn of(prepared: &Prepared) -> Self {
        let lengths = prepared.offsets.windows(2);
        // No prompt is longer than max_prompt_tokens, which is a u32.
        let mut sorted: Vec<u32> = lengths.map(|pair| (pair[1] - pair[0]) as u32).collect();
        sorted.sort_unstable();
        Self { sorted }
    }

    /// The length that `percent` of all prompts do not exceed.
    fn percentile(&self, percent: usize) -> u32 {
        let rank = (self.sorted.len() * percent).div_ceil(100);
        let index = rank.saturating_sub(1);
        self.sorted.get(index).copied().unwrap_or_default()
    }

    /// Prompts of each bar, from the first one that has any to the last.
    fn bars(&self) -> Vec<(u32, u64)> {
        let bar = |length: &u32| length / BAR;
        let (Some(first), Some(last)) = (self.sorted.first(), self.sorted.last()) else {
            return Vec::new();
        };
        let mut bars: Vec<(u32, u64)> = (bar(first)..=bar(last)).map(|bar| (bar, 0)).collect();
        for length in &self.sorted {
            bars[(bar(length) - bar(first)) as usize].1 += 1;
        }
        bars
    }
}

impl fmt::Display for Lengths {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let tokens: u64 = self.sorted.iter().map(|&length| u64::from(length)).sum();
        let count = self.sorted.len().max(1) as f64;
        writeln!(
            f,
            "tokens in a prompt: {} to {}, mean {:.1}, median {}, 90 % up to {}, 99 % up to {}",
            self.percentile(0),
            self.percentile(100),
            tokens as f64 / count,
            self.percentile(50),
            self.percentile(90),
            self.percentile(99)
        )?;
        let bars = self.bars();
        let most = bars.iter().map(|(_, count)| *count).max().unwrap_or(1);
        for (bar, count) in bars {
            let (from, to) = (bar * BAR, bar * BAR + BAR - 1);
            // Whatever is there at all is seen.
            let length = (count * WIDTH).div_ceil(most) as usize;
            let line = format!("{from:>5}..{to:<5}{count:>7} {}", "#".repeat(length));
            writeln!(f, "{}", line.trim_end())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dataset::Source;

    fn lengths(lengths: &[u32]) -> Lengths {
        let mut offsets = vec![0u64];
        for &length in lengths {
            offsets.push(offsets[offsets.len() - 1] + u64::from(length));
        }
        Lengths::of(&Prepared {
            tokens: Vec::new(),
            offsets,
            truncated: 0,
            longest: 0,
            source: Source::Cache("".into()),
        })
    }

    #[test]
    fn percentiles_are_lengths_that_occur() {
        let hundred: Vec<u32> = (1..=100).rev().collect();
        let found = lengths(&hundred);
        assert_eq!(
            [0, 1, 50, 90, 99, 100].map(|p| found.percentile(p)),
            [1, 1, 50, 90, 99, 100]
        );
        assert_eq!([0, 50, 100].map(|p| lengths(&[7]).percentile(p)), [7, 7, 7]);
    }

    #[test]
    fn bars_are_in_proportion_and_gaps_are_seen() {
        let mut all = vec![200; 80];
        all.extend([127, 128, 600]);
        assert_eq!(
            lengths(&all).to_string(),
            "tokens in a prompt: 127 to 600, mean 203.1, median 200, 90 % up to 200, 99 % up to 600\n\
             \x20   0..127        1 #\n\
             \x20 128..255       81 ########################################\n\
             \x20 256..383        0\n\
             \x20 384..511        0\n\
             \x20 512..639        1 #\n"
        );
    }
}
