//! Seam 1, command line to configuration: snapshots of `show-config --explain`, one for each combination of layers, on
//! machines made up here, so that they are the same everywhere.
#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot be set up has failed"
)]

use std::path::{Path, PathBuf};

use mlperf_gptj::config::{
    Assets, EngineKind, Fp8Range, Plan, Precision, Qps, Request, Resolution, Scenario,
    Surroundings, Wanted, explain, find_key, resolve,
};
use mlperf_gptj::error::Failure;
use mlperf_gptj::system::{Cpu, Gpu, Machine};

/// A machine, and what lies around the program.
struct World {
    machine: Machine,
    program: Option<PathBuf>,
    has_6b: bool,
}

impl World {
    fn cpu(model: &str, threads: usize, bf16: bool) -> Self {
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
        }
    }

    fn small() -> Self {
        Self::cpu("AMD EPYC", 4, true)
    }

    fn resolve(&self, request: &Request) -> Result<Resolution, Failure> {
        let locate = |wanted: &Wanted| -> Result<Assets, Failure> { Ok(self.assets(wanted)) };
        let around = Surroundings {
            machine: self.machine.clone(),
            program: self.program.clone(),
            working_dir: PathBuf::from(env!("CARGO_MANIFEST_DIR")),
            log_dir: PathBuf::from("build/logs/now"),
            locate: &locate,
        };
        resolve(request, &around)
    }

    fn assets(&self, wanted: &Wanted) -> Assets {
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

    fn flags(&self, flags: &[(&str, &str)]) -> Result<Resolution, Failure> {
        self.resolve(&request(flags))
    }

    /// The only plan of these flags.
    fn plan(&self, flags: &[(&str, &str)]) -> Plan {
        let mut plans = self.flags(flags).unwrap().plans;
        assert_eq!(plans.len(), 1, "{plans:?}");
        plans.remove(0)
    }
}

fn request(flags: &[(&str, &str)]) -> Request {
    let flag = |(name, value): &(&str, &str)| (find_key(name).unwrap(), (*value).to_owned());
    Request {
        flags: flags.iter().map(flag).collect(),
        ..Request::default()
    }
}

fn shown(plans: &[Plan]) -> String {
    explain(plans, true).unwrap()
}

#[test]
fn gptj_mini_on_a_cpu() {
    let resolution = World::small().flags(&[]).unwrap();
    insta::assert_snapshot!(shown(&resolution.plans));
    assert_eq!(resolution.notices, Vec::<String>::new());
}

#[test]
fn gptj_mini_without_bf16() {
    let world = World::cpu("Intel(R) Xeon(R) CPU E5-2690 v4 @ 2.60GHz", 28, false);
    let resolution = world.flags(&[("scenarios", "single-stream")]).unwrap();
    insta::assert_snapshot!(shown(&resolution.plans));
    assert_eq!(
        resolution.notices,
        ["this CPU does not compute in bf16; using f32"]
    );
}

#[test]
fn the_6b_model_on_a_cpu() {
    let world = World {
        has_6b: true,
        ..World::small()
    };
    insta::assert_snapshot!(shown(&world.flags(&[]).unwrap().plans));
}

#[test]
fn high_accuracy_on_a_cpu_is_f32() {
    let world = World {
        has_6b: true,
        ..World::small()
    };
    let flags = [("config_ver", "all"), ("scenarios", "offline")];
    let plans = world.flags(&flags).unwrap().plans;
    let names: Vec<String> = plans
        .iter()
        .map(|plan| plan.config.benchmark_full())
        .collect();
    assert_eq!(names, ["gptj-99", "gptj-99.9"]);
    let precisions: Vec<_> = plans
        .iter()
        .map(|plan| plan.config.engine.precision)
        .collect();
    assert_eq!(precisions, [Precision::Bf16, Precision::F32]);
    insta::assert_snapshot!(shown(&plans[1..]));
}

/// A machine like Azure's, with an engine library beside the program. The program's folder is put into `folder`.
fn nd_h100_v5(folder: &Path) -> World {
    std::fs::write(folder.join("libgptj_cuda.so"), "").unwrap();
    let mut world = World::cpu("Intel(R) Xeon(R) Platinum 8480C", 96, true);
    world.machine.gpus = vec![
        Gpu {
            name: "NVIDIA H100 80GB HBM3".to_owned()
        };
        8
    ];
    World {
        program: Some(folder.join("run_harness")),
        has_6b: true,
        ..world
    }
}

#[test]
fn azure_with_its_gpus() {
    let folder = tempfile::tempdir().unwrap();
    let world = nd_h100_v5(folder.path());
    let text = shown(&world.flags(&[("scheduler", "static")]).unwrap().plans);
    insta::assert_snapshot!(text.replace(&*folder.path().to_string_lossy(), "/program"));
    let inflight = world.plan(&[("scenarios", "server")]);
    assert_eq!(inflight.config.loadgen.server_target_qps, Qps::Auto);
    assert_eq!(inflight.config.engine.max_requests, 192);
}

