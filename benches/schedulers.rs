//! `static` against `inflight`: gptj-mini on the CPU engine, Offline through LoadGen, its own evaluation set; with the
//! ends that its answers have by themselves, which are nearly the same for all, and with answers of mixed lengths, those
//! of CNN/DailyMail; the latter also on an engine whose steps cost the same however full they are.
//!
//!     cargo bench --bench schedulers
//!
//! Runs of both take turns, and the best of each counts: what else the machine does only makes a run slower. Then both
//! answer all samples in f32 without LoadGen; one sample with other tokens makes the bench fail, no time does.

#[path = "../tests/support/gptj_mini.rs"]
mod gptj_mini;
#[path = "support/loadgen.rs"]
mod loadgen;

use anyhow::{Result, ensure};
use gptj_mini::{GptjMini, REQUESTS};
use mlperf_gptj::bridge::ffi;
use mlperf_gptj::dataset::synthetic::answer_lengths;

const SAMPLES: usize = 1000;
const SCHEDULERS: [&str; 2] = ["static", "inflight"];
const ROUNDS: usize = 2;
const WANTED_RATIO: f64 = 1.3;

/// What is run: how long answers are, and how many requests the engine takes at once.
struct Case {
    name: &'static str,
    mixed: bool,
    samples: usize,
    requests: i32,
    /// Not the CPU engine but one whose steps take so many microseconds each, however full they are: what an engine is
    /// that spends its time on reading weights.
    step_us: Option<i32>,
}

const CASES: [Case; 4] = [
    Case {
        name: "natural",
        mixed: false,
        samples: SAMPLES,
        requests: REQUESTS,
        step_us: None,
    },
    Case {
        name: "mixed",
        mixed: true,
        samples: 512,
        requests: REQUESTS,
        step_us: None,
    },
    // As many as the 6B model has on the CPU: configs/workloads/cnn_dailymail.toml.
    Case {
        name: "mixed, 8",
        mixed: true,
        samples: 256,
        requests: 8,
        step_us: None,
    },
    Case {
        name: "mixed, fixed step",
        mixed: true,
        samples: 512,
        requests: REQUESTS,
        step_us: Some(5000),
    },
];

fn main() -> Result<()> {
    let precision = if ffi::cpu_supports("bf16") {
        "bf16"
    } else {
        "f32"
    };
    if let Some(index) = loadgen::child()? {
        let case = &CASES[index / SCHEDULERS.len()];
        return test(SCHEDULERS[index % SCHEDULERS.len()], case, precision);
    }
    println!("answers            scheduler  precision  samples/s  LoadGen");
    for (number, case) in CASES.iter().enumerate() {
        let mut rates = [0.0_f64; SCHEDULERS.len()];
        for _ in 0..ROUNDS {
            for (index, scheduler) in SCHEDULERS.iter().enumerate() {
                let summary = loadgen::run_child(number * SCHEDULERS.len() + index)?;
                let says = if summary.is_valid()? {
                    "VALID"
                } else {
                    "INVALID"
                };
                let rate = summary.number("Samples per second")?;
                rates[index] = rate.max(rates[index]);
                let name = case.name;
                println!("{name:<17}  {scheduler:<9}  {precision:<9}  {rate:>9.2}  {says}");
            }
        }
        let [by_batches, in_flight] = rates;
        println!(
            "{}: inflight / static = {:.2}",
            case.name,
            in_flight / by_batches
        );
    }
    println!("wanted at least {WANTED_RATIO} with mixed lengths");
    same_tokens()
}

/// One run, in the child: every sample once.
fn test(scheduler: &str, case: &Case, precision: &str) -> Result<()> {
    let answers = match case.mixed {
        true => answer_lengths(case.samples, 1),
        false => Vec::new(),
    };
    let mini = GptjMini::with_answers(case.samples, &answers)?;
    let user_conf = format!(
        "gptj.Offline.target_qps = 1\n\
         gptj.Offline.min_duration = 1000\n\
         gptj.Offline.min_query_count = {}\n",
        case.samples
    );
    let test = loadgen::Test {
        scenario: ffi::Scenario::Offline,
        scheduler,
        user_conf: &user_conf,
    };
    let engine = match case.step_us {
        Some(step_us) => mini.create(&ffi::EngineSettings {
            engine: "fake".to_owned(),
            max_requests: case.requests,
            fake_step_us: step_us,
            fake_max_steps_in_flight: 1,
            ..ffi::EngineSettings::default()
        })?,
        None => mini.engine(precision, case.requests)?,
    };
    let outcome = test.run(&mini.generation, engine, &mini.samples)?;
    eprintln!(
        "{} {scheduler}: {} steps, filled to {:.0} %, {:.1} requests in flight",
        case.name,
        outcome.steps,
        100.0 * outcome.mean_step_fill,
        outcome.mean_running
    );
    Ok(())
}

fn same_tokens() -> Result<()> {
    let mini = GptjMini::open(SAMPLES)?;
    let [by_batches, in_flight] = [mini.answers("static")?, mini.answers("inflight")?];
    ensure!(by_batches.len() == SAMPLES && in_flight.len() == SAMPLES);
    for (sample, (one, other)) in by_batches.iter().zip(&in_flight).enumerate() {
        ensure!(
            one == other,
            "the tokens of sample {sample} differ:\nstatic {:?}\ninflight {:?}",
            one.tokens,
            other.tokens
        );
    }
    println!("all {SAMPLES} samples in f32: the same tokens");
    Ok(())
}
