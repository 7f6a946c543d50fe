//! Which files of a folder hold weights that `torch.save` wrote.

use std::fs;
use std::path::{Path, PathBuf};

use super::error::COPY_AGAIN;
use crate::error::Failure;
use crate::model::checkpoint::{CheckpointError, read_index};

/// All weights in one file.
const SINGLE_FILE: &str = "pytorch_model.bin";
/// The file that says which tensor is in which of several files.
const INDEX_FILE: &str = "pytorch_model.bin.index.json";

/// The files of a checkpoint.
#[derive(Debug, PartialEq, Eq)]
pub struct TorchFiles {
    /// In the order of their names.
    pub files: Vec<PathBuf>,
    /// Tensors and where the index says that they are; empty without an index.
    pub index: Vec<(String, PathBuf)>,
    /// The index, where there is one.
    pub index_path: Option<PathBuf>,
}

/// The name of a file that shows that there are such weights in a folder.
pub fn sign_of_torch_weights(folder: &Path) -> Option<String> {
    let named = [SINGLE_FILE, INDEX_FILE].into_iter();
    named
        .filter(|name| folder.join(name).exists())
        .map(str::to_owned)
        .chain(numbered(folder).into_iter().map(|shard| shard.name))
        .next()
}

/// The files of the checkpoint in a folder, `None` if there is none. All that are needed are there.
pub fn find_torch_files(folder: &Path) -> Result<Option<TorchFiles>, Failure> {
    let single = folder.join(SINGLE_FILE);
    if single.exists() {
        return Ok(Some(TorchFiles {
            files: vec![single],
            index: Vec::new(),
            index_path: None,
        }));
    }
    let index = folder.join(INDEX_FILE);
    if index.exists() {
        return by_index(folder, index).map(Some);
    }
    by_number(folder)
}

fn by_index(folder: &Path, index_path: PathBuf) -> Result<TorchFiles, Failure> {
    let mut files: Vec<PathBuf> = Vec::new();
    let mut index = Vec::new();
    for (tensor, shard) in read_index(&index_path)? {
        let Some(path) = find_shard(folder, &shard) else {
            return Err(CheckpointError::MissingShard {
                index: index_path,
                shard,
                tensor,
            }
            .into());
        };
        if !files.contains(&path) {
            files.push(path.clone());
        }
        index.push((tensor, path));
    }
    files.sort();
    Ok(TorchFiles {
        files,
        index,
        index_path: Some(index_path),
    })
}

/// Without an index the names tell how many files there must be.
fn by_number(folder: &Path) -> Result<Option<TorchFiles>, Failure> {
    let found = numbered(folder);
    let Some(first) = found.first() else {
        return Ok(None);
    };
    let mut files = Vec::new();
    for number in 1..=first.of {
        let mut same = found
            .iter()
            .filter(|shard| shard.number == number && shard.of == first.of);
        let (Some(shard), None) = (same.next(), same.next()) else {
            let name = shard_name(number, first.of);
            return Err(Failure::user(format!(
                "`{name}` is not, or more than once, in `{}`",
                folder.display()
            ))
            .because(format!(
                "there is no {INDEX_FILE}, and `{}` says that there are {} such files",
                first.name, first.of
            ))
            .hint(COPY_AGAIN));
        };
        files.push(folder.join(&shard.name));
    }
    Ok(Some(TorchFiles {
        files,
        index: Vec::new(),
        index_path: None,
    }))
}

/// A file that the index names. In downloads of the MLPerf checkpoint of 2023 the files have another number behind
/// their names, `pytorch_model-00001-of-00003-003.bin`, while the index has the names without it.
fn find_shard(folder: &Path, name: &str) -> Option<PathBuf> {
    let exact = folder.join(name);
    if exact.exists() {
        return Some(exact);
    }
    let wanted = Shard::parse(name)?;
    let mut alike = numbered(folder)
        .into_iter()
        .filter(|shard| (shard.number, shard.of) == (wanted.number, wanted.of));
    match (alike.next(), alike.next()) {
        (Some(shard), None) => Some(folder.join(shard.name)),
        _ => None,
    }
}

/// A file called `pytorch_model-<number>-of-<of>.bin`, perhaps with `-<digits>` in front of the dot.
struct Shard {
    name: String,
    number: u32,
    of: u32,
}

impl Shard {
    fn parse(name: &str) -> Option<Self> {
        let middle = name.strip_prefix("pytorch_model-")?.strip_suffix(".bin")?;
        let (number, of) = middle.split_once("-of-")?;
        let (of, extra) = of.split_once('-').unwrap_or((of, ""));
        let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
        Some(Self {
            name: name.to_owned(),
            number: number.parse().ok()?,
            of: of.parse().ok().filter(|_| digits(extra))?,
        })
    }
}

/// The numbered files of a folder, by name.
fn numbered(folder: &Path) -> Vec<Shard> {
    // A folder that cannot be listed has none; whoever opens its files says so better.
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let mut shards: Vec<Shard> = entries
        .filter_map(|entry| Shard::parse(entry.file_name().to_str()?))
        .collect();
    shards.sort_by(|a, b| a.name.cmp(&b.name));
    shards
}

fn shard_name(number: u32, of: u32) -> String {
    format!("pytorch_model-{number:05}-of-{of:05}.bin")
}
