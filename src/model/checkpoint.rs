//! A Hugging Face checkpoint in safetensors files, mapped into memory: names, shapes, element types and bytes.
//!
//! Everything that a header can get wrong is found when the checkpoint is opened, so that whoever reads tensors later,
//! the C++ engines above all, reads within the files.

mod error;
mod files;

use std::collections::HashMap;
use std::fmt;
use std::ops::Range;
use std::path::{Path, PathBuf};

use memmap2::Mmap;
use safetensors::tensor::Dtype;

use super::calibration;

pub use error::CheckpointError;
pub(super) use files::read_index;
use files::{map_file, no_weights, read_header};

/// The file of a checkpoint that is in one piece.
pub const SINGLE_FILE: &str = "model.safetensors";
/// The file that lists the pieces of a checkpoint in several.
pub const INDEX_FILE: &str = "model.safetensors.index.json";

/// Element types that engines can be given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ElementType {
    /// IEEE 754 binary32.
    F32,
    /// IEEE 754 binary16.
    F16,
    /// bfloat16.
    BF16,
    /// 8-bit float with 4 bits of exponent, finite values and NaN only.
    F8E4M3,
    /// Signed 8-bit integer.
    I8,
}

impl ElementType {
    fn from_safetensors(dtype: Dtype) -> Option<Self> {
        match dtype {
            Dtype::F32 => Some(Self::F32),
            Dtype::F16 => Some(Self::F16),
            Dtype::BF16 => Some(Self::BF16),
            Dtype::F8_E4M3 => Some(Self::F8E4M3),
            Dtype::I8 => Some(Self::I8),
            _ => None,
        }
    }
}

impl fmt::Display for ElementType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::F32 => "F32",
            Self::F16 => "F16",
            Self::BF16 => "BF16",
            Self::F8E4M3 => "F8_E4M3",
            Self::I8 => "I8",
        })
    }
}

/// A mapped checkpoint. Tensors are numbered in the order of their names, those that were added behind them.
pub struct Checkpoint {
    files: Vec<MappedFile>,
    tensors: Vec<Tensor>,
    by_name: HashMap<String, usize>,
}

struct MappedFile {
    path: PathBuf,
    map: Mmap,
}

struct Tensor {
    name: String,
    element_type: ElementType,
    shape: Vec<i64>,
    bytes: Bytes,
}

enum Bytes {
    /// A range within a file, checked against its length.
    Mapped { file: usize, range: Range<usize> },
    /// Of a tensor that this program made.
    Held(Vec<u8>),
}

impl Checkpoint {
    /// A checkpoint without tensors, for engines that need none.
    pub fn empty() -> Self {
        Self {
            files: Vec::new(),
            tensors: Vec::new(),
            by_name: HashMap::new(),
        }
    }

    /// Maps the weights in a Hugging Face folder and checks their headers.
    pub fn open(folder: &Path) -> Result<Self, CheckpointError> {
        if !folder.is_dir() {
            return Err(CheckpointError::NoFolder(folder.to_owned()));
        }
        let mut checkpoint = Self::empty();
        let single = folder.join(SINGLE_FILE);
        let index = folder.join(INDEX_FILE);
        if single.exists() {
            checkpoint.add_file(&single)?;
        } else if index.exists() {
            checkpoint.add_shards(folder, &index)?;
        } else {
            return Err(no_weights(folder));
        }
        checkpoint.tensors.sort_by(|a, b| a.name.cmp(&b.name));
        for (number, tensor) in checkpoint.tensors.iter().enumerate() {
            if let Some(other) = checkpoint.by_name.insert(tensor.name.clone(), number) {
                return Err(CheckpointError::DuplicateTensor {
                    tensor: tensor.name.clone(),
                    first: checkpoint.tensor_file(other)?.to_owned(),
                    second: checkpoint.tensor_file(number)?.to_owned(),
                });
            }
        }
        Ok(checkpoint)
    }

    /// How many tensors there are.
    pub fn tensor_count(&self) -> usize {
        self.tensors.len()
    }

    /// Name of tensor `index`.
    pub fn tensor_name(&self, index: usize) -> Result<&str, CheckpointError> {
        Ok(&self.tensor(index)?.name)
    }

    /// Element type of tensor `index`.
    pub fn element_type(&self, index: usize) -> Result<ElementType, CheckpointError> {
        Ok(self.tensor(index)?.element_type)
    }

    /// Shape of tensor `index`, outermost dimension first.
    pub fn tensor_shape(&self, index: usize) -> Result<&[i64], CheckpointError> {
        Ok(&self.tensor(index)?.shape)
    }

    /// Bytes of tensor `index`: row-major, little-endian, aligned to nothing.
    pub fn tensor_bytes(&self, index: usize) -> Result<&[u8], CheckpointError> {
        Ok(match &self.tensor(index)?.bytes {
            Bytes::Mapped { file, range } => &self.files[*file].map[range.clone()],
            Bytes::Held(bytes) => bytes,
        })
    }

