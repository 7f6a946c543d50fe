//! Values that contradict each other, and values that keep a result from being submitted.

use super::build::ENGINES_OWN;
use super::derive::Target;
use super::key::Value;
use super::keys;
use super::layers::{Setting, Settings};
use super::origin::Origin;
use super::resolve::{Plan, section_of};
use crate::error::Failure;

/// Refuses what cannot be meant. Each message names both values and where they came from.
pub fn contradictions(settings: &Settings, target: &Target<'_>) -> Result<(), Failure> {
    output(settings)?;
    limits(settings)?;
    engine(settings)?;
    scheduler(settings)?;
    synthetic(settings, target)?;
    fp8(settings)?;
    products(settings)?;
    if settings.integer("accuracy_samples")? > 0 && settings.text("test_mode")? != "AccuracyOnly" {
        return Err(clash(settings, "accuracy_samples", "test_mode")?
            .hint("a part of the data set is enough for --test_mode=AccuracyOnly only"));
    }
    if target.workload == "cnn_dailymail" && target.assets.workload == "gptj-mini" {
        return Err(Failure::user(format!(
            "workload = cnn_dailymail ({}), but there is no GPT-J 6B checkpoint",
            settings.get("workload")?.origin
        ))
        .because(&target.assets.reason)
        .hint("`run_harness download-help` says where it comes from; give its folder with --model_path, or leave out --workload to run gptj-mini"));
    }
    Ok(())
}

fn synthetic(settings: &Settings, target: &Target<'_>) -> Result<(), Failure> {
    if !settings.flag("synthetic")? {
        if settings.is_typed("synthetic_seed") {
            return Err(clash(settings, "synthetic_seed", "synthetic")?.hint("add --synthetic"));
        }
        return Ok(());
    }
    for name in [
        "model_path",
        "dataset_path",
        "data_dir",
        "preprocessed_data_dir",
    ] {
        if settings.is_typed(name) {
            return Err(clash(settings, name, "synthetic")?
                .because("a synthetic run reads neither a model nor a data set")
                .hint("give one of them"));
        }
    }
    let scales = settings.get("fp8_scales")?;
    let names_file = !matches!(settings.text("fp8_scales")?, Value::AUTO | ENGINES_OWN);
    if names_file && scales.origin.is_users() {
        return Err(clash(settings, "fp8_scales", "synthetic")?
            .because("weights that are drawn have no calibration")
            .hint("use --fp8_scales=default, or leave out --synthetic"));
    }
    if target.workload != "cnn_dailymail" {
        return Err(clash(settings, "workload", "synthetic")?
            .because("only cnn_dailymail has a table of lengths")
            .hint("leave out --workload, or --synthetic"));
    }
    if settings.text("test_mode")? != "PerformanceOnly" {
        return Err(clash(settings, "test_mode", "synthetic")?
            .because("answers of weights that are drawn have no accuracy")
            .hint("leave out --test_mode, or --synthetic"));
    }
    if settings.text("engine")? == "cpu" {
        return Err(clash(settings, "engine", "synthetic")?
            .because("weights are drawn on a GPU")
            .hint("use --engine=cuda or --engine=tensorrt on a machine with a GPU"));
    }
    Ok(())
}

/// A range is asked for by name, but there is nothing to take it from.
fn fp8(settings: &Settings) -> Result<(), Failure> {
    let has_file = settings.text("fp8_scales")? != ENGINES_OWN;
    if settings.text("precision")? != "fp8" || has_file || !settings.is_typed("fp8_range") {
        return Ok(());
    }
    Err(clash(settings, "fp8_range", "fp8_scales")?
        .because("the engine's own ranges have no such figures")
        .hint("make a file with `run_harness calibrate`, or leave out --fp8_range"))
}

/// TensorRT's own layers are asked for where there are none.
fn products(settings: &Settings) -> Result<(), Failure> {
    let asks_for_layers = settings.is_typed("gemm_plugin") && !settings.flag("gemm_plugin")?;
    if !asks_for_layers
        || settings.text("engine")? != "tensorrt"
        || settings.text("precision")? != "fp8"
    {
        return Ok(());
    }
    Err(clash(settings, "gemm_plugin", "precision")?
        .because("TensorRT's own layers multiply in fp16 alone")
        .hint("leave out --gemm_plugin, or add --precision=fp16"))
}

fn output(settings: &Settings) -> Result<(), Failure> {
    if settings.flag("quiet")? && settings.flag("verbose")? {
        return Err(clash(settings, "quiet", "verbose")?.hint("give one of them"));
    }
    Ok(())
}

