//! Reads `mlperf_log_accuracy.json`: LoadGen's log of every response of an accuracy run, one object
//! `{ "seq_id" : 7, "qsl_idx" : 4740, "data" : "<HEX>" }` per line in one JSON array. The data are
//! the bytes of the response: tokens, little-endian.

use std::collections::HashSet;
use std::fmt;
use std::path::Path;

use serde::Deserialize;
use serde::de::{DeserializeSeed, SeqAccess, Visitor};

use super::error::{AccuracyError, EntryFault};

/// Name of the log in the folder of a run.
pub const FILE_NAME: &str = "mlperf_log_accuracy.json";

/// How tokens are stored in the log.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum TokenType {
    /// Four bytes, what this harness and NVIDIA's write.
    #[default]
    Int32,
    /// Eight bytes, what the reference implementation writes.
    Int64,
}

impl TokenType {
    fn bytes(self) -> usize {
        match self {
            Self::Int32 => 4,
            Self::Int64 => 8,
        }
    }
}

/// What a log must fit.
#[derive(Debug, Clone, Copy)]
pub struct LogFormat {
    /// How tokens are stored.
    pub token_type: TokenType,
    /// Samples in the data set; `qsl_idx` is below.
    pub samples: usize,
    /// Tokens in the vocabulary; every token is below.
    pub vocabulary: u32,
}

/// The answer to one sample.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Response {
    /// Index of the sample in the data set.
    pub sample: usize,
    /// Generated tokens, padding included where the harness wrote any.
    pub tokens: Vec<u32>,
}

/// All answers of a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccuracyLog {
    /// The first answer to each sample, in the order of the log.
    pub responses: Vec<Response>,
    /// Later answers to samples already answered. The reference script passes over them without
    /// looking at their data, and so does this reader.
    pub duplicates: usize,
}

/// Reads a log.
///
/// # Errors
/// When the file cannot be read, holds no response, is cut off or no such log, or an entry's data
/// do not fit `format`.
pub fn read(path: &Path, format: LogFormat) -> Result<AccuracyLog, AccuracyError> {
    let text = std::fs::read(path).map_err(|source| AccuracyError::Read {
        path: path.to_owned(),
        source,
    })?;
    if text.trim_ascii().is_empty() {
        return Err(AccuracyError::LogEmpty {
            path: path.to_owned(),
        });
    }
    let mut reader = Reader {
        format,
        entries: 0,
        fault: None,
        seen: HashSet::new(),
        log: AccuracyLog {
            responses: Vec::new(),
            duplicates: 0,
        },
    };
    let mut parser = serde_json::Deserializer::from_slice(&text);
    let parsed = (&mut reader)
        .deserialize(&mut parser)
        .and_then(|()| parser.end());
    if let Err(error) = parsed {
        return Err(reader.explain(path, &text, &error));
    }
    if reader.log.responses.is_empty() {
        return Err(AccuracyError::LogEmpty {
            path: path.to_owned(),
        });
    }
    Ok(reader.log)
}

/// One object of the log. Newer LoadGens add keys, which do not matter here.
#[derive(Deserialize)]
struct Entry<'text> {
    qsl_idx: u64,
    // Hexadecimal digits never need escapes, so the text can be borrowed.
    #[serde(borrow)]
    data: std::borrow::Cow<'text, str>,
}

/// Takes the entries as the parser comes upon them, so that only tokens are kept.
struct Reader {
    format: LogFormat,
    /// Complete entries so far.
    entries: usize,
    /// The entry that could not be used: sample and fault. JSON errors cannot carry it.
    fault: Option<(u64, EntryFault)>,
    seen: HashSet<u64>,
    log: AccuracyLog,
}

impl Reader {
    fn take(&mut self, entry: &Entry<'_>) -> Result<(), EntryFault> {
        if !self.seen.insert(entry.qsl_idx) {
            self.log.duplicates += 1;
            return Ok(());
        }
        let samples = self.format.samples;
        let sample = usize::try_from(entry.qsl_idx)
            .ok()
            .filter(|&sample| sample < samples)
            .ok_or(EntryFault::SampleOutOfRange { samples })?;
        let bytes = decode_hex(&entry.data)?;
        let tokens = decode_tokens(&bytes, self.format)?;
        self.log.responses.push(Response { sample, tokens });
        Ok(())
    }

