//! What people mistype, as they see it: message on stderr, nothing on stdout, exit code 1.
#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot be set up has failed"
)]

#[path = "support/configs.rs"]
mod configs;

use std::fs;
use std::process::{Command, Stdio};

use assert_cmd::cargo::cargo_bin;

/// The program in an empty folder with nothing of ours in its environment.
fn program(folder: &tempfile::TempDir) -> Command {
    let mut command = Command::new(cargo_bin("run_harness"));
    command.current_dir(folder.path());
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("GPTJ_") {
            command.env_remove(name);
        }
    }
    command.env_remove("MLPERF_SCRATCH_PATH");
    command
}

/// stderr of a command line that must be refused.
fn refused(args: &[&str]) -> String {
    refused_with(args, |_, _| {})
}

fn refused_with(args: &[&str], prepare: impl Fn(&mut Command, &tempfile::TempDir)) -> String {
    let folder = tempfile::tempdir().unwrap();
    let mut command = program(&folder);
    prepare(&mut command, &folder);
    let output = command.args(args).output().unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{stderr}");
    assert!(output.stdout.is_empty(), "stdout is for data");
    stderr
}

#[test]
fn an_unknown_option_names_the_nearest() {
    assert_eq!(
        refused(&["--min_duratoin=5"]),
        "error: unknown option `--min_duratoin`\n\nhint: did you mean `--min_duration`?\n"
    );
    assert_eq!(
        refused(&["show-config", "--senarios", "offline"]),
        "error: unknown option `--senarios`\n\nhint: did you mean `--scenarios`?\n"
    );
    assert!(refused(&["--xyzzy"]).ends_with("hint: `run_harness --help` lists all options\n"));
}

#[test]
fn an_unknown_command_names_the_nearest() {
    assert_eq!(
        refused(&["show-confg"]),
        "error: unknown command `show-confg`\n\nhint: did you mean `show-config`?\n"
    );
}

#[test]
fn a_value_of_the_wrong_type_or_out_of_range_says_what_was_expected() {
    assert_eq!(
        refused(&["--min-duration=soon"]),
        "error: --min_duration is `soon`\n\nhint: expected a whole number of at least 0 (milliseconds)\n"
    );
    assert_eq!(
        refused(&["--server_target_latency_percentile=99"]),
        "error: --server_target_latency_percentile is `99`\n\nhint: expected a number greater than 0 and at most 1\n"
    );
    assert_eq!(
        refused(&["--threads", "-3"]),
        "error: --threads is `-3`\n\nhint: expected a whole number from 1 to 4096 (threads), or auto\n"
    );
    assert_eq!(
        refused(&["--engine=gpu"]),
        "error: --engine is `gpu`\n\nhint: expected one of cpu, cuda, tensorrt, or auto\n"
    );
    assert_eq!(
        refused(&["--system_name=../elsewhere"]),
        "error: --system_name is `../elsewhere`\n\n\
         hint: expected letters, digits, `.`, `_` and `-`, not beginning with `.`, or auto\n"
    );
    assert_eq!(
        refused(&["--fast=maybe"]),
        "error: --fast is `maybe`\n\nhint: expected true or false\n"
    );
}

#[test]
fn a_flag_that_is_given_twice_is_refused() {
    let said = "error: `--threads` is given twice\n\nhint: leave one of them out\n";
    assert_eq!(refused(&["--threads=1", "--threads=2"]), said);
    assert_eq!(
        refused(&["--threads=1", "show-config", "--threads=2"]),
        said
    );
}

#[test]
fn flags_that_a_command_does_not_look_at_are_refused() {
    assert_eq!(
        refused(&["--fast", "link-dirs"]),
        "error: `--fast` means nothing to this command\n\nhint: leave it out\n"
    );
    assert!(refused(&["link-dirs", "--fast"]).starts_with("error: unknown option `--fast`"));
}

#[test]
fn options_of_the_former_front_end_are_refused_with_the_reason() {
    assert_eq!(
        refused(&["--harness-type=triton"]),
        "error: `--harness_type=triton` cannot be used\n  caused by: there is one harness, built into this program\n\n\
         hint: leave it out\n"
    );
    assert!(
        refused(&["--log_mode=Synchronous"])
            .contains("LoadGen implements no other mode than AsyncPoll")
    );
    assert!(refused(&["--dla_batch_size=4"]).contains("GPT-J does not run on a DLA"));
    assert!(refused(&["--audio_fp16_input=true"]).contains("belongs to the RNN-T benchmark"));
}

