//! The folder that an import fills: what else goes there, and what says that it is complete.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::plan::Plan;
use super::space::look_below;
use super::write::refused;
use super::{Imported, Request};
use crate::disk::write_and_rename;
use crate::error::Failure;
use crate::model::checkpoint::{INDEX_FILE, SINGLE_FILE, read_index};
use crate::model::locate::same_file;
use crate::model::{Checkpoint, Fingerprint, ModelConfig, check_tensors};

/// The file that says where the weights came from and what they are.
pub const MANIFEST: &str = "import.json";

/// What goes along with the weights, config.json last: a folder without it is no model yet.
const CARRIED: [&str; 8] = [
    "generation_config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "vocab.json",
    "merges.txt",
    "added_tokens.json",
    "special_tokens_map.json",
    "config.json",
];

/// A weight file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Written {
    /// Its name in the target folder.
    pub name: String,
    /// Its length.
    pub bytes: u64,
    /// 64 hexadecimal digits.
    pub sha256: String,
}

#[derive(Debug, Serialize, Deserialize)]
struct Manifest {
    /// The folder that was imported.
    from: PathBuf,
    /// Digest of the source files and of the headers that were written.
    plan: Fingerprint,
    files: Vec<Written>,
    /// Tensors of the source that the model does not have.
    left_out: Vec<String>,
}

impl Manifest {
    fn read(to: &Path) -> Option<Self> {
        serde_json::from_slice(&fs::read(to.join(MANIFEST)).ok()?).ok()
    }
}

/// The files in `to`, if they are what the plan would write.
pub(super) fn complete(to: &Path, plan: &Plan) -> Option<Vec<Written>> {
    let manifest = Manifest::read(to)?;
    let is_there = |file: &Written| {
        fs::metadata(to.join(&file.name)).is_ok_and(|found| found.len() == file.bytes)
    };
    let complete = manifest.plan == plan.digest && manifest.files.iter().all(is_there);
    complete.then_some(manifest.files)
}

/// A folder that has nothing but safetensors and is to be imported into itself: there is nothing to do.
pub(super) fn as_it_is(folder: &Path, model: &ModelConfig) -> Result<Imported, Failure> {
    let checkpoint = Checkpoint::open(folder).map_err(|error| look_below(folder, error.into()))?;
    check_tensors(&checkpoint, model)?;
    let manifest = Manifest::read(folder);
    Ok(Imported {
        tensors: checkpoint.tensor_count(),
        left_out: Vec::new(),
        files: manifest.map_or(Vec::new(), |manifest| manifest.files),
        already: true,
    })
}

/// Weights that this import did not write.
pub(super) fn in_the_way(to: &Path, weights: &Path) -> Failure {
    let what = match Manifest::read(to) {
        Some(manifest) => format!(
            "they were imported from `{}`, which was something else then",
            manifest.from.display()
        ),
        None => format!("`{}` is not of an import", weights.display()),
    };
    Failure::user(format!("there are other weights in `{}`", to.display()))
        .because(what)
        .hint("give another folder with --to, or replace them with --force")
}

/// Removes the weights in a folder, what makes them complete first.
pub(super) fn remove_weights(to: &Path) -> Result<(), Failure> {
    let index = to.join(INDEX_FILE);
    let listed = read_index(&index).unwrap_or_default();
    let mut names = vec![
        MANIFEST.to_owned(),
        INDEX_FILE.to_owned(),
        SINGLE_FILE.to_owned(),
    ];
    names.extend(listed.into_iter().map(|(_, file)| file));
    names.dedup();
    for path in names.iter().map(|name| to.join(name)) {
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(refused("remove", &path, &error));
            }
            _ => {}
        }
    }
    Ok(())
}

/// Puts everything beside the complete weights that makes them a model.
pub(super) fn finish(request: &Request, plan: &Plan, files: &[Written]) -> Result<(), Failure> {
    if let Some(index) = &plan.index {
        replace(&request.to.join(INDEX_FILE), index.as_bytes())?;
    }
    let manifest = Manifest {
        from: fs::canonicalize(&request.from).unwrap_or_else(|_| request.from.clone()),
        plan: plan.digest.clone(),
        files: files.to_vec(),
        left_out: plan.left_out.clone(),
    };
    let path = request.to.join(MANIFEST);
    let text = serde_json::to_string_pretty(&manifest).map_err(|error| {
        Failure::harness(format!("cannot write `{}`", path.display())).because(error)
    })?;
    replace(&path, (text + "\n").as_bytes())?;
    carry_files(&request.from, &request.to)
}

/// Copies configuration and tokenizer where they differ.
pub(super) fn carry_files(from: &Path, to: &Path) -> Result<(), Failure> {
    for (source, target) in carried(from, to) {
        let content = fs::read(&source).map_err(|error| refused("read", &source, &error))?;
        if fs::read(&target).is_ok_and(|found| found == content) {
            continue;
        }
        replace(&target, &content)?;
    }
    Ok(())
}

/// Bytes of the files that [`carry_files`] may copy.
pub(super) fn carried_bytes(from: &Path, to: &Path) -> u64 {
    let length =
        |(source, _): (PathBuf, PathBuf)| fs::metadata(source).map_or(0, |data| data.len());
    carried(from, to).map(length).sum()
}

fn carried(from: &Path, to: &Path) -> impl Iterator<Item = (PathBuf, PathBuf)> {
    let pairs = CARRIED.map(|name| (from.join(name), to.join(name)));
    pairs
        .into_iter()
        .filter(|(source, target)| source.is_file() && !same_file(source, target))
}

/// Writes a file beside its place and puts it there whole.
fn replace(path: &Path, content: &[u8]) -> Result<(), Failure> {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".new");
    let fresh = path.with_file_name(name);
    write_and_rename(&fresh, path, content).map_err(|error| refused("write", path, &error))
}