    /// Turns the parser's error into one that says what happened to the file.
    fn explain(self, path: &Path, text: &[u8], error: &serde_json::Error) -> AccuracyError {
        let path = path.to_owned();
        let entries = self.entries;
        if let Some((qsl_idx, fault)) = self.fault {
            return AccuracyError::LogEntry {
                path,
                entry: entries + 1,
                qsl_idx,
                fault,
            };
        }
        if is_shortened(text) {
            return AccuracyError::LogShortened { path, entries };
        }
        if error.is_eof() {
            return AccuracyError::LogTruncated { path, entries };
        }
        AccuracyError::LogMalformed {
            path,
            entries,
            reason: error.to_string(),
        }
    }
}

/// Whether MLCommons' truncation script has been at the log: it keeps both ends and writes dots
/// between them.
fn is_shortened(text: &[u8]) -> bool {
    const GAP: &[u8] = b"\n\n...\n\n";
    text.windows(GAP.len()).any(|window| window == GAP)
}

impl<'text> DeserializeSeed<'text> for &mut Reader {
    type Value = ();

    fn deserialize<D: serde::Deserializer<'text>>(self, parser: D) -> Result<(), D::Error> {
        parser.deserialize_seq(self)
    }
}

impl<'text> Visitor<'text> for &mut Reader {
    type Value = ();

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an array of responses")
    }

    fn visit_seq<A: SeqAccess<'text>>(self, mut entries: A) -> Result<(), A::Error> {
        while let Some(entry) = entries.next_element::<Entry<'text>>()? {
            if let Err(fault) = self.take(&entry) {
                let error = serde::de::Error::custom(&fault);
                self.fault = Some((entry.qsl_idx, fault));
                return Err(error);
            }
            self.entries += 1;
        }
        Ok(())
    }
}

fn decode_hex(text: &str) -> Result<Vec<u8>, EntryFault> {
    let digits = text
        .chars()
        .enumerate()
        .map(|(position, found)| {
            // A hexadecimal digit is below 16.
            found
                .to_digit(16)
                .map(|digit| digit as u8)
                .ok_or(EntryFault::NotHex { found, position })
        })
        .collect::<Result<Vec<u8>, _>>()?;
    if digits.len() % 2 != 0 {
        return Err(EntryFault::OddHex {
            digits: digits.len(),
        });
    }
    Ok(digits
        .chunks_exact(2)
        .map(|pair| pair[0] << 4 | pair[1])
        .collect())
}

fn decode_tokens(bytes: &[u8], format: LogFormat) -> Result<Vec<u32>, EntryFault> {
    if bytes.is_empty() {
        return Err(EntryFault::Empty);
    }
    let token_bytes = format.token_type.bytes();
    if !bytes.len().is_multiple_of(token_bytes) {
        return Err(EntryFault::PartialToken {
            bytes: bytes.len(),
            token_bytes,
        });
    }
    bytes
        .chunks_exact(token_bytes)
        .map(|token| little_endian(token, format.token_type))
        .enumerate()
        .map(|(position, token)| {
            u32::try_from(token)
                .ok()
                .filter(|&token| token < format.vocabulary)
                .ok_or(EntryFault::TokenOutOfRange {
                    token,
                    position,
                    vocabulary: format.vocabulary,
                })
        })
        .collect()
}

/// The signed number that `bytes`, as many as `token_type` has, stand for.
fn little_endian(bytes: &[u8], token_type: TokenType) -> i64 {
    let unsigned = bytes
        .iter()
        .rev()
        .fold(0_u64, |number, &byte| number << 8 | u64::from(byte));
    match token_type {
        // The casts give the bits their sign.
        TokenType::Int32 => i64::from(unsigned as u32 as i32),
        TokenType::Int64 => unsigned as i64,
    }
}
