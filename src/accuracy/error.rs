//! What can go wrong when accuracy is computed.

use std::path::PathBuf;

use thiserror::Error;

/// A failure while reading, scoring or reporting accuracy. Every variant names what was wrong and
/// what to do about it.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum AccuracyError {
    /// The number of predictions and references differ.
    #[error(
        "{predictions} predictions but {references} references: give one reference for each \
         prediction, in the same order"
    )]
    UnevenPairs {
        /// Number of predictions.
        predictions: usize,
        /// Number of references.
        references: usize,
    },

    /// No prediction at all.
    #[error("there is no prediction to score: run with --test_mode=AccuracyOnly first")]
    NothingToScore,

    /// A file could not be read.
    #[error("cannot read {path}: {source}; check that it exists and is readable")]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },

    /// A file could not be written.
    #[error("cannot write {path}: {source}; check permissions and free space of its folder")]
    Write {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },

    /// The accuracy log holds no response.
    #[error(
        "{path} holds no responses: LoadGen fills it in accuracy mode only, run with \
         --test_mode=AccuracyOnly"
    )]
    LogEmpty {
        /// The log.
        path: PathBuf,
    },

    /// The accuracy log ends in the middle.
    #[error(
        "{path} ends in the middle, after {entries} complete entries: the run was interrupted or \
         the disk was full; run the accuracy test again"
    )]
    LogTruncated {
        /// The log.
        path: PathBuf,
        /// Entries read before the end.
        entries: usize,
    },

    /// The accuracy log was shortened for submission.
    #[error(
        "{path} was shortened for submission after {entries} complete entries (its middle is \
         \"...\"): use the unshortened log, or run the accuracy test again"
    )]
    LogShortened {
        /// The log.
        path: PathBuf,
        /// Entries read before the gap.
        entries: usize,
    },

    /// The accuracy log is not what LoadGen writes.
    #[error(
        "{path} is not an accuracy log of LoadGen, after {entries} complete entries: {reason}; \
         expected a JSON array of {{\"seq_id\", \"qsl_idx\", \"data\"}}"
    )]
    LogMalformed {
        /// The log.
        path: PathBuf,
        /// Entries read before the fault.
        entries: usize,
        /// What the parser said, with line and column.
        reason: String,
    },

    /// One entry of the accuracy log cannot be used.
    #[error("{path}, entry {entry} (qsl_idx {qsl_idx}): {fault}")]
    LogEntry {
        /// The log.
        path: PathBuf,
        /// Number of the entry, counted from 1.
        entry: usize,
        /// Its sample.
        qsl_idx: u64,
        /// What is wrong with it.
        fault: EntryFault,
    },

    /// A file of reference values is not in the expected form.
    #[error("{path}: {reason}; make the file again with the script beside the model")]
    ReferenceMalformed {
        /// The file.
        path: PathBuf,
        /// What is missing or wrong.
        reason: String,
    },
}

/// What is wrong with an entry of the accuracy log.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum EntryFault {
    /// Nothing was answered.
    #[error(
        "the response is empty: the run failed before it answered this sample; see the log of \
         the run and run again"
    )]
    Empty,

    /// An odd number of hexadecimal digits.
    #[error("odd number of hexadecimal digits ({digits}): the log is damaged, run again")]
    OddHex {
        /// Number of digits.
        digits: usize,
    },

    /// Not a hexadecimal digit.
    #[error(
        "{found:?} at position {position} is no hexadecimal digit: the log is damaged, run again"
    )]
    NotHex {
        /// The character.
        found: char,
        /// Where, in characters from zero.
        position: usize,
    },

    /// The bytes are not a whole number of tokens.
    #[error(
        "{bytes} bytes are not a whole number of {token_bytes}-byte tokens: was the log written \
         with another token type?"
    )]
    PartialToken {
        /// Length of the response.
        bytes: usize,
        /// Bytes of a token.
        token_bytes: usize,
    },

    /// A token that no vocabulary of this size has.
    #[error(
        "token {token} at position {position} is outside the vocabulary of {vocabulary}: was the \
         log written with another model or token type?"
    )]
    TokenOutOfRange {
        /// The token.
        token: i64,
        /// Where, in tokens from zero.
        position: usize,
        /// Tokens in the vocabulary.
        vocabulary: u32,
    },

    /// A sample that the data set does not have.
    #[error(
        "the data set has {samples} samples: score the log with the data set of the run that \
         wrote it"
    )]
    SampleOutOfRange {
        /// Samples in the data set.
        samples: usize,
    },
}
