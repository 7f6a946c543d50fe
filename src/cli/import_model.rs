//! `run_harness import-model`

use std::cell::Cell;
use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::json;

use super::command::{Cli, ImportModelArgs};
use super::meter::Meter;
use super::output::{print, print_json};
use super::owner;
use crate::dataset::TextTokenizer;
use crate::disk::free_bytes;
use crate::error::Failure;
use crate::model::import::{
    COMMIT_EVERY, Event, Imported, Request, Surroundings, Written, import, inspect,
};
use crate::model::locate::{SIX_B_FOLDER, is_six_b};
use crate::model::{Checkpoint, ModelConfig, fingerprint};
use crate::scratch::{Kind, Places};

/// Imports a checkpoint and prints the weight files with their digests, as sha256sum does.
pub fn run(cli: &Cli, args: &ImportModelArgs) -> Result<(), Failure> {
    let places = Places::of_this_process()
        .map_err(|error| Failure::user("cannot find out where this program is").because(error))?;
    if args.to.is_none() {
        places.check()?;
    }
    let usual = places.folder(Kind::Models).join(SIX_B_FOLDER);
    let request = Request {
        from: args.from.clone().unwrap_or_else(|| usual.clone()),
        to: args.to.clone().unwrap_or_else(|| usual.clone()),
        force: args.force,
    };
    let model = inspect(&request.from)?;
    if args.to.is_none() && !is_six_b(&model) {
        return Err(other_model(&request.from, &usual, &model));
    }
    // Before the weights: a tokenizer that is missing or of another model would only be found by a run.
    TextTokenizer::open(&request.from, &model)?;
    owner::tell(&request.to);
    let start = Instant::now();
    let written = Cell::new(0);
    let imported = {
        let meter = Meter::bytes("importing");
        let watch = |event: Event| match event {
            Event::Total(bytes) => meter.total(bytes),
            Event::Found(bytes) => meter.skipped(bytes),
            Event::Written(bytes) => {
                written.set(written.get() + bytes);
                meter.done(bytes);
            }
            Event::Note(text) => meter.note(text),
        };
        let around = Surroundings {
            commit_every: COMMIT_EVERY,
            free_bytes: &free_bytes,
            watch: &watch,
        };
        import(&request, &around)?
    };
    tell(&request, &imported, written.get(), start.elapsed());
    let checkpoint = Checkpoint::open(&request.to)?;
    let digest = {
        let meter = Meter::bytes("reading back");
        meter.total(imported.files.iter().map(|file| file.bytes).sum());
        fingerprint::of_model(&request.to, &checkpoint, &|bytes| meter.done(bytes))?
    };
    eprintln!("results will name it {digest}");
    if request.to != usual {
        eprintln!("runs use it with --model_path={}", request.to.display());
    }
    if cli.json {
        return print_json(&json!({
            "folder": request.to,
            "fingerprint": digest,
            "tensors": imported.tensors,
            "left_out": imported.left_out,
            "was_there": imported.already,
            "bytes_written": written.get(),
            "files": imported.files,
        }));
    }
    let line = |file: &Written| {
        format!(
            "{}  {}\n",
            file.sha256,
            request.to.join(&file.name).display()
        )
    };
    print(&imported.files.iter().map(line).collect::<String>())
}

fn other_model(from: &Path, usual: &Path, model: &ModelConfig) -> Failure {
    Failure::user(format!("the model in `{}` is not GPT-J 6B", from.display()))
        .because(format!(
            "config.json has n_layer {}, n_embd {}, n_head {} and vocab_size {}; `{}` is where runs \
             look for GPT-J 6B",
            model.n_layer,
            model.n_embd,
            model.n_head,
            model.vocab_size,
            usual.display()
        ))
        .hint("give a folder for this model with --to")
}

fn tell(request: &Request, imported: &Imported, written: u64, took: Duration) {
    let folder = request.to.display();
    let tensors = imported.tensors;
    if imported.already {
        eprintln!("`{folder}` has all {tensors} tensors already: nothing to import");
        return;
    }
    let seconds = took.as_secs_f64();
    eprintln!(
        "imported {tensors} tensors into `{folder}`: {:.2} GB written in {seconds:.1} s, {:.0} MB/s",
        written as f64 / 1e9,
        written as f64 / 1e6 / seconds.max(1e-3)
    );
    if let [first, more @ ..] = imported.left_out.as_slice() {
        eprintln!(
            "left out what the model does not have: {first}{}",
            match more.len() {
                0 => String::new(),
                more => format!(" and {more} more tensors"),
            }
        );
    }
}
