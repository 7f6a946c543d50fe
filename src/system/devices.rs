//! What an engine can run on: whole GPUs and MIG instances, by number or UUID.
//!
//! Numbers are those of `nvidia-smi`, whatever CUDA_VISIBLE_DEVICES says: `2` is a GPU, `2:0` the first MIG instance on
//! it. A test's process gets its devices as CUDA_VISIBLE_DEVICES, which is the one way to reach a MIG instance and
//! leaves no doubt about the order of GPUs.

mod select;

use std::fmt;

use serde::Serialize;

use super::Machine;
use super::gpu::{Gpu, MigInstance, capability};

/// The variable by which CUDA is told which devices a process sees, and in which order.
pub const VISIBLE_VARIABLE: &str = "CUDA_VISIBLE_DEVICES";

/// A GPU or a MIG instance.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Device {
    /// Number of the GPU.
    pub gpu: u32,
    /// Number of the MIG instance on it.
    pub instance: Option<u32>,
    /// Empty when the driver does not tell.
    pub uuid: String,
    /// `NVIDIA H100 80GB HBM3`, `NVIDIA H100 80GB HBM3 MIG 1g.10gb`; empty when it was asked for and not detected.
    pub name: String,
    /// Bytes of memory; 0 when not known.
    pub memory_bytes: u64,
    /// Bytes of it that are free.
    pub memory_free_bytes: Option<u64>,
    /// `9.0`; empty when not known.
    pub compute_capability: String,
}

impl fmt::Display for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.instance {
            None => write!(f, "{}", self.gpu),
            Some(instance) => write!(f, "{}:{instance}", self.gpu),
        }
    }
}

impl Device {
    fn whole(gpu: &Gpu) -> Self {
        Self {
            gpu: gpu.index,
            instance: None,
            uuid: gpu.uuid.clone(),
            name: gpu.name.clone(),
            memory_bytes: gpu.memory_bytes,
            memory_free_bytes: gpu.state.as_ref().map(|state| state.memory_free_bytes),
            compute_capability: gpu.compute_capability.clone(),
        }
    }

    fn part(gpu: &Gpu, instance: &MigInstance) -> Self {
        Self {
            gpu: gpu.index,
            instance: Some(instance.index),
            uuid: instance.uuid.clone(),
            name: format!("{} MIG {}", gpu.name, instance.profile),
            memory_bytes: instance.memory_bytes,
            memory_free_bytes: instance.memory_free_bytes,
            compute_capability: gpu.compute_capability.clone(),
        }
    }

    /// `9.0` as `(9, 0)`.
    pub fn capability(&self) -> Option<(u32, u32)> {
        capability(&self.compute_capability)
    }

    /// Whether it computes in 8-bit floats, as GPUs since Ada and Hopper do; `None` when not known.
    pub fn has_fp8(&self) -> Option<bool> {
        self.capability().map(|version| version >= (8, 9))
    }

    /// What CUDA_VISIBLE_DEVICES calls it; `None` for a number where nothing was detected, which is left to CUDA.
    pub fn cuda_name(&self) -> Option<String> {
        match (self.uuid.as_str(), self.name.as_str()) {
            ("", "") => None,
            ("", _) => Some(self.to_string()),
            (uuid, _) => Some(uuid.to_owned()),
        }
    }

    /// Whether `text` means this device: its number, its UUID, or the beginning of its UUID, as CUDA has it.
    fn answers_to(&self, text: &str) -> bool {
        let is_uuid = text.starts_with("GPU-") || text.starts_with("MIG-");
        self.to_string() == text || (is_uuid && self.uuid.starts_with(text))
    }
}

/// The devices that this process may use.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Devices {
    /// In the order in which CUDA would see them.
    pub list: Vec<Device>,
    /// Some GPU was seen on this machine, whether or not it can be used.
    pub detected: bool,
    /// The value of CUDA_VISIBLE_DEVICES, where it leaves some out.
    pub hidden_by: Option<String>,
    /// Lines for people: what of CUDA_VISIBLE_DEVICES makes no sense here.
    pub notices: Vec<String>,
}

