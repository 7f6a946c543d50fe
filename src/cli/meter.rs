//! Progress of a command that works through a known amount: a bar on a terminal, nothing elsewhere.

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// A bar on stderr.
pub struct Meter(ProgressBar);

impl Meter {
    /// A bar for bytes, with rate and time left.
    pub fn bytes(title: &'static str) -> Self {
        Self::new(
            title,
            false,
            "{prefix} {bar:30} {decimal_bytes}/{decimal_total_bytes}, {decimal_bytes_per_sec}, {eta} left",
        )
    }

    /// A bar for samples, with rate and time left; not shown if `quiet`.
    pub fn samples(title: &'static str, quiet: bool) -> Self {
        Self::new(
            title,
            quiet,
            "{prefix} {bar:30} {pos}/{len} samples, {per_sec}, {eta} left",
        )
    }

    fn new(title: &'static str, quiet: bool, template: &str) -> Self {
        // Where stderr is no terminal, nothing is drawn on it.
        let target = match quiet {
            true => ProgressDrawTarget::hidden(),
            false => ProgressDrawTarget::stderr(),
        };
        let bar = ProgressBar::with_draw_target(None, target).with_prefix(title);
        // Templates of literals that are known to parse.
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style);
        }
        Self(bar)
    }

    /// How much there is to do.
    pub fn total(&self, total: u64) {
        self.0.set_length(total);
    }

    /// So much more was done.
    pub fn done(&self, more: u64) {
        self.0.inc(more);
    }

    /// So much more was done before: it counts as done, but not for the rate.
    pub fn skipped(&self, more: u64) {
        self.0.inc(more);
        self.0.reset_eta();
    }

    /// Writes a line for people without breaking the bar.
    pub fn note(&self, text: &str) {
        self.0.suspend(|| eprintln!("note: {text}"));
    }
}

impl Drop for Meter {
    /// Leaves the terminal as it was.
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}
