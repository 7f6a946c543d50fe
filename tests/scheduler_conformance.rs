//! One conformance suite over the schedulers of both languages: `inflight` in Rust, `static` in C++, and `inflight` as
//! C++ sees it through the bridge.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "scheduler_conformance/contract.rs"]
mod contract;
#[path = "scheduler_conformance/simulator.rs"]
mod simulator;

use mlperf_gptj::bridge::ffi;
use mlperf_gptj::scheduler::{
    Decision, EngineLimits, InFlight, PromptChunk, RunningRequest, Scenario, Scheduler,
    SchedulerState, WaitingRequest, kv_blocks_for,
};
use proptest::prelude::*;

/// A scheduler behind the bridge, as the C++ harness holds it.
struct Bridged(cxx::UniquePtr<ffi::CppScheduler>);

impl Bridged {
    fn new(name: &str, enable_sort: bool) -> Self {
        let settings = ffi::SchedulerSettings {
            name: name.to_owned(),
            enable_sort,
            num_sort_segments: 2,
        };
        Self(ffi::new_cpp_scheduler(&settings).unwrap())
    }
}

impl Scheduler for Bridged {
    fn order(&self, scenario: Scenario, arrivals: &mut [WaitingRequest]) {
        ffi::cpp_order(&self.0, scenario, arrivals).unwrap();
    }

    fn decide(&self, state: SchedulerState<'_>, limits: &EngineLimits, decision: &mut Decision) {
        ffi::cpp_decide(&self.0, state.waiting, state.running, limits, decision).unwrap();
    }
}

fn implementations() -> Vec<(&'static str, Box<dyn Scheduler>)> {
    vec![
        ("inflight", Box::new(InFlight)),
        ("static", Box::new(Bridged::new("static", true))),
        ("static, unsorted", Box::new(Bridged::new("static", false))),
        (
            "inflight, bridged",
            Box::new(Bridged::new("inflight", true)),
        ),
    ]
}

fn limits() -> impl Strategy<Value = EngineLimits> {
    (1..12, 1..6, 0..300, 1..20, 1..120, 1..24, 0..400).prop_map(
        |(max_requests, beam_width, tokens, kv_block_size, prompt, new, blocks)| {
            let mut limits = EngineLimits {
                max_requests,
                max_tokens_per_step: beam_width + tokens,
                kv_blocks: 0,
                kv_block_size,
                max_prompt_tokens: prompt,
                max_new_tokens: new,
                beam_width,
                vocab_size: 100,
                max_steps_in_flight: 1,
            };
            limits.kv_blocks = kv_blocks_for(&limits, prompt, new) + blocks;
            limits
        },
    )
}

/// A request as numbers in 0..1: prompt length, new tokens, share of the prompt that is prefilled.
type Draw = (f64, f64, f64);

fn draws(most: usize) -> impl Strategy<Value = Vec<Draw>> {
    prop::collection::vec((0.0..1.0, 0.0..1.0, -0.3..1.5), 0..most)
}

fn between(share: f64, most: i32) -> i32 {
    1 + (share * f64::from(most)) as i32 % most
}