fn limits(settings: &Settings) -> Result<(), Failure> {
    for (least, most) in [
        ("min_duration", "max_duration"),
        ("min_query_count", "max_query_count"),
    ] {
        let limit = settings.integer(most)?;
        if limit != 0 && limit < settings.integer(least)? {
            return Err(clash(settings, most, least)?
                .hint(format!("{most} is 0 (no limit) or at least {least}")));
        }
    }
    if settings.integer("min_new_tokens")? > settings.integer("max_new_tokens")? {
        return Err(clash(settings, "min_new_tokens", "max_new_tokens")?
            .hint("the rules ask for 30 and 128"));
    }
    let latency = settings.integer("server_target_latency_ns")?;
    if latency % 1_000_000 != 0 {
        let origin = &settings.get("server_target_latency_ns")?.origin;
        return Err(Failure::user(format!(
            "server_target_latency_ns = {latency} ({origin}) is not a whole number of milliseconds"
        ))
        .because("LoadGen reads the latency bound in whole milliseconds")
        .hint("use a multiple of 1000000"));
    }
    let loaded = settings.integer("performance_sample_count")?;
    if loaded != 0 && loaded < settings.integer("performance_sample_count_override")? {
        return Err(clash(
            settings,
            "performance_sample_count",
            "performance_sample_count_override",
        )?
        .because("LoadGen would draw samples that are not loaded")
        .hint("lower performance_sample_count_override too, or set it to 0"));
    }
    Ok(())
}

fn engine(settings: &Settings) -> Result<(), Failure> {
    let engine = settings.text("engine")?;
    let on_gpu = matches!(engine, "cuda" | "tensorrt");
    if !on_gpu && settings.get("devices")?.origin.is_users() {
        return Err(clash(settings, "devices", "engine")?
            .because(format!("the engine {engine} uses no GPU"))
            .hint("leave out --devices, or choose --engine=cuda or --engine=tensorrt"));
    }
    if engine == "cpu" && matches!(settings.text("precision")?, "fp16" | "fp8") {
        return Err(clash(settings, "precision", "engine")?
            .because("the CPU engine computes in f32 and bf16")
            .hint("use --precision=auto"));
    }
    let rows = settings
        .integer("gpu_batch_size")?
        .saturating_mul(settings.integer("beam_width")?);
    if rows > settings.integer("max_tokens_per_step")? {
        return Err(clash(settings, "max_tokens_per_step", "gpu_batch_size")?
            .because(format!(
                "a step that decodes every request has {rows} rows, one for each beam"
            ))
            .hint(format!(
                "use --max_tokens_per_step={rows} or more, or a smaller --gpu_batch_size"
            )));
    }
    let mut fake = keys::KEYS
        .iter()
        .filter(|key| key.name.starts_with("fake_"));
    let typed = fake.find(|key| settings.is_typed(key.name));
    if let Some(key) = typed.filter(|_| engine != "fake") {
        return Err(
            clash(settings, key.name, "engine")?.hint("these settings are for --engine=fake")
        );
    }
    let fault = settings.text("fake_fault")?;
    let known = fault.split_once(':').is_some_and(|(kind, step)| {
        matches!(kind, "throw" | "nan") && step.parse::<u32>().is_ok_and(|step| step > 0)
    });
    if !fault.is_empty() && !known {
        return Err(Failure::user(format!("fake_fault is `{fault}`"))
            .hint("expected throw:N or nan:N, with the number of a step, from 1"));
    }
    Ok(())
}

fn scheduler(settings: &Settings) -> Result<(), Failure> {
    if settings.text("scheduler")? == "static" {
        return Ok(());
    }
    for name in ["enable_sort", "num_sort_segments"] {
        if settings.is_typed(name) {
            return Err(clash(settings, name, "scheduler")?
                .because("the inflight scheduler sorts by a rule of its own")
                .hint("add --scheduler=static to sort as the v3.1 harness did"));
        }
    }
    Ok(())
}

fn clash(settings: &Settings, one: &str, other: &str) -> Result<Failure, Failure> {
    let show = |name: &str| -> Result<String, Failure> {
        let setting = settings.get(name)?;
        Ok(format!("{name} = {} ({})", setting.value, setting.origin))
    };
    Ok(Failure::user(format!(
        "{} contradicts {}",
        show(one)?,
        show(other)?
    )))
}

