//! Looks at this machine, and at what a run would do here.

use std::path::{Path, PathBuf};

use rustix::fs::{Access, access};

use super::{Disk, Inventory, Item, RunPlan, ScratchFolder, Storage};
use crate::config::{EngineKind, PathsConfig, Plan, Resolution, ResolvedConfig};
use crate::dataset::TextTokenizer;
use crate::disk::free_bytes;
use crate::error::Failure;
use crate::model::locate::{SIX_B_DATASET, SIX_B_FOLDER};
use crate::model::size::weights_bytes;
use crate::model::{Checkpoint, ModelConfig, ModelPlaces, check_tensors};
use crate::run::AUDIT_CONFIG;
use crate::scratch::{Kind, existing_part};
use crate::system::{
    Device, Devices, Machine, available_memory, cuda_driver, engine_libraries, find_library,
};

/// Versions of the libraries that the engines can be built with.
const CUBLASLT: [u32; 2] = [13, 12];
const TENSORRT: [u32; 4] = [11, 10, 9, 8];

/// What is known before looking.
pub struct Around<'a> {
    /// This machine.
    pub machine: Machine,
    /// The value of CUDA_VISIBLE_DEVICES.
    pub visible: Option<String>,
    /// This program's file.
    pub program: Option<&'a Path>,
    /// Repository, scratch space, models.
    pub places: &'a ModelPlaces,
    /// What a run would do.
    pub resolution: Result<Resolution, Failure>,
}

/// Looks at everything.
pub fn gather(around: Around<'_>) -> Inventory {
    let devices = Devices::of(&around.machine, around.visible.as_deref());
    let (run, paths, refusal) = match &around.resolution {
        Ok(resolution) => (
            plan(resolution, &devices),
            resolution.plans.first().map(|plan| &plan.config.paths),
            None,
        ),
        Err(failure) => (None, None, Some(failure.clone())),
    };
    let folders = library_folders(&around);
    // Engines first: what they are linked against may be where only they know.
    let engines = engine_libraries(&folders);
    let libraries = vec![
        find_library("cuBLASLt", &versions("libcublasLt.so", &CUBLASLT)),
        find_library("TensorRT", &tensorrt()),
    ];
    Inventory {
        program: format!("run_harness {}", env!("CARGO_PKG_VERSION")),
        is_root: rustix::process::geteuid().is_root(),
        memory_available_bytes: available_memory(Path::new("/")),
        devices,
        engines,
        libraries,
        cuda: cuda_driver(),
        storage: storage(around.places, paths),
        run,
        refusal,
        machine: around.machine,
    }
}

/// A library's names, the newest version first.
fn versions(file: &str, known: &[u32]) -> Vec<String> {
    let names = known.iter().map(|version| format!("{file}.{version}"));
    names.chain([file.to_owned()]).collect()
}

/// Where the TensorRT engine looks for it: in TENSORRT_ROOT, then where the loader does.
fn tensorrt() -> Vec<String> {
    let names = versions("libnvinfer.so", &TENSORRT);
    let root = std::env::var("TENSORRT_ROOT").unwrap_or_default();
    if root.is_empty() {
        return names;
    }
    let below = names.iter().map(|name| format!("{root}/lib/{name}"));
    below.chain(names.iter().cloned()).collect()
}

fn library_folders(around: &Around<'_>) -> Vec<PathBuf> {
    let plans = around.resolution.as_ref().ok();
    let plan = plans.and_then(|resolution| resolution.plans.first());
    match (plan, around.program.and_then(Path::parent)) {
        (Some(plan), _) => plan.config.engine.library_dirs.clone(),
        (None, Some(folder)) => vec![folder.to_owned(), folder.join("../lib")],
        (None, None) => Vec::new(),
    }
}

/// Tests of one command share everything that is looked at here; the first one stands for all.
fn plan(resolution: &Resolution, devices: &Devices) -> Option<RunPlan> {
    let first = resolution.plans.first()?;
    let config = &first.config;
    let synthetic = config.engine.synthetic_seed != 0;
    let origin = |name: &str| match first.settings.get(name) {
        Ok(setting) => setting.origin.to_string(),
        Err(_) => String::new(),
    };
    let mut not_for_submission: Vec<String> = Vec::new();
    for reason in resolution
        .plans
        .iter()
        .flat_map(|plan| &plan.config.run.not_for_submission)
    {
        if !not_for_submission.contains(reason) {
            not_for_submission.push(reason.clone());
        }
    }
    let (weights_bytes, model_failures) = model(config);
    Some(RunPlan {
        tests: resolution
            .plans
            .iter()
            .map(|plan| {
                format!(
                    "{} {}",
                    plan.config.benchmark_full(),
                    plan.config.run.scenario
                )
            })
            .collect(),
        round: config.run.round.clone(),
        engine: config.engine.engine,
        engine_origin: origin("engine"),
        precision: config.engine.precision,
        devices: used(first, devices),
        model: (!synthetic).then(|| config.paths.model.clone()),
        model_origin: origin("model_path"),
        weights_bytes,
        model_failures,
        system_profile: config.run.system_profile.clone(),
        system_profile_origin: origin("system_profile"),
        system_name: config.run.system_name.clone(),
        log_dir: config.paths.log_dir.clone(),
        notices: resolution.notices.clone(),
        not_for_submission,
    })
}

