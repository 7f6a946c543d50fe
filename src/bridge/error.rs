//! Errors of the C++ side: `kind: message` texts, taken apart.

use crate::error::{Failure, FailureKind};

/// Mirror of `gptj::ErrorKind`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorKind {
    /// A value that the caller gave is wrong.
    InvalidArgument,
    /// The checkpoint or its configuration does not describe a GPT-J that the engine can run.
    Model,
    /// A file or folder.
    Io,
    /// This build or this machine cannot do it.
    Unsupported,
    /// Host or device memory.
    OutOfMemory,
    /// NaN or infinity where a number was due.
    Numeric,
    /// LoadGen refused or did not run the test.
    LoadGen,
    /// The user asked to stop.
    Interrupted,
    /// A broken invariant: a defect of this program.
    Internal,
}

impl ErrorKind {
    /// The kind with that name; keep in sync with `to_string(ErrorKind)` in `cpp/include/gptj/error.h`.
    fn parse(name: &str) -> Option<Self> {
        Some(match name {
            "invalid_argument" => Self::InvalidArgument,
            "model" => Self::Model,
            "io" => Self::Io,
            "unsupported" => Self::Unsupported,
            "out_of_memory" => Self::OutOfMemory,
            "numeric" => Self::Numeric,
            "loadgen" => Self::LoadGen,
            "interrupted" => Self::Interrupted,
            "internal" => Self::Internal,
            _ => return None,
        })
    }
}

/// An error of the harness or of an engine.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct EngineError {
    /// What kind of error.
    pub kind: ErrorKind,
    /// What happened; names the value or file.
    pub message: String,
}

impl EngineError {
    /// From `kind: message`. A text without a known kind is an error inside the bridge itself.
    pub fn parse(text: &str) -> Self {
        let parts = text
            .split_once(": ")
            .and_then(|(name, message)| Some((ErrorKind::parse(name)?, message)));
        let (kind, message) = parts.unwrap_or((ErrorKind::Internal, text));
        Self {
            kind,
            message: message.to_owned(),
        }
    }

    /// Whose fault it is.
    pub fn failure_kind(&self) -> FailureKind {
        match self.kind {
            ErrorKind::InvalidArgument
            | ErrorKind::Model
            | ErrorKind::Io
            | ErrorKind::Unsupported
            | ErrorKind::OutOfMemory => FailureKind::User,
            ErrorKind::Interrupted => FailureKind::Interrupted,
            ErrorKind::Numeric | ErrorKind::LoadGen | ErrorKind::Internal => FailureKind::Harness,
        }
    }
}

impl From<cxx::Exception> for EngineError {
    fn from(exception: cxx::Exception) -> Self {
        Self::parse(exception.what())
    }
}

impl From<EngineError> for Failure {
    fn from(error: EngineError) -> Self {
        Failure::from_error(error.failure_kind(), &error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_kind_and_message_apart() {
        let error = EngineError::parse("io: cannot write into `/x`: disk full");
        assert_eq!(error.kind, ErrorKind::Io);
        assert_eq!(error.to_string(), "cannot write into `/x`: disk full");
        assert_eq!(Failure::from(error).kind, FailureKind::User);
    }

    #[test]
    fn an_unknown_kind_is_part_of_the_message() {
        let error = EngineError::parse("strange: thing");
        assert_eq!(error.kind, ErrorKind::Internal);
        assert_eq!(error.message, "strange: thing");
    }

    #[test]
    fn faults_of_the_harness_are_not_the_users() {
        for (text, kind) in [
            ("numeric: NaN", FailureKind::Harness),
            ("loadgen: nothing issued", FailureKind::Harness),
            ("internal: broken", FailureKind::Harness),
            ("interrupted: stopped", FailureKind::Interrupted),
            ("out_of_memory: 3 GB", FailureKind::User),
        ] {
            assert_eq!(Failure::from(EngineError::parse(text)).kind, kind, "{text}");
        }
    }
}
