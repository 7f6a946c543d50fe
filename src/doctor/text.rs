//! The report for people.

use std::fmt::Write;
use std::path::Path;

use super::examine::size;
use super::{Inventory, Level, Report, RunPlan, Storage};
use crate::scratch::SCRATCH_VARIABLE;
use crate::system::{Gpu, GpuState, Machine};

/// Where values begin.
const COLUMN: usize = 21;

impl Report {
    /// What was found, what it means, and the verdict.
    pub fn text(&self) -> String {
        let inventory = &self.inventory;
        let mut page = Page(format!("{}\n", inventory.program));
        machine(&mut page, inventory);
        gpus(&mut page, inventory);
        engines(&mut page, inventory);
        storage(&mut page, &inventory.storage);
        if let Some(run) = &inventory.run {
            plan(&mut page, run, &inventory.storage.root);
        }
        self.findings(&mut page);
        page.0
    }

    fn findings(&self, page: &mut Page) {
        let text = &mut page.0;
        if !self.findings.is_empty() {
            text.push('\n');
        }
        for finding in &self.findings {
            let level = match finding.level {
                Level::Stop => "stop",
                Level::Warning => "warning",
                Level::Note => "note",
            };
            // Writing into a String cannot fail.
            let _ = writeln!(text, "{level}: {}", finding.message);
            if !finding.remedy.is_empty() {
                let _ = writeln!(text, "  remedy: {}", finding.remedy);
            }
        }
        let stops = self
            .findings
            .iter()
            .filter(|finding| finding.level == Level::Stop);
        let _ = match stops.count() {
            0 => writeln!(text, "\nA run can go."),
            1 => writeln!(text, "\nA run would stop: see above."),
            count => writeln!(text, "\nA run would stop, for {count} reasons: see above."),
        };
    }
}

/// Lines of a name and a value, under headings.
struct Page(String);

impl Page {
    fn heading(&mut self, heading: &str) {
        let _ = writeln!(self.0, "\n{heading}");
    }

    fn line(&mut self, name: &str, value: &str) {
        let width = COLUMN - 3;
        let _ = writeln!(self.0, "  {name:<width$} {value}");
    }
}

fn machine(page: &mut Page, inventory: &Inventory) {
    let Machine {
        cpu, os, kernel, ..
    } = &inventory.machine;
    page.heading("Machine");
    page.line("system", &format!("{}, kernel {kernel}", or_unknown(os)));
    let mut text = format!(
        "{}: {}, {}, {} ({} usable), {}",
        or_unknown(&cpu.model),
        count(cpu.sockets, "socket"),
        count(cpu.cores, "core"),
        count(cpu.threads, "thread"),
        cpu.usable_threads,
        count(cpu.numa_nodes, "NUMA node"),
    );
    text.push_str(if cpu.bf16 { ", bf16" } else { ", no bf16" });
    page.line("processor", &text);
    page.line(
        "memory",
        &format!(
            "{}, {} available",
            size(inventory.machine.memory_bytes),
            size(inventory.memory_available_bytes)
        ),
    );
}

fn gpus(page: &mut Page, inventory: &Inventory) {
    let driver = &inventory.machine.driver;
    page.heading("GPUs");
    let text = match (&driver.version, &driver.cuda, &driver.nvml_error) {
        (None, _, None) => "none".to_owned(),
        (None, _, Some(error)) => format!("none: {error}"),
        (Some(version), Some(cuda), _) => format!("{version}, for CUDA {cuda}"),
        (Some(version), None, None) => version.clone(),
        (Some(version), None, Some(error)) => format!("{version}; NVML: {error}"),
    };
    page.line("driver", &text);
    if let Some(visible) = &inventory.devices.hidden_by {
        page.line("visible", &format!("CUDA_VISIBLE_DEVICES is `{visible}`"));
    }
    for gpu in &inventory.machine.gpus {
        one_gpu(page, gpu);
    }
}

fn one_gpu(page: &mut Page, gpu: &Gpu) {
    let mut text = vec![gpu.name.clone()];
    let mut tell = |what: &str, value: &str| {
        if !value.is_empty() {
            text.push(format!("{what}{value}"));
        }
    };
    tell("compute capability ", &gpu.compute_capability);
    tell("", &gpu.uuid);
    page.line(&gpu.index.to_string(), &text.join(", "));
    if let Some(state) = &gpu.state {
        page.line("", &present(gpu, state));
    }
    let links = links(gpu);
    if !links.is_empty() {
        page.line("", &links);
    }
    for instance in gpu.mig.iter().flatten() {
        let name = format!("{}:{}", gpu.index, instance.index);
        let free = match instance.memory_free_bytes {
            Some(free) => format!(", {} free", size(free)),
            None => String::new(),
        };
        let memory = size(instance.memory_bytes);
        let text = format!(
            "MIG {}, {memory}{free}, {}",
            instance.profile, instance.uuid
        );
        page.line(&name, &text);
    }
}

fn present(gpu: &Gpu, state: &GpuState) -> String {
    let mut parts = vec![format!(
        "{}, {} free",
        size(gpu.memory_bytes),
        size(state.memory_free_bytes)
    )];
    match (state.power_watts, gpu.power_limit_watts) {
        (Some(watts), Some(limit)) => parts.push(format!("{watts} of {limit} W")),
        (None, Some(limit)) => parts.push(format!("limit {limit} W")),
        _ => {}
    }
    match (state.sm_clock_mhz, gpu.max_sm_clock_mhz) {
        (Some(clock), Some(most)) => parts.push(format!("SM clock {clock} of {most} MHz")),
        (Some(clock), None) => parts.push(format!("SM clock {clock} MHz")),
        _ => {}
    }
    if let Some(degrees) = state.temperature_celsius {
        parts.push(format!("{degrees} C"));
    }
    let reasons: Vec<String> = state
        .throttle_reasons
        .iter()
        .map(ToString::to_string)
        .collect();
    if !reasons.is_empty() {
        parts.push(reasons.join(", "));
    }
    parts.join("; ")
}

