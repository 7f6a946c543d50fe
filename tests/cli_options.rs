//! Every option: in help, in completions, in manual pages, with an example that can be typed; and every option of the front
//! end that this program replaces, accepted or refused with the reason.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test that cannot be set up has failed"
)]

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use assert_cmd::cargo::cargo_bin;
use mlperf_gptj::cli::{Cli, Parsed, options_of_the_original, parse, public};
use mlperf_gptj::config::{KEYS, Key, find_key};
use mlperf_gptj::error::Failure;

/// Options that are no settings and that several commands have.
const SHARED: &[&str] = &["config", "config_dir", "json"];

/// Commands for people, and the options that they alone have.
fn commands() -> Vec<(String, Vec<String>)> {
    let own = |command: &clap::Command| {
        let longs = command.get_arguments().filter_map(clap::Arg::get_long);
        let own = longs.filter(|name| find_key(name).is_none() && !SHARED.contains(name));
        own.map(str::to_owned).collect()
    };
    let commands: Vec<_> = public()
        .get_subcommands()
        .map(|command| (command.get_name().to_owned(), own(command)))
        .collect();
    assert!(commands.len() >= 10, "{commands:?}");
    commands
}

fn run(args: &[&str]) -> Output {
    Command::new(cargo_bin("run_harness"))
        .args(args)
        .stdin(Stdio::null())
        .output()
        .unwrap()
}

fn printed(args: &[&str]) -> String {
    let output = run(args);
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success() && stderr.is_empty(), "{stderr}");
    String::from_utf8(output.stdout).unwrap()
}

fn visible() -> impl Iterator<Item = &'static Key> {
    KEYS.iter().filter(|key| !key.hidden)
}

fn parsed(args: &[&str]) -> Result<Box<Cli>, Failure> {
    let all = ["run_harness"].iter().chain(args);
    match parse(all.map(Into::into))? {
        Parsed::Command(cli) => Ok(cli),
        Parsed::Text(text) => panic!("{args:?} prints {text}"),
    }
}

#[test]
fn every_option_of_the_original_is_accepted_or_refused_with_the_reason() {
    let names = options_of_the_original();
    assert!(names.len() > 150, "{}", names.len());
    for name in names {
        let value = find_key(name).map_or("5", |key| key.example);
        let typed = format!("--{name}={value}");
        // The one option of another name here is true or false.
        let typed = match name {
            "use_fp8" => "--use_fp8",
            _ => &typed,
        };
        match parsed(&[typed]) {
            Ok(cli) => assert_eq!(cli.config.flags.len(), 1, "{typed} is passed over"),
            Err(failure) => {
                assert_eq!(failure.message, format!("`{typed}` cannot be used"));
                assert_eq!(failure.causes.len(), 1, "{typed}");
                assert!(failure.hint.is_some(), "{typed}");
            }
        }
    }
}

#[test]
fn what_another_name_stands_for_is_that() {
    let cli = parsed(&["--use_fp8"]).unwrap();
    let (key, value) = &cli.config.flags[0];
    assert_eq!((key.name, value.as_str()), ("precision", "fp8"));
    let key = find_key("precision").unwrap();
    for (there, here) in [("fp32", "f32"), ("FP16", "fp16"), ("float32", "f32")] {
        assert_eq!(key.parse(there), key.parse(here), "{there}");
    }
    assert!(key.parse("int8").is_err());
}

#[test]
fn help_has_unit_default_and_example() {
    let help = printed(&["--help"]);
    let squeezed = help.split_whitespace().collect::<Vec<_>>().join(" ");
    for key in visible() {
        let unit = match key.unit {
            "" => String::new(),
            unit => format!("[unit: {unit}] "),
        };
        let expected = format!(
            "{} {unit}[default: {}] [example: {}]",
            key.doc,
            key.default_text(),
            key.example_flag()
        );
        assert!(squeezed.contains(&expected), "--{}: {expected}", key.name);
    }
}

/// The lines below `Examples:` in the help of a command, as words for the program.
fn examples(command: &[&str]) -> Vec<Vec<String>> {
    let args: Vec<&str> = command.iter().copied().chain(["--help"]).collect();
    let help = printed(&args);
    let (_, examples) = help.split_once("Examples:\n").unwrap();
    let lines = examples.lines().take_while(|line| !line.is_empty());
    let words = |line: &str| {
        let words = line
            .split_whitespace()
            .skip_while(|word| word.contains('='));
        let words = words.take_while(|word| *word != ">");
        words.map(str::to_owned).collect()
    };
    lines.map(words).collect()
}

#[test]
fn every_command_has_examples_that_can_be_typed() {
    let none = (String::new(), vec!["json".to_owned()]);
    for (command, own) in commands().into_iter().chain([none]) {
        let arguments: Vec<&str> = command.split_whitespace().collect();
        let examples = examples(&arguments);
        assert!(!examples.is_empty(), "{command}");
        for example in &examples {
            assert_eq!(example[0], "run_harness");
            let args: Vec<&str> = example[1..].iter().map(String::as_str).collect();
            if let Err(failure) = parsed(&args) {
                panic!("{example:?}: {}", failure.render());
            }
        }
        for option in own {
            let shown = examples.iter().flatten().any(|word| {
                let name = word.strip_prefix("--").unwrap_or_default();
                name.split('=').next() == Some(option.as_str())
            });
            assert!(shown, "{command} has no example of --{option}");
        }
    }
}

