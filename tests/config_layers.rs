//! Seam 1, command line to configuration: snapshots of `show-config --explain`, one for each combination of layers, on
//! machines made up here, so that they are the same everywhere.
#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot be set up has failed"
)]

#[path = "config_layers/combinations.rs"]
mod combinations;
#[path = "support/configs.rs"]
mod configs;
#[path = "config_layers/rounds.rs"]
mod rounds;
#[path = "config_layers/systems.rs"]
mod systems;
#[path = "config_layers/world.rs"]
mod world;

use std::path::{Path, PathBuf};

use mlperf_gptj::config::{EngineKind, Fp8Range, Precision, Qps, Request, Scenario};

use world::{World, changes, nd_h100_v5, request, shown};

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

#[test]
fn auto_is_the_first_engine_that_can_run_here() {
    let folder = tempfile::tempdir().unwrap();
    let mut world = nd_h100_v5(folder.path());
    let chosen = |world: &World| {
        let resolution = world.flags(&[("scenarios", "offline")]).unwrap();
        let plan = &resolution.plans[0];
        let origin = plan.settings.get("engine").unwrap().origin.to_string();
        (plan.config.engine.engine, origin, resolution.notices)
    };
    let here = folder.path().display();
    let (engine, origin, notices) = chosen(&world);
    assert_eq!(engine, EngineKind::Cuda);
    assert!(
        origin.contains(&format!("libgptj_cuda.so in {here}")),
        "{origin}"
    );
    assert_eq!(notices, Vec::<String>::new());

    std::fs::write(folder.path().join("libgptj_tensorrt.so"), "").unwrap();
    let (engine, origin, _) = chosen(&world);
    assert_eq!(engine, EngineKind::Tensorrt);
    assert!(origin.contains("libgptj_tensorrt.so"), "{origin}");

    let cannot =
        |name: &str| format!("the {name} engine cannot run here: libnvinfer.so.8 is not here");
    world.broken = &["tensorrt"];
    let (engine, _, notices) = chosen(&world);
    assert_eq!(engine, EngineKind::Cuda);
    assert_eq!(notices, [cannot("tensorrt")]);

    world.broken = &["tensorrt", "cuda"];
    let (engine, origin, notices) = chosen(&world);
    assert_eq!(engine, EngineKind::Cpu);
    assert!(origin.contains("no engine for it that can run"), "{origin}");
    assert_eq!(notices, [cannot("tensorrt"), cannot("cuda")]);

    world.broken = &[];
    world.machine.gpus.clear();
    assert_eq!(chosen(&world).0, EngineKind::Cpu);
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

/// Layer upon layer, lowest first: what each one changes.
#[test]
fn each_layer_changes_what_it_says() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("mine.toml");
    std::fs::write(
        &file,
        "kv_block_size = 32\n[server]\nserver_target_qps = 30.5\n",
    )
    .unwrap();
    let world = nd_h100_v5(folder.path());
    let plan = |request: &Request| world.resolve(request).unwrap().plans.remove(0);
    let mut flags = vec![("system_profile", "none"), ("scenarios", "offline")];
    let base = plan(&request(&flags));
    let mut text = format!(
        "# base and scenario\n\n{}",
        shown(std::slice::from_ref(&base))
    );
    let mut last = base;
    let mut add = |heading: &str, request: &Request| {
        let next = plan(request);
        text.push_str(&format!("\n# {heading}\n\n{}", changes(&last, &next)));
        last = next;
    };
    flags[1].1 = "server";
    add("scenario: server", &request(&flags));
    flags[0].1 = "nd_h100_v5";
    add("system: nd_h100_v5", &request(&flags));
    flags.push(("round", "v3.1"));
    add("round: v3.1", &request(&flags));
    let with_file = |flags: &[(&str, &str)], env| Request {
        files: vec![file.clone()],
        env,
        ..request(flags)
    };
    add("user file", &with_file(&flags, Vec::new()));
    let env = vec![("GPTJ_KV_BLOCK_SIZE".to_owned(), "64".to_owned())];
    add("environment", &with_file(&flags, env.clone()));
    flags.push(("kv_block_size", "128"));
    add("flag", &with_file(&flags, env));
    let folder = folder.path().to_string_lossy();
    insta::assert_snapshot!(text.replace(&*folder, "/program"));
}

#[test]
fn explain_has_units_and_what_auto_stands_for() {
    let text = shown(
        &World::small()
            .flags(&[("scenarios", "server")])
            .unwrap()
            .plans,
    );
    let line = |key: &str| {
        let start = format!("{key} = ");
        let line = text.lines().find(|line| line.starts_with(&start)).unwrap();
        line.split_once("  # ").unwrap().1.to_owned()
    };
    assert_eq!(
        line("min_duration"),
        "(milliseconds) configs/workloads/gptj-mini.toml:6"
    );
    assert_eq!(
        line("server_target_qps"),
        "(queries/s) configs/gptj/server.toml:3; auto: measured, and a rate taken that holds"
    );
    assert_eq!(line("scheduler"), "configs/gptj/base.toml:13");
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
            Fp8Range::P99_99,
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
