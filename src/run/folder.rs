//! The folder of one test: claimed by one run, and never left with a half-written result that looks valid.

use std::fs::{self, File, TryLockError};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use crate::accuracy::log::FILE_NAME as ACCURACY_LOG;
use crate::error::Failure;
use crate::report::Status;
use crate::report::result::FILE_NAME as RESULT;

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
        let elsewhere = "choose another folder with --log_dir";
        let refused = |error: io::Error| {
            Failure::user(format!(
                "cannot write into the log folder `{}`",
                path.display()
            ))
            .because(error)
            .hint(format!(
                "check its permissions and the free space, or {elsewhere}"
            ))
        };
        fs::create_dir_all(path).map_err(refused)?;
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
        folder.try_writing().map_err(refused)?;
        folder.check_space()?;
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

    /// A little file, to the disk and away again: LoadGen would not notice that nothing can be written.
    fn try_writing(&self) -> io::Result<()> {
        let path = self.path.join(".probe");
        let mut probe = File::create(&path)?;
        let written = probe.write_all(&[0; 4096]).and_then(|()| probe.sync_all());
        fs::remove_file(&path)?;
        written
    }

    fn check_space(&self) -> Result<(), Failure> {
        // A file system that cannot tell is not held against anybody.
        let Ok(found) = rustix::fs::statvfs(&self.path) else {
            return Ok(());
        };
        check_free_bytes(&self.path, found.f_bavail.saturating_mul(found.f_frsize))
    }
}

impl Drop for TestFolder {
    fn drop(&mut self) {
        // Nothing is lost with it; the lock itself ends with the file handle.
        let _ = fs::remove_file(self.path.join(LOCK));
    }
}

fn check_free_bytes(path: &Path, free: u64) -> Result<(), Failure> {
    if free >= LEAST_FREE_BYTES {
        return Ok(());
    }
    let mib = |bytes: u64| bytes >> 20;
    Err(Failure::user(format!(
        "the disk with the log folder `{}` is full",
        path.display()
    ))
    .because(format!(
        "{} MiB are free, a test may write {} MiB",
        mib(free),
        mib(LEAST_FREE_BYTES)
    ))
    .hint("free some space, or choose a folder on another disk with --log_dir"))
}

fn results_in(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let name = entry.file_name();
        let name = name.to_string_lossy();
        if name.contains(LOADGEN_FILES) || name == RESULT {
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

/// Gives LoadGen's files of a test that did not complete names that nobody takes for a result:
/// `mlperf_log_summary.txt.failed`.
pub fn disown_logs(folder: &Path, status: Status) -> io::Result<()> {
    let end = match status {
        Status::Completed => return Ok(()),
        Status::Failed => "failed",
        Status::Interrupted => "interrupted",
    };
    for path in results_in(folder)? {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if name.contains(LOADGEN_FILES) && !name.ends_with(end) {
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
    fn a_full_disk_is_told_in_numbers() {
        let failure = check_free_bytes(Path::new("/x"), 3 << 20).unwrap_err();
        assert_eq!(failure.message, "the disk with the log folder `/x` is full");
        assert_eq!(failure.causes, ["3 MiB are free, a test may write 64 MiB"]);
        check_free_bytes(Path::new("/x"), 1 << 30).unwrap();
    }

    #[test]
    fn a_file_in_the_way_is_named() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("file"), "").unwrap();
        let path = dir.path().join("file/logs");
        let failure = TestFolder::claim(&path).unwrap_err();
        assert_eq!(
            failure.message,
            format!("cannot write into the log folder `{}`", path.display())
        );
        assert_eq!(failure.exit_code(), 1);
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
                "mlperf_log_accuracy.json.failed",
                "mlperf_log_summary.txt.failed",
                "user.conf"
            ]
        );
    }
}
