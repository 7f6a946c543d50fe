//! What is known of a GPU: what it is, how it is set up, and what it does at the moment.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The NVIDIA driver.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Driver {
    /// `580.159.04`.
    pub version: Option<String>,
    /// The newest CUDA that it runs: `13.0`.
    pub cuda: Option<String>,
    /// Why NVML told nothing; absent when it did. NVML comes with the driver.
    pub nvml_error: Option<String>,
}

/// One GPU.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Gpu {
    /// `NVIDIA H100 80GB HBM3`.
    pub name: String,
    /// Its number in `nvidia-smi`.
    pub index: u32,
    /// `GPU-8f2e...`; empty when the driver does not tell.
    pub uuid: String,
    /// `00000000:01:00.0`; empty when the driver does not tell.
    pub pci_bus_id: String,
    /// Bytes of memory; 0 when not known.
    pub memory_bytes: u64,
    /// `9.0`; empty when not known.
    pub compute_capability: String,
    /// Watts that it may draw.
    pub power_limit_watts: Option<u32>,
    /// Watts that it may draw as it was delivered.
    pub power_limit_default_watts: Option<u32>,
    /// Highest clock of its multiprocessors, in MHz.
    pub max_sm_clock_mhz: Option<u32>,
    /// Its link to the host.
    pub pcie: Option<PcieLink>,
    /// Its links to other GPUs; absent where it has none.
    pub nvlinks: Option<NvLinks>,
    /// Its MIG instances; absent when it is not split, empty when it is to be split and is not yet.
    pub mig: Option<Vec<MigInstance>>,
    /// What it does at the moment.
    pub state: Option<GpuState>,
}

impl Gpu {
    /// `9.0` as `(9, 0)`.
    pub fn capability(&self) -> Option<(u32, u32)> {
        capability(&self.compute_capability)
    }
}

/// `9.0` as `(9, 0)`.
pub fn capability(text: &str) -> Option<(u32, u32)> {
    let (major, minor) = text.split_once('.')?;
    Some((major.parse().ok()?, minor.parse().ok()?))
}

/// A link to the host. Idle GPUs lower the generation, never the width.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PcieLink {
    /// Generation at the moment.
    pub generation: u32,
    /// Lanes at the moment.
    pub width: u32,
    /// Generation that GPU and slot agree on.
    pub max_generation: u32,
    /// Lanes of the GPU.
    pub max_width: u32,
}

/// Links to other GPUs, directly or through switches.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct NvLinks {
    /// Links that are up.
    pub active: u32,
    /// Links that the GPU has.
    pub total: u32,
}

/// A part of a GPU that is a device of its own.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct MigInstance {
    /// Its number within the GPU.
    pub index: u32,
    /// `MIG-5c1e...`.
    pub uuid: String,
    /// Its size: `1g.10gb`.
    pub profile: String,
    /// Bytes of memory; 0 when not known.
    pub memory_bytes: u64,
    /// Bytes of it that are free.
    pub memory_free_bytes: Option<u64>,
}

/// What a GPU does at the moment.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct GpuState {
    /// Bytes of memory in use, without what the driver reserves.
    pub memory_used_bytes: u64,
    /// Bytes of memory that are free.
    pub memory_free_bytes: u64,
    /// Clock of the multiprocessors, in MHz.
    pub sm_clock_mhz: Option<u32>,
    /// Watts that it draws.
    pub power_watts: Option<u32>,
    /// Degrees Celsius.
    pub temperature_celsius: Option<u32>,
    /// What keeps its clocks down.
    pub throttle_reasons: Vec<Throttle>,
    /// Processes that compute on it.
    pub processes: Vec<GpuProcess>,
}

/// A process that computes on a GPU.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GpuProcess {
    /// Its number; in a container it may be the host's.
    pub pid: u32,
    /// Its program, where it can be told.
    pub name: Option<String>,
    /// Bytes of the GPU's memory that it uses, where it can be told.
    pub memory_bytes: Option<u64>,
}

/// What keeps the clocks of a GPU down.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Throttle {
    /// It has nothing to do.
    Idle,
    /// Somebody set a clock.
    ApplicationClocks,
    /// It reached its power limit.
    PowerCap,
    /// Its hardware halves the clock, for heat or power.
    HardwareSlowdown,
    /// Another GPU of its group is slower.
    SyncBoost,
    /// The driver lowers the clock for heat.
    ThermalSlowdown,
    /// Its hardware halves the clock for heat.
    HardwareThermalSlowdown,
    /// The power supply demands less.
    PowerBrake,
    /// The display's clock setting.
    DisplayClocks,
}

impl Throttle {
    /// What to do about it; `None` for what is normal.
    pub fn remedy(self) -> Option<&'static str> {
        Some(match self {
            Self::Idle | Self::DisplayClocks => return None,
            Self::ApplicationClocks => "reset the clocks: `nvidia-smi -rac` and `nvidia-smi -rgc`",
            // Normal under load, but a machine that waits for a run should have none.
            Self::PowerCap => {
                "see what runs on it, and whether `nvidia-smi -q -d POWER` shows a lowered limit"
            }
            Self::SyncBoost => {
                "see why another GPU of its sync boost group is slow, or dissolve the group"
            }
            Self::HardwareSlowdown | Self::ThermalSlowdown | Self::HardwareThermalSlowdown => {
                "check airflow and fans; `nvidia-smi -q -d TEMPERATURE,PERFORMANCE` says more"
            }
            Self::PowerBrake => "check the power supplies and the power limits of rack and chassis",
        })
    }
}

impl fmt::Display for Throttle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Idle => "idle",
            Self::ApplicationClocks => "clocks set by somebody",
            Self::PowerCap => "power cap",
            Self::HardwareSlowdown => "hardware slowdown",
            Self::SyncBoost => "sync boost",
            Self::ThermalSlowdown => "thermal slowdown",
            Self::HardwareThermalSlowdown => "hardware thermal slowdown",
            Self::PowerBrake => "power brake",
            Self::DisplayClocks => "display clocks",
        })
    }
}
