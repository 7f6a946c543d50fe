//! `report` and `runs` over a real run: the page's figures are those of the result, and what is damaged is told.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test that cannot be set up has failed"
)]

#[path = "support/browser.rs"]
mod browser;

#[path = "run/support.rs"]
mod support;

#[path = "report/in_browser.rs"]
mod in_browser;

#[path = "report/files.rs"]
mod files;

#[path = "report/page.rs"]
mod page;

#[path = "report/runs.rs"]
mod runs;
