//! What `auto` becomes: values worked out from this machine and from other values, each with the reason.

use std::path::{Path, PathBuf};

use super::assets::Assets;
use super::build::ENGINES_OWN;
use super::file::LayerFile;
use super::key::Value;
use super::layers::Settings;
use super::on_gpus;
use super::resolve::{Profile, Surroundings};
use super::resolved::{AccuracyTarget, Benchmark, Scenario};
use crate::error::Failure;
use crate::model::calibration::FILE_NAME;
use crate::system::{Device, Devices, Fit, Machine, derived_name};

/// The test that values are worked out for.
#[derive(Debug, Clone, Copy)]
pub struct Target<'a> {
    /// Its benchmark.
    pub benchmark: Benchmark,
    /// Its scenario.
    pub scenario: Scenario,
    /// Its accuracy target.
    pub accuracy: AccuracyTarget,
    /// Its workload.
    pub workload: &'a str,
    /// The workload's file.
    pub workload_file: &'a LayerFile,
    /// The round's file.
    pub round: &'a LayerFile,
    /// Devices that this process may use.
    pub devices: &'a Devices,
    /// Those of them that tell what this system is.
    pub in_use: &'a [Device],
    /// The system profile, if any.
    pub profile: Option<&'a Profile>,
    /// Model and data.
    pub assets: &'a Assets,
}

/// An engine and why it was taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Engine {
    /// `cpu`, `cuda`, `tensorrt` or `fake`.
    pub name: String,
    /// Why; `None` when it was asked for.
    pub reason: Option<String>,
}

/// Folders that engine libraries are looked for in.
pub fn library_dirs(settings: &Settings, program: Option<&Path>) -> Result<Vec<PathBuf>, Failure> {
    if !settings.is_auto("engine_library_dirs")? {
        let given = settings.text("engine_library_dirs")?;
        return Ok(given
            .split(':')
            .filter(|dir| !dir.is_empty())
            .map(PathBuf::from)
            .collect());
    }
    let Some(folder) = program.and_then(Path::parent) else {
        return Ok(Vec::new());
    };
    Ok(vec![folder.to_owned(), folder.join("../lib")])
}

/// Which engine: the one that was asked for, or the first that can run here.
pub fn engine(
    settings: &Settings,
    devices: &Devices,
    around: &Surroundings<'_>,
    libraries: &[PathBuf],
    notices: &mut Vec<String>,
) -> Result<Engine, Failure> {
    if !settings.is_auto("engine")? {
        return Ok(Engine {
            name: settings.text("engine")?.to_owned(),
            reason: None,
        });
    }
    let cpu = |why: &str| Engine {
        name: "cpu".to_owned(),
        reason: Some(why.to_owned()),
    };
    if devices.list.is_empty() {
        return Ok(cpu(&devices.why_none()));
    }
    let mut reason = "a GPU is here, but no engine library for it beside the program";
    for name in ["tensorrt", "cuda"] {
        let file = format!("libgptj_{name}.so");
        let Some(folder) = libraries.iter().find(|folder| folder.join(&file).is_file()) else {
            continue;
        };
        // A library that was built on another machine may lack here what it needs itself.
        if let Err(why) = (around.can_run)(name, libraries) {
            notices.push(format!("the {name} engine cannot run here: {why}"));
            reason = "a GPU is here, but no engine for it that can run";
            continue;
        }
        return Ok(Engine {
            name: name.to_owned(),
            reason: Some(format!("a GPU is here, and {file} in {}", folder.display())),
        });
    }
    Ok(cpu(reason))
}

/// Replaces what is left as `auto`, and what follows from other values.
pub fn derive(
    settings: &mut Settings,
    target: &Target<'_>,
    around: &Surroundings<'_>,
    engine: &Engine,
    libraries: &[PathBuf],
    notices: &mut Vec<String>,
) -> Result<(), Failure> {
    run(settings, target, around)?;
    if let Some(reason) = &engine.reason {
        settings.derive("engine", Value::Text(engine.name.clone()), reason)?;
    }
    if settings.is_auto("engine_library_dirs")? {
        let dirs: Vec<String> = libraries
            .iter()
            .map(|dir| dir.display().to_string())
            .collect();
        settings.derive(
            "engine_library_dirs",
            Value::Text(dirs.join(":")),
            "around the program",
        )?;
    }
    let on_gpu = matches!(engine.name.as_str(), "cuda" | "tensorrt");
    let devices = on_gpus::devices(settings, target, on_gpu, notices)?;
    precision(settings, target, &around.machine, &devices, notices)?;
    fp8_scales(settings, target)?;
    if settings.is_auto("threads")? {
        let threads = around.machine.cpu.usable_threads.max(1) as u64;
        let why = "processors that this process may use";
        settings.derive("threads", Value::Integer(threads), why)?;
    }
    on_gpus::requests(settings, target, &devices)?;
    on_gpus::rates(settings, target, &devices)?;
    if target.scenario == Scenario::SingleStream
        && !settings.get("gpu_batch_size")?.origin.is_users()
    {
        let why = "SingleStream has one request at a time";
        settings.derive("gpu_batch_size", Value::Integer(1), why)?;
    }
    fast(settings)
}

