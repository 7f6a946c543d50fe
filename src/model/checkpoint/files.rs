//! The files of a checkpoint: mapping one, reading its header, reading the index of several.

use std::fs::File;
use std::path::Path;

use memmap2::Mmap;
use safetensors::tensor::Metadata;
use serde::Deserialize;

use super::CheckpointError;
use crate::model::torch::sign_of_torch_weights;

/// Bytes of the header's length in front of a safetensors file, a little-endian `u64`.
pub(super) const LENGTH_PREFIX: u64 = 8;
/// The limit of the safetensors format for a header.
pub(super) const MAX_HEADER: u64 = 100_000_000;

/// Why there is nothing to map in a folder.
pub(super) fn no_weights(folder: &Path) -> CheckpointError {
    match sign_of_torch_weights(folder) {
        Some(file) => CheckpointError::PickledWeights {
            folder: folder.to_owned(),
            file,
        },
        None => CheckpointError::NoWeights(folder.to_owned()),
    }
}

pub(super) fn map_file(path: &Path) -> Result<Mmap, CheckpointError> {
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
pub(super) fn read_header(path: &Path, file: &[u8]) -> Result<(usize, Metadata), CheckpointError> {
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
pub(in crate::model) fn read_index(path: &Path) -> Result<Vec<(String, String)>, CheckpointError> {
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
