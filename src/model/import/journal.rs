//! How far an import has come, so that one that was stopped at any moment goes on where it was.
//!
//! The journal is a file of JSON lines in a folder of its own, beside the files that are not complete yet. Its first line
//! says what is imported; each other line says that a file's first so many bytes have reached the disk, and what their
//! SHA-256 is. A line is only written after those bytes were; the last one may be cut off and then does not count.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use rustix::fs::FlockOperation;
use serde::{Deserialize, Serialize};

use crate::error::Failure;
use crate::model::Fingerprint;

/// The folder below the target that holds everything that is not complete.
pub(super) const WORK_FOLDER: &str = ".import";
const JOURNAL: &str = "journal";
const LOCK: &str = "lock";
/// Raised whenever older journals cannot be gone on with.
const FORMAT: u32 = 1;

#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Head {
    format: u32,
    plan: Fingerprint,
}

/// A file's first `bytes` are on the disk.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Commit {
    pub file: String,
    pub bytes: u64,
    pub sha256: String,
}

/// What an earlier import into `target` has committed, if it had the same plan.
pub(super) fn earlier(target: &Path, plan: &Fingerprint) -> Option<Vec<Commit>> {
    let text = fs::read_to_string(target.join(WORK_FOLDER).join(JOURNAL)).ok()?;
    // Behind the last line break is a line that was cut off.
    let (whole, _) = text.rsplit_once('\n')?;
    let mut lines = whole.lines();
    let head: Head = serde_json::from_str(lines.next()?).ok()?;
    let expected = Head {
        format: FORMAT,
        plan: plan.clone(),
    };
    let commits = lines.map_while(|line| serde_json::from_str(line).ok());
    (head == expected).then(|| commits.collect())
}

/// Whether an import into a folder was begun and did not come to its end.
pub fn is_unfinished(target: &Path) -> bool {
    target.join(WORK_FOLDER).join(JOURNAL).exists()
}

/// The work folder of one import, which no other process uses.
#[derive(Debug)]
pub(super) struct WorkFolder {
    pub path: PathBuf,
    /// Locked as long as it is open.
    _lock: File,
}

impl WorkFolder {
    /// Makes and locks the folder below `target`.
    pub fn lock(target: &Path) -> Result<Self, Failure> {
        let path = target.join(WORK_FOLDER);
        let refused = |what: &str, path: &Path, error: &io::Error| {
            Failure::user(format!("cannot {what} `{}`", path.display()))
                .because(error)
                .hint("give a folder that you may write to with --to, or set MLPERF_SCRATCH_PATH to one")
        };
        fs::create_dir_all(&path).map_err(|error| refused("create the folder", &path, &error))?;
        let lock_path = path.join(LOCK);
        let lock =
            File::create(&lock_path).map_err(|error| refused("write", &lock_path, &error))?;
        match rustix::fs::flock(&lock, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Self { path, _lock: lock }),
            Err(rustix::io::Errno::WOULDBLOCK) => Err(Failure::user(format!(
                "another process is importing into `{}`",
                target.display()
            ))
            .hint("wait for it to end")),
            Err(error) => Err(refused("lock", &lock_path, &error.into())),
        }
    }

    /// Where a file is until it is complete.
    pub fn partial(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// Begins a journal; what earlier imports left goes.
    pub fn begin(&self, plan: &Fingerprint) -> io::Result<Journal> {
        for entry in fs::read_dir(&self.path)? {
            let entry = entry?;
            if entry.file_name() != LOCK {
                fs::remove_file(entry.path())?;
            }
        }
        let mut journal = self.append()?;
        journal.line(&Head {
            format: FORMAT,
            plan: plan.clone(),
        })?;
        Ok(journal)
    }

    /// Goes on with the journal that is there.
    pub fn append(&self) -> io::Result<Journal> {
        let path = self.path.join(JOURNAL);
        let mut file = OpenOptions::new()
            .read(true)
            .append(true)
            .create(true)
            .open(&path)?;
        let mut text = Vec::new();
        file.read_to_end(&mut text)?;
        let whole = text.iter().rposition(|&byte| byte == b'\n');
        file.set_len(whole.map_or(0, |last| last as u64 + 1))?;
        Ok(Journal { path, file })
    }

    /// The import is complete: nothing of this is needed any longer.
    pub fn remove(self) -> io::Result<()> {
        fs::remove_dir_all(&self.path)
    }
}

/// A journal that is being written.
#[derive(Debug)]
pub(super) struct Journal {
    /// The file, for messages.
    pub path: PathBuf,
    file: File,
}

impl Journal {
    /// Says that bytes are on the disk, which they must be.
    pub fn commit(&mut self, commit: &Commit) -> io::Result<()> {
        self.line(commit)
    }

    fn line(&mut self, value: &impl Serialize) -> io::Result<()> {
        let line = serde_json::to_string(value)? + "\n";
        self.file.write_all(line.as_bytes())?;
        self.file.sync_data()
    }
}
