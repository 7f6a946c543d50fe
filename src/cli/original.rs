//! What the Python front end of NVIDIA's v3.1 submission took: its options (RUN_ARGS), Makefile targets and variables.
//!
//! The lists are those of its `fields.py`, `documentation/commands.md` and Makefiles. What became of each option is not
//! said here but found: a key of the same name, another name (`translated`), or a refusal with its reason (`refused`).

/// An option of the original.
pub struct Original {
    /// Its name, without dashes.
    pub name: &'static str,
    /// What it meant.
    pub meaning: &'static str,
    /// What is different here, or empty.
    pub here: &'static str,
}

const fn option(name: &'static str, meaning: &'static str) -> Original {
    Original {
        name,
        meaning,
        here: "",
    }
}

const fn differs(name: &'static str, meaning: &'static str, here: &'static str) -> Original {
    Original {
        name,
        meaning,
        here,
    }
}

/// Options of every action, and the fields that GPT-J had.
#[rustfmt::skip]
pub const OPTIONS: &[Original] = &[
    option("action", "what to do; the Makefile gave it"),
    differs("benchmarks", "benchmarks to run, separated by commas", "GPT-J is the only one"),
    differs("scenarios", "scenarios to run, separated by commas", "without it: offline and server"),
    differs("config_ver", "accuracy target, harness and power setting in one word", "default, high_accuracy and all; what names Triton, OpenVINO, MaxQ or heterogeneous MIG is refused with the reason"),
    differs("accuracy_target", "0.99 or 0.999 of the reference", "contradicting --config_ver is an error; there --config_ver won"),
    option("harness_type", "which harness: auto, lwis, custom, triton, ..."),
    option("power_setting", "MaxP or MaxQ"),
    option("system_name", "name of the system in results"),
    option("gpu_only", "on a Jetson: the GPU and no DLA"),
    option("no_gpu", "on a Jetson: the DLAs and no GPU"),
    option("no_child_process", "build engines in the process of the front end"),
    option("power", "measure power during the run"),
    option("power_limit", "MaxQ: power limit of the GPUs, in watts"),
    option("cpu_freq", "MaxQ: clock of the CPU"),
    option("soc_gpu_freq", "MaxQ on a Jetson: clock of the GPU"),
    option("soc_dla_freq", "MaxQ on a Jetson: clock of the DLAs"),
    option("soc_cpu_freq", "MaxQ on a Jetson: clock of the CPU"),
    option("soc_emc_freq", "MaxQ on a Jetson: clock of the memory"),
    option("soc_pva_freq", "MaxQ on a Jetson: clock of the vision accelerator"),
    option("orin_num_cores", "MaxQ on an Orin: CPU cores that stay on"),
    option("orin_skip_maxq_reset", "MaxQ on an Orin: leave the board as it is afterwards"),
    option("profile", "profiler to start"),
    option("audit_test", "compliance test to run"),
    option("no_audit_verify", "compliance tests: run without verifying"),

    differs("test_mode", "what LoadGen does: performance, accuracy, both, or a search for the peak", "PerformanceOnly, AccuracyOnly or SubmissionRun; FindPeakPerformance, the search, is refused: `run_harness tune-server` searches"),
    differs("fast", "a run of one minute, min_query_count 1", "lengthens nothing that is shorter already"),
    option("min_duration", "shortest run, in milliseconds"),
    option("max_duration", "longest run, in milliseconds"),
    option("min_query_count", "fewest queries"),
    option("max_query_count", "most queries"),
    option("performance_sample_count", "samples that are loaded; 0: LoadGen's number"),
    option("performance_sample_count_override", "samples that LoadGen draws from; 0: those that are loaded"),
    option("qsl_rng_seed", "seed for the loaded samples"),
    option("sample_index_rng_seed", "seed for the order of samples"),
    option("schedule_rng_seed", "Server: seed for the times of arrival"),
    option("accuracy_log_rng_seed", "seed for the answers that a performance run logs"),
    differs("server_target_qps", "Server: queries per second, whole ones on the command line", "any number, or auto: measured before the test"),
    option("server_target_qps_adj_factor", "Server: what server_target_qps is multiplied with"),
    option("server_target_latency_ns", "Server: latency bound, in nanoseconds"),
    option("server_target_latency_percentile", "Server: share of queries within the bound"),
    option("server_num_issue_query_threads", "Server: threads that issue queries"),
    differs("offline_expected_qps", "Offline: samples per second expected", "or auto: measured before the test"),
    differs("single_stream_expected_latency_ns", "SingleStream: latency expected, in nanoseconds", "or auto: measured before the test"),
    option("single_stream_target_latency_percentile", "SingleStream: percentile that is reported"),
    option("mlperf_conf_path", "mlperf.conf for LoadGen"),
    option("user_conf_path", "user.conf for LoadGen"),

    option("log_dir", "folder for logs"),
    option("logfile_suffix", "put behind the names of LoadGen's logs"),
    option("logfile_prefix_with_datetime", "put the date before the names of LoadGen's logs"),
    option("log_copy_detail_to_stdout", "LoadGen's detail log on stdout too"),
    differs("disable_log_copy_summary_to_stdout", "LoadGen's summary not on stdout", "true unless set to false: the summary of all tests is printed at the end"),
    option("log_mode", "AsyncPoll, EndOfTestOnly or Synchronous"),
    option("log_mode_async_poll_interval_ms", "how often LoadGen's log thread wakes"),
    option("log_enable_trace", "write LoadGen's trace"),
    option("verbose", "say more"),
    option("verbose_nvtx", "name TensorRT's layers in profiles"),
    option("verbose_glog", "glog's level"),

    differs("gpu_batch_size", "requests in one batch on a GPU", "requests in flight in one engine, on any engine"),
    differs("precision", "int8, fp16 or fp32", "f32 (fp32 is understood), bf16, fp16 or fp8; no engine computes in int8"),
    option("use_fp8", "FP8 where the network has it"),
    option("enable_sort", "sort the samples of a query by length"),
    option("num_sort_segments", "segments of a query that are sorted, each by itself"),
    option("tensor_parallelism", "GPUs that share one model"),
    option("numa_config", "GPUs and processors of each NUMA node"),
    differs("devices", "GPUs to use; GPT-J's front end dropped it", "numbers, UUIDs, MIG instances; without it all GPUs"),
    option("gpu_copy_streams", "streams for copies on each GPU"),
    option("gpu_inference_streams", "streams for work on each GPU"),
    option("run_infer_on_copy_streams", "work on the streams for copies"),
    option("start_from_device", "inputs begin in the GPU's memory"),
    option("use_graphs", "CUDA graphs"),
    option("use_spin_wait", "LWIS: spin while waiting for a GPU"),
    option("use_jemalloc", "allocate with jemalloc"),
    option("active_sms", "share of the SMs that engines are built with"),
    option("workspace_size", "TensorRT's workspace, in bytes"),
    option("force_calibration", "calibrate even where there is a calibration"),
    option("calib_batch_size", "samples in one batch of the calibration"),
    option("calib_max_batches", "batches of the calibration"),
    option("cache_file", "file of the calibration"),
    option("calib_data_map", "list of the calibration's samples"),

    differs("model_path", "the model's weights", "a Hugging Face folder"),
    option("data_dir", "folder of data sets"),
    option("preprocessed_data_dir", "folder of npy files"),
    option("tensor_path", "npy files of the samples"),
    option("coalesced_tensor", "all samples are in one npy file"),
    option("input_dtype", "element type of the inputs"),
    option("input_format", "layout of the inputs"),
    option("benchmark", "the benchmark of one test"),
    option("scenario", "the scenario of one test"),
];

