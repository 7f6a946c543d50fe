//! What LoadGen wrote about a test: `mlperf_log_detail.txt`, one `:::MLLOG {json}` a line, and the end of
//! `mlperf_log_summary.txt`.
//!
//! LoadGen does not notice when a log cannot be written, so a log counts only if it is complete to its end.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde_json::Value;

use crate::error::{Failure, FailureKind};

const MARK: &str = ":::MLLOG ";
/// Where a summary says how many errors there were, in its last lines.
const SUMMARY_ENDS: [&str; 3] = [
    "No errors encountered during test.",
    "ERROR encountered. See detailed log.",
    "ERRORS encountered. See detailed log.",
];

/// A log that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum LoadgenLogError {
    /// It is not there.
    #[error("LoadGen wrote no log `{0}`")]
    Missing(PathBuf),
    /// It cannot be read.
    #[error("cannot read LoadGen's log `{path}`")]
    Read {
        /// The log.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// It ends in the middle.
    #[error("LoadGen's log `{path}` is incomplete: {lacks}")]
    Incomplete {
        /// The log.
        path: PathBuf,
        /// What it lacks.
        lacks: String,
    },
    /// A line is not what LoadGen writes.
    #[error("line {line} of LoadGen's log `{path}` cannot be understood")]
    Malformed {
        /// The log.
        path: PathBuf,
        /// Counted from 1.
        line: usize,
        /// What the parser said.
        source: serde_json::Error,
    },
}

impl From<LoadgenLogError> for Failure {
    fn from(error: LoadgenLogError) -> Self {
        let hint = match &error {
            LoadgenLogError::Missing(_) | LoadgenLogError::Incomplete { .. } => {
                "LoadGen says nothing when it cannot write: free space on the disk with the logs, or choose another \
                 folder with --log_dir, and run again"
            }
            LoadgenLogError::Read { .. } => "check the permissions of the folder with the logs",
            LoadgenLogError::Malformed { .. } => {
                "the log is damaged, or something else wrote into its folder: run again into another --log_dir"
            }
        };
        Failure::from_error(FailureKind::User, &error).hint(hint)
    }
}

/// The values of a detail log.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct LoadgenLog {
    /// The last value of each key.
    values: BTreeMap<String, Value>,
    /// Messages that LoadGen counts as errors. The submission checker refuses a log with any.
    pub errors: Vec<String>,
    /// Messages that LoadGen counts as warnings.
    pub warnings: Vec<String>,
}

#[derive(Deserialize)]
struct Line {
    key: String,
    value: Value,
    metadata: Metadata,
}

#[derive(Deserialize)]
struct Metadata {
    is_error: bool,
    is_warning: bool,
}

impl LoadgenLog {
    /// Reads a detail log that must be complete.
    pub fn read(path: &Path) -> Result<Self, LoadgenLogError> {
        let text = read_text(path)?;
        let log = Self::parse(&text, path)?;
        // The last value of a performance run, and the settings of every run, come at the end.
        let last = match log.text("effective_test_mode").as_deref() {
            Some("AccuracyOnly") => None,
            _ => Some("num_errors"),
        };
        let lacks = ["loadgen_version", "effective_test_mode"]
            .into_iter()
            .chain(last)
            .find(|key| !log.values.contains_key(*key));
        let lacks = match lacks {
            Some(key) => format!("it has no `{key}`"),
            None if !text.ends_with('\n') => "it ends in the middle of a line".to_owned(),
            None => return Ok(log),
        };
        Err(LoadgenLogError::Incomplete {
            path: path.to_owned(),
            lacks,
        })
    }

    fn parse(text: &str, path: &Path) -> Result<Self, LoadgenLogError> {
        let mut log = Self::default();
        let count = text.lines().count();
        for (index, line) in text.lines().enumerate() {
            let Some(json) = line.strip_prefix(MARK) else {
                continue;
            };
            let line: Line = match serde_json::from_str(json) {
                // What was cut off is told as such.
                Err(_) if index + 1 == count && !text.ends_with('\n') => break,
                other => other.map_err(|source| LoadgenLogError::Malformed {
                    path: path.to_owned(),
                    line: index + 1,
                    source,
                })?,
            };
            let message = || match &line.value {
                Value::String(text) => text.trim().to_owned(),
                other => other.to_string(),
            };
            if line.metadata.is_error {
                log.errors.push(message());
            }
            if line.metadata.is_warning {
                log.warnings.push(message());
            }
            log.values.insert(line.key, line.value);
        }
        Ok(log)
    }

    /// A log of these values, for tests.
    #[cfg(test)]
    pub fn of(values: &[(&str, Value)]) -> Self {
        let values = values
            .iter()
            .map(|(key, value)| ((*key).to_owned(), value.clone()));
        Self {
            values: values.collect(),
            ..Self::default()
        }
    }

