//! What lies beside a plan and says what it was built for, and whether the two still fit.

use std::fmt;
use std::fs;
use std::io;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::needs::{Change, Needs};
use crate::error::Failure;
use crate::model::Fingerprint;
use crate::model::fingerprint::{self, WHOLE};

/// Version of the fields below.
pub const SCHEMA_VERSION: u32 = 1;

/// What a plan was built for, by whom, and how.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    /// [`SCHEMA_VERSION`].
    pub schema_version: u32,
    /// `run_harness` and its version.
    pub program: String,
    /// When the build ended: RFC 3339, UTC.
    pub built: String,
    /// What it was built for.
    pub needs: Needs,
    /// The file.
    pub plan: PlanFile,
    /// How long it took.
    pub seconds: Seconds,
    /// Bytes of the timing cache that the build could use.
    pub timing_cache_bytes: u64,
}

/// What identifies a plan's file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlanFile {
    /// Its length.
    pub bytes: u64,
    /// Digest of all of it.
    pub digest: Fingerprint,
}

/// Seconds of a build.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Seconds {
    /// Start of the builder and definition of the network.
    pub network: f64,
    /// Choice of kernels.
    pub kernels: f64,
    /// From the start to the digest of the file.
    pub total: f64,
}

/// Why a plan cannot be used as it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Stale {
    /// There is none.
    Missing,
    /// There is none beside the plan.
    NoManifest,
    /// Plan or manifest cannot be read, or the latter not be understood.
    Unreadable(String),
    /// The manifest is of another version of this program.
    Schema(u64),
    /// It was built for something else.
    Changed(Vec<Change>),
    /// Its length is not what it was.
    Length {
        /// As the manifest says.
        was: u64,
        /// As it is.
        is: u64,
    },
    /// Its content is not what it was.
    Altered(Change),
    /// Nothing is wrong with it.
    Forced,
}

impl fmt::Display for Stale {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing => f.write_str("there is no plan yet"),
            Self::NoManifest => f.write_str("the plan has no manifest"),
            Self::Unreadable(why) => f.write_str(why),
            Self::Schema(found) => write!(
                f,
                "the manifest's schema_version is {found}, this program writes {SCHEMA_VERSION}"
            ),
            Self::Changed(changes) => {
                let changes: Vec<_> = changes.iter().map(Change::to_string).collect();
                f.write_str(&changes.join("; "))
            }
            Self::Length { was, is } if is < was => {
                write!(f, "the plan was cut off: its length was {was}, is {is}")
            }
            Self::Length { was, is } => {
                write!(f, "the plan was altered: its length was {was}, is {is}")
            }
            Self::Altered(change) => write!(f, "the plan was altered: its {change}"),
            Self::Forced => f.write_str("force_build_engines is set"),
        }
    }
}

impl PlanFile {
    /// Reads a plan for its digest.
    pub fn of(path: &Path) -> Result<Self, Failure> {
        let digest = fingerprint::of_file(path, WHOLE, &|_| {})?;
        let bytes = fs::metadata(path).map_err(|error| {
            Failure::user(format!("cannot read `{}`", path.display())).because(error)
        })?;
        Ok(Self {
            bytes: bytes.len(),
            digest,
        })
    }
}

impl Manifest {
    /// Reads it.
    pub fn read(path: &Path) -> Result<Self, Stale> {
        #[derive(Deserialize)]
        struct Versioned {
            schema_version: u64,
        }
        let text = match fs::read(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(Stale::NoManifest),
            other => other.map_err(|error| {
                Stale::Unreadable(format!("cannot read `{}`: {error}", path.display()))
            })?,
        };
        let broken = |error: serde_json::Error| {
            Stale::Unreadable(format!(
                "`{}` cannot be understood: {error}",
                path.display()
            ))
        };
        // The version first: nothing else is sure to be where another version has it.
        let version: Versioned = serde_json::from_slice(&text).map_err(broken)?;
        if version.schema_version != u64::from(SCHEMA_VERSION) {
            return Err(Stale::Schema(version.schema_version));
        }
        serde_json::from_slice(&text).map_err(broken)
    }

