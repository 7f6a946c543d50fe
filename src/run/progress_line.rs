//! One line about the progress, on stderr: drawn over on a terminal; elsewhere nothing, or with `verbose` a plain line now
//! and then.

use std::io::IsTerminal;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::config::ReportConfig;

/// Where the line goes.
pub struct ProgressLine {
    look: Look,
    /// How often a plain line appears.
    every: Duration,
}

enum Look {
    /// Not even what is said.
    Hidden,
    /// Only what is said.
    Silent,
    /// When the last plain line was written; `None`: the next one is due.
    Plain(Option<Instant>),
    Terminal(ProgressBar),
}

impl ProgressLine {
    /// Decides how things are drawn. The first plain line is due `every` from now.
    pub fn new(report: &ReportConfig, every: Duration) -> Self {
        let look = if report.quiet {
            Look::Hidden
        } else if std::io::stderr().is_terminal() {
            let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
            // A template of literals that are known to parse.
            if let Ok(style) = ProgressStyle::with_template("{spinner} {msg}") {
                bar.set_style(style);
            }
            Look::Terminal(bar)
        } else if report.verbose {
            Look::Plain(Some(Instant::now()))
        } else {
            Look::Silent
        };
        Self { look, every }
    }

    /// Something new begins: a plain line is due at once.
    pub fn begin(&mut self) {
        if let Look::Plain(last) = &mut self.look {
            *last = None;
        }
    }

    /// Shows a text, if one is due; called several times a second.
    pub fn show(&mut self, text: impl FnOnce() -> String) {
        match &mut self.look {
            Look::Hidden | Look::Silent => {}
            Look::Terminal(bar) => {
                bar.set_message(text());
                bar.tick();
            }
            Look::Plain(last) if last.is_none_or(|last| last.elapsed() >= self.every) => {
                *last = Some(Instant::now());
                eprintln!("{}", text());
            }
            Look::Plain(_) => {}
        }
    }

    /// Whether the line is drawn over, so that showing it often costs nobody's attention.
    pub fn is_terminal(&self) -> bool {
        matches!(self.look, Look::Terminal(_))
    }

    /// Prints a line that stays, above the progress.
    pub fn say(&self, line: &str) {
        match &self.look {
            Look::Hidden => {}
            Look::Silent | Look::Plain(_) => eprintln!("{line}"),
            Look::Terminal(bar) => bar.suspend(|| eprintln!("{line}")),
        }
    }

    /// Leaves the terminal as it was.
    pub fn finish(&self) {
        if let Look::Terminal(bar) = &self.look {
            bar.finish_and_clear();
        }
    }
}
