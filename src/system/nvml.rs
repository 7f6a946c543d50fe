//! What NVML, the driver's management library, tells of its GPUs. It is opened at run time, and nothing it lacks is an
//! error: a value that a GPU does not tell stays empty.

use nvml_wrapper::bitmasks::device::ThrottleReasons;
use nvml_wrapper::enum_wrappers::device::{Clock, TemperatureSensor};
use nvml_wrapper::enums::device::UsedGpuMemory;
use nvml_wrapper::error::NvmlError;
use nvml_wrapper::struct_wrappers::device::ProcessInfo;
use nvml_wrapper::{Device, Nvml};

use super::gpu::{Driver, Gpu, GpuProcess, GpuState, MigInstance, NvLinks, PcieLink, Throttle};

/// GPUs have at most 18 links; asking for one that is not there ends the count.
const MOST_LINKS: u32 = 36;
/// Longer names of processes are cut off.
const NAME_BYTES: usize = 256;

/// What NVML tells.
pub struct Found {
    /// The driver.
    pub driver: Driver,
    /// Its GPUs.
    pub gpus: Vec<Gpu>,
}

/// Asks NVML. The error says, for people, why it tells nothing.
pub fn read() -> Result<Found, String> {
    let nvml = Nvml::init().map_err(reason)?;
    let driver = Driver {
        version: nvml.sys_driver_version().ok(),
        cuda: nvml
            .sys_cuda_driver_version()
            .ok()
            .map(|version| format!("{}.{}", version / 1000, version % 1000 / 10)),
        nvml_error: None,
    };
    let count = nvml.device_count().map_err(reason)?;
    let gpus = (0..count).map(|index| match nvml.device_by_index(index) {
        Ok(device) => gpu(&nvml, &device, index),
        // One that has fallen off the bus still counts: the others keep their numbers.
        Err(error) => Gpu {
            name: format!("GPU that cannot be used ({error})"),
            index,
            ..Gpu::default()
        },
    });
    Ok(Found {
        driver,
        gpus: gpus.collect(),
    })
}

fn reason(error: NvmlError) -> String {
    match error {
        // Its own words name the library.
        NvmlError::LibloadingError(inner) => inner.to_string(),
        other => other.to_string(),
    }
}

fn gpu(nvml: &Nvml, device: &Device<'_>, index: u32) -> Gpu {
    let watts = |milliwatts: Result<u32, NvmlError>| milliwatts.ok().map(|value| value / 1000);
    let memory = device.memory_info().ok();
    Gpu {
        name: device.name().unwrap_or_else(|_| "NVIDIA GPU".to_owned()),
        index,
        uuid: device.uuid().unwrap_or_default(),
        pci_bus_id: device.pci_info().map(|pci| pci.bus_id).unwrap_or_default(),
        memory_bytes: memory.as_ref().map_or(0, |memory| memory.total),
        compute_capability: device
            .cuda_compute_capability()
            .map(|version| format!("{}.{}", version.major, version.minor))
            .unwrap_or_default(),
        power_limit_watts: watts(device.enforced_power_limit()),
        power_limit_default_watts: watts(device.power_management_limit_default()),
        max_sm_clock_mhz: device.max_clock_info(Clock::SM).ok(),
        pcie: pcie(device),
        nvlinks: nvlinks(device),
        mig: instances(device),
        state: memory.map(|memory| GpuState {
            memory_used_bytes: memory.used,
            memory_free_bytes: memory.free,
            sm_clock_mhz: device.clock_info(Clock::SM).ok(),
            power_watts: watts(device.power_usage()),
            temperature_celsius: device.temperature(TemperatureSensor::Gpu).ok(),
            throttle_reasons: device
                .current_throttle_reasons()
                .map(throttle_reasons)
                .unwrap_or_default(),
            processes: processes(nvml, device),
        }),
    }
}

fn pcie(device: &Device<'_>) -> Option<PcieLink> {
    Some(PcieLink {
        generation: device.current_pcie_link_gen().ok()?,
        width: device.current_pcie_link_width().ok()?,
        max_generation: device.max_pcie_link_gen().ok()?,
        max_width: device.max_pcie_link_width().ok()?,
    })
}

