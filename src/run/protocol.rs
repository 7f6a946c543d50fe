//! What parent and child tell each other: a test or another job, over the child's stdin; what came of it, back over the
//! same socket. A socket rather than files, so that a full disk cannot lose an error.

use std::collections::BTreeMap;
use std::io::{self, Read, Write};
use std::net::Shutdown;
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::config::{ResolvedConfig, SettingUsed};
use crate::error::Failure;
use crate::report::{CommandLine, TestResult};

/// One test, as the parent hands it over.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TestSpec {
    /// Everything there is to know about it.
    pub config: ResolvedConfig,
    /// Where its settings came from, for the result.
    pub settings: BTreeMap<String, SettingUsed>,
    /// Samples per second that an Offline test of the same engines reached a moment ago.
    pub offline_rate: Option<f64>,
    /// The command that it is part of, for advice on the next one.
    pub command: CommandLine,
}

/// How it ended.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TestReport {
    /// The same as in `result.json`.
    pub result: TestResult,
    /// Why that file, or one beside it, could not be written.
    pub unwritten: Option<Failure>,
}

/// The parent's end: waits for the report; `None` when the child ended without one.
pub fn receive<T: DeserializeOwned>(stream: &mut UnixStream) -> io::Result<Option<T>> {
    let mut text = Vec::new();
    stream.read_to_end(&mut text)?;
    if text.is_empty() {
        return Ok(None);
    }
    serde_json::from_slice(&text)
        .map(Some)
        .map_err(io::Error::other)
}

/// The child's end of the socket.
pub struct ChildEnd(UnixStream);

impl ChildEnd {
    /// Takes it from stdin.
    pub fn open() -> io::Result<Self> {
        let stdin = io::stdin().as_fd().try_clone_to_owned()?;
        Ok(Self(UnixStream::from(stdin)))
    }

    /// Waits for what there is to do.
    pub fn receive_spec<T: DeserializeOwned>(&mut self) -> io::Result<T> {
        let mut text = Vec::new();
        self.0.read_to_end(&mut text)?;
        serde_json::from_slice(&text).map_err(io::Error::other)
    }

    /// Tells how it ended; nothing can be told after it.
    pub fn send_report(&mut self, report: &impl Serialize) -> io::Result<()> {
        send(&mut self.0, report)
    }
}

/// Sends a value, and nothing after it.
pub fn send(stream: &mut UnixStream, value: &impl Serialize) -> io::Result<()> {
    let text = serde_json::to_vec(value).map_err(io::Error::other)?;
    stream.write_all(&text)?;
    stream.shutdown(Shutdown::Write)
}
