//! A Hugging Face checkpoint in safetensors files, mapped into memory: names, shapes, element types and bytes.
//!
//! Everything that a header can get wrong is found when the checkpoint is opened, so that whoever reads tensors later,
//! the C++ engines above all, reads within the files.

use std::collections::HashMap;
use std::fmt;
use std::fs::File;
use std::ops::Range;
use std::path::{Path, PathBuf};

use memmap2::Mmap;
use safetensors::tensor::{Dtype, Metadata};
use serde::Deserialize;

use crate::error::{Failure, FailureKind};

/// The file of a checkpoint that is in one piece.
pub const SINGLE_FILE: &str = "model.safetensors";
/// The file that lists the pieces of a checkpoint in several.
pub const INDEX_FILE: &str = "model.safetensors.index.json";

/// Bytes of the header's length in front of a safetensors file, a little-endian `u64`.
const LENGTH_PREFIX: u64 = 8;
/// The limit of the safetensors format for a header.
const MAX_HEADER: u64 = 100_000_000;

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
    #[error("`{}` is not an index of safetensors files", .path.display())]
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
                "convert it to safetensors, for example with transformers: \
                 GPTJForCausalLM.from_pretrained(\"{0}\").save_pretrained(\"{0}\", \
                 safe_serialization=True)",
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
            Self::NoSuchTensor { .. } => return None,
        };
        Some(text)
    }
}

impl From<CheckpointError> for Failure {
    fn from(error: CheckpointError) -> Self {
        let kind = match error {
            CheckpointError::NoSuchTensor { .. } => FailureKind::Harness,
            _ => FailureKind::User,
        };
        let failure = Failure::from_error(kind, &error);
        match error.hint() {
            Some(hint) => failure.hint(hint),
            None => failure,
        }
    }
}

/// A mapped checkpoint. Tensors are numbered in the order of their names.
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
    file: usize,
    /// Within the file; checked against its length.
    bytes: Range<usize>,
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
                let path = |number: usize| {
                    let file = checkpoint.tensors[number].file;
                    checkpoint.files[file].path.clone()
                };
                return Err(CheckpointError::DuplicateTensor {
                    tensor: tensor.name.clone(),
                    first: path(other),
                    second: path(number),
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
        let tensor = self.tensor(index)?;
        Ok(&self.files[tensor.file].map[tensor.bytes.clone()])
    }

    /// Number of the tensor called `name`.
    pub fn find(&self, name: &str) -> Option<usize> {
        self.by_name.get(name).copied()
    }

    /// The file that holds tensor `index`.
    pub fn tensor_file(&self, index: usize) -> Result<&Path, CheckpointError> {
        Ok(&self.files[self.tensor(index)?.file].path)
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
            if is_buffer(&name) {
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
                file: self.files.len(),
                bytes: header_end + start..header_end + end,
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

/// Causal masks that transformers saved with the weights until 4.31, as booleans and such; no engine reads them.
fn is_buffer(name: &str) -> bool {
    name.ends_with(".attn.bias") || name.ends_with(".attn.masked_bias")
}

fn no_weights(folder: &Path) -> CheckpointError {
    for file in ["pytorch_model.bin", "pytorch_model.bin.index.json"] {
        if folder.join(file).exists() {
            return CheckpointError::PickledWeights {
                folder: folder.to_owned(),
                file: file.to_owned(),
            };
        }
    }
    CheckpointError::NoWeights(folder.to_owned())
}

fn map_file(path: &Path) -> Result<Mmap, CheckpointError> {
    let io = |source| CheckpointError::Io {
        path: path.to_owned(),
        source,
    };
    let file = File::open(path).map_err(io)?;
    // SAFETY: the mapping is read-only and private to this process. As with every mapped file, somebody else who
    // truncates it while we run ends this process with SIGBUS; checkpoints are not written to while they are used,
    // and copying 24 GB to be safe from that is no alternative.
    unsafe { Mmap::map(&file) }.map_err(io)
}

/// Parses the header; returns where it ends and what it says, which has been checked against the file's length.
fn read_header(path: &Path, file: &[u8]) -> Result<(usize, Metadata), CheckpointError> {
    if file.starts_with(b"version https://git-lfs") {
        return Err(CheckpointError::LfsPointer(path.to_owned()));
    }
    let found = file.len() as u64;
    let truncated = |expected| CheckpointError::TruncatedHeader {
        path: path.to_owned(),
        expected,
        found,
    };
    let Some(prefix) = file.first_chunk::<8>() else {
        return Err(truncated(LENGTH_PREFIX));
    };
    let length = u64::from_le_bytes(*prefix);
    if length > MAX_HEADER {
        return Err(CheckpointError::HeaderTooLarge {
            path: path.to_owned(),
            length,
        });
    }
    // At most MAX_HEADER + 8, which fits.
    let end = LENGTH_PREFIX + length;
    let header_end = end as usize;
    let Some(header) = file.get(LENGTH_PREFIX as usize..header_end) else {
        return Err(truncated(end));
    };
    // Checks that tensors follow each other without gaps and that offsets agree with shapes and element types.
    let metadata: Metadata =
        serde_json::from_slice(header).map_err(|source| CheckpointError::BrokenHeader {
            path: path.to_owned(),
            end,
            source,
        })?;
    let expected = end.saturating_add(metadata.data_len() as u64);
    if expected != found {
        let tensor = metadata.offset_keys().pop().unwrap_or_default();
        let start = metadata
            .info(&tensor)
            .map_or(0, |info| info.data_offsets.0 as u64);
        return Err(CheckpointError::WrongLength {
            path: path.to_owned(),
            expected,
            found,
            tensor,
            start: end.saturating_add(start),
        });
    }
    Ok((header_end, metadata))
}

#[derive(Deserialize)]
struct IndexFile {
    /// serde_json keeps the order of the file.
    weight_map: serde_json::Map<String, serde_json::Value>,
}

/// Tensor and file, in the order of the index.
fn read_index(path: &Path) -> Result<Vec<(String, String)>, CheckpointError> {
    let text = std::fs::read(path).map_err(|source| CheckpointError::Io {
        path: path.to_owned(),
        source,
    })?;
    let index: IndexFile =
        serde_json::from_slice(&text).map_err(|source| CheckpointError::BrokenIndex {
            path: path.to_owned(),
            source,
        })?;
    let bad = |what: String| CheckpointError::BadIndex {
        path: path.to_owned(),
        what,
    };
    if index.weight_map.is_empty() {
        return Err(bad("lists no tensors in `weight_map`".to_owned()));
    }
    index
        .weight_map
        .into_iter()
        .map(|(tensor, shard)| match shard.as_str() {
            Some(shard) if Path::new(shard).file_name() == Some(shard.as_ref()) => {
                Ok((tensor, shard.to_owned()))
            }
            _ => Err(bad(format!(
                "names {shard} as the file of tensor `{tensor}`; a file name in the same folder is \
                 expected"
            ))),
        })
        .collect()
}
