//! `run_harness download-help`: where model and data sets come from, which are here, and what to run next.
//!
//! Nothing is downloaded: licences are accepted by people, and addresses change. What is said of a source was read in
//! the documents of MLCommons' inference repository, of which each text names the place; what nobody published is
//! called unknown.

mod present;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::command::Cli;
use super::output::{print, print_json};
use crate::error::Failure;
use crate::model::locate::{SIX_B_CALIBRATION, SIX_B_DATASET, SIX_B_FOLDER};
use crate::scratch::{Kind, Places, SCRATCH_VARIABLE};
use present::{CALIBRATION_SAMPLES, DATASET_SAMPLES, DataSetState, ModelState};

/// Commit of MLCommons' inference repository in which the sources below were read.
const SOURCES_AS_OF: &str =
    "github.com/mlcommons/inference of August 2026 (b66003e1), language/gpt-j";

/// Prints the help.
pub fn run(cli: &Cli) -> Result<(), Failure> {
    let places = Places::of_this_process()
        .map_err(|error| Failure::user("cannot find out where this program is").because(error))?;
    let program = std::env::args().next().unwrap_or_default();
    let parts = parts(&places, &program);
    if cli.json {
        return print_json(&to_json(&places, &parts));
    }
    let mut text = scratch(&places);
    text.extend(parts.iter().map(Part::text));
    text.push_str(&format!("Sources as read in {SOURCES_AS_OF}.\n"));
    print(&text)
}

