//! Results of earlier runs: where they are, and what is in them.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use serde_json::Value;

use super::latencies::{self, Latencies};
use super::result::{FILE_NAME, SCHEMA_VERSION, TestResult};
use super::timeline::{self, Timeline};
use crate::error::Failure;

/// Folders between a log folder and a test's files: system, benchmark, scenario; and that of the run in build/logs.
const DEEPEST: usize = 6;

/// A test of an earlier run.
#[derive(Debug, Clone, PartialEq)]
pub struct StoredTest {
    /// Where its files are.
    pub folder: PathBuf,
    /// What it came to.
    pub result: TestResult,
    /// Its counters over time, where they were kept.
    pub timeline: Option<Timeline>,
    /// How its latencies are distributed, where that was kept.
    pub latencies: Option<Latencies>,
    /// Why one of these is not here although its file is.
    pub damaged: Vec<Failure>,
}

impl StoredTest {
    /// Reads all of a test. Files beside its result.json may be missing or damaged.
    pub fn read(folder: &Path) -> Result<Self, Failure> {
        let result = read_result(&folder.join(FILE_NAME))?;
        let mut damaged = Vec::new();
        let mut keep = |failure| damaged.push(failure);
        let timeline =
            beside(folder, timeline::FILE_NAME, Timeline::check).unwrap_or_else(|failure| {
                keep(failure);
                None
            });
        let latencies =
            beside(folder, latencies::FILE_NAME, Latencies::check).unwrap_or_else(|failure| {
                keep(failure);
                None
            });
        Ok(Self {
            folder: folder.to_owned(),
            result,
            timeline,
            latencies,
            damaged,
        })
    }
}

/// Reads a result.json, of this version or an earlier one.
pub fn read_result(path: &Path) -> Result<TestResult, Failure> {
    let document: Value = parse(path)?;
    check_version(path, &document)?;
    serde_json::from_value(document).map_err(|error| damaged(path, error))
}

fn check_version(path: &Path, document: &Value) -> Result<(), Failure> {
    match document["schema_version"].as_u64() {
        Some(version) if version == u64::from(SCHEMA_VERSION) => Ok(()),
        Some(version) => Err(Failure::user(format!(
            "`{}` has schema_version {version}",
            path.display()
        ))
        .because(format!("this program reads version {SCHEMA_VERSION}"))
        .hint("read it with the run_harness that wrote it, or a newer one")),
        None => Err(damaged(path, "it has no schema_version")),
    }
}

fn damaged(path: &Path, why: impl std::fmt::Display) -> Failure {
    Failure::user(format!(
        "`{}` is damaged, or no file of ours",
        path.display()
    ))
    .because(why)
    .hint("docs/result_schema.md says what is in such a file; leave this one out, or move it away")
}

fn parse<T: DeserializeOwned>(path: &Path) -> Result<T, Failure> {
    let text = fs::read(path).map_err(|error| {
        Failure::user(format!("cannot read `{}`", path.display()))
            .because(error)
            .hint("`run_harness runs list` shows the runs that are there")
    })?;
    serde_json::from_slice(&text).map_err(|error| damaged(path, error))
}

/// A file beside result.json; absent when there is none.
fn beside<T: DeserializeOwned>(
    folder: &Path,
    name: &str,
    check: fn(&T) -> Result<(), String>,
) -> Result<Option<T>, Failure> {
    let path = folder.join(name);
    if !path.exists() {
        return Ok(None);
    }
    let document: Value = parse(&path)?;
    check_version(&path, &document)?;
    let read: T = serde_json::from_value(document).map_err(|error| damaged(&path, error))?;
    check(&read).map_err(|why| damaged(&path, why))?;
    Ok(Some(read))
}

/// Folders of all tests below a folder, which may itself be one, sorted by name. What cannot be entered is passed over.
pub fn test_folders(root: &Path) -> io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    // The root itself has to be readable.
    fs::read_dir(root)?;
    walk(root, DEEPEST, &mut found);
    found.sort();
    Ok(found)
}

fn walk(folder: &Path, deeper: usize, found: &mut Vec<PathBuf>) {
    if folder.join(FILE_NAME).is_file() {
        found.push(folder.to_owned());
        return;
    }
    let Some(deeper) = deeper.checked_sub(1) else {
        return;
    };
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        // Links may lead round in circles.
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            walk(&entry.path(), deeper, found);
        }
    }
}

/// The folder of the run that a test's folder belongs to: `<run>/<system>/gptj-99/<Scenario>`, or the test's own one
/// where it was put somewhere else.
pub fn run_folder(test: &Path) -> &Path {
    let benchmark = test.parent().and_then(Path::file_name);
    let is_ours = benchmark.is_some_and(|name| name.to_string_lossy().starts_with("gptj-"));
    match test.ancestors().nth(3) {
        Some(run) if is_ours => run,
        _ => test,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn repository(below: &str) -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join(below)
    }

    #[test]
    fn results_of_every_earlier_version_can_be_read() {
        let folders = test_folders(&repository("results")).unwrap();
        assert!(folders.len() >= 10, "{folders:?}");
        for folder in folders {
            let test = StoredTest::read(&folder).unwrap_or_else(|failure| {
                panic!("{}", failure.render());
            });
            assert!(test.result.performance.is_some() || test.result.accuracy.is_some());
            assert!(!test.result.machine.gpus[0].name.is_empty());
        }
    }

    #[test]
    fn what_is_no_result_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(FILE_NAME);
        let read = |text: &str| {
            fs::write(&path, text).unwrap();
            read_result(&path).unwrap_err()
        };
        let name = path.display().to_string();
        for (text, said) in [
            (
                "{\"schema_version\": 2}",
                format!("`{name}` has schema_version 2"),
            ),
            (
                "{\"schema_version\": 1}",
                format!("`{name}` is damaged, or no file of ours"),
            ),
            ("{}", format!("`{name}` is damaged, or no file of ours")),
            (
                "{\"sche",
                format!("`{name}` is damaged, or no file of ours"),
            ),
        ] {
            let failure = read(text);
            assert_eq!(failure.message, said);
            assert!(failure.hint.is_some() && !failure.causes.is_empty());
        }
    }

    #[test]
    fn a_run_is_the_log_folder_of_its_tests() {
        let of = |path: &str| run_folder(Path::new(path)).to_str().map(str::to_owned);
        assert_eq!(
            of("build/logs/x/box/gptj-99/Offline").as_deref(),
            Some("build/logs/x")
        );
        assert_eq!(
            of("results/h100/Offline").as_deref(),
            Some("results/h100/Offline")
        );
    }
}
