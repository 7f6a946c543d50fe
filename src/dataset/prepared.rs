//! Tokenised prompts of a data set, kept as .npy files between runs.
//!
//! The files have the names and the form that harnesses of this benchmark have always used. manifest.json beside them
//! says what they were made from; whoever finds that it was something else makes them anew.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::cnn_eval::Dataset;
use super::npy;
use super::prompt;
use super::tokenize::TextTokenizer;
use crate::error::{Failure, FailureKind};
use crate::model::fingerprint::{self, SAMPLING};
use crate::model::{Fingerprint, ModelConfig};

/// Token ids, int32 `[samples, max_prompt_tokens]`, padded on the right with the end token.
pub const INPUT_IDS: &str = "input_ids_padded.npy";
/// 1 for a token and 0 for padding, int32 `[samples, max_prompt_tokens]`.
pub const ATTENTION_MASK: &str = "attention_mask.npy";
/// 1 - attention mask.
pub const MASKED_TOKENS: &str = "masked_tokens.npy";
/// Tokens of each prompt, int32 `[samples]`.
pub const INPUT_LENGTHS: &str = "input_lengths.npy";
/// What the files were made from.
pub const MANIFEST: &str = "manifest.json";

/// Files that are being written are in a folder of this name and the number of the process.
const WRITING: &str = ".writing-";
/// Writing takes seconds.
const ABANDONED: Duration = Duration::from_secs(3600);

/// Raised whenever the same data set and tokenizer would give other files.
const FORMAT: u32 = 1;

/// How long prompts and answers may be, in tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct PromptLimits {
    /// Longer prompts lose their end, as in the reference implementation. 1919 by the rules.
    pub max_prompt_tokens: u32,
    /// Room that is kept behind each prompt. 128 by the rules.
    pub max_new_tokens: u32,
}

/// What to tokenise, with what, and where to keep it.
pub struct Request<'a> {
    /// The samples.
    pub dataset: &'a Dataset,
    /// The model's tokenizer.
    pub tokenizer: &'a TextTokenizer,
    /// The model: its end token, and the positions that it has.
    pub model: &'a ModelConfig,
    /// How long prompts and answers may be.
    pub limits: PromptLimits,
    /// Folder of the .npy files; `None`: nothing is kept. See [`cache_folder`].
    pub cache: Option<PathBuf>,
    /// Tokenise even if there are valid files.
    pub force: bool,
}

/// Where the prompts came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// Files that fit were there.
    Cache(PathBuf),
    /// Tokenised now.
    Tokenized {
        /// Why: no files, or what did not fit.
        reason: String,
        /// The folder that was written, or why it could not be (runs go on without it); `None` without a folder.
        written: Option<Result<PathBuf, Failure>>,
    },
}

/// Tokenised prompts, one behind the other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Prepared {
    /// All tokens.
    pub tokens: Vec<i32>,
    /// Prompt `i` is `tokens[offsets[i]..offsets[i + 1]]`; one more than there are prompts.
    pub offsets: Vec<u64>,
    /// How many prompts lost their end.
    pub truncated: u64,
    /// Tokens of the longest prompt.
    pub longest: u32,
    /// Where they came from.
    pub source: Source,
}

impl Prepared {
    /// How many prompts there are.
    pub fn len(&self) -> usize {
        self.offsets.len() - 1
    }

    /// There are none; does not happen with a data set that was read.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Tokens of prompt `index`.
    pub fn prompt(&self, index: usize) -> &[i32] {
        // Offsets count elements of a Vec, so they fit.
        &self.tokens[self.offsets[index] as usize..self.offsets[index + 1] as usize]
    }
}

/// The folder for a workload's .npy files in the folder of preprocessed data. A custom workload may be any data set, so
/// each gets a folder of its own.
pub fn cache_folder(preprocessed_data: &Path, workload: &str, dataset: &Fingerprint) -> PathBuf {
    preprocessed_data.join(match workload {
        "custom" => format!("custom_{:.12}_tokenized_gptj", dataset.hex),
        _ => format!("{workload}_tokenized_gptj"),
    })
}

#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Manifest {
    format: u32,
    dataset: Fingerprint,
    tokenizer: Fingerprint,
    samples: usize,
    max_prompt_tokens: u32,
    padding_token: i32,
    truncated: u64,
    input_ids: Fingerprint,
    input_lengths: Fingerprint,
}

/// The prompts of a data set: from the .npy files where they fit, else tokenised (and the files written). `progress` is
/// called for every prompt that was tokenised, from several threads.
pub fn prepare(request: &Request<'_>, progress: &(dyn Fn() + Sync)) -> Result<Prepared, Failure> {
    let reason = match (&request.cache, request.force) {
        (None, _) => "nothing is kept".to_owned(),
        (_, true) => "asked for".to_owned(),
        (Some(folder), false) => match load(request, folder) {
            Ok(prepared) => {
                check_positions(request, &prepared)?;
                return Ok(prepared);
            }
            Err(reason) => reason,
        },
    };
    let mut prepared = tokenize(request, progress)?;
    check_positions(request, &prepared)?;
    prepared.source = Source::Tokenized {
        written: request
            .cache
            .as_ref()
            .map(|folder| store(request, &prepared, folder).map(|()| folder.clone())),
        reason,
    };
    Ok(prepared)
}

