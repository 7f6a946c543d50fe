//! cnn_eval.json: an array of objects with `instruction`, `input` (the article) and `output` (the reference summary).

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::error::{Failure, FailureKind};
use crate::model::Fingerprint;

/// One article with its reference summary.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sample {
    /// What is asked for.
    pub instruction: String,
    /// The article.
    pub input: String,
    /// The reference summary, which accuracy is measured against.
    pub output: String,
}

/// A data set, in the order of its file: LoadGen's sample index is the position here.
#[derive(Debug, Clone)]
pub struct Dataset {
    /// The file.
    pub path: PathBuf,
    /// Digest of the file.
    pub fingerprint: Fingerprint,
    /// At least one.
    pub samples: Vec<Sample>,
}

/// What can be wrong with a data set.
#[derive(Debug, thiserror::Error)]
pub enum DatasetError {
    /// Not there, or not readable.
    #[error("cannot read the data set `{}`", .path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// No JSON.
    #[error("the data set `{}` is not JSON", .path.display())]
    Json {
        /// The file.
        path: PathBuf,
        /// What the parser says, with line and column.
        source: serde_json::Error,
    },
    /// Something else than an array.
    #[error("the data set `{}` is {found}, expected an array of objects", .path.display())]
    NotAnArray {
        /// The file.
        path: PathBuf,
        /// What it is.
        found: &'static str,
    },
    /// No samples.
    #[error("the data set `{}` is empty", .0.display())]
    Empty(PathBuf),
    /// A sample that is no object.
    #[error("sample {index} of the data set `{}` is {found}, expected an object", .path.display())]
    NotAnObject {
        /// The file.
        path: PathBuf,
        /// Which sample, from 0.
        index: usize,
        /// What it is.
        found: &'static str,
    },
    /// A sample lacks a field.
    #[error("sample {index} of the data set `{}` has no field `{field}`", .path.display())]
    MissingField {
        /// The file.
        path: PathBuf,
        /// Which sample, from 0.
        index: usize,
        /// The field.
        field: &'static str,
    },
    /// A field is no text.
    #[error(
        "field `{field}` of sample {index} of the data set `{}` is {found}, expected text",
        .path.display()
    )]
    NotText {
        /// The file.
        path: PathBuf,
        /// Which sample, from 0.
        index: usize,
        /// The field.
        field: &'static str,
        /// What it is.
        found: &'static str,
    },
}

impl From<DatasetError> for Failure {
    fn from(error: DatasetError) -> Self {
        let form = "a data set is a JSON array of objects with the texts `instruction`, `input` \
                    and `output`, as MLCommons' download_cnndm.py writes cnn_eval.json";
        let hint = match error {
            DatasetError::Io { .. } => "check the path given with --dataset_path",
            _ => form,
        };
        Failure::from_error(FailureKind::User, &error).hint(hint)
    }
}

impl Dataset {
    /// Reads and checks a whole file.
    pub fn read(path: &Path) -> Result<Self, DatasetError> {
        let bytes = fs::read(path).map_err(|source| DatasetError::Io {
            path: path.to_owned(),
            source,
        })?;
        let value: Value = serde_json::from_slice(&bytes).map_err(|source| DatasetError::Json {
            path: path.to_owned(),
            source,
        })?;
        let Value::Array(list) = value else {
            return Err(DatasetError::NotAnArray {
                path: path.to_owned(),
                found: kind(&value),
            });
        };
        if list.is_empty() {
            return Err(DatasetError::Empty(path.to_owned()));
        }
        let samples = list
            .into_iter()
            .enumerate()
            .map(|(index, value)| sample(path, index, value))
            .collect::<Result<_, _>>()?;
        Ok(Self {
            path: path.to_owned(),
            fingerprint: Fingerprint::of_bytes(&bytes),
            samples,
        })
    }

    /// The reference summaries, by sample index.
    pub fn targets(&self) -> impl ExactSizeIterator<Item = &str> {
        self.samples.iter().map(|sample| sample.output.as_str())
    }
}

fn sample(path: &Path, index: usize, value: Value) -> Result<Sample, DatasetError> {
    let Value::Object(mut fields) = value else {
        return Err(DatasetError::NotAnObject {
            path: path.to_owned(),
            index,
            found: kind(&value),
        });
    };
    let mut text = |field: &'static str| match fields.get_mut(field).map(Value::take) {
        Some(Value::String(text)) => Ok(text),
        Some(other) => Err(DatasetError::NotText {
            path: path.to_owned(),
            index,
            field,
            found: kind(&other),
        }),
        None => Err(DatasetError::MissingField {
            path: path.to_owned(),
            index,
            field,
        }),
    };
    Ok(Sample {
        instruction: text("instruction")?,
        input: text("input")?,
        output: text("output")?,
    })
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "text",
        Value::Array(_) => "an array",
        Value::Object(_) => "an object",
    }
}
