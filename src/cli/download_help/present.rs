//! What of model and data sets is in the scratch space.

use std::fmt;
use std::fs;
use std::path::Path;

use crate::dataset::Dataset;
use crate::error::Failure;
use crate::model::import::is_unfinished;
use crate::model::torch::{find_torch_files, sign_of_torch_weights};
use crate::model::{Checkpoint, ModelConfig, check_tensors};

/// Articles in the validation split.
pub(super) const DATASET_SAMPLES: usize = 13_368;
/// Lines of MLCommons' calibration-list.txt.
pub(super) const CALIBRATION_SAMPLES: usize = 1000;

/// How far a model is.
pub(super) enum ModelState {
    /// Nothing of it.
    Missing,
    /// Files of torch.save's, which are to be imported.
    Torch { files: usize, bytes: u64 },
    /// An import that did not come to its end.
    Unfinished,
    /// Safetensors or configuration that a run would refuse.
    Broken(Box<Failure>),
    /// Ready for runs.
    Complete {
        tensors: usize,
        bytes: u64,
        vocabulary: i32,
    },
}

impl ModelState {
    /// In a word, for programs.
    pub(super) fn word(&self) -> &'static str {
        match self {
            Self::Missing => "missing",
            Self::Torch { .. } => "downloaded",
            Self::Unfinished => "unfinished",
            Self::Broken(_) => "broken",
            Self::Complete { .. } => "complete",
        }
    }
}

impl fmt::Display for ModelState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing => write!(f, "no"),
            Self::Torch { files, bytes } => write!(
                f,
                "downloaded ({files} PyTorch files, {:.2} GB), not imported yet",
                gigabytes(*bytes)
            ),
            Self::Unfinished => {
                write!(f, "an import was stopped; the same command goes on with it")
            }
            Self::Broken(failure) => write!(f, "not usable: {failure}"),
            Self::Complete {
                tensors,
                bytes,
                vocabulary,
            } => write!(
                f,
                "yes: {tensors} tensors, {:.2} GB of safetensors, vocabulary {vocabulary}",
                gigabytes(*bytes)
            ),
        }
    }
}

/// Looks into a model's folder; headers are read, weights are not.
pub(super) fn model(folder: &Path) -> ModelState {
    if is_unfinished(folder) {
        return ModelState::Unfinished;
    }
    let check = || -> Result<ModelState, Failure> {
        let model = ModelConfig::read(folder)?;
        let checkpoint = Checkpoint::open(folder)?;
        check_tensors(&checkpoint, &model)?;
        Ok(ModelState::Complete {
            tensors: checkpoint.tensor_count(),
            bytes: checkpoint.files().map(length).sum(),
            vocabulary: model.vocab_size,
        })
    };
    match check() {
        Ok(state) => state,
        Err(failure) => match (sign_of_torch_weights(folder), find_torch_files(folder)) {
            (Some(_), Ok(Some(found))) => ModelState::Torch {
                files: found.files.len(),
                bytes: found.files.iter().map(|file| length(file)).sum(),
            },
            (Some(_), Err(failure)) => ModelState::Broken(Box::new(failure)),
            _ if fs::read_dir(folder).is_ok_and(|mut list| list.next().is_some()) => {
                ModelState::Broken(Box::new(failure))
            }
            _ => ModelState::Missing,
        },
    }
}

/// How far a data set is.
pub(super) enum DataSetState {
    /// No file.
    Missing,
    /// A file that cannot be read, or that has other samples.
    Broken(String),
    /// As it should be.
    Complete { samples: usize, digest: String },
}

impl DataSetState {
    /// In a word, for programs.
    pub(super) fn word(&self) -> &'static str {
        match self {
            Self::Missing => "missing",
            Self::Broken(_) => "broken",
            Self::Complete { .. } => "complete",
        }
    }
}

impl fmt::Display for DataSetState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing => write!(f, "no"),
            Self::Broken(why) => write!(f, "not usable: {why}"),
            Self::Complete { samples, digest } => write!(f, "yes: {samples} samples, {digest}"),
        }
    }
}

/// Reads a data set and counts.
pub(super) fn dataset(path: &Path, samples: usize) -> DataSetState {
    if !path.exists() {
        return DataSetState::Missing;
    }
    match Dataset::read(path) {
        Err(error) => DataSetState::Broken(Failure::from(error).message),
        Ok(found) if found.samples.len() != samples => DataSetState::Broken(format!(
            "it has {} samples, {samples} are expected",
            found.samples.len()
        )),
        Ok(found) => DataSetState::Complete {
            samples,
            digest: found.fingerprint.to_string(),
        },
    }
}

fn length(path: &Path) -> u64 {
    fs::metadata(path).map_or(0, |data| data.len())
}

fn gigabytes(bytes: u64) -> f64 {
    bytes as f64 / 1e9
}
