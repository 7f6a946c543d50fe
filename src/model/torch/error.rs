//! What can be wrong with a file of torch.save's, and what to do about it.

use std::path::PathBuf;

use super::PickleError;
use crate::error::{Failure, FailureKind};

/// What to do about a file that is not what it was.
pub(super) const COPY_AGAIN: &str =
    "copy or download the file again and compare its size with the source";

/// What can be wrong with a file of torch.save's.
#[derive(Debug, thiserror::Error)]
pub enum TorchError {
    /// The file cannot be opened or read.
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
    /// A file of torch before 1.6, or one saved in its format.
    #[error("`{}` is in PyTorch's format of before 1.6, which is not a zip archive", .0.display())]
    Legacy(PathBuf),
    /// A program, not a state dictionary.
    #[error("`{}` holds a TorchScript program, not a state dictionary", .0.display())]
    TorchScript(PathBuf),
    /// Neither a zip archive nor anything else that is known.
    #[error(
        "`{}` is not a file of torch.save's: it starts with \"{}\"",
        .path.display(), .start[..start.len().min(16)].escape_ascii()
    )]
    OtherFormat {
        /// The file.
        path: PathBuf,
        /// Its first bytes.
        start: Vec<u8>,
    },
    /// A zip archive ends with its directory; a file that was cut off has none.
    #[error(
        "`{}` is truncated or broken: no directory of a zip archive ends its {found} bytes",
        .path.display()
    )]
    NoDirectory {
        /// The file.
        path: PathBuf,
        /// Its length.
        found: u64,
        /// What was looked for.
        source: zip::result::ZipError,
    },
    /// One entry cannot be used.
    #[error("`{}` is broken: its entry `{entry}` cannot be read", .path.display())]
    Entry {
        /// The file.
        path: PathBuf,
        /// The entry.
        entry: String,
        /// Why.
        source: std::io::Error,
    },
    /// An entry's bytes are not those that were written.
    #[error(
        "`{}` is broken: the CRC of its entry `{entry}`{} is {found:08x}, by its directory {expected:08x}",
        .path.display(), of_tensor(.tensor)
    )]
    Crc {
        /// The file.
        path: PathBuf,
        /// The entry.
        entry: String,
        /// The tensor in it.
        tensor: String,
        /// By the directory.
        expected: u32,
        /// Of the bytes.
        found: u32,
    },
    /// The pickle is refused.
    #[error("the pickle in `{}` is refused", .path.display())]
    Pickle {
        /// The file.
        path: PathBuf,
        /// Why.
        source: PickleError,
    },
    /// Its parts contradict each other.
    #[error("`{}` is broken: {what}", .path.display())]
    Broken {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        what: String,
    },
}

fn of_tensor(name: &str) -> String {
    format!(" (tensor `{name}`)")
}

impl TorchError {
    fn hint(&self) -> String {
        let resave = "save the state dictionary anew with a PyTorch of 1.6 or later: \
                      torch.save(model.state_dict(), \"pytorch_model.bin\")";
        match self {
            Self::Io { .. } => "check the file's permissions and the disk it is on".to_owned(),
            Self::LfsPointer(_) => "run `git lfs pull` in the model's folder".to_owned(),
            Self::Legacy(path) => format!(
                "save it anew with a PyTorch of 1.6 or later: \
                 python3 -c 'import torch; p = \"{}\"; torch.save(torch.load(p, \
                 map_location=\"cpu\", weights_only=True), p)'",
                path.display()
            ),
            Self::TorchScript(_) => resave.to_owned(),
            Self::Pickle { source, .. } => match source {
                PickleError::Global { .. } | PickleError::Opcode { .. } => format!(
                    "take the file from a source that you trust, and do not load it with Python; if \
                     it is your own, {resave}"
                ),
                PickleError::Protocol(_) | PickleError::NoStateDict(_) => resave.to_owned(),
                PickleError::Truncated(_) | PickleError::Broken { .. } => COPY_AGAIN.to_owned(),
            },
            Self::Crc { .. } => format!(
                "{COPY_AGAIN}; a file that was saved with torch.serialization.set_crc32_options(False) has no \
                 CRCs and must be saved with them"
            ),
            Self::OtherFormat { .. }
            | Self::NoDirectory { .. }
            | Self::Entry { .. }
            | Self::Broken { .. } => COPY_AGAIN.to_owned(),
        }
    }
}

impl From<TorchError> for Failure {
    fn from(error: TorchError) -> Self {
        let hint = error.hint();
        Failure::from_error(FailureKind::User, &error).hint(hint)
    }
}