impl Devices {
    /// Every GPU that is not split and every MIG instance, as far as `visible`, the value of CUDA_VISIBLE_DEVICES, lets
    /// them be seen.
    pub fn of(machine: &Machine, visible: Option<&str>) -> Self {
        let parts = |gpu: &Gpu| match &gpu.mig {
            None => vec![Device::whole(gpu)],
            Some(instances) => instances
                .iter()
                .map(|instance| Device::part(gpu, instance))
                .collect(),
        };
        let all: Vec<Device> = machine.gpus.iter().flat_map(parts).collect();
        match visible {
            Some(visible) if !machine.gpus.is_empty() => Self::restricted(all, visible),
            _ => Self {
                list: all,
                detected: !machine.gpus.is_empty(),
                ..Self::default()
            },
        }
    }

    /// What CUDA does: it takes the list up to the first entry that names nothing.
    fn restricted(all: Vec<Device>, visible: &str) -> Self {
        let mut list: Vec<Device> = Vec::new();
        let mut notices = Vec::new();
        for text in visible.split(',').map(str::trim) {
            let found = all.iter().find(|device| device.answers_to(text));
            let Some(device) = found else {
                // An empty value and -1 are how people hide everything.
                if !text.is_empty() && text != "-1" {
                    notices.push(format!(
                        "{VISIBLE_VARIABLE} is `{visible}`; there is no `{text}` here, so CUDA takes neither it nor what follows"
                    ));
                }
                break;
            };
            if !list.contains(device) {
                list.push(device.clone());
            }
        }
        Self {
            hidden_by: (list.len() < all.len()).then(|| visible.to_owned()),
            detected: true,
            list,
            notices,
        }
    }

