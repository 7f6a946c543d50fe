//! What the configuration asks of whoever knows where models and data are.

use std::path::PathBuf;

/// What was asked for; what is not set is to be found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Wanted {
    /// A Hugging Face folder.
    pub model_path: Option<PathBuf>,
    /// A file in the form of cnn_eval.json.
    pub dataset_path: Option<PathBuf>,
    /// Folder of data sets, in place of the scratch space's.
    pub data_dir: Option<PathBuf>,
    /// A workload by name.
    pub workload: Option<String>,
}

impl Assets {
    /// Weights and prompts that are drawn rather than read.
    pub fn synthetic() -> Self {
        Self {
            model_path: PathBuf::from("synthetic"),
            dataset_path: PathBuf::from("synthetic"),
            workload: "cnn_dailymail".to_owned(),
            fp8_scales: None,
            reason: "synthetic".to_owned(),
            not_for_submission: Some("synthetic weights and lengths".to_owned()),
            notice: None,
        }
    }
}

/// What a run will use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Assets {
    /// A Hugging Face folder.
    pub model_path: PathBuf,
    /// A file in the form of cnn_eval.json.
    pub dataset_path: PathBuf,
    /// Name of a file in `configs/workloads`: `cnn_dailymail`, `gptj-mini` or `custom`.
    pub workload: String,
    /// A calibration of the model, where one lies beside it.
    pub fp8_scales: Option<PathBuf>,
    /// Why these, for the origin of the values: `no GPT-J 6B checkpoint in /x/models`.
    pub reason: String,
    /// Why this model and this data set cannot make a result for submission.
    pub not_for_submission: Option<String>,
    /// A line for people when something else was found than one would expect.
    pub notice: Option<String>,
}