#[test]
fn a_file_is_refused_with_its_name_and_line() {
    let with = |text: &'static str| {
        refused_with(&["show-config", "--config=my.toml"], move |_, folder| {
            fs::write(folder.path().join("my.toml"), text).unwrap();
        })
    };
    assert_eq!(
        with("\nthreds = 4\n"),
        "error: my.toml:2: unknown key `threds`\n\nhint: did you mean `threads`?\n"
    );
    assert_eq!(
        with("[server]\nserver_target_qps = \"many\"\n"),
        "error: my.toml:2: `server_target_qps` is the text \"many\"\n\n\
         hint: expected a number greater than 0 (queries/s), or auto\n"
    );
    assert!(with("threads = 1\nthreads = 2\n").starts_with("error: my.toml:2: duplicate key"));
    assert!(with("threads 1\n").starts_with("error: my.toml:1: "));
}

#[test]
fn a_round_without_gptj_is_refused_with_the_reason() {
    assert_eq!(
        refused(&["show-config", "--round=v5.1"]),
        "error: there is no round `v5.1`\n  caused by: v5.0 was the last round with GPT-J\n\nhint: did you mean `v5.0`? There are v3.1, v4.0, v4.1, v5.0\n"
    );
    assert!(refused(&["--round=v3.0"]).contains("GPT-J came to MLPerf Inference with v3.1"));
    assert!(refused(&["--round=../v5.0"]).contains("error: --round is `../v5.0`"));
}

/// What LoadGen would refuse, or turn into zero, is told with file and line before it starts.
#[test]
fn a_round_that_loadgen_would_refuse_is_told_with_its_line() {
    let with = |line: &'static str| {
        refused_with(
            &["--round=mine", "--engine=fake"],
            move |command, folder| {
                let configs = configs::copy_of_configs(folder.path());
                let rounds = configs.join("rounds");
                let text = fs::read_to_string(rounds.join("v5.0.toml")).unwrap();
                let name = line.split(' ').next().unwrap();
                let kept = text.lines().filter(|other| !other.starts_with(name));
                let text = kept.fold(format!("{line}\n"), |text, other| text + other + "\n");
                fs::write(rounds.join("mine.toml"), text).unwrap();
                command.env("GPTJ_CONFIG_DIR", configs);
            },
        )
    };
    let text = with("min_query_count = 0");
    assert!(
        text.contains("rounds/mine.toml:1: `min_query_count` is `0`"),
        "{text}"
    );
    assert!(
        text.contains("a whole number of at least 1 (queries)"),
        "{text}"
    );
    let text = with("server_target_latency_ns = 20000000001");
    assert!(
        text.contains("is not a whole number of milliseconds"),
        "{text}"
    );
    let text = with("qsl_rng_seed = -1");
    assert!(
        text.contains("rounds/mine.toml:1: `qsl_rng_seed` is "),
        "{text}"
    );
}

#[test]
fn a_missing_file_is_named() {
    assert_eq!(
        refused(&["show-config", "--config=none.toml"]),
        "error: cannot read the configuration file `none.toml`\n  \
         caused by: No such file or directory (os error 2)\n"
    );
}

#[test]
fn the_environment_is_checked_like_flags() {
    let with = |name: &'static str, value: &'static str| {
        refused_with(&["show-config"], move |command, _| {
            command.env(name, value);
        })
    };
    assert_eq!(
        with("GPTJ_THREADS", "none"),
        "error: the environment variable GPTJ_THREADS is `none`\n\n\
         hint: expected a whole number from 1 to 4096 (threads), or auto\n"
    );
    assert_eq!(
        with("GPTJ_MIN_DURATOIN", "1"),
        "error: unknown environment variable GPTJ_MIN_DURATOIN\n\nhint: did you mean GPTJ_MIN_DURATION?\n"
    );
    assert!(
        with("GPTJ_CONFIG_DIR", "/nowhere")
            .starts_with("error: `/nowhere` is no configuration folder")
    );
}

#[test]
fn dashes_and_underscores_are_the_same_everywhere() {
    let folder = tempfile::tempdir().unwrap();
    let show = |args: &[&str]| {
        let output = program(&folder)
            .args(args)
            .arg("--log_dir=logs")
            .output()
            .unwrap();
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        String::from_utf8(output.stdout).unwrap()
    };
    let dashes = show(&[
        "show-config",
        "--min-duration=7",
        "--scenarios",
        "single-stream",
    ]);
    let underscores = show(&[
        "show_config",
        "--min_duration",
        "7",
        "--scenarios=SingleStream",
    ]);
    assert!(dashes.contains("min_duration = 7\n"), "{dashes}");
    assert_eq!(dashes.replace("single-stream", "SingleStream"), underscores);
    assert_eq!(
        underscores,
        show(&[
            "--min_duration=7",
            "--scenarios=SingleStream",
            "show-config"
        ])
    );
}