/// Lines of code blocks that call the program, as words for it. Remarks stand behind several blanks.
fn typed_in(document: &str) -> Vec<Vec<String>> {
    let mut in_code = false;
    let mut found = Vec::new();
    for line in document.lines() {
        if line.starts_with("```") {
            in_code = !in_code;
        }
        let line = line.trim_start().trim_start_matches("./target/release/");
        if !in_code || !line.starts_with("run_harness ") {
            continue;
        }
        let call = line.split("  ").next().unwrap_or_default();
        let call = call.replace("THE DOWNLOAD", "download").replace(" ...", "");
        let call = call.replace(['[', ']'], "");
        let words = call.split_whitespace();
        let words = words.take_while(|word| !matches!(*word, "|" | ">" | "#" | "&"));
        found.push(words.map(str::to_owned).collect());
    }
    found
}

#[test]
fn every_command_of_the_documents_can_be_typed() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let docs = fs::read_dir(root.join("docs")).unwrap();
    let docs = docs.map(|entry| entry.unwrap().path());
    let docs = docs.filter(|path| path.extension().is_some_and(|end| end == "md"));
    let mut seen = 0;
    for path in docs.chain([root.join("README.md")]) {
        for call in typed_in(&fs::read_to_string(&path).unwrap()) {
            let args: Vec<&str> = call[1..].iter().map(String::as_str).collect();
            // What a document quotes as output begins with the version.
            let is_output = args.first().is_some_and(|word| word.starts_with("0."));
            if is_output || args.contains(&"--help") {
                continue;
            }
            if let Err(failure) = parsed(&args) {
                panic!("{}: {call:?}: {}", path.display(), failure.render());
            }
            seen += 1;
        }
    }
    assert!(seen > 60, "{seen}");
}

#[test]
fn completions_know_every_option_and_command() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = printed(&["completions", shell]);
        let option = |name: &str| match shell {
            // fish names options without their dashes.
            "fish" => format!(" -l {name} "),
            _ => format!("--{name}"),
        };
        for name in visible().map(|key| key.name).chain(SHARED.iter().copied()) {
            assert!(script.contains(&option(name)), "{shell}: --{name}");
        }
        for (command, own) in commands() {
            assert!(script.contains(&command), "{shell}: {command}");
            for name in &own {
                let ends = [" ", "\n", "[", "'", "="]
                    .map(|end| format!("{}{end}", option(name).trim_end()));
                assert!(
                    ends.iter().any(|text| script.contains(text)),
                    "{shell}: {command} --{name}"
                );
            }
        }
        for hidden in ["fake", "probe-engine", "run-test"] {
            assert!(!script.contains(hidden), "{shell}: {hidden}");
        }
    }
}

#[test]
fn the_script_for_bash_completes_names_and_values() {
    let dir = tempfile::tempdir().unwrap();
    let script = dir.path().join("run_harness.bash");
    fs::write(&script, printed(&["completions", "bash"])).unwrap();
    let parses = Command::new("bash")
        .arg("-n")
        .arg(&script)
        .output()
        .unwrap();
    assert!(parses.status.success(), "{parses:?}");
    let complete = |words: &[&str]| {
        let list = words.iter().map(|word| format!("'{word}' "));
        let ask = format!(
            "source '{}'; COMP_WORDS=({}); COMP_CWORD={}; _run_harness run_harness '{}' '{}'; echo \"${{COMPREPLY[*]}}\"",
            script.display(),
            list.collect::<String>(),
            words.len() - 1,
            words[words.len() - 1],
            words[words.len() - 2],
        );
        let output = Command::new("bash").args(["-c", &ask]).output().unwrap();
        String::from_utf8(output.stdout)
            .unwrap()
            .trim()
            .replace('\n', " ")
    };
    assert_eq!(
        complete(&["run_harness", "--min_"]),
        "--min_new_tokens --min_duration --min_query_count"
    );
    assert_eq!(
        complete(&["run_harness", "show-config", "--expl"]),
        "--explain"
    );
    assert_eq!(
        complete(&["run_harness", "--engine", ""]),
        "cpu cuda tensorrt auto"
    );
    assert_eq!(
        complete(&["run_harness", "doctor", "--scheduler", "in"]),
        "inflight"
    );
    assert_eq!(complete(&["run_harness", "show"]), "show-config");
}

#[test]
fn manual_pages_have_every_option() {
    let escaped = |name: &str| format!(r"\fB\-\-{}\fR", name.replace('-', r"\-"));
    let pages: BTreeMap<String, String> = commands()
        .into_iter()
        .map(|(command, _)| (command.clone(), printed(&["man", &command])))
        .chain([(String::new(), printed(&["man"]))])
        .collect();
    for name in visible().map(|key| key.name).chain(SHARED.iter().copied()) {
        for command in ["", "show-config", "calibrate"] {
            assert!(
                pages[command].contains(&escaped(name)),
                "{command} --{name}"
            );
        }
    }
    for (command, own) in commands() {
        let page = &pages[&command];
        assert!(page.contains(".SH SYNOPSIS"), "{command}");
        assert!(page.contains("Examples:"), "{command}");
        for name in &own {
            assert!(page.contains(&escaped(name)), "{command} --{name}");
        }
        let named = format!(r"run_harness\-{}", command.replace('-', r"\-"));
        assert!(pages[""].contains(&named), "{command}");
    }
    let output = run(&["man", "shwo-config"]);
    assert_eq!(
        String::from_utf8(output.stderr).unwrap(),
        "error: unknown command `shwo-config`\n\nhint: did you mean `show-config`?\n"
    );
}

#[test]
fn a_shell_that_is_not_known_names_those_that_are() {
    let output = run(&["completions", "tcsh"]);
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(
        String::from_utf8(output.stderr).unwrap(),
        "error: <SHELL> is `tcsh`\n\nhint: expected one of bash, elvish, fish, powershell, zsh\n"
    );
}
