//! The one place where layers become the configuration of tests.

use std::path::PathBuf;

use super::assets::{Assets, Wanted};
use super::check;
use super::derive::{self, Target};
use super::file::{self, LayerFile, Rules};
use super::find::Layers;
use super::key::Value;
use super::layers::{Flag, Settings, check_env_names};
use super::resolved::{AccuracyTarget, ResolvedConfig, Scenario};
use super::selection::Selection;
use crate::error::Failure;
use crate::system::{Device, Devices, Fit, Machine, VISIBLE_VARIABLE, choose_profile};

/// What somebody asked for.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Request {
    /// Flags as typed, in order.
    pub flags: Vec<Flag>,
    /// The environment.
    pub env: Vec<(String, String)>,
    /// Further files, `--config`; when there is none, `$GPTJ_CONFIG`, else `configs/user.toml` if it is there.
    pub files: Vec<PathBuf>,
    /// `--config_dir`.
    pub config_dir: Option<PathBuf>,
}

/// Whether an engine can run here, by its name and the folders that its library may be in; else why not, in a line.
pub type CanRun<'a> = dyn Fn(&str, &[PathBuf]) -> Result<(), String> + 'a;

/// Where it was asked.
pub struct Surroundings<'a> {
    /// This machine.
    pub machine: Machine,
    /// This program's file; layers and engine libraries are looked for around it.
    pub program: Option<PathBuf>,
    /// The working folder.
    pub working_dir: PathBuf,
    /// Folder for logs when none is given: `build/logs/2025.01.31-12.00.00`.
    pub log_dir: PathBuf,
    /// Folder for plans of engines when none is given: `build/engines`.
    pub engine_dir: PathBuf,
    /// Folder of data sets when none is given.
    pub data_dir: PathBuf,
    /// Folder of tokenised prompts when none is given.
    pub preprocessed_data_dir: PathBuf,
    /// Finds out whether an engine can run here.
    pub can_run: &'a CanRun<'a>,
    /// Finds the model and the data set.
    pub locate: &'a dyn Fn(&Wanted) -> Result<Assets, Failure>,
}

/// One test: its configuration, and where each value came from.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    /// The configuration.
    pub config: ResolvedConfig,
    /// Every key with its origin.
    pub settings: Settings,
}

/// All tests that were asked for.
#[derive(Debug, Clone, PartialEq)]
pub struct Resolution {
    /// One for each benchmark, accuracy target and scenario, in this order.
    pub plans: Vec<Plan>,
    /// Lines for people, none of them twice.
    pub notices: Vec<String>,
    /// The user's own file, which need not be there yet: the last of those that were named, or `user.toml` in the folder
    /// of the layers; `None` where there is no such folder.
    pub user_file: Option<PathBuf>,
}

