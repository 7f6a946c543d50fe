//! `run_harness doctor`: what it says of machines made up here, and of this one.
#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot be set up has failed"
)]

#[path = "doctor/machines.rs"]
mod machines;
#[path = "doctor/program.rs"]
mod program;

use mlperf_gptj::config::EngineKind;
use mlperf_gptj::doctor::{Finding, Inventory, Level, Report, busy};
use mlperf_gptj::system::{CudaDriver, EngineLibrary, Throttle};

use machines::{cpu_only, eight_h100, split_h100};

fn findings(inventory: Inventory, level: Level) -> Vec<Finding> {
    let mut findings = Report::new(inventory).findings;
    findings.retain(|finding| finding.level == level);
    findings
}

/// The one finding of its level.
#[track_caller]
fn only(inventory: Inventory, level: Level) -> Finding {
    let mut found = findings(inventory, level);
    assert_eq!(found.len(), 1, "{found:#?}");
    found.remove(0)
}

fn stop(inventory: Inventory) -> Finding {
    assert!(!Report::new(inventory.clone()).can_run);
    only(inventory, Level::Stop)
}

#[test]
fn a_machine_without_a_gpu() {
    let report = Report::new(cpu_only());
    assert!(report.can_run);
    insta::assert_snapshot!(report.text());
}

#[test]
fn eight_gpus_of_which_one_is_slowed_down_and_one_is_busy() {
    let report = Report::new(eight_h100());
    assert!(report.can_run, "{:#?}", report.findings);
    insta::assert_snapshot!(report.text());
}

#[test]
fn a_gpu_split_into_instances() {
    let report = Report::new(split_h100());
    assert!(report.can_run, "{:#?}", report.findings);
    insta::assert_snapshot!(report.text());
}

#[test]
fn the_worst_comes_first() {
    let mut inventory = eight_h100();
    inventory.storage.audit_config = true;
    let levels: Vec<Level> = Report::new(inventory)
        .findings
        .iter()
        .map(|finding| finding.level)
        .collect();
    assert_eq!(levels[0], Level::Stop);
    assert!(levels.is_sorted() && levels.len() > 2, "{levels:?}");
}

#[test]
fn a_library_that_cannot_be_used_stops_runs_that_need_it() {
    let broken = |mut inventory: Inventory| {
        let library = EngineLibrary {
            engine: "cuda".to_owned(),
            file: "libgptj_cuda.so".to_owned(),
            path: Some("/opt/libgptj_cuda.so".into()),
            error: Some("libcublasLt.so.13: cannot open shared object file".to_owned()),
        };
        inventory.engines.retain(|library| library.engine != "cuda");
        inventory.engines.push(library);
        inventory
    };
    let finding = stop(broken(eight_h100()));
    assert_eq!(
        finding.message,
        "/opt/libgptj_cuda.so is here and cannot be used: libcublasLt.so.13: cannot open shared object file"
    );
    assert!(finding.remedy.contains("LD_LIBRARY_PATH"), "{finding:?}");
    // The CPU engine does not care.
    only(broken(cpu_only()), Level::Warning);
}

#[test]
fn a_missing_engine_stops_runs_that_asked_for_it() {
    let mut inventory = eight_h100();
    inventory
        .engines
        .iter_mut()
        .for_each(|library| library.path = None);
    assert_eq!(
        stop(inventory).message,
        "the engine cuda needs libgptj_cuda.so, which is not here"
    );
}

#[test]
fn tensorrt_without_its_library_stops_a_run() {
    let mut inventory = eight_h100();
    inventory.engines[0].path = inventory.engines[1].path.clone();
    inventory.run.as_mut().unwrap().engine = EngineKind::Tensorrt;
    let finding = stop(inventory.clone());
    assert!(finding.message.contains("libnvinfer.so"), "{finding:?}");
    inventory.libraries[1].path = Some("/usr/lib/libnvinfer.so.10".into());
    assert!(Report::new(inventory).can_run);
}

#[test]
fn gpus_without_an_engine_are_mentioned() {
    let mut inventory = cpu_only();
    inventory.devices = eight_h100().devices;
    let finding = only(inventory, Level::Warning);
    assert_eq!(
        finding.message,
        "there are GPUs, and no engine for them: runs use the CPU"
    );
}

