//! A folder with an engine library in it, and the program's command lines there.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::sync::LazyLock;
use std::time::{Duration, Instant};

use assert_cmd::cargo::cargo_bin;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use super::support::{LOGS, Ran, World, repository};

/// Below the rig's folder: the plan of an Offline test.
pub const OFFLINE: &str =
    "engines/box/gptj/Offline/gptj-Offline-gpu-b8-fp16.custom_k_99_MaxP.gptj-mini.plan";
pub const SERVER: &str =
    "engines/box/gptj/Server/gptj-Server-gpu-b8-fp16.custom_k_99_MaxP.gptj-mini.plan";

const FILE: &str = "libgptj_tensorrt.so";
const PATIENCE: Duration = Duration::from_secs(30);

/// The library, compiled once with the compiler that the build used.
static LIBRARY: LazyLock<PathBuf> = LazyLock::new(|| {
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let library = Path::new(env!("CARGO_TARGET_TMPDIR")).join(FILE);
    let compiler = std::env::var("CXX").unwrap_or_else(|_| "c++".to_owned());
    let fresh = folder.path().join(FILE);
    let compiled = Command::new(&compiler)
        .current_dir(repository())
        .args(["-std=c++20", "-shared", "-fPIC", "-Icpp", "-Icpp/include"])
        .args([
            "tests/cpp/libraries/plans.cc",
            "cpp/engine/fake_engine.cc",
            "cpp/engine/engine_limits.cc",
            "-o",
        ])
        .arg(&fresh)
        .status();
    assert!(
        compiled.unwrap().success(),
        "{compiler} could not compile the library"
    );
    fs::rename(fresh, &library).unwrap();
    library
});

pub struct Rig {
    pub world: World,
    /// Folder of the library.
    pub libraries: PathBuf,
    env: Vec<(&'static str, &'static str)>,
}

impl Rig {
    pub fn new() -> Self {
        let world = World::new();
        let libraries = world.path("lib");
        fs::create_dir(&libraries).unwrap();
        fs::copy(&*LIBRARY, libraries.join(FILE)).unwrap();
        Self {
            world,
            libraries,
            env: Vec::new(),
        }
    }

    /// From now on, with this in the environment; see `tests/cpp/libraries/plans.cc`.
    pub fn set(&mut self, name: &'static str, value: &'static str) {
        self.env.retain(|(other, _)| *other != name);
        self.env.push((name, value));
    }

    /// A command line on TensorRT's stand-in; a batch size, precision or device of `args` counts instead of ours.
    pub fn command(&self, args: &[&str]) -> Command {
        let library_dirs = format!("--engine_library_dirs={}", self.libraries.display());
        let mut all = vec!["--engine=tensorrt", &library_dirs];
        for (name, ours) in [
            ("--gpu_batch_size=", "--gpu_batch_size=8"),
            ("--precision=", "--precision=fp16"),
            ("--devices=", "--devices=0"),
            ("--engine_dir=", "--engine_dir=engines"),
        ] {
            if !args.iter().any(|arg| arg.starts_with(name)) {
                all.push(ours);
            }
        }
        all.extend(args);
        let mut command = self.world.command(&all);
        command.envs(self.env.iter().copied());
        command
    }

    /// stdout of a command without any flags, which must do what it was asked.
    pub fn probe(&self, args: &[&str]) -> String {
        let mut command = Command::new(cargo_bin("run_harness"));
        command.args(args).envs(self.env.iter().copied());
        let output = command.output().unwrap();
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    }

    pub fn run(&self, args: &[&str]) -> Ran {
        self.command(args).output().unwrap().into()
    }

    /// `generate-engines` for an Offline test.
    pub fn generate(&self, args: &[&str]) -> Ran {
        self.run(&[&["generate-engines", "--scenarios=offline"], args].concat())
    }

    /// The same, which must do what it was asked; gives what it said.
    #[track_caller]
    pub fn generated(&self, args: &[&str]) -> String {
        let ran = self.generate(args);
        assert_eq!(ran.code, Some(0), "{}", ran.stderr);
        ran.stderr
    }

    pub fn path(&self, below: &str) -> PathBuf {
        self.world.path(below)
    }

    /// Logs of a run that has ended make room for those of the next one.
    pub fn move_logs(&self, to: &str) {
        fs::rename(self.path(LOGS), self.path(to)).unwrap();
    }

    pub fn text(&self, below: &str) -> String {
        fs::read_to_string(self.path(below)).unwrap()
    }

    pub fn manifest(&self, plan: &str) -> Value {
        serde_json::from_str(&self.text(&format!("{plan}.json"))).unwrap()
    }

    /// How many builds there were: each leaves a line in the timing cache of its kind of network.
    pub fn builds(&self) -> usize {
        ["fp16", "fp16-no_gemm_plugin", "fp8"]
            .map(|network| format!("engines/box/tensorrt-1.2.3-sm90-{network}.timings"))
            .iter()
            .filter_map(|cache| fs::read_to_string(self.path(cache)).ok())
            .map(|text| text.lines().count())
            .sum()
    }
}

/// Waits for something that another process does.
#[track_caller]
pub fn wait_for(what: &str, done: impl Fn() -> bool) {
    let start = Instant::now();
    while !done() {
        assert!(start.elapsed() < PATIENCE, "waited for {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Presses Ctrl-C, and waits for the end.
pub fn interrupt(child: Child) -> Ran {
    let pid = Pid::from_raw(i32::try_from(child.id()).unwrap()).unwrap();
    kill_process(pid, Signal::INT).unwrap();
    child.wait_with_output().unwrap().into()
}
