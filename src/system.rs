//! What this machine is: CPU, memory, GPUs; which of its GPUs can be used; the nearest system profile.
//!
//! [`detect()`] is the only place that looks. What could not be found out is empty, zero or absent: detection never
//! decides whether a run may start.

mod detect;
mod devices;
mod gpu;
mod host;
mod libraries;
mod nvml;
mod profile;

pub use detect::detect;
pub use devices::{Device, Devices, VISIBLE_VARIABLE};
pub use gpu::{Driver, Gpu, GpuProcess, GpuState, MigInstance, NvLinks, PcieLink, Throttle};
pub use host::available_memory;
pub use libraries::{
    CudaDriver, EngineLibrary, FoundLibrary, cuda_driver, engine_libraries, find_library,
};
pub use profile::{Fit, ProfileMatch, choose_profile};

use serde::{Deserialize, Serialize};

/// What this machine is.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Machine {
    /// Its processors.
    pub cpu: Cpu,
    /// Bytes of memory.
    pub memory_bytes: u64,
    /// Its GPUs, in the order of `nvidia-smi`: that of the PCI bus.
    pub gpus: Vec<Gpu>,
    /// The NVIDIA driver, where there is one.
    #[serde(default)]
    pub driver: Driver,
    /// Operating system, as it names itself: `Debian GNU/Linux 12 (bookworm)`.
    pub os: String,
    /// Kernel release.
    pub kernel: String,
}

/// The processors.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Cpu {
    /// `AMD EPYC 7763 64-Core Processor`.
    pub model: String,
    /// `x86_64`.
    pub architecture: String,
    /// Sockets in use.
    pub sockets: usize,
    /// Physical cores.
    pub cores: usize,
    /// Logical processors.
    pub threads: usize,
    /// Logical processors that this process may use: affinity and control groups counted.
    pub usable_threads: usize,
    /// NUMA nodes.
    pub numa_nodes: usize,
    /// Whether it multiplies bfloat16 (AVX512_BF16 or AMX).
    pub bf16: bool,
}

impl Machine {
    /// A name made from all of its GPUs, or from its CPU.
    pub fn derived_name(&self) -> String {
        derived_name(&self.cpu, &Devices::of(self, None).list)
    }
}

/// A name for results, made from the GPUs in use or else from the CPU: `NVIDIA_H100_80GB_HBM3x8`, `AMD_EPYC_7763_4c`.
pub fn derived_name(cpu: &Cpu, devices: &[Device]) -> String {
    if let Some(device) = devices.first() {
        return format!("{}x{}", sanitise(&device.name, "GPU"), devices.len());
    }
    format!("{}_{}c", sanitise(&cpu.model, "CPU"), cpu.usable_threads)
}

/// Keeps what belongs to a name: no trademark signs, clock rates or words that every processor has.
fn sanitise(model: &str, fallback: &str) -> String {
    let model = model.split('@').next().unwrap_or_default();
    let model = model
        .replace("(R)", " ")
        .replace("(TM)", " ")
        .replace("(r)", " ")
        .replace("(tm)", " ");
    let words = model.split_whitespace().filter(|word| {
        let lower = word.to_lowercase();
        !(lower == "cpu" || lower == "processor" || lower.ends_with("-core"))
    });
    let name = words.collect::<Vec<_>>().join("_");
    let name: String = name
        .chars()
        .filter(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.'))
        .collect();
    if name.is_empty() {
        fallback.to_owned()
    } else {
        name
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_made_from_what_matters() {
        let name = |model: &str| {
            let cpu = Cpu {
                model: model.to_owned(),
                usable_threads: 4,
                ..Cpu::default()
            };
            derived_name(&cpu, &[])
        };
        assert_eq!(name("AMD EPYC 7763 64-Core Processor"), "AMD_EPYC_7763_4c");
        assert_eq!(
            name("Intel(R) Xeon(R) Platinum 8480C"),
            "Intel_Xeon_Platinum_8480C_4c"
        );
        assert_eq!(
            name("Intel(R) Core(TM) i7-9700K CPU @ 3.60GHz"),
            "Intel_Core_i7-9700K_4c"
        );
        assert_eq!(name("AMD EPYC"), "AMD_EPYC_4c");
        assert_eq!(name(""), "CPU_4c");
        assert_eq!(name("../../etc"), "....etc_4c");
    }

    #[test]
    fn devices_name_the_machine() {
        let device = |name: &str| Device {
            name: name.to_owned(),
            ..Device::default()
        };
        let name = |device: Device, count| derived_name(&Cpu::default(), &vec![device; count]);
        assert_eq!(
            name(device("NVIDIA H100 80GB HBM3"), 8),
            "NVIDIA_H100_80GB_HBM3x8"
        );
        assert_eq!(
            name(device("NVIDIA H100 80GB HBM3 MIG 1g.10gb"), 1),
            "NVIDIA_H100_80GB_HBM3_MIG_1g.10gbx1"
        );
    }
}
