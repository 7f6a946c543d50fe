//! Plans that come into being, and plans that are kept.

use std::fs;

use super::rig::{OFFLINE, Rig, SERVER, wait_for};

#[test]
fn what_is_missing_is_built_and_then_kept() {
    let rig = Rig::new();
    let ran = rig.generate(&[]);
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    assert_eq!(ran.stdout, format!("{OFFLINE}\n"));
    for said in [
        format!("{OFFLINE}: there is no plan yet; building it\n"),
        format!("{OFFLINE}: built in "),
        " s (network 0.2 s, kernels 1.5 s), 155 B, no earlier timings used\n".to_owned(),
        "Time taken to generate engines: ".to_owned(),
    ] {
        assert!(ran.stderr.contains(&said), "{said}: {}", ran.stderr);
    }
    let plan = rig.text(OFFLINE);
    let manifest = rig.manifest(OFFLINE);

    let ran = rig.generate(&[]);
    assert_eq!(ran.stdout, format!("{OFFLINE}\n"));
    assert!(
        ran.stderr.contains(&format!("{OFFLINE}: up to date\n")),
        "{}",
        ran.stderr
    );
    assert!(!ran.stderr.contains("Time taken"), "{}", ran.stderr);
    assert_eq!((rig.text(OFFLINE), rig.manifest(OFFLINE)), (plan, manifest));
    assert_eq!(rig.builds(), 1);
}

#[test]
fn the_library_is_asked_for_what_the_configuration_says() {
    let rig = Rig::new();
    rig.generated(&["--max_tokens_per_step=96", "--max_prompt_tokens=200"]);
    assert_eq!(
        rig.text(OFFLINE),
        "a plan of the fake engine\nprecision fp16\nmax_requests 8\nmax_tokens_per_step 96\n\
         max_prompt_tokens 200\nn_layer 4\nvocab_size 2048\nbeam_width 4\neos_token 0\n"
    );
    let manifest = rig.manifest(OFFLINE);
    assert_eq!(manifest["schema_version"], 1);
    assert_eq!(manifest["needs"]["builder_version"], "1.2.3");
    assert_eq!(manifest["needs"]["limits"]["max_prompt_tokens"], 200);
    assert_eq!(manifest["needs"]["generation"]["max_new_tokens"], 128);
    assert_eq!(manifest["needs"]["model"]["n_embd"], 512);
    assert_eq!(manifest["plan"]["bytes"], rig.text(OFFLINE).len());
    assert_eq!(manifest["seconds"]["kernels"], 1.5);
}

#[test]
fn a_synthetic_run_has_the_plan_of_the_6b_model() {
    let rig = Rig::new();
    rig.generated(&["--synthetic"]);
    let plan = rig.text("engines/box/gptj/Offline/gptj-Offline-gpu-b8-fp16.custom_k_99_MaxP.plan");
    assert!(plan.contains("n_layer 28\nvocab_size 50401\n"), "{plan}");
}

#[test]
fn tests_with_the_same_needs_are_served_by_one_build() {
    let rig = Rig::new();
    let ran = rig.run(&["generate-engines", "--scenarios=offline,server"]);
    assert_eq!(ran.stdout, format!("{OFFLINE}\n{SERVER}\n"));
    assert!(
        ran.stderr.contains(&format!(
            "{SERVER}: there is no plan yet; copying {OFFLINE}, which was built for the same\n"
        )),
        "{}",
        ran.stderr
    );
    assert_eq!(rig.text(OFFLINE), rig.text(SERVER));
    let ran = rig.run(&["generate-engines", "--scenarios=server,offline"]);
    assert_eq!(
        ran.stderr.matches(": up to date").count(),
        2,
        "{}",
        ran.stderr
    );
    assert_eq!(rig.builds(), 1);
}

#[test]
fn a_plan_that_was_altered_is_not_copied() {
    let rig = Rig::new();
    rig.generated(&[]);
    fs::write(rig.path(OFFLINE), "something else").unwrap();
    let ran = rig.run(&["generate-engines", "--scenarios=server"]);
    assert!(
        ran.stderr
            .contains(&format!("{SERVER}: there is no plan yet; building it\n")),
        "{}",
        ran.stderr
    );
    assert_eq!(rig.builds(), 2);
}

#[test]
fn earlier_timings_are_used() {
    let rig = Rig::new();
    rig.generated(&[]);
    let said = rig.generated(&["--force_build_engines"]);
    assert!(
        said.contains(&format!(
            "{OFFLINE}: force_build_engines is set; building it\n"
        )),
        "{said}"
    );
    assert!(
        said.contains("155 B, 9 B of earlier timings used\n"),
        "{said}"
    );
}

#[test]
fn to_build_anew_once_is_enough() {
    let rig = Rig::new();
    let both = [
        "generate-engines",
        "--scenarios=offline,server",
        "--force-build-engines",
    ];
    for builds in [1, 2] {
        assert_eq!(rig.run(&both).code, Some(0));
        assert_eq!(rig.builds(), builds);
    }
}

#[test]
fn a_plan_is_named_after_what_the_engine_computes_in() {
    let mut rig = Rig::new();
    rig.set("FAKE_PLANS_PRECISION", "fp16");
    let ran = rig.generate(&["--precision=fp8"]);
    assert_eq!(ran.stdout, format!("{OFFLINE}\n"));
    assert_eq!(rig.manifest(OFFLINE)["needs"]["precision"], "fp16");
    let said = rig.generated(&["--precision=fp16"]);
    assert!(said.contains(&format!("{OFFLINE}: up to date\n")), "{said}");
}

#[test]
fn two_builds_for_one_system_wait_for_each_other() {
    let mut rig = Rig::new();
    rig.set("FAKE_PLANS_SECONDS", "3");
    let first = rig
        .command(&["generate-engines", "--scenarios=offline"])
        .spawn()
        .unwrap();
    // Made behind the lock.
    wait_for("the first to build", || {
        rig.path("engines/box/gptj").exists()
    });
    let said = rig.generated(&[]);
    assert!(
        said.contains("waiting for another process that builds a plan in engines/box\n"),
        "{said}"
    );
    assert!(said.contains(&format!("{OFFLINE}: up to date\n")), "{said}");
    assert!(first.wait_with_output().unwrap().status.success());
    assert_eq!(rig.builds(), 1);
}

#[test]
fn quiet_is_quiet() {
    let ran = Rig::new().generate(&["--quiet"]);
    assert_eq!(ran.stdout, format!("{OFFLINE}\n"));
    assert_eq!(ran.stderr, "");
}

#[test]
fn an_engine_without_plans_has_nothing_to_generate() {
    let rig = Rig::new();
    let ran = rig
        .world
        .run(&["generate-engines", "--engine=fake", "--engine_dir=engines"]);
    assert_eq!((ran.code, ran.stdout.as_str()), (Some(0), ""));
    assert!(
        ran.stderr.contains("there is nothing to generate\n"),
        "{}",
        ran.stderr
    );
    assert!(!rig.path("engines").exists());
}