    /// Where the bytes of tensor `index` are in its file.
    pub fn tensor_range(&self, index: usize) -> Result<Range<u64>, CheckpointError> {
        let tensor = self.tensor(index)?;
        match &tensor.bytes {
            Bytes::Mapped { range, .. } => Ok(range.start as u64..range.end as u64),
            Bytes::Held(_) => Err(CheckpointError::InNoFile(tensor.name.clone())),
        }
    }

    /// Number of the tensor called `name`.
    pub fn find(&self, name: &str) -> Option<usize> {
        self.by_name.get(name).copied()
    }

    /// The file that holds tensor `index`.
    pub fn tensor_file(&self, index: usize) -> Result<&Path, CheckpointError> {
        let tensor = self.tensor(index)?;
        match &tensor.bytes {
            Bytes::Mapped { file, .. } => Ok(&self.files[*file].path),
            Bytes::Held(_) => Err(CheckpointError::InNoFile(tensor.name.clone())),
        }
    }

    /// Adds a tensor that engines find like those of the files.
    pub fn add_f32(
        &mut self,
        name: &str,
        shape: Vec<i64>,
        values: &[f32],
    ) -> Result<(), CheckpointError> {
        if self.by_name.contains_key(name) {
            return Err(CheckpointError::AddedTwice(name.to_owned()));
        }
        self.by_name.insert(name.to_owned(), self.tensors.len());
        let bytes = values.iter().flat_map(|value| value.to_le_bytes());
        self.tensors.push(Tensor {
            name: name.to_owned(),
            element_type: ElementType::F32,
            shape,
            bytes: Bytes::Held(bytes.collect()),
        });
        Ok(())
    }

    /// The files that are mapped, in the order of the index file.
    pub fn files(&self) -> impl Iterator<Item = &Path> {
        self.files.iter().map(|file| file.path.as_path())
    }

    fn tensor(&self, index: usize) -> Result<&Tensor, CheckpointError> {
        let count = self.tensors.len();
        self.tensors
            .get(index)
            .ok_or(CheckpointError::NoSuchTensor { index, count })
    }

    fn add_shards(&mut self, folder: &Path, index: &Path) -> Result<(), CheckpointError> {
        let map = read_index(index)?;
        // In the order in which the index names them first.
        let mut shards: Vec<&str> = Vec::new();
        for (tensor, shard) in &map {
            if shards.contains(&shard.as_str()) {
                continue;
            }
            if !folder.join(shard).exists() {
                return Err(CheckpointError::MissingShard {
                    index: index.to_owned(),
                    shard: shard.clone(),
                    tensor: tensor.clone(),
                });
            }
            shards.push(shard);
        }
        let mut held = HashMap::new();
        for shard in shards {
            held.insert(shard, self.add_file(&folder.join(shard))?);
        }
        for (tensor, shard) in &map {
            let names = &held[shard.as_str()];
            if names.binary_search(tensor).is_err() {
                return Err(CheckpointError::MissingFromShard {
                    index: index.to_owned(),
                    shard: shard.clone(),
                    tensor: tensor.clone(),
                });
            }
        }
        Ok(())
    }

    /// Maps one file; returns the sorted names of all tensors in it, those that are left out included.
    fn add_file(&mut self, path: &Path) -> Result<Vec<String>, CheckpointError> {
        let map = map_file(path)?;
        let (header_end, metadata) = read_header(path, &map)?;
        let mut names = Vec::new();
        for (name, info) in metadata.tensors() {
            names.push(name.clone());
            if is_left_out(&name) {
                continue;
            }
            let Some(element_type) = ElementType::from_safetensors(info.dtype) else {
                return Err(CheckpointError::UnsupportedDtype {
                    path: path.to_owned(),
                    tensor: name,
                    dtype: info.dtype.to_string(),
                });
            };
            let (start, end) = info.data_offsets;
            self.tensors.push(Tensor {
                name,
                element_type,
                // A mapped file is far smaller than i64::MAX, and so is each of its dimensions; one of a tensor
                // without elements may be anything, and then saturates.
                shape: info
                    .shape
                    .iter()
                    .map(|&size| i64::try_from(size).unwrap_or(i64::MAX))
                    .collect(),
                bytes: Bytes::Mapped {
                    file: self.files.len(),
                    range: header_end + start..header_end + end,
                },
            });
        }
        self.files.push(MappedFile {
            path: path.to_owned(),
            map,
        });
        names.sort_unstable();
        Ok(names)
    }
}

impl fmt::Debug for Checkpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let files: Vec<_> = self.files().collect();
        f.debug_struct("Checkpoint")
            .field("files", &files)
            .field("tensors", &self.tensors.len())
            .finish()
    }
}

/// Causal masks that transformers saved with the weights until 4.31, as booleans and such: no engine reads them. And a
/// checkpoint's own ranges for FP8: nothing would tell where they come from.
fn is_left_out(name: &str) -> bool {
    name.ends_with(".attn.bias")
        || name.ends_with(".attn.masked_bias")
        || name == calibration::RANGES_TENSOR
}
