//! `run_harness generate-engines`

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::command::Cli;
use super::output::print;
use super::surroundings::resolve_here;
use crate::config::{EngineKind, Resolution};
use crate::engines::{Engines, Listener, Origin, Phase};
use crate::error::{Failure, FailureKind};
use crate::run::{self, StopRequests};

/// How often somebody who asked to stop is looked for.
const LOOK: Duration = Duration::from_millis(100);
/// How often the time that has passed is drawn.
const DRAW: Duration = Duration::from_millis(200);

/// Provides the plan of every test that would run, and prints their paths.
pub fn run(cli: &Cli) -> Result<(), Failure> {
    let resolution = resolve_here(cli.config())?;
    // Device numbers count within what CUDA is told to see, which is the same for all tests of a command.
    for (name, value) in resolution
        .plans
        .iter()
        .flat_map(|plan| plan.config.engine.environment())
    {
        // SAFETY: no other thread has been started yet, and CUDA has not been looked at.
        unsafe { std::env::set_var(name, value) };
    }
    let quiet = resolution.plans.iter().all(|plan| plan.config.report.quiet);
    let screen = Arc::new(Screen::new(quiet));
    for notice in &resolution.notices {
        screen.say(format!("note: {notice}"));
    }
    let stop = StopRequests::listen()?;
    let (sender, generated) = mpsc::channel();
    let worker = {
        let screen = screen.clone();
        move || {
            // Nobody listens any more only when the process is about to end.
            let _ = sender.send(generate(&resolution, &screen));
        }
    };
    std::thread::Builder::new()
        .name("engines".to_owned())
        .spawn(worker)
        .map_err(|error| Failure::harness("cannot start a thread").because(error))?;
    let generated = loop {
        match generated.recv_timeout(LOOK) {
            Ok(generated) => break generated,
            Err(RecvTimeoutError::Disconnected) => {
                break Err(Failure::harness("the thread that builds engines panicked"));
            }
            Err(RecvTimeoutError::Timeout) if stop.count() > 0 => {
                screen.finish();
                give_up();
            }
            Err(RecvTimeoutError::Timeout) => {}
        }
    };
    screen.finish();
    let paths = generated?;
    let lines = paths.iter().map(|path| format!("{}\n", path.display()));
    print(&lines.collect::<String>())
}

/// Ends the process: nothing stops a builder, and destructors would pull the ground from under it.
fn give_up() -> ! {
    let failure = Failure::interrupted("engines were not generated to the end")
        .because("a plan appears when it is complete: what was there before is untouched");
    eprint!("{}", failure.render());
    signal_hook::low_level::exit(FailureKind::Interrupted.exit_code().into())
}

fn generate(resolution: &Resolution, screen: &Screen) -> Result<Vec<PathBuf>, Failure> {
    let start = Instant::now();
    let mut engines = Engines::new(screen);
    let mut paths = Vec::new();
    let mut without: BTreeSet<EngineKind> = BTreeSet::new();
    let mut built = false;
    for config in resolution.plans.iter().map(|plan| &plan.config) {
        let Some(plan) = engines.provide(config, &run::model(config)?)? else {
            without.insert(config.engine.engine);
            continue;
        };
        match plan.origin {
            Origin::Kept => screen.say(format!("{}: up to date", plan.path.display())),
            Origin::Built | Origin::Copied => built = true,
        }
        paths.push(plan.path);
    }
    for engine in without {
        screen.say(format!(
            "the {engine} engine reads the checkpoint itself: there is nothing to generate"
        ));
    }
    if built {
        screen.say(format!(
            "Time taken to generate engines: {:.1} seconds",
            start.elapsed().as_secs_f64()
        ));
    }
    Ok(paths)
}

/// Draws what is being done and for how long, on a terminal; elsewhere only lines appear.
struct Screen {
    quiet: bool,
    bar: ProgressBar,
}

impl Screen {
    fn new(quiet: bool) -> Self {
        let target = match quiet {
            true => ProgressDrawTarget::hidden(),
            false => ProgressDrawTarget::stderr(),
        };
        let bar = ProgressBar::with_draw_target(None, target);
        // A template of literals that are known to parse.
        if let Ok(style) = ProgressStyle::with_template("{spinner} {msg}, {elapsed_precise}") {
            bar.set_style(style);
        }
        Self { quiet, bar }
    }

    fn finish(&self) {
        self.bar.finish_and_clear();
    }
}

impl Listener for Screen {
    fn phase(&self, phase: Phase) {
        self.bar.set_message(phase.to_string());
        self.bar.reset_elapsed();
        self.bar.enable_steady_tick(DRAW);
    }

    fn say(&self, line: String) {
        if !self.quiet {
            self.bar.suspend(|| eprintln!("{line}"));
        }
    }
}
