//! `static` against `inflight`: gptj-mini on the CPU engine, Offline through LoadGen, its own evaluation set with the
//! ends that its answers have by themselves.
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
use gptj_mini::GptjMini;
use mlperf_gptj::bridge::ffi;

const SAMPLES: usize = 1000;
const SCHEDULERS: [&str; 2] = ["static", "inflight"];
const ROUNDS: usize = 2;
const WANTED_RATIO: f64 = 1.3;

fn main() -> Result<()> {
    let precision = if ffi::cpu_supports("bf16") {
        "bf16"
    } else {
        "f32"
    };
    if let Some(index) = loadgen::child()? {
        return test(SCHEDULERS[index], precision);
    }
    println!("scheduler  precision  samples/s  LoadGen");
    let mut rates = [0.0_f64; SCHEDULERS.len()];
    for _ in 0..ROUNDS {
        for (index, scheduler) in SCHEDULERS.iter().enumerate() {
            let summary = loadgen::run_child(index)?;
            let valid = summary.is_valid()?;
            let rate = summary.number("Samples per second")?;
            rates[index] = rate.max(rates[index]);
            let says = if valid { "VALID" } else { "INVALID" };
            println!("{scheduler:<9}  {precision:<9}  {rate:>9.2}  {says}");
        }
    }
    let [by_batches, in_flight] = rates;
    let ratio = in_flight / by_batches;
    println!("inflight / static: {ratio:.2}, wanted at least {WANTED_RATIO}");
    same_tokens()
}

/// One run, in the child: every sample once.
fn test(scheduler: &str, precision: &str) -> Result<()> {
    let mini = GptjMini::open(SAMPLES)?;
    let user_conf = format!(
        "gptj.Offline.target_qps = 1\n\
         gptj.Offline.min_duration = 1000\n\
         gptj.Offline.min_query_count = {SAMPLES}\n"
    );
    let test = loadgen::Test {
        scenario: ffi::Scenario::Offline,
        scheduler,
        user_conf: &user_conf,
    };
    let outcome = test.run(&mini.generation, mini.engine(precision)?, &mini.samples)?;
    eprintln!(
        "{scheduler}: {} steps, filled to {:.0} %, {:.1} requests in flight",
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
