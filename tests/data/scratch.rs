//! The scratch space and the links to it under build/.

use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use mlperf_gptj::scratch::{Kind, LinkState, Places, existing_part, link_dirs};
use tempfile::tempdir;

use super::support::told;

/// A folder that looks like the repository, and places with the scratch space `scratch` below it.
fn places(root: &Path, scratch: Option<&str>) -> Places {
    fs::create_dir_all(root.join("configs/gptj")).unwrap();
    fs::write(root.join("configs/gptj/base.toml"), "").unwrap();
    Places::find(None, root, scratch.map(OsString::from))
}

fn states(places: &Places) -> Vec<LinkState> {
    let report = link_dirs(places).unwrap();
    report.links.into_iter().map(|link| link.state).collect()
}

fn destination(places: &Places, kind: Kind) -> PathBuf {
    fs::read_link(places.link(kind)).unwrap()
}

#[test]
fn the_repository_is_found_above_the_program_then_above_the_working_folder() {
    let dir = tempdir().unwrap();
    let root = dir.path().join("repository");
    places(&root, None);
    let elsewhere = dir.path().join("elsewhere");
    let program = root.join("target/release/run_harness");
    let found = Places::find(Some(&program), &elsewhere, None);
    assert_eq!(found.root, root);
    assert_eq!(found.scratch, root.join("build/scratch"));
    let installed = Path::new("/usr/local/bin/run_harness");
    assert_eq!(
        Places::find(Some(installed), &root.join("docs"), None).root,
        root
    );
    assert_eq!(
        Places::find(Some(installed), &elsewhere, None).root,
        elsewhere
    );
}

#[test]
fn the_variable_names_the_scratch_space() {
    let dir = tempdir().unwrap();
    let working = dir.path();
    let find = |value: &str| Places::find(None, working, Some(value.into()));
    assert_eq!(find("/data/mlperf").scratch, Path::new("/data/mlperf"));
    assert_eq!(find("here").scratch, working.join("here"));
    assert!(find("here").scratch_given);
    assert_eq!(find("").scratch, working.join("build/scratch"));
    assert!(!find("").scratch_given);
}

#[test]
fn links_are_made_once_and_kept() {
    let dir = tempdir().unwrap();
    let places = places(dir.path(), Some("space"));
    assert_eq!(places.folder(Kind::Data), dir.path().join("space/data"));
    assert_eq!(states(&places), [const { LinkState::Created }; 3]);
    assert_eq!(states(&places), [const { LinkState::Kept }; 3]);
    for kind in Kind::ALL {
        let link = dir.path().join("build").join(kind.name());
        assert_eq!(places.folder(kind), link);
        fs::write(link.join("file"), kind.name()).unwrap();
        let target = dir.path().join("space").join(kind.name()).join("file");
        assert_eq!(fs::read_to_string(target).unwrap(), kind.name());
    }
}

#[test]
fn without_the_variable_everything_stays_under_build() {
    let dir = tempdir().unwrap();
    let places = places(dir.path(), None);
    let report = link_dirs(&places).unwrap();
    let scratch = fs::canonicalize(dir.path()).unwrap().join("build/scratch");
    assert_eq!(report.scratch, scratch);
    assert_eq!(destination(&places, Kind::Models), scratch.join("models"));
    assert_eq!(
        report.links[1].to_string(),
        format!(
            "{}/build/models -> {}/models",
            dir.path().display(),
            scratch.display()
        )
    );
}