fn run(
    settings: &mut Settings,
    target: &Target<'_>,
    around: &Surroundings<'_>,
) -> Result<(), Failure> {
    let assets = target.assets;
    let text = |text: &str| Value::Text(text.to_owned());
    let path = |path: &Path| Value::Text(path.display().to_string());
    let mut fill = |name: &str, value: Value, why: &str| -> Result<(), Failure> {
        if settings.is_auto(name)? {
            settings.derive(name, value, why)
        } else {
            Ok(())
        }
    };
    fill(
        "accuracy_target",
        text(target.accuracy.name()),
        "config_ver",
    )?;
    fill("workload", text(target.workload), &assets.reason)?;
    fill("model_path", path(&assets.model_path), &assets.reason)?;
    fill("dataset_path", path(&assets.dataset_path), &assets.reason)?;
    for (name, folder) in [
        ("data_dir", &around.data_dir),
        ("preprocessed_data_dir", &around.preprocessed_data_dir),
    ] {
        fill(name, path(folder), "the scratch space")?;
    }
    fill(
        "engine_dir",
        path(&around.engine_dir),
        "the repository, or the working folder",
    )?;
    fill("log_dir", path(&around.log_dir), "the time of this run")?;
    let (profile, why) = match target.profile {
        Some(profile) => (profile.name.as_str(), profile.reason.as_str()),
        None => ("none", "no profile matches this machine"),
    };
    fill("system_profile", text(profile), why)?;
    // A profile that is only near describes another system.
    let named = target
        .profile
        .filter(|profile| profile.fit == Fit::Exact && !profile.file.about.system_name.is_empty());
    match named {
        Some(profile) => {
            let why = format!("{} [about]", profile.file.path);
            fill("system_name", text(&profile.file.about.system_name), &why)
        }
        None => fill(
            "system_name",
            Value::Text(derived_name(&around.machine.cpu, target.in_use)),
            "this machine",
        ),
    }
}

fn precision(
    settings: &mut Settings,
    target: &Target<'_>,
    machine: &Machine,
    devices: &[Device],
    notices: &mut Vec<String>,
) -> Result<(), Failure> {
    let asked = settings.text("precision")?.to_owned();
    let (name, why) = match settings.text("engine")? {
        "cpu" if asked == "bf16" && !machine.cpu.bf16 => {
            notices.push("this CPU does not compute in bf16; using f32".to_owned());
            ("f32", "this CPU does not compute in bf16")
        }
        _ if asked != Value::AUTO => return Ok(()),
        "cpu" if target.accuracy == AccuracyTarget::P999 => {
            ("f32", "the engine cpu is held to 99.9 % in f32")
        }
        "cpu" if machine.cpu.bf16 => ("bf16", "this CPU computes in bf16"),
        "cpu" => {
            notices.push("this CPU does not compute in bf16; using f32".to_owned());
            ("f32", "this CPU does not compute in bf16")
        }
        "fake" => ("f32", "the fake engine computes nothing"),
        _ if on_gpus::have_fp8(devices) => ("fp8", "compute capability 8.9 and later has FP8"),
        _ => (
            "fp16",
            "GPUs without FP8, and those that tell nothing, compute in fp16",
        ),
    };
    settings.derive("precision", Value::Text(name.to_owned()), why)
}

/// The calibration that lies beside the model. Other precisions use none, and leave the question open.
fn fp8_scales(settings: &mut Settings, target: &Target<'_>) -> Result<(), Failure> {
    if settings.text("precision")? != "fp8" || !settings.is_auto("fp8_scales")? {
        return Ok(());
    }
    let (value, why) = match &target.assets.fp8_scales {
        Some(file) => (file.display().to_string(), "beside the model".to_owned()),
        None => (
            ENGINES_OWN.to_owned(),
            format!("there is no {FILE_NAME} beside the model"),
        ),
    };
    settings.derive("fp8_scales", Value::Text(value), why)
}

/// `--fast` shortens what nobody asked for explicitly, and lengthens nothing.
fn fast(settings: &mut Settings) -> Result<(), Failure> {
    if !settings.flag("fast")? {
        return Ok(());
    }
    for (name, limit) in [("min_duration", 60_000), ("min_query_count", 1)] {
        if settings.integer(name)? > limit && !settings.get(name)?.origin.is_users() {
            settings.derive(
                name,
                Value::Integer(limit),
                format!("fast: at most {limit}"),
            )?;
        }
    }
    Ok(())
}
