//! The folder of one test: claimed by one run, and never left with a half-written result that looks valid.

use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

use crate::accuracy::log::FILE_NAME as ACCURACY_LOG;
use crate::disk::Destination;
use crate::error::Failure;
use crate::report::Status;
use crate::report::latencies::FILE_NAME as LATENCIES;
use crate::report::result::FILE_NAME as RESULT;
use crate::report::timeline::FILE_NAME as TIMELINE;

const LOCK: &str = ".lock";
/// A test's logs, answers included, with room to spare.
pub const LEAST_FREE_BYTES: u64 = 64 << 20;
/// What LoadGen's files have in their names, whatever is put before or behind.
const LOADGEN_FILES: &str = "mlperf_log_";

/// A claimed folder. The claim ends with this value.
#[derive(Debug)]
pub struct TestFolder {
    path: PathBuf,
    _lock: File,
}

impl TestFolder {
    /// Makes the folder and claims it: no other run may write into it, and it must not hold results.
    pub fn claim(path: &Path) -> Result<Self, Failure> {
        let logs = Destination {
            path,
            what: "log folder",
            writer: "a test",
            bytes: LEAST_FREE_BYTES,
            option: "--log_dir",
        };
        let elsewhere = "choose another folder with --log_dir";
        let refused = |error| logs.refused(error);
        logs.create()?;
        let lock = File::create(path.join(LOCK)).map_err(refused)?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(Failure::user(format!(
                    "another run is writing into `{}`",
                    path.display()
                ))
                .hint(format!("wait until it has ended, or {elsewhere}")));
            }
            Err(TryLockError::Error(error)) => return Err(refused(error)),
        }
        let folder = Self {
            path: path.to_owned(),
            _lock: lock,
        };
        if let Some(found) = folder.results().map_err(refused)?.first() {
            return Err(Failure::user(format!(
                "`{}` holds the results of an earlier run",
                path.display()
            ))
            .because(format!("there is `{}`", found.display()))
            .hint(format!("move them away, or {elsewhere}")));
        }
        // LoadGen would not notice that nothing can be written.
        logs.probe()?;
        Ok(folder)
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Files of LoadGen's or of a result.
    fn results(&self) -> io::Result<Vec<PathBuf>> {
        results_in(&self.path)
    }
}

impl Drop for TestFolder {
    fn drop(&mut self) {
        // Nothing is lost with it; the lock itself ends with the file handle.
        let _ = fs::remove_file(self.path.join(LOCK));
    }
}

fn results_in(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let name = entry.file_name();
        let name = name.to_string_lossy();
        if name.contains(LOADGEN_FILES) || [RESULT, TIMELINE, LATENCIES].contains(&&*name) {
            found.push(entry.path());
        }
    }
    found.sort();
    Ok(found)
}

/// LoadGen's log of that kind (`summary`, `detail`) in a folder, whatever date or suffix its name has.
pub fn loadgen_file(folder: &Path, kind: &str, suffix: &str) -> PathBuf {
    find(folder, &format!("{kind}{suffix}.txt"))
        .unwrap_or_else(|| folder.join(format!("{LOADGEN_FILES}{kind}{suffix}.txt")))
}

/// LoadGen's log of answers.
pub fn accuracy_log(folder: &Path, suffix: &str) -> PathBuf {
    find(folder, &format!("accuracy{suffix}.json")).unwrap_or_else(|| folder.join(ACCURACY_LOG))
}

fn find(folder: &Path, end: &str) -> Option<PathBuf> {
    let escaped = glob::Pattern::escape(&folder.to_string_lossy());
    let pattern = format!("{escaped}/{LOADGEN_FILES}*{}", glob::Pattern::escape(end));
    let mut found: Vec<PathBuf> = glob::glob(&pattern).ok()?.flatten().collect();
    found.sort();
    found.pop()
}

/// What is put behind the names of files of a test that did not complete.
fn ending(status: Status) -> Option<&'static str> {
    match status {
        Status::Completed => None,
        Status::Failed => Some("failed"),
        Status::Interrupted => Some("interrupted"),
    }
}

/// The name that a file of ours gets.
pub fn name_for(name: &str, status: Status) -> String {
    ending(status).map_or(name.to_owned(), |end| format!("{name}.{end}"))
}

/// Gives LoadGen's files, and ours beside result.json, of a test that did not complete names that nobody takes for a result:
/// `mlperf_log_summary.txt.failed`.
pub fn disown_logs(folder: &Path, status: Status) -> io::Result<()> {
    let Some(end) = ending(status) else {
        return Ok(());
    };
    for path in results_in(folder)? {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if name != RESULT && !name.ends_with(end) {
            fs::rename(&path, path.with_file_name(format!("{name}.{end}")))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_has_one_owner_and_no_results() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a/b");
        let folder = TestFolder::claim(&path).unwrap();
        let failure = TestFolder::claim(&path).unwrap_err();
        assert_eq!(
            failure.message,
            format!("another run is writing into `{}`", path.display())
        );
        drop(folder);
        assert_eq!(fs::read_dir(&path).unwrap().count(), 0);

        fs::write(path.join("mlperf_log_summary.txt"), "").unwrap();
        let failure = TestFolder::claim(&path).unwrap_err();
        assert!(
            failure
                .message
                .ends_with("holds the results of an earlier run")
        );
        assert!(
            failure.causes[0].contains("mlperf_log_summary.txt"),
            "{failure:?}"
        );
    }

    #[test]
    fn loadgens_files_are_found_whatever_surrounds_their_names() {
        let dir = tempfile::tempdir().unwrap();
        let named = |name: &str| dir.path().join(name);
        assert_eq!(
            loadgen_file(dir.path(), "detail", ""),
            named("mlperf_log_detail.txt")
        );
        let dated = named("mlperf_log_2026-01-01T00:00:00Z_detail_x.txt");
        fs::write(&dated, "").unwrap();
        assert_eq!(loadgen_file(dir.path(), "detail", "_x"), dated);
    }

    #[test]
    fn logs_of_a_test_that_failed_get_other_names() {
        let dir = tempfile::tempdir().unwrap();
        for name in [
            "mlperf_log_summary.txt",
            "mlperf_log_accuracy.json",
            "latencies.json",
            "result.json",
            "user.conf",
        ] {
            fs::write(dir.path().join(name), "").unwrap();
        }
        disown_logs(dir.path(), Status::Completed).unwrap();
        assert!(dir.path().join("mlperf_log_summary.txt").exists());
        for _ in 0..2 {
            disown_logs(dir.path(), Status::Failed).unwrap();
        }
        let mut names: Vec<_> = fs::read_dir(dir.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        assert_eq!(
            names,
            [
                "latencies.json.failed",
                "mlperf_log_accuracy.json.failed",
                "mlperf_log_summary.txt.failed",
                "result.json",
                "user.conf"
            ]
        );
    }
}
