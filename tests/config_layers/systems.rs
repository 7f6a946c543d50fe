//! Systems: which profile a machine gets, which devices are used, and what is worked out from them.

use mlperf_gptj::config::{EngineKind, Precision, Qps, Request};

use super::world::{World, gpu, nd_h100_v5, request, shown, split, value, with_gpus};

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
fn a_part_of_a_machine_is_the_system_that_it_makes() {
    let folder = tempfile::tempdir().unwrap();
    let world = nd_h100_v5(folder.path());
    let offline = ("scenarios", "offline");
    let fixed = ("scheduler", "static");
    let plan = world.plan(&[offline, fixed, ("devices", "3")]);
    assert_eq!(plan.config.run.system_name, "DGX-H100_H100-SXM-80GBx1");
    assert_eq!(plan.config.loadgen.offline_expected_qps, Qps::Fixed(13.25));
    assert_eq!(plan.config.engine.devices, [3]);
    assert_eq!(plan.config.engine.cuda_devices, ["GPU-3"]);

    let plan = world.plan(&[offline, fixed, ("devices", "0,1,2,5,7")]);
    assert_eq!(plan.config.run.system_name, "NVIDIA_H100_80GB_HBM3x5");
    assert_eq!(plan.config.engine.devices, [0, 1, 2, 5, 7]);
    assert_eq!(
        value(&plan, "system_profile"),
        "dgx_h100_x8 # derived: nearest: GPU `NVIDIA H100 80GB HBM3` is the same; 5 GPUs"
    );
    assert_eq!(
        value(&plan, "offline_expected_qps"),
        "66.25 # derived: 106 (configs/systems/dgx_h100_x8.toml:22 [cnn_dailymail.gpu.static.offline]) x 5 / 8 GPUs"
    );
}

#[test]
fn a_gpu_near_to_a_known_one_gets_its_values_and_no_rates() {
    let folder = tempfile::tempdir().unwrap();
    let gpus = vec![gpu(0, "NVIDIA H100 PCIe", "9.0", 81_559)];
    let world = with_gpus(folder.path(), gpus);
    let plan = world.plan(&[("scenarios", "server"), ("scheduler", "static")]);
    assert_eq!(plan.config.engine.precision, Precision::Fp8);
    assert_eq!(plan.config.run.system_name, "NVIDIA_H100_PCIex1");
    assert_eq!(plan.config.run.system_profile, "dgx_h100_x1");
    assert_eq!(plan.config.loadgen.server_target_qps, Qps::Auto);
    assert_eq!(
        value(&plan, "server_target_qps"),
        "auto # derived: measured: 10.25 (configs/systems/dgx_h100_x1.toml:25 [cnn_dailymail.gpu.static.server]) \
         is the rate of another GPU"
    );
}

#[test]
fn an_unknown_gpu_gets_values_from_its_memory() {
    let folder = tempfile::tempdir().unwrap();
    let requests = |name: &str, capability: &str, mib: u64| {
        let world = with_gpus(folder.path(), vec![gpu(0, name, capability, mib)]);
        let plan = world.plan(&[("scenarios", "offline")]);
        assert_eq!(plan.config.run.system_profile, "generic_cuda");
        (plan.config.engine.precision, value(&plan, "gpu_batch_size"))
    };
    assert_eq!(
        requests("NVIDIA A100-SXM4-80GB", "8.0", 81_920),
        (
            Precision::Fp16,
            "99 # derived: (80.0 GiB x 0.95 - 11.3 GiB of fp16 weights - 2.5 GiB of workspace) / 0.62 GiB a request"
                .to_owned()
        )
    );
    assert_eq!(
        requests("NVIDIA L4", "8.9", 23_034),
        (
            Precision::Fp8,
            "41 # derived: (22.5 GiB x 0.95 - 6.0 GiB of fp8 weights - 2.5 GiB of workspace) / 0.31 GiB a request"
                .to_owned()
        )
    );
    // Nothing fits; the engine says so better.
    assert!(
        requests("NVIDIA RTX A2000", "8.6", 6_000)
            .1
            .starts_with("1 # ")
    );
    assert_eq!(
        requests("NVIDIA GPU", "", 0),
        (
            Precision::Fp16,
            "64 # derived: the GPU's memory is not known".to_owned()
        )
    );
}

/// The formula for GPUs that nobody described agrees with what was found by trying for those that somebody did.
#[test]
fn the_number_of_requests_is_near_to_that_of_published_configurations() {
    let folder = tempfile::tempdir().unwrap();
    for (mib, published) in [(81_559, 192), (143_771, 396), (46_068, 100)] {
        let gpus = vec![gpu(0, "Some GPU", "12.0", mib)];
        let plan = with_gpus(folder.path(), gpus).plan(&[("scenarios", "offline")]);
        let ratio = f64::from(plan.config.engine.max_requests) / f64::from(published);
        assert!((0.9..1.15).contains(&ratio), "{mib} MiB: {ratio}");
    }
}

