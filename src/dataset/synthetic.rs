//! The `cnn_dailymail` workload without its data: prompts and answers of the lengths of the real ones, tokens drawn from
//! a seed. With weights drawn likewise, only times mean anything.

use crate::model::ModelConfig;

/// A quantile: percent of the samples that are no longer, and that length in tokens.
type Quantile = (f64, f64);

/// Prompts of CNN/DailyMail as the GPT-J benchmark cuts them: 46 to 1919 tokens, 950 on average, 3 % cut off at the
/// limit.
const PROMPT_TOKENS: &[Quantile] = &[
    (0.0, 46.0),
    (1.0, 180.0),
    (5.0, 330.0),
    (10.0, 432.0),
    (25.0, 640.0),
    (50.0, 893.0),
    (75.0, 1205.0),
    (90.0, 1560.0),
    (95.0, 1780.0),
    (97.0, 1919.0),
    (100.0, 1919.0),
];

/// Answers: 30 to 128 tokens, 69 on average, 18 % cut off at the limit. The mean is MLPerf's scaling factor for this
/// benchmark; the rest follows published accuracy logs.
const ANSWER_TOKENS: &[Quantile] = &[
    (0.0, 30.0),
    (10.0, 39.0),
    (25.0, 45.5),
    (50.0, 55.0),
    (75.0, 80.0),
    (82.0, 105.0),
    (82.0, 128.0),
    (100.0, 128.0),
];

/// Prompts one behind the other, and the length of each answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SyntheticSamples {
    /// All tokens.
    pub tokens: Vec<i32>,
    /// Prompt `i` is `tokens[offsets[i]..offsets[i + 1]]`.
    pub offsets: Vec<u64>,
    /// Tokens of each answer.
    pub answer_tokens: Vec<i32>,
}

/// `count` samples, a pure function of the seed. Lengths of prompts and answers are independent of each other.
pub fn draw(count: usize, seed: u64, model: &ModelConfig) -> SyntheticSamples {
    let mut random = SplitMix(seed);
    let prompts = shuffled(count, PROMPT_TOKENS, &mut random);
    let answer_tokens = shuffled(count, ANSWER_TOKENS, &mut random);
    let mut samples = SyntheticSamples {
        tokens: Vec::with_capacity(prompts.iter().map(|&length| length as usize).sum()),
        offsets: vec![0],
        answer_tokens,
    };
    // The end token, which is the vocabulary's last or close to it, does not occur inside of prompts.
    let vocabulary = model.eos_token.max(1).unsigned_abs().into();
    for length in prompts {
        samples
            .tokens
            .extend((0..length).map(|_| random.below(vocabulary) as i32));
        samples.offsets.push(samples.tokens.len() as u64);
    }
    samples
}

/// Lengths of `count` answers alone.
pub fn answer_lengths(count: usize, seed: u64) -> Vec<i32> {
    shuffled(count, ANSWER_TOKENS, &mut SplitMix(seed))
}

/// Lengths at evenly spaced quantiles, in random order.
fn shuffled(count: usize, table: &[Quantile], random: &mut SplitMix) -> Vec<i32> {
    let mut lengths: Vec<i32> = (0..count)
        .map(|index| length_at(table, (index as f64 + 0.5) * 100.0 / count as f64))
        .collect();
    for last in (1..lengths.len()).rev() {
        lengths.swap(last, random.below(last as u64 + 1) as usize);
    }
    lengths
}

fn length_at(table: &[Quantile], percent: f64) -> i32 {
    let behind = table
        .partition_point(|&(at, _)| at < percent)
        .clamp(1, table.len() - 1);
    let ((from, low), (to, high)) = (table[behind - 1], table[behind]);
    let share = if to > from {
        (percent - from) / (to - from)
    } else {
        1.0
    };
    (low + (high - low) * share).round() as i32
}

/// The generator of Steele, Lea and Flood, "Fast splittable pseudorandom number generators" (2014).
struct SplitMix(u64);

impl SplitMix {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// Below `bound`; the bias of the multiplication is far below anything measured here.
    fn below(&mut self, bound: u64) -> u64 {
        ((u128::from(self.next()) * u128::from(bound)) >> 64) as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_are_those_of_the_real_workload() {
        let samples = draw(13_368, 1, &ModelConfig::six_b());
        let lengths: Vec<u64> = samples
            .offsets
            .windows(2)
            .map(|pair| pair[1] - pair[0])
            .collect();
        let mean = |values: &[u64]| values.iter().sum::<u64>() as f64 / values.len() as f64;
        assert!((mean(&lengths) - 950.0).abs() < 1.0, "{}", mean(&lengths));
        assert!(lengths.iter().all(|length| (46..=1919).contains(length)));
        let answers: Vec<u64> = samples
            .answer_tokens
            .iter()
            .map(|&tokens| tokens as u64)
            .collect();
        assert!((mean(&answers) - 69.0).abs() < 0.5, "{}", mean(&answers));
        let at_limit = answers.iter().filter(|&&tokens| tokens == 128).count() as f64;
        assert!((at_limit / 13_368.0 - 0.18).abs() < 0.001);
        assert!(answers.iter().all(|tokens| (30..=128).contains(tokens)));
    }

    #[test]
    fn samples_follow_from_the_seed() {
        let model = ModelConfig::six_b();
        let samples = draw(50, 7, &model);
        assert_eq!(samples, draw(50, 7, &model));
        assert_ne!(samples, draw(50, 8, &model));
        assert!(
            samples
                .tokens
                .iter()
                .all(|&token| (0..model.eos_token).contains(&token))
        );
    }
}
