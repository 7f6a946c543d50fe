//! Machines that nobody needs to have: a small one without a GPU, a DGX, and a GPU split into MIG instances.

use std::path::PathBuf;

use mlperf_gptj::config::{EngineKind, Precision};
use mlperf_gptj::doctor::{Disk, Inventory, Item, RunPlan, ScratchFolder, Storage};
use mlperf_gptj::model::ModelConfig;
use mlperf_gptj::model::size::weights_bytes;
use mlperf_gptj::system::{
    Cpu, CudaDriver, Devices, Driver, EngineLibrary, FoundLibrary, Gpu, GpuProcess, GpuState,
    Machine, MigInstance, NvLinks, PcieLink, Throttle,
};

const ROOT: &str = "/home/me/mlperf_gptj";
const GIB: u64 = 1 << 30;

pub fn cpu_only() -> Inventory {
    let machine = Machine {
        cpu: Cpu {
            model: "AMD EPYC 7763 64-Core Processor".to_owned(),
            architecture: "x86_64".to_owned(),
            sockets: 1,
            cores: 2,
            threads: 4,
            usable_threads: 4,
            numa_nodes: 1,
            bf16: true,
        },
        memory_bytes: 16 * GIB,
        driver: Driver {
            nvml_error: Some(
                "libnvidia-ml.so.1: cannot open shared object file: No such file or directory"
                    .to_owned(),
            ),
            ..Driver::default()
        },
        os: "Ubuntu 24.04.1 LTS".to_owned(),
        kernel: "6.8.0-45-generic".to_owned(),
        ..Machine::default()
    };
    Inventory {
        memory_available_bytes: 14 * GIB,
        engines: vec![library("tensorrt", false), library("cuda", false)],
        libraries: vec![found("cuBLASLt", None), found("TensorRT", None)],
        cuda: CudaDriver {
            error: Some("libcuda.so.1: cannot open shared object file".to_owned()),
            ..CudaDriver::default()
        },
        storage: storage(false),
        run: Some(RunPlan {
            model: Some(path("models/gptj-mini")),
            model_origin: "derived: no GPT-J 6B checkpoint in build/scratch/models".to_owned(),
            weights_bytes: Some(21 << 20),
            system_profile: "generic_cpu".to_owned(),
            system_profile_origin: "derived: no GPU".to_owned(),
            system_name: "AMD_EPYC_7763_4c".to_owned(),
            notices: vec![
                "no GPT-J 6B checkpoint in build/scratch/models: this run uses gptj-mini"
                    .to_owned(),
            ],
            not_for_submission: vec!["the model is gptj-mini, not GPT-J 6B".to_owned()],
            ..run(EngineKind::Cpu, Precision::Bf16, "this machine has no GPU")
        }),
        ..of(machine)
    }
}

pub fn eight_h100() -> Inventory {
    let mut gpus: Vec<Gpu> = (0..8).map(h100).collect();
    let hot = gpus[3].state.as_mut().unwrap();
    hot.sm_clock_mhz = Some(345);
    hot.temperature_celsius = Some(92);
    hot.throttle_reasons = vec![Throttle::HardwareThermalSlowdown];
    let busy = gpus[5].state.as_mut().unwrap();
    busy.memory_used_bytes = 40 * GIB;
    busy.memory_free_bytes = 39 * GIB;
    busy.throttle_reasons = vec![Throttle::PowerCap];
    busy.processes = vec![
        process(4711, Some("/usr/bin/python3 train.py")),
        process(4712, None),
    ];
    let machine = Machine {
        cpu: Cpu {
            model: "Intel(R) Xeon(R) Platinum 8480C".to_owned(),
            architecture: "x86_64".to_owned(),
            sockets: 2,
            cores: 112,
            threads: 224,
            usable_threads: 224,
            numa_nodes: 2,
            bf16: true,
        },
        memory_bytes: 2016 * GIB,
        gpus,
        ..with_driver()
    };
    let devices = Devices::of(&machine, None);
    on_gpu(
        machine,
        RunPlan {
            devices: devices.list,
            system_profile: "nd_h100_v5".to_owned(),
            system_profile_origin:
                "derived: CPU `Intel(R) Xeon(R) Platinum 8480C` matches `*8480C*`, 8 GPUs"
                    .to_owned(),
            system_name: "ND_H100_v5".to_owned(),
            ..run(
                EngineKind::Cuda,
                Precision::Fp8,
                "a GPU is here, and libgptj_cuda.so in target/release",
            )
        },
    )
}

