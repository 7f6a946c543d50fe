//! Options of the Python front end that this program replaces and that cannot apply here. They are refused with the
//! reason: whoever typed one expects something of it.

use std::ffi::{OsStr, OsString};

use super::normalise::option;
use crate::error::Failure;

/// Some options, why they cannot apply, and what to do instead.
pub struct Refused {
    /// Their names.
    pub names: &'static [&'static str],
    /// Values that say what this program does anyway; the option is then left out.
    pub harmless: &'static [&'static str],
    /// Why anything else cannot apply.
    pub reason: &'static str,
    /// What to do about it.
    pub instead: &'static str,
}

const NONE: &[&str] = &[];

/// There is nothing to do in its place.
pub const LEAVE_OUT: &str = "leave it out";

#[rustfmt::skip]
pub const REFUSED: &[Refused] = &[
    Refused { names: &["action"], harmless: &["run_harness"],
        reason: "actions are commands here",
        instead: "run `run_harness generate-engines ...`, `run_harness calibrate ...`, or no command to run tests" },
    Refused { names: &["benchmark", "scenario"], harmless: NONE,
        reason: "the front end set it for itself, for one test after the other",
        instead: "use --benchmarks and --scenarios" },
    Refused { names: &["harness_type"], harmless: &["auto", "custom"],
        reason: "there is one harness, built into this program",
        instead: LEAVE_OUT },
    Refused { names: &["log_mode"], harmless: &["AsyncPoll"],
        reason: "LoadGen implements no other mode than AsyncPoll",
        instead: LEAVE_OUT },
    Refused { names: &["log_mode_async_poll_interval_ms"], harmless: NONE,
        reason: "LoadGen does not read it: its log thread wakes every 10 ms, whatever it is told",
        instead: LEAVE_OUT },
    Refused { names: &["power_setting"], harmless: &["MaxP"],
        reason: "there are no settings for limited power",
        instead: LEAVE_OUT },
    Refused { names: &["power", "power_limit", "cpu_freq"], harmless: NONE,
        reason: "power is neither measured nor limited",
        instead: "leave it out; `nvidia-smi --power-limit` sets a GPU's limit, and `run_harness doctor` shows it" },
    Refused { names: &["soc_gpu_freq", "soc_dla_freq", "soc_cpu_freq", "soc_emc_freq", "soc_pva_freq", "orin_num_cores", "orin_skip_maxq_reset"], harmless: NONE,
        reason: "it sets the clocks of a Jetson, on which this program does not run",
        instead: LEAVE_OUT },
    Refused { names: &["profile"], harmless: NONE,
        reason: "profilers are started around the program, not by it",
        instead: "run it under the profiler of your choice; --profile_steps times the parts of every step" },
    Refused { names: &["audit_test", "no_audit_verify"], harmless: NONE,
        reason: "no compliance test was asked of GPT-J in v3.1 to v5.0",
        instead: LEAVE_OUT },
    Refused { names: &["accuracy_log_rng_seed"], harmless: NONE,
        reason: "LoadGen reads it only where an audit.config asks for answers of a performance run, and no compliance test was asked of GPT-J",
        instead: LEAVE_OUT },
    Refused { names: &["gpu_only", "no_gpu"], harmless: NONE,
        reason: "it chooses between the GPU and the DLAs of a Jetson, on which this program does not run",
        instead: "use --engine=cpu, cuda or tensorrt to choose what computes" },
    Refused { names: &["no_child_process"], harmless: NONE,
        reason: "LoadGen keeps state for the life of a process, so each test has its own",
        instead: LEAVE_OUT },
    Refused { names: &["input_dtype"], harmless: &["int32"],
        reason: "inputs are tokens, which are int32",
        instead: LEAVE_OUT },
    Refused { names: &["input_format"], harmless: &["linear"],
        reason: "inputs are tokens, which have one layout",
        instead: LEAVE_OUT },
    Refused { names: &["coalesced_tensor"], harmless: &["true"],
        reason: "the tokens of all samples are in one file, whatever it is told",
        instead: LEAVE_OUT },
    Refused { names: &["tensor_path"], harmless: NONE,
        reason: "the program finds its own npy files, and makes them anew where they do not fit",
        instead: "use --dataset_path for the data set, --preprocessed_data_dir for the folder of the npy files" },
    Refused { names: &["mlperf_conf_path"], harmless: NONE,
        reason: "LoadGen reads the mlperf.conf that is built into it and no other",
        instead: "use --round for the rules of a round" },
    Refused { names: &["user_conf_path"], harmless: NONE,
        reason: "user.conf is written from the configuration",
        instead: "set the values with flags or in a file given with --config" },
    Refused { names: &["tensor_parallelism"], harmless: &["1"],
        reason: "the model is not split over GPUs: each has all of it",
        instead: "use --devices for the GPUs that take from the one queue" },
    Refused { names: &["numa_config"], harmless: NONE,
        reason: "no thread is bound to processors",
        instead: "leave it out, or start the program under numactl" },
    Refused { names: &["gpu_copy_streams", "gpu_inference_streams"], harmless: &["1"],
        reason: "each GPU has one stream with two steps in flight, so that it does not wait for copies",
        instead: LEAVE_OUT },
    Refused { names: &["run_infer_on_copy_streams"], harmless: &["false"],
        reason: "each GPU has one stream for copies and work alike",
        instead: LEAVE_OUT },
    Refused { names: &["start_from_device"], harmless: &["false"],
        reason: "prompts begin in the host's memory",
        instead: LEAVE_OUT },
    Refused { names: &["use_graphs"], harmless: &["false"],
        reason: "steps differ in their shapes, and none is kept as a CUDA graph",
        instead: LEAVE_OUT },
    Refused { names: &["use_spin_wait"], harmless: &["false"],
        reason: "it belongs to the LWIS harness; how a thread waits for its GPU is CUDA's choice here",
        instead: LEAVE_OUT },
    Refused { names: &["use_jemalloc"], harmless: &["false"],
        reason: "the program does not choose its allocator",
        instead: "leave it out; LD_PRELOAD works as with any program" },
    Refused { names: &["active_sms", "workspace_size"], harmless: NONE,
        reason: "plans are built with the whole GPU and a fixed workspace",
        instead: LEAVE_OUT },
    Refused { names: &["verbose_nvtx"], harmless: &["false"],
        reason: "there are no NVTX ranges",
        instead: "use --profile_steps, which times the parts of every step" },
    Refused { names: &["verbose_glog"], harmless: &["0"],
        reason: "glog is not part of this program",
        instead: "use --verbose" },
    Refused { names: &["force_calibration", "calib_batch_size", "calib_max_batches", "cache_file", "calib_data_map"], harmless: NONE,
        reason: "calibration is a command of its own",
        instead: "run `run_harness calibrate ...`: --force, --samples, --output and --calibration_set are its options" },
    Refused { names: &["use_triton", "preferred_batch_size", "max_queue_delay_usec", "instance_group_count", "request_timeout_usec", "buffer_manager_thread_count", "gather_kernel_buffer_threshold", "batch_triton_requests", "output_pinned_memory", "use_concurrent_harness", "num_concurrent_batchers", "num_concurrent_issuers", "dla_num_batchers", "dla_num_issuers"], harmless: NONE,
        reason: "the Triton server is not part of this program",
        instead: LEAVE_OUT },
    Refused { names: &["batch_size", "model_name", "num_instances"], harmless: NONE,
        reason: "it belongs to OpenVINO, which is not part of this program",
        instead: "use --gpu_batch_size for the requests in flight (on any engine), --model_path for the model" },
    Refused { names: &["multi_stream_expected_latency_ns", "multi_stream_target_latency_percentile", "multi_stream_samples_per_query"], harmless: NONE,
        reason: "GPT-J has no MultiStream scenario in any round",
        instead: LEAVE_OUT },
    Refused { names: &["dla_batch_size", "dla_core", "dla_copy_streams", "dla_inference_streams", "dla_loop_count", "max_dlas", "use_direct_host_access"], harmless: NONE,
        reason: "GPT-J does not run on a DLA",
        instead: LEAVE_OUT },
    Refused { names: &["inferentia_neuron_core_count", "inferentia_threads_per_core", "inferentia_request_batch_size", "inferentia_compiled_model_batch_size", "inferentia_compiled_model_framework"], harmless: NONE,
        reason: "there is no engine for Inferentia",
        instead: LEAVE_OUT },
    Refused { names: &["map_path", "warmup_duration", "complete_threads", "use_deque_limit", "use_batcher_thread_per_device", "use_cuda_thread_per_device", "use_same_context", "assume_contiguous", "end_on_device", "disable_beta1_smallk", "energy_aware_kernels", "gpu_res2res3_loop_count", "nms_type", "unet3d_sw_gaussian_patch_path", "slice_overlap_patch_kernel_cg_impl"], harmless: NONE,
        reason: "it belongs to benchmarks on images",
        instead: LEAVE_OUT },
    Refused { names: &["bert_opt_seqlen", "deque_timeout_usec", "enable_interleaved", "gemm_plugin_fairshare_cache_size", "graph_specs", "graphs_max_seqlen", "soft_drop", "use_small_tile_gemm_plugin"], harmless: NONE,
        reason: "it belongs to the BERT benchmark",
        instead: LEAVE_OUT },
    Refused { names: &["embedding_weights_on_gpu_part", "sample_partition_path", "num_staging_threads", "num_staging_batches", "max_pairs_per_staging_thread", "gpu_num_bundles", "check_contiguity", "qsl_numa_override", "mega_table_npy_file", "reduced_precision_io"], harmless: NONE,
        reason: "it belongs to the DLRM benchmark",
        instead: LEAVE_OUT },
    Refused { names: &["audio_batch_size", "audio_buffer_num_lines", "audio_fp16_input", "dali_batches_issue_ahead", "dali_pipeline_depth", "disable_encoder_plugin", "max_seq_length", "num_warmups", "nopipelined_execution", "nobatch_sorting", "noenable_audio_processing", "nouse_copy_kernel"], harmless: NONE,
        reason: "it belongs to the RNN-T benchmark",
        instead: LEAVE_OUT },
];

