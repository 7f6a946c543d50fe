//! What would stop a run on GPUs, or slow it down.

use super::examine::size;
use super::{Finding, Inventory, Level, RunPlan};
use crate::config::{EngineKind, Precision};
use crate::system::{CudaDriver, Device, Gpu, GpuState, Machine, Throttle};

/// Oldest GPUs that the engines have code for: Ampere.
const OLDEST: (u32, u32) = (8, 0);
/// Memory in use that is no longer what a driver needs for itself.
const BUSY_BYTES: u64 = 1 << 30;

/// The driver and NVML.
pub fn driver(inventory: &Inventory, findings: &mut Vec<Finding>) {
    let machine = &inventory.machine;
    let Some(error) = &machine.driver.nvml_error else {
        return;
    };
    if machine.gpus.is_empty() {
        // No GPU and no NVML is a machine without a GPU.
        return;
    }
    let remedy = if error.contains("mismatch") {
        "the driver was updated while it was loaded: reboot, or reload the nvidia kernel modules"
    } else {
        "install the driver's own libraries beside its kernel module; in a container, start it with access to them"
    };
    findings.push(Finding::new(
        Level::Warning,
        format!("the kernel has a driver for GPUs, but NVML tells nothing: {error}"),
        remedy,
    ));
}

/// Libraries of engines, and what they need.
pub fn engines(inventory: &Inventory, findings: &mut Vec<Finding>) {
    let engine = inventory.run.as_ref().map(|run| run.engine);
    let on_gpu = engine.filter(|engine| is_on_gpu(*engine));
    for library in &inventory.engines {
        let (Some(path), Some(error)) = (&library.path, &library.error) else {
            continue;
        };
        let wanted = on_gpu.is_some_and(|engine| engine.name() == library.engine);
        let level = if wanted { Level::Stop } else { Level::Warning };
        findings.push(Finding::new(
            level,
            format!(
                "{} is here and cannot be used: {error}",
                path.display()
            ),
            "install what it is linked against (cuBLASLt comes with the CUDA toolkit), name its folder in \
             LD_LIBRARY_PATH, or rebuild the engine on this machine; --engine=cpu needs none of it",
        ));
    }
    let missing = |engine: EngineKind| {
        let mut libraries = inventory.engines.iter();
        libraries.any(|library| library.engine == engine.name() && library.path.is_none())
    };
    match on_gpu {
        Some(engine) if missing(engine) => findings.push(Finding::new(
            Level::Stop,
            format!("the engine {engine} needs libgptj_{engine}.so, which is not here"),
            "build it where its toolkit is installed (GPTJ_WITH_CUDA=1 cargo build --release), or name its \
             folder with --engine_library_dirs",
        )),
        None if !inventory.devices.list.is_empty()
            && engine == Some(EngineKind::Cpu)
            && inventory.engines.iter().all(|library| !library.is_usable()) =>
        {
            findings.push(Finding::new(
                Level::Warning,
                "there are GPUs, and no engine for them: runs use the CPU",
                "build one: GPTJ_WITH_CUDA=1 cargo build --release, with a CUDA toolkit of 12.8 or later",
            ));
        }
        _ => {}
    }
    let found = |name: &str| {
        let mut libraries = inventory.libraries.iter();
        libraries.any(|library| library.name == name && library.path.is_some())
    };
    if on_gpu == Some(EngineKind::Tensorrt) && !found("TensorRT") {
        findings.push(Finding::new(
            Level::Stop,
            "the engine tensorrt needs libnvinfer.so, which was not found",
            "set TENSORRT_ROOT to where TensorRT is, or its lib folder in LD_LIBRARY_PATH; --engine=cuda does without",
        ));
    }
    if on_gpu.is_some() {
        cuda(inventory, findings);
    }
}

fn is_on_gpu(engine: EngineKind) -> bool {
    matches!(engine, EngineKind::Cuda | EngineKind::Tensorrt)
}