    /// The manifest of a plan that is whole and was built for these needs; else what is wrong with it.
    pub fn of_fitting(plan: &Path, manifest: &Path, needs: &Needs) -> Result<Self, Stale> {
        let length = match fs::metadata(plan) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(Stale::Missing),
            other => other
                .map_err(|error| {
                    Stale::Unreadable(format!("cannot read `{}`: {error}", plan.display()))
                })?
                .len(),
        };
        let manifest = Self::read(manifest)?;
        let changes = needs.changes_since(&manifest.needs);
        if !changes.is_empty() {
            return Err(Stale::Changed(changes));
        }
        if length != manifest.plan.bytes {
            return Err(Stale::Length {
                was: manifest.plan.bytes,
                is: length,
            });
        }
        let found = PlanFile::of(plan).map_err(|failure| Stale::Unreadable(failure.message))?;
        if found.digest != manifest.plan.digest {
            return Err(Stale::Altered(Change::new(
                "digest",
                &manifest.plan.digest,
                &found.digest,
            )));
        }
        Ok(manifest)
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::super::needs::tests::needs;
    use super::*;
    use crate::report::files::write_json;

    struct Plan {
        _folder: tempfile::TempDir,
        plan: PathBuf,
        manifest: PathBuf,
    }

    impl Plan {
        fn new() -> Self {
            let folder = tempfile::tempdir().unwrap();
            let plan = folder.path().join("a.plan");
            fs::write(&plan, "plan").unwrap();
            let made = Self {
                manifest: folder.path().join("a.plan.json"),
                plan,
                _folder: folder,
            };
            let content = Manifest {
                schema_version: SCHEMA_VERSION,
                program: "run_harness 0".to_owned(),
                built: "2025-01-31T12:00:00Z".to_owned(),
                needs: needs(),
                plan: PlanFile::of(&made.plan).unwrap(),
                seconds: Seconds {
                    network: 0.1,
                    kernels: 0.2,
                    total: 0.3,
                },
                timing_cache_bytes: 0,
            };
            write_json(&made.manifest, &content).unwrap();
            made
        }

        fn check(&self) -> Result<Manifest, Stale> {
            Manifest::of_fitting(&self.plan, &self.manifest, &needs())
        }

        fn said(&self) -> String {
            self.check().unwrap_err().to_string()
        }

        fn edit_manifest(&self, from: &str, to: &str) {
            let text = fs::read_to_string(&self.manifest).unwrap();
            assert!(text.contains(from), "{text}");
            fs::write(&self.manifest, text.replace(from, to)).unwrap();
        }
    }

    #[test]
    fn a_plan_fits_until_something_changes() {
        let made = Plan::new();
        assert_eq!(made.check().unwrap().needs, needs());
        made.edit_manifest("\"8.6.0\"", "\"8.5.3\"");
        assert_eq!(made.said(), "builder_version was 8.5.3, is 8.6.0");
    }

    #[test]
    fn a_plan_that_is_missing_cut_off_or_altered_is_told() {
        let made = Plan::new();
        fs::write(&made.plan, "pla").unwrap();
        assert_eq!(made.said(), "the plan was cut off: its length was 4, is 3");
        fs::write(&made.plan, "plan+").unwrap();
        assert_eq!(made.said(), "the plan was altered: its length was 4, is 5");
        fs::write(&made.plan, "plam").unwrap();
        let said = made.said();
        let digest = |text: &[u8]| Fingerprint::of_bytes(text).hex[..12].to_owned();
        assert_eq!(
            said,
            format!(
                "the plan was altered: its digest was sha256:{}, is sha256:{}",
                digest(b"plan"),
                digest(b"plam")
            )
        );
        fs::remove_file(&made.plan).unwrap();
        assert_eq!(made.said(), "there is no plan yet");
    }

    #[test]
    fn a_manifest_that_is_missing_damaged_or_of_another_version_is_told() {
        let made = Plan::new();
        made.edit_manifest("\"schema_version\": 1", "\"schema_version\": 2");
        assert_eq!(
            made.said(),
            "the manifest's schema_version is 2, this program writes 1"
        );
        let text = fs::read_to_string(&made.manifest).unwrap();
        fs::write(&made.manifest, &text[..text.len() / 2]).unwrap();
        let said = made.said();
        assert!(
            said.contains("a.plan.json` cannot be understood: "),
            "{said}"
        );
        fs::remove_file(&made.manifest).unwrap();
        assert_eq!(made.said(), "the plan has no manifest");
        fs::create_dir(&made.manifest).unwrap();
        let said = made.said();
        assert!(said.starts_with("cannot read `"), "{said}");
    }
}
