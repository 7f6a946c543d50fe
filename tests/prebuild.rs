//! `make prebuild`: the commands that it runs, as DRY_RUN=1 prints them and as a docker of our own sees them.
#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot be set up has failed"
)]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .canonicalize()
        .unwrap()
}

/// The script with nothing of ours in its environment, and of programs what `path` has.
fn prebuild(path: &str, variables: &[(&str, &str)]) -> Output {
    let mut command = Command::new("bash");
    command
        .arg(repository().join("docker/prebuild"))
        .env_clear()
        .env("PATH", path)
        .envs(variables.iter().copied());
    command.output().unwrap()
}

/// What is printed and not run, each command as the words that docker would get.
fn printed(variables: &[(&str, &str)]) -> Vec<Vec<String>> {
    let tools = tools(&[]);
    let path = tools.path().to_string_lossy().into_owned();
    let mut all = vec![("DRY_RUN", "1"), ("DOCKER_TAG", "me")];
    all.extend(variables);
    let output = prebuild(&path, &all);
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success() && stderr.is_empty(), "{stderr}");
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines().map(words).collect()
}

/// What bash makes of a line.
fn words(line: &str) -> Vec<String> {
    let output = Command::new("bash")
        .args(["-c", &format!("printf '%s\\n' {line}")])
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines().map(str::to_owned).collect()
}

/// A folder with the programs that the script uses, and these besides.
fn tools(programs: &[(&str, &str)]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for name in ["bash", "dirname", "id", "mkdir", "xargs", "true", "printf"] {
        let found = std::env::split_paths(&std::env::var_os("PATH").unwrap())
            .map(|dir| dir.join(name))
            .find(|path| path.is_file())
            .unwrap();
        std::os::unix::fs::symlink(found, folder.path().join(name)).unwrap();
    }
    for (name, text) in programs {
        let path = folder.path().join(name);
        fs::write(&path, format!("#!/usr/bin/env bash\n{text}\n")).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    }
    folder
}

/// Values of an option in a command, in order.
fn values<'a>(command: &'a [String], option: &str) -> Vec<&'a str> {
    let pairs = command.windows(2).filter(|pair| pair[0] == option);
    pairs.map(|pair| pair[1].as_str()).collect()
}

fn mounted(folder: &Path) -> String {
    let folder = folder.display();
    format!("type=bind,source={folder},target={folder}")
}

#[test]
fn an_image_for_the_caller_and_a_shell_in_the_repository() {
    let commands = printed(&[]);
    assert_eq!(commands.len(), 2, "{commands:?}");
    let [build, run] = [&commands[0], &commands[1]];
    let root = repository();
    let user = format!("USER_ID={}", rustix::process::getuid().as_raw());
    let group = format!("GROUP_ID={}", rustix::process::getgid().as_raw());
    assert_eq!(build[..2], ["docker", "build"]);
    assert_eq!(values(build, "--build-arg"), [user, group]);
    assert_eq!(values(build, "--tag"), ["mlperf-gptj:me"]);
    assert!(build.contains(&"--pull".to_owned()));
    assert_eq!(Path::new(build.last().unwrap()), root.join("docker"));

    assert_eq!(run[..4], ["docker", "run", "--interactive", "--tty"]);
    assert_eq!(values(run, "--workdir"), [root.to_str().unwrap()]);
    assert_eq!(values(run, "--mount"), [mounted(&root)]);
    let built = root.join("build/docker");
    assert_eq!(
        values(run, "--env"),
        [
            format!("CARGO_HOME={}/cargo", built.display()),
            format!("CARGO_TARGET_DIR={}/target", built.display())
        ]
    );
    assert!(run.contains(&"--rm".to_owned()));
    assert_eq!(run.last().unwrap(), "mlperf-gptj:me");
}

#[test]
fn the_scratch_space_has_its_own_path_in_the_container() {
    let folder = tempfile::tempdir().unwrap();
    let scratch = folder.path().join("my scratch $space");
    fs::create_dir(&scratch).unwrap();
    let scratch = scratch.canonicalize().unwrap();
    let run = &printed(&[("MLPERF_SCRATCH_PATH", scratch.to_str().unwrap())])[1];
    assert_eq!(values(run, "--mount")[1], mounted(&scratch));
    let given = format!("MLPERF_SCRATCH_PATH={}", scratch.display());
    assert!(values(run, "--env").contains(&given.as_str()), "{run:?}");
    // Links in build/ lead to where the folder really is.
    let link = folder.path().join("link");
    std::os::unix::fs::symlink(&scratch, &link).unwrap();
    let run = &printed(&[("MLPERF_SCRATCH_PATH", link.to_str().unwrap())])[1];
    assert_eq!(values(run, "--mount")[1], mounted(&scratch));
}

#[test]
fn gpus_are_those_that_are_asked_for() {
    let gpus = |value: &str| {
        let run = printed(&[("NVIDIA_VISIBLE_DEVICES", value)]).remove(1);
        values(&run, "--gpus").join(" ")
    };
    assert_eq!(gpus("all"), "all");
    assert_eq!(gpus("0,2"), "\"device=0,2\"");
    assert_eq!(gpus("none"), "");
    // Without nvidia-smi there is none to pass on.
    assert_eq!(values(&printed(&[])[1], "--gpus"), Vec::<&str>::new());
    let tools = tools(&[("nvidia-smi", "true")]);
    let path = tools.path().to_string_lossy().into_owned();
    let output = prebuild(&path, &[("DRY_RUN", "1")]);
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.contains(" --gpus all "), "{text}");
}

