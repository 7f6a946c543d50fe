//! `run_harness runs`: what earlier runs came to.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use super::command::{Cli, RunsAction, RunsArgs};
use super::output::{print, print_json};
use super::surroundings::log_root;
use crate::error::Failure;
use crate::report::compare::{Comparison, Difference};
use crate::report::figures::number;
use crate::report::html::headline;
use crate::report::metadata::validity;
use crate::report::read::read_result;
use crate::report::result::FILE_NAME;
use crate::report::runs::{self, Found};
use crate::report::{Status, TestResult, summary};

/// Lists, shows or compares.
pub fn run(cli: &Cli, args: &RunsArgs) -> Result<(), Failure> {
    let root = args.root.clone().unwrap_or_else(log_root);
    match (args.action, args.runs.as_slice()) {
        (RunsAction::List, []) => list(cli, &root),
        (RunsAction::Show, [one]) => show(cli, &root, one),
        (RunsAction::Diff, [a, b]) => diff(cli, &root, a, b),
        (action, given) => {
            let wanted = match action {
                RunsAction::List => "no run",
                RunsAction::Show => "one run: `run_harness runs show 1`",
                RunsAction::Diff => "two runs: `run_harness runs diff 2 1`",
            };
            Err(
                Failure::user(format!("{} runs are named", given.len())).hint(format!(
                    "this takes {wanted}; `run_harness runs list` shows them"
                )),
            )
        }
    }
}

fn list(cli: &Cli, root: &Path) -> Result<(), Failure> {
    let all = runs::all(root)?;
    if cli.json {
        return print_json(&all.iter().map(entry).collect::<Vec<_>>());
    }
    let heading = [
        "no.",
        "started",
        "benchmark",
        "scenario",
        "mode",
        "workload",
        "system",
        "engine",
        "precision",
        "figure",
        "validity",
        "folder",
    ];
    let mut rows = vec![heading.map(str::to_owned).to_vec()];
    rows.extend(all.iter().map(row));
    print(&aligned(&rows))
}

fn row(found: &Found) -> Vec<String> {
    let number = found.number.to_string();
    let folder = found.folder.display().to_string();
    let Ok(result) = &found.result else {
        let mut row = vec!["–".to_owned(); 12];
        row[0] = number;
        row[10] = "damaged".to_owned();
        row[11] = folder;
        return row;
    };
    let run = &result.config.run;
    let figure =
        headline(result).map_or("–".to_owned(), |(value, unit)| format!("{value} {unit}"));
    vec![
        number,
        result.started.replace('T', " ").replace('Z', ""),
        result.benchmark.clone(),
        run.scenario.to_string(),
        run.test_mode.to_string(),
        run.workload.clone(),
        run.system_name.clone(),
        result.config.engine.engine.to_string(),
        result.config.engine.precision.to_string(),
        figure,
        outcome(result),
        folder,
    ]
}

fn outcome(result: &TestResult) -> String {
    match (result.status, &result.performance, &result.accuracy) {
        (Status::Failed, ..) => "FAILED".to_owned(),
        (Status::Interrupted, ..) => "interrupted".to_owned(),
        (Status::Completed, Some(_), _) => validity(result).to_owned(),
        (Status::Completed, None, accuracy) => match accuracy.as_ref().and_then(|a| a.passed) {
            Some(true) => "PASSED".to_owned(),
            Some(false) => "accuracy too low".to_owned(),
            None => "–".to_owned(),
        },
    }
}

fn entry(found: &Found) -> Value {
    match &found.result {
        Ok(result) => json!({
            "number": found.number,
            "folder": found.folder,
            "started": result.started,
            "benchmark": result.benchmark,
            "scenario": result.config.run.scenario,
            "test_mode": result.config.run.test_mode,
            "workload": result.config.run.workload,
            "system": result.config.run.system_name,
            "engine": result.config.engine.engine,
            "precision": result.config.engine.precision,
            "status": result.status,
            "valid": result.valid,
            "metric": result.performance.as_ref().map(|performance| &performance.metric),
            "value": result.performance.as_ref().map(|performance| performance.value),
        }),
        Err(failure) => json!({
            "number": found.number,
            "folder": found.folder,
            "damaged": failure,
        }),
    }
}

