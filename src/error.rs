//! What a command ends with when it does not succeed: whose fault it was, what happened, why, and what to do.
//!
//! Modules return their own `thiserror` enums or `anyhow` errors. At the seams to the command line they become a
//! [`Failure`], either because a module made one (`Failure::user(..)`), because an error was marked on its way up
//! ([`Explain::or_user_error`], [`Explain::hint`]), or, failing both, as a failure of the harness.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Whose fault it was; decides the exit code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FailureKind {
    /// What was asked for cannot be done: wrong flag, missing file, full disk. Exit 1.
    User,
    /// The harness could not do what it should have done. Exit 2.
    Harness,
    /// Somebody pressed Ctrl-C or sent SIGTERM. Exit 130.
    Interrupted,
}

impl FailureKind {
    /// The process' exit code.
    pub fn exit_code(self) -> u8 {
        match self {
            Self::User => 1,
            Self::Harness => 2,
            Self::Interrupted => 130,
        }
    }
}

/// A failure as it is shown, and as a child process hands it to its parent (as JSON).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// Whose fault it was.
    pub kind: FailureKind,
    /// What happened, in one line; names the path or value.
    pub message: String,
    /// Why, from the nearest cause to the deepest one.
    #[serde(default)]
    pub causes: Vec<String>,
    /// What to do about it.
    #[serde(default)]
    pub hint: Option<String>,
}

impl Failure {
    /// A mistake of the user's.
    pub fn user(message: impl Into<String>) -> Self {
        Self::new(FailureKind::User, message)
    }

    /// A failure of the harness.
    pub fn harness(message: impl Into<String>) -> Self {
        Self::new(FailureKind::Harness, message)
    }

    /// The end of a command that was told to stop.
    pub fn interrupted(message: impl Into<String>) -> Self {
        Self::new(FailureKind::Interrupted, message)
    }

    /// A failure without causes and without a hint.
    pub fn new(kind: FailureKind, message: impl Into<String>) -> Self {
        Self {
            kind,
            message: message.into(),
            causes: Vec::new(),
            hint: None,
        }
    }

    /// A failure from an error and its sources: for `impl From<my_module::Error> for Failure`.
    pub fn from_error(kind: FailureKind, error: &(dyn std::error::Error + 'static)) -> Self {
        let mut failure = Self::new(kind, error.to_string());
        let mut source = error.source();
        while let Some(cause) = source {
            failure.push_cause(cause.to_string());
            source = cause.source();
        }
        failure
    }

    /// Adds one more cause, behind those already there.
    #[must_use]
    pub fn because(mut self, cause: impl fmt::Display) -> Self {
        self.push_cause(cause.to_string());
        self
    }

    /// Says what to do about it.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// The process' exit code.
    pub fn exit_code(&self) -> u8 {
        self.kind.exit_code()
    }

    /// The text for people: `error:`, one `caused by:` for each cause, and behind an empty line the `hint:`.
    pub fn render(&self) -> String {
        let mut text = format!("error: {}\n", indent_rest(&self.message));
        for cause in &self.causes {
            text.push_str(&format!("  caused by: {}\n", indent_rest(cause)));
        }
        if let Some(hint) = &self.hint {
            text.push_str(&format!("\nhint: {}\n", indent_rest(hint)));
        }
        text
    }

    fn push_cause(&mut self, cause: String) {
        // Errors that print their source in their own message would otherwise say everything twice.
        let last = self.causes.last().unwrap_or(&self.message);
        if !last.ends_with(&cause) {
            self.causes.push(cause);
        }
    }
}

/// Further lines of a message stay under its first one.
fn indent_rest(text: &str) -> String {
    text.trim_end().replace('\n', "\n  ")
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Failure {}

impl From<anyhow::Error> for Failure {
    /// Walks the chain: the outermost hint and the outermost statement about whose fault it was win.
    fn from(error: anyhow::Error) -> Self {
        // A `Failure` that was attached with `context()` is hidden inside the chain but found by its type.
        let attached = error.downcast_ref::<Failure>();
        let mut kind = None;
        let mut hint = None;
        let mut failure: Option<Failure> = None;
        let mut push = |text: String| match failure.as_mut() {
            None => failure = Some(Failure::harness(text)),
            Some(failure) => failure.push_cause(text),
        };
        for link in error.chain() {
            if let Some(mark) = link.downcast_ref::<Marked>() {
                kind = kind.or(mark.kind);
                hint = hint.or_else(|| mark.hint.clone());
                continue;
            }
            push(link.to_string());
            if let Some(inner) = link.downcast_ref::<Failure>() {
                kind = kind.or(Some(inner.kind));
                hint = hint.or_else(|| inner.hint.clone());
                inner.causes.iter().cloned().for_each(&mut push);
            }
        }
        let mut failure = failure.unwrap_or_else(|| Failure::harness("unknown error"));
        failure.kind = kind
            .or(attached.map(|inner| inner.kind))
            .unwrap_or(FailureKind::Harness);
        failure.hint = hint.or_else(|| attached.and_then(|inner| inner.hint.clone()));
        failure
    }
}

/// A note on an error that passes through: no message of its own.
#[derive(Debug)]
struct Marked {
    kind: Option<FailureKind>,
    hint: Option<String>,
    inner: anyhow::Error,
}

impl fmt::Display for Marked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.fmt(f)
    }
}

