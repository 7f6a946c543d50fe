//! A file on its way to completeness: what is written is hashed, committed, and found again after an interruption.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use super::journal::{Commit, Journal};
use crate::error::Failure;
use crate::model::Fingerprint;

/// Bytes read at once to find out where to go on.
const CHUNK: usize = 4 << 20;

/// A file that grows at its end.
pub(super) struct PartialFile {
    path: PathBuf,
    file: File,
    hash: Sha256,
    /// Bytes that are there.
    pub written: u64,
    committed: u64,
}

impl PartialFile {
    /// Opens or creates the file and cuts it behind the longest beginning that is as one of `commits` says. `progress`
    /// is told of bytes as they are read.
    pub fn open(
        path: &Path,
        commits: &[Commit],
        progress: &mut dyn FnMut(u64),
    ) -> Result<Self, Failure> {
        let mut partial = Self::create(path).map_err(|error| refused("open", path, &error))?;
        let found = partial
            .find_end(commits, progress)
            .and_then(|()| partial.file.set_len(partial.written))
            .and_then(|()| partial.file.seek(SeekFrom::Start(partial.written)));
        found.map_err(|error| refused("read", path, &error))?;
        Ok(partial)
    }

    fn create(path: &Path) -> io::Result<Self> {
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(path)?;
        Ok(Self {
            path: path.to_owned(),
            file,
            hash: Sha256::new(),
            written: 0,
            committed: 0,
        })
    }

    fn find_end(&mut self, commits: &[Commit], progress: &mut dyn FnMut(u64)) -> io::Result<()> {
        let mut buffer = vec![0; CHUNK];
        let mut hash = Sha256::new();
        let mut at = 0;
        // In the order of their bytes. Where an earlier import went back, there are several of the same length, and those
        // that no longer hold are passed over.
        for commit in commits {
            while at < commit.bytes {
                // At most the buffer's length, which is a usize.
                let count = (commit.bytes - at).min(CHUNK as u64) as usize;
                match self.file.read(&mut buffer[..count])? {
                    // Less is there than was committed.
                    0 => return Ok(()),
                    read => {
                        hash.update(&buffer[..read]);
                        at += read as u64;
                        progress(read as u64);
                    }
                }
            }
            if Fingerprint::so_far(&hash).hex == commit.sha256 {
                self.hash = hash.clone();
                self.written = at;
                self.committed = at;
            }
        }
        Ok(())
    }

    /// Adds bytes at the end.
    pub fn write(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        self.file
            .write_all(bytes)
            .map_err(|error| refused("write", &self.path, &error))?;
        self.hash.update(bytes);
        self.written += bytes.len() as u64;
        Ok(())
    }

    /// Bytes behind the last commit.
    pub fn uncommitted(&self) -> u64 {
        self.written - self.committed
    }

    /// Waits until all bytes are on the disk and says so in the journal.
    pub fn commit(&mut self, name: &str, journal: &mut Journal) -> Result<(), Failure> {
        self.file
            .sync_data()
            .map_err(|error| refused("write", &self.path, &error))?;
        let commit = Commit {
            file: name.to_owned(),
            bytes: self.written,
            sha256: Fingerprint::so_far(&self.hash).hex,
        };
        journal
            .commit(&commit)
            .map_err(|error| refused("write", &journal.path, &error))?;
        self.committed = self.written;
        Ok(())
    }

    /// SHA-256 of what is there.
    pub fn sha256(&self) -> String {
        Fingerprint::so_far(&self.hash).hex
    }
}

/// A failure on the target's disk. Whatever was committed is still there.
pub(super) fn refused(what: &str, path: &Path, error: &io::Error) -> Failure {
    let remedy = match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => "free space on that disk",
        _ => "check the disk and the permissions",
    };
    Failure::user(format!("cannot {what} `{}`", path.display()))
        .because(error)
        .hint(format!(
            "{remedy}, then run the same command again: it goes on where it stopped"
        ))
}
