//! The program in a folder of its own, and what it leaves behind.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::OnceLock;

use assert_cmd::cargo::cargo_bin;
use serde_json::Value;
use tempfile::TempDir;

/// Where logs go, below the working folder, and the name of the system in results.
pub const LOGS: &str = "logs";

/// A working folder, and the program's command line in it.
pub struct World {
    folder: TempDir,
}

/// What a run said and left.
pub struct Ran {
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

impl World {
    pub fn new() -> Self {
        let world = Self {
            folder: tempfile::tempdir().unwrap(),
        };
        fs::create_dir(world.path("scratch")).unwrap();
        world
    }

    pub fn path(&self, below: &str) -> PathBuf {
        self.folder.path().join(below)
    }

    /// The program with nothing of ours in its environment. Logs go to [`LOGS`], tokenised prompts into this folder.
    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(cargo_bin("run_harness"));
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("GPTJ_") {
                command.env_remove(name);
            }
        }
        command
            .current_dir(self.folder.path())
            .env("MLPERF_SCRATCH_PATH", self.path("scratch"))
            .env("GPTJ_CONFIG_DIR", repository().join("configs"))
            .env("GPTJ_MINI_DIR", repository().join("models/gptj-mini"))
            .args(["--system_name=box", "--log_dir", LOGS])
            .args(args)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    pub fn run(&self, args: &[&str]) -> Ran {
        self.command(args).output().unwrap().into()
    }

    /// The fake engine, a second or so long.
    pub fn run_fake(&self, args: &[&str]) -> Ran {
        self.run(&fake(args))
    }

    /// The folder of a test.
    pub fn test_dir(&self, scenario: &str) -> PathBuf {
        self.path(LOGS).join("box/gptj-99").join(scenario)
    }

    pub fn result(&self, scenario: &str) -> Value {
        let path = self.test_dir(scenario).join("result.json");
        serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap()
    }

    /// Names of the files in the folder of a test.
    pub fn files(&self, scenario: &str) -> Vec<String> {
        let entries = fs::read_dir(self.test_dir(scenario)).unwrap();
        let mut names: Vec<String> = entries
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    /// Nothing in the folder of a test may be taken for a result.
    pub fn assert_no_result(&self, scenario: &str, status: &str) {
        let result = self.result(scenario);
        assert_eq!(result["status"], status);
        for part in ["valid", "performance", "accuracy"] {
            assert_eq!(result[part], Value::Null, "{part}");
        }
        assert!(result["failure"]["message"].is_string());
        let ending = if status == "failed" {
            ".failed"
        } else {
            ".interrupted"
        };
        for name in self.files(scenario) {
            assert!(
                !name.contains("mlperf_log_") || name.ends_with(ending),
                "{name}"
            );
            assert!(name != "metadata.json" && name != "accuracy.txt", "{name}");
        }
    }
}

/// Arguments for a short run on the fake engine; later ones of the same name must not be given.
pub fn fake<'a>(args: &[&'a str]) -> Vec<&'a str> {
    let mut all = vec!["--engine=fake"];
    for (name, value) in [
        ("--min_duration", "--min_duration=1000"),
        ("--min_query_count", "--min_query_count=500"),
        (
            "--sample_concatenate_permutation",
            "--sample_concatenate_permutation=false",
        ),
        ("--offline_expected_qps", "--offline_expected_qps=5000"),
        ("--server_target_qps", "--server_target_qps=600"),
        ("--fake_step_us", "--fake_step_us=200"),
    ] {
        if !args.iter().any(|arg| arg.split('=').next() == Some(name)) {
            all.push(value);
        }
    }
    all.extend(args);
    all
}

impl From<Output> for Ran {
    fn from(output: Output) -> Self {
        Self {
            code: output.status.code(),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }
}

impl Ran {
    /// What a command says that ends badly: one error, and a hint where one is due.
    #[track_caller]
    pub fn assert_error(&self, code: i32, said: &[&str]) {
        assert_eq!(self.code, Some(code), "{}\n{}", self.stderr, self.stdout);
        assert_eq!(self.stderr.matches("error: ").count(), 1, "{}", self.stderr);
        for text in said {
            assert!(
                self.stderr.contains(text),
                "`{text}` is not in:\n{}",
                self.stderr
            );
        }
    }
}

/// Where the tests were compiled; for tests that were taken to another machine, `GPTJ_TEST_REPOSITORY` names a copy.
pub fn repository() -> &'static Path {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    FOLDER.get_or_init(|| match std::env::var_os("GPTJ_TEST_REPOSITORY") {
        Some(folder) => PathBuf::from(folder),
        None => PathBuf::from(env!("CARGO_MANIFEST_DIR")),
    })
}

/// A folder with what gptj-mini is made of, to be changed.
pub fn copy_of_mini(world: &World) -> PathBuf {
    let folder = world.path("model");
    fs::create_dir(&folder).unwrap();
    let mini = repository().join("models/gptj-mini");
    for entry in fs::read_dir(mini).unwrap() {
        let path = entry.unwrap().path();
        if path.is_file() {
            fs::copy(&path, folder.join(path.file_name().unwrap())).unwrap();
        }
    }
    fs::remove_file(folder.join("reference.json")).unwrap();
    folder
}