#[test]
fn links_follow_another_scratch_space_even_from_a_broken_one() {
    let dir = tempdir().unwrap();
    link_dirs(&places(dir.path(), Some("old"))).unwrap();
    let old = destination(&places(dir.path(), Some("old")), Kind::Data);
    fs::remove_dir_all(dir.path().join("old")).unwrap();
    let new = places(dir.path(), Some("new"));
    assert_eq!(states(&new)[0], LinkState::Moved { from: old });
    let scratch = fs::canonicalize(dir.path()).unwrap().join("new");
    assert_eq!(destination(&new, Kind::Data), scratch.join("data"));
    let names: Vec<_> = fs::read_dir(dir.path().join("build"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    assert_eq!(names.len(), 3, "nothing else is left in build/: {names:?}");
}

#[test]
fn a_real_folder_in_the_way_is_left_alone() {
    let dir = tempdir().unwrap();
    let places = places(dir.path(), Some("space"));
    let mine = dir.path().join("build/models/GPTJ-6B");
    fs::create_dir_all(&mine).unwrap();
    let report = link_dirs(&places).unwrap();
    assert_eq!(report.links[1].state, LinkState::LeftAlone);
    assert_eq!(report.links[2].state, LinkState::Created);
    assert!(mine.is_dir());
    assert_eq!(places.folder(Kind::Models), dir.path().join("build/models"));
    let scratch = fs::canonicalize(dir.path()).unwrap().join("space");
    assert_eq!(
        report.links[1].to_string(),
        format!(
            "{0}/build/models is not a link and was left alone; it is used instead of {1}/models \
             (to link it, move its content there and remove it)",
            dir.path().display(),
            scratch.display()
        )
    );
}

#[test]
fn a_scratch_space_that_cannot_be_made() {
    let dir = tempdir().unwrap();
    fs::write(dir.path().join("file"), "").unwrap();
    let text = told(
        link_dirs(&places(dir.path(), Some("file/space"))).unwrap_err(),
        dir.path(),
    );
    assert_eq!(
        text,
        "error: cannot create the folder `DIR/file/space`\n  caused by: Not a directory (os error \
         20)\n  caused by: the scratch space is `DIR/file/space`, from MLPERF_SCRATCH_PATH\n\nhint: \
         set MLPERF_SCRATCH_PATH to a folder that you may write to, or unset it to use \
         `DIR/build/scratch`\n"
    );
    assert!(
        !dir.path().join("build").exists(),
        "nothing was done by halves"
    );
}

#[test]
fn a_scratch_space_on_a_disk_that_is_not_mounted() {
    let dir = tempdir().unwrap();
    let text = told(
        link_dirs(&places(dir.path(), Some("mnt/scratch"))).unwrap_err(),
        dir.path(),
    );
    assert_eq!(
        text,
        "error: there is no folder `DIR/mnt`\n  caused by: the scratch space is `DIR/mnt/scratch`, from \
         MLPERF_SCRATCH_PATH\n\nhint: mount its disk, correct MLPERF_SCRATCH_PATH, or make the folder: \
         mkdir -p 'DIR/mnt'\n"
    );
    assert!(!dir.path().join("mnt").exists() && !dir.path().join("build").exists());
}

#[test]
fn a_scratch_space_that_is_a_broken_link() {
    let dir = tempdir().unwrap();
    symlink("/nowhere/at/all", dir.path().join("space")).unwrap();
    let text = told(
        link_dirs(&places(dir.path(), Some("space"))).unwrap_err(),
        dir.path(),
    );
    assert!(
        text.starts_with("error: cannot create the folder `DIR/space`\n  caused by: "),
        "{text}"
    );
}

#[test]
fn folders_that_are_there_but_read_only_are_linked_and_told() {
    let dir = tempdir().unwrap();
    let data = dir.path().join("space/data");
    fs::create_dir_all(&data).unwrap();
    fs::set_permissions(&data, fs::Permissions::from_mode(0o555)).unwrap();
    let report = link_dirs(&places(dir.path(), Some("space"))).unwrap();
    assert_eq!(report.links.len(), 3);
    // Permissions do not bind root.
    let expected = match fs::write(data.join("probe"), "") {
        Ok(()) => vec![],
        Err(_) => vec![fs::canonicalize(&data).unwrap()],
    };
    assert_eq!(report.read_only, expected);
}

#[test]
fn a_scratch_space_that_was_named_must_be_there() {
    let dir = tempdir().unwrap();
    let named = places(dir.path(), Some("space"));
    assert_eq!(
        told(named.check().unwrap_err(), dir.path()),
        "error: there is no scratch space `DIR/space`\n  caused by: No such file or directory (os error 2)\n  \
         caused by: MLPERF_SCRATCH_PATH names it\n\nhint: `run_harness link-dirs` makes it; or correct \
         MLPERF_SCRATCH_PATH, or unset it to use `DIR/build/scratch`\n"
    );
    link_dirs(&named).unwrap();
    named.check().unwrap();
    // Nobody named this one.
    places(dir.path(), None).check().unwrap();
}

#[test]
fn the_part_of_a_path_that_is_there() {
    let dir = tempdir().unwrap();
    assert_eq!(existing_part(&dir.path().join("a/b")), dir.path());
    assert_eq!(existing_part(Path::new("no/such/folder")), Path::new("."));
    assert_eq!(existing_part(Path::new("/")), Path::new("/"));
}
