//! What an inventory means for a run.

use super::gpus;
use super::{Finding, Inventory, Level, RunPlan, Storage};
use crate::config::EngineKind;
use crate::error::Failure;
use crate::run::{AUDIT_CONFIG, LEAST_FREE_BYTES};
use crate::scratch::SCRATCH_VARIABLE;

/// Everything that is not as it should be.
pub fn examine(inventory: &Inventory) -> Vec<Finding> {
    let mut findings = Vec::new();
    gpus::driver(inventory, &mut findings);
    gpus::engines(inventory, &mut findings);
    if let Some(run) = &inventory.run {
        gpus::devices(inventory, run, &mut findings);
        model(inventory, run, &mut findings);
    }
    storage(&inventory.storage, &mut findings);
    if let Some(failure) = &inventory.refusal {
        findings.push(stop(failure));
    }
    if let Some(run) = &inventory.run {
        let notices = run.notices.iter();
        findings.extend(notices.map(|notice| Finding::new(Level::Note, notice, "")));
    }
    if inventory.is_root {
        findings.push(Finding::new(
            Level::Note,
            "running as root works; files that a run writes then belong to root",
            "",
        ));
    }
    findings
}

/// A failure that a run would end with.
fn stop(failure: &Failure) -> Finding {
    let mut message = failure.message.clone();
    for cause in &failure.causes {
        message.push_str(": ");
        message.push_str(cause);
    }
    Finding::new(
        Level::Stop,
        message,
        failure.hint.clone().unwrap_or_default(),
    )
}

fn model(inventory: &Inventory, run: &RunPlan, findings: &mut Vec<Finding>) {
    findings.extend(run.model_failures.iter().map(stop));
    let available = inventory.memory_available_bytes;
    if let (EngineKind::Cpu, Some(weights)) = (run.engine, run.weights_bytes)
        && available != 0
        && available < weights
    {
        findings.push(Finding::new(
            Level::Stop,
            format!(
                "the weights take {} in {}, and {} of memory are available",
                size(weights),
                run.precision,
                size(available)
            ),
            "free memory, or run a smaller model (--workload=gptj-mini)",
        ));
    }
}

fn storage(storage: &Storage, findings: &mut Vec<Finding>) {
    if storage.audit_config {
        findings.push(Finding::new(
            Level::Stop,
            format!("there is an {AUDIT_CONFIG} in the working folder, which LoadGen would obey"),
            format!("remove {AUDIT_CONFIG}, or run in another folder"),
        ));
    }
    for folder in &storage.folders {
        if let Some(target) = folder.target.as_ref().filter(|target| !target.exists()) {
            findings.push(Finding::new(
                Level::Warning,
                format!(
                    "{} leads to {}, which is not there; {} is used instead",
                    folder.link.display(),
                    target.display(),
                    folder.used.display()
                ),
                "mount what it leads to, or link anew: `run_harness link-dirs`",
            ));
        }
    }
    if !storage.prompts_writable {
        findings.push(Finding::new(
            Level::Warning,
            format!(
                "{} cannot be written: tokenised prompts are not kept, and each run makes them anew",
                storage.prompts.display()
            ),
            format!(
                "set {SCRATCH_VARIABLE} to a folder that you may write to, or name one with --preprocessed_data_dir"
            ),
        ));
    }
    for disk in storage.disks.iter().filter(|disk| disk.purpose == "logs") {
        let elsewhere = "choose another folder with --log_dir";
        let path = disk.path.display();
        if !disk.writable {
            findings.push(Finding::new(
                Level::Stop,
                format!("logs cannot be written to {path}"),
                format!("check its permissions, or {elsewhere}"),
            ));
        }
        if let Some(free) = disk.free_bytes.filter(|free| *free < LEAST_FREE_BYTES) {
            findings.push(Finding::new(
                Level::Stop,
                format!(
                    "the disk with {path} is full: {} MiB are free, a test may write {} MiB",
                    free >> 20,
                    LEAST_FREE_BYTES >> 20
                ),
                format!("free some space, or {elsewhere}"),
            ));
        }
    }
}

/// `79.6 GiB`, `42 MiB`.
pub fn size(bytes: u64) -> String {
    match bytes >> 30 {
        0 => format!("{} MiB", bytes >> 20),
        _ => format!("{:.1} GiB", bytes as f64 / (1_u64 << 30) as f64),
    }
}
