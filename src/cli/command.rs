//! The commands, and what clap's errors mean to people.

use std::path::PathBuf;

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Parser, Subcommand};

use super::args::ConfigArgs;
use crate::config::{nearest, suggest};
use crate::error::Failure;

const AFTER_HELP: &str = "\
Settings come, lowest first, from the configuration files, from configs/user.toml (or $GPTJ_CONFIG, or --config),
from environment variables (GPTJ_MIN_DURATION for --min_duration) and from flags; names may be written with dashes.
`run_harness show-config --explain` shows every setting and where it came from.
Exit codes: 0 done, 1 your mistake, 2 a failure of the harness, 130 interrupted.";

/// MLPerf Inference GPT-J. Without a command: runs the tests that are asked for.
#[derive(Debug, Parser)]
#[command(name = "run_harness", version, after_help = AFTER_HELP)]
#[command(disable_help_subcommand = true, subcommand_precedence_over_arg = true)]
pub struct Cli {
    /// Configuration given before the command, or without one.
    #[command(flatten)]
    pub config: ConfigArgs,
    /// The command.
    #[command(subcommand)]
    pub command: Option<Command>,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Show the settings of every test that would run, and where they come from
    #[command(alias = "show_config")]
    ShowConfig(ShowConfigArgs),
    /// Show what this machine has, what a run would use of it, and what would stop it
    #[command(after_help = "Exit codes: 0 a run can go, 1 something would stop it.")]
    Doctor(DoctorArgs),
    /// Link data, models and preprocessed data of the scratch space ($MLPERF_SCRATCH_PATH) into build/
    #[command(alias = "link_dirs")]
    LinkDirs,
    /// Say where model and data sets come from, which are here, and what to run next; downloads nothing
    #[command(alias = "download_help")]
    DownloadHelp,
    /// Write a downloaded checkpoint (PyTorch .bin or safetensors) as the safetensors that runs read
    #[command(alias = "import_model")]
    ImportModel(ImportModelArgs),
    /// Tokenise the data set and write the npy files
    #[command(alias = "preprocess_data")]
    PreprocessData(PreprocessDataArgs),
    /// Measure the ranges of the model's activations, which fp8 needs, and write them beside the model
    Calibrate(CalibrateArgs),
    /// Build the plans that an engine runs from
    #[command(alias = "generate_engines")]
    GenerateEngines(ConfigArgs),
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
    /// Print JSON, always with origins
    #[arg(long)]
    pub json: bool,
    /// Configuration.
    #[command(flatten)]
    pub config: ConfigArgs,
}

/// What `doctor` shows.
#[derive(Debug, clap::Args)]
pub struct DoctorArgs {
    /// Print JSON
    #[arg(long)]
    pub json: bool,
    /// Configuration.
    #[command(flatten)]
    pub config: ConfigArgs,
}

/// What `import-model` does.
#[derive(Debug, clap::Args)]
pub struct ImportModelArgs {
    /// Folder of the downloaded checkpoint [default: GPT-J 6B's folder in the scratch space]
    #[arg(long, value_name = "DIR")]
    pub from: Option<PathBuf>,
    /// Folder to write to, which may be the same [default: GPT-J 6B's folder in the scratch space]
    #[arg(long, value_name = "DIR")]
    pub to: Option<PathBuf>,
    /// Replace weights that are there
    #[arg(long)]
    pub force: bool,
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
    /// Data to calibrate with, in the form of cnn_eval.json [the calibration set that belongs to the model]
    #[arg(long = "calibration_set", value_name = "FILE")]
    pub calibration_set: Option<PathBuf>,
    /// Only the first samples of it [all]
    #[arg(long, value_name = "N", value_parser = one_or_more)]
    pub samples: Option<usize>,
    /// File to write [fp8_scales.json beside the model]
    #[arg(long, value_name = "FILE")]
    pub output: Option<PathBuf>,
    /// Replace a file that is there
    #[arg(long)]
    pub force: bool,
    /// Configuration.
    #[command(flatten)]
    pub config: ConfigArgs,
}

fn one_or_more(text: &str) -> Result<usize, &'static str> {
    let number = text.parse().ok().filter(|number| *number > 0);
    number.ok_or("expected a whole number of at least 1")
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
            Command::Doctor(args) => Some(&args.config),
            Command::PreprocessData(args) => Some(&args.config),
            Command::Calibrate(args) => Some(&args.config),
            Command::GenerateEngines(args) => Some(args),
            Command::LinkDirs
            | Command::DownloadHelp
            | Command::ImportModel(_)
            | Command::ProbeEngine(_)
            | Command::ProvidePlan
            | Command::RunTest => None,
        }
    }

    /// Refuses flags that the command would not look at, and flags given on both sides of it.
    pub fn check(&self) -> Result<(), Failure> {
        let Some(behind) = self.behind() else {
            // Without a command, the flags are those of a run.
            return match self.config.any().filter(|_| self.command.is_some()) {
                Some(name) => Err(Failure::user(format!(
                    "`--{name}` means nothing to this command"
                ))
                .hint("leave it out")),
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

fn given_twice(name: &str) -> Failure {
    Failure::user(format!("`--{name}` is given twice")).hint("leave one of them out")
}

/// A clap error in our words.
pub fn explain(error: &clap::Error) -> Failure {
    let context = |kind| match error.get(kind) {
        Some(ContextValue::String(text)) => text.clone(),
        _ => String::new(),
    };
    let argument = context(ContextKind::InvalidArg);
    let name = argument
        .trim_start_matches('-')
        .split(['=', ' ', '['])
        .next()
        .unwrap_or_default();
    match error.kind() {
        ErrorKind::UnknownArgument if argument.starts_with("--") => unknown_option(name),
        ErrorKind::UnknownArgument => Failure::user(format!("unknown argument `{argument}`"))
            .hint("`run_harness --help` lists all commands and options"),
        ErrorKind::InvalidSubcommand => unknown_command(&context(ContextKind::InvalidSubcommand)),
        ErrorKind::ArgumentConflict => given_twice(name),
        _ => {
            let text = error.to_string();
            let first = text.lines().next().unwrap_or_default();
            Failure::user(first.trim_start_matches("error: "))
                .hint("`run_harness --help` lists all commands and options")
        }
    }
}

fn unknown_option(name: &str) -> Failure {
    let others = [
        "config",
        "config_dir",
        "explain",
        "json",
        "force",
        "calibration_set",
        "samples",
        "output",
        "from",
        "to",
        "help",
        "version",
    ];
    let failure = Failure::user(format!("unknown option `--{name}`"));
    match suggest(name).or_else(|| nearest(others, name)) {
        Some(near) => failure.hint(format!("did you mean `--{near}`?")),
        None => failure.hint("`run_harness --help` lists all options"),
    }
}

fn unknown_command(typed: &str) -> Failure {
    let commands = [
        "show_config",
        "doctor",
        "link_dirs",
        "download_help",
        "import_model",
        "preprocess_data",
        "generate_engines",
        "calibrate",
    ];
    let failure = Failure::user(format!("unknown command `{typed}`"));
    match nearest(commands, typed) {
        Some(near) => failure.hint(format!("did you mean `{}`?", near.replace('_', "-"))),
        None => failure.hint("`run_harness --help` lists all commands; without one, tests are run"),
    }
}