    /// A value as text.
    pub fn text(&self, key: &str) -> Option<String> {
        self.values.get(key)?.as_str().map(str::to_owned)
    }

    /// A value as a number.
    pub fn number(&self, key: &str) -> Option<f64> {
        self.values.get(key)?.as_f64()
    }

    /// A value as a whole number of at least 0.
    pub fn count(&self, key: &str) -> Option<u64> {
        self.values.get(key)?.as_u64()
    }

    /// A value as yes or no.
    pub fn flag(&self, key: &str) -> Option<bool> {
        self.values.get(key)?.as_bool()
    }

    /// LoadGen's verdict on a performance run.
    pub fn is_valid(&self) -> Option<bool> {
        Some(self.text("result_validity")? == "VALID")
    }
}

fn read_text(path: &Path) -> Result<String, LoadgenLogError> {
    fs::read_to_string(path).map_err(|source| match source.kind() {
        std::io::ErrorKind::NotFound => LoadgenLogError::Missing(path.to_owned()),
        _ => LoadgenLogError::Read {
            path: path.to_owned(),
            source,
        },
    })
}

/// Whether a summary is there, and written to its end.
pub fn check_summary(path: &Path) -> Result<(), LoadgenLogError> {
    let text = read_text(path)?;
    if SUMMARY_ENDS
        .iter()
        .any(|end| text.trim_end().ends_with(end))
    {
        return Ok(());
    }
    Err(LoadgenLogError::Incomplete {
        path: path.to_owned(),
        lacks: "it does not say how many errors there were".to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(key: &str, value: &str, kind: &str) -> String {
        let is = |what: &str| what == kind;
        format!(
            ":::MLLOG {{\"key\": \"{key}\", \"value\": {value}, \"time_ms\": 1.5, \"namespace\": \"mlperf::logging\", \
             \"event_type\": \"POINT_IN_TIME\", \"metadata\": {{\"is_error\": {}, \"is_warning\": {}, \
             \"file\": \"loadgen.cc\", \"line_no\": 1, \"pid\": 1, \"tid\": 1}}}}\n",
            is("error"),
            is("warning")
        )
    }

    fn complete() -> String {
        [
            line("loadgen_version", "\"5.0.25 @ \"", ""),
            line("effective_test_mode", "\"PerformanceOnly\"", ""),
            line("result_validity", "\"VALID\"", ""),
            line("result_samples_per_second", "31.5", ""),
            line("result_query_count", "1", ""),
            line("result_min_duration_met", "true", ""),
            line("warning_generic", "\"Careful \"", "warning"),
            line("error_runtime", "\"Ending early\"", "error"),
            line("num_errors", "1", ""),
        ]
        .concat()
    }

    fn read(text: &str) -> Result<LoadgenLog, LoadgenLogError> {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), text).unwrap();
        LoadgenLog::read(file.path())
    }

    #[test]
    fn values_errors_and_warnings_are_found() {
        let log = read(&format!("something else\n{}", complete())).unwrap();
        assert_eq!(log.is_valid(), Some(true));
        assert_eq!(log.number("result_samples_per_second"), Some(31.5));
        assert_eq!(log.count("result_query_count"), Some(1));
        assert_eq!(log.flag("result_min_duration_met"), Some(true));
        assert_eq!(log.errors, ["Ending early"]);
        assert_eq!(log.warnings, ["Careful"]);
        assert_eq!(log.number("result_validity"), None);
    }

    #[test]
    fn a_log_that_is_cut_off_anywhere_is_no_result() {
        let text = complete();
        for end in 0..text.len() {
            let error = read(&text[..end]).expect_err("a cut log");
            assert!(
                matches!(error, LoadgenLogError::Incomplete { .. }),
                "{end}: {error}"
            );
        }
    }

    #[test]
    fn a_damaged_line_is_named() {
        let text = complete().replacen("\"value\": \"VALID\"", "\"value\": VALID", 1);
        let error = read(&text).unwrap_err();
        assert!(
            error.to_string().starts_with("line 3 of LoadGen's log"),
            "{error}"
        );
    }

    #[test]
    fn a_summary_ends_with_its_errors() {
        let file = tempfile::NamedTempFile::new().unwrap();
        for (text, fine) in [
            (
                "x\nNo warnings encountered during test.\n\nNo errors encountered during test.\n",
                true,
            ),
            ("x\n\n1 ERROR encountered. See detailed log.\n", true),
            ("x\n\n3 ERRORS encountered. See detailed log.\n", true),
            ("Result is : VALID\n", false),
            ("", false),
        ] {
            fs::write(file.path(), text).unwrap();
            assert_eq!(check_summary(file.path()).is_ok(), fine, "{text}");
        }
        let missing = check_summary(Path::new("/nonexistent/summary.txt")).unwrap_err();
        assert_eq!(
            missing.to_string(),
            "LoadGen wrote no log `/nonexistent/summary.txt`"
        );
    }
}
