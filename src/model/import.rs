//! Import: a checkpoint as it was downloaded becomes a folder of safetensors that runs read.
//!
//! Tensors are streamed in small pieces, with their element types as they are; besides them, only what describes them is
//! ever in memory. An import that is stopped, however hard, goes on where it was; see [`journal`].

mod journal;
mod plan;
mod read;
mod source;
mod space;
mod target;
mod write;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use journal::{Commit, Journal, WORK_FOLDER, WorkFolder};
use plan::{Output, Plan};
use read::Reader;
use write::{PartialFile, refused};

use super::locate::same_file;
use super::torch::sign_of_torch_weights;
use super::{Checkpoint, ModelConfig, check_tensors};
use crate::error::Failure;
pub use journal::is_unfinished;
pub use target::{MANIFEST, Written};

/// What to import, and where to.
#[derive(Debug, Clone)]
pub struct Request {
    /// A Hugging Face folder.
    pub from: PathBuf,
    /// The folder to fill; it may be the same one.
    pub to: PathBuf,
    /// Replace weights that are there.
    pub force: bool,
}

/// What happens on the way.
#[derive(Debug, Clone, Copy)]
pub enum Event<'a> {
    /// So many bytes are going to be in the weight files.
    Total(u64),
    /// So many bytes more were found to be there from an earlier import.
    Found(u64),
    /// So many bytes more were written.
    Written(u64),
    /// A line for people.
    Note(&'a str),
}

/// Bytes between commits: a commit waits for the disk, and what comes behind the last one is lost in an interruption.
pub const COMMIT_EVERY: u64 = 256 << 20;

/// What an import needs of its surroundings.
pub struct Surroundings<'a> {
    /// See [`COMMIT_EVERY`].
    pub commit_every: u64,
    /// Bytes that may still be written to the disk that a folder is on; see [`crate::disk::free_bytes`].
    pub free_bytes: &'a dyn Fn(&Path) -> io::Result<u64>,
    /// Told of everything that happens.
    pub watch: &'a dyn Fn(Event),
}

/// What an import has done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Imported {
    /// The weight files.
    pub files: Vec<Written>,
    /// How many tensors they have.
    pub tensors: usize,
    /// Tensors of the source that the model does not have.
    pub left_out: Vec<String>,
    /// Everything was there already.
    pub already: bool,
}

/// Imports a checkpoint. What is written is opened and checked in the end as a run would do it.
pub fn import(request: &Request, around: &Surroundings) -> Result<Imported, Failure> {
    let in_place = same_file(&request.from, &request.to);
    let model = inspect(&request.from)?;
    if in_place && sign_of_torch_weights(&request.from).is_none() {
        return target::as_it_is(&request.to, &model);
    }
    let sources = source::open(&request.from, in_place)
        .map_err(|failure| space::look_below(&request.from, failure))?;
    let plan = plan::plan(sources, &model)?;
    let imported = |files, already| Imported {
        files,
        tensors: plan.tensors(),
        left_out: plan.left_out.clone(),
        already,
    };
    if !request.force
        && let Some(files) = target::complete(&request.to, &plan)
    {
        target::carry_files(&request.from, &request.to)?;
        return Ok(imported(files, true));
    }
    check_target(request, &plan)?;
    let work = WorkFolder::lock(&request.to)?;
    let (mut journal, commits) = begin(request, &plan, &work, around.watch)?;
    let need = space::Need {
        weights: plan.length(),
        files: plan.outputs.len(),
        held: held(request, &plan, &work, &commits),
        carried: target::carried_bytes(&request.from, &request.to),
    };
    space::check(&request.to, &need, around.free_bytes)?;
    (around.watch)(Event::Total(plan.length()));
    let mut files = Vec::new();
    for output in &plan.outputs {
        files.push(write_output(
            request,
            output,
            &commits,
            &work,
            &mut journal,
            around,
        )?);
    }
    target::finish(request, &plan, &files)?;
    check_tensors(
        &Checkpoint::open(&request.to)?,
        &ModelConfig::read(&request.to)?,
    )?;
    work.remove()
        .map_err(|error| refused("remove", &request.to.join(WORK_FOLDER), &error))?;
    Ok(imported(files, false))
}

