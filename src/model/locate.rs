//! Which model and data set a run uses: what was asked for, else GPT-J 6B from the scratch space, else gptj-mini.

use std::fs;
use std::path::{Path, PathBuf};

use super::calibration::FILE_NAME;
use super::config::ModelConfig;
use crate::config::{Assets, Wanted};
use crate::error::Failure;
use crate::scratch::{Kind, Places};

/// GPT-J 6B below the folder of models.
pub const SIX_B_FOLDER: &str = "GPTJ-6B/checkpoint-final";
/// Its data set below the folder of data.
pub const SIX_B_DATASET: &str = "cnn-daily-mail/cnn_eval.json";
/// Its calibration set, there too: the articles of MLCommons' calibration list.
pub const SIX_B_CALIBRATION: &str = "cnn-daily-mail/cnn_dailymail_calibration.json";
/// The small model, below the repository.
pub const MINI_FOLDER: &str = "models/gptj-mini";
/// The environment variable that names another folder of the small model.
pub const MINI_VARIABLE: &str = "GPTJ_MINI_DIR";

/// Data set in a model's own folder.
const OWN_DATASET: &str = "cnn_eval.json";
/// Rows in the vocabulary of the fine-tuned checkpoint that MLPerf prescribes; the base model has one less.
const SIX_B_VOCABULARY: i32 = 50_401;

/// What kind of model it is, which decides what its results may be called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ModelKind {
    /// GPT-J 6B, by its shape.
    SixB,
    /// The small model that comes with the repository.
    Mini,
    /// Any other GPT-J.
    Custom,
}

/// A model, and the files that go with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModelChoice {
    /// What kind of model it is.
    pub kind: ModelKind,
    /// Its Hugging Face folder.
    pub dir: PathBuf,
    /// Data set in the form of cnn_eval.json.
    pub dataset: PathBuf,
    /// Data set to calibrate quantisation with, where there is one.
    pub calibration: Option<PathBuf>,
    /// What a calibration of this model wrote beside it.
    pub fp8_scales: Option<PathBuf>,
    /// Accuracy of the fp32 reference, where it lies beside the model.
    pub reference: Option<PathBuf>,
    /// Name of the workload: `cnn_dailymail`, `gptj-mini` or `custom`.
    pub workload: &'static str,
    /// Why the model and the data set cannot make a result for submission.
    pub not_for_submission: Option<String>,
    /// Why this model.
    pub reason: String,
    /// A line for people when something else was taken than one would expect.
    pub notice: Option<String>,
}

impl From<ModelChoice> for Assets {
    fn from(choice: ModelChoice) -> Self {
        Self {
            model_path: choice.dir,
            dataset_path: choice.dataset,
            workload: choice.workload.to_owned(),
            fp8_scales: choice.fp8_scales,
            reason: choice.reason,
            not_for_submission: choice.not_for_submission,
            notice: choice.notice,
        }
    }
}

/// Where models are looked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModelPlaces {
    /// The repository and the scratch space.
    pub places: Places,
    /// Value of [`MINI_VARIABLE`].
    pub mini: Option<PathBuf>,
}

impl ModelPlaces {
    /// The places of this process.
    pub fn of_this_process() -> std::io::Result<Self> {
        Ok(Self {
            places: Places::of_this_process()?,
            mini: std::env::var_os(MINI_VARIABLE)
                .filter(|value| !value.is_empty())
                .map(PathBuf::from),
        })
    }

    fn six_b(&self) -> PathBuf {
        self.places.folder(Kind::Models).join(SIX_B_FOLDER)
    }

    fn data(&self, wanted: &Wanted) -> PathBuf {
        let given = wanted.data_dir.clone();
        given.unwrap_or_else(|| self.places.folder(Kind::Data))
    }

    /// The folder of the small model, whether or not it is there.
    pub fn mini(&self) -> PathBuf {
        match &self.mini {
            Some(folder) => folder.clone(),
            None => self.places.root.join(MINI_FOLDER),
        }
    }

    /// Chooses the model; its own data set need not be there. Nothing is read but config.json.
    pub fn choose_model(&self, wanted: &Wanted) -> Result<ModelChoice, Failure> {
        match (&wanted.model_path, wanted.workload.as_deref()) {
            (Some(folder), _) => self.given(folder, wanted),
            (None, Some("gptj-mini")) => self.mini_choice("workload = gptj-mini", None),
            (None, _) => self.found(wanted),
        }
    }

    /// Chooses the model and the data set; nothing of either is read but the model's config.json.
    pub fn choose(&self, wanted: &Wanted) -> Result<ModelChoice, Failure> {
        let mut choice = self.choose_model(wanted)?;
        let own = choice.dataset.is_file();
        if choice.kind == ModelKind::Custom && wanted.dataset_path.is_none() && !own {
            return Err(Failure::user(format!(
                "no data set for the model in `{}`",
                choice.dir.display()
            ))
            .because(format!("it has no {OWN_DATASET} of its own"))
            .hint("give a file in the form of cnn_eval.json with --dataset_path"));
        }
        if let Some(dataset) = &wanted.dataset_path {
            if !dataset.is_file() {
                return Err(no_dataset(dataset)
                    .hint("--dataset_path takes a file in the form of cnn_eval.json"));
            }
            if !same_file(dataset, &choice.dataset) {
                choice.dataset = dataset.clone();
                if choice.workload != "custom" {
                    let what = format!(
                        "the data set is `{}`, not the one of {}",
                        dataset.display(),
                        choice.workload
                    );
                    choice.workload = "custom";
                    choice.not_for_submission.get_or_insert(what);
                }
            }
        }
        if !choice.dataset.is_file() {
            return Err(no_dataset(&choice.dataset).hint(match choice.kind {
                ModelKind::SixB => {
                    "`run_harness download-help` says how to make it; or give another file with \
                     --dataset_path, or another folder with --data_dir"
                }
                ModelKind::Mini => "restore the file from the repository",
                ModelKind::Custom => "give a file in the form of cnn_eval.json with --dataset_path",
            }));
        }
        Ok(choice)
    }

