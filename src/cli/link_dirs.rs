//! `run_harness link-dirs`

use serde_json::json;

use super::command::Cli;
use super::output::{print, print_json};
use super::owner;
use crate::error::Failure;
use crate::scratch::{LinkReport, LinkState, Linked, Places, link_dirs};

/// Makes the folders of the scratch space, links them under build/, and prints the links.
pub fn run(cli: &Cli) -> Result<(), Failure> {
    let places = Places::of_this_process()
        .map_err(|error| Failure::user("cannot find out where this program is").because(error))?;
    owner::tell(&places.scratch);
    let report = link_dirs(&places)?;
    if cli.json {
        let one = |link: &Linked| {
            json!({
                "link": link.link,
                "target": link.target,
                "is_link": link.state != LinkState::LeftAlone,
            })
        };
        print_json(&json!({
            "scratch": report.scratch,
            "links": report.links.iter().map(one).collect::<Vec<_>>(),
            "read_only": report.read_only,
        }))?;
    } else {
        print(&lines(&report))?;
    }
    for folder in report.read_only {
        eprintln!(
            "note: `{}` cannot be written to: what is in it can be used, nothing can be added",
            folder.display()
        );
    }
    Ok(())
}

fn lines(report: &LinkReport) -> String {
    let lines = report.links.iter().map(|link| format!("{link}\n"));
    lines.collect()
}
