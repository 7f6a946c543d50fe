//! What can be wrong with the files of a checkpoint, and what to do about it.

use std::path::PathBuf;

use super::files::{LENGTH_PREFIX, MAX_HEADER};
use super::{INDEX_FILE, SINGLE_FILE};
use crate::error::{Failure, FailureKind};

/// What can be wrong with the files of a checkpoint.
#[derive(Debug, thiserror::Error)]
pub enum CheckpointError {
    /// The folder is missing or is no folder.
    #[error("no model folder at `{}`", .0.display())]
    NoFolder(PathBuf),
    /// The folder has no weights at all.
    #[error("no weights in `{}`: neither {SINGLE_FILE} nor {INDEX_FILE}", .0.display())]
    NoWeights(PathBuf),
    /// The folder has weights, but pickled ones.
    #[error("`{}` has its weights in PyTorch's pickle format ({file}) only", .folder.display())]
    PickledWeights {
        /// The model folder.
        folder: PathBuf,
        /// The file that was found.
        file: String,
    },
    /// The file cannot be opened, measured or mapped.
    #[error("cannot read `{}`", .path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// Only the pointer of a large file is there.
    #[error("`{}` is a Git LFS pointer, not the file itself", .0.display())]
    LfsPointer(PathBuf),
    /// The file ends before its header does.
    #[error(
        "`{}` is truncated: its header ends at byte {expected}, the file has {found} bytes",
        .path.display()
    )]
    TruncatedHeader {
        /// The file.
        path: PathBuf,
        /// Where the header ends.
        expected: u64,
        /// Length of the file.
        found: u64,
    },
    /// The first eight bytes cannot be the length of a header.
    #[error(
        "`{}` is not a safetensors file: it starts with a header length of {length} bytes (at \
         most {MAX_HEADER})",
        .path.display()
    )]
    HeaderTooLarge {
        /// The file.
        path: PathBuf,
        /// The length read.
        length: u64,
    },
    /// The header is no description of tensors.
    #[error("`{}` has a broken header (bytes {LENGTH_PREFIX}..{end})", .path.display())]
    BrokenHeader {
        /// The file.
        path: PathBuf,
        /// Where the header ends.
        end: u64,
        /// What is wrong.
        source: serde_json::Error,
    },
    /// The header describes another amount of data than the file has.
    #[error(
        "`{}` is {}: its header describes {expected} bytes, the file has {found} bytes; the last \
         tensor, `{tensor}`, lies at bytes {start}..{expected}",
        .path.display(),
        if .found < .expected { "truncated" } else { "longer than it should be" }
    )]
    WrongLength {
        /// The file.
        path: PathBuf,
        /// Bytes that the header describes, itself included.
        expected: u64,
        /// Length of the file.
        found: u64,
        /// The tensor that lies last.
        tensor: String,
        /// Where that tensor starts.
        start: u64,
    },
    /// No engine computes with elements of this type.
    #[error(
        "tensor `{tensor}` in `{}` has element type {dtype}; F32, F16, BF16, F8_E4M3 and I8 can \
         be read",
        .path.display()
    )]
    UnsupportedDtype {
        /// The file.
        path: PathBuf,
        /// The tensor.
        tensor: String,
        /// Its type, as the header spells it.
        dtype: String,
    },
    /// The list of pieces is no such list.
    #[error("`{}` is not an index of weight files", .path.display())]
    BrokenIndex {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        source: serde_json::Error,
    },
    /// The list of pieces is empty or points outside of the folder.
    #[error("`{}` {what}", .path.display())]
    BadIndex {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        what: String,
    },
    /// A piece that is listed is not there.
    #[error("`{}` lists `{shard}` for tensor `{tensor}`, but there is no such file", .index.display())]
    MissingShard {
        /// The index file.
        index: PathBuf,
        /// The file that is missing.
        shard: String,
        /// A tensor that is said to be in it.
        tensor: String,
    },
    /// A tensor is not in the piece where it is said to be.
    #[error("`{}` says that tensor `{tensor}` is in `{shard}`, but it is not", .index.display())]
    MissingFromShard {
        /// The index file.
        index: PathBuf,
        /// The file.
        shard: String,
        /// The tensor.
        tensor: String,
    },
    /// Two pieces hold a tensor of the same name.
    #[error("tensor `{tensor}` is in both `{}` and `{}`", .first.display(), .second.display())]
    DuplicateTensor {
        /// The tensor.
        tensor: String,
        /// One file.
        first: PathBuf,
        /// The other file.
        second: PathBuf,
    },
    /// There is no tensor of that number.
    #[error("tensor number {index} of {count} was asked for")]
    NoSuchTensor {
        /// The number asked for.
        index: usize,
        /// How many there are.
        count: usize,
    },
    /// A tensor that was added has no file; a mistake of whoever asks for it.
    #[error("tensor `{0}` is in no file: this program added it")]
    InNoFile(String),
    /// A tensor cannot be added beside one of its name; a mistake of whoever adds it.
    #[error("there is a tensor `{0}` already")]
    AddedTwice(String),
}

impl CheckpointError {
    /// What to do about it.
    pub fn hint(&self) -> Option<String> {
        let again = "copy or download the file again and compare its size with the source";
        let text = match self {
            Self::NoFolder(_) | Self::NoWeights(_) => format!(
                "give a Hugging Face GPT-J folder with --model_path: config.json, tokenizer \
                 files, and {SINGLE_FILE} or {INDEX_FILE} with its shards"
            ),
            Self::PickledWeights { folder, .. } => format!(
                "import it, which writes safetensors: `run_harness import-model --from={0} --to={0}`, \
                 or another folder with --to",
                folder.display()
            ),
            Self::Io { .. } => "check the file's permissions and the disk it is on".to_owned(),
            Self::LfsPointer(_) => "run `git lfs pull` in the model's folder".to_owned(),
            Self::TruncatedHeader { .. }
            | Self::HeaderTooLarge { .. }
            | Self::BrokenHeader { .. }
            | Self::WrongLength { .. } => again.to_owned(),
            Self::UnsupportedDtype { .. } => {
                "save the checkpoint as float16, bfloat16 or float32".to_owned()
            }
            Self::BrokenIndex { .. } | Self::BadIndex { .. } => {
                "copy or download the index file again".to_owned()
            }
            Self::MissingShard { shard, .. } => {
                format!("copy or download `{shard}` into the same folder")
            }
            Self::MissingFromShard { .. } | Self::DuplicateTensor { .. } => {
                "the files do not belong together: take all of them from one source".to_owned()
            }
            Self::NoSuchTensor { .. } | Self::InNoFile(_) | Self::AddedTwice(_) => return None,
        };
        Some(text)
    }
}

impl From<CheckpointError> for Failure {
    fn from(error: CheckpointError) -> Self {
        let kind = match error {
            CheckpointError::NoSuchTensor { .. }
            | CheckpointError::InNoFile(_)
            | CheckpointError::AddedTwice(_) => FailureKind::Harness,
            _ => FailureKind::User,
        };
        let failure = Failure::from_error(kind, &error);
        match error.hint() {
            Some(hint) => failure.hint(hint),
            None => failure,
        }
    }
}
