//! Where weights are imported from: files of torch.save's, or safetensors, told in the same terms.

use std::path::{Path, PathBuf};

use crate::error::Failure;
use crate::model::checkpoint::{Checkpoint, CheckpointError, ElementType, INDEX_FILE, SINGLE_FILE};
use crate::model::fingerprint::{self, SAMPLING};
use crate::model::torch::{Entry, StorageType, TorchFile, TorchTensor, View, find_torch_files};

/// A file with weights.
#[derive(Debug)]
pub(super) struct SourceFile {
    pub path: PathBuf,
    /// Changes with the file's content.
    pub identity: String,
    pub tensors: Vec<SourceTensor>,
}

/// A tensor, and where its bytes are.
#[derive(Debug, Clone)]
pub(super) struct SourceTensor {
    pub name: String,
    /// `None` for types that weights cannot have.
    pub element_type: Option<ElementType>,
    /// The type as the file spells it.
    pub type_name: String,
    pub shape: Vec<i64>,
    pub place: Place,
    /// The zip entry that the bytes are in, which has a CRC to check.
    pub entry: Option<Entry>,
}

impl SourceTensor {
    /// Bytes that it has where it is written.
    pub fn bytes(&self) -> u64 {
        match &self.place {
            Place::Rows { length, .. } => *length,
            // Checked when the file was opened.
            Place::Strided { size, view, .. } => size * view.elements().unwrap_or_default(),
        }
    }
}

/// Bytes in a file.
#[derive(Debug, Clone)]
pub(super) enum Place {
    /// As they are to be written: row-major.
    Rows { start: u64, length: u64 },
    /// A view with strides of other elements, which start at `start` and have `size` bytes.
    Strided { start: u64, size: u64, view: View },
}

impl Place {
    /// Where it begins in the file, to read a file from its front to its back.
    pub fn start(&self) -> u64 {
        match self {
            Self::Rows { start, .. } => *start,
            Self::Strided { start, size, view } => start + size * view.offset,
        }
    }
}

/// The weights in a folder. What `in_place` imports must be files of torch.save's.
pub(super) fn open(folder: &Path, in_place: bool) -> Result<Vec<SourceFile>, Failure> {
    let is_safetensors = folder.join(SINGLE_FILE).exists() || folder.join(INDEX_FILE).exists();
    if is_safetensors && !in_place {
        return safetensors(folder);
    }
    let Some(files) = find_torch_files(folder)? else {
        return Err(CheckpointError::NoWeights(folder.to_owned()).into());
    };
    let mut opened = Vec::with_capacity(files.files.len());
    for path in files.files {
        opened.push(torch_file(TorchFile::open(&path)?));
    }
    for (tensor, path) in files.index {
        let holder = opened.iter().find(|file| file.path == path);
        let holds = |file: &SourceFile| file.tensors.iter().any(|held| held.name == tensor);
        if !holder.is_some_and(holds) {
            return Err(CheckpointError::MissingFromShard {
                index: files.index_path.unwrap_or_default(),
                shard: path
                    .file_name()
                    .unwrap_or_default()
                    .to_string_lossy()
                    .into(),
                tensor,
            }
            .into());
        }
    }
    Ok(opened)
}

fn torch_file(file: TorchFile) -> SourceFile {
    let entries = file.entries;
    let tensor = |tensor: TorchTensor| {
        let entry = &entries[tensor.entry];
        let view = tensor.view;
        let kind = view.storage.kind;
        let size = kind.size();
        SourceTensor {
            name: tensor.name,
            element_type: match kind {
                StorageType::Float => Some(ElementType::F32),
                StorageType::Half => Some(ElementType::F16),
                StorageType::BFloat16 => Some(ElementType::BF16),
                _ => None,
            },
            type_name: kind.to_string(),
            // A dimension beyond i64 belongs to a tensor without elements.
            shape: view
                .shape
                .iter()
                .map(|&size| i64::try_from(size).unwrap_or(i64::MAX))
                .collect(),
            place: match view.elements().filter(|_| view.is_contiguous()) {
                // Checked when the file was opened: the view is within its entry, and that within the file.
                Some(elements) => Place::Rows {
                    start: entry.start + size * view.offset,
                    length: size * elements,
                },
                None => Place::Strided {
                    start: entry.start,
                    size,
                    view,
                },
            },
            entry: Some(entry.clone()),
        }
    };
    SourceFile {
        path: file.path,
        identity: file.digest.to_string(),
        tensors: file.tensors.into_iter().map(tensor).collect(),
    }
}

fn safetensors(folder: &Path) -> Result<Vec<SourceFile>, Failure> {
    let checkpoint = Checkpoint::open(folder)?;
    let mut files = Vec::new();
    for path in checkpoint.files() {
        files.push(SourceFile {
            path: path.to_owned(),
            identity: fingerprint::of_file(path, SAMPLING, &|_| {})?.to_string(),
            tensors: Vec::new(),
        });
    }
    for index in 0..checkpoint.tensor_count() {
        let path = checkpoint.tensor_file(index)?;
        let range = checkpoint.tensor_range(index)?;
        let element_type = checkpoint.element_type(index)?;
        let is_weight = !matches!(element_type, ElementType::F8E4M3 | ElementType::I8);
        let tensor = SourceTensor {
            name: checkpoint.tensor_name(index)?.to_owned(),
            element_type: is_weight.then_some(element_type),
            type_name: element_type.to_string(),
            shape: checkpoint.tensor_shape(index)?.to_vec(),
            place: Place::Rows {
                start: range.start,
                length: range.end - range.start,
            },
            entry: None,
        };
        let file = files.iter_mut().find(|file| file.path == path);
        file.into_iter()
            .for_each(|file| file.tensors.push(tensor.clone()));
    }
    Ok(files)
}
