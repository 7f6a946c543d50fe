//! `run_harness tune-server`

use std::collections::BTreeMap;
use std::path::Path;

use serde::Serialize;
use serde_json::json;

use super::args::ConfigArgs;
use super::command::{Cli, TuneServerArgs};
use super::output::{print, print_json};
use super::run_harness::before_tests;
use super::surroundings::Here;
use crate::config::{Plan, Qps, ResolvedConfig, SettingUsed, find_key, settings_used};
use crate::error::{Failure, FailureKind};
use crate::report::CommandLine;
use crate::run::OneByOne;
use crate::tune::{Change, Confirming, Probe, Tuned, Tuning, UserLayer, tune};

/// What the search runs, whatever other commands run.
const FIXED: [(&str, &str); 2] = [("scenarios", "server"), ("test_mode", "PerformanceOnly")];
/// The key that is found.
const FOUND: &str = "server_target_qps";
/// A short test lasts this share of a full one, and no less than ten seconds.
const PROBE_SHARE: u64 = 10;
const LEAST_PROBE_MS: u64 = 10_000;

/// What came of one benchmark, for programs.
#[derive(Serialize)]
struct Document {
    benchmark: String,
    workload: String,
    engine: &'static str,
    scheduler: &'static str,
    precision: &'static str,
    latency_bound_seconds: f64,
    latency_percentile: f64,
    tune_precision: f64,
    probe_duration_ms: u64,
    probes: Vec<Probe>,
    confirming: Vec<Confirming>,
    server_target_qps: Option<f64>,
    written: Option<Change>,
    failure: Option<Failure>,
}

/// Finds the highest valid rate of every Server test that is asked for, and writes it into the user's file.
pub fn run(cli: &Cli, args: &TuneServerArgs) -> Result<(), Failure> {
    let config = flags(cli.config())?;
    let here = Here::look()?;
    let resolution = here.resolve(config.clone())?;
    let layer = match args.dry_run {
        true => None,
        false => Some(UserLayer::open(
            resolution.user_file.as_deref().ok_or_else(no_file)?,
        )?),
    };
    let quiet = before_tests(cli, &here, &resolution)?;
    let command = config.command_line();
    let runner = OneByOne::new(command.clone())?;
    let mut documents = Vec::new();
    for plan in &resolution.plans {
        let document = one(plan, args, &runner, layer.as_ref(), quiet);
        let failed = document.failure.is_some();
        documents.push(document);
        if failed {
            break;
        }
    }
    match cli.json {
        true => print_json(&serde_json::json!({ "tests": documents }))?,
        false => print(&documents.iter().map(text).collect::<String>())?,
    }
    if let Some(change) = documents
        .iter()
        .rev()
        .find_map(|document| document.written.as_ref())
    {
        tell_what_hides(&here, config, change)?;
    }
    let Some(last) = documents.last() else {
        return Err(Failure::harness("the configuration came to no test"));
    };
    match &last.failure {
        Some(failure) => Err(to_go_on(last, failure.clone(), &command)),
        None => Ok(()),
    }
}

fn one(
    plan: &Plan,
    args: &TuneServerArgs,
    runner: &OneByOne,
    layer: Option<&UserLayer>,
    quiet: bool,
) -> Document {
    let config = &plan.config;
    let full = config.loadgen.min_duration_ms;
    let probe_ms = args
        .probe_duration
        .unwrap_or((full / PROBE_SHARE).max(LEAST_PROBE_MS))
        .min(full);
    let title = config.benchmark_full();
    let mut tuned = tune(&mut Tuning {
        config,
        precision: args.tune_precision,
        probe_ms,
        run: &mut |tried| runner.run(tried, settings_tried(plan, tried)),
        say: &mut |line| {
            if !quiet {
                eprintln!("{title} Server: {line}");
            }
        },
    });
    let written = write(&mut tuned, config, layer);
    Document {
        benchmark: config.benchmark_full(),
        workload: config.run.workload.clone(),
        engine: config.engine.engine.name(),
        scheduler: config.scheduler.name.name(),
        precision: config.engine.precision.name(),
        latency_bound_seconds: config.loadgen.server_target_latency_ns as f64 / 1e9,
        latency_percentile: config.loadgen.server_target_latency_percentile,
        tune_precision: args.tune_precision,
        probe_duration_ms: probe_ms,
        probes: tuned.probes,
        confirming: tuned.confirming,
        server_target_qps: tuned.qps,
        written,
        failure: tuned.failure,
    }
}

