//! What follows from the GPUs that are used: which these are, how many requests their memory holds, and rates that were
//! stated for another number of them.

use super::derive::Target;
use super::key::Value;
use super::layers::Settings;
use super::origin::Origin;
use super::resolved::Precision;
use crate::error::Failure;
use crate::model::ModelConfig;
use crate::model::size::{kv_bytes_per_token, weights_bytes};
use crate::system::{Device, Fit};

/// Activations, logits and the libraries' workspace of a step with 4,096 rows.
const WORKSPACE: f64 = 2.5 * GIB;
/// Tokens whose keys and values a request of CNN/DailyMail keeps while it runs: a prompt of 950, the mean, and room for
/// four beams of 128. 8-bit floats are then 0.31 GiB a request. NVIDIA's v4.1 configurations, found by trying, have
/// 192, 396 and 100 requests on GPUs of 80, 141 and 48 GB; this gives 215, 399 and 109.
const TOKENS: u64 = 950 + 4 * 128;
/// Requests where neither the GPU's memory nor the model's size is known.
const MODEST: u64 = 64;
/// Requests on a CPU, where memory is not what counts.
const ON_CPU: u64 = 32;
const GIB: f64 = (1_u64 << 30) as f64;

/// Settles `devices`: those that were asked for, or all. Devices that are not there are an error for engines on GPUs.
pub fn devices(
    settings: &mut Settings,
    target: &Target<'_>,
    on_gpu: bool,
    notices: &mut Vec<String>,
) -> Result<Vec<Device>, Failure> {
    let auto = settings.is_auto("devices")?;
    if !on_gpu {
        if auto {
            let why = "the engine uses no GPU";
            settings.derive("devices", Value::Text(String::new()), why)?;
        }
        return Ok(Vec::new());
    }
    let found = target.devices;
    if !auto {
        return found.select(settings.text("devices")?);
    }
    if found.list.is_empty() && found.detected {
        let engine = settings.get("engine")?;
        return Err(Failure::user(format!(
            "engine = {} ({}), but it has no device to run on",
            engine.value, engine.origin
        ))
        .because(found.why_none())
        .hint("`run_harness doctor` lists the GPUs; --engine=cpu needs none"));
    }
    let (text, why) = match (found.list.is_empty(), found.select(Value::AUTO)?.as_slice()) {
        // Detection is no gate: CUDA will say whether there is one.
        (true, _) => (
            "0".to_owned(),
            "no GPU was detected; CUDA's first one".to_owned(),
        ),
        (false, [one]) if one.instance.is_some() => {
            notices.push(format!(
                "using the MIG instance {one} ({}): a run can use one; --devices names another",
                one.name
            ));
            (
                one.to_string(),
                "the largest MIG instance; a run can use one".to_owned(),
            )
        }
        (false, several) => {
            let numbers: Vec<String> = several.iter().map(Device::to_string).collect();
            let why = match &found.hidden_by {
                Some(visible) => format!("all GPUs of CUDA_VISIBLE_DEVICES = {visible}"),
                None => "all GPUs".to_owned(),
            };
            (numbers.join(","), why)
        }
    };
    let selected = found.select(&text)?;
    settings.derive("devices", Value::Text(text), why)?;
    Ok(selected)
}

/// Whether all of them compute in 8-bit floats.
pub fn have_fp8(devices: &[Device]) -> bool {
    !devices.is_empty() && devices.iter().all(|device| device.has_fp8() == Some(true))
}

/// Settles `gpu_batch_size`, which with `auto` is what the smallest GPU's memory holds.
pub fn requests(
    settings: &mut Settings,
    target: &Target<'_>,
    devices: &[Device],
) -> Result<(), Failure> {
    if !settings.is_auto("gpu_batch_size")? {
        return Ok(());
    }
    let (requests, why) = match devices.iter().map(|device| device.memory_bytes).min() {
        None => (ON_CPU, "the engine uses no GPU".to_owned()),
        Some(0) => (MODEST, "the GPU's memory is not known".to_owned()),
        Some(_) if target.workload != "cnn_dailymail" => {
            (MODEST, "the model is not the 6B one".to_owned())
        }
        Some(memory) => fitting(settings, memory as f64)?,
    };
    settings.derive("gpu_batch_size", Value::Integer(requests), why)
}

fn fitting(settings: &Settings, memory: f64) -> Result<(u64, String), Failure> {
    let name = settings.text("precision")?;
    let precision = Precision::ALL.iter().find(|known| known.name() == name);
    let bytes = precision.map_or(2, |precision| precision.bytes());
    let model = ModelConfig::six_b();
    let weights = weights_bytes(&model, bytes) as f64;
    let request = (TOKENS * kv_bytes_per_token(&model, bytes)) as f64;
    // A step decodes every request, with one row for each beam.
    let rows = settings.integer("max_tokens_per_step")? / settings.integer("beam_width")?.max(1);
    let share = settings.float("gpu_memory_fraction")?;
    let left = (memory * share - weights - WORKSPACE) / request;
    // Negative numbers become 0; whether one request fits is for the engine to say.
    let requests = (left.floor() as u64).clamp(1, rows.max(1));
    let why = format!(
        "({:.1} GiB x {share} - {:.1} GiB of {name} weights - {:.1} GiB of workspace) / {:.2} GiB a request",
        memory / GIB,
        weights / GIB,
        WORKSPACE / GIB,
        request / GIB
    );
    Ok((requests, why))
}

/// Rates of the system's profile hold for its own number of GPUs, and for no other GPU.
pub fn rates(
    settings: &mut Settings,
    target: &Target<'_>,
    devices: &[Device],
) -> Result<(), Failure> {
    let Some(profile) = target.profile.filter(|_| !devices.is_empty()) else {
        return Ok(());
    };
    let about = &profile.file.about;
    let stated_for = about.min_gpus.filter(|_| about.min_gpus == about.max_gpus);
    for name in ["offline_expected_qps", "server_target_qps"] {
        let setting = settings.get(name)?;
        let (Value::Float(rate), Origin::File { path, .. }) = (&setting.value, &setting.origin)
        else {
            continue;
        };
        if *path != profile.file.path {
            continue;
        }
        let rate = *rate;
        let origin = setting.origin.to_string();
        if profile.fit == Fit::NearGpu {
            let why = format!("measured: {rate} ({origin}) is the rate of another GPU");
            settings.derive(name, Value::Text(Value::AUTO.to_owned()), why)?;
        } else if let Some(count) = stated_for.filter(|count| *count != devices.len()) {
            let used = devices.len();
            let scaled = rate * used as f64 / count.max(1) as f64;
            let why = format!("{rate} ({origin}) x {used} / {count} GPUs");
            settings.derive(name, Value::Float(scaled), why)?;
        }
    }
    Ok(())
}