pub fn split_h100() -> Inventory {
    let instance = |index, profile: &str, gib: u64| MigInstance {
        index,
        uuid: format!("MIG-5c1e0000-0000-0000-0000-00000000000{index}"),
        profile: profile.to_owned(),
        memory_bytes: gib * GIB,
        memory_free_bytes: Some(gib * GIB),
    };
    let machine = Machine {
        cpu: Cpu {
            model: "Intel(R) Xeon(R) Platinum 8462Y+".to_owned(),
            sockets: 1,
            cores: 32,
            threads: 32,
            usable_threads: 32,
            numa_nodes: 1,
            bf16: true,
            ..Cpu::default()
        },
        memory_bytes: 512 * GIB,
        gpus: vec![Gpu {
            mig: Some(vec![instance(0, "1g.10gb", 10), instance(1, "3g.40gb", 40)]),
            ..h100(0)
        }],
        ..with_driver()
    };
    let devices = Devices::of(&machine, None).select("auto").unwrap();
    on_gpu(
        machine,
        RunPlan {
            devices,
            system_profile: "generic_cuda".to_owned(),
            system_profile_origin: "derived: 1 GPU".to_owned(),
            system_name: "NVIDIA_H100_80GB_HBM3_MIG_3g.40gbx1".to_owned(),
            notices: vec![
                "using the MIG instance 0:1 (NVIDIA H100 80GB HBM3 MIG 3g.40gb): a run can use one; --devices names another"
                    .to_owned(),
            ],
            ..run(
                EngineKind::Cuda,
                Precision::Fp8,
                "a GPU is here, and libgptj_cuda.so in target/release",
            )
        },
    )
}

fn with_driver() -> Machine {
    Machine {
        driver: Driver {
            version: Some("580.159.04".to_owned()),
            cuda: Some("13.0".to_owned()),
            nvml_error: None,
        },
        os: "Ubuntu 22.04.5 LTS".to_owned(),
        kernel: "5.15.0-1073-azure".to_owned(),
        ..Machine::default()
    }
}

fn on_gpu(machine: Machine, run: RunPlan) -> Inventory {
    let seen = u32::try_from(run.devices.len()).unwrap();
    Inventory {
        memory_available_bytes: machine.memory_bytes / 2,
        engines: vec![library("tensorrt", false), library("cuda", true)],
        libraries: vec![
            found("cuBLASLt", Some("/usr/local/cuda/lib64/libcublasLt.so.13")),
            found("TensorRT", None),
        ],
        cuda: CudaDriver {
            version: Some("13.0".to_owned()),
            devices: Some(seen),
            ..CudaDriver::default()
        },
        storage: storage(true),
        run: Some(run),
        ..of(machine)
    }
}

fn of(machine: Machine) -> Inventory {
    Inventory {
        program: "run_harness 0.1.0".to_owned(),
        devices: Devices::of(&machine, None),
        machine,
        ..Inventory::default()
    }
}

fn h100(index: u32) -> Gpu {
    Gpu {
        name: "NVIDIA H100 80GB HBM3".to_owned(),
        index,
        uuid: format!("GPU-8f2e0000-0000-0000-0000-00000000000{index}"),
        pci_bus_id: format!("00000000:0{}:00.0", index + 1),
        memory_bytes: 81_559 << 20,
        compute_capability: "9.0".to_owned(),
        power_limit_watts: Some(700),
        power_limit_default_watts: Some(700),
        max_sm_clock_mhz: Some(1980),
        // An idle link has a lower generation, which is no fault.
        pcie: Some(PcieLink {
            generation: 1,
            width: 16,
            max_generation: 5,
            max_width: 16,
        }),
        nvlinks: Some(NvLinks {
            active: 18,
            total: 18,
        }),
        mig: None,
        state: Some(GpuState {
            memory_used_bytes: 1 << 20,
            memory_free_bytes: 81_000 << 20,
            sm_clock_mhz: Some(1980),
            power_watts: Some(71),
            temperature_celsius: Some(31),
            throttle_reasons: vec![Throttle::Idle],
            processes: Vec::new(),
        }),
    }
}