/// Options that GPT-J did not have, by what they belong to.
#[rustfmt::skip]
pub const OTHERS: &[(&str, &[&str])] = &[
    ("Triton", &[
        "batch_triton_requests",
        "buffer_manager_thread_count",
        "dla_num_batchers",
        "dla_num_issuers",
        "gather_kernel_buffer_threshold",
        "instance_group_count",
        "max_queue_delay_usec",
        "num_concurrent_batchers",
        "num_concurrent_issuers",
        "output_pinned_memory",
        "preferred_batch_size",
        "request_timeout_usec",
        "use_concurrent_harness",
        "use_triton",
    ]),
    ("OpenVINO", &["batch_size", "model_name", "num_instances"]),
    ("MultiStream", &[
        "multi_stream_expected_latency_ns",
        "multi_stream_samples_per_query",
        "multi_stream_target_latency_percentile",
    ]),
    ("DLA", &[
        "dla_batch_size",
        "dla_copy_streams",
        "dla_core",
        "dla_inference_streams",
        "dla_loop_count",
        "max_dlas",
        "use_direct_host_access",
    ]),
    ("Inferentia", &[
        "inferentia_compiled_model_batch_size",
        "inferentia_compiled_model_framework",
        "inferentia_neuron_core_count",
        "inferentia_request_batch_size",
        "inferentia_threads_per_core",
    ]),
    ("ResNet50, RetinaNet, 3D-UNet", &[
        "assume_contiguous",
        "complete_threads",
        "disable_beta1_smallk",
        "end_on_device",
        "energy_aware_kernels",
        "gpu_res2res3_loop_count",
        "map_path",
        "nms_type",
        "slice_overlap_patch_kernel_cg_impl",
        "unet3d_sw_gaussian_patch_path",
        "use_batcher_thread_per_device",
        "use_cuda_thread_per_device",
        "use_deque_limit",
        "use_same_context",
        "warmup_duration",
    ]),
    ("BERT", &[
        "bert_opt_seqlen",
        "deque_timeout_usec",
        "enable_interleaved",
        "gemm_plugin_fairshare_cache_size",
        "graph_specs",
        "graphs_max_seqlen",
        "soft_drop",
        "use_small_tile_gemm_plugin",
    ]),
    ("DLRM", &[
        "check_contiguity",
        "embedding_weights_on_gpu_part",
        "gpu_num_bundles",
        "max_pairs_per_staging_thread",
        "mega_table_npy_file",
        "num_staging_batches",
        "num_staging_threads",
        "qsl_numa_override",
        "reduced_precision_io",
        "sample_partition_path",
    ]),
    ("RNN-T", &[
        "audio_batch_size",
        "audio_buffer_num_lines",
        "audio_fp16_input",
        "dali_batches_issue_ahead",
        "dali_pipeline_depth",
        "disable_encoder_plugin",
        "max_seq_length",
        "nobatch_sorting",
        "noenable_audio_processing",
        "nopipelined_execution",
        "nouse_copy_kernel",
        "num_warmups",
    ]),
];

