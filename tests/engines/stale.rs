//! Plans that do not fit any more: built anew, with the reason.

use std::fs;

use super::rig::{OFFLINE, Rig};
use super::support::copy_of_mini;

/// The plan is not what is needed now: it says why, and the next time there is nothing to say.
#[track_caller]
fn rebuilt(rig: &Rig, args: &[&str], reason: &str) {
    let builds = rig.builds();
    let said = rig.generated(args);
    assert!(
        said.contains(&format!("{OFFLINE}: {reason}; building it\n")),
        "{reason} is not in:\n{said}"
    );
    let said = rig.generated(args);
    assert!(said.contains(&format!("{OFFLINE}: up to date\n")), "{said}");
    assert_eq!(rig.builds(), builds + 1);
}

#[test]
fn another_machine_is_told_by_what_differs() {
    let mut rig = Rig::new();
    rig.generated(&[]);
    rig.set("FAKE_PLANS_GPU", "Another GPU");
    rebuilt(&rig, &[], "gpu was Fake GPU, is Another GPU");
}

#[test]
fn another_version_of_the_builder_is_told() {
    let mut rig = Rig::new();
    rig.set("FAKE_PLANS_VERSION", "1.1.0");
    rig.generated(&[]);
    rig.set("FAKE_PLANS_VERSION", "1.2.3");
    rebuilt(&rig, &[], "builder_version was 1.1.0, is 1.2.3");
}

#[test]
fn another_library_is_told() {
    let rig = Rig::new();
    rig.generated(&[]);
    let library = rig.libraries.join("libgptj_tensorrt.so");
    let mut bytes = fs::read(&library).unwrap();
    bytes.push(0);
    fs::write(&library, bytes).unwrap();
    let said = rig.generated(&[]);
    assert!(
        said.contains(&format!("{OFFLINE}: library was sha256:")),
        "{said}"
    );
}

#[test]
fn another_configuration_is_told() {
    let rig = Rig::new();
    rig.generated(&["--max_tokens_per_step=512"]);
    rebuilt(
        &rig,
        &["--max_tokens_per_step=256", "--max_new_tokens=64"],
        "limits.max_tokens_per_step was 512, is 256; generation.max_new_tokens was 128, is 64",
    );
}

#[test]
fn other_products_are_told_and_keep_timings_of_their_own() {
    let rig = Rig::new();
    rig.generated(&[]);
    rebuilt(
        &rig,
        &["--gemm_plugin=false"],
        "gemm_plugin was true, is false",
    );
    assert_eq!(rig.manifest(OFFLINE)["timing_cache_bytes"], 0);
}

#[test]
fn another_shape_is_told_and_other_weights_are_not() {
    let rig = Rig::new();
    let folder = copy_of_mini(&rig.world);
    let model = format!("--model_path={}", folder.display());
    let generate = || rig.generated(&[&model, "--workload=gptj-mini"]);
    generate();
    fs::write(folder.join("model.safetensors"), "other weights").unwrap();
    assert!(generate().contains(&format!("{OFFLINE}: up to date\n")));

    let config = folder.join("config.json");
    let text = fs::read_to_string(&config).unwrap();
    let fewer = text.replace("\"n_layer\": 4", "\"n_layer\": 3");
    assert_ne!(fewer, text);
    fs::write(&config, fewer).unwrap();
    rebuilt(
        &rig,
        &[&model, "--workload=gptj-mini"],
        "model.n_layer was 4, is 3",
    );
}

#[test]
fn a_damaged_plan_is_told() {
    let rig = Rig::new();
    rig.generated(&[]);
    let whole = rig.text(OFFLINE);

    fs::write(rig.path(OFFLINE), &whole[..100]).unwrap();
    rebuilt(
        &rig,
        &[],
        "the plan was cut off: its length was 155, is 100",
    );
    assert_eq!(rig.text(OFFLINE), whole);

    fs::write(rig.path(OFFLINE), whole.replace("fp16", "fp61")).unwrap();
    let said = rig.generated(&[]);
    assert!(
        said.contains(&format!(
            "{OFFLINE}: the plan was altered: its digest was sha256:"
        )),
        "{said}"
    );
    assert_eq!(rig.text(OFFLINE), whole);

    fs::remove_file(rig.path(OFFLINE)).unwrap();
    rebuilt(&rig, &[], "there is no plan yet");
}

#[test]
fn a_damaged_manifest_is_told() {
    let rig = Rig::new();
    rig.generated(&[]);
    let manifest = rig.path(&format!("{OFFLINE}.json"));
    let text = fs::read_to_string(&manifest).unwrap();

    let newer = text.replace("\"schema_version\": 1", "\"schema_version\": 7");
    fs::write(&manifest, newer).unwrap();
    rebuilt(
        &rig,
        &[],
        "the manifest's schema_version is 7, this program writes 1",
    );

    fs::write(&manifest, &text[..text.len() - 20]).unwrap();
    let said = rig.generated(&[]);
    assert!(
        said.contains(&format!("`{OFFLINE}.json` cannot be understood: ")),
        "{said}"
    );

    fs::remove_file(&manifest).unwrap();
    rebuilt(&rig, &[], "the plan has no manifest");
}
