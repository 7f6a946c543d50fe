//! Files that `torch.save` wrote: a zip archive with a pickle that describes tensors and one entry for each storage.
//!
//! Nothing of such a file is ever executed. A pickle is a program for a small virtual machine, and Python's may call
//! whatever it names; [`pickle`] is a machine of our own that knows what state dictionaries are made of and refuses
//! everything else by its name. The crates that read these files were looked at first: candle-core's reader passes over
//! what it does not understand and holds whole tensors, serde-pickle knows no persistent ids, which is where a tensor's
//! bytes are named, and repugnant-pickle is a scraper by its own description.

mod archive;
mod error;
mod files;
mod pickle;
mod view;

use std::path::{Path, PathBuf};

pub use archive::Entry;
pub use error::TorchError;
pub use files::{TorchFiles, find_torch_files, sign_of_torch_weights};
pub use pickle::PickleError;
pub use view::{Storage, StorageType, View};

use crate::model::Fingerprint;

/// A tensor of a file: how it lies in one of the file's entries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TorchTensor {
    /// Its name in the state dictionary.
    pub name: String,
    /// Where its elements are within the entry.
    pub view: View,
    /// The entry that holds its storage, in [`TorchFile::entries`].
    pub entry: usize,
}

/// A file's tensors; none of their bytes have been read.
#[derive(Debug)]
pub struct TorchFile {
    /// The file.
    pub path: PathBuf,
    /// Its tensors, in the order of the state dictionary.
    pub tensors: Vec<TorchTensor>,
    /// The entries that hold storages.
    pub entries: Vec<Entry>,
    /// Digest of all entries' names, lengths and CRCs, and so of the file's content as far as CRCs can tell.
    pub digest: Fingerprint,
}

impl TorchFile {
    /// Reads the archive's directory and the pickle, and checks that every tensor lies within its storage.
    pub fn open(path: &Path) -> Result<Self, TorchError> {
        let archive = archive::open(path)?;
        let bad = |what: String| TorchError::Broken {
            path: path.to_owned(),
            what,
        };
        let dictionary = pickle::read(&archive.pickle).map_err(|source| TorchError::Pickle {
            path: path.to_owned(),
            source,
        })?;
        let mut entries: Vec<Entry> = Vec::new();
        let mut tensors = Vec::with_capacity(dictionary.len());
        for (name, view) in dictionary {
            let Storage {
                key,
                kind,
                elements,
            } = &view.storage;
            let Some(entry) = archive.storages.get(key) else {
                return Err(bad(format!(
                    "tensor `{name}` has its elements in `data/{key}`, which is not there"
                )));
            };
            if elements.checked_mul(kind.size()) != Some(entry.length) {
                return Err(bad(format!(
                    "`{}` has {} bytes, but {elements} elements of type {kind} are described \
                     (tensor `{name}`)",
                    entry.name, entry.length
                )));
            }
            if !view.fits() {
                return Err(bad(format!(
                    "tensor `{name}` of shape {:?} with strides {:?} from element {} reaches \
                     beyond the {elements} elements of `{}`",
                    view.shape, view.strides, view.offset, entry.name
                )));
            }
            let known = entries.iter().position(|known| known.name == entry.name);
            let index = known.unwrap_or_else(|| {
                entries.push(entry.clone());
                entries.len() - 1
            });
            tensors.push(TorchTensor {
                name,
                view,
                entry: index,
            });
        }
        Ok(Self {
            path: path.to_owned(),
            tensors,
            entries,
            digest: archive.digest,
        })
    }
}