#[test]
fn what_cuda_says_gets_its_own_remedy() {
    for (code, said, remedy) in [
        (
            None,
            "libcuda.so.1: cannot open",
            "install the NVIDIA driver",
        ),
        (
            Some(802),
            "system not yet initialized",
            "nvidia-fabricmanager, whose version must be that of the driver (580.159.04)",
        ),
        (
            Some(803),
            "system has unsupported display driver / cuda driver combination",
            "reboot",
        ),
        (
            Some(100),
            "no CUDA-capable device is detected",
            "CUDA_VISIBLE_DEVICES",
        ),
        (Some(999), "unknown error", "dmesg"),
    ] {
        let mut inventory = eight_h100();
        inventory.cuda = CudaDriver {
            code,
            error: Some(said.to_owned()),
            ..CudaDriver::default()
        };
        let finding = stop(inventory);
        assert_eq!(finding.message, format!("CUDA does not start: {said}"));
        assert!(finding.remedy.contains(remedy), "{finding:?}");
    }
}

#[test]
fn a_driver_older_than_the_libraries_stops_a_run() {
    let mut inventory = eight_h100();
    inventory.cuda.version = Some("12.4".to_owned());
    assert_eq!(
        stop(inventory).message,
        "the driver runs CUDA 12, and cuBLASLt is of CUDA 13"
    );
}

#[test]
fn old_full_and_lost_gpus_stop_a_run() {
    let with = |change: &dyn Fn(&mut mlperf_gptj::system::Device)| {
        let mut inventory = eight_h100();
        let run = inventory.run.as_mut().unwrap();
        change(&mut run.devices[2]);
        stop(inventory).message
    };
    assert_eq!(
        with(&|device| device.compute_capability = "7.5".to_owned()),
        "device 2 has compute capability 7.5; the engines need 8.0"
    );
    assert_eq!(
        with(&|device| device.memory_free_bytes = Some(5 << 30)),
        "device 2 has 5.0 GiB of memory free, and the weights take 6.0 GiB in fp8"
    );
    let mut inventory = eight_h100();
    inventory.cuda.devices = Some(0);
    assert_eq!(stop(inventory).message, "CUDA sees no device");
}

#[test]
fn a_gpu_without_fp8_is_told() {
    let mut inventory = split_h100();
    inventory.run.as_mut().unwrap().devices[0].compute_capability = "8.0".to_owned();
    assert_eq!(
        only(inventory, Level::Warning).message,
        "device 0:1 has compute capability 8.0 and no FP8: it computes in fp16"
    );
}

#[test]
fn every_throttle_reason_that_is_not_normal_is_a_warning() {
    let warnings = |reason: Throttle| {
        let mut inventory = split_h100();
        let state = inventory.machine.gpus[0].state.as_mut().unwrap();
        state.throttle_reasons = vec![reason];
        findings(inventory, Level::Warning)
    };
    for normal in [Throttle::Idle, Throttle::DisplayClocks] {
        assert_eq!(warnings(normal), []);
    }
    for reason in [
        Throttle::ApplicationClocks,
        Throttle::PowerCap,
        Throttle::HardwareSlowdown,
        Throttle::SyncBoost,
        Throttle::ThermalSlowdown,
        Throttle::HardwareThermalSlowdown,
        Throttle::PowerBrake,
    ] {
        let found = warnings(reason);
        assert_eq!(found.len(), 1, "{reason}");
        assert!(found[0].message.ends_with(&reason.to_string()), "{found:?}");
        assert!(!found[0].remedy.is_empty(), "{reason}");
    }
}

#[test]
fn lowered_limits_and_lost_lanes_are_warnings() {
    let mut inventory = split_h100();
    let gpu = &mut inventory.machine.gpus[0];
    gpu.power_limit_watts = Some(350);
    gpu.pcie.as_mut().unwrap().width = 8;
    gpu.nvlinks.as_mut().unwrap().active = 17;
    let messages: Vec<String> = findings(inventory, Level::Warning)
        .into_iter()
        .map(|finding| finding.message)
        .collect();
    assert_eq!(
        messages,
        [
            "GPU 0 may draw 350 W instead of 700 W",
            "GPU 0 has 8 of 16 PCIe lanes",
            "GPU 0 has 17 of 18 NVLinks up"
        ]
    );
}

#[test]
fn memory_that_somebody_invisible_holds_is_a_warning() {
    let mut inventory = split_h100();
    inventory.machine.gpus[0]
        .state
        .as_mut()
        .unwrap()
        .memory_used_bytes = 30 << 30;
    let finding = only(inventory, Level::Warning);
    assert_eq!(
        finding.message,
        "GPU 0 has 30.0 GiB of memory in use, by processes that this one cannot see"
    );
}

