//! Is there room, and where is the checkpoint really?

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::plan::sign_of_weights;
use crate::error::Failure;
use crate::model::torch::sign_of_torch_weights;

/// What an import writes, in bytes.
pub(super) struct Need {
    /// Of all weight files.
    pub weights: u64,
    /// How many weight files there are.
    pub files: usize,
    /// Of weights for which an earlier import has taken the space already.
    pub held: u64,
    /// Of the files beside the weights.
    pub carried: u64,
}

/// Checks that what is still to be written fits.
pub(super) fn check(
    to: &Path,
    need: &Need,
    free_bytes: &dyn Fn(&Path) -> io::Result<u64>,
) -> Result<(), Failure> {
    let needed = need.weights + need.carried - need.held;
    let free = free_bytes(to).map_err(|error| {
        Failure::user(format!(
            "cannot find out how much space is free in `{}`",
            to.display()
        ))
        .because(error)
    })?;
    if needed <= free {
        return Ok(());
    }
    let already = match need.held {
        0 => String::new(),
        held => format!(" less {} that an earlier import has taken", gigabytes(held)),
    };
    Err(Failure::user(format!(
        "not enough space in `{}`: {} are missing",
        to.display(),
        gigabytes(needed - free)
    ))
    .because(format!(
        "{} of weights in {} and {} of other files{already} make {}; {} are free",
        gigabytes(need.weights),
        files(need.files),
        gigabytes(need.carried),
        gigabytes(needed),
        gigabytes(free),
    ))
    .hint("free space on that disk, or give a folder on another one with --to"))
}

fn files(count: usize) -> String {
    match count {
        1 => "1 file".to_owned(),
        count => format!("{count} files"),
    }
}

fn gigabytes(bytes: u64) -> String {
    format!("{:.2} GB ({bytes} bytes)", bytes as f64 / 1e9)
}

/// Downloads have the checkpoint in folders of folders: adds to a failure where below `from` there is one.
pub(super) fn look_below(from: &Path, failure: Failure) -> Failure {
    let is_checkpoint = |folder: &Path| {
        let weights = sign_of_torch_weights(folder).is_some() || sign_of_weights(folder).is_some();
        weights && folder.join("config.json").is_file()
    };
    if is_checkpoint(from) {
        return failure;
    }
    let below = folders(from);
    let deeper: Vec<PathBuf> = below.iter().flat_map(|folder| folders(folder)).collect();
    match below.into_iter().chain(deeper).find(|folder| is_checkpoint(folder)) {
        Some(folder) => failure.hint(format!("did you mean --from={}?", folder.display())),
        None => failure.hint(
            "--from takes the folder of a downloaded GPT-J checkpoint: config.json, the tokenizer's \
             files, and pytorch_model*.bin or model*.safetensors",
        ),
    }
}

fn folders(folder: &Path) -> Vec<PathBuf> {
    // Only for a hint: what cannot be listed is passed over.
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let mut folders: Vec<PathBuf> = entries
        .map(|entry| entry.path())
        .filter(|path| path.is_dir())
        .collect();
    folders.sort();
    folders
}
