//! `run_harness doctor`: what is here, what a run would use of it, what would stop it, and what to do about that.
//!
//! Looking ([`gather()`]), judging ([`examine()`]) and printing ([`Report::text`]) are apart, so that machines nobody has
//! at hand can be judged in tests. Nothing here decides whether a run may start: a run finds out for itself.

mod examine;
mod gather;
mod gpus;
mod text;

use std::path::PathBuf;

use serde::Serialize;

pub use examine::examine;
pub use gather::{Around, gather};
pub use gpus::busy;

use crate::config::{EngineKind, Precision};
use crate::error::Failure;
use crate::system::{CudaDriver, Device, Devices, EngineLibrary, FoundLibrary, Machine};

/// Version of the fields of [`Report`] as JSON.
pub const SCHEMA_VERSION: u32 = 1;

/// Everything that was found.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Inventory {
    /// `run_harness 0.1.0`.
    pub program: String,
    /// This process is root's.
    pub is_root: bool,
    /// The machine.
    pub machine: Machine,
    /// Bytes of memory that a program could have now.
    pub memory_available_bytes: u64,
    /// Devices that `--devices` can name.
    pub devices: Devices,
    /// Engines that come as libraries.
    pub engines: Vec<EngineLibrary>,
    /// Libraries that these need.
    pub libraries: Vec<FoundLibrary>,
    /// What CUDA says when it is started.
    pub cuda: CudaDriver,
    /// Where models and data are.
    pub storage: Storage,
    /// What a run would do; absent when its configuration is refused.
    pub run: Option<RunPlan>,
    /// Why its configuration is refused.
    pub refusal: Option<Failure>,
}

/// Where models and data are, and what is missing.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Storage {
    /// The repository, or the working folder.
    pub root: PathBuf,
    /// The scratch space.
    pub scratch: PathBuf,
    /// It was named by MLPERF_SCRATCH_PATH.
    pub scratch_given: bool,
    /// It is a folder.
    pub scratch_exists: bool,
    /// This process may write into it, or make it.
    pub scratch_writable: bool,
    /// Where tokenised prompts are kept; it may not be there yet.
    pub prompts: PathBuf,
    /// This process may write there, or make it.
    pub prompts_writable: bool,
    /// data, models and preprocessed_data.
    pub folders: Vec<ScratchFolder>,
    /// Files and folders that runs look for.
    pub items: Vec<Item>,
    /// Room for what a run writes.
    pub disks: Vec<Disk>,
    /// There is an audit.config in the working folder, which LoadGen would obey.
    pub audit_config: bool,
}

/// A folder of the scratch space.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ScratchFolder {
    /// `data`.
    pub name: String,
    /// The link to it, below build/.
    pub link: PathBuf,
    /// Where that link leads; absent when it is no link.
    pub target: Option<PathBuf>,
    /// The folder that runs use.
    pub used: PathBuf,
    /// Whether that is there.
    pub exists: bool,
}

/// Something that runs look for.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Item {
    /// `GPT-J 6B`.
    pub name: String,
    /// Where it is looked for.
    pub path: PathBuf,
    /// Whether it is there.
    pub exists: bool,
    /// What to do when it is not.
    pub remedy: String,
}

/// A disk that a run writes to.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Disk {
    /// What is written: `logs`.
    pub purpose: String,
    /// Where.
    pub path: PathBuf,
    /// Bytes that are free; absent when the file system does not tell.
    pub free_bytes: Option<u64>,
    /// This process may write there.
    pub writable: bool,
}

/// What a run of this configuration would use.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RunPlan {
    /// `gptj-99 Offline`, one for each test.
    pub tests: Vec<String>,
    /// The round whose rules hold.
    pub round: String,
    /// The engine.
    pub engine: EngineKind,
    /// Why this engine.
    pub engine_origin: String,
    /// What it computes in.
    pub precision: Precision,
    /// GPUs and MIG instances that it runs on.
    pub devices: Vec<Device>,
    /// The model's folder; absent when weights are drawn.
    pub model: Option<PathBuf>,
    /// Why this model.
    pub model_origin: String,
    /// Bytes of its weights; absent for an engine that has none.
    pub weights_bytes: Option<u64>,
    /// What is wrong with the model's files.
    pub model_failures: Vec<Failure>,
    /// The profile of configs/systems that gives values, or `none`.
    pub system_profile: String,
    /// Why this profile.
    pub system_profile_origin: String,
    /// The name in results.
    pub system_name: String,
    /// Where logs go.
    pub log_dir: PathBuf,
    /// What the run would mention.
    pub notices: Vec<String>,
    /// Why its results cannot be submitted.
    pub not_for_submission: Vec<String>,
}

/// How much something matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Level {
    /// A run would end with an error.
    Stop,
    /// A run would go, and be slower or other than expected.
    Warning,
    /// Worth knowing.
    Note,
}

/// Something that is not as it should be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// How much it matters.
    pub level: Level,
    /// What was found.
    pub message: String,
    /// What to do about it; empty where nothing needs to be done.
    pub remedy: String,
}

impl Finding {
    fn new(level: Level, message: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self {
            level,
            message: message.into(),
            remedy: remedy.into(),
        }
    }
}

/// What was found, and what it means.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Report {
    /// [`SCHEMA_VERSION`].
    pub schema_version: u32,
    /// Nothing that was found would stop a run.
    pub can_run: bool,
    /// What is not as it should be, the worst first.
    pub findings: Vec<Finding>,
    /// Everything that was found.
    #[serde(flatten)]
    pub inventory: Inventory,
}

impl Report {
    /// Judges an inventory.
    pub fn new(inventory: Inventory) -> Self {
        let mut findings = examine(&inventory);
        // Stable: within a level the order is that of the text above them.
        findings.sort_by_key(|finding| finding.level);
        Self {
            schema_version: SCHEMA_VERSION,
            can_run: findings.iter().all(|finding| finding.level != Level::Stop),
            findings,
            inventory,
        }
    }
}
