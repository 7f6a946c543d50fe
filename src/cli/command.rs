//! The commands and their options.

use std::path::PathBuf;

use clap::{Parser, Subcommand, ValueEnum, ValueHint};
use clap_complete::Shell;

use super::args::ConfigArgs;
use super::mistakes::{given_twice, means_nothing};
use crate::error::Failure;

const AFTER_HELP: &str = "\
Settings come, lowest first, from the configuration files, from configs/user.toml (or $GPTJ_CONFIG, or --config),
from environment variables (GPTJ_MIN_DURATION for --min_duration) and from flags; names may be written with dashes.
`run_harness show-config --explain` shows every setting and where it came from.

Examples:
  run_harness --benchmarks=gptj --scenarios=offline,server
  run_harness --benchmarks=gptj --scenarios=offline --test_mode=AccuracyOnly
  run_harness --scenarios=server --server_target_qps=29.5 --min_duration=120000
  run_harness --scenarios=offline --fast --config=mine.toml --json

Exit codes: 0 done, 1 your mistake, 2 a failure of the harness, 130 interrupted.";

/// MLPerf Inference GPT-J. Without a command: runs the tests that are asked for.
#[derive(Debug, Parser)]
#[command(name = "run_harness", version, after_help = AFTER_HELP)]
#[command(disable_help_subcommand = true, subcommand_precedence_over_arg = true)]
pub struct Cli {
    /// Configuration given before the command, or without one.
    #[command(flatten)]
    pub config: ConfigArgs,
    /// Print JSON on stdout, for programs
    #[arg(long, global = true, help_heading = "Output")]
    pub json: bool,
    /// The command.
    #[command(subcommand)]
    pub command: Option<Command>,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Show the settings of every test that would run, and where they come from
    #[command(
        alias = "show_config",
        after_help = "\
Examples:
  run_harness show-config --explain --scenarios=server
  run_harness show-config --json"
    )]
    ShowConfig(ShowConfigArgs),
    /// Show what this machine has, what a run would use of it, and what would stop it
    #[command(after_help = "\
Examples:
  run_harness doctor
  run_harness doctor --engine=cuda --json

Exit codes: 0 a run can go, 1 something would stop it.")]
    Doctor(ConfigArgs),
    /// Write one HTML page about a run, or several tests side by side
    #[command(after_help = "\
Examples:
  run_harness report
  run_harness report build/logs/2026.11.25-06.55.32
  run_harness report 2 1 --output=before-and-after.html
  run_harness report Offline Offline-fp16 --in=results/2026-11-25-h100-fp8-fp16")]
    Report(ReportArgs),
    /// List, show or compare the tests of earlier runs
    #[command(after_help = "\
Examples:
  run_harness runs list
  run_harness runs show 1
  run_harness runs diff 2 1
  run_harness runs list --in=results --json")]
    Runs(RunsArgs),
    /// Link data, models and preprocessed data of the scratch space ($MLPERF_SCRATCH_PATH) into build/
    #[command(
        alias = "link_dirs",
        after_help = "\
Examples:
  MLPERF_SCRATCH_PATH=/mnt/scratch run_harness link-dirs"
    )]
    LinkDirs,
    /// Say where model and data sets come from, which are here, and what to run next; downloads nothing
    #[command(
        alias = "download_help",
        after_help = "\
Examples:
  run_harness download-help"
    )]
    DownloadHelp,
    /// Write a downloaded checkpoint (PyTorch .bin or safetensors) as the safetensors that runs read
    #[command(
        alias = "import_model",
        after_help = "\
Examples:
  run_harness import-model --from=/mnt/scratch/models/GPTJ-6B/download
  run_harness import-model --from=my-gptj --to=my-gptj-safetensors --force"
    )]
    ImportModel(ImportModelArgs),
    /// Tokenise the data set and write the npy files
    #[command(
        alias = "preprocess_data",
        after_help = "\
Examples:
  run_harness preprocess-data
  run_harness preprocess-data --force --dataset_path=/data/cnn_eval.json"
    )]
    PreprocessData(PreprocessDataArgs),
    /// Measure the ranges of the model's activations, which fp8 needs, and write them beside the model
    #[command(after_help = "\
Examples:
  run_harness calibrate
  run_harness calibrate --samples=64 --output=/tmp/scales.json --force
  run_harness calibrate --calibration_set=/data/cnn_dailymail_calibration.json")]
    Calibrate(CalibrateArgs),
    /// Build the plans that an engine runs from
    #[command(
        alias = "generate_engines",
        after_help = "\
Examples:
  run_harness generate-engines --engine=tensorrt --scenarios=offline,server
  run_harness generate-engines --engine=tensorrt --force_build_engines"
    )]
    GenerateEngines(ConfigArgs),
    /// Find the highest rate at which a Server test is VALID here, and write it into the user's file
    #[command(
        alias = "tune_server",
        after_help = "\
Short tests find the rate: each is a LoadGen run of its own, and what its queue does is followed to the end of a full test.
A full test confirms it. The rate goes into configs/user.toml (or the file of --config or $GPTJ_CONFIG), in the section of
this workload, engine and scheduler, where the next run finds it. The search begins at server_target_qps, or measures.