impl std::error::Error for Marked {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(self.inner.as_ref())
    }
}

/// Says on the way up whose fault an error was, and what to do about it, without another message.
pub trait Explain<T> {
    /// The user's mistake: exit 1.
    fn or_user_error(self) -> anyhow::Result<T>;
    /// A failure of the harness: exit 2.
    fn or_harness_error(self) -> anyhow::Result<T>;
    /// What to do about it; a hint given further out wins.
    fn hint(self, hint: impl Into<String>) -> anyhow::Result<T>;
}

impl<T, E: Into<anyhow::Error>> Explain<T> for Result<T, E> {
    fn or_user_error(self) -> anyhow::Result<T> {
        self.map_err(|error| mark(error.into(), Some(FailureKind::User), None))
    }

    fn or_harness_error(self) -> anyhow::Result<T> {
        self.map_err(|error| mark(error.into(), Some(FailureKind::Harness), None))
    }

    fn hint(self, hint: impl Into<String>) -> anyhow::Result<T> {
        self.map_err(|error| mark(error.into(), None, Some(hint.into())))
    }
}

fn mark(inner: anyhow::Error, kind: Option<FailureKind>, hint: Option<String>) -> anyhow::Error {
    Marked { kind, hint, inner }.into()
}

#[cfg(test)]
mod tests {
    use anyhow::Context;

    use super::*;

    #[test]
    fn renders_causes_and_hint() {
        let failure = Failure::user("cannot read `a.toml`")
            .because("permission denied")
            .hint("chmod +r a.toml");
        assert_eq!(
            failure.render(),
            "error: cannot read `a.toml`\n  caused by: permission denied\n\nhint: chmod +r a.toml\n"
        );
        assert_eq!(failure.exit_code(), 1);
    }

    #[test]
    fn an_unmarked_error_is_the_harness_own() {
        let error = anyhow::anyhow!("inner").context("outer");
        let failure = Failure::from(error);
        assert_eq!(failure.kind, FailureKind::Harness);
        assert_eq!(failure.exit_code(), 2);
        assert_eq!(
            (failure.message.as_str(), failure.causes),
            ("outer", vec!["inner".to_owned()])
        );
    }

    #[test]
    fn marks_add_no_message_and_the_outermost_wins() {
        let result: anyhow::Result<()> = Err(anyhow::anyhow!("deep")).or_harness_error();
        let result = result
            .hint("first")
            .context("outer")
            .hint("second")
            .or_user_error();
        let failure = Failure::from(result.unwrap_err());
        assert_eq!(failure.kind, FailureKind::User);
        assert_eq!(failure.hint.as_deref(), Some("second"));
        assert_eq!(failure.message, "outer");
        assert_eq!(failure.causes, ["deep"]);
    }

    #[test]
    fn a_failure_keeps_kind_and_causes_under_context() {
        let inner: anyhow::Error = Failure::user("bad value")
            .because("too large")
            .hint("less")
            .into();
        let failure = Failure::from(inner.context("while reading flags"));
        assert_eq!(failure.kind, FailureKind::User);
        assert_eq!(failure.causes, ["bad value", "too large"]);
        assert_eq!(failure.hint.as_deref(), Some("less"));
    }

    #[test]
    fn a_failure_given_as_context_counts() {
        let result: Result<(), _> = Err(std::io::Error::other("disk"));
        let error = result
            .context(Failure::user("cannot write `x`").hint("free space"))
            .unwrap_err();
        let failure = Failure::from(error);
        assert_eq!(failure.kind, FailureKind::User);
        assert_eq!(failure.message, "cannot write `x`");
        assert_eq!(failure.causes, ["disk"]);
        assert_eq!(failure.hint.as_deref(), Some("free space"));
    }

    #[test]
    fn repeated_text_is_said_once() {
        let failure = Failure::user("cannot open `x`: no such file").because("no such file");
        assert_eq!(failure.causes, Vec::<String>::new());
    }

    #[test]
    fn survives_the_way_from_a_child() {
        let failure = Failure::interrupted("stopped").because("SIGINT");
        let json = serde_json::to_string(&failure).unwrap();
        assert_eq!(serde_json::from_str::<Failure>(&json).unwrap(), failure);
        assert_eq!(failure.exit_code(), 130);
    }
}