fn used(plan: &Plan, devices: &Devices) -> Vec<Device> {
    let asked = plan.settings.text("devices").unwrap_or_default();
    // It was selected before, or there would be no plan.
    devices.select(asked).unwrap_or_default()
}

/// How large the weights are, and what is wrong with the files. Headers are read, not the weights themselves.
fn model(config: &ResolvedConfig) -> (Option<u64>, Vec<Failure>) {
    let bytes = config.engine.precision.bytes();
    if config.engine.synthetic_seed != 0 {
        return (
            Some(weights_bytes(&ModelConfig::six_b(), bytes)),
            Vec::new(),
        );
    }
    let folder = &config.paths.model;
    let model = match ModelConfig::read(folder) {
        Ok(model) => model,
        Err(error) => return (None, vec![error.into()]),
    };
    let mut failures: Vec<Failure> = Vec::new();
    if let Err(error) = TextTokenizer::open(folder, &model) {
        failures.push(error.into());
    }
    if config.engine.engine == EngineKind::Fake {
        return (None, failures);
    }
    let checked = Checkpoint::open(folder)
        .map_err(Failure::from)
        .and_then(|checkpoint| check_tensors(&checkpoint, &model));
    failures.extend(checked.err());
    (Some(weights_bytes(&model, bytes)), failures)
}

fn storage(places: &ModelPlaces, paths: Option<&PathsConfig>) -> Storage {
    let scratch = &places.places;
    let folder = |kind: Kind| {
        let link = scratch.link(kind);
        let used = scratch.folder(kind);
        ScratchFolder {
            name: kind.name().to_owned(),
            target: std::fs::read_link(&link).ok(),
            exists: used.is_dir(),
            link,
            used,
        }
    };
    let item = |name: &str, path: PathBuf, remedy: &str| Item {
        name: name.to_owned(),
        exists: path.exists(),
        path,
        remedy: remedy.to_owned(),
    };
    let log_dir = paths.map(|paths| disk("logs", &paths.log_dir));
    let kept = disk("scratch", &scratch.scratch);
    let data = match paths {
        Some(paths) => paths.data.clone(),
        None => scratch.folder(Kind::Data),
    };
    let prompts = match paths {
        Some(paths) => paths.preprocessed_data.clone(),
        None => scratch.folder(Kind::PreprocessedData),
    };
    Storage {
        root: scratch.root.clone(),
        scratch: scratch.scratch.clone(),
        scratch_given: scratch.scratch_given,
        scratch_exists: scratch.scratch.is_dir(),
        scratch_writable: kept.writable,
        prompts_writable: disk("prompts", &prompts).writable,
        prompts,
        folders: Kind::ALL.into_iter().map(folder).collect(),
        items: vec![
            item(
                "GPT-J 6B",
                scratch
                    .folder(Kind::Models)
                    .join(SIX_B_FOLDER)
                    .join("config.json"),
                "`run_harness download-help` says where it comes from; or name its folder with --model_path",
            ),
            item(
                "its data set",
                data.join(SIX_B_DATASET),
                "`run_harness download-help` says how to make it; or name a file with --dataset_path",
            ),
            item(
                "gptj-mini",
                places.mini().join("config.json"),
                "run inside of the repository, or set GPTJ_MINI_DIR",
            ),
        ],
        disks: log_dir.into_iter().chain([kept]).collect(),
        audit_config: Path::new(AUDIT_CONFIG).exists(),
    }
}

/// What is known of the disk that holds `path`, or will hold it.
fn disk(purpose: &str, path: &Path) -> Disk {
    let existing = existing_part(path);
    Disk {
        purpose: purpose.to_owned(),
        path: path.to_owned(),
        free_bytes: free_bytes(existing).ok(),
        writable: existing.is_dir() && access(existing, Access::WRITE_OK).is_ok(),
    }
}