Examples:
  run_harness tune-server
  run_harness tune-server --config=mine.toml --engine=cuda --precision=fp8
  run_harness tune-server --tune_precision=0.05 --probe_duration=20000 --dry_run --json
  run_harness tune-server --server_target_qps=29.5"
    )]
    TuneServer(TuneServerArgs),
    /// Print the script that completes this program's options in a shell
    #[command(after_help = "\
Examples:
  run_harness completions bash > ~/.local/share/bash-completion/completions/run_harness
  run_harness completions zsh > ~/.zfunc/_run_harness
  run_harness completions fish > ~/.config/fish/completions/run_harness.fish")]
    Completions(CompletionsArgs),
    /// Print a manual page, in the form that man(1) reads
    #[command(after_help = "\
Examples:
  run_harness man > run_harness.1
  run_harness man show-config > run_harness-show-config.1")]
    Man(ManArgs),
    /// Say whether an engine can run on this machine
    #[command(hide = true)]
    ProbeEngine(ProbeEngineArgs),
    /// Provide one plan in this process, as the parent process asks for it on stdin
    #[command(hide = true)]
    ProvidePlan,
    /// Run one test in this process, as the parent process hands it over on stdin
    #[command(hide = true)]
    RunTest,
}

/// What `show-config` shows.
#[derive(Debug, clap::Args)]
pub struct ShowConfigArgs {
    /// Say where each value came from and what it replaced
    #[arg(long)]
    pub explain: bool,
    /// Configuration.
    #[command(flatten)]
    pub config: ConfigArgs,
}

/// What `import-model` does.
#[derive(Debug, clap::Args)]
pub struct ImportModelArgs {
    /// Folder of the downloaded checkpoint [default: GPT-J 6B's folder in the scratch space]
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub from: Option<PathBuf>,
    /// Folder to write to, which may be the same [default: GPT-J 6B's folder in the scratch space]
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub to: Option<PathBuf>,
    /// Replace weights that are there
    #[arg(long)]
    pub force: bool,
}

/// What `report` reports.
#[derive(Debug, clap::Args)]
pub struct ReportArgs {
    /// Folders of runs or tests, or numbers or ends of folders from `runs list` [default: the newest run]
    #[arg(value_name = "RUN", value_hint = ValueHint::AnyPath)]
    pub runs: Vec<String>,
    /// File to write [default: report.html in the folder of the run; of several, in the working folder]
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub output: Option<PathBuf>,
    /// Folder in which runs are looked for [default: $GPTJ_LOG_DIR, else build/logs]
    #[arg(long = "in", value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub root: Option<PathBuf>,
}

/// What `runs` does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum RunsAction {
    /// One line for each test, newest first.
    List,
    /// The summary of one test again, and its files.
    Show,
    /// Figures of two tests with their ratio, and what was different.
    Diff,
}

/// What `runs` looks at.
#[derive(Debug, clap::Args)]
pub struct RunsArgs {
    /// list: one line for each test; show: one test; diff: two tests
    #[arg(
        value_name = "ACTION",
        value_enum,
        default_value = "list",
        hide_possible_values = true,
        hide_default_value = true
    )]
    pub action: RunsAction,
    /// Tests: numbers from the list, folders, or ends of folders
    #[arg(value_name = "RUN", value_hint = ValueHint::AnyPath)]
    pub runs: Vec<String>,
    /// Folder in which runs are looked for [default: $GPTJ_LOG_DIR, else build/logs]
    #[arg(long = "in", value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub root: Option<PathBuf>,
}

/// What `preprocess-data` does.
#[derive(Debug, clap::Args)]
pub struct PreprocessDataArgs {
    /// Tokenise even if there are files that fit
    #[arg(long)]
    pub force: bool,
    /// Configuration.
    #[command(flatten)]
    pub config: ConfigArgs,
}