/// A state that the limits allow: what does not fit is left out.
fn state(
    limits: &EngineLimits,
    waiting: &[Draw],
    running: &[Draw],
) -> (Vec<WaitingRequest>, Vec<RunningRequest>) {
    let slots = limits
        .max_requests
        .min(limits.max_tokens_per_step / limits.beam_width);
    let mut held = Vec::new();
    let mut blocks = 0;
    for &(prompt, new, prefilled) in running.iter().take(slots as usize) {
        let prompt_tokens = between(prompt, limits.max_prompt_tokens);
        let max_new_tokens = between(new, limits.max_new_tokens);
        let kv_blocks = kv_blocks_for(limits, prompt_tokens, max_new_tokens);
        if blocks + kv_blocks > limits.kv_blocks {
            break;
        }
        blocks += kv_blocks;
        held.push(RunningRequest {
            id: held.len() as u64 + 1,
            prompt_tokens,
            prefilled_tokens: ((prefilled * f64::from(prompt_tokens)) as i32)
                .clamp(1, prompt_tokens),
            max_new_tokens,
            kv_blocks,
        });
    }
    let waiting = waiting
        .iter()
        .take(limits.max_requests as usize)
        .enumerate()
        .map(|(i, &(prompt, new, _))| WaitingRequest {
            id: 100 + i as u64,
            prompt_tokens: between(prompt, limits.max_prompt_tokens),
            max_new_tokens: between(new, limits.max_new_tokens),
        })
        .collect();
    (waiting, held)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn every_decision_keeps_the_contract(
        limits in limits(), waiting in draws(14), running in draws(14)
    ) {
        let (waiting, running) = state(&limits, &waiting, &running);
        let state = SchedulerState { waiting: &waiting, running: &running };
        for (name, scheduler) in implementations() {
            let mut decision = Decision::default();
            scheduler.decide(state, &limits, &mut decision);
            if let Err(rule) = contract::check(state, &limits, &decision) {
                prop_assert!(false, "{name}: {rule}\n{limits:?}\n{state:?}\n{decision:?}");
            }
            ffi::cpp_check_decision(&waiting, &running, &limits, &decision).unwrap();
        }
    }

    #[test]
    fn a_decision_depends_on_the_state_alone(
        limits in limits(), waiting in draws(14), running in draws(14)
    ) {
        let (waiting, running) = state(&limits, &waiting, &running);
        let state = SchedulerState { waiting: &waiting, running: &running };
        for (name, scheduler) in implementations() {
            let mut first = Decision::default();
            scheduler.decide(state, &limits, &mut first);
            let rest = PromptChunk { id: 77, count: 3 };
            let mut second = Decision { chunks: vec![rest; 5], decode: !first.decode };
            scheduler.decide(state, &limits, &mut second);
            prop_assert_eq!(first, second, "{}", name);
        }
    }

    #[test]
    fn both_languages_order_by_permuting(lengths in prop::collection::vec(1..50i32, 0..80)) {
        for scenario in [Scenario::Offline, Scenario::Server, Scenario::SingleStream] {
            for (name, scheduler) in implementations() {
                let mut arrivals: Vec<_> = lengths.iter().enumerate().map(|(i, &length)| {
                    WaitingRequest { id: i as u64, prompt_tokens: length, max_new_tokens: 4 }
                }).collect();
                let original = arrivals.clone();
                scheduler.order(scenario, &mut arrivals);
                arrivals.sort_by_key(|request| request.id);
                prop_assert_eq!(&arrivals, &original, "{}", name);
            }
        }
    }

    /// The check of the harness and the one of this suite were written apart: they must agree on any decision.
    #[test]
    fn the_harness_refuses_what_the_contract_refuses(
        limits in limits(), waiting in draws(5), running in draws(5),
        chunks in prop::collection::vec((0..10usize, -1..90i32), 0..6), decode in any::<bool>()
    ) {
        let (waiting, running) = state(&limits, &waiting, &running);
        let state = SchedulerState { waiting: &waiting, running: &running };
        let mut ids: Vec<u64> = running.iter().map(|r| r.id).chain(waiting.iter().map(|w| w.id)).collect();
        ids.push(999);
        let chunks = chunks.iter()
            .map(|&(index, count)| PromptChunk { id: ids[index % ids.len()], count })
            .collect();
        let decision = Decision { chunks, decode };
        let mine = contract::check(state, &limits, &decision);
        let theirs = ffi::cpp_check_decision(&waiting, &running, &limits, &decision);
        prop_assert_eq!(mine.is_ok(), theirs.is_ok(), "{:?} / {:?}\n{:?}", mine, theirs, decision);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]

    #[test]
    fn every_workload_is_served_to_its_end(
        limits in limits(), requests in prop::collection::vec((draws(1), 0..4usize), 1..60), seed in any::<u64>()
    ) {
        let mut workload = Vec::new();
        let mut step = 0;
        for (draw, gap) in requests {
            step += gap;
            let (prompt, new, _) = draw.first().copied().unwrap_or((0.9, 0.9, 0.0));
            workload.push(simulator::Arrival {
                step,
                prompt_tokens: between(prompt, limits.max_prompt_tokens),
                max_new_tokens: between(new, limits.max_new_tokens),
            });
        }
        for (name, scheduler) in implementations() {
            let run = simulator::run(scheduler.as_ref(), &limits, &workload, seed);
            match run {
                Ok(run) => prop_assert_eq!(run.finished, workload.len(), "{}", name),
                Err(rule) => prop_assert!(false, "{}: {}", name, rule),
            }
        }
    }
}

#[test]
fn in_flight_needs_far_fewer_steps_for_mixed_lengths() {
    let limits = EngineLimits {
        max_requests: 16,
        max_tokens_per_step: 256,
        kv_blocks: 10_000,
        kv_block_size: 16,
        max_prompt_tokens: 500,
        max_new_tokens: 128,
        beam_width: 4,
        vocab_size: 100,
        max_steps_in_flight: 1,
    };
    let workload: Vec<_> = (0..400)
        .map(|i| simulator::Arrival {
            step: 0,
            prompt_tokens: 60 + (i * 137) % 440,
            max_new_tokens: 128,
        })
        .collect();
    let steps = |scheduler: &dyn Scheduler| {
        simulator::run(scheduler, &limits, &workload, 3)
            .unwrap()
            .steps
    };
    let (inflight, batches) = (steps(&InFlight), steps(&Bridged::new("static", true)));
    assert!(
        inflight * 13 <= batches * 10,
        "inflight {inflight} steps, static {batches}"
    );
}

#[test]
fn static_members_stay_together() {
    // A batch that takes several steps to prefill, and requests that arrive meanwhile: none of them joins.
    let limits = EngineLimits {
        max_requests: 4,
        max_tokens_per_step: 32,
        kv_blocks: 1000,
        kv_block_size: 8,
        max_prompt_tokens: 100,
        max_new_tokens: 6,
        beam_width: 4,
        vocab_size: 100,
        max_steps_in_flight: 1,
    };
    let workload: Vec<_> = (0..12)
        .map(|i| simulator::Arrival {
            step: i / 3,
            prompt_tokens: 20 + 5 * i as i32,
            max_new_tokens: 6,
        })
        .collect();
    let run = simulator::run(&Bridged::new("static", false), &limits, &workload, 1).unwrap();
    // Three wait at first, so the first batch has three; the others are as large as the engine allows.
    assert_eq!(
        run.admissions.iter().map(Vec::len).collect::<Vec<_>>(),
        [3, 4, 4, 1]
    );
    assert!(run.admissions.iter().flatten().copied().eq(1..=12));
}

#[test]
fn an_unknown_scheduler_is_named() {
    let settings = ffi::SchedulerSettings {
        name: "dynamic".to_owned(),
        enable_sort: true,
        num_sort_segments: 2,
    };
    let error = ffi::new_cpp_scheduler(&settings).err().unwrap();
    assert!(error.what().contains("`dynamic`"), "{}", error.what());
}

#[test]
fn no_segments_is_an_error() {
    let settings = ffi::SchedulerSettings {
        name: "static".to_owned(),
        enable_sort: true,
        num_sort_segments: 0,
    };
    let error = ffi::new_cpp_scheduler(&settings).err().unwrap();
    assert!(
        error
            .what()
            .starts_with("invalid_argument: num_sort_segments is 0"),
        "{}",
        error.what()
    );
}