fn cuda(inventory: &Inventory, findings: &mut Vec<Finding>) {
    let cuda = &inventory.cuda;
    if let Some(error) = &cuda.error {
        findings.push(Finding::new(
            Level::Stop,
            format!("CUDA does not start: {error}"),
            cuda_remedy(cuda, inventory.machine.driver.version.as_deref()),
        ));
    } else if cuda.devices == Some(0) {
        findings.push(Finding::new(
            Level::Stop,
            "CUDA sees no device",
            "see that CUDA_VISIBLE_DEVICES names one that is there, and that a MIG instance has a compute instance",
        ));
    }
    // libcublasLt.so.13 needs a driver for CUDA 13.
    let library = inventory
        .libraries
        .iter()
        .find(|library| library.name == "cuBLASLt");
    let needs = library
        .and_then(|library| library.path.as_ref())
        .and_then(|path| {
            path.file_name()?
                .to_str()?
                .split(".so.")
                .nth(1)?
                .split('.')
                .next()?
                .parse()
                .ok()
        });
    let has: Option<u32> = cuda
        .version
        .as_deref()
        .and_then(|version| version.split('.').next()?.parse().ok());
    if let (Some(needs), Some(has)) = (needs, has)
        && has < needs
    {
        findings.push(Finding::new(
            Level::Stop,
            format!("the driver runs CUDA {has}, and cuBLASLt is of CUDA {needs}"),
            "install a newer driver, or build the engine with an older toolkit",
        ));
    }
}

/// By CUDA's numbers of what can be wrong; see cuda.h.
fn cuda_remedy(cuda: &CudaDriver, driver: Option<&str>) -> String {
    match cuda.code {
        None => "install the NVIDIA driver, or use --engine=cpu; in a container, start it with access to GPUs".to_owned(),
        Some(802) => format!(
            "start nvidia-fabricmanager, whose version must be that of the driver ({})",
            driver.unwrap_or("see nvidia-smi")
        ),
        Some(803) => "the driver's kernel module and its libraries are of different versions: reboot, or install \
                      the same version of both"
            .to_owned(),
        Some(100) => "see that CUDA_VISIBLE_DEVICES names a device that is there, and that this user may open /dev/nvidia*".to_owned(),
        Some(_) => "`nvidia-smi` and `dmesg` may say more".to_owned(),
    }
}

/// The devices that a run would use.
pub fn devices(inventory: &Inventory, run: &RunPlan, findings: &mut Vec<Finding>) {
    for gpu in &inventory.machine.gpus {
        if gpu.mig.as_ref().is_some_and(Vec::is_empty) {
            findings.push(Finding::new(
                Level::Warning,
                format!("GPU {} is in MIG mode and has no instance: it cannot be used", gpu.index),
                format!(
                    "make one (`nvidia-smi mig -i {0} -cgi PROFILE -C`), or end MIG mode (`nvidia-smi -i {0} -mig 0`)",
                    gpu.index
                ),
            ));
        }
    }
    for device in &run.devices {
        capability(device, run.precision, findings);
        let free = device.memory_free_bytes.zip(run.weights_bytes);
        if let Some((free, weights)) = free.filter(|(free, weights)| free < weights) {
            findings.push(Finding::new(
                Level::Stop,
                format!(
                    "device {device} has {} of memory free, and the weights take {} in {}",
                    size(free),
                    size(weights),
                    run.precision
                ),
                "end what else runs there, use another device (--devices), or a smaller --precision",
            ));
        }
    }
    // Of several instances of one GPU a run uses one; still each GPU only once.
    let used = |gpu: &&Gpu| run.devices.iter().any(|device| device.gpu == gpu.index);
    for gpu in inventory.machine.gpus.iter().filter(used) {
        limits(gpu, findings);
        if let Some(state) = &gpu.state {
            throttling(gpu, state, findings);
            findings.extend(others(gpu, state));
        }
    }
}

fn capability(device: &Device, precision: Precision, findings: &mut Vec<Finding>) {
    let version = &device.compute_capability;
    if device.capability().is_some_and(|version| version < OLDEST) {
        findings.push(Finding::new(
            Level::Stop,
            format!("device {device} has compute capability {version}; the engines need 8.0"),
            "use another device (--devices), or --engine=cpu",
        ));
    } else if precision == Precision::Fp8 && device.has_fp8() == Some(false) {
        findings.push(Finding::new(
            Level::Warning,
            format!(
                "device {device} has compute capability {version} and no FP8: it computes in fp16"
            ),
            "use --precision=fp16, so that results say so",
        ));
    }
}