/// What `calibrate` does.
#[derive(Debug, clap::Args)]
pub struct CalibrateArgs {
    /// Data to calibrate with, in the form of cnn_eval.json [default: the calibration set that belongs to the model]
    #[arg(long = "calibration_set", value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub calibration_set: Option<PathBuf>,
    /// Only the first samples of it, a number of them [default: all]
    #[arg(long, value_name = "N", value_parser = one_or_more)]
    pub samples: Option<usize>,
    /// File to write [default: fp8_scales.json beside the model]
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub output: Option<PathBuf>,
    /// Replace a file that is there
    #[arg(long)]
    pub force: bool,
    /// Configuration.
    #[command(flatten)]
    pub config: ConfigArgs,
}

/// What `tune-server` does.
#[derive(Debug, clap::Args)]
pub struct TuneServerArgs {
    /// How close to the limit, as a share of the rate, from 0.005 to 0.5 [default: 0.02] [example: --tune_precision=0.05]
    #[arg(
        long = "tune_precision",
        value_name = "SHARE",
        default_value = "0.02",
        hide_default_value = true
    )]
    #[arg(value_parser = tune_precision)]
    pub tune_precision: f64,
    /// How long queries of a short test come, in milliseconds [default: a tenth of min_duration, at least 10000]
    /// [example: --probe_duration=60000]
    #[arg(long = "probe_duration", value_name = "MS", value_parser = milliseconds)]
    pub probe_duration: Option<u64>,
    /// Write nothing: the rate is printed alone
    #[arg(long = "dry_run")]
    pub dry_run: bool,
    /// Configuration.
    #[command(flatten)]
    pub config: ConfigArgs,
}

/// What `completions` prints.
#[derive(Debug, clap::Args)]
pub struct CompletionsArgs {
    /// The shell
    pub shell: Shell,
}

/// What `man` prints.
#[derive(Debug, clap::Args)]
pub struct ManArgs {
    /// The command whose page it is [default: the page of the program]
    #[arg(value_name = "COMMAND")]
    pub page: Option<String>,
}

fn one_or_more(text: &str) -> Result<usize, &'static str> {
    let number = text.parse().ok().filter(|number| *number > 0);
    number.ok_or("expected a whole number of at least 1")
}

fn tune_precision(text: &str) -> Result<f64, &'static str> {
    let share = text
        .parse()
        .ok()
        .filter(|share| (0.005..=0.5).contains(share));
    share.ok_or("expected a number from 0.005 to 0.5")
}

fn milliseconds(text: &str) -> Result<u64, &'static str> {
    let number = text.parse().ok().filter(|number| *number >= 500);
    number.ok_or("expected a whole number of at least 500 (milliseconds)")
}

/// What `probe-engine` looks at.
#[derive(Debug, clap::Args)]
pub struct ProbeEngineArgs {
    /// The engine.
    pub engine: String,
    /// Where its library may be.
    pub folders: Vec<PathBuf>,
}

impl Cli {
    /// The configuration flags of the command line, before and behind the command.
    pub fn config(&self) -> ConfigArgs {
        let mut all = self.config.clone();
        if let Some(behind) = self.behind() {
            all.flags.extend(behind.flags.iter().cloned());
            all.files.extend(behind.files.iter().cloned());
            all.config_dir = all.config_dir.or_else(|| behind.config_dir.clone());
        }
        all
    }

    fn behind(&self) -> Option<&ConfigArgs> {
        match self.command.as_ref()? {
            Command::ShowConfig(args) => Some(&args.config),
            Command::PreprocessData(args) => Some(&args.config),
            Command::Calibrate(args) => Some(&args.config),
            Command::TuneServer(args) => Some(&args.config),
            Command::Doctor(args) | Command::GenerateEngines(args) => Some(args),
            Command::Report(_)
            | Command::Runs(_)
            | Command::LinkDirs
            | Command::DownloadHelp
            | Command::ImportModel(_)
            | Command::Completions(_)
            | Command::Man(_)
            | Command::ProbeEngine(_)
            | Command::ProvidePlan
            | Command::RunTest => None,
        }
    }

    /// Refuses flags that the command would not look at, and flags given on both sides of it.
    pub fn check(&self) -> Result<(), Failure> {
        if self.json
            && matches!(
                self.command,
                Some(Command::Completions(_) | Command::Man(_))
            )
        {
            return Err(means_nothing("json"));
        }
        let Some(behind) = self.behind() else {
            // Without a command, the flags are those of a run.
            return match self.config.any().filter(|_| self.command.is_some()) {
                Some(name) => Err(means_nothing(name)),
                None => Ok(()),
            };
        };
        let before = |name: &str| self.config.flags.iter().any(|(key, _)| key.name == name);
        if let Some((key, _)) = behind.flags.iter().find(|(key, _)| before(key.name)) {
            return Err(given_twice(key.name));
        }
        match (&self.config.config_dir, &behind.config_dir) {
            (Some(_), Some(_)) => Err(given_twice("config_dir")),
            _ => Ok(()),
        }
    }
}