fn process(pid: u32, name: Option<&str>) -> GpuProcess {
    GpuProcess {
        pid,
        name: name.map(str::to_owned),
        memory_bytes: Some(20 * GIB),
    }
}

fn path(below: &str) -> PathBuf {
    PathBuf::from(ROOT).join(below)
}

fn library(engine: &str, is_there: bool) -> EngineLibrary {
    let file = format!("libgptj_{engine}.so");
    EngineLibrary {
        engine: engine.to_owned(),
        path: is_there.then(|| path("target/release").join(&file)),
        file,
        error: None,
    }
}

fn found(name: &str, path: Option<&str>) -> FoundLibrary {
    FoundLibrary {
        name: name.to_owned(),
        path: path.map(PathBuf::from),
    }
}

/// With everything that the 6B model needs on a scratch space that is linked, or with nothing of it.
fn storage(linked: bool) -> Storage {
    let scratch = match linked {
        true => PathBuf::from("/mnt/scratch"),
        false => path("build/scratch"),
    };
    let folder = |name: &str| ScratchFolder {
        name: name.to_owned(),
        link: path("build").join(name),
        // A link that leads nowhere is told, and a test runs where there is no /mnt/scratch.
        target: None,
        used: match linked {
            true => path("build").join(name),
            false => scratch.join(name),
        },
        exists: linked,
    };
    let folders: Vec<_> = ["data", "models", "preprocessed_data"].map(folder).into();
    let item = |name: &str, path: PathBuf, exists: bool, remedy: &str| Item {
        name: name.to_owned(),
        path,
        exists,
        remedy: remedy.to_owned(),
    };
    let six_b = folders[1].used.join("GPTJ-6B/checkpoint-final/config.json");
    let data = folders[0].used.join("cnn-daily-mail/cnn_eval.json");
    Storage {
        root: PathBuf::from(ROOT),
        scratch_given: linked,
        scratch_exists: linked,
        scratch_writable: true,
        prompts: path("build/scratch/preprocessed_data"),
        prompts_writable: true,
        folders,
        items: vec![
            item(
                "GPT-J 6B",
                six_b,
                linked,
                "put its Hugging Face folder there",
            ),
            item("its data set", data, linked, "make it"),
            item("gptj-mini", path("models/gptj-mini/config.json"), true, ""),
        ],
        disks: vec![
            Disk {
                purpose: "logs".to_owned(),
                path: path("build/logs/now"),
                free_bytes: Some(200 * GIB),
                writable: true,
            },
            Disk {
                purpose: "scratch".to_owned(),
                path: scratch.clone(),
                free_bytes: Some(3000 * GIB),
                writable: true,
            },
        ],
        audit_config: false,
        scratch,
    }
}

fn run(engine: EngineKind, precision: Precision, why: &str) -> RunPlan {
    RunPlan {
        tests: vec!["gptj-99 Offline".to_owned(), "gptj-99 Server".to_owned()],
        round: "v5.0".to_owned(),
        engine,
        engine_origin: format!("derived: {why}"),
        precision,
        devices: Vec::new(),
        model: Some(path("build/models/GPTJ-6B/checkpoint-final")),
        model_origin: "derived: GPT-J 6B found in build/models/GPTJ-6B/checkpoint-final".to_owned(),
        weights_bytes: Some(weights_bytes(&ModelConfig::six_b(), precision.bytes())),
        model_failures: Vec::new(),
        system_profile: String::new(),
        system_profile_origin: String::new(),
        system_name: String::new(),
        log_dir: path("build/logs/now"),
        notices: Vec::new(),
        not_for_submission: Vec::new(),
    }
}