fn links(gpu: &Gpu) -> String {
    let mut parts = Vec::new();
    if let Some(link) = gpu.pcie {
        parts.push(format!(
            "PCIe generation {} of {}, {} of {} lanes",
            link.generation, link.max_generation, link.width, link.max_width
        ));
    }
    if let Some(links) = gpu.nvlinks {
        parts.push(format!("{} of {} NVLinks up", links.active, links.total));
    }
    if gpu.mig.is_some() {
        parts.push("MIG mode".to_owned());
    }
    parts.join("; ")
}

fn engines(page: &mut Page, inventory: &Inventory) {
    let root = &inventory.storage.root;
    page.heading("Engines");
    page.line("cpu", "built in");
    for library in &inventory.engines {
        let text = match (&library.path, &library.error) {
            (None, _) => format!("there is no {}", library.file),
            (Some(path), None) => format!("{}, opens", shown(path, root)),
            (Some(path), Some(_)) => format!("{}, cannot be used", shown(path, root)),
        };
        page.line(&library.engine, &text);
    }
    for library in &inventory.libraries {
        let text = match &library.path {
            Some(path) => shown(path, root),
            None => "not found".to_owned(),
        };
        page.line(&library.name, &text);
    }
    let cuda = &inventory.cuda;
    let text = match (&cuda.error, cuda.devices, &cuda.version) {
        (Some(error), ..) => format!("does not start: {error}"),
        (None, Some(devices), Some(version)) => {
            format!("{version}, sees {}", count(devices as usize, "device"))
        }
        _ => "unknown".to_owned(),
    };
    page.line("CUDA", &text);
}

fn storage(page: &mut Page, storage: &Storage) {
    let root = &storage.root;
    page.heading("Storage");
    page.line("repository", &root.display().to_string());
    let mut scratch = shown(&storage.scratch, root);
    scratch.push_str(match storage.scratch_given {
        true => ", from ",
        false => ", without ",
    });
    scratch.push_str(SCRATCH_VARIABLE);
    match (storage.scratch_exists, storage.scratch_writable) {
        (false, _) => scratch.push_str("; not there, `run_harness link-dirs` makes it"),
        (true, false) => scratch.push_str("; cannot be written"),
        (true, true) => {}
    }
    page.line("scratch space", &scratch);
    for folder in &storage.folders {
        let link = shown(&folder.link, root);
        let mut text = match (&folder.target, folder.used == folder.link) {
            (Some(target), _) => format!("{link} -> {}", shown(target, root)),
            (None, true) => link,
            (None, false) => format!("{}, not linked", shown(&folder.used, root)),
        };
        if !folder.exists {
            text.push_str("; not there");
        }
        page.line(&folder.name, &text);
    }
    for item in &storage.items {
        let folder = item
            .path
            .parent()
            .filter(|_| item.path.ends_with("config.json"));
        let path = shown(folder.unwrap_or(&item.path), root);
        let text = match item.exists {
            true => path,
            false => format!("not there: {path}"),
        };
        page.line(&item.name, &text);
        if !item.exists {
            page.line("", &format!("remedy: {}", item.remedy));
        }
    }
    for disk in &storage.disks {
        let free = match disk.free_bytes {
            Some(free) => format!("{} free", size(free)),
            None => "free space unknown".to_owned(),
        };
        page.line(
            &format!("disk, {}", disk.purpose),
            &format!("{free}, {}", shown(&disk.path, root)),
        );
    }
}

fn plan(page: &mut Page, run: &RunPlan, root: &Path) {
    page.heading("A run here");
    page.line("tests", &run.tests.join(", "));
    page.line("round", &run.round);
    page.line(
        "engine",
        &format!(
            "{} in {}; {}",
            run.engine,
            run.precision,
            plain(&run.engine_origin)
        ),
    );
    if !run.devices.is_empty() {
        let numbers: Vec<String> = run.devices.iter().map(ToString::to_string).collect();
        page.line("devices", &numbers.join(", "));
    }
    let weights = match run.weights_bytes {
        Some(bytes) => format!("{} of weights; ", size(bytes)),
        None => String::new(),
    };
    let model = match &run.model {
        Some(path) => shown(path, root),
        None => "drawn".to_owned(),
    };
    // The origin names folders as they are.
    let origin = plain(&run.model_origin).replace(&format!("{}/", root.display()), "");
    page.line("model", &format!("{model}; {weights}{origin}"));
    page.line(
        "system profile",
        &format!(
            "{}; {}",
            run.system_profile,
            plain(&run.system_profile_origin)
        ),
    );
    page.line("name in results", &run.system_name);
    page.line("logs", &shown(&run.log_dir, root));
    for reason in &run.not_for_submission {
        page.line("not to submit", reason);
    }
}

/// An origin without the word that only matters beside others.
fn plain(origin: &str) -> &str {
    origin.strip_prefix("derived: ").unwrap_or(origin)
}

/// A path below the repository without it.
fn shown(path: &Path, root: &Path) -> String {
    path.strip_prefix(root)
        .unwrap_or(path)
        .display()
        .to_string()
}

fn or_unknown(text: &str) -> &str {
    if text.is_empty() { "unknown" } else { text }
}

fn count(count: usize, what: &str) -> String {
    match count {
        1 => format!("1 {what}"),
        count => format!("{count} {what}s"),
    }
}
