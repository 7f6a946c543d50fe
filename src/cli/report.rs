//! `run_harness report`

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::json;

use super::command::{Cli, ReportArgs};
use super::output::{print, print_json};
use super::owner;
use super::surroundings::log_root;
use crate::error::Failure;
use crate::report::html::{GENERATOR, page};
use crate::report::read::{StoredTest, run_folder, test_folders};
use crate::report::{files, runs};

/// The page's name where nobody gives one.
const FILE_NAME: &str = "report.html";

/// Writes the page and prints where it is.
pub fn run(cli: &Cli, args: &ReportArgs) -> Result<(), Failure> {
    let root = args.root.clone().unwrap_or_else(log_root);
    let chosen = Chosen::new(&root, &args.runs)?;
    let tests: Vec<StoredTest> = chosen
        .tests
        .iter()
        .map(|folder| StoredTest::read(folder))
        .collect::<Result<_, _>>()?;
    let output = args
        .output
        .clone()
        .unwrap_or_else(|| chosen.folder.join(FILE_NAME));
    check_overwrite(&output)?;
    owner::tell(&output);
    let elsewhere = |failure: Failure| failure.hint("choose another file with --output");
    files::write(&output, page(&tests)?.as_bytes()).map_err(elsewhere)?;
    match cli.json {
        true => print_json(&json!({ "report": output, "tests": chosen.tests })),
        false => print(&format!("{}\n", output.display())),
    }
}

/// What goes into the report.
struct Chosen {
    /// Where the page goes unless somebody says otherwise.
    folder: PathBuf,
    tests: Vec<PathBuf>,
}

impl Chosen {
    fn new(root: &Path, named: &[String]) -> Result<Self, Failure> {
        let mut tests = Vec::new();
        for name in named {
            for folder in below(root, name)? {
                if !tests.contains(&folder) {
                    tests.push(folder);
                }
            }
        }
        match named {
            [] => Self::newest(root),
            // A whole run, or one test of it.
            [one] => Ok(Self {
                folder: match Path::new(one).is_dir() {
                    true => PathBuf::from(one),
                    false => tests[0].clone(),
                },
                tests,
            }),
            // It belongs to none of them.
            _ => Ok(Self {
                folder: PathBuf::new(),
                tests,
            }),
        }
    }

    /// All tests of the run whose test started last, in the order in which they ran.
    fn newest(root: &Path) -> Result<Self, Failure> {
        let all = runs::all(root)?;
        let folder = run_folder(&all[0].folder);
        let of_run = all
            .iter()
            .rev()
            .filter(|found| run_folder(&found.folder) == folder);
        Ok(Self {
            folder: folder.to_owned(),
            tests: of_run
                .filter(|found| found.result.is_ok())
                .map(|found| found.folder.clone())
                .collect(),
        })
        .and_then(|chosen| match (chosen.tests.is_empty(), &all[0].result) {
            (true, Err(failure)) => Err(failure.clone()),
            _ => Ok(chosen),
        })
    }
}

/// The tests that a name means: all below a folder, or one of the list.
fn below(root: &Path, name: &str) -> Result<Vec<PathBuf>, Failure> {
    let path = Path::new(name);
    if !path.is_dir() || name.parse::<usize>().is_ok() {
        return Ok(vec![runs::find(root, name)?]);
    }
    let found = test_folders(path)
        .map_err(|error| Failure::user(format!("cannot read `{name}`")).because(error))?;
    if found.is_empty() {
        return Err(
            Failure::user(format!("there is no result.json in `{name}`"))
                .hint("`run_harness runs list` shows the runs that are there"),
        );
    }
    Ok(found)
}

/// A page of ours may be replaced, anything else may not.
fn check_overwrite(path: &Path) -> Result<(), Failure> {
    match fs::read(path) {
        Ok(content) if !String::from_utf8_lossy(&content).contains(GENERATOR) => {
            Err(Failure::user(format!(
                "`{}` is there and is no report of ours",
                path.display()
            ))
            .hint("move it away, or choose another file with --output"))
        }
        // Not there, or not readable: writing will tell.
        Ok(_) | Err(_) => Ok(()),
    }
}
