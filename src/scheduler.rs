//! The scheduler seam. A scheduler is a pure function: from what waits, what runs and what the engine can take, to the
//! work of the next step. It keeps no state between calls, so a recorded trace replays.
//!
//! The C++ class `gptj::Scheduler` is the same contract, word for word; keep in sync with
//! `cpp/include/gptj/scheduler.h`. One conformance suite (`tests/scheduler_conformance.rs`) runs the implementations of
//! both languages.

pub mod inflight;

pub use crate::bridge::ffi::{
    Decision, EngineLimits, PromptChunk, RunningRequest, Scenario, WaitingRequest,
};
pub use inflight::InFlight;

/// What a scheduler decides from.
#[derive(Debug, Clone, Copy)]
pub struct SchedulerState<'a> {
    /// Head of the queue, in queue order; at most `limits.max_requests` of them.
    pub waiting: &'a [WaitingRequest],
    /// Requests that the engine holds, in order of admission. One decodes in a step when its `prefilled_tokens` equal
    /// its `prompt_tokens` before that step.
    pub running: &'a [RunningRequest],
}

/// A batching policy.
pub trait Scheduler: Send + Sync {
    /// Orders the samples of one arriving query before they join the end of the queue. Must only permute `arrivals`.
    fn order(&self, scenario: Scenario, arrivals: &mut [WaitingRequest]);

    /// The next step. Contract, checked by the conformance suite and again by the harness:
    ///  - chunks name requests of `state`, each at most once, with 1 <= count <= prompt tokens still to be given;
    ///  - chunks come first for running requests, then for waiting ones, each in the order given;
    ///  - waiting requests are admitted in queue order, without gaps;
    ///  - sum of counts + (decode ? beam_width * wholly prefilled requests : 0) <= max_tokens_per_step;
    ///  - running + admitted <= max_requests, and their `kv_blocks_for()` together <= kv_blocks;
    ///  - progress: if anything waits or runs, the step has a chunk or decodes at least one request, given that every
    ///    waiting request alone fits the limits.
    ///
    /// `decision` holds what it held; an implementation replaces all of it.
    fn decide(&self, state: SchedulerState<'_>, limits: &EngineLimits, decision: &mut Decision);
}

/// KV blocks that a request holds from its first chunk to its end, counted so that it can always run to its limit: the
/// prompt is stored once for all beams, then every beam writes one token a step. The last generated token is never fed
/// back, so `max_new_tokens - 1` steps write to the cache. Keep in sync with `kv_blocks_for` in
/// `cpp/include/gptj/scheduler.h`.
pub fn kv_blocks_for(limits: &EngineLimits, prompt_tokens: i32, max_new_tokens: i32) -> i32 {
    let size = i64::from(limits.kv_block_size);
    let prompt = (i64::from(prompt_tokens) + size - 1) / size;
    let suffix_rows = i64::from(max_new_tokens - 1) * i64::from(limits.beam_width);
    let blocks = prompt + (suffix_rows + size - 1) / size;
    // Both counts are of one request; a sum beyond 32 bits is beyond any pool, and must stay so.
    i32::try_from(blocks).unwrap_or(i32::MAX)
}

/// A name that no scheduler has.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("no scheduler is called `{0}`; there are `static` and `inflight`")]
pub struct UnknownScheduler(pub String);

/// The scheduler of this language with that name. `static` is C++'s.
pub fn by_name(name: &str) -> Result<Box<dyn Scheduler>, UnknownScheduler> {
    match name {
        inflight::NAME => Ok(Box::new(InFlight)),
        _ => Err(UnknownScheduler(name.to_owned())),
    }
}