    /// A folder that was asked for.
    fn given(&self, folder: &Path, wanted: &Wanted) -> Result<ModelChoice, Failure> {
        if !folder.is_dir() {
            return Err(
                Failure::user(format!("no model folder at `{}`", folder.display()))
                    .because("it was given as model_path")
                    .hint("--model_path takes a Hugging Face GPT-J folder"),
            );
        }
        let config = ModelConfig::read(folder)?;
        let reason = format!("model_path = {}", folder.display());
        if same_file(folder, &self.mini()) {
            return self.mini_choice(&reason, None);
        }
        if is_six_b(&config) {
            let data = self.data(wanted);
            return Ok(six_b_choice(folder.to_owned(), &data, &config, reason));
        }
        Ok(ModelChoice {
            kind: ModelKind::Custom,
            dataset: folder.join(OWN_DATASET),
            calibration: existing(folder.join("calibration.json")),
            fp8_scales: existing(folder.join(FILE_NAME)),
            reference: existing(folder.join("reference.json")),
            workload: "custom",
            not_for_submission: Some("the model is not GPT-J 6B".to_owned()),
            reason,
            notice: None,
            dir: folder.to_owned(),
        })
    }

    /// GPT-J 6B if it is there, else the small model.
    fn found(&self, wanted: &Wanted) -> Result<ModelChoice, Failure> {
        self.places.check()?;
        let folder = self.six_b();
        let why_not = if folder.join("config.json").is_file() {
            let config = ModelConfig::read(&folder)?;
            if is_six_b(&config) {
                let reason = format!("GPT-J 6B found in {}", folder.display());
                return Ok(six_b_choice(folder, &self.data(wanted), &config, reason));
            }
            format!("the model in {} is not GPT-J 6B", folder.display())
        } else if folder.is_dir() {
            format!("{} is incomplete: it has no config.json", folder.display())
        } else {
            format!("no GPT-J 6B checkpoint in {}", folder.display())
        };
        // Whoever asks for the official workload gets an error from the configuration, which says so better.
        let notice = format!(
            "{why_not}: this run uses gptj-mini, its results are not for submission; `run_harness download-help` says where \
             the 6B model comes from"
        );
        let notice = (wanted.workload.as_deref() != Some("cnn_dailymail")).then_some(notice);
        self.mini_choice(&why_not, notice)
    }

    fn mini_choice(&self, reason: &str, notice: Option<String>) -> Result<ModelChoice, Failure> {
        let dir = self.mini();
        if !dir.join("config.json").is_file() {
            let looked = match &self.mini {
                Some(_) => format!("{MINI_VARIABLE} names `{}`", dir.display()),
                None => format!("`{}` was looked for", dir.display()),
            };
            return Err(
                Failure::user(format!("gptj-mini is not in `{}`", dir.display()))
                    .because(reason)
                    .because(looked)
                    .hint(format!(
                        "run inside of the repository, set {MINI_VARIABLE} to the folder of \
                         gptj-mini, or give a Hugging Face GPT-J folder with --model_path"
                    )),
            );
        }
        Ok(ModelChoice {
            kind: ModelKind::Mini,
            dataset: dir.join(OWN_DATASET),
            calibration: existing(dir.join("calibration.json")),
            fp8_scales: existing(dir.join(FILE_NAME)),
            reference: existing(dir.join("reference.json")),
            workload: "gptj-mini",
            not_for_submission: Some("the model is gptj-mini, not GPT-J 6B".to_owned()),
            reason: reason.to_owned(),
            notice,
            dir,
        })
    }
}

fn six_b_choice(dir: PathBuf, data: &Path, config: &ModelConfig, reason: String) -> ModelChoice {
    let base = config.vocab_size != SIX_B_VOCABULARY;
    let not_for_submission = base.then(|| {
        format!(
            "the checkpoint has a vocabulary of {}: it is GPT-J 6B before the fine-tuning that \
             MLPerf prescribes ({SIX_B_VOCABULARY})",
            config.vocab_size
        )
    });
    ModelChoice {
        kind: ModelKind::SixB,
        dataset: data.join(SIX_B_DATASET),
        calibration: existing(data.join(SIX_B_CALIBRATION)),
        fp8_scales: existing(dir.join(FILE_NAME)),
        reference: None,
        workload: "cnn_dailymail",
        notice: not_for_submission.clone(),
        not_for_submission,
        reason,
        dir,
    }
}

/// By shape: nothing in a checkpoint says its name.
pub(crate) fn is_six_b(config: &ModelConfig) -> bool {
    config.n_layer == 28
        && config.n_embd == 4096
        && config.n_head == 16
        && (SIX_B_VOCABULARY - 1..=SIX_B_VOCABULARY).contains(&config.vocab_size)
}

fn no_dataset(path: &Path) -> Failure {
    Failure::user(format!("no data set at `{}`", path.display()))
}

fn existing(path: PathBuf) -> Option<PathBuf> {
    path.is_file().then_some(path)
}

/// Whether both paths lead to one file that is there.
pub(crate) fn same_file(a: &Path, b: &Path) -> bool {
    match (fs::canonicalize(a), fs::canonicalize(b)) {
        (Ok(a), Ok(b)) => a == b,
        _ => false,
    }
}