/// Resolves a request into tests.
pub fn resolve(request: &Request, around: &Surroundings<'_>) -> Result<Resolution, Failure> {
    check_env_names(&request.env)?;
    let asked = request
        .config_dir
        .clone()
        .or_else(|| env_path(request, "GPTJ_CONFIG_DIR"));
    let layers = Layers::find(
        asked.as_deref(),
        around.program.as_deref(),
        &around.working_dir,
    )?;
    let workloads = layers.names("workloads")?;
    let rules = Rules {
        workloads: &workloads,
        may_choose: false,
    };
    let named = named_files(request);
    let own = match (&layers, named.last()) {
        (_, Some(last)) => Some(last.clone()),
        (Layers::Folder(folder), None) => Some(folder.join("user.toml")),
        (Layers::BuiltIn, None) => None,
    };
    // What was named must be there.
    let unnamed = own.iter().filter(|path| named.is_empty() && path.is_file());
    let user = user_files(
        named.iter().chain(unnamed),
        Rules {
            may_choose: true,
            ..rules
        },
    )?;

    // Which layers hold is chosen by what lies above them.
    let mut chosen = Settings::defaults()?;
    put_user_on_top(&mut chosen, &user, request, &[])?;
    let selection = Selection::from_settings(&chosen)?;
    let assets = match chosen.flag("synthetic")? {
        true => Assets::synthetic(),
        false => (around.locate)(&wanted(&chosen)?)?,
    };
    let workload = match chosen.is_auto("workload")? {
        true => assets.workload.clone(),
        false => chosen.text("workload")?.to_owned(),
    };
    let workload_file = layers.read("workloads", &workload, rules)?;
    let visible = request
        .env
        .iter()
        .find(|(variable, _)| variable == VISIBLE_VARIABLE);
    let visible = visible.map(|(_, value)| value.as_str());
    let devices = Devices::of(&around.machine, visible);
    // What cannot be selected is told where it matters: an engine without GPUs has no use for them.
    let in_use = devices.select(chosen.text("devices")?);
    let in_use = in_use.unwrap_or_else(|_| devices.list.clone());
    let cpu = &around.machine.cpu.model;
    let profile = system_profile(&chosen, &layers, rules, (cpu, &in_use))?;

    let base = layers.read("gptj", "base", rules)?;
    let round = round(&layers, chosen.text("round")?, rules)?;
    let mut resolution = Resolution {
        plans: Vec::new(),
        notices: Vec::new(),
        user_file: own,
    };
    resolution.notices.extend(assets.notice.clone());
    resolution.notices.extend(devices.notices.iter().cloned());
    resolution
        .notices
        .extend(unused_data_dir(&chosen, &assets)?);
    for benchmark in &selection.benchmarks {
        for target in &selection.targets {
            for scenario in &selection.scenarios {
                let scenario_file = layers.read("gptj", section_of(*scenario), rules)?;
                let mut files = vec![&base, &scenario_file, &workload_file, &round];
                files.extend(profile.as_ref().map(|profile| &profile.file));
                let target = Target {
                    benchmark: *benchmark,
                    scenario: *scenario,
                    accuracy: *target,
                    workload: &workload,
                    workload_file: &workload_file,
                    round: &round,
                    devices: &devices,
                    in_use: &in_use,
                    profile: profile.as_ref(),
                    assets: &assets,
                };
                let stack = Stack {
                    files: &files,
                    user: &user,
                    request,
                };
                let plan = one_plan(&stack, &target, around, &mut resolution.notices)?;
                resolution.plans.push(plan);
            }
        }
    }
    check::across(&resolution.plans, &mut resolution.notices);
    let mut seen = std::collections::HashSet::new();
    resolution
        .notices
        .retain(|notice| seen.insert(notice.clone()));
    Ok(resolution)
}

/// The layers of one test, lowest first.
struct Stack<'a> {
    files: &'a [&'a LayerFile],
    user: &'a [LayerFile],
    request: &'a Request,
}

impl Stack<'_> {
    fn settle(&self, conditions: &[&str]) -> Result<Settings, Failure> {
        let mut settings = Settings::defaults()?;
        for file in self.files {
            settings.apply_file(file, conditions);
        }
        put_user_on_top(&mut settings, self.user, self.request, conditions)?;
        Ok(settings)
    }
}

fn one_plan(
    stack: &Stack<'_>,
    target: &Target<'_>,
    around: &Surroundings<'_>,
    notices: &mut Vec<String>,
) -> Result<Plan, Failure> {
    let mut conditions = vec![target.workload];
    let settings = stack.settle(&with_rest(&conditions, target))?;
    let libraries = derive::library_dirs(&settings, around.program.as_deref())?;
    let engine = derive::engine(&settings, target.devices, around, &libraries, notices)?;
    // Sections for an engine or a scheduler can only be read once it is known which they are.
    let scheduler = settings.text("scheduler")?.to_owned();
    if matches!(engine.name.as_str(), "cuda" | "tensorrt") {
        conditions.push("gpu");
    }
    conditions.push(&engine.name);
    conditions.push(&scheduler);
    let mut settings = stack.settle(&with_rest(&conditions, target))?;
    derive::derive(&mut settings, target, around, &engine, &libraries, notices)?;
    check::contradictions(&settings, target)?;
    let config = super::build::build(&settings, target)?;
    Ok(Plan { config, settings })
}

fn with_rest<'a>(conditions: &[&'a str], target: &Target<'a>) -> Vec<&'a str> {
    let mut all = conditions.to_vec();
    all.push(section_of(target.scenario));
    if target.accuracy == AccuracyTarget::P999 {
        all.push("high_accuracy");
    }
    all
}

fn put_user_on_top(
    settings: &mut Settings,
    user: &[LayerFile],
    request: &Request,
    conditions: &[&str],
) -> Result<(), Failure> {
    for file in user {
        settings.apply_file(file, conditions);
    }
    settings.apply_env(&request.env)?;
    settings.apply_flags(&request.flags)
}

