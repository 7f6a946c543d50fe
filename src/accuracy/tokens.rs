//! The tokenizer of `rouge_score` with stemming on, and the numbering of tokens.

use std::collections::HashMap;

use super::porter;

/// Splits text into ROUGE tokens: lower case, runs of `[a-z0-9]`, words of more than three
/// characters stemmed.
///
/// Lower-casing comes first and is Unicode's, as in Python: it turns two foreign letters into
/// ASCII ones (the Kelvin sign, and the dotted capital I as `i` plus a combining dot).
pub fn tokenize(text: &str) -> impl Iterator<Item = String> {
    let lowered = text.to_lowercase();
    let mut rest = 0;
    std::iter::from_fn(move || {
        let bytes = lowered.as_bytes();
        let is_token_byte = |byte: &u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
        let start = rest + bytes[rest..].iter().position(is_token_byte)?;
        let length = bytes[start..].iter().position(|byte| !is_token_byte(byte));
        let end = length.map_or(bytes.len(), |length| start + length);
        rest = end;
        let mut token = lowered[start..end].to_owned();
        if token.len() > 3 {
            porter::stem_in_place(&mut token);
        }
        Some(token)
    })
    // A stem is never empty in practice; the reference drops empty tokens, so this does too.
    .filter(|token| !token.is_empty())
}

/// Gives each distinct token of a pair of texts a number, so that comparing tokens is comparing
/// integers.
#[derive(Debug, Default)]
pub struct Vocabulary {
    numbers: HashMap<String, u32>,
}

impl Vocabulary {
    /// The tokens of `text` as numbers from zero, in order of first appearance.
    pub fn number_tokens(&mut self, text: &str) -> Vec<u32> {
        tokenize(text)
            .map(|token| {
                // A text of 2^32 distinct words does not fit in memory.
                let next = self.numbers.len() as u32;
                *self.numbers.entry(token).or_insert(next)
            })
            .collect()
    }

    /// How many distinct tokens have been numbered.
    #[must_use]
    pub fn len(&self) -> usize {
        self.numbers.len()
    }

    /// Whether nothing has been numbered yet.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.numbers.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tokens(text: &str) -> Vec<String> {
        tokenize(text).collect()
    }

    #[test]
    fn splits_at_everything_that_is_not_a_letter_or_digit() {
        assert_eq!(
            tokens("The U.S. economy_grew 3.5%!"),
            ["the", "u", "s", "economi", "grew", "3", "5"]
        );
        assert_eq!(tokens(""), [""; 0]);
        assert_eq!(tokens(" -- \u{a0}!"), [""; 0]);
    }

    #[test]
    fn lower_casing_is_unicode() {
        assert_eq!(tokens("20 \u{212a}elvin"), ["20", "kelvin"]);
        assert_eq!(tokens("\u{130}stanbul"), ["i", "stanbul"]);
        assert_eq!(tokens("Zürich"), ["z", "rich"]);
    }

    #[test]
    fn only_words_of_more_than_three_letters_are_stemmed() {
        assert_eq!(tokens("was dies ties goes"), ["was", "die", "tie", "goe"]);
    }

    #[test]
    fn equal_tokens_have_equal_numbers() {
        let mut vocabulary = Vocabulary::default();
        assert!(vocabulary.is_empty());
        assert_eq!(vocabulary.number_tokens("a b a"), [0, 1, 0]);
        assert_eq!(vocabulary.number_tokens("b c"), [1, 2]);
        assert_eq!(vocabulary.len(), 3);
    }
}
