//! Sentence splitting and the clean-up of texts before they are scored.
//!
//! The reference script runs NLTK's Punkt tokenizer. Its trained parameters do not come with the
//! package `nltk`, and the crate `punkt` (1.0.5) needs a nightly compiler and dependencies that
//! are no longer kept, so this is a splitter of our own: Punkt's mechanics (where a sentence may
//! end, which words it looks at, how closing quotes are drawn in) with short lists of
//! abbreviations and sentence openers in place of the trained tables.
//!
//! Measured against NLTK 3.10.4 with the English parameters that the crate `punkt` carries: 5,646
//! of 5,663 paragraphs of software documentation split the same (18 of 16,837 sentence starts
//! differ), and 1,952 of 1,976 generated texts crowded with abbreviations, quotes and foreign
//! words (24 of 7,277), and all 2,256 articles and summaries of gptj-mini (17,029 sentences). GEN_LEN
//! of the 1,000 golden predictions is the same with either.
//!
//! Where sentences end moves ROUGE-Lsum, which no threshold looks at, and GEN_LEN by the white
//! space at such a place less the one line feed that replaces it.

use super::english::{ABBREVIATIONS, SENTENCE_OPENERS};

/// Python's `str.isspace` for one character: Unicode's white space and the four separator controls
/// that Rust leaves out.
#[must_use]
pub fn is_python_whitespace(character: char) -> bool {
    character.is_whitespace() || matches!(character, '\u{1c}'..='\u{1f}')
}

/// Python's `str.strip()`.
#[must_use]
pub fn python_strip(text: &str) -> &str {
    text.trim_matches(is_python_whitespace)
}

/// What the reference script does to predictions and targets before it scores them: white space
/// is stripped from both ends and sentences are put on lines of their own.
#[must_use]
pub fn postprocess(text: &str) -> String {
    split_sentences(text).join("\n")
}

/// The sentences of `text`, without the white space between them. Line feeds inside a sentence
/// stay, as they do in NLTK.
#[must_use]
pub fn split_sentences(text: &str) -> Vec<&str> {
    let text = python_strip(text);
    let words: Vec<Word<'_>> = words(text).collect();
    let mut sentences = Vec::new();
    let mut start = 0;
    for (index, word) in words.iter().enumerate() {
        let next = words.get(index + 1);
        let Some(length) = possible_end(word.text, next.is_some()) else {
            continue;
        };
        let (before, after) = word.text.split_at(length);
        let following = if after.is_empty() {
            next.map_or("", |next| next.text)
        } else {
            after
        };
        // Punkt decides about the word and the next one together, so an end inside the next word
        // (`Mr. Smith."`) makes it cut before that word already.
        let ends_within_next = || after.is_empty() && ends_within(following);
        if !is_sentence_end(before, following) && !ends_within_next() {
            continue;
        }
        let end = word.start + length;
        let resume = if after.is_empty() {
            next.map_or(end, |next| next.start)
        } else {
            end
        };
        let (end, resume) = draw_in_closing_marks(text, end, resume);
        sentences.push(&text[start..end]);
        start = resume;
    }
    if start < text.len() {
        sentences.push(&text[start..]);
    }
    sentences
}

/// A run of characters without white space.
struct Word<'text> {
    /// Offset in the whole text, in bytes.
    start: usize,
    text: &'text str,
}

fn words(text: &str) -> impl Iterator<Item = Word<'_>> {
    text.split(is_python_whitespace)
        .filter(|word| !word.is_empty())
        .map(|word| Word {
            start: word.as_ptr() as usize - text.as_ptr() as usize,
            text: word,
        })
}

fn is_terminator(character: char) -> bool {
    matches!(character, '.' | '?' | '!')
}

/// Characters that are no part of a word even without white space around them.
fn parts_words(character: char) -> bool {
    is_terminator(character) && character != '.'
        || matches!(
            character,
            ')' | '"' | ';' | '}' | ']' | '*' | ':' | '@' | '\'' | '(' | '{' | '['
        )
        || matches!(character, '‘' | '’' | '“' | '”' | '«' | '»')
}

