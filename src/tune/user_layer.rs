//! Writes a found value into the user's own file, where the next run reads it. Comments and everything else in the file
//! stay as they are.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::Serialize;
use toml_edit::{DocumentMut, Item, Table, Value};

use crate::error::Failure;
use crate::report::files;

/// The user's own file, known to be one that can be changed.
#[derive(Debug)]
pub struct UserLayer {
    path: PathBuf,
}

/// What was changed.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Change {
    /// The file.
    pub file: PathBuf,
    /// The section: `gptj-mini.cpu.inflight.server`.
    pub section: String,
    /// The key.
    pub key: String,
    /// What it was there; absent: it was not.
    pub before: Option<String>,
    /// What it is.
    pub value: f64,
}

/// What stands behind a value of ours.
const MARK: &str = " # found by tune-server";

impl UserLayer {
    /// Finds out whether the file could be changed, which need not be there yet.
    pub fn open(path: &Path) -> Result<Self, Failure> {
        // A link stays one.
        let path = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
        let layer = Self { path };
        layer.read()?;
        let read_only = fs::metadata(&layer.path).is_ok_and(|found| found.permissions().readonly());
        let check = match read_only {
            true => Err(
                Failure::user(format!("cannot write `{}`", layer.path.display()))
                    .because("the file is read-only"),
            ),
            false => files::check_writable(&layer.path),
        };
        check.map_err(elsewhere)?;
        Ok(layer)
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Sets a number in a section, which is made where there is none.
    pub fn set(&self, section: &[&str], key: &str, value: f64) -> Result<Change, Failure> {
        let mut document = self.read()?;
        let table = self.section(document.as_table_mut(), section)?;
        let before = table
            .get(key)
            .map(|item| item.to_string().trim().to_owned());
        let mut new = Value::from(value);
        let old = table.get(key).and_then(Item::as_value).map(Value::decor);
        match old {
            Some(old) => {
                *new.decor_mut() = old.clone();
            }
            None => new.decor_mut().set_suffix(MARK),
        }
        // In its place, so that the key keeps the comments above it.
        match table.get_mut(key) {
            Some(item) => *item = Item::Value(new),
            None => {
                table.insert(key, Item::Value(new));
            }
        }
        files::write(&self.path, document.to_string().as_bytes()).map_err(elsewhere)?;
        Ok(Change {
            file: self.path.clone(),
            section: section.join("."),
            key: key.to_owned(),
            before: before.map(|text| text.split('#').next().unwrap_or_default().trim().to_owned()),
            value,
        })
    }

    fn section<'a>(&self, root: &'a mut Table, names: &[&str]) -> Result<&'a mut Table, Failure> {
        let mut table = root;
        for name in names {
            let inner = table.entry(name).or_insert_with(|| {
                let mut fresh = Table::new();
                // Shown only where it has values of its own.
                fresh.set_implicit(true);
                Item::Table(fresh)
            });
            // `name = { .. }` has no room for a comment, and becomes a section.
            if let Some(inline) = inner.as_inline_table() {
                *inner = Item::Table(inline.clone().into_table());
            }
            table = inner.as_table_mut().ok_or_else(|| {
                Failure::user(format!(
                    "`{name}` in `{}` is no section",
                    self.path.display()
                ))
            })?;
        }
        Ok(table)
    }

    fn read(&self) -> Result<DocumentMut, Failure> {
        let text = match fs::read_to_string(&self.path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(DocumentMut::new()),
            text => text.map_err(|error| {
                Failure::user(format!("cannot read `{}`", self.path.display())).because(error)
            })?,
        };
        text.parse().map_err(|error: toml_edit::TomlError| {
            Failure::user(format!("`{}`: {}", self.path.display(), error.message()))
        })
    }
}

fn elsewhere(failure: Failure) -> Failure {
    failure.hint(
        "name a file that can be written with --config, or keep the rate to yourself with --dry_run",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECTION: &[&str] = &["gptj-mini", "cpu", "server"];

    fn changed(before: &str) -> (String, Change) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("user.toml");
        if !before.is_empty() {
            fs::write(&path, before).unwrap();
        }
        let layer = UserLayer::open(&path).unwrap();
        let change = layer.set(SECTION, "server_target_qps", 29.5).unwrap();
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
        (fs::read_to_string(&path).unwrap(), change)
    }

    #[test]
    fn a_file_is_made_where_there_is_none() {
        let (text, change) = changed("");
        assert_eq!(
            text,
            "[gptj-mini.cpu.server]\nserver_target_qps = 29.5 # found by tune-server\n"
        );
        assert_eq!(change.before, None);
        assert_eq!(change.section, "gptj-mini.cpu.server");
    }

    #[test]
    fn everything_else_stays() {
        let before = "# mine\nthreads = 2 # both\n\n[gptj-mini.cpu.server]\n# slow machine\nserver_target_qps = 7 # guess\n\
                      min_query_count = 600\n\n[cnn_dailymail]\nmin_duration = 5\n";
        let (text, change) = changed(before);
        assert_eq!(text, before.replace("= 7 #", "= 29.5 #"));
        assert_eq!(change.before.as_deref(), Some("7"));
    }

    #[test]
    fn a_section_may_be_written_in_any_way() {
        let (text, _) = changed("gptj-mini = { cpu = { threads = 2 } }\n");
        let parsed: toml::Table = text.parse().unwrap();
        assert_eq!(
            parsed["gptj-mini"]["cpu"]["server"]["server_target_qps"].as_float(),
            Some(29.5),
            "{text}"
        );
        assert_eq!(parsed["gptj-mini"]["cpu"]["threads"].as_integer(), Some(2));
        let (text, _) = changed("[gptj-mini]\ncpu.threads = 2\n");
        let parsed: toml::Table = text.parse().unwrap();
        assert_eq!(
            parsed["gptj-mini"]["cpu"]["server"]["server_target_qps"].as_float(),
            Some(29.5),
            "{text}"
        );
    }

    #[test]
    fn what_cannot_be_written_is_told_before() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("user.toml");
        fs::write(&path, "threads = ").unwrap();
        let failure = UserLayer::open(&path).unwrap_err();
        assert!(failure.message.contains("user.toml"), "{failure:?}");
        fs::write(&path, "").unwrap();
        let mut permissions = fs::metadata(&path).unwrap().permissions();
        permissions.set_readonly(true);
        fs::set_permissions(&path, permissions).unwrap();
        let failure = UserLayer::open(&path).unwrap_err();
        assert_eq!(failure.causes, ["the file is read-only"]);
        assert!(UserLayer::open(Path::new("/nonexistent/user.toml")).is_err());
    }
}