/// How an option is refused, if it is.
pub fn refusal(name: &str) -> Option<&'static Refused> {
    REFUSED.iter().find(|refused| refused.names.contains(&name))
}

/// Refuses what cannot apply and leaves out what says nothing new.
pub fn strip(args: Vec<OsString>) -> Result<Vec<OsString>, Failure> {
    let mut kept = Vec::with_capacity(args.len());
    let mut args = args.into_iter().peekable();
    while let Some(arg) = args.next() {
        if arg == "--" {
            kept.push(arg);
            kept.extend(args);
            break;
        }
        let Some((refused, name, value)) = find(&arg) else {
            kept.push(arg);
            continue;
        };
        // An option that is refused whatever its value needs none.
        let separate = value.is_none() && !refused.harmless.is_empty();
        let next = args.next_if(|next| separate && !next.to_string_lossy().starts_with('-'));
        let value = value.or(next.map(|value| value.to_string_lossy().into_owned()));
        let is_harmless = |value: &str| {
            refused
                .harmless
                .iter()
                .any(|harmless| harmless.eq_ignore_ascii_case(value))
        };
        if !value.as_deref().is_some_and(is_harmless) {
            let shown = value.map_or(format!("--{name}"), |value| format!("--{name}={value}"));
            return Err(Failure::user(format!("`{shown}` cannot be used"))
                .because(refused.reason)
                .hint(refused.instead));
        }
    }
    Ok(kept)
}