#[test]
fn show_config_is_toml_or_json() {
    let folder = tempfile::tempdir().unwrap();
    let show = |args: &[&str]| {
        let output = program(&folder)
            .arg("show-config")
            .args(args)
            .output()
            .unwrap();
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        String::from_utf8(output.stdout).unwrap()
    };
    let text = show(&["--explain", "--scenarios=server", "--threads=2"]);
    let table: toml::Table = text.parse().unwrap();
    assert_eq!(table["threads"], toml::Value::Integer(2));
    assert!(
        text.lines()
            .any(|line| line.starts_with("threads = 2 ") && line.ends_with("# (threads) --threads"))
    );

    let json: serde_json::Value = serde_json::from_str(&show(&["--json", "--threads=2"])).unwrap();
    let tests = json.as_array().unwrap();
    assert_eq!(tests.len(), 2);
    assert_eq!(tests[1]["scenario"], "Server");
    assert_eq!(tests[1]["settings"]["threads"]["origin"], "--threads");
    assert_eq!(tests[1]["settings"]["threads"]["unit"], "threads");
    assert_eq!(tests[1]["config"]["engine"]["threads"], 2);
}

#[test]
fn what_show_config_prints_can_be_given_back() {
    let folder = tempfile::tempdir().unwrap();
    let args = [
        "show-config",
        "--scenarios=server",
        "--log_dir=logs",
        "--engine=fake",
        "--fake_step_us=3",
    ];
    let first = program(&folder).args(args).output().unwrap();
    assert!(
        first.status.success(),
        "{}",
        String::from_utf8_lossy(&first.stderr)
    );
    // `devices` is empty for an engine without GPUs, and a list cannot be.
    let text = String::from_utf8(first.stdout)
        .unwrap()
        .replace("devices = \"\"\n", "");
    fs::write(folder.path().join("again.toml"), &text).unwrap();
    let again = program(&folder)
        .args(["show-config", "--config=again.toml"])
        .output()
        .unwrap();
    assert!(
        again.status.success(),
        "{}",
        String::from_utf8_lossy(&again.stderr)
    );
    assert_eq!(
        String::from_utf8(again.stdout)
            .unwrap()
            .replace("devices = \"\"\n", ""),
        text
    );
}

#[test]
fn help_and_version_are_data() {
    let folder = tempfile::tempdir().unwrap();
    for args in [
        &["--help"][..],
        &["-h"],
        &["show-config", "--help"],
        &["--version"],
    ] {
        let output = program(&folder).args(args).output().unwrap();
        assert!(output.status.success() && output.stderr.is_empty());
        assert!(!output.stdout.is_empty());
    }
    let help = String::from_utf8(program(&folder).arg("-h").output().unwrap().stdout).unwrap();
    // `--fast[=<BOOL>]`, `--threads <N>`
    let options: Vec<&str> = help
        .split_whitespace()
        .map(|word| word.split('[').next().unwrap())
        .collect();
    for key in mlperf_gptj::config::KEYS {
        let option = format!("--{}", key.name);
        assert_eq!(options.contains(&option.as_str()), !key.hidden, "{option}");
    }
}

#[test]
fn nobody_reading_is_no_failure() {
    let folder = tempfile::tempdir().unwrap();
    let mut child = program(&folder)
        .args(["show-config", "--json"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
}

#[test]
fn a_synthetic_run_is_not_mixed_with_what_is_real() {
    for (other, said) in [
        (
            "--model_path=/x",
            "a synthetic run reads neither a model nor a data set",
        ),
        (
            "--workload=gptj-mini",
            "only cnn_dailymail has a table of lengths",
        ),
        (
            "--test_mode=AccuracyOnly",
            "answers of weights that are drawn have no accuracy",
        ),
        (
            "--fp8_scales=x.json",
            "weights that are drawn have no calibration",
        ),
        ("--engine=cpu", "weights are drawn on a GPU"),
    ] {
        let engine = if other == "--engine=cpu" {
            "--quiet"
        } else {
            "--engine=fake"
        };
        let text = refused(&["show-config", "--synthetic", engine, other]);
        assert!(text.contains(said), "{other}: {text}");
    }
    let text = refused(&["show-config", "--synthetic_seed=3"]);
    assert!(text.contains("add --synthetic"), "{text}");
}
