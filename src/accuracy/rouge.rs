//! ROUGE-1, ROUGE-2, ROUGE-L and ROUGE-Lsum of one pair of texts, equal to the F-measures of
//! Google's `rouge_score` (`RougeScorer(..., use_stemmer=True)`) to the last bit: the counts are
//! integers and the few floating-point operations are done in the same order.
//!
//! C.-Y. Lin, "ROUGE: A Package for Automatic Evaluation of Summaries", 2004, defines the scores.

use std::collections::HashMap;

use super::tokens::Vocabulary;

/// F-measures of one pair, each from 0 to 1.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct PairScores {
    /// Overlap of single tokens.
    pub rouge1: f64,
    /// Overlap of pairs of neighbouring tokens.
    pub rouge2: f64,
    /// Longest common subsequence of the whole texts.
    pub rouge_l: f64,
    /// Union of the longest common subsequences of the sentences.
    pub rouge_lsum: f64,
}

/// Scores `prediction` against `reference`. Sentences are what stands between line feeds; they
/// matter to ROUGE-Lsum alone.
#[must_use]
pub fn score_pair(reference: &str, prediction: &str) -> PairScores {
    let mut vocabulary = Vocabulary::default();
    // A line feed separates tokens too, so the whole text's tokens are its sentences' in a row.
    let reference = Tokens::new(reference, &mut vocabulary);
    let prediction = Tokens::new(prediction, &mut vocabulary);
    let sizes = Sizes {
        reference: reference.all.len(),
        prediction: prediction.all.len(),
    };
    if sizes.reference == 0 || sizes.prediction == 0 {
        return PairScores::default();
    }
    PairScores {
        rouge1: f_measure(
            common_tokens(&reference, &prediction, vocabulary.len()),
            sizes,
        ),
        rouge2: f_measure(
            common_bigrams(&reference.all, &prediction.all),
            Sizes {
                // A text of one token has no bigram; one keeps the division defined, as there.
                reference: (sizes.reference - 1).max(1),
                prediction: (sizes.prediction - 1).max(1),
            },
        ),
        rouge_l: f_measure(
            longest_common_subsequence(&reference.all, &prediction.all),
            sizes,
        ),
        rouge_lsum: f_measure(union_hits(&reference, &prediction, vocabulary.len()), sizes),
    }
}

/// A text as token numbers.
struct Tokens {
    all: Vec<u32>,
    /// Where each sentence ends in `all`.
    sentence_ends: Vec<usize>,
}

impl Tokens {
    fn new(text: &str, vocabulary: &mut Vocabulary) -> Self {
        let mut all = Vec::new();
        let mut sentence_ends = Vec::new();
        for sentence in text.split('\n') {
            all.append(&mut vocabulary.number_tokens(sentence));
            sentence_ends.push(all.len());
        }
        Self { all, sentence_ends }
    }

    fn sentences(&self) -> impl Iterator<Item = &[u32]> {
        let mut start = 0;
        self.sentence_ends.iter().map(move |&end| {
            let sentence = &self.all[start..end];
            start = end;
            sentence
        })
    }

    fn counts(&self, vocabulary_size: usize) -> Vec<usize> {
        let mut counts = vec![0; vocabulary_size];
        for &token in &self.all {
            counts[token as usize] += 1;
        }
        counts
    }
}

/// What precision and recall divide by.
#[derive(Clone, Copy)]
struct Sizes {
    reference: usize,
    prediction: usize,
}

/// Harmonic mean of precision and recall, in the reference's order of operations.
fn f_measure(hits: usize, sizes: Sizes) -> f64 {
    let precision = hits as f64 / sizes.prediction as f64;
    let recall = hits as f64 / sizes.reference as f64;
    if precision + recall > 0.0 {
        2.0 * precision * recall / (precision + recall)
    } else {
        0.0
    }
}

fn common_tokens(reference: &Tokens, prediction: &Tokens, vocabulary_size: usize) -> usize {
    let reference = reference.counts(vocabulary_size);
    let prediction = prediction.counts(vocabulary_size);
    reference
        .iter()
        .zip(&prediction)
        .map(|(&left, &right)| left.min(right))
        .sum()
}

fn bigrams(tokens: &[u32]) -> impl Iterator<Item = [u32; 2]> + '_ {
    tokens
        .iter()
        .zip(tokens.iter().skip(1))
        .map(|(&first, &second)| [first, second])
}

fn common_bigrams(reference: &[u32], prediction: &[u32]) -> usize {
    let mut available: HashMap<[u32; 2], usize> = HashMap::with_capacity(reference.len());
    for bigram in bigrams(reference) {
        *available.entry(bigram).or_default() += 1;
    }
    bigrams(prediction)
        .filter(|bigram| match available.get_mut(bigram) {
            Some(left) if *left > 0 => {
                *left -= 1;
                true
            }
            _ => false,
        })
        .count()
}