/// Targets of the original's Makefiles, and what does their work here.
#[rustfmt::skip]
pub const TARGETS: &[(&[&str], &str)] = &[
    (&["run", "run_harness", "generate_engines", "calibrate"], "the same: `make run`, `make run_harness`, `make generate_engines`, `make calibrate`"),
    (&["build", "clone_loadgen", "build_plugins", "build_loadgen", "build_harness", "clone_trt_llm", "build_trt_llm", "build_faster_transformer", "build_triton"], "`make build`: one program, nothing to clone"),
    (&["prebuild", "build_docker", "docker_add_user", "attach_docker", "launch_docker"], "`make prebuild`; never needed"),
    (&["link_dirs", "preprocess_data"], "the same: `make link_dirs`, `make preprocess_data`"),
    (&["download_data", "download_dataset", "download_model"], "`make download_help` says what to type; nothing is downloaded by itself"),
    (&["clean", "clean_shallow", "clean_triton"], "`make clean`: what was built; data, models and logs stay"),
    (&["info"], "`make doctor`"),
    (&["shell", "copy_profiles", "set_virtual_memory_overcommit", "run_harness_correlation"], "nothing needs them"),
    (&["autotune"], "`make tune_server` finds the highest rate of Server; without it rates that are `auto`, the default, are measured before the test; docs/performance_tuning_guide.md has the rest"),
    (&["run_harness_power"], "none: power is not measured"),
    (&["run_audit_harness", "run_audit_test01", "run_audit_test04", "run_audit_test05", "stage_compliance"], "none: no compliance test was asked of GPT-J in v3.1 to v5.0"),
    (&["generate_conf_files"], "every run writes the user.conf that LoadGen read beside its logs"),
    (&["update_results", "stage_results", "truncate_results", "check_submission", "check_submission_fast", "check_submission_staging", "copy_results_artifacts", "export_submission", "pack_submission", "push_*"], "by hand: docs/submission_guide.md"),
];

/// Variables of the original's Makefiles.
#[rustfmt::skip]
pub const VARIABLES: &[(&[&str], &str)] = &[
    (&["RUN_ARGS"], "the same"),
    (&["MLPERF_SCRATCH_PATH"], "the same; without it build/scratch, never a folder in /home"),
    (&["LOG_DIR", "DATA_DIR", "PREPROCESSED_DATA_DIR"], "the same: `make` passes them on as `--log_dir`, `--data_dir` and `--preprocessed_data_dir`, for every command that takes settings"),
    (&["BENCHMARKS"], "the same: `make` passes it on as `--benchmarks`"),
    (&["MODEL_DIR"], "refused: `--model_path` names a model's folder, `MLPERF_SCRATCH_PATH` the folder of all"),
    (&["SUBMITTER"], "of no account until there is a command that writes a submission; docs/submission_guide.md"),
    (&["SYSTEM_NAME"], "`--system_name`"),
    (&["BASE_IMAGE", "DOCKER_ARGS", "DOCKER_COMMAND", "DOCKER_NAME", "DOCKER_TAG", "NO_DOCKER_PULL", "NVIDIA_VISIBLE_DEVICES"], "the same, for `make prebuild`"),
    (&["DOCKER_DETACH"], "the same, for `make prebuild`: 1 builds the image and starts nothing"),
    (&["HOST_VOL", "CONTAINER_VOL"], "none: the repository has the same path in the container as outside"),
    (&["MIG_CONF"], "none: `NVIDIA_VISIBLE_DEVICES` takes the UUIDs of MIG instances"),
    (&["CUDA_VISIBLE_DEVICES"], "obeyed; `--devices` chooses within it"),
    (&["CUDA_DEVICE_MAX_CONNECTIONS", "USE_CPU", "USE_INFERENTIA", "SKIP_DRIVER_CHECK", "POWER_LOGS_DIR"], "nothing here depends on them"),
];

/// The names of all options of the original front end.
pub fn names() -> Vec<&'static str> {
    let others = OTHERS.iter().flat_map(|(_, names)| names.iter().copied());
    OPTIONS
        .iter()
        .map(|option| option.name)
        .chain(others)
        .collect()
}
