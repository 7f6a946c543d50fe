//! Scratch space: where models and data are kept, and the links to it under build/.
//!
//! `MLPERF_SCRATCH_PATH` names the scratch space; data sets and models are large and are often kept on a disk of their
//! own. Without it, everything stays below the repository, in `build/scratch`. The program itself only ever uses the
//! three names under `build/`, as people and documents do.

mod links;

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use crate::error::Failure;

pub use links::{LinkReport, LinkState, Linked, link_dirs};

/// The environment variable that names the scratch space.
pub const SCRATCH_VARIABLE: &str = "MLPERF_SCRATCH_PATH";

/// Tells the repository from any other folder.
const ROOT_MARKER: &str = "configs/gptj/base.toml";

/// The scratch space when none is named, below the repository.
const OWN: &str = "build/scratch";

/// The part of a path that is there already: itself, or the nearest folder above it.
pub fn existing_part(path: &Path) -> &Path {
    let existing = path.ancestors().find(|folder| folder.exists());
    // Above a relative path is the working folder, whose name is empty there.
    let existing = existing.filter(|folder| !folder.as_os_str().is_empty());
    existing.unwrap_or(Path::new("."))
}

/// A folder of the scratch space.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Data sets as they were downloaded.
    Data,
    /// Checkpoints.
    Models,
    /// Tokenised data sets.
    PreprocessedData,
}

impl Kind {
    /// All of them, in the order in which they are linked.
    pub const ALL: [Self; 3] = [Self::Data, Self::Models, Self::PreprocessedData];

    /// The folder's name, both in the scratch space and under build/.
    pub fn name(self) -> &'static str {
        match self {
            Self::Data => "data",
            Self::Models => "models",
            Self::PreprocessedData => "preprocessed_data",
        }
    }
}

/// Where this program's files are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Places {
    /// The repository, or the working folder of a program that was installed elsewhere. `build/` is in it.
    pub root: PathBuf,
    /// The scratch space; it may not exist yet.
    pub scratch: PathBuf,
    /// The scratch space was named by the user.
    pub scratch_given: bool,
}

impl Places {
    /// Finds the repository above the program or above the working folder, and the scratch space that `variable`, the
    /// value of [`SCRATCH_VARIABLE`], names. An empty value counts as none.
    pub fn find(program: Option<&Path>, working_dir: &Path, variable: Option<OsString>) -> Self {
        let starts = program
            .and_then(Path::parent)
            .into_iter()
            .chain([working_dir]);
        let root = starts
            .flat_map(Path::ancestors)
            .find(|folder| folder.join(ROOT_MARKER).is_file())
            .unwrap_or(working_dir)
            .to_owned();
        let given = variable.filter(|value| !value.is_empty());
        Self {
            scratch_given: given.is_some(),
            scratch: match given {
                Some(path) => working_dir.join(path),
                None => root.join(OWN),
            },
            root,
        }
    }

    /// A scratch space that was named must be a folder that can be read: whoever mistyped it would otherwise get
    /// another model, or the same one downloaded once more.
    pub fn check(&self) -> Result<(), Failure> {
        if !self.scratch_given {
            return Ok(());
        }
        let scratch = self.scratch.display();
        let Err(error) = std::fs::read_dir(&self.scratch) else {
            return Ok(());
        };
        let (message, hint) = match error.kind() {
            std::io::ErrorKind::NotFound => (
                format!("there is no scratch space `{scratch}`"),
                format!(
                    "`run_harness link-dirs` makes it; or correct {SCRATCH_VARIABLE}, or unset it to use `{}`",
                    self.own().display()
                ),
            ),
            _ => (
                format!("cannot read the scratch space `{scratch}`"),
                format!(
                    "set {SCRATCH_VARIABLE} to a folder that you may read, or unset it to use `{}`",
                    self.own().display()
                ),
            ),
        };
        Err(Failure::user(message)
            .because(error)
            .because(format!("{SCRATCH_VARIABLE} names it"))
            .hint(hint))
    }

    /// The scratch space when none is named.
    pub fn own(&self) -> PathBuf {
        self.root.join(OWN)
    }

    /// The places of this process.
    pub fn of_this_process() -> std::io::Result<Self> {
        Ok(Self::find(
            std::env::current_exe().ok().as_deref(),
            &std::env::current_dir()?,
            std::env::var_os(SCRATCH_VARIABLE),
        ))
    }

    /// `build/<name>`, the link to a folder of the scratch space or a folder of its own.
    pub fn link(&self, kind: Kind) -> PathBuf {
        self.root.join("build").join(kind.name())
    }

    /// The folder to use: what is under build/, or, as long as nothing is linked, the scratch space itself.
    pub fn folder(&self, kind: Kind) -> PathBuf {
        let link = self.link(kind);
        if link.exists() {
            link
        } else {
            self.scratch.join(kind.name())
        }
    }
}