/// The configuration of the model in a folder that is to be imported.
pub fn inspect(from: &Path) -> Result<ModelConfig, Failure> {
    if from.is_file() {
        return Err(Failure::user(format!("`{}` is a file", from.display()))
            .hint("--from takes the folder with config.json; unpack an archive first"));
    }
    if !from.is_dir() {
        return Err(Failure::user(format!("no folder at `{}`", from.display()))
            .hint(
                "--from takes the folder of a downloaded checkpoint; `run_harness download-help` says \
                 where to get it",
            ));
    }
    ModelConfig::read(from).map_err(|error| space::look_below(from, error.into()))
}

/// Refuses to replace weights that neither this import nor an unfinished one of the same plan has written.
fn check_target(request: &Request, plan: &Plan) -> Result<(), Failure> {
    if request.force || journal::earlier(&request.to, &plan.digest).is_some() {
        return Ok(());
    }
    match plan::sign_of_weights(&request.to) {
        Some(weights) => Err(target::in_the_way(&request.to, &weights)),
        None => Ok(()),
    }
}

/// Goes on with an earlier import of the same plan, or begins one.
fn begin(
    request: &Request,
    plan: &Plan,
    work: &WorkFolder,
    watch: &dyn Fn(Event),
) -> Result<(Journal, Vec<Commit>), Failure> {
    let failed = |error: io::Error| refused("write to", &work.path, &error);
    if !request.force
        && let Some(commits) = journal::earlier(&request.to, &plan.digest)
    {
        watch(Event::Note("going on with an earlier import"));
        return Ok((work.append().map_err(failed)?, commits));
    }
    if plan::sign_of_weights(&request.to).is_some() {
        let text = format!("replacing the weights in `{}`", request.to.display());
        watch(Event::Note(&text));
        target::remove_weights(&request.to)?;
    }
    Ok((work.begin(&plan.digest).map_err(failed)?, Vec::new()))
}

/// Bytes of the disk that an earlier import has taken for weights: of complete files, and of partial ones, which may have
/// more than was committed but are written over.
fn held(request: &Request, plan: &Plan, work: &WorkFolder, commits: &[Commit]) -> u64 {
    let one = |output: &Output| {
        let is_complete = commits
            .iter()
            .any(|commit| commit.file == output.name && commit.bytes == output.length);
        let partial = fs::metadata(work.partial(&output.name));
        let complete = fs::metadata(request.to.join(&output.name));
        match (partial, complete) {
            (Ok(partial), _) => partial.len().min(output.length),
            (Err(_), Ok(complete)) if is_complete => complete.len().min(output.length),
            _ => 0,
        }
    };
    plan.outputs.iter().map(one).sum()
}

/// Writes one file, or what is missing of it.
fn write_output(
    request: &Request,
    output: &Output,
    commits: &[Commit],
    work: &WorkFolder,
    journal: &mut Journal,
    around: &Surroundings,
) -> Result<Written, Failure> {
    let watch = around.watch;
    let complete = request.to.join(&output.name);
    let partial = work.partial(&output.name);
    let mut commits: Vec<Commit> = commits
        .iter()
        .filter(|commit| commit.file == output.name)
        .cloned()
        .collect();
    let written = |sha256| Written {
        name: output.name.clone(),
        bytes: output.length,
        sha256,
    };
    // It got its name after its last commit.
    if let Some(last) = commits.last()
        && last.bytes == output.length
        && !partial.exists()
        && fs::metadata(&complete).is_ok_and(|found| found.len() == output.length)
    {
        watch(Event::Found(output.length));
        return Ok(written(last.sha256.clone()));
    }
    commits.sort_by_key(|commit| commit.bytes);
    let mut file = PartialFile::open(&partial, &commits, &mut |bytes| watch(Event::Found(bytes)))?;
    let mut end = output.header.len() as u64;
    if file.written == 0 {
        file.write(&output.header)?;
        watch(Event::Written(end));
    }
    let mut reader = Reader::open(&output.source)?;
    for tensor in &output.tensors {
        end += tensor.bytes();
        // Commits are only made behind whole tensors.
        if file.written >= end {
            continue;
        }
        reader.copy(tensor, &mut |bytes| {
            file.write(bytes)?;
            watch(Event::Written(bytes.len() as u64));
            Ok(())
        })?;
        if file.uncommitted() >= around.commit_every {
            file.commit(&output.name, journal)?;
        }
    }
    if file.uncommitted() > 0 {
        file.commit(&output.name, journal)?;
    }
    fs::rename(&partial, &complete).map_err(|error| refused("write", &complete, &error))?;
    Ok(written(file.sha256()))
}
