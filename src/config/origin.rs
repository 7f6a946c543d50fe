//! Where a value came from.

use std::fmt;

use serde::{Serialize, Serializer};

/// Where a value came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// The key's own default.
    Default,
    /// A line of a file.
    File {
        /// The file, as it is shown.
        path: String,
        /// Line, from 1.
        line: usize,
        /// Section within the file, or empty.
        section: String,
        /// Whether it is a file of the user's, not of the repository's.
        user: bool,
    },
    /// An environment variable.
    Env(String),
    /// A flag.
    Flag(String),
    /// Worked out from other values or from this machine; says from what.
    Derived(String),
}

impl Origin {
    /// Whether the user asked for this value: by a flag, in the environment or in a file of the user's own.
    pub fn is_users(&self) -> bool {
        matches!(
            self,
            Self::Env(_) | Self::Flag(_) | Self::File { user: true, .. }
        )
    }

    /// Whether it was given for this one call: by a flag or in the environment.
    pub fn is_typed(&self) -> bool {
        matches!(self, Self::Env(_) | Self::Flag(_))
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File {
                path,
                line,
                section,
                ..
            } if section.is_empty() => write!(f, "{path}:{line}"),
            Self::File {
                path,
                line,
                section,
                ..
            } => write!(f, "{path}:{line} [{section}]"),
            Self::Env(name) => write!(f, "${name}"),
            Self::Flag(name) => write!(f, "--{name}"),
            Self::Derived(why) => write!(f, "derived: {why}"),
        }
    }
}

impl Serialize for Origin {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}
