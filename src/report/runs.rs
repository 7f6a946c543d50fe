//! The runs that are in a log folder, and how one of them is named.

use std::path::{Path, PathBuf};

use super::read::{read_result, test_folders};
use super::result::{FILE_NAME, TestResult};
use crate::error::Failure;

/// One test that was found.
#[derive(Debug)]
pub struct Found {
    /// By which it can be named; 1 is the newest.
    pub number: usize,
    /// Where its files are.
    pub folder: PathBuf,
    /// What it came to, or why that cannot be read.
    pub result: Result<TestResult, Failure>,
}

/// All tests below a folder, newest first; damaged ones at the end.
pub fn all(root: &Path) -> Result<Vec<Found>, Failure> {
    let none = |why: String| {
        Failure::user(format!("there are no runs in `{}`", root.display()))
            .because(why)
            .hint(
                "make one with `run_harness --scenarios=offline`, or say with --in where they are",
            )
    };
    let folders = test_folders(root).map_err(|error| none(error.to_string()))?;
    if folders.is_empty() {
        return Err(none(format!("no {FILE_NAME} is below it")));
    }
    let mut found: Vec<Found> = folders
        .into_iter()
        .map(|folder| Found {
            number: 0,
            result: read_result(&folder.join(FILE_NAME)),
            folder,
        })
        .collect();
    let started = |found: &Found| {
        found
            .result
            .as_ref()
            .ok()
            .map(|result| result.started.clone())
    };
    // Of one time, the last of a folder ran last.
    found.sort_by(|a, b| (started(b), &b.folder).cmp(&(started(a), &a.folder)));
    for (index, found) in found.iter_mut().enumerate() {
        found.number = index + 1;
    }
    Ok(found)
}

/// The folder of the test that a name means: its number in the list, its folder, or the end of that. `root` is looked
/// through when it has to be.
pub fn find(root: &Path, name: &str) -> Result<PathBuf, Failure> {
    let path = Path::new(name);
    if path.file_name().is_some_and(|file| file == FILE_NAME) {
        return Ok(path.parent().unwrap_or(path).to_owned());
    }
    let number: Option<usize> = name.parse().ok();
    if number.is_none() && path.join(FILE_NAME).is_file() {
        return Ok(path.to_owned());
    }
    let all = all(root)?;
    let means = |found: &&Found| match number {
        Some(number) => found.number == number,
        None => found.folder.ends_with(path),
    };
    let meant: Vec<&Found> = all.iter().filter(means).collect();
    match meant.as_slice() {
        [one] => Ok(one.folder.clone()),
        [] => Err(Failure::user(format!("there is no run `{name}`"))
            .because(format!("{} tests are in `{}`", all.len(), root.display()))
            .hint("`run_harness runs list` shows them; a test is named by its number there, its folder, or the end of that")),
        several => {
            let folders = several.iter().map(|found| found.folder.display().to_string());
            Err(Failure::user(format!("`{name}` may be several runs"))
                .because(folders.collect::<Vec<_>>().join(", "))
                .hint("give more of the folder's end, or its number in `run_harness runs list`"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn results() -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("results")
    }

    #[test]
    fn the_newest_comes_first() {
        let all = all(&results()).unwrap();
        let started: Vec<&String> = all
            .iter()
            .map(|found| &found.result.as_ref().unwrap().started)
            .collect();
        assert!(started.is_sorted_by(|a, b| a >= b), "{started:?}");
        assert_eq!(all[0].number, 1);
    }

    #[test]
    fn runs_are_named_by_number_folder_or_its_end() {
        let root = results();
        let all = all(&root).unwrap();
        assert_eq!(find(&root, "3").unwrap(), all[2].folder);
        let whole = all[4].folder.display().to_string();
        assert_eq!(find(&root, &whole).unwrap(), all[4].folder);
        assert_eq!(
            find(&root, &format!("{whole}/result.json")).unwrap(),
            all[4].folder
        );
        assert_eq!(
            find(&root, "h100-tensorrt/tensorrt-fp16")
                .unwrap_err()
                .message,
            "there is no run `h100-tensorrt/tensorrt-fp16`"
        );
        let end = "2026-11-25-h100-fp8-fp16/Offline-fp16";
        assert_eq!(find(&root, end).unwrap(), root.join(end));
        assert_eq!(
            find(&root, "Server").unwrap_err().message,
            "`Server` may be several runs"
        );
        assert_eq!(
            find(&root, "fline").unwrap_err().message,
            "there is no run `fline`"
        );
        assert!(find(&root, "999").is_err());
    }

    #[test]
    fn damaged_results_are_listed_last() {
        let root = tempfile::tempdir().unwrap();
        for (name, text) in [("a", "{"), ("b", "{\"schema_version\": 9}")] {
            std::fs::create_dir(root.path().join(name)).unwrap();
            std::fs::write(root.path().join(name).join(FILE_NAME), text).unwrap();
        }
        let good = results().join("2026-11-25-h100-fp8-fp16/Offline/result.json");
        std::fs::create_dir(root.path().join("c")).unwrap();
        std::fs::copy(good, root.path().join("c").join(FILE_NAME)).unwrap();
        let all = all(root.path()).unwrap();
        assert_eq!(all.len(), 3);
        assert!(all[0].result.is_ok() && all[1].result.is_err() && all[2].result.is_err());
        let empty = tempfile::tempdir().unwrap();
        let failure = super::all(empty.path()).unwrap_err();
        assert!(
            failure.message.starts_with("there are no runs in"),
            "{failure}"
        );
        assert!(super::all(Path::new("/nonexistent")).is_err());
    }
}