/// Marks that close a quotation or bracket and belong to the sentence they follow.
fn is_closing_mark(character: char) -> bool {
    matches!(
        character,
        '"' | '\'' | ')' | ']' | '}' | '‘' | '’' | '“' | '”' | '«' | '»'
    )
}

/// Length up to and including the last terminator in the word after which a sentence may end: one
/// followed by a character that parts words, or the last character when another word follows.
fn possible_end(word: &str, another_word_follows: bool) -> Option<usize> {
    word.char_indices()
        .filter(|&(_, character)| is_terminator(character))
        // Terminators are single bytes.
        .map(|(offset, _)| offset + 1)
        .rfind(|&end| match word[end..].chars().next() {
            Some(next) => parts_words(next),
            None => another_word_follows,
        })
}

/// Whether a sentence ends inside `word`, before its last character.
fn ends_within(word: &str) -> bool {
    possible_end(word, false).is_some_and(|length| {
        let (before, after) = word.split_at(length);
        is_sentence_end(before, after)
    })
}

/// Whether `before`, which ends in a terminator, ends a sentence when `following` comes next.
fn is_sentence_end(before: &str, following: &str) -> bool {
    // A question or exclamation mark ends a sentence, whatever stands around it.
    let Some(unterminated) = before.strip_suffix('.') else {
        return true;
    };
    if unterminated.contains(['?', '!']) {
        return true;
    }
    let token = last_token(unterminated);
    let next = NextWord::new(following);
    if token.ends_with('.') {
        // An ellipsis.
        return next.opens_sentence();
    }
    if token.is_empty() {
        return true;
    }
    if let Some(letter) = only_letter(token) {
        // Most single letters are abbreviations to Punkt, which then never end a sentence.
        return matches!(
            letter.to_ascii_lowercase(),
            'a' | 'b' | 'i' | 'j' | 'o' | 'q' | 'u' | 'x'..='z'
        ) && !next.is_punctuation
            && !next.is_lower
            && (!next.is_upper || next.opens_sentence());
    }
    if is_abbreviation(token) {
        return next.opens_sentence();
    }
    !(is_number(token) && (next.is_lower || next.is_punctuation))
}

/// The part of a word after the last character or dash that parts words. Apostrophes and curly
/// quotes stay with what follows them, so that it is no abbreviation: `don't.` ends in `'t`.
fn last_token(word: &str) -> &str {
    let token = match word.rfind(parts_words) {
        Some(offset) if word[offset..].starts_with(['\'', '‘', '’', '“', '”', '«', '»']) => {
            &word[offset..]
        }
        _ => word.rsplit(parts_words).next().unwrap_or(word),
    };
    token
        .rsplit("--")
        .next()
        .unwrap_or(token)
        .trim_start_matches([',', '-', '`', '#', '&'])
}

fn only_letter(token: &str) -> Option<char> {
    let mut characters = token.chars();
    characters
        .next()
        .filter(|c| c.is_alphabetic() && characters.next().is_none())
}

fn is_abbreviation(token: &str) -> bool {
    let token = token.to_lowercase();
    let token = token.rsplit('-').next().unwrap_or(&token);
    // Two letters with a period between, such as u.s or p.m.
    let is_pair = !matches!(token, "e.g" | "i.e")
        && token.split_once('.').is_some_and(|(first, second)| {
            only_letter(first).is_some() && only_letter(second).is_some()
        });
    is_pair || ABBREVIATIONS.contains(token)
}

fn is_number(token: &str) -> bool {
    let digits = token.strip_prefix('-').unwrap_or(token);
    let digits = digits.strip_prefix(['.', ',']).unwrap_or(digits);
    digits.starts_with(|c: char| c.is_ascii_digit())
        && digits
            .chars()
            .all(|c| c.is_ascii_digit() || matches!(c, ',' | '.' | '-'))
}

