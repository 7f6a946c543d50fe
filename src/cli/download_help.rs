//! `run_harness download-help`: where model and data sets come from, which are here, and what to run next.
//!
//! Nothing is downloaded: licences are accepted by people, and addresses change. What is said of a source was read in
//! the documents of MLCommons' inference repository, of which each text names the place; what nobody published is
//! called unknown.

mod present;

use std::path::Path;

use super::output::print;
use crate::error::Failure;
use crate::model::locate::{SIX_B_CALIBRATION, SIX_B_DATASET, SIX_B_FOLDER};
use crate::scratch::{Kind, Places, SCRATCH_VARIABLE};
use present::{CALIBRATION_SAMPLES, DATASET_SAMPLES, DataSetState, ModelState};

/// Commit of MLCommons' inference repository in which the sources below were read.
const SOURCES_AS_OF: &str =
    "github.com/mlcommons/inference of August 2026 (b66003e1), language/gpt-j";

/// Prints the help.
pub fn run() -> Result<(), Failure> {
    let places = Places::of_this_process()
        .map_err(|error| Failure::user("cannot find out where this program is").because(error))?;
    let program = std::env::args().next().unwrap_or_default();
    print(&help(&places, &program))
}

/// The whole text; `program` is how this program was called.
pub fn help(places: &Places, program: &str) -> String {
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
    let mut text = scratch(places);
    text.push_str(&section(
        "Model: GPT-J 6B, fine-tuned on CNN/DailyMail for the benchmark",
        &[
            ("here", format!("{model_state}")),
            ("where", checkpoint.display().to_string()),
            ("from", "MLCommons' storage, by its downloader; README.md, \"Download GPT-J model\"".to_owned()),
            ("size", "some 24.3 GB to download, in three PyTorch files; imported, 24.2 GB of safetensors more (24203563908 bytes of weights)".to_owned()),
            ("checksum", "none published that is known here; the downloader compares MD5 sums that come with the files, \
                          and import-model checks the CRCs in them. The MD5 sum of the zip archive that was offered in \
                          2023 differed from download to download".to_owned()),
            ("not this", "EleutherAI/gpt-j-6b of Hugging Face is the model before the fine-tuning (vocabulary 50400): it \
                          runs, but results with it are not for submission".to_owned()),
        ],
        &commands.model(&model_state),
    ));
    text.push_str(&section(
        "Data set: CNN/DailyMail 3.0.0, validation split, 13368 articles",
        &[
            ("here", format!("{dataset_state}")),
            ("where", dataset.display().to_string()),
            (
                "from",
                "cnn_dailymail of Hugging Face, by MLCommons' download_cnndm.py".to_owned(),
            ),
            ("size", "unknown".to_owned()),
            (
                "checksum",
                "none published that is known here; the number of samples is checked".to_owned(),
            ),
        ],
        &commands.dataset(&dataset_state),
    ));
    text.push_str(&section(
        "Calibration set: 1000 articles of the train split, to quantise with",
        &[
            ("here", format!("{calibration_state}")),
            ("where", calibration.display().to_string()),
            ("from", "cnn_dailymail of Hugging Face, by MLCommons' prepare-calibration.py and calibration-list.txt".to_owned()),
            ("size", "unknown; the list has 41000 bytes".to_owned()),
            ("checksum", "of the set unknown; of the list, SHA-256 \
                          4de1bc2bcf345ba8fc118788455dfaf2e09530fd9ed4daedf2b15661324ad9a7".to_owned()),
        ],
        &commands.calibration(&calibration_state),
    ));
    text.push_str(&format!("Sources as read in {SOURCES_AS_OF}.\n"));
    text
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

/// A heading, facts, and the commands to run next.
fn section(title: &str, facts: &[(&str, String)], commands: &[String]) -> String {
    let mut text = format!("{title}\n");
    for (name, fact) in facts {
        let mut name = *name;
        for line in wrapped(fact) {
            text.push_str(&format!("  {name:<9} {line}\n"));
            name = "";
        }
    }
    for (index, command) in commands.iter().enumerate() {
        let name = if index == 0 { "next" } else { "" };
        text.push_str(&format!("  {name:<9} {command}\n"));
    }
    text.push('\n');
    text
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
