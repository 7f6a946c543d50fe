//! Files of results: complete or not there.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::disk::write_and_rename;
use crate::error::Failure;

/// Writes pretty JSON under another name and then gives it its own, so that nobody ever reads half of it.
pub fn write_json(path: &Path, value: &impl Serialize) -> Result<(), Failure> {
    let mut text = Vec::new();
    let formatter = serde_json::ser::PrettyFormatter::with_indent(b"    ");
    let mut serializer = serde_json::Serializer::with_formatter(&mut text, formatter);
    value.serialize(&mut serializer).map_err(|error| {
        Failure::harness(format!("cannot put `{}` into JSON", path.display())).because(error)
    })?;
    text.push(b'\n');
    write(path, &text)
}

/// The same in one line: for columns of numbers.
pub fn write_compact_json(path: &Path, value: &impl Serialize) -> Result<(), Failure> {
    let mut text = serde_json::to_vec(value).map_err(|error| {
        Failure::harness(format!("cannot put `{}` into JSON", path.display())).because(error)
    })?;
    text.push(b'\n');
    write(path, &text)
}

/// Writes a file under another name and then gives it its own.
pub fn write(path: &Path, content: &[u8]) -> Result<(), Failure> {
    let unfinished = unfinished(path);
    write_and_rename(&unfinished, path, content).map_err(|error| {
        // Nothing more can be done about a leftover than to try; the first error counts.
        let _ = fs::remove_file(&unfinished);
        cannot_write(path, error)
    })
}

/// Finds out whether [`write`] could write that file now, before work that is long.
pub fn check_writable(path: &Path) -> Result<(), Failure> {
    if path.is_dir() {
        return Err(cannot_write(path, io::ErrorKind::IsADirectory.into()));
    }
    let unfinished = unfinished(path);
    File::create(&unfinished)
        .and_then(|_| fs::remove_file(&unfinished))
        .map_err(|error| cannot_write(path, error))
}

fn unfinished(path: &Path) -> PathBuf {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    path.with_file_name(format!(".{name}.{}", std::process::id()))
}

fn cannot_write(path: &Path, error: io::Error) -> Failure {
    Failure::user(format!("cannot write `{}`", path.display()))
        .because(error)
        .hint("check the permissions and the free space of the folder, or choose another one with --log_dir")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_whole_and_leaves_nothing_beside_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.json");
        write_json(&path, &serde_json::json!({"b": 1, "a": [2]})).unwrap();
        assert_eq!(
            fs::read_to_string(&path).unwrap(),
            "{\n    \"b\": 1,\n    \"a\": [\n        2\n    ]\n}\n"
        );
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_folder_that_is_not_there_is_named() {
        let failure = write(Path::new("/nonexistent/x"), b"").unwrap_err();
        assert_eq!(failure.message, "cannot write `/nonexistent/x`");
        assert_eq!(failure.exit_code(), 1);
    }
}
