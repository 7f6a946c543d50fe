//! Imports that end before their time, and those that go on with them.

use std::cell::Cell;
use std::fs;
use std::io::Write;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::Command;

use mlperf_gptj::model::Checkpoint;
use mlperf_gptj::model::import::{Event, Imported, Request};

use super::support::{download, names, request, run, watched};

/// Tells the child where to import, and after how many bytes it is to die.
const VARIABLE: &str = "GPTJ_TEST_KILLED_IMPORT";

/// An import that the tests below start in a process of its own, killed in the middle as `kill -9` does.
#[test]
#[ignore = "a part of the tests below"]
fn killed_child() {
    let value = std::env::var(VARIABLE).unwrap();
    let (limit, folder) = value.split_once(' ').unwrap();
    let limit: u64 = limit.parse().unwrap();
    let written = Cell::new(0);
    let watch = |event: Event| {
        if let Event::Written(bytes) = event {
            written.set(written.get() + bytes);
            if written.get() >= limit {
                let me = rustix::process::getpid();
                rustix::process::kill_process(me, rustix::process::Signal::KILL).unwrap();
            }
        }
    };
    watched(&request(Path::new(folder)), &watch).unwrap();
}

/// Runs [`killed_child`] until it has written `limit` bytes.
fn kill_after(folder: &Path, limit: u64) {
    let status = Command::new(std::env::current_exe().unwrap())
        .args([
            "--exact",
            "import_model::interrupted::killed_child",
            "--ignored",
        ])
        .env(VARIABLE, format!("{limit} {}", folder.display()))
        .output()
        .unwrap()
        .status;
    assert_eq!(status.signal(), Some(9), "{status}");
}

#[derive(Debug, Default, PartialEq, Eq, Clone, Copy)]
struct Told {
    total: u64,
    found: u64,
    written: u64,
}

fn told(request: &Request) -> (Imported, Told) {
    let told = Cell::new(Told::default());
    let watch = |event: Event| {
        let mut now = told.get();
        match event {
            Event::Total(bytes) => now.total += bytes,
            Event::Found(bytes) => now.found += bytes,
            Event::Written(bytes) => now.written += bytes,
            Event::Note(_) => {}
        }
        told.set(now);
    };
    let imported = watched(request, &watch).unwrap();
    (imported, told.get())
}

#[test]
fn killed_anywhere_it_goes_on_and_ends_the_same() {
    let whole = download();
    let (expected, all) = told(&request(whole.path()));
    assert_eq!((all.found, all.written), (0, all.total));
    for limit in (1000..all.total).step_by(2500) {
        let dir = download();
        kill_after(dir.path(), limit);
        let to = dir.path().join("to");
        assert!(Checkpoint::open(&to).is_err(), "{limit}");
        let (imported, rest) = told(&request(dir.path()));
        assert_eq!(imported, expected, "{limit}");
        assert_eq!(rest.found + rest.written, all.total, "{limit}");
        // What was lost is less than a commit's distance and a tensor, of which the largest has 19648 bytes.
        assert!(rest.found + 4096 + 19_648 > limit, "{limit}: {rest:?}");
        for name in names(&whole.path().join("to")) {
            let read = |dir: &Path| fs::read(dir.join("to").join(&name)).unwrap();
            assert!(
                name == "import.json" || read(dir.path()) == read(whole.path()),
                "{limit}: {name}"
            );
        }
        assert_eq!(names(&to), names(&whole.path().join("to")));
    }
}

#[test]
fn killed_twice() {
    let dir = download();
    kill_after(dir.path(), 22_000);
    kill_after(dir.path(), 22_000);
    let (imported, rest) = told(&request(dir.path()));
    assert_eq!(imported, expected());
    assert!(rest.written < rest.total - 22_000, "{rest:?}");
}

/// An import that was killed within its second file, whose first is complete.
fn killed() -> tempfile::TempDir {
    let dir = download();
    kill_after(dir.path(), 25_000);
    let to = dir.path().join("to");
    assert!(to.join("model-00001-of-00003.safetensors").exists());
    assert!(to.join(".import/model-00002-of-00003.safetensors").exists());
    dir
}

fn expected() -> Imported {
    run(&request(download().path())).unwrap()
}

#[test]
fn complete_files_are_not_written_again() {
    let dir = killed();
    let (imported, told) = told(&request(dir.path()));
    assert_eq!(imported, expected());
    assert_eq!(told.found, imported.files[0].bytes);
    assert_eq!(told.found + told.written, told.total);
}

#[test]
fn what_was_changed_since_is_written_again() {
    let dir = killed();
    let to = dir.path().join("to");
    // The complete file is gone, what there is of the second is other bytes, and the journal's last line is cut off.
    fs::remove_file(to.join("model-00001-of-00003.safetensors")).unwrap();
    fs::write(
        to.join(".import/model-00002-of-00003.safetensors"),
        [7; 3000],
    )
    .unwrap();
    let journal = to.join(".import/journal");
    let mut journal = fs::OpenOptions::new().append(true).open(journal).unwrap();
    journal.write_all(b"{\"file\":\"model-0000").unwrap();
    let (imported, told) = told(&request(dir.path()));
    assert_eq!(imported, expected());
    assert_eq!(told.written, told.total);
}

#[test]
fn another_source_begins_anew() {
    let dir = killed();
    let index = dir.path().join("from/pytorch_model.bin.index.json");
    fs::remove_file(index).unwrap();
    let shard = |number: u32| {
        dir.path()
            .join(format!("from/pytorch_model-0000{number}-of-00003.bin"))
    };
    // The same tensors, but the first two files have each other's names.
    fs::rename(shard(1), dir.path().join("elsewhere")).unwrap();
    fs::rename(shard(2), shard(1)).unwrap();
    fs::rename(dir.path().join("elsewhere"), shard(2)).unwrap();
    let (_, told) = told(&request(dir.path()));
    assert_eq!((told.found, told.written), (0, told.total));
    super::support::assert_expected(&dir.path().join("to"));
}

#[test]
fn two_imports_into_one_folder() {
    let dir = download();
    let inner = Cell::new(None);
    let watch = |event: Event| {
        if let Event::Total(_) = event {
            inner.set(Some(run(&request(dir.path())).unwrap_err()));
        }
    };
    watched(&request(dir.path()), &watch).unwrap();
    let failure = inner.into_inner().unwrap();
    assert_eq!(
        failure.message,
        format!(
            "another process is importing into `{}`",
            dir.path().join("to").display()
        )
    );
}
