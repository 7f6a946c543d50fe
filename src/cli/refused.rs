//! Options of the Python front end that this program replaces and that cannot apply here. They are refused with the
//! reason: whoever typed one expects something of it.

use std::ffi::{OsStr, OsString};

use crate::error::Failure;

/// Some options, why they cannot apply, and what to do instead.
struct Refused {
    names: &'static [&'static str],
    /// Values that say what this program does anyway; the option is then left out.
    harmless: &'static [&'static str],
    reason: &'static str,
    instead: &'static str,
}

const NONE: &[&str] = &[];

#[rustfmt::skip]
const REFUSED: &[Refused] = &[
    Refused { names: &["action"], harmless: &["run_harness"],
        reason: "actions are commands here",
        instead: "run `run_harness generate-engines ...`, `run_harness preprocess-data ...`, or no command to run tests" },
    Refused { names: &["harness_type"], harmless: &["auto", "custom"],
        reason: "there is one harness, built into this program",
        instead: "leave it out" },
    Refused { names: &["log_mode"], harmless: &["AsyncPoll"],
        reason: "LoadGen implements no other mode than AsyncPoll",
        instead: "leave it out" },
    Refused { names: &["power_setting"], harmless: &["MaxP"],
        reason: "there are no settings for limited power",
        instead: "leave it out" },
    Refused { names: &["power", "power_limit", "cpu_freq", "soc_gpu_freq", "soc_dla_freq", "soc_cpu_freq", "soc_emc_freq", "orin_num_cores"], harmless: NONE,
        reason: "power is neither measured nor limited",
        instead: "leave it out" },
    Refused { names: &["profile"], harmless: NONE,
        reason: "profilers are started around the program, not by it",
        instead: "run it under the profiler of your choice" },
    Refused { names: &["audit_test", "no_audit_verify", "accuracy_log_rng_seed"], harmless: NONE,
        reason: "compliance tests are not part of this program yet",
        instead: "leave it out" },
    Refused { names: &["gpu_only"], harmless: NONE,
        reason: "the engine is chosen by name",
        instead: "use --engine=cuda or --engine=tensorrt" },
    Refused { names: &["no_gpu"], harmless: NONE,
        reason: "the engine is chosen by name",
        instead: "use --engine=cpu" },
    Refused { names: &["no_child_process"], harmless: NONE,
        reason: "LoadGen keeps state for the life of a process, so each test has its own",
        instead: "leave it out" },
    Refused { names: &["use_fp8"], harmless: &["false"],
        reason: "the precision is chosen by name",
        instead: "use --precision=fp8" },
    Refused { names: &["input_dtype", "input_format", "coalesced_tensor", "tensor_path", "map_path", "data_dir", "preprocessed_data_dir"], harmless: NONE,
        reason: "inputs are the tokens of the data set, in one form",
        instead: "use --dataset_path, or MLPERF_SCRATCH_PATH for the folder that holds data and models" },
    Refused { names: &["mlperf_conf_path"], harmless: NONE,
        reason: "LoadGen reads the mlperf.conf that is built into it and no other",
        instead: "use --round for the rules of a round" },
    Refused { names: &["user_conf_path"], harmless: NONE,
        reason: "user.conf is written from the configuration",
        instead: "set the values with flags or in a file given with --config" },
    Refused { names: &["tensor_parallelism", "numa_config", "active_sms", "workspace_size", "use_graphs", "gpu_copy_streams", "gpu_inference_streams", "run_infer_on_copy_streams", "start_from_device", "use_spin_wait", "use_jemalloc", "verbose_nvtx", "verbose_glog", "warmup_duration", "deque_timeout_usec", "complete_threads", "soft_drop", "graph_specs"], harmless: NONE,
        reason: "the engines here have no such setting",
        instead: "leave it out; `run_harness --help` lists what there is" },
    Refused { names: &["force_calibration", "calib_batch_size", "calib_max_batches", "cache_file", "calib_data_map"], harmless: NONE,
        reason: "calibration is a command of its own",
        instead: "run `run_harness calibrate ...`, with --force to replace what is there" },
    Refused { names: &["use_triton", "preferred_batch_size", "max_queue_delay_usec", "instance_group_count", "request_timeout_usec", "buffer_manager_thread_count", "gather_kernel_buffer_threshold", "batch_triton_requests", "output_pinned_memory", "use_concurrent_harness", "num_concurrent_batchers", "num_concurrent_issuers"], harmless: NONE,
        reason: "the Triton server is not part of this program",
        instead: "leave it out" },
    Refused { names: &["dla_batch_size", "dla_core", "dla_copy_streams", "dla_inference_streams", "max_dlas"], harmless: NONE,
        reason: "GPT-J does not run on a DLA",
        instead: "leave it out" },
    Refused { names: &["inferentia_neuron_core_count", "inferentia_threads_per_core", "inferentia_request_batch_size"], harmless: NONE,
        reason: "there is no engine for Inferentia",
        instead: "leave it out" },
    Refused { names: &["audio_batch_size", "audio_buffer_num_lines", "audio_fp16_input", "dali_batches_issue_ahead", "dali_pipeline_depth", "disable_encoder_plugin", "max_seq_length", "num_warmups", "nopipelined_execution", "nobatch_sorting"], harmless: NONE,
        reason: "it belongs to the RNN-T benchmark",
        instead: "leave it out" },
    Refused { names: &["embedding_weights_on_gpu_part", "sample_partition_path", "num_staging_threads", "num_staging_batches", "max_pairs_per_staging_thread", "gpu_num_bundles", "check_contiguity", "qsl_numa_override", "use_small_tile_gemm_plugin"], harmless: NONE,
        reason: "it belongs to the DLRM or BERT benchmarks",
        instead: "leave it out" },
];

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
    let rest = arg.to_str()?.strip_prefix("--")?;
    let (name, value) = match rest.split_once('=') {
        Some((name, value)) => (name, Some(value.to_owned())),
        None => (rest, None),
    };
    let refused = REFUSED
        .iter()
        .find(|refused| refused.names.contains(&name))?;
    Some((refused, name.to_owned(), value))
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