/// What the first token after a possible end tells.
struct NextWord {
    is_punctuation: bool,
    is_upper: bool,
    is_lower: bool,
    is_opener: bool,
}

impl NextWord {
    fn new(word: &str) -> Self {
        let first = word.chars().next();
        let token = word
            .split(|c: char| parts_words(c) || matches!(c, '.' | ','))
            .next()
            .unwrap_or(word)
            .to_lowercase();
        Self {
            is_punctuation: first.is_some_and(|c| matches!(c, ';' | ':' | ',' | '.' | '!' | '?')),
            is_upper: first.is_some_and(char::is_uppercase),
            is_lower: first.is_some_and(char::is_lowercase),
            is_opener: SENTENCE_OPENERS.contains(token.as_str()),
        }
    }

    fn opens_sentence(&self) -> bool {
        self.is_upper && self.is_opener
    }
}

/// Moves closing marks that stand at `resume` to the sentence before, if white space, a dash or
/// the end of the text follows them. Returns where the sentence ends and where the next begins.
fn draw_in_closing_marks(text: &str, end: usize, resume: usize) -> (usize, usize) {
    let rest = &text[resume..];
    let after_marks = rest.trim_start_matches(is_closing_mark);
    let marks = rest.len() - after_marks.len();
    let next = after_marks.trim_start_matches(is_python_whitespace);
    let stands_alone =
        next.len() < after_marks.len() || next.is_empty() || after_marks.starts_with("--");
    if marks == 0 || !stands_alone {
        return (end, resume);
    }
    (resume + marks, text.len() - next.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn splits_as_punkt_does() {
        let cases: &[(&str, &[&str])] = &[
            ("", &[]),
            (" \n ", &[]),
            ("One.", &["One."]),
            ("One. Two. three.", &["One.", "Two.", "three."]),
            ("Really?! Yes.", &["Really?!", "Yes."]),
            (
                "He met Mr. Smith. They spoke.",
                &["He met Mr. Smith.", "They spoke."],
            ),
            (
                "At 5 p.m. Friday it rained.",
                &["At 5 p.m. Friday it rained."],
            ),
            (
                "He left the U.S. He came back.",
                &["He left the U.S.", "He came back."],
            ),
            ("J. K. Rowling wrote it.", &["J. K. Rowling wrote it."]),
            ("It fell by 3.5 percent.", &["It fell by 3.5 percent."]),
            (
                "He was born in 1998. Anna too.",
                &["He was born in 1998.", "Anna too."],
            ),
            ("\"Go.\" He went.", &["\"Go.\"", "He went."]),
            ("(It rained.) Then sun.", &["(It rained.)", "Then sun."]),
            (
                "Wait... what? No... They left.",
                &["Wait... what?", "No...", "They left."],
            ),
            ("He didn't. Anna did.", &["He didn't.", "Anna did."]),
            (
                "It is in plan B. The rest is not.",
                &["It is in plan B.", "The rest is not."],
            ),
            ("It was Gov. Smith.", &["It was Gov.", "Smith."]),
            (
                "\"It was Mr. Smith.\" He left.",
                &["\"It was Mr.", "Smith.\"", "He left."],
            ),
            ("Line one\nline two. Next", &["Line one\nline two.", "Next"]),
            (
                "Visit example.com now. Thanks.",
                &["Visit example.com now.", "Thanks."],
            ),
        ];
        for (text, expected) in cases {
            assert_eq!(&split_sentences(text), expected, "{text:?}");
        }
    }

    #[test]
    fn strips_like_python() {
        assert_eq!(
            python_strip("\u{1c}\u{a0} a\u{200b} \u{3000}\u{85}"),
            "a\u{200b}"
        );
        assert_eq!(python_strip(" \u{2028}\u{1f}"), "");
    }

    #[test]
    fn postprocess_puts_sentences_on_lines() {
        assert_eq!(
            postprocess("  A first.  A second. \n"),
            "A first.\nA second."
        );
        assert_eq!(postprocess("\u{3000}"), "");
    }
}