fn tokenize(request: &Request<'_>, progress: &(dyn Fn() + Sync)) -> Result<Prepared, Failure> {
    let limit = request.limits.max_prompt_tokens as usize;
    let prompts = request
        .dataset
        .samples
        .par_iter()
        .map(|sample| {
            let mut tokens = request.tokenizer.encode(&prompt::render(sample))?;
            let truncated = tokens.len() > limit;
            tokens.truncate(limit);
            progress();
            Ok((tokens, truncated))
        })
        .collect::<Result<Vec<_>, Failure>>()?;
    let truncated = prompts.iter().filter(|(_, truncated)| *truncated).count() as u64;
    let source = Source::Tokenized {
        reason: String::new(),
        written: None,
    };
    Ok(join(
        prompts.iter().map(|(tokens, _)| tokens.as_slice()),
        truncated,
        source,
    ))
}

fn join<'a>(prompts: impl Iterator<Item = &'a [i32]>, truncated: u64, source: Source) -> Prepared {
    let mut tokens = Vec::new();
    let mut offsets = vec![0];
    let mut longest = 0;
    for prompt in prompts {
        tokens.extend_from_slice(prompt);
        offsets.push(tokens.len() as u64);
        longest = longest.max(prompt.len() as u32);
    }
    Prepared {
        tokens,
        offsets,
        truncated,
        longest,
        source,
    }
}

/// A prompt with its answer must fit into the positions that the model has.
fn check_positions(request: &Request<'_>, prepared: &Prepared) -> Result<(), Failure> {
    let positions = i64::from(request.model.n_positions);
    let room = positions - i64::from(request.limits.max_new_tokens);
    let length = |index: usize| prepared.prompt(index).len() as i64;
    let mut too_long = (0..prepared.len()).filter(|&index| length(index) > room);
    let Some(first) = too_long.next() else {
        return Ok(());
    };
    let tokens = length(first);
    let answer = request.limits.max_new_tokens;
    let more = match too_long.count() {
        0 => String::new(),
        more => format!("; so do {more} more"),
    };
    let hint = match room {
        ..1 => format!("the model has no room for an answer: set max_new_tokens below {positions}"),
        _ => format!(
            "set max_prompt_tokens to {room} or less, which cuts longer prompts off at their end, \
             or use a model with more positions"
        ),
    };
    Err(Failure::user(format!(
        "sample {first} of `{}` has a prompt of {tokens} tokens, which exceeds the model's limit",
        request.dataset.path.display()
    ))
    .because(format!(
        "{tokens} prompt tokens and {answer} new ones need {} positions, the model has {positions} \
         (n_positions){more}",
        tokens + i64::from(answer)
    ))
    .hint(hint))
}

/// Reads the files if they are what tokenising would give; the error is the reason why they are not.
fn load(request: &Request<'_>, folder: &Path) -> Result<Prepared, String> {
    let path = folder.join(MANIFEST);
    let text = match fs::read(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Err(format!("there is no `{}` yet", path.display()));
        }
        other => other.map_err(|error| format!("cannot read `{}`: {error}", path.display()))?,
    };
    let found: Manifest = serde_json::from_slice(&text)
        .map_err(|error| format!("`{}` cannot be understood: {error}", path.display()))?;
    let changed = |what: &str| Err(format!("`{}` is for another {what}", path.display()));
    let width = request.limits.max_prompt_tokens;
    if found.format != FORMAT {
        return changed("version of this program");
    }
    if found.dataset != request.dataset.fingerprint {
        return changed("data set");
    }
    if found.tokenizer != *request.tokenizer.fingerprint() {
        return changed("tokenizer");
    }
    if found.max_prompt_tokens != width {
        return changed("max_prompt_tokens");
    }
    if found.padding_token != request.model.eos_token {
        return changed("end token");
    }
    let rows = request.dataset.samples.len();
    let ids = read_array(
        &folder.join(INPUT_IDS),
        &[rows, width as usize],
        &found.input_ids,
    )?;
    let lengths_path = folder.join(INPUT_LENGTHS);
    let lengths = read_array(&lengths_path, &[rows], &found.input_lengths)?;
    if width == 0 {
        return Err("max_prompt_tokens is 0".to_owned());
    }
    let prompts = lengths
        .iter()
        .zip(ids.chunks_exact(width as usize))
        .map(|(&length, row)| {
            usize::try_from(length)
                .ok()
                .and_then(|length| row.get(..length))
        })
        .collect::<Option<Vec<_>>>()
        .ok_or_else(|| format!("`{}` has a length out of range", lengths_path.display()))?;
    let source = Source::Cache(folder.to_owned());
    Ok(join(prompts.into_iter(), found.truncated, source))
}