#[test]
fn azure_without_an_engine_for_its_gpus_runs_on_the_cpu() {
    let folder = tempfile::tempdir().unwrap();
    let world = nd_h100_v5(folder.path());
    std::fs::remove_file(folder.path().join("libgptj_cuda.so")).unwrap();
    let plan = world.plan(&[("scenarios", "offline")]);
    let engine = &plan.config.engine;
    assert_eq!(
        (engine.engine, engine.precision),
        (EngineKind::Cpu, Precision::Bf16)
    );
    assert_eq!(
        (plan.config.run.system_name.as_str(), engine.devices.len()),
        ("ND_H100_v5", 0)
    );
    assert_eq!(engine.max_requests, 8);
}

#[test]
fn a_profile_can_be_named_or_left_out() {
    let world = World::small();
    let named = world.plan(&[("system_profile", "DGX_H100_x8"), ("scenarios", "offline")]);
    assert_eq!(named.config.run.system_name, "DGX-H100_H100-SXM-80GBx8");
    let none = world.plan(&[("system_profile", "none"), ("scenarios", "offline")]);
    assert_eq!(none.config.run.system_profile, "none");
    assert_eq!(none.config.run.system_name, "AMD_EPYC_4c");
    let failure = world
        .flags(&[("system_profile", "dgx_h100_x4")])
        .unwrap_err();
    assert_eq!(failure.message, "there is no system `dgx_h100_x4`");
    assert!(
        failure
            .hint
            .unwrap()
            .starts_with("did you mean `dgx_h100_x")
    );
}

#[test]
fn user_file_environment_and_flags_on_top() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("mine.toml");
    let text = "min_duration = 1000\nmax_duration = 90000\nthreads = 3\nscenarios = [\"Server\"]\n\
                [server]\nserver_target_qps = 2.5\nmin_query_count = 7\n[gptj-mini.cpu]\ngpu_batch_size = 5\n\
                [offline]\nmin_query_count = 8\n";
    std::fs::write(&file, text).unwrap();
    let request = Request {
        files: vec![file.clone()],
        env: vec![
            ("GPTJ_MIN_DURATION".to_owned(), "2000".to_owned()),
            ("GPTJ_THREADS".to_owned(), "2".to_owned()),
        ],
        ..request(&[("threads", "1"), ("beam_length", "Generated")])
    };
    let plans = World::small().resolve(&request).unwrap().plans;
    let text = shown(&plans).replace(&*file.to_string_lossy(), "mine.toml");
    insta::assert_snapshot!(text);
    let config = &plans[0].config;
    assert_eq!(
        (
            config.loadgen.min_duration_ms,
            config.loadgen.max_duration_ms
        ),
        (2000, 90_000)
    );
    assert_eq!((config.engine.threads, config.engine.max_requests), (1, 5));
    assert_eq!(config.loadgen.server_target_qps, Qps::Fixed(2.5));
    assert_eq!(config.loadgen.min_query_count, 7);
}

#[test]
fn several_files_are_read_in_order() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    };
    let files = vec![
        file("a.toml", "threads = 1\nkv_block_size = 8"),
        file("b.toml", "threads = 2"),
    ];
    // With --config, the file of the environment is not read.
    let env = vec![("GPTJ_CONFIG".to_owned(), "/nowhere/user.toml".to_owned())];
    let request = Request {
        files,
        env: env.clone(),
        ..request(&[("scenarios", "offline")])
    };
    let engine = &World::small().resolve(&request).unwrap().plans[0]
        .config
        .engine;
    assert_eq!((engine.threads, engine.kv_block_size), (2, 8));
    let failure = World::small()
        .resolve(&Request {
            env,
            ..Request::default()
        })
        .unwrap_err();
    assert_eq!(
        failure.message,
        "cannot read the configuration file `/nowhere/user.toml`"
    );
}

#[test]
fn fast_shortens_what_nobody_asked_for() {
    let world = World {
        has_6b: true,
        ..World::small()
    };
    let fast = |flags: &[(&str, &str)]| {
        let mut all = vec![("fast", "true"), ("scenarios", "offline")];
        all.extend(flags);
        let loadgen = world.plan(&all).config.loadgen;
        (loadgen.min_duration_ms, loadgen.min_query_count)
    };
    assert_eq!(fast(&[]), (60_000, 1));
    assert_eq!(fast(&[("min_duration", "120000")]), (120_000, 1));
    assert_eq!(fast(&[("min_query_count", "50")]), (60_000, 50));
    let mini = World::small().plan(&[("fast", "true"), ("scenarios", "offline")]);
    assert_eq!(
        mini.config.loadgen.min_duration_ms, 30_000,
        "fast lengthens nothing"
    );
    insta::assert_snapshot!(shown(&[
        world.plan(&[("fast", "true"), ("scenarios", "server")])
    ]));
}