#[test]
fn further_arguments_and_a_command_are_handed_on() {
    let commands = printed(&[
        ("DOCKER_ARGS", "--env 'A=b c' -v /x:/y --label=\"it's\""),
        ("DOCKER_COMMAND", "make run RUN_ARGS='--fast'"),
        ("DOCKER_NAME", "mine"),
        ("BASE_IMAGE", "example.com/base:1"),
        ("NO_DOCKER_PULL", "1"),
    ]);
    let [build, run] = [&commands[0], &commands[1]];
    assert!(values(build, "--build-arg").contains(&"BASE_IMAGE=example.com/base:1"));
    assert!(!build.contains(&"--pull".to_owned()));
    let end = run.len() - 9..;
    let expected = [
        "--env",
        "A=b c",
        "-v",
        "/x:/y",
        "--label=it's",
        "mlperf-gptj:me",
        "bash",
        "-c",
        "make run RUN_ARGS='--fast'",
    ];
    assert_eq!(run[end], expected);
    assert_eq!(values(run, "--name"), ["mine"]);
    assert!(!run.contains(&"--tty".to_owned()));
    let commands = printed(&[("DOCKER_DETACH", "1")]);
    assert_eq!(commands.len(), 1, "{commands:?}");
}

#[test]
fn docker_gets_what_was_printed() {
    let folder = tempfile::tempdir().unwrap();
    let said = folder.path().join("said");
    let docker = format!(
        "[ \"$1\" = version ] || printf '%s\\n' docker \"$@\" --- >> '{}'",
        said.display()
    );
    let tools = tools(&[("docker", &docker)]);
    let path = tools.path().to_string_lossy().into_owned();
    let variables = [("DOCKER_TAG", "me"), ("DOCKER_ARGS", "--env 'A=b c'")];
    let output = prebuild(&path, &variables);
    assert!(output.status.success(), "{output:?}");
    let said = fs::read_to_string(said).unwrap();
    let commands: Vec<Vec<&str>> = said
        .split("---\n")
        .filter(|part| !part.is_empty())
        .map(|part| part.lines().collect())
        .collect();
    assert_eq!(commands, printed(&variables[1..]));
}

#[track_caller]
fn refused(path: &str, variables: &[(&str, &str)], said: &[&str]) {
    let output = prebuild(path, variables);
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{stderr}");
    assert!(output.stdout.is_empty());
    assert!(
        stderr.starts_with("error: ") && stderr.contains("\n\nhint: "),
        "{stderr}"
    );
    for text in said {
        assert!(stderr.contains(text), "`{text}` is not in:\n{stderr}");
    }
}

#[test]
fn what_is_missing_is_told_with_what_to_do() {
    let bare = tools(&[]);
    let path = bare.path().to_string_lossy().into_owned();
    refused(&path, &[], &["there is no docker", "make build"]);
    let silent = tools(&[(
        "docker",
        "echo 'permission denied: docker.sock' >&2; exit 1",
    )]);
    let silent = silent.path().to_string_lossy().into_owned();
    refused(
        &silent,
        &[],
        &[
            "docker does not answer: permission denied: docker.sock",
            "make build",
        ],
    );
    let dry = ("DRY_RUN", "1");
    refused(
        &path,
        &[dry, ("MLPERF_SCRATCH_PATH", "/nowhere/at all")],
        &["there is no scratch space `/nowhere/at all`"],
    );
    refused(
        &path,
        &[dry, ("DOCKER_ARGS", "--env 'A=b")],
        &["DOCKER_ARGS is `--env 'A=b`", "quote"],
    );
    let folder = tempfile::tempdir().unwrap();
    let comma = folder.path().join("a,b");
    fs::create_dir(&comma).unwrap();
    refused(
        &path,
        &[dry, ("MLPERF_SCRATCH_PATH", comma.to_str().unwrap())],
        &["comma"],
    );
}

#[test]
fn the_image_is_pinned_and_has_the_rust_of_the_project() {
    let text = fs::read_to_string(repository().join("docker/Dockerfile")).unwrap();
    let argument = |name: &str| {
        let start = format!("ARG {name}=");
        let line = text.lines().find_map(|line| line.strip_prefix(&start));
        line.unwrap().to_owned()
    };
    let (image, tag) = argument("BASE_IMAGE")
        .rsplit_once(':')
        .map(|(a, b)| (a.to_owned(), b.to_owned()))
        .unwrap();
    assert_eq!(image, "nvcr.io/nvidia/tensorrt");
    assert!(tag.starts_with(|c: char| c.is_ascii_digit()), "{tag}");
    let manifest: toml::Table = fs::read_to_string(repository().join("Cargo.toml"))
        .unwrap()
        .parse()
        .unwrap();
    let wanted = manifest["package"]["rust-version"].as_str().unwrap();
    let version = argument("RUST_VERSION");
    assert!(
        version == wanted || version.starts_with(&format!("{wanted}.")),
        "{version}"
    );
    assert!(text.contains("\nUSER ${USER_ID}:${GROUP_ID}\n"));
}