#[test]
fn a_mig_instance_is_a_device() {
    let folder = tempfile::tempdir().unwrap();
    let world = split(folder.path());
    let resolution = world.flags(&[("scenarios", "offline")]).unwrap();
    assert_eq!(
        resolution.notices,
        [
            "using the MIG instance 0:0 (NVIDIA H100 80GB HBM3 MIG 3g.40gb): a run can use one; --devices names another"
        ]
    );
    let text = shown(&resolution.plans);
    insta::assert_snapshot!(text.replace(&*folder.path().to_string_lossy(), "/program"));
    for name in ["0:1", "MIG-1"] {
        let plan = world.plan(&[("scenarios", "offline"), ("devices", name)]);
        let engine = &plan.config.engine;
        assert_eq!(engine.cuda_devices, ["MIG-1"]);
        assert_eq!(
            plan.config.run.system_name,
            "NVIDIA_H100_80GB_HBM3_MIG_1g.10gbx1"
        );
    }
    let failure = world.flags(&[("devices", "0")]).unwrap_err();
    assert_eq!(failure.message, "devices is `0`, but there is no `0`");
    assert!(failure.hint.unwrap().contains("0:0  MIG-0  NVIDIA H100"));
}

#[test]
fn cudas_own_variable_restricts_what_is_used() {
    let folder = tempfile::tempdir().unwrap();
    let world = nd_h100_v5(folder.path());
    let with = |visible: &str, flags: &[(&str, &str)]| {
        let env = vec![("CUDA_VISIBLE_DEVICES".to_owned(), visible.to_owned())];
        let request = Request {
            env,
            ..request(flags)
        };
        world.resolve(&request)
    };
    let plans = with("6,2", &[]).unwrap().plans;
    assert_eq!(plans[0].config.engine.cuda_devices, ["GPU-6", "GPU-2"]);
    assert_eq!(
        value(&plans[0], "devices"),
        "6,2 # derived: all GPUs of CUDA_VISIBLE_DEVICES = 6,2"
    );
    let failure = with("6,2", &[("devices", "0")]).unwrap_err();
    assert_eq!(failure.causes, ["CUDA_VISIBLE_DEVICES is `6,2`"]);
    let hidden = with("", &[]).unwrap().plans;
    assert_eq!(
        value(&hidden[0], "engine"),
        "cpu # derived: CUDA_VISIBLE_DEVICES is ``, which hides every GPU"
    );
    let failure = with("", &[("engine", "cuda")]).unwrap_err();
    assert_eq!(
        failure.message,
        "engine = cuda (--engine), but it has no device to run on"
    );
    let odd = with("1,8", &[]).unwrap();
    assert_eq!(odd.notices.len(), 1, "{:?}", odd.notices);
}

#[test]
fn an_engine_that_was_asked_for_needs_no_detected_gpu() {
    let plan = World::small().plan(&[("engine", "cuda"), ("scenarios", "offline")]);
    assert_eq!(
        value(&plan, "devices"),
        "0 # derived: no GPU was detected; CUDA's first one"
    );
    assert_eq!(plan.config.engine.devices, [0]);
    assert!(plan.config.engine.cuda_devices.is_empty());
}

#[test]
fn every_system_that_is_described_is_found() {
    let folder = tempfile::tempdir().unwrap();
    let found = |cpu: &str, name: &str, capability: &str, mib: u64, count: u32| {
        let gpus = (0..count).map(|index| gpu(index, name, capability, mib));
        let mut world = with_gpus(folder.path(), gpus.collect());
        world.machine.cpu.model = cpu.to_owned();
        let plan = world.plan(&[("scenarios", "offline")]);
        let run = plan.config.run;
        (
            run.system_profile,
            run.system_name,
            plan.config.engine.max_requests,
        )
    };
    let expect =
        |profile: &str, name: &str, requests| (profile.to_owned(), name.to_owned(), requests);
    let h100 = "NVIDIA H100 80GB HBM3";
    assert_eq!(
        found("Intel(R) Xeon(R) Platinum 8480C", h100, "9.0", 81_559, 8),
        expect("nd_h100_v5", "ND_H100_v5", 192)
    );
    assert_eq!(
        found("x", h100, "9.0", 81_559, 8),
        expect("dgx_h100_x8", "DGX-H100_H100-SXM-80GBx8", 192)
    );
    assert_eq!(
        found("x", h100, "9.0", 81_559, 1),
        expect("dgx_h100_x1", "DGX-H100_H100-SXM-80GBx1", 192)
    );
    assert_eq!(
        found(
            "AMD EPYC 9V84 96-Core Processor",
            "NVIDIA H100 NVL",
            "9.0",
            95_830,
            2
        ),
        expect("nc_h100_v5", "NC_H100_v5", 256)
    );
    assert_eq!(
        found("x", "NVIDIA H200", "9.0", 143_771, 1),
        expect("h200_x1", "H200-SXM-141GBx1", 396)
    );
    assert_eq!(
        found("x", "NVIDIA H200", "9.0", 143_771, 8),
        expect("h200_x8", "H200-SXM-141GBx8", 396)
    );
    assert_eq!(
        found("x", "NVIDIA L40S", "8.9", 46_068, 3),
        expect("l40s", "NVIDIA_L40Sx3", 100)
    );
    assert_eq!(
        found("x", "NVIDIA H200 NVL", "9.0", 143_771, 4),
        expect("h200_x1", "NVIDIA_H200_NVLx4", 396)
    );
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
