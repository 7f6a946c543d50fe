//! Which tests are asked for: benchmarks, scenarios and accuracy targets.

use super::key::{choose, nearest};
use super::layers::Settings;
use super::resolved::{AccuracyTarget, Benchmark, Scenario};
use crate::error::Failure;

/// The tests that are asked for: every combination, in this order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Selection {
    /// Benchmarks, without repetition.
    pub benchmarks: Vec<Benchmark>,
    /// Accuracy targets, the lower one first.
    pub targets: Vec<AccuracyTarget>,
    /// Scenarios, without repetition.
    pub scenarios: Vec<Scenario>,
}

impl Selection {
    /// Reads `benchmarks`, `scenarios`, `config_ver` and `accuracy_target`.
    pub fn from_settings(settings: &Settings) -> Result<Self, Failure> {
        Ok(Self {
            benchmarks: list(settings, "benchmarks", benchmark)?,
            targets: targets(settings)?,
            scenarios: list(settings, "scenarios", scenario)?,
        })
    }
}

fn list<T: PartialEq>(
    settings: &Settings,
    name: &str,
    parse: impl Fn(&str) -> Result<T, Failure>,
) -> Result<Vec<T>, Failure> {
    let text = settings.text(name)?;
    let mut found = Vec::new();
    for item in text
        .split(',')
        .map(str::trim)
        .filter(|item| !item.is_empty())
    {
        let item = parse(item)?;
        if !found.contains(&item) {
            found.push(item);
        }
    }
    if found.is_empty() {
        return Err(Failure::user(format!(
            "`{name}` is `{text}`, which names nothing"
        )));
    }
    Ok(found)
}

fn benchmark(text: &str) -> Result<Benchmark, Failure> {
    const ELSEWHERE: &[&str] = &[
        "bert",
        "dlrm",
        "dlrm-v2",
        "resnet50",
        "retinanet",
        "rnnt",
        "3d-unet",
        "llama2-70b",
        "llama2",
        "sdxl",
    ];
    if choose(&["gptj", "gptj6b", "gptj-6b", "gptj-99", "gptj-99.9"], text).is_some() {
        return Ok(Benchmark::Gptj);
    }
    let failure = Failure::user(format!("`{text}` is not a valid benchmark name"));
    Err(if choose(ELSEWHERE, text).is_some() {
        failure
            .because("this program runs GPT-J and nothing else")
            .hint("use --benchmarks=gptj")
    } else {
        failure.hint("the only benchmark is gptj (also gptj6b, gpt-j)")
    })
}

/// Reads the name of a scenario; case, `-` and `_` do not matter.
pub fn scenario(text: &str) -> Result<Scenario, Failure> {
    let names: Vec<&str> = Scenario::ALL
        .iter()
        .map(|scenario| scenario.name())
        .collect();
    let found = choose(&names, text).and_then(|name| {
        Scenario::ALL
            .iter()
            .find(|scenario| scenario.name() == name)
    });
    if let Some(scenario) = found {
        return Ok(*scenario);
    }
    let failure = Failure::user(format!("`{text}` is not a valid scenario name"));
    if choose(&["multistream"], text).is_some() {
        return Err(failure
            .because("GPT-J has no MultiStream scenario in any round")
            .hint("scenarios are offline, server, single_stream"));
    }
    Err(
        match nearest(["offline", "server", "single_stream"], text) {
            Some(near) => failure.hint(format!("did you mean `{near}`?")),
            None => failure.hint("scenarios are offline, server, single_stream"),
        },
    )
}

fn targets(settings: &Settings) -> Result<Vec<AccuracyTarget>, Failure> {
    use AccuracyTarget::{P99, P999};
    let mut targets = Vec::new();
    for item in list(settings, "config_ver", config_ver)? {
        targets.extend(item);
    }
    targets.sort();
    targets.dedup();
    if settings.is_auto("accuracy_target")? {
        return Ok(targets);
    }
    let asked = if settings.text("accuracy_target")? == P999.name() {
        P999
    } else {
        P99
    };
    let ver = settings.get("config_ver")?;
    if ver.origin != super::origin::Origin::Default && targets != [asked] {
        return Err(Failure::user(format!(
            "accuracy_target = {asked} ({}) contradicts config_ver = {} ({})",
            settings.get("accuracy_target")?.origin,
            ver.value,
            ver.origin
        ))
        .hint("give one of them; config_ver=high_accuracy means accuracy_target=0.999"));
    }
    Ok(vec![asked])
}

fn config_ver(text: &str) -> Result<Vec<AccuracyTarget>, Failure> {
    use AccuracyTarget::{P99, P999};
    match choose(&["default", "high_accuracy", "all"], text) {
        Some("default") => return Ok(vec![P99]),
        Some("high_accuracy") => return Ok(vec![P999]),
        Some(_) => return Ok(vec![P99, P999]),
        None => {}
    }
    let failure = Failure::user(format!("`{text}` is not a valid config_ver"));
    let lower = text.to_lowercase();
    let reason = [
        ("triton", "the Triton server is not part of this program"),
        ("openvino", "OpenVINO is not part of this program"),
        ("maxq", "there are no settings for limited power"),
        ("hetero", "instances of one GPU are not used together yet"),
    ]
    .into_iter()
    .find_map(|(part, reason)| lower.contains(part).then_some(reason));
    let failure = match reason {
        Some(reason) => failure.because(reason),
        None => failure,
    };
    Err(failure.hint("config_ver is default, high_accuracy or all"))
}