#[test]
fn fp8_takes_the_calibration_that_lies_beside_the_model() {
    let mut world = World::small();
    let scales = |world: &World, flags: &[(&str, &str)]| {
        let mut all = vec![("scenarios", "offline"), ("engine", "cuda")];
        all.extend_from_slice(flags);
        let plan = world.plan(&all);
        let origin = plan.settings.get("fp8_scales").unwrap().origin.to_string();
        let fp8 = plan.config.engine.fp8;
        (fp8.scales, fp8.range, origin)
    };
    let file = |path: &str| Some(PathBuf::from(path));
    let beside = file("gptj-mini/fp8_scales.json");
    let fp8 = ("precision", "fp8");
    assert_eq!(
        scales(&world, &[fp8]),
        (
            beside.clone(),
            Fp8Range::Max,
            "derived: beside the model".to_owned()
        )
    );
    let p99_9 = scales(&world, &[fp8, ("fp8_range", "P99.9")]);
    assert_eq!((p99_9.0, p99_9.1), (beside, Fp8Range::P99_9));
    let own = scales(&world, &[fp8, ("fp8_scales", "default")]);
    assert_eq!((own.0, own.2.as_str()), (None, "--fp8_scales"));
    let other = scales(&world, &[fp8, ("fp8_scales", "other.json")]);
    assert_eq!(other.0, file("other.json"));
    assert_eq!(scales(&world, &[("precision", "fp16")]).2, "default");

    world.has_6b = true;
    let none = scales(&world, &[fp8]);
    assert_eq!(
        (none.0, none.2.as_str()),
        (
            None,
            "derived: there is no fp8_scales.json beside the model"
        )
    );
}

#[test]
fn what_breaks_the_rules_is_not_for_submission() {
    let world = World {
        has_6b: true,
        ..World::small()
    };
    let reasons = |flags: &[(&str, &str)]| {
        let mut all = vec![("scenarios", "offline")];
        all.extend(flags);
        world.plan(&all).config.run.not_for_submission
    };
    assert_eq!(reasons(&[]), Vec::<String>::new());
    assert_eq!(
        reasons(&[("min_duration", "700000"), ("threads", "2")]),
        Vec::<String>::new()
    );
    assert_eq!(
        reasons(&[("beam_width", "2"), ("qsl_rng_seed", "1")]),
        [
            "beam_width = 2 (--beam_width), the rules ask for 4",
            "qsl_rng_seed = 1 (--qsl_rng_seed), the rules ask for 6023615788873153749"
        ]
    );
    assert_eq!(
        reasons(&[("min_duration", "599999")]),
        ["min_duration = 599999 (--min_duration), the rules ask for at least 600000"]
    );
    assert_eq!(
        reasons(&[("server_target_latency_ns", "30000000000")]),
        Vec::<String>::new()
    );
    assert_eq!(reasons(&[("engine", "fake")]), ["the engine is fake"]);
}

#[test]
fn a_setting_of_a_scenario_that_is_not_run_is_mentioned() {
    let flags = [("scenarios", "offline"), ("server_target_qps", "3")];
    let resolution = World::small().flags(&flags).unwrap();
    assert_eq!(
        resolution.notices,
        ["--server_target_qps has no effect: no server test was asked for"]
    );
    let resolution = World::small().flags(&flags[1..]).unwrap();
    assert_eq!(resolution.notices, Vec::<String>::new());
}

#[test]
fn tests_are_every_combination_once() {
    let flags = [
        ("benchmarks", "gpt-j,GPTJ6B"),
        ("scenarios", "SERVER,offline,single_stream,server"),
    ];
    let plans = World::small().flags(&flags).unwrap().plans;
    let scenarios: Vec<_> = plans.iter().map(|plan| plan.config.run.scenario).collect();
    assert_eq!(
        scenarios,
        [Scenario::Server, Scenario::Offline, Scenario::SingleStream]
    );
    let folder = plans[0].config.test_dir();
    assert_eq!(
        folder,
        Path::new("build/logs/now/AMD_EPYC_4c/gptj-99/Server")
    );
}

#[test]
fn the_configuration_survives_the_way_to_the_child() {
    for plan in World::small()
        .flags(&[("config_ver", "all")])
        .unwrap()
        .plans
    {
        let json = serde_json::to_string(&plan.config).unwrap();
        assert_eq!(
            serde_json::from_str::<mlperf_gptj::config::ResolvedConfig>(&json).unwrap(),
            plan.config
        );
    }
}