fn nvlinks(device: &Device<'_>) -> Option<NvLinks> {
    let states = (0..MOST_LINKS).map_while(|link| device.link_wrapper_for(link).is_active().ok());
    let mut links = NvLinks::default();
    for is_active in states {
        links.total += 1;
        links.active += u32::from(is_active);
    }
    (links.total > 0).then_some(links)
}

fn instances(device: &Device<'_>) -> Option<Vec<MigInstance>> {
    if device.mig_mode().ok()?.current == 0 {
        return None;
    }
    // The count is the greatest possible one; slots without an instance answer with an error.
    let slots = 0..device.mig_device_count().unwrap_or(0);
    let instances = slots.filter_map(|slot| device.mig_device_by_index(slot).ok());
    Some((0..).zip(instances).map(instance).collect())
}

fn instance((index, device): (u32, Device<'_>)) -> MigInstance {
    let name = device.name().unwrap_or_default();
    let memory = device.memory_info().ok();
    MigInstance {
        index,
        uuid: device.uuid().unwrap_or_default(),
        // `NVIDIA H100 80GB HBM3 MIG 1g.10gb`
        profile: match name.rsplit_once("MIG ") {
            Some((_, profile)) => profile.to_owned(),
            None => name,
        },
        memory_bytes: memory.as_ref().map_or(0, |memory| memory.total),
        memory_free_bytes: memory.map(|memory| memory.free),
    }
}

fn processes(nvml: &Nvml, device: &Device<'_>) -> Vec<GpuProcess> {
    let found = device.running_compute_processes();
    let process = |info: ProcessInfo| GpuProcess {
        pid: info.pid,
        name: nvml.sys_process_name(info.pid, NAME_BYTES).ok(),
        memory_bytes: match info.used_gpu_memory {
            UsedGpuMemory::Used(bytes) => Some(bytes),
            UsedGpuMemory::Unavailable => None,
        },
    };
    let mut processes: Vec<_> = found.unwrap_or_default().into_iter().map(process).collect();
    processes.sort_by_key(|process| process.pid);
    processes
}

fn throttle_reasons(bits: ThrottleReasons) -> Vec<Throttle> {
    const ALL: [(ThrottleReasons, Throttle); 9] = [
        (ThrottleReasons::GPU_IDLE, Throttle::Idle),
        (
            ThrottleReasons::APPLICATIONS_CLOCKS_SETTING,
            Throttle::ApplicationClocks,
        ),
        (ThrottleReasons::SW_POWER_CAP, Throttle::PowerCap),
        (ThrottleReasons::HW_SLOWDOWN, Throttle::HardwareSlowdown),
        (ThrottleReasons::SYNC_BOOST, Throttle::SyncBoost),
        (
            ThrottleReasons::SW_THERMAL_SLOWDOWN,
            Throttle::ThermalSlowdown,
        ),
        (
            ThrottleReasons::HW_THERMAL_SLOWDOWN,
            Throttle::HardwareThermalSlowdown,
        ),
        (
            ThrottleReasons::HW_POWER_BRAKE_SLOWDOWN,
            Throttle::PowerBrake,
        ),
        (
            ThrottleReasons::DISPLAY_CLOCK_SETTING,
            Throttle::DisplayClocks,
        ),
    ];
    ALL.iter()
        .filter(|(bit, _)| bits.contains(*bit))
        .map(|(_, reason)| *reason)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_machine_tells_its_gpus_or_why_not() {
        match read() {
            Ok(found) => assert!(
                found.gpus.iter().all(|gpu| !gpu.name.is_empty()),
                "{:?}",
                found.gpus
            ),
            // With the library but without the module, the reason is NVML's own.
            Err(reason) => assert!(
                reason.contains("libnvidia-ml.so.1") || reason.contains("driver"),
                "{reason}"
            ),
        }
    }

    #[test]
    fn every_bit_has_a_name_and_no_other_has() {
        assert_eq!(throttle_reasons(ThrottleReasons::NONE), []);
        assert_eq!(throttle_reasons(ThrottleReasons::all()).len(), 9);
        let bits = ThrottleReasons::GPU_IDLE | ThrottleReasons::HW_POWER_BRAKE_SLOWDOWN;
        assert_eq!(
            throttle_reasons(bits),
            [Throttle::Idle, Throttle::PowerBrake]
        );
    }
}