fn read_array(path: &Path, shape: &[usize], digest: &Fingerprint) -> Result<Vec<i32>, String> {
    let array = npy::read(path).map_err(|error| chain(&error))?;
    if array.shape != shape {
        return Err(format!(
            "`{}` has shape {:?}, expected {shape:?}",
            path.display(),
            array.shape
        ));
    }
    if digest_of(path).map_err(|failure| failure.message)? != *digest {
        return Err(format!("`{}` is not what {MANIFEST} says", path.display()));
    }
    Ok(array.values)
}

fn digest_of(path: &Path) -> Result<Fingerprint, Failure> {
    fingerprint::of_file(path, SAMPLING, &|_| {})
}

fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(&format!(": {cause}"));
        source = cause.source();
    }
    text
}

/// Writes all files under other names, then gives them theirs, the manifest last: whoever is interrupted leaves files
/// behind that do not pass as valid.
fn store(request: &Request<'_>, prepared: &Prepared, folder: &Path) -> Result<(), Failure> {
    let refused = |what: &str, path: &Path, error: &io::Error| {
        Failure::user(format!("cannot {what} `{}`", path.display()))
            .because(error)
            .hint("check free space and permissions, or set MLPERF_SCRATCH_PATH to another folder")
    };
    fs::create_dir_all(folder).map_err(|error| refused("create the folder", folder, &error))?;
    remove_leftovers(folder).map_err(|error| refused("clear", folder, &error))?;
    let temporary = folder.join(format!("{WRITING}{}", std::process::id()));
    fs::create_dir(&temporary).map_err(|error| refused("create the folder", &temporary, &error))?;
    let written = write_files(request, prepared, &temporary).and_then(|()| {
        // A manifest must never stand beside files that it does not describe.
        match fs::remove_file(folder.join(MANIFEST)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(refused("replace", &folder.join(MANIFEST), &error));
            }
            _ => {}
        }
        for name in [
            INPUT_IDS,
            ATTENTION_MASK,
            MASKED_TOKENS,
            INPUT_LENGTHS,
            MANIFEST,
        ] {
            let path = folder.join(name);
            fs::rename(temporary.join(name), &path)
                .map_err(|error| refused("write", &path, &error))?;
        }
        Ok(())
    });
    // Empty after success. After a failure, that failure is what matters.
    let _ = fs::remove_dir_all(&temporary);
    written
}

/// Removes what processes left that were killed while they wrote: folders that are older than any writing takes (the
/// writer may have run on another machine), and one with this process' number.
fn remove_leftovers(folder: &Path) -> io::Result<()> {
    let own = format!("{WRITING}{}", std::process::id());
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let name = entry.file_name();
        let name = name.to_string_lossy();
        if !name.starts_with(WRITING) {
            continue;
        }
        let age = entry.metadata()?.modified()?.elapsed().unwrap_or_default();
        if name == own || age > ABANDONED {
            fs::remove_dir_all(entry.path())?;
        }
    }
    Ok(())
}

fn write_files(request: &Request<'_>, prepared: &Prepared, folder: &Path) -> Result<(), Failure> {
    let npy_failed = |error: npy::NpyError| {
        Failure::from_error(FailureKind::User, &error)
            .hint("check free space and permissions, or set MLPERF_SCRATCH_PATH to another folder")
    };
    let rows = prepared.len();
    let width = request.limits.max_prompt_tokens as usize;
    let padding = request.model.eos_token;
    let length = |index: usize| prepared.prompt(index).len();
    npy::write(&folder.join(INPUT_IDS), rows, Some(width), |index, row| {
        let prompt = prepared.prompt(index);
        row[..prompt.len()].copy_from_slice(prompt);
        row[prompt.len()..].fill(padding);
    })
    .map_err(npy_failed)?;
    for (name, token, pad) in [(ATTENTION_MASK, 1, 0), (MASKED_TOKENS, 0, 1)] {
        npy::write(&folder.join(name), rows, Some(width), |index, row| {
            let (tokens, rest) = row.split_at_mut(length(index));
            tokens.fill(token);
            rest.fill(pad);
        })
        .map_err(npy_failed)?;
    }
    npy::write(&folder.join(INPUT_LENGTHS), rows, None, |index, row| {
        // At most max_prompt_tokens, which the configuration keeps far below 2^31.
        row[0] = length(index) as i32;
    })
    .map_err(npy_failed)?;
    let manifest = Manifest {
        format: FORMAT,
        dataset: request.dataset.fingerprint.clone(),
        tokenizer: request.tokenizer.fingerprint().clone(),
        samples: rows,
        max_prompt_tokens: request.limits.max_prompt_tokens,
        padding_token: padding,
        truncated: prepared.truncated,
        input_ids: digest_of(&folder.join(INPUT_IDS))?,
        input_lengths: digest_of(&folder.join(INPUT_LENGTHS))?,
    };
    let path = folder.join(MANIFEST);
    let text = serde_json::to_string_pretty(&manifest).map_err(|error| {
        Failure::harness(format!("cannot write `{}`", path.display())).because(error)
    })?;
    fs::write(&path, text + "\n").map_err(|error| {
        Failure::user(format!("cannot write `{}`", path.display()))
            .because(error)
            .hint("check free space and permissions, or set MLPERF_SCRATCH_PATH to another folder")
    })
}
