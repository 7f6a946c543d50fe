//! Every combination of layers above base and scenario: which one wins, and what it replaced.

use std::path::Path;

use mlperf_gptj::config::{Plan, Request};

use super::configs::copy_of_configs;
use super::world::{World, changes, nd_h100_v5, request, shown};

/// What each layer above the scenario's sets, lowest first. The round's own value is that of the round.
const LAYERS: [&str; 5] = ["round", "system", "file", "environment", "flag"];
const SCENARIOS: [&str; 3] = ["offline", "server", "single_stream"];

/// The plan with the layers whose bits are set.
fn with_layers(world: &World, folder: &Path, scenario: &str, layers: u32) -> Plan {
    let has = |name: &str| {
        let bit = LAYERS.iter().position(|layer| *layer == name).unwrap();
        layers & (1 << bit) != 0
    };
    let mut flags = vec![("scenarios", scenario), ("scheduler", "static")];
    flags.push(("round", if has("round") { "v3.1" } else { "v5.0" }));
    let system = if has("system") { "nd_h100_v5" } else { "none" };
    flags.push(("system_profile", system));
    if has("flag") {
        flags.extend([("min_query_count", "400"), ("gpu_batch_size", "40")]);
    }
    let mut all = request(&flags);
    if has("file") {
        let file = folder.join("mine.toml");
        std::fs::write(&file, "min_query_count = 200\ngpu_batch_size = 20\n").unwrap();
        all.files.push(file);
    }
    if has("environment") {
        for (name, value) in [
            ("GPTJ_MIN_QUERY_COUNT", "300"),
            ("GPTJ_GPU_BATCH_SIZE", "30"),
        ] {
            all.env.push((name.to_owned(), value.to_owned()));
        }
    }
    let mut plans = world.resolve(&all).unwrap().plans;
    assert_eq!(plans.len(), 1);
    plans.remove(0)
}

fn line<'a>(text: &'a str, key: &str) -> &'a str {
    let start = format!("{key} = ");
    text.lines().find(|line| line.starts_with(&start)).unwrap()
}

/// Two keys: one that scenario, round and the user's layers set, one that base, system and the user's layers set.
#[test]
fn every_combination_of_layers() {
    let folder = tempfile::tempdir().unwrap();
    let world = nd_h100_v5(folder.path());
    let mut table = String::new();
    for scenario in SCENARIOS {
        for layers in 0..1_u32 << LAYERS.len() {
            let plan = with_layers(&world, folder.path(), scenario, layers);
            let names = LAYERS.iter().enumerate();
            let names = names.filter(|(bit, _)| layers & (1 << bit) != 0);
            let names: Vec<&str> = names.map(|(_, name)| *name).collect();
            let names = match names.as_slice() {
                [] => "nothing above".to_owned(),
                names => names.join(", "),
            };
            let text = shown(&[plan]);
            table.push_str(&format!("# {scenario}: {names}\n"));
            for key in ["min_query_count", "gpu_batch_size"] {
                table.push_str(&format!("{}\n", line(&text, key)));
            }
        }
    }
    let folder = folder.path().to_string_lossy();
    insta::assert_snapshot!(table.replace(&*folder, "/home/me"));
}

/// The same without a picture: the highest layer wins, and the others are what it replaced, from the highest down.
#[test]
fn the_highest_layer_wins_and_says_what_it_replaced() {
    let folder = tempfile::tempdir().unwrap();
    let world = nd_h100_v5(folder.path());
    for scenario in SCENARIOS {
        for layers in 0..1_u32 << LAYERS.len() {
            let plan = with_layers(&world, folder.path(), scenario, layers);
            let setting = plan.settings.get("min_query_count").unwrap();
            let typed = [(2, "200"), (3, "300"), (4, "400")];
            let typed = typed.iter().filter(|(bit, _)| layers & (1 << bit) != 0);
            let mut expected: Vec<&str> = typed.map(|(_, value)| *value).collect();
            let of_round = match (scenario, layers & 1) {
                ("offline", 0) => "13368",
                ("offline", _) => "24576",
                _ => "100",
            };
            expected.insert(0, of_round);
            expected.reverse();
            let replaced = setting.replaced.iter().map(|(value, _)| value.to_string());
            let found: Vec<String> = [setting.value.to_string()]
                .into_iter()
                .chain(replaced)
                .collect();
            assert_eq!(
                found[..expected.len()],
                expected,
                "{scenario}, {layers:05b}"
            );
        }
    }
}

/// What differs from one choice of a layer to the next, everything else being the same.
#[test]
fn each_scenario_round_system_and_workload() {
    let folder = tempfile::tempdir().unwrap();
    let world = nd_h100_v5(folder.path());
    let static_ = ("scheduler", "static");
    let first = world.plan(&[static_, ("scenarios", "offline")]);
    let mut text = String::new();
    let mut compare = |heading: &str, flags: &[(&str, &str)]| {
        let mut all = vec![static_];
        if !flags.iter().any(|(name, _)| *name == "scenarios") {
            all.push(("scenarios", "offline"));
        }
        all.extend(flags);
        let differences = changes(&first, &world.plan(&all));
        text.push_str(&format!("# {heading}\n\n{differences}\n"));
    };
    compare("scenario: server", &[("scenarios", "server")]);
    compare("scenario: single_stream", &[("scenarios", "single_stream")]);
    compare("accuracy: 99.9 %", &[("config_ver", "high_accuracy")]);
    for round in ["v3.1", "v4.0", "v4.1"] {
        compare(&format!("round: {round}"), &[("round", round)]);
    }
    for system in [
        "dgx_h100_x1",
        "dgx_h100_x8",
        "h200_x1",
        "h200_x8",
        "l40s",
        "nc_h100_v5",
        "generic_cuda",
        "generic_cpu",
        "none",
    ] {
        compare(&format!("system: {system}"), &[("system_profile", system)]);
    }
    compare("engine: cpu", &[("engine", "cpu")]);
    compare("model: another one", &[("model_path", "/models/other")]);
    let folder = folder.path().to_string_lossy();
    insta::assert_snapshot!(text.replace(&*folder, "/program"));
}

/// A file that is named with `--config_dir` stands where the repository's stand.
#[test]
fn a_folder_of_layers_of_ones_own() {
    let folder = tempfile::tempdir().unwrap();
    let configs = copy_of_configs(folder.path());
    std::fs::write(
        configs.join("systems/mine.toml"),
        "threads = 3\n[about]\nsystem_name = \"Mine\"\n",
    )
    .unwrap();
    std::fs::write(configs.join("user.toml"), "kv_block_size = 64\n").unwrap();
    let all = Request {
        config_dir: Some(configs.clone()),
        ..request(&[("system_profile", "mine"), ("scenarios", "offline")])
    };
    let plan = World::small().resolve(&all).unwrap().plans.remove(0);
    assert_eq!(plan.config.run.system_name, "Mine");
    assert_eq!(
        (plan.config.engine.threads, plan.config.engine.kv_block_size),
        (3, 64)
    );
    let origin = |key: &str| plan.settings.get(key).unwrap().origin.to_string();
    assert!(
        origin("threads").ends_with("systems/mine.toml:1"),
        "{}",
        origin("threads")
    );
    assert!(
        origin("kv_block_size").ends_with("user.toml:1"),
        "{}",
        origin("kv_block_size")
    );
}
