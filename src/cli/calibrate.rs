//! `run_harness calibrate`

use std::path::{Path, PathBuf};

use serde::Serialize;

use super::args::ConfigArgs;
use super::command::{CalibrateArgs, Cli};
use super::output::{print, print_json};
use super::surroundings::resolve_model_here;
use crate::config::{ResolvedConfig, Wanted, find_key};
use crate::error::Failure;
use crate::model::calibration::{FILE_NAME, LayerRanges, Scales};
use crate::model::locate::{SIX_B_CALIBRATION, same_file};
use crate::model::{ModelChoice, ModelKind, ModelPlaces};
use crate::report::files;
use crate::run::{CalibrationRequest, calibrate};

/// What calibration runs on, whatever tests run on. It is the precision that accuracy is measured against.
const FIXED: [(&str, &str); 2] = [("engine", "cpu"), ("precision", "f32")];
/// Taken when nothing else is typed: one test's settings are enough, and GPUs that a file names are not used.
const ASSUMED: [(&str, &str); 2] = [("scenarios", "offline"), ("devices", "auto")];

/// For programs. Figures keep their 32 bits, as in the file.
#[derive(Serialize)]
struct Document<'a> {
    file: &'a Path,
    scales: &'a Scales,
}

/// Measures the ranges of the model's activations, writes them and prints the file's path.
pub fn run(cli: &Cli, args: &CalibrateArgs) -> Result<(), Failure> {
    let resolution = resolve_model_here(flags(cli.config())?)?;
    let plan = resolution.plans.first();
    let config = &plan
        .ok_or_else(|| Failure::harness("the configuration came to no test"))?
        .config;
    let (dataset, of_evaluation) = calibration_set(config, args)?;
    let output = args
        .output
        .clone()
        .unwrap_or_else(|| config.paths.model.join(FILE_NAME));
    check_output(&output, args.force)?;
    if !config.report.quiet {
        resolution
            .notices
            .iter()
            .for_each(|notice| eprintln!("note: {notice}"));
        if of_evaluation {
            eprintln!(
                "note: `{}` is what accuracy is measured on; the rules forbid to calibrate with it",
                dataset.display()
            );
        }
    }
    let scales = calibrate(&CalibrationRequest {
        config,
        dataset: &dataset,
        samples: args.samples,
    })?;
    files::write_json(&output, &scales).map_err(elsewhere)?;
    if !config.report.quiet {
        eprintln!("{}", summary(&scales));
    }
    match cli.json {
        true => print_json(&Document {
            file: &output,
            scales: &scales,
        }),
        false => print(&format!("{}\n", output.display())),
    }
}

/// The flags with what calibration fixes; what says otherwise is refused.
fn flags(mut config: ConfigArgs) -> Result<ConfigArgs, Failure> {
    let typed = |config: &ConfigArgs, name: &str| {
        let flag = config.flags.iter().find(|(key, _)| key.name == name);
        flag.map(|(_, text)| text.clone())
    };
    if typed(&config, "dataset_path").is_some() {
        return Err(
            Failure::user("`--dataset_path` means nothing to this command")
                .because("it names the data that accuracy is measured on")
                .hint("use --calibration_set for the data to calibrate with"),
        );
    }
    if typed(&config, "synthetic").is_some_and(|text| !text.eq_ignore_ascii_case("false")) {
        return Err(Failure::user("`--synthetic` cannot be used to calibrate")
            .because("weights that are drawn have no calibration")
            .hint("leave it out"));
    }
    for (name, value) in FIXED {
        if let Some(text) = typed(&config, name).filter(|text| !text.eq_ignore_ascii_case(value)) {
            return Err(
                Failure::user(format!("`--{name}={text}` cannot be used to calibrate"))
                    .because("ranges are measured on the CPU engine in f32")
                    .hint("leave it out"),
            );
        }
    }
    for (name, value) in FIXED.into_iter().chain(ASSUMED) {
        if typed(&config, name).is_none() {
            let key = find_key(name)
                .ok_or_else(|| Failure::harness(format!("there is no key `{name}`")))?;
            config.flags.push((key, value.to_owned()));
        }
    }
    Ok(config)
}

/// The data to calibrate with, and whether it is the model's evaluation data.
fn calibration_set(
    config: &ResolvedConfig,
    args: &CalibrateArgs,
) -> Result<(PathBuf, bool), Failure> {
    let places = ModelPlaces::of_this_process()
        .map_err(|error| Failure::user("cannot find out where this program is").because(error))?;
    let choice = places.choose_model(&Wanted {
        model_path: Some(config.paths.model.clone()),
        data_dir: Some(config.paths.data.clone()),
        ..Wanted::default()
    })?;
    let found = args
        .calibration_set
        .as_ref()
        .or(choice.calibration.as_ref());
    let dataset = found.ok_or_else(|| none_there(&choice))?;
    if !dataset.is_file() {
        return Err(
            Failure::user(format!("no calibration set at `{}`", dataset.display()))
                .hint("--calibration_set takes a file in the form of cnn_eval.json"),
        );
    }
    Ok((dataset.clone(), same_file(dataset, &choice.dataset)))
}

fn none_there(choice: &ModelChoice) -> Failure {
    let failure = Failure::user(format!(
        "no calibration set for the model in `{}`",
        choice.dir.display()
    ));
    match choice.kind {
        ModelKind::SixB => failure
            .because(format!("there is no build/data/{SIX_B_CALIBRATION}"))
            .hint(
                "make it with prepare-calibration.py and calibration-list.txt of MLCommons' \
                 inference repository (language/gpt-j), or give it with --calibration_set",
            ),
        _ => failure
            .because("it has no calibration.json of its own")
            .hint("give a file in the form of cnn_eval.json with --calibration_set"),
    }
}

/// Hours of work must not end with a file that cannot be written.
fn check_output(output: &Path, force: bool) -> Result<(), Failure> {
    if output.exists() && !force {
        return Err(
            Failure::user(format!("`{}` is there already", output.display()))
                .hint("replace it with --force, or choose another place with --output"),
        );
    }
    files::check_writable(output).map_err(elsewhere)
}

fn elsewhere(failure: Failure) -> Failure {
    failure.hint("choose another place with --output, which runs are told with --fp8_scales")
}

fn summary(scales: &Scales) -> String {
    let largest = |of: fn(&LayerRanges) -> f32| scales.layers.iter().map(of).fold(0.0, f32::max);
    let with = &scales.calibrated_with;
    format!(
        "calibrated {} layers with {} samples: {} prompt tokens and {} of beams; \
         the largest are normed {:.2}, joined {:.2}, keys {:.2}, values {:.2}",
        scales.layers.len(),
        with.samples,
        with.prompt_tokens,
        with.decoded_tokens,
        largest(|layer| layer.normed.max),
        largest(|layer| layer.joined.max),
        largest(|layer| layer.keys.max),
        largest(|layer| layer.values.max),
    )
}
