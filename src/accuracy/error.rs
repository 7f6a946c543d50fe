//! What can go wrong when accuracy is computed, and what to do about it.

use std::path::PathBuf;

use thiserror::Error;

use crate::error::{Failure, FailureKind};

/// A failure while reading, scoring or reporting accuracy. The message names the file or value
/// that failed, [`AccuracyError::hint`] the remedy.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum AccuracyError {
    /// The number of predictions and references differ.
    #[error("{predictions} predictions but {references} references")]
    UnevenPairs {
        /// Number of predictions.
        predictions: usize,
        /// Number of references.
        references: usize,
    },

    /// No prediction at all.
    #[error("there is no prediction to score")]
    NothingToScore,

    /// A file could not be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },

    /// A file could not be written.
    #[error("cannot write {}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },

    /// The accuracy log holds no response.
    #[error("{} holds no responses", path.display())]
    LogEmpty {
        /// The log.
        path: PathBuf,
    },

    /// The accuracy log ends in the middle.
    #[error("{} ends in the middle, after {entries} complete entries", path.display())]
    LogTruncated {
        /// The log.
        path: PathBuf,
        /// Entries read before the end.
        entries: usize,
    },

    /// The accuracy log was shortened for submission.
    #[error(
        "{} was shortened for submission and lacks its middle, after {entries} complete entries",
        path.display()
    )]
    LogShortened {
        /// The log.
        path: PathBuf,
        /// Entries read before the gap.
        entries: usize,
    },

    /// The accuracy log is not what LoadGen writes.
    #[error(
        "{} is not an accuracy log of LoadGen, after {entries} complete entries: {reason}",
        path.display()
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
    #[error("{}, entry {entry} (qsl_idx {qsl_idx}): {fault}", path.display())]
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
    #[error("{} does not hold reference values for accuracy: {reason}", path.display())]
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
    #[error("the response is empty")]
    Empty,

    /// An odd number of hexadecimal digits.
    #[error("odd number of hexadecimal digits ({digits})")]
    OddHex {
        /// Number of digits.
        digits: usize,
    },

    /// Not a hexadecimal digit.
    #[error("{found:?} at position {position} is no hexadecimal digit")]
    NotHex {
        /// The character.
        found: char,
        /// Where, in characters from zero.
        position: usize,
    },

    /// The bytes are not a whole number of tokens.
    #[error("{bytes} bytes are not a whole number of {token_bytes}-byte tokens")]
    PartialToken {
        /// Length of the response.
        bytes: usize,
        /// Bytes of a token.
        token_bytes: usize,
    },

    /// A token that no vocabulary of this size has.
    #[error("token {token} at position {position} is outside the vocabulary of {vocabulary}")]
    TokenOutOfRange {
        /// The token.
        token: i64,
        /// Where, in tokens from zero.
        position: usize,
        /// Tokens in the vocabulary.
        vocabulary: u32,
    },

    /// A sample that the data set does not have.
    #[error("the data set has {samples} samples only")]
    SampleOutOfRange {
        /// Samples in the data set.
        samples: usize,
    },
}

impl AccuracyError {
    /// What to do about it.
    #[must_use]
    pub fn hint(&self) -> &'static str {
        match self {
            Self::UnevenPairs { .. } => "give one reference for each prediction, in the same order",
            Self::NothingToScore | Self::LogEmpty { .. } => {
                "LoadGen logs responses in accuracy mode only: run with --test_mode=AccuracyOnly"
            }
            Self::Read { .. } => "check that the file exists and may be read",
            Self::Write { .. } => "check the permissions and the free space of the folder",
            Self::LogTruncated { .. } => {
                "the run was interrupted or the disk was full: run the accuracy test again"
            }
            Self::LogShortened { .. } => {
                "use the log as the run wrote it, or run the accuracy test again"
            }
            Self::LogMalformed { .. } => {
                "expected a JSON array of objects with \"seq_id\", \"qsl_idx\" and \"data\", the \
                 mlperf_log_accuracy.json of an accuracy run"
            }
            Self::LogEntry { fault, .. } => fault.hint(),
            Self::ReferenceMalformed { .. } => {
                "expected a JSON object with \"rouge1\", \"rouge2\", \"rougeL\", \"gen_len\" and \
                 \"gen_num\" for each beam_length; make the file again with the model's script"
            }
        }
    }

    fn kind(&self) -> FailureKind {
        match self {
            // These come from files that were pointed at, or from a full disk.
            Self::Read { .. }
            | Self::Write { .. }
            | Self::LogShortened { .. }
            | Self::LogMalformed { .. }
            | Self::ReferenceMalformed { .. } => FailureKind::User,
            Self::LogEntry { fault, .. } => fault.kind(),
            Self::UnevenPairs { .. }
            | Self::NothingToScore
            | Self::LogEmpty { .. }
            | Self::LogTruncated { .. } => FailureKind::Harness,
        }
    }
}

impl EntryFault {
    fn hint(&self) -> &'static str {
        match self {
            Self::Empty => {
                "the run failed before it answered this sample: see the run's messages, run again"
            }
            Self::OddHex { .. } | Self::NotHex { .. } => "the log is damaged: run again",
            Self::PartialToken { .. } => {
                "name the token type the log was written with, int32 or int64"
            }
            Self::TokenOutOfRange { .. } => {
                "score the log with the model and the token type of the run that wrote it"
            }
            Self::SampleOutOfRange { .. } => {
                "score the log with the data set of the run that wrote it"
            }
        }
    }

    fn kind(&self) -> FailureKind {
        match self {
            Self::Empty | Self::OddHex { .. } | Self::NotHex { .. } => FailureKind::Harness,
            // Log and data set or model that do not belong together.
            Self::PartialToken { .. }
            | Self::TokenOutOfRange { .. }
            | Self::SampleOutOfRange { .. } => FailureKind::User,
        }
    }
}

impl From<AccuracyError> for Failure {
    fn from(error: AccuracyError) -> Self {
        Self::from_error(error.kind(), &error).hint(error.hint())
    }
}