    /// Why there is nothing in the list.
    pub fn why_none(&self) -> String {
        match &self.hidden_by {
            Some(visible) => format!("{VISIBLE_VARIABLE} is `{visible}`, which hides every GPU"),
            None if self.detected => {
                "every GPU is in MIG mode, and none has an instance".to_owned()
            }
            None => "this machine has no GPU".to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gpu(index: u32) -> Gpu {
        Gpu {
            name: "NVIDIA H100 80GB HBM3".to_owned(),
            index,
            uuid: format!("GPU-{index}aaa-{index}"),
            ..Gpu::default()
        }
    }

    fn instance(index: u32, profile: &str, gib: u64) -> MigInstance {
        MigInstance {
            index,
            uuid: format!("MIG-{profile}-{index}"),
            profile: profile.to_owned(),
            memory_bytes: gib << 30,
            memory_free_bytes: None,
        }
    }

    fn four() -> Machine {
        Machine {
            gpus: (0..4).map(gpu).collect(),
            ..Machine::default()
        }
    }

    /// GPU 1 is whole, GPU 0 is split in three.
    fn split() -> Machine {
        let instances = vec![
            instance(0, "1g.10gb", 10),
            instance(1, "3g.40gb", 40),
            instance(2, "3g.40gb", 40),
        ];
        let first = Gpu {
            mig: Some(instances),
            ..gpu(0)
        };
        Machine {
            gpus: vec![first, gpu(1)],
            ..Machine::default()
        }
    }

    fn numbers(devices: &[Device]) -> Vec<String> {
        devices.iter().map(Device::to_string).collect()
    }

    fn selected(devices: &Devices, asked: &str) -> Vec<String> {
        numbers(&devices.select(asked).unwrap())
    }

    #[test]
    fn devices_are_named_by_number_or_uuid() {
        let devices = Devices::of(&four(), None);
        assert_eq!(selected(&devices, "auto"), ["0", "1", "2", "3"]);
        assert_eq!(selected(&devices, "3, 1"), ["3", "1"]);
        assert_eq!(selected(&devices, "GPU-2aaa-2,0"), ["2", "0"]);
        assert_eq!(selected(&devices, "GPU-2"), ["2"]);
    }

    #[test]
    fn a_device_that_is_not_there_lists_those_that_are() {
        let failure = Devices::of(&split(), None).select("1,7").unwrap_err();
        assert_eq!(failure.message, "devices is `1,7`, but there is no `7`");
        assert_eq!(
            failure.hint.unwrap(),
            "there are\n  0:0  MIG-1g.10gb-0  NVIDIA H100 80GB HBM3 MIG 1g.10gb\n  \
             0:1  MIG-3g.40gb-1  NVIDIA H100 80GB HBM3 MIG 3g.40gb\n  \
             0:2  MIG-3g.40gb-2  NVIDIA H100 80GB HBM3 MIG 3g.40gb\n  \
             1  GPU-1aaa-1  NVIDIA H100 80GB HBM3"
        );
        let failure = Devices::of(&split(), None).select("0").unwrap_err();
        assert_eq!(failure.causes, ["GPU 0 is split into MIG instances"]);
    }

    #[test]
    fn mistakes_are_told_apart() {
        let devices = Devices::of(&four(), None);
        let message = |asked: &str| devices.select(asked).unwrap_err().message;
        assert_eq!(message("0,x"), "devices is `0,x`, and `x` names no GPU");
        assert_eq!(
            message("GPU-"),
            "devices is `GPU-`, and `GPU-` names no GPU"
        );
        assert_eq!(
            message("1,GPU-1aaa"),
            "devices is `1,GPU-1aaa`, which names GPU-1aaa twice"
        );
        let mut machine = four();
        machine.gpus[1].uuid = "GPU-0aab".to_owned();
        let failure = Devices::of(&machine, None).select("GPU-0aa").unwrap_err();
        assert!(
            failure
                .message
                .ends_with("begins the UUID of several devices")
        );
    }

    #[test]
    fn a_process_uses_one_instance_or_whole_gpus() {
        let devices = Devices::of(&split(), None);
        assert_eq!(selected(&devices, "auto"), ["1"]);
        assert_eq!(selected(&devices, "0:2"), ["0:2"]);
        assert_eq!(selected(&devices, "MIG-1g.10gb-0"), ["0:0"]);
        for asked in ["0:0,0:1", "1,0:0"] {
            let failure = devices.select(asked).unwrap_err();
            assert!(failure.message.ends_with("names a MIG instance and more"));
        }
        let mut machine = split();
        machine.gpus.truncate(1);
        assert_eq!(selected(&Devices::of(&machine, None), "auto"), ["0:1"]);
        machine.gpus[0].mig = Some(Vec::new());
        let none = Devices::of(&machine, None);
        assert!(none.list.is_empty());
        assert_eq!(
            none.why_none(),
            "every GPU is in MIG mode, and none has an instance"
        );
    }

    #[test]
    fn cuda_is_told_uuids_and_numbers_where_there_are_none() {
        let mut machine = four();
        machine.gpus[1].uuid = String::new();
        let devices = Devices::of(&machine, None).select("0,1").unwrap();
        let names: Vec<_> = devices.iter().filter_map(Device::cuda_name).collect();
        assert_eq!(names, ["GPU-0aaa-0", "1"]);
    }

    #[test]
    fn cudas_variable_hides_devices_and_keeps_their_numbers() {
        let seen = |visible: &str| {
            let devices = Devices::of(&four(), Some(visible));
            (selected(&devices, "auto"), devices.notices.len())
        };
        assert_eq!(seen("2,0"), (vec!["2".to_owned(), "0".to_owned()], 0));
        assert_eq!(seen("GPU-3aaa"), (vec!["3".to_owned()], 0));
        assert_eq!(seen(""), (vec![], 0));
        assert_eq!(seen("-1"), (vec![], 0));
        assert_eq!(seen("1,9,2"), (vec!["1".to_owned()], 1));
        let failure = Devices::of(&four(), Some("2,3")).select("0").unwrap_err();
        assert_eq!(failure.causes, ["CUDA_VISIBLE_DEVICES is `2,3`"]);
        assert_eq!(Devices::of(&four(), Some("0,1,2,3")).hidden_by, None);
    }

    #[test]
    fn where_nothing_was_detected_cuda_decides() {
        let devices = Devices::of(&Machine::default(), Some("0"));
        assert_eq!(selected(&devices, "2,0"), ["2", "0"]);
        let cuda_name = |asked: &str| devices.select(asked).unwrap()[0].cuda_name();
        assert_eq!(cuda_name("2"), None);
        assert_eq!(cuda_name("MIG-7").as_deref(), Some("MIG-7"));
        assert!(devices.select("MIG-7,MIG-8").is_err());
        assert!(devices.select("0:1").is_err());
        assert!(devices.select("0,GPU-7").is_err());
        assert!(selected(&devices, "auto").is_empty());
        // Hidden is not the same as not detected.
        assert!(Devices::of(&four(), Some("")).select("0").is_err());
    }
}