/// The scenario as files and sections name it.
pub fn section_of(scenario: Scenario) -> &'static str {
    match scenario {
        Scenario::Offline => "offline",
        Scenario::Server => "server",
        Scenario::SingleStream => "single_stream",
    }
}

fn env_path(request: &Request, name: &str) -> Option<PathBuf> {
    let (_, value) = request.env.iter().find(|(variable, _)| variable == name)?;
    (!value.is_empty()).then(|| PathBuf::from(value))
}

/// The user's own files that were named.
fn named_files(request: &Request) -> Vec<PathBuf> {
    match request.files.as_slice() {
        [] => env_path(request, "GPTJ_CONFIG").into_iter().collect(),
        files => files.to_vec(),
    }
}

fn user_files<'a>(
    paths: impl Iterator<Item = &'a PathBuf>,
    rules: Rules<'_>,
) -> Result<Vec<LayerFile>, Failure> {
    paths
        .map(|path| file::read(path, &path.display().to_string(), rules))
        .collect()
}

fn wanted(settings: &Settings) -> Result<Wanted, Failure> {
    let given = |name: &str| -> Result<Option<String>, Failure> {
        Ok(if settings.is_auto(name)? {
            None
        } else {
            Some(settings.text(name)?.to_owned())
        })
    };
    Ok(Wanted {
        model_path: given("model_path")?.map(PathBuf::from),
        dataset_path: given("dataset_path")?.map(PathBuf::from),
        data_dir: given("data_dir")?.map(PathBuf::from),
        workload: given("workload")?,
    })
}

/// Says that a folder of data sets was named and the data set is elsewhere.
fn unused_data_dir(settings: &Settings, assets: &Assets) -> Result<Option<String>, Failure> {
    let setting = settings.get("data_dir")?;
    let folder = settings.text("data_dir")?;
    if setting.value.is_auto() || assets.dataset_path.starts_with(folder) {
        return Ok(None);
    }
    Ok(Some(format!(
        "data_dir = {folder} ({}) has no effect: the data set is `{}`",
        setting.origin,
        assets.dataset_path.display()
    )))
}

/// The first and the last round with GPT-J, as (major, minor).
const ROUNDS: ((u32, u32), (u32, u32)) = ((3, 1), (5, 0));

fn round(layers: &Layers, name: &str, rules: Rules<'_>) -> Result<LayerFile, Failure> {
    let version = name.trim_start_matches(['v', 'V']).split_once('.');
    let version =
        version.and_then(|(major, minor)| Some((major.parse().ok()?, minor.parse().ok()?)));
    layers
        .read("rounds", name, rules)
        .map_err(|failure| match version {
            Some(version) if version < ROUNDS.0 => {
                failure.because("GPT-J came to MLPerf Inference with v3.1")
            }
            Some(version) if version > ROUNDS.1 => {
                failure.because("v5.0 was the last round with GPT-J")
            }
            _ => failure,
        })
}

/// A system profile, and why it was taken.
#[derive(Debug, Clone, PartialEq)]
pub struct Profile {
    /// Its name: the file's, without `.toml`.
    pub name: String,
    /// Its content.
    pub file: LayerFile,
    /// How it fits.
    pub fit: Fit,
    /// Why, for people.
    pub reason: String,
}

fn system_profile(
    settings: &Settings,
    layers: &Layers,
    rules: Rules<'_>,
    (cpu, devices): (&str, &[Device]),
) -> Result<Option<Profile>, Failure> {
    let asked = settings.get("system_profile")?;
    if asked.value == Value::Text("none".to_owned()) {
        return Ok(None);
    }
    if !asked.value.is_auto() {
        let name = settings.text("system_profile")?.to_owned();
        let file = layers.read("systems", &name, rules)?;
        return Ok(Some(Profile {
            name,
            file,
            fit: Fit::Exact,
            reason: asked.origin.to_string(),
        }));
    }
    let names = layers.names("systems")?;
    let files = names.iter().map(|name| layers.read("systems", name, rules));
    let files = files.collect::<Result<Vec<_>, _>>()?;
    let Some(found) = choose_profile(cpu, devices, &files)? else {
        return Ok(None);
    };
    let chosen = names.into_iter().zip(files).nth(found.index);
    Ok(chosen.map(|(name, file)| Profile {
        name,
        file,
        fit: found.fit,
        reason: found.reason,
    }))
}