/// The settings of a test of the search: those of the plan, but for what the search chose itself.
fn settings_tried(plan: &Plan, tried: &ResolvedConfig) -> BTreeMap<String, SettingUsed> {
    let mut settings = settings_used(plan);
    let values = |config: &ResolvedConfig| {
        let loadgen = &config.loadgen;
        let qps = match loadgen.server_target_qps {
            Qps::Auto => json!("auto"),
            Qps::Fixed(qps) => json!(qps),
        };
        [
            (FOUND, qps),
            ("min_duration", json!(loadgen.min_duration_ms)),
            ("min_query_count", json!(loadgen.min_query_count)),
            (
                "sample_concatenate_permutation",
                json!(loadgen.sample_concatenate_permutation),
            ),
            ("log_dir", json!(config.paths.log_dir)),
        ]
    };
    for ((name, value), (_, given)) in std::iter::zip(values(tried), values(&plan.config)) {
        if value != given
            && let Some(setting) = settings.get_mut(name)
        {
            setting.value = value;
            setting.origin = "tune-server".to_owned();
        }
    }
    settings
}

fn write(tuned: &mut Tuned, config: &ResolvedConfig, layer: Option<&UserLayer>) -> Option<Change> {
    let (qps, layer) = (tuned.qps?, layer?);
    match layer.set(&section(config), FOUND, qps) {
        Ok(change) => Some(change),
        Err(failure) => {
            tuned.failure = Some(failure);
            None
        }
    }
}

/// Where the rate holds: for this workload on this engine with this scheduler.
fn section(config: &ResolvedConfig) -> Vec<&str> {
    let mut section = vec![
        config.run.workload.as_str(),
        config.engine.engine.name(),
        config.scheduler.name.name(),
        "server",
    ];
    if config.run.accuracy_target == crate::config::AccuracyTarget::P999 {
        section.push("high_accuracy");
    }
    section
}

/// The flags with what the search fixes; what says otherwise is refused.
fn flags(mut config: ConfigArgs) -> Result<ConfigArgs, Failure> {
    for (name, value) in FIXED {
        let typed = config.flags.iter().find(|(key, _)| key.name == name);
        match typed {
            Some((_, text)) if text.eq_ignore_ascii_case(value) => {}
            Some((_, text)) => {
                return Err(Failure::user(format!(
                    "`--{name}={text}` cannot be used to tune the Server scenario"
                ))
                .because("the search runs performance tests of that scenario alone")
                .hint("leave it out"));
            }
            None => {
                let key = find_key(name)
                    .ok_or_else(|| Failure::harness(format!("there is no key `{name}`")))?;
                config.flags.push((key, value.to_owned()));
            }
        }
    }
    Ok(config)
}

fn no_file() -> Failure {
    Failure::user("there is no file to write the rate to")
        .because("no configs folder is near the program or the working folder")
        .hint("name one with --config, which may be empty, or keep the rate to yourself with --dry_run")
}