fn show(cli: &Cli, root: &Path, name: &str) -> Result<(), Failure> {
    let folder = runs::find(root, name)?;
    let result = read_result(&folder.join(FILE_NAME))?;
    let cannot =
        |error| Failure::user(format!("cannot read `{}`", folder.display())).because(error);
    let entries = fs::read_dir(&folder).map_err(cannot)?;
    let mut names: Vec<(String, u64)> = entries
        .flatten()
        .map(|entry| {
            let size = entry.metadata().map_or(0, |file| file.len());
            (entry.file_name().to_string_lossy().into_owned(), size)
        })
        .collect();
    names.sort();
    if cli.json {
        let files = names
            .iter()
            .map(|(name, bytes)| json!({ "name": name, "bytes": bytes }));
        return print_json(&json!({
            "folder": folder, "result": result, "files": files.collect::<Vec<_>>(),
        }));
    }
    let mut text = summary(&[(folder, result)], &[]);
    for (name, bytes) in names {
        text.push_str(&format!("               {name}, {bytes} bytes\n"));
    }
    print(&text)
}

fn diff(cli: &Cli, root: &Path, a: &str, b: &str) -> Result<(), Failure> {
    let folders = [runs::find(root, a)?, runs::find(root, b)?];
    let read = |folder: &Path| read_result(&folder.join(FILE_NAME));
    let comparison = Comparison::new(&read(&folders[0])?, &read(&folders[1])?);
    if cli.json {
        return print_json(&json!({
            "a": folders[0],
            "b": folders[1],
            "figures": comparison.figures,
            "config": comparison.config,
            "environment": comparison.environment,
        }));
    }
    let mut text = format!("a  {}\nb  {}\n", folders[0].display(), folders[1].display());
    let of = |value: Option<f64>| value.map_or("–".to_owned(), number);
    let mut rows = vec![["figure", "a", "b", "b / a"].map(str::to_owned).to_vec()];
    rows.extend(comparison.figures.iter().map(|figure| {
        let ratio = figure
            .ratio
            .map_or("–".to_owned(), |ratio| format!("{ratio:.3}"));
        vec![figure.name.to_owned(), of(figure.a), of(figure.b), ratio]
    }));
    text.push_str(&format!("\n{}", aligned(&rows)));
    for (heading, differences) in [
        ("setting", &comparison.config),
        ("machine, model, data", &comparison.environment),
    ] {
        text.push_str(&format!("\n{}", different(heading, differences)));
    }
    print(&text)
}

fn different(heading: &str, differences: &[Difference]) -> String {
    if differences.is_empty() {
        return format!("{heading}: the same in both\n");
    }
    let shown = |text: &str| {
        if text.is_empty() {
            "–".to_owned()
        } else {
            text.to_owned()
        }
    };
    let mut rows = vec![vec![heading.to_owned(), "a".to_owned(), "b".to_owned()]];
    rows.extend(
        differences
            .iter()
            .map(|one| vec![one.name.clone(), shown(&one.a), shown(&one.b)]),
    );
    aligned(&rows)
}

/// Columns two blanks apart.
fn aligned(rows: &[Vec<String>]) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column));
        cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let line = |row: &Vec<String>| {
        let cells = row
            .iter()
            .zip(&widths)
            .map(|(cell, width)| format!("{cell:width$}"));
        format!("{}\n", cells.collect::<Vec<_>>().join("  ").trim_end())
    };
    rows.iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let rows = [["a", "–"], ["long", "b"]].map(|row| row.map(str::to_owned).to_vec());
        assert_eq!(aligned(&rows), "a     –\nlong  b\n");
    }
}