/// The model or a data set.
struct Part {
    /// For programs.
    name: &'static str,
    title: &'static str,
    /// How far it is, in a word and in a line.
    state: (&'static str, String),
    path: PathBuf,
    /// What is known of its source.
    facts: Vec<(&'static str, &'static str)>,
    /// The exact commands that come next.
    next: Vec<String>,
}

/// `program` is how this program was called.
fn parts(places: &Places, program: &str) -> [Part; 3] {
    let checkpoint = places.folder(Kind::Models).join(SIX_B_FOLDER);
    let data = places.folder(Kind::Data);
    let dataset = data.join(SIX_B_DATASET);
    let calibration = data.join(SIX_B_CALIBRATION);
    let model_state = present::model(&checkpoint);
    let dataset_state = present::dataset(&dataset, DATASET_SAMPLES);
    let calibration_state = present::dataset(&calibration, CALIBRATION_SAMPLES);
    let commands = Commands {
        program: quoted(program),
        checkpoint: &checkpoint,
        dataset: &dataset,
        calibration: &calibration,
    };
    let next = [
        commands.model(&model_state),
        commands.dataset(&dataset_state),
        commands.calibration(&calibration_state),
    ];
    let [next_model, next_dataset, next_calibration] = next;
    [
        Part {
            name: "model",
            title: "Model: GPT-J 6B, fine-tuned on CNN/DailyMail for the benchmark",
            state: (model_state.word(), model_state.to_string()),
            path: checkpoint,
            facts: vec![
                (
                    "from",
                    "MLCommons' storage, by its downloader; README.md, \"Download GPT-J model\"",
                ),
                (
                    "size",
                    "some 24.3 GB to download, in three PyTorch files; imported, 24.2 GB of safetensors more \
                          (24203563908 bytes of weights)",
                ),
                (
                    "checksum",
                    "none published that is known here; the downloader compares MD5 sums that come with the \
                              files, and import-model checks the CRCs in them. The MD5 sum of the zip archive that was \
                              offered in 2023 differed from download to download",
                ),
                (
                    "not this",
                    "EleutherAI/gpt-j-6b of Hugging Face is the model before the fine-tuning (vocabulary \
                              50400): it runs, but results with it are not for submission",
                ),
            ],
            next: next_model,
        },
        Part {
            name: "dataset",
            title: "Data set: CNN/DailyMail 3.0.0, validation split, 13368 articles",
            state: (dataset_state.word(), dataset_state.to_string()),
            path: dataset,
            facts: vec![
                (
                    "from",
                    "cnn_dailymail of Hugging Face, by MLCommons' download_cnndm.py",
                ),
                ("size", "unknown"),
                (
                    "checksum",
                    "none published that is known here; the number of samples is checked",
                ),
            ],
            next: next_dataset,
        },
        Part {
            name: "calibration",
            title: "Calibration set: 1000 articles of the train split, to quantise with",
            state: (calibration_state.word(), calibration_state.to_string()),
            path: calibration,
            facts: vec![
                (
                    "from",
                    "cnn_dailymail of Hugging Face, by MLCommons' prepare-calibration.py and calibration-list.txt",
                ),
                ("size", "unknown; the list has 41000 bytes"),
                (
                    "checksum",
                    "of the set unknown; of the list, SHA-256 \
                              4de1bc2bcf345ba8fc118788455dfaf2e09530fd9ed4daedf2b15661324ad9a7",
                ),
            ],
            next: next_calibration,
        },
    ]
}

impl Part {
    /// A heading, facts, and the commands to run next.
    fn text(&self) -> String {
        let path = self.path.display().to_string();
        let mut text = format!("{}\n", self.title);
        let first = [("here", self.state.1.as_str()), ("where", path.as_str())];
        for (name, fact) in first.iter().chain(&self.facts) {
            let mut name = *name;
            for line in wrapped(fact) {
                text.push_str(&format!("  {name:<9} {line}\n"));
                name = "";
            }
        }
        for (index, command) in self.next.iter().enumerate() {
            let name = if index == 0 { "next" } else { "" };
            text.push_str(&format!("  {name:<9} {command}\n"));
        }
        text.push('\n');
        text
    }
}

fn to_json(places: &Places, parts: &[Part]) -> Value {
    let one = |part: &Part| {
        let facts = part.facts.iter().copied();
        json!({
            "name": part.name,
            "state": part.state.0,
            "here": part.state.1,
            "path": part.path,
            "facts": facts.collect::<BTreeMap<_, _>>(),
            "next": part.next,
        })
    };
    json!({
        "scratch": places.scratch,
        "scratch_given": places.scratch_given,
        "parts": parts.iter().map(one).collect::<Vec<_>>(),
        "sources_as_of": SOURCES_AS_OF,
    })
}

fn scratch(places: &Places) -> String {
    let why = match places.scratch_given {
        true => format!("from {SCRATCH_VARIABLE}"),
        false => format!("because {SCRATCH_VARIABLE} is not set"),
    };
    let there = match places.scratch.is_dir() {
        true => "",
        false => "; it is not there yet",
    };
    format!(
        "Scratch space: {} ({why}){there}\n\n",
        places.scratch.display()
    )
}

/// A fact in lines of some hundred characters; a longer word has a line of its own.
fn wrapped(fact: &str) -> Vec<String> {
    const WIDTH: usize = 100;
    let mut lines: Vec<String> = Vec::new();
    for word in fact.split_whitespace() {
        match lines.last_mut() {
            Some(line) if line.len() + 1 + word.len() <= WIDTH => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}

/// The exact commands that come next.
struct Commands<'a> {
    program: String,
    checkpoint: &'a Path,
    dataset: &'a Path,
    calibration: &'a Path,
}

const CLONE: &str = "git clone https://github.com/mlcommons/inference mlcommons-inference";

impl Commands<'_> {
    fn model(&self, state: &ModelState) -> Vec<String> {
        let import = format!("{} import-model", self.program);
        match state {
            ModelState::Missing => {
                let download = self.checkpoint.with_file_name("download");
                vec![
                    format!(
                        "bash <(curl -s https://raw.githubusercontent.com/mlcommons/r2-downloader/refs/heads/main/\
                         mlc-r2-downloader.sh) -d {} \
                         https://inference.mlcommons-storage.org/metadata/gpt-j-model-checkpoint.uri",
                        path(&download)
                    ),
                    format!("{import} --from={}", path(&download)),
                ]
            }
            ModelState::Torch { .. } | ModelState::Unfinished => vec![import],
            ModelState::Broken(_) => {
                vec![format!("{import} --force   # with --from=<the download>")]
            }
            ModelState::Complete { .. } => vec![format!("{} --benchmarks=gptj", self.program)],
        }
    }

    fn dataset(&self, state: &DataSetState) -> Vec<String> {
        match state {
            DataSetState::Complete { .. } => vec![format!("{} preprocess-data", self.program)],
            _ => vec![
                CLONE.to_owned(),
                "pip install datasets transformers simplejson".to_owned(),
                format!(
                    "DATASET_CNNDM_PATH={} python3 mlcommons-inference/language/gpt-j/download_cnndm.py",
                    parent(self.dataset)
                ),
            ],
        }
    }

    fn calibration(&self, state: &DataSetState) -> Vec<String> {
        match state {
            DataSetState::Complete { .. } => Vec::new(),
            _ => vec![
                CLONE.to_owned(),
                "pip install datasets".to_owned(),
                format!(
                    "python3 mlcommons-inference/language/gpt-j/prepare-calibration.py --calibration-list-file \
                     mlcommons-inference/language/gpt-j/calibration-list.txt --output-dir {}",
                    parent(self.calibration)
                ),
            ],
        }
    }
}

fn parent(file: &Path) -> String {
    path(file.parent().unwrap_or(file))
}

fn path(path: &Path) -> String {
    quoted(&path.to_string_lossy())
}

/// For a shell.
fn quoted(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+=:,@".contains(c);
    match !text.is_empty() && text.chars().all(plain) {
        true => text.to_owned(),
        false => format!("'{}'", text.replace('\'', r"'\''")),
    }
}
