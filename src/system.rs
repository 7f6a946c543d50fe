//! What this machine is: CPU, memory, GPUs; the nearest system profile.

mod detect;
mod profile;

pub use detect::detect;
pub use profile::{ProfileMatch, choose_profile};

use serde::{Deserialize, Serialize};

/// What this machine is. What could not be found out is empty or zero: nothing here decides whether a run may start.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Machine {
    /// Its processors.
    pub cpu: Cpu,
    /// Bytes of memory.
    pub memory_bytes: u64,
    /// Its GPUs.
    pub gpus: Vec<Gpu>,
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

/// One GPU.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Gpu {
    /// `NVIDIA H100 80GB HBM3`.
    pub name: String,
}

impl Machine {
    /// A name for results, made from the CPU and the GPUs: `AMD_EPYC_7763_4c`, `NVIDIA_H100_80GB_HBM3x8`.
    pub fn derived_name(&self) -> String {
        if let Some(gpu) = self.gpus.first() {
            return format!("{}x{}", sanitise(&gpu.name, "GPU"), self.gpus.len());
        }
        format!(
            "{}_{}c",
            sanitise(&self.cpu.model, "CPU"),
            self.cpu.usable_threads
        )
    }
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
            Machine {
                cpu,
                ..Machine::default()
            }
            .derived_name()
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
    fn gpus_name_the_machine() {
        let gpu = Gpu {
            name: "NVIDIA H100 80GB HBM3".to_owned(),
        };
        let machine = Machine {
            gpus: vec![gpu; 8],
            ..Machine::default()
        };
        assert_eq!(machine.derived_name(), "NVIDIA_H100_80GB_HBM3x8");
    }
}