#[test]
fn a_run_is_told_of_gpus_that_are_busy() {
    let machine = eight_h100().machine;
    let all: Vec<u32> = (0..8).collect();
    let told = busy(&machine, &all);
    assert_eq!(told.len(), 1, "{told:?}");
    let report = Report::new(eight_h100());
    assert!(report.findings.contains(&told[0]));
    assert!(told[0].message.contains("is busy: "), "{told:?}");
    assert!(told[0].remedy.contains("--devices"), "{told:?}");
    // Those that it does not use are of no account.
    let state = |gpu: &&mlperf_gptj::system::Gpu| {
        gpu.state
            .as_ref()
            .is_some_and(|state| state.processes.is_empty())
    };
    let idle: Vec<u32> = machine
        .gpus
        .iter()
        .filter(state)
        .map(|gpu| gpu.index)
        .collect();
    assert_eq!((idle.len(), busy(&machine, &idle)), (7, Vec::new()));
    assert_eq!(busy(&machine, &[]), Vec::new());
}

#[test]
fn nvml_that_fails_beside_a_driver_is_a_warning() {
    let mut inventory = split_h100();
    inventory.machine.driver.nvml_error =
        Some("RM detects a driver/library version mismatch".to_owned());
    let finding = only(inventory, Level::Warning);
    assert!(finding.remedy.contains("reboot"), "{finding:?}");
}

#[test]
fn a_gpu_in_mig_mode_without_instances_is_told() {
    let mut inventory = eight_h100();
    inventory.machine.gpus[7].mig = Some(Vec::new());
    let found = findings(inventory, Level::Warning);
    let finding = found
        .iter()
        .find(|finding| finding.message.contains("MIG"))
        .unwrap();
    assert_eq!(
        finding.message,
        "GPU 7 is in MIG mode and has no instance: it cannot be used"
    );
    assert!(
        finding
            .remedy
            .contains("nvidia-smi mig -i 7 -cgi PROFILE -C")
    );
}

#[test]
fn storage_that_a_run_cannot_write_to() {
    let logs = |change: &dyn Fn(&mut mlperf_gptj::doctor::Disk)| {
        let mut inventory = cpu_only();
        change(&mut inventory.storage.disks[0]);
        stop(inventory).message
    };
    assert_eq!(
        logs(&|disk| disk.writable = false),
        "logs cannot be written to /home/me/mlperf_gptj/build/logs/now"
    );
    assert_eq!(
        logs(&|disk| disk.free_bytes = Some(3 << 20)),
        "the disk with /home/me/mlperf_gptj/build/logs/now is full: 3 MiB are free, a test may write 64 MiB"
    );
    let mut inventory = cpu_only();
    inventory.storage.prompts_writable = false;
    assert_eq!(
        only(inventory, Level::Warning).message,
        "/home/me/mlperf_gptj/build/scratch/preprocessed_data cannot be written: tokenised prompts are not kept, and \
         each run makes them anew"
    );
    let mut inventory = cpu_only();
    inventory.storage.folders[1].target = Some("/mnt/gone/models".into());
    assert!(
        only(inventory, Level::Warning)
            .message
            .contains("leads to /mnt/gone/models")
    );
}

#[test]
fn a_model_that_is_too_large_or_broken() {
    let mut inventory = cpu_only();
    inventory.run.as_mut().unwrap().weights_bytes = Some(24 << 30);
    inventory.memory_available_bytes = 20 << 30;
    assert_eq!(
        stop(inventory).message,
        "the weights take 24.0 GiB in bf16, and 20.0 GiB of memory are available"
    );
    let mut inventory = cpu_only();
    let failure = mlperf_gptj::error::Failure::user("no weights in `x`")
        .because("it is empty")
        .hint("download it");
    inventory.run.as_mut().unwrap().model_failures = vec![failure.clone()];
    let finding = stop(inventory);
    assert_eq!(finding.message, "no weights in `x`: it is empty");
    assert_eq!(finding.remedy, "download it");
    let mut inventory = cpu_only();
    inventory.run = None;
    inventory.refusal = Some(failure);
    assert_eq!(stop(inventory).remedy, "download it");
}

#[test]
fn json_has_the_verdict_the_findings_and_all_that_was_found() {
    let report = Report::new(eight_h100());
    let json = serde_json::to_value(&report).unwrap();
    assert_eq!(json["schema_version"], 1);
    assert_eq!(json["can_run"], true);
    assert_eq!(json["findings"][0]["level"], "warning");
    let gpu = &json["machine"]["gpus"][3];
    assert_eq!(gpu["compute_capability"], "9.0");
    assert_eq!(
        gpu["state"]["throttle_reasons"][0],
        "hardware_thermal_slowdown"
    );
    assert_eq!(json["run"]["devices"][7]["uuid"], gpu_uuid(7));
}

fn gpu_uuid(index: usize) -> String {
    eight_h100().machine.gpus[index].uuid.clone()
}