/// The refused option that an argument is, its name, and the value given with `=`.
fn find(arg: &OsStr) -> Option<(&'static Refused, String, Option<String>)> {
    let (name, value) = option(arg)?;
    Some((refusal(name)?, name.to_owned(), value.map(str::to_owned)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::find_key;

    fn stripped(args: &[&str]) -> Result<Vec<OsString>, Failure> {
        strip(args.iter().map(OsString::from).collect())
    }

    #[test]
    fn no_refused_name_is_a_key() {
        for name in REFUSED.iter().flat_map(|refused| refused.names) {
            assert!(find_key(name).is_none(), "{name}");
        }
    }

    #[test]
    fn what_says_nothing_new_is_left_out() {
        let args = [
            "x",
            "--log_mode=asyncpoll",
            "--harness_type",
            "custom",
            "--fast",
        ];
        assert_eq!(stripped(&args).unwrap(), ["x", "--fast"]);
    }

    #[test]
    fn anything_else_is_refused_with_the_reason() {
        let failure = stripped(&["x", "--harness_type", "triton"]).unwrap_err();
        assert_eq!(failure.message, "`--harness_type=triton` cannot be used");
        assert_eq!(
            failure.causes,
            ["there is one harness, built into this program"]
        );
        assert!(stripped(&["x", "--no_gpu", "show-config"]).is_err());
        assert!(stripped(&["x", "--log_mode"]).is_err());
    }

    #[test]
    fn other_arguments_stay() {
        let args = ["x", "show-config", "--config", "--", "--no_gpu"];
        assert_eq!(stripped(&args).unwrap(), args);
    }
}