/// What was found until it was stopped is where the next search begins.
fn to_go_on(last: &Document, failure: Failure, command: &CommandLine) -> Failure {
    if failure.kind != FailureKind::Interrupted {
        return failure;
    }
    if let Some(qps) = last.server_target_qps {
        return failure.because(format!(
            "a full test had confirmed {qps} queries/s: written: {}",
            written(last.written.as_ref())
        ));
    }
    let held = last.probes.iter().filter(|probe| probe.holds);
    match held.max_by(|a, b| a.qps.total_cmp(&b.qps)) {
        Some(best) => failure
            .because(format!(
                "{} queries/s held in a short test, which no full one confirmed: nothing was written",
                best.qps
            ))
            .hint(format!(
                "to go on from there: {}",
                command.command("tune-server", &[(FOUND, &best.qps.to_string())])
            )),
        None => failure.because("no rate had been found yet: nothing was written"),
    }
}

/// A rate in the file that other layers hide would be of no use, and nobody would notice.
fn tell_what_hides(here: &Here, mut config: ConfigArgs, change: &Change) -> Result<(), Failure> {
    config.flags.retain(|(key, _)| key.name != FOUND);
    let resolution = here.resolve(config)?;
    let settings = resolution.plans.last().map(|plan| plan.settings.get(FOUND));
    if let Some(setting) = settings.transpose()?
        && setting.value.to_string().parse() != Ok(change.value)
    {
        eprintln!(
            "warning: {FOUND} = {} ({}) hides the value in `{}`",
            setting.value,
            setting.origin,
            change.file.display()
        );
    }
    Ok(())
}

fn text(document: &Document) -> String {
    let mut lines = vec![
        String::new(),
        format!(
            "{} Server: {}, engine {} ({}), scheduler {}, {} % within {} s",
            document.benchmark,
            document.workload,
            document.engine,
            document.precision,
            document.scheduler,
            document.latency_percentile * 100.0,
            document.latency_bound_seconds
        ),
        row(&[
            "test",
            "queries/s",
            "queries",
            "too slow",
            "p99, s",
            "answered/s",
            "result",
        ]),
    ];
    for (index, probe) in document.probes.iter().enumerate() {
        lines.push(row(&[
            &format!("probe {}", index + 1),
            &probe.qps.to_string(),
            &probe.queries.to_string(),
            &probe.over_latency.to_string(),
            &format!("{:.2}", probe.p99_seconds),
            &format!("{:.2}", probe.completed_per_second),
            if probe.holds { "holds" } else { "too high" },
        ]));
    }
    for (index, full) in document.confirming.iter().enumerate() {
        lines.push(row(&[
            &format!("confirming {}", index + 1),
            &full.qps.to_string(),
            &full.queries.to_string(),
            &full.over_latency.to_string(),
            &format!("{:.2}", full.p99_seconds),
            &format!("{:.2}", full.completed_per_second),
            if full.valid { "VALID" } else { "INVALID" },
        ]));
    }
    if let Some(qps) = document.server_target_qps {
        let found = document.confirming.iter().rfind(|full| full.qps == qps);
        lines.push(format!("    {:<13} {FOUND} = {qps}", "found"));
        if let Some(full) = found {
            lines.push(format!("    {:<13} {}", "logs", full.folder.display()));
        }
        lines.push(format!(
            "    {:<13} {}",
            "written",
            written(document.written.as_ref())
        ));
    }
    lines.push(String::new());
    lines.join("\n")
}

fn row(cells: &[&str; 7]) -> String {
    let [test, rate, queries, slow, p99, answered, result] = cells;
    format!("    {test:<13} {rate:>10} {queries:>9} {slow:>9} {p99:>9} {answered:>11}   {result}")
}

fn written(change: Option<&Change>) -> String {
    let Some(change) = change else {
        return "nothing".to_owned();
    };
    let before = match &change.before {
        Some(before) => format!(", in place of {before}"),
        None => String::new(),
    };
    format!("[{}] in `{}`{before}", change.section, shown(&change.file))
}

/// Below the working folder, as people would type it.
fn shown(path: &Path) -> String {
    let here = std::env::current_dir().ok();
    let below = here.and_then(|here| path.strip_prefix(here).ok().map(Path::to_owned));
    below.as_deref().unwrap_or(path).display().to_string()
}
