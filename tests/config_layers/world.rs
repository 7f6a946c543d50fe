//! Machines made up here, and what is asked for on them.

use std::path::{Path, PathBuf};

use mlperf_gptj::config::{
    Assets, Plan, Request, Resolution, Surroundings, Wanted, explain, find_key, resolve,
};
use mlperf_gptj::error::Failure;
use mlperf_gptj::system::{Cpu, Gpu, Machine, MigInstance};

/// A machine, and what lies around the program.
pub struct World {
    pub machine: Machine,
    pub program: Option<PathBuf>,
    pub has_6b: bool,
    /// Engines that are there and cannot run.
    pub broken: &'static [&'static str],
}

impl World {
    pub fn cpu(model: &str, threads: usize, bf16: bool) -> Self {
        let cpu = Cpu {
            model: model.to_owned(),
            usable_threads: threads,
            bf16,
            ..Cpu::default()
        };
        let machine = Machine {
            cpu,
            ..Machine::default()
        };
        Self {
            machine,
            program: None,
            has_6b: false,
            broken: &[],
        }
    }

    pub fn small() -> Self {
        Self::cpu("AMD EPYC", 4, true)
    }

    pub fn resolve(&self, request: &Request) -> Result<Resolution, Failure> {
        let can_run = |engine: &str, _: &[PathBuf]| match self.broken.contains(&engine) {
            true => Err("libnvinfer.so.8 is not here".to_owned()),
            false => Ok(()),
        };
        let locate = |wanted: &Wanted| -> Result<Assets, Failure> { Ok(self.assets(wanted)) };
        let around = Surroundings {
            machine: self.machine.clone(),
            program: self.program.clone(),
            working_dir: PathBuf::from(env!("CARGO_MANIFEST_DIR")),
            log_dir: PathBuf::from("build/logs/now"),
            engine_dir: PathBuf::from("build/engines"),
            data_dir: PathBuf::from("build/data"),
            preprocessed_data_dir: PathBuf::from("build/preprocessed_data"),
            can_run: &can_run,
            locate: &locate,
        };
        resolve(request, &around)
    }

    pub fn assets(&self, wanted: &Wanted) -> Assets {
        let (model, workload, reason) = match (&wanted.model_path, self.has_6b) {
            (Some(model), _) => (model.clone(), "custom", "model_path"),
            (None, true) => (
                "/scratch/models/GPTJ-6B".into(),
                "cnn_dailymail",
                "the scratch space has GPT-J 6B",
            ),
            (None, false) => (
                "models/gptj-mini".into(),
                "gptj-mini",
                "there is no GPT-J 6B",
            ),
        };
        Assets {
            dataset_path: wanted
                .dataset_path
                .clone()
                .unwrap_or_else(|| "data.json".into()),
            model_path: model,
            workload: workload.to_owned(),
            fp8_scales: (workload == "gptj-mini").then(|| "gptj-mini/fp8_scales.json".into()),
            reason: reason.to_owned(),
            not_for_submission: None,
            notice: None,
        }
    }

    pub fn flags(&self, flags: &[(&str, &str)]) -> Result<Resolution, Failure> {
        self.resolve(&request(flags))
    }

    /// The only plan of these flags.
    pub fn plan(&self, flags: &[(&str, &str)]) -> Plan {
        let mut plans = self.flags(flags).unwrap().plans;
        assert_eq!(plans.len(), 1, "{plans:?}");
        plans.remove(0)
    }
}

pub fn request(flags: &[(&str, &str)]) -> Request {
    let flag = |(name, value): &(&str, &str)| (find_key(name).unwrap(), (*value).to_owned());
    Request {
        flags: flags.iter().map(flag).collect(),
        ..Request::default()
    }
}

pub fn shown(plans: &[Plan]) -> String {
    explain(plans, true).unwrap()
}

pub fn gpu(index: u32, name: &str, capability: &str, mib: u64) -> Gpu {
    Gpu {
        name: name.to_owned(),
        index,
        uuid: format!("GPU-{index}"),
        compute_capability: capability.to_owned(),
        memory_bytes: mib << 20,
        ..Gpu::default()
    }
}

pub fn h100s(count: u32) -> Vec<Gpu> {
    let h100 = |index| gpu(index, "NVIDIA H100 80GB HBM3", "9.0", 81_559);
    (0..count).map(h100).collect()
}

/// A machine like Azure's, with an engine library beside the program. The program's folder is put into `folder`.
pub fn nd_h100_v5(folder: &Path) -> World {
    std::fs::write(folder.join("libgptj_cuda.so"), "").unwrap();
    let mut world = World::cpu("Intel(R) Xeon(R) Platinum 8480C", 96, true);
    world.machine.gpus = h100s(8);
    World {
        program: Some(folder.join("run_harness")),
        has_6b: true,
        ..world
    }
}

/// A machine with these GPUs and an engine for them.
pub fn with_gpus(folder: &Path, gpus: Vec<Gpu>) -> World {
    let mut world = nd_h100_v5(folder);
    world.machine.cpu.model = "Some CPU".to_owned();
    world.machine.gpus = gpus;
    world
}

pub fn value(plan: &Plan, key: &str) -> String {
    let setting = plan.settings.get(key).unwrap();
    format!("{} # {}", setting.value, setting.origin)
}

/// One GPU split in two.
pub fn split(folder: &Path) -> World {
    let instance = |index, profile: &str, gib: u64| MigInstance {
        index,
        uuid: format!("MIG-{index}"),
        profile: profile.to_owned(),
        memory_bytes: gib << 30,
        memory_free_bytes: None,
    };
    let mut gpus = h100s(1);
    gpus[0].mig = Some(vec![instance(0, "3g.40gb", 40), instance(1, "1g.10gb", 10)]);
    with_gpus(folder, gpus)
}

/// What changed from one plan to the next, line by line.
pub fn changes(before: &Plan, after: &Plan) -> String {
    let before = shown(std::slice::from_ref(before));
    let after = shown(std::slice::from_ref(after));
    let known: Vec<&str> = before.lines().collect();
    let new = after.lines().filter(|line| !known.contains(line));
    new.map(|line| format!("{line}\n")).collect()
}
