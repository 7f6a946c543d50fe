//! Folders that something is about to be written into: what could go wrong is told before long work, not after it; and
//! files that are there whole or not at all.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;

use crate::error::Failure;

/// Bytes that this process may still write to the disk that `folder` is on.
pub fn free_bytes(folder: &Path) -> io::Result<u64> {
    let found = rustix::fs::statvfs(folder)?;
    Ok(found.f_bavail.saturating_mul(found.f_frsize))
}

/// Writes a file under the name `unfinished` beside it and gives it its own when all of it is on the disk, so that
/// nobody ever reads half of it.
pub fn write_and_rename(unfinished: &Path, path: &Path, content: &[u8]) -> io::Result<()> {
    let mut file = File::create(unfinished)?;
    file.write_all(content)?;
    file.sync_all()?;
    fs::rename(unfinished, path)
}

/// A folder, and what is to be written into it.
#[derive(Debug, Clone, Copy)]
pub struct Destination<'a> {
    /// Where it is.
    pub path: &'a Path,
    /// What it is to people: `log folder`.
    pub what: &'a str,
    /// What writes into it: `a test`.
    pub writer: &'a str,
    /// What that may write, with room to spare.
    pub bytes: u64,
    /// The option that names another folder: `--log_dir`.
    pub option: &'a str,
}

impl Destination<'_> {
    /// Makes the folder, and those above it.
    pub fn create(&self) -> Result<(), Failure> {
        fs::create_dir_all(self.path).map_err(|error| self.refused(error))
    }

    /// Writes a little file, to the disk and away again, and looks at the free space. Only for whoever has the folder to
    /// himself: two of these at once are in each other's way.
    pub fn probe(&self) -> Result<(), Failure> {
        self.try_writing().map_err(|error| self.refused(error))?;
        // A file system that cannot tell is not held against anybody.
        match free_bytes(self.path) {
            Ok(free) => self.check_free_bytes(free),
            Err(_) => Ok(()),
        }
    }

    /// The failure for something that could not be written into the folder.
    pub fn refused(&self, error: io::Error) -> Failure {
        Failure::user(format!(
            "cannot write into the {} `{}`",
            self.what,
            self.path.display()
        ))
        .because(error)
        .hint(self.remedy())
    }

    /// What to do when writing fails.
    pub fn remedy(&self) -> String {
        format!(
            "check its permissions and the free space, or choose another folder with {}",
            self.option
        )
    }

    fn try_writing(&self) -> io::Result<()> {
        let path = self.path.join(".probe");
        let mut probe = File::create(&path)?;
        let written = probe.write_all(&[0; 4096]).and_then(|()| probe.sync_all());
        fs::remove_file(&path)?;
        written
    }

    fn check_free_bytes(&self, free: u64) -> Result<(), Failure> {
        if free >= self.bytes {
            return Ok(());
        }
        let mib = |bytes: u64| bytes >> 20;
        Err(Failure::user(format!(
            "the disk with the {} `{}` is full",
            self.what,
            self.path.display()
        ))
        .because(format!(
            "{} MiB are free, {} may write {} MiB",
            mib(free),
            self.writer,
            mib(self.bytes)
        ))
        .hint(format!(
            "free some space, or choose a folder on another disk with {}",
            self.option
        )))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn logs(path: &Path) -> Destination<'_> {
        Destination {
            path,
            what: "log folder",
            writer: "a test",
            bytes: 64 << 20,
            option: "--log_dir",
        }
    }

    #[test]
    fn a_full_disk_is_told_in_numbers() {
        let failure = logs(Path::new("/x")).check_free_bytes(3 << 20).unwrap_err();
        assert_eq!(failure.message, "the disk with the log folder `/x` is full");
        assert_eq!(failure.causes, ["3 MiB are free, a test may write 64 MiB"]);
        assert!(failure.hint.unwrap().ends_with("with --log_dir"));
        logs(Path::new("/x")).check_free_bytes(1 << 30).unwrap();
    }

    #[test]
    fn a_probe_leaves_nothing() {
        let dir = tempfile::tempdir().unwrap();
        logs(dir.path()).probe().unwrap();
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
    }

    #[test]
    fn a_file_in_the_way_is_named() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("file"), "").unwrap();
        let path = dir.path().join("file/logs");
        let failure = logs(&path).create().unwrap_err();
        assert_eq!(
            failure.message,
            format!("cannot write into the log folder `{}`", path.display())
        );
        assert_eq!(failure.exit_code(), 1);
        assert!(logs(&path).probe().is_err());
    }
}