fn limits(gpu: &Gpu, findings: &mut Vec<Finding>) {
    let index = gpu.index;
    let limit = gpu.power_limit_watts.zip(gpu.power_limit_default_watts);
    if let Some((limit, default)) = limit.filter(|(limit, default)| limit < default) {
        findings.push(Finding::new(
            Level::Warning,
            format!("GPU {index} may draw {limit} W instead of {default} W"),
            format!("raise the limit: `nvidia-smi -i {index} -pl {default}`"),
        ));
    }
    if let Some(link) = gpu.pcie.filter(|link| link.width < link.max_width) {
        findings.push(Finding::new(
            Level::Warning,
            format!(
                "GPU {index} has {} of {} PCIe lanes",
                link.width, link.max_width
            ),
            "see that it sits in a slot with all lanes, and sits well",
        ));
    }
    if let Some(links) = gpu.nvlinks.filter(|links| links.active < links.total) {
        findings.push(Finding::new(
            Level::Warning,
            format!(
                "GPU {index} has {} of {} NVLinks up",
                links.active, links.total
            ),
            "`nvidia-smi nvlink -s` says which; engines here do not use them, so only other programs suffer",
        ));
    }
}

fn throttling(gpu: &Gpu, state: &GpuState, findings: &mut Vec<Finding>) {
    for reason in &state.throttle_reasons {
        // A busy GPU at its power limit is as it should be; that it is busy is said below.
        if *reason == Throttle::PowerCap && is_busy(state) {
            continue;
        }
        let Some(remedy) = reason.remedy() else {
            continue;
        };
        let clock = match (state.sm_clock_mhz, gpu.max_sm_clock_mhz) {
            (Some(clock), Some(most)) => format!(" ({clock} of {most} MHz)"),
            _ => String::new(),
        };
        findings.push(Finding::new(
            Level::Warning,
            format!("GPU {} is slowed down{clock}: {reason}", gpu.index),
            remedy,
        ));
    }
}

fn is_busy(state: &GpuState) -> bool {
    !state.processes.is_empty() || state.memory_used_bytes >= BUSY_BYTES
}

/// What else runs on these GPUs. A run tells it too: whoever starts one may not have asked the doctor.
pub fn busy(machine: &Machine, devices: &[u32]) -> Vec<Finding> {
    let used = |gpu: &&Gpu| devices.contains(&gpu.index);
    let gpus = machine.gpus.iter().filter(used);
    gpus.filter_map(|gpu| others(gpu, gpu.state.as_ref()?))
        .collect()
}

fn others(gpu: &Gpu, state: &GpuState) -> Option<Finding> {
    if !is_busy(state) {
        return None;
    }
    let used = size(state.memory_used_bytes);
    let (who, remedy) = match state.processes.as_slice() {
        [] => (
            format!(
                "GPU {} has {used} of memory in use, by processes that this one cannot see",
                gpu.index
            ),
            "look outside of this container, or as root: `nvidia-smi`".to_owned(),
        ),
        processes => {
            let names: Vec<String> = processes
                .iter()
                .map(|process| match &process.name {
                    Some(name) => format!("{} ({})", process.pid, short(name)),
                    None => process.pid.to_string(),
                })
                .collect();
            (
                format!(
                    "GPU {} is busy: {used} of memory in use, processes {}",
                    gpu.index,
                    names.join(", ")
                ),
                "wait until they have ended, or use another device (--devices): a result beside other work is none"
                    .to_owned(),
            )
        }
    };
    Some(Finding::new(Level::Warning, who, remedy))
}

/// The program without its folder and arguments.
fn short(name: &str) -> &str {
    let program = name.split_whitespace().next().unwrap_or(name);
    program.rsplit('/').next().unwrap_or(program)
}