/// Length of the longest common subsequence, keeping one row of the table.
fn longest_common_subsequence(reference: &[u32], prediction: &[u32]) -> usize {
    let mut row = vec![0_usize; prediction.len() + 1];
    for left in reference {
        let mut diagonal = 0;
        for (column, right) in prediction.iter().enumerate() {
            let above = row[column + 1];
            row[column + 1] = if left == right {
                diagonal + 1
            } else {
                above.max(row[column])
            };
            diagonal = above;
        }
    }
    row[prediction.len()]
}

/// Hits of ROUGE-Lsum: for each reference sentence the union of its longest common subsequences
/// with every predicted sentence, no token counted more often than both texts have it.
fn union_hits(reference: &Tokens, prediction: &Tokens, vocabulary_size: usize) -> usize {
    let mut left_in_reference = reference.counts(vocabulary_size);
    let mut left_in_prediction = prediction.counts(vocabulary_size);
    let mut table = SubsequenceTable::default();
    let mut hits = 0;
    for sentence in reference.sentences() {
        let mut in_union = vec![false; sentence.len()];
        for predicted in prediction.sentences() {
            table.fill(sentence, predicted);
            table.mark(sentence, predicted, &mut in_union);
        }
        for (&token, _) in sentence
            .iter()
            .zip(&in_union)
            .filter(|(_, marked)| **marked)
        {
            let token = token as usize;
            if left_in_prediction[token] > 0 && left_in_reference[token] > 0 {
                hits += 1;
                left_in_prediction[token] -= 1;
                left_in_reference[token] -= 1;
            }
        }
    }
    hits
}

/// The whole table of subsequence lengths, `[reference + 1, prediction + 1]` row by row; kept from
/// one pair of sentences to the next to spare allocations.
#[derive(Default)]
struct SubsequenceTable {
    lengths: Vec<u32>,
    columns: usize,
}

impl SubsequenceTable {
    fn fill(&mut self, reference: &[u32], prediction: &[u32]) {
        self.columns = prediction.len() + 1;
        self.lengths.clear();
        self.lengths.resize((reference.len() + 1) * self.columns, 0);
        for (row, left) in reference.iter().enumerate() {
            let (above, below) = self.lengths.split_at_mut((row + 1) * self.columns);
            let above = &above[row * self.columns..];
            for (column, right) in prediction.iter().enumerate() {
                below[column + 1] = if left == right {
                    above[column] + 1
                } else {
                    above[column + 1].max(below[column])
                };
            }
        }
    }

    fn at(&self, row: usize, column: usize) -> u32 {
        self.lengths[row * self.columns + column]
    }

    /// Marks the reference tokens of one longest common subsequence. Several may exist; which one
    /// is taken changes the union, so the walk back prefers what the reference prefers: on a tie
    /// it leaves out the reference's token.
    fn mark(&self, reference: &[u32], prediction: &[u32], marked: &mut [bool]) {
        let (mut row, mut column) = (reference.len(), prediction.len());
        while row > 0 && column > 0 {
            if reference[row - 1] == prediction[column - 1] {
                marked[row - 1] = true;
                row -= 1;
                column -= 1;
            } else if self.at(row, column - 1) > self.at(row - 1, column) {
                column -= 1;
            } else {
                row -= 1;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identical_texts_score_one() {
        let scores = score_pair("the cat\nsat down", "the cat\nsat down");
        assert_eq!(
            scores,
            PairScores {
                rouge1: 1.0,
                rouge2: 1.0,
                rouge_l: 1.0,
                rouge_lsum: 1.0
            }
        );
    }

    #[test]
    fn texts_without_tokens_score_zero() {
        for (reference, prediction) in [("", ""), ("", "word"), ("word", ""), ("...", "\n\n")] {
            assert_eq!(score_pair(reference, prediction), PairScores::default());
        }
    }

    #[test]
    fn one_word_has_no_bigram() {
        let scores = score_pair("word", "word");
        assert_eq!(scores.rouge1, 1.0);
        assert_eq!(scores.rouge2, 0.0);
        assert_eq!(scores.rouge_l, 1.0);
    }

    #[test]
    fn repeated_tokens_count_as_often_as_both_texts_have_them() {
        // Two of the three are hits: precision 2/3, recall 2/2.
        assert_eq!(
            score_pair("no no", "no no no").rouge1,
            2.0 * (2.0 / 3.0) / (2.0 / 3.0 + 1.0)
        );
        assert_eq!(score_pair("no no", "no no no").rouge2, 2.0 * 0.5 / 1.5);
    }

    #[test]
    fn sentences_matter_to_lsum_alone() {
        let split = score_pair("a b c\nd e f", "d e f\na b c");
        let joined = score_pair("a b c d e f", "d e f a b c");
        assert_eq!(split.rouge_lsum, 1.0);
        assert_eq!(joined.rouge_lsum, 0.5);
        assert_eq!(
            (split.rouge1, split.rouge2, split.rouge_l),
            (1.0, joined.rouge2, 0.5)
        );
    }
}
