//! Folders to import, and what an import says.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use mlperf_gptj::error::{Failure, FailureKind};
use mlperf_gptj::model::Checkpoint;
use mlperf_gptj::model::import::{Event, Imported, Request, Surroundings, import};
use tempfile::{TempDir, tempdir};

/// What PyTorch and transformers made.
pub fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/torch")
}

/// A download: three shards of torch.save's with their index, configuration and tokenizer, in `from`.
pub fn download() -> TempDir {
    let dir = tempdir().unwrap();
    let from = dir.path().join("from");
    fs::create_dir(&from).unwrap();
    copy_files(&fixtures().join("checkpoint"), &from);
    copy_files(&fixtures().join("../tokenization/gpt2"), &from);
    dir
}

fn copy_files(from: &Path, to: &Path) {
    for entry in fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        fs::copy(&path, to.join(path.file_name().unwrap())).unwrap();
    }
}

/// A download whose weights are in one file, a fixture.
pub fn download_of(fixture: &str) -> TempDir {
    let dir = download();
    let from = dir.path().join("from");
    for entry in fs::read_dir(&from).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap();
        if name.starts_with("pytorch_model") {
            fs::remove_file(path).unwrap();
        }
    }
    fs::copy(fixtures().join(fixture), from.join("pytorch_model.bin")).unwrap();
    dir
}

/// `from` to `to` below a folder.
pub fn request(dir: &Path) -> Request {
    Request {
        from: dir.join("from"),
        to: dir.join("to"),
        force: false,
    }
}

/// Imports with room for everything and without telling anyone.
pub fn run(request: &Request) -> Result<Imported, Failure> {
    watched(request, &|_| {})
}

/// The same, with somebody who watches.
pub fn watched(request: &Request, watch: &dyn Fn(Event)) -> Result<Imported, Failure> {
    let free_bytes = |_: &Path| -> io::Result<u64> { Ok(u64::MAX) };
    let around = Surroundings {
        commit_every: 4096,
        free_bytes: &free_bytes,
        watch,
    };
    import(request, &around)
}

/// The user's mistake of importing `from` to `to`, as on a terminal, with the folder's path as `DIR`.
pub fn told(dir: &Path) -> String {
    let failure = run(&request(dir)).unwrap_err();
    assert_eq!(failure.kind, FailureKind::User, "{failure:?}");
    failure.render().replace(&dir.display().to_string(), "DIR")
}

/// That the weights in a folder are those that the safetensors package wrote.
pub fn assert_expected(folder: &Path) {
    let dir = tempdir().unwrap();
    let expected = fixtures().join("expected.safetensors");
    fs::copy(expected, dir.path().join("model.safetensors")).unwrap();
    let expected = Checkpoint::open(dir.path()).unwrap();
    let found = Checkpoint::open(folder).unwrap();
    assert_eq!(found.tensor_count(), expected.tensor_count());
    for index in 0..expected.tensor_count() {
        let name = expected.tensor_name(index).unwrap();
        assert_eq!(found.tensor_name(index).unwrap(), name);
        assert_eq!(
            found.element_type(index).unwrap(),
            expected.element_type(index).unwrap()
        );
        assert_eq!(
            found.tensor_shape(index).unwrap(),
            expected.tensor_shape(index).unwrap()
        );
        assert!(
            found.tensor_bytes(index).unwrap() == expected.tensor_bytes(index).unwrap(),
            "{name}"
        );
    }
}

/// Names in a folder, sorted.
pub fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

/// What a program said, without the line that only root is told.
pub fn said(stderr: &[u8]) -> String {
    let text = String::from_utf8(stderr.to_vec()).unwrap();
    let lines = text
        .lines()
        .filter(|line| !line.starts_with("note: running as root: "));
    lines.map(|line| format!("{line}\n")).collect()
}