/// How a value must relate to the one that the rules ask for.
#[derive(Clone, Copy, PartialEq)]
enum Rule {
    Equal,
    AtLeast,
    AtMost,
}

/// Keys that the rules of a round fix. What they ask for is what the repository's files say.
const RULES: &[(&str, Rule)] = &[
    ("beam_width", Rule::Equal),
    ("min_new_tokens", Rule::Equal),
    ("max_new_tokens", Rule::Equal),
    ("length_penalty", Rule::Equal),
    ("max_prompt_tokens", Rule::AtLeast),
    ("min_duration", Rule::AtLeast),
    ("min_query_count", Rule::AtLeast),
    ("performance_sample_count_override", Rule::AtLeast),
    ("sample_concatenate_permutation", Rule::Equal),
    ("qsl_rng_seed", Rule::Equal),
    ("sample_index_rng_seed", Rule::Equal),
    ("schedule_rng_seed", Rule::Equal),
    ("server_target_latency_ns", Rule::AtMost),
    ("server_target_latency_percentile", Rule::AtLeast),
    ("single_stream_target_latency_percentile", Rule::AtLeast),
];

/// Why a result cannot be submitted; empty when nothing in the configuration forbids it.
pub fn not_for_submission(
    settings: &Settings,
    target: &Target<'_>,
) -> Result<Vec<String>, Failure> {
    let mut reasons: Vec<String> = target.assets.not_for_submission.iter().cloned().collect();
    let about = &target.workload_file.about;
    if !about.not_for_submission.is_empty() && !reasons.contains(&about.not_for_submission) {
        reasons.push(about.not_for_submission.clone());
    }
    if settings.text("engine")? == "fake" {
        reasons.push("the engine is fake".to_owned());
    }
    if settings.integer("accuracy_samples")? > 0 {
        reasons.push("accuracy_samples: only a part of the data set is used".to_owned());
    }
    if !about.not_for_submission.is_empty() {
        // No round has rules for such a workload.
        return Ok(reasons);
    }
    let round = &target.round.about.not_for_submission;
    reasons.extend((!round.is_empty()).then(|| round.clone()));
    for (name, rule) in RULES {
        let key = keys::find(name)
            .ok_or_else(|| Failure::harness(format!("there is no key `{name}`")))?;
        let setting = settings.get(name)?;
        let concerned = key.scenario.is_empty() || key.scenario == section_of(target.scenario);
        let asked = official(setting);
        if concerned && !holds(&setting.value, *rule, asked) {
            let words = match rule {
                Rule::Equal => "",
                Rule::AtLeast => "at least ",
                Rule::AtMost => "at most ",
            };
            reasons.push(format!(
                "{name} = {} ({}), the rules ask for {words}{asked}",
                setting.value, setting.origin
            ));
        }
    }
    Ok(reasons)
}

/// The uppermost value that comes from the repository.
fn official(setting: &Setting) -> &Value {
    let ours =
        |origin: &Origin| matches!(origin, Origin::Default | Origin::File { user: false, .. });
    if ours(&setting.origin) {
        return &setting.value;
    }
    let below = setting.replaced.iter().find(|(_, origin)| ours(origin));
    below.map_or(&setting.value, |(value, _)| value)
}

fn holds(value: &Value, rule: Rule, asked: &Value) -> bool {
    match (value, asked) {
        (Value::Integer(value), Value::Integer(asked)) => compare(value, rule, asked),
        (Value::Float(value), Value::Float(asked)) => compare(value, rule, asked),
        _ => value == asked,
    }
}

fn compare<T: PartialOrd>(value: &T, rule: Rule, asked: &T) -> bool {
    match rule {
        Rule::Equal => value == asked,
        Rule::AtLeast => value >= asked,
        Rule::AtMost => value <= asked,
    }
}

/// Says which settings were given for this call and touch no test of it.
pub fn across(plans: &[Plan], notices: &mut Vec<String>) {
    let concerns = |prefix: &str| {
        plans
            .iter()
            .any(|plan| section_of(plan.config.run.scenario) == prefix)
    };
    for key in keys::KEYS
        .iter()
        .filter(|key| !key.scenario.is_empty() && !concerns(key.scenario))
    {
        let typed = plans
            .first()
            .filter(|plan| plan.settings.is_typed(key.name));
        if let Some(Ok(setting)) = typed.map(|plan| plan.settings.get(key.name)) {
            notices.push(format!(
                "{} has no effect: no {} test was asked for",
                setting.origin, key.scenario
            ));
        }
    }
}
