//! Child processes of this program: started, told what to do, waited for, and stopped when somebody asks to.

use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::protocol::{receive, send};
use super::signals::StopRequests;
use crate::config::EngineConfig;
use crate::error::Failure;

/// How often the child is looked at.
const LOOK: Duration = Duration::from_millis(50);
/// How long a child may take to end after it was told to.
const PATIENCE: Duration = Duration::from_secs(20);

/// A job for a process of its own.
#[derive(Debug, Clone, Copy)]
pub struct Job<'a> {
    /// The hidden command that does it.
    pub command: &'static str,
    /// Its process, in messages: `the test's process`.
    pub what: &'static str,
    /// What is said when it was stopped.
    pub stopped: &'static str,
    /// The engines that it creates; they say which GPUs it sees.
    pub engine: &'a EngineConfig,
}

impl Job<'_> {
    /// Hands `spec` over and waits for the answer. The inner failure is that of a child that ended without one.
    pub fn run<Report: DeserializeOwned + Send + 'static>(
        &self,
        spec: &impl Serialize,
        stop: &StopRequests,
    ) -> Result<Result<Report, Failure>, Failure> {
        let (mut child, mut socket) = self.start()?;
        // A child that cannot be told what to do says why itself, or ends without a word.
        let _ = send(&mut socket, spec);
        // Read beside the waiting: a report that does not fit the socket's buffer would keep the child from ending.
        let reader = std::thread::spawn(move || receive(&mut socket));
        let status = self.wait(&mut child, stop)?;
        Ok(match reader.join() {
            Ok(Ok(Some(report))) => Ok(report),
            _ => Err(self.ended_without_a_word(status, stop)),
        })
    }

    /// A child with one end of a socket as its stdin. It has a process group of its own: Ctrl-C reaches this process
    /// alone, which then tells the child once.
    fn start(&self) -> Result<(Child, UnixStream), Failure> {
        let failed = |error: std::io::Error| {
            Failure::harness(format!("cannot start {}", self.what)).because(error)
        };
        let (ours, theirs) = UnixStream::pair().map_err(failed)?;
        let program = std::env::current_exe().map_err(failed)?;
        let child = self
            .command_line(&program)
            .stdin(Stdio::from(OwnedFd::from(theirs)))
            .process_group(0)
            .spawn()
            .map_err(failed)?;
        Ok((child, ours))
    }

    fn command_line(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        command.arg(self.command).envs(self.engine.environment());
        command
    }

    fn wait(&self, child: &mut Child, stop: &StopRequests) -> Result<ExitStatus, Failure> {
        let failed = |error: std::io::Error| {
            Failure::harness(format!("cannot wait for {}", self.what)).because(error)
        };
        let mut told: Option<Instant> = None;
        loop {
            if let Some(status) = child.try_wait().map_err(failed)? {
                return Ok(status);
            }
            let asked = stop.count();
            if asked > 0 && told.is_none() {
                told = Some(Instant::now());
                eprintln!("stopping; once more to stop at once");
                signal(child, Signal::TERM);
            }
            if asked > 1 || told.is_some_and(|told| told.elapsed() > PATIENCE) {
                signal(child, Signal::KILL);
            }
            std::thread::sleep(LOOK);
        }
    }

    fn ended_without_a_word(&self, status: ExitStatus, stop: &StopRequests) -> Failure {
        if stop.count() > 0 {
            return Failure::interrupted(self.stopped);
        }
        let what = self.what;
        match status.signal() {
            Some(9) => Failure::harness(format!("{what} was killed (signal 9)"))
                .because("the system kills processes when memory runs out; so may an administrator")
                .hint("use a smaller --gpu_batch_size, which sizes the KV cache; `dmesg` may say more"),
            Some(number) => Failure::harness(format!("{what} crashed (signal {number})"))
                .hint("this is a defect of this program: please report it with the command and the logs"),
            None => Failure::harness(format!("{what} ended without a result ({status})")),
        }
    }
}

fn signal(child: &Child, signal: Signal) {
    // A child that ended in the meantime needs no signal.
    if let Some(pid) = i32::try_from(child.id()).ok().and_then(Pid::from_raw) {
        let _ = kill_process(pid, signal);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::testing::Setup;

    #[test]
    fn a_child_sees_the_devices_that_were_asked_for() {
        let seen = |flags: &[(&str, &str)]| {
            let setup = Setup {
                workload: "gptj-mini",
                gpus: 3,
            };
            let job = Job {
                command: "run-test",
                what: "",
                stopped: "",
                engine: &setup.config(flags).engine,
            };
            let command = job.command_line(Path::new("program"));
            let mut envs = command.get_envs();
            let found = envs.find(|(name, _)| *name == "CUDA_VISIBLE_DEVICES");
            found.and_then(|(_, value)| Some(value?.to_str()?.to_owned()))
        };
        let gpus = seen(&[("engine", "cuda"), ("devices", "2,0")]);
        assert_eq!(gpus.as_deref(), Some("GPU-2,GPU-0"));
        assert_eq!(seen(&[("engine", "cpu")]), None);
    }
}
