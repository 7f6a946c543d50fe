//! In-flight batching: every step decodes whatever is ready, and requests join and leave at any step.

use super::{
    Decision, EngineLimits, PromptChunk, Scenario, Scheduler, SchedulerState, WaitingRequest,
    kv_blocks_for,
};

/// The policy's name in configurations.
pub const NAME: &str = "inflight";

/// Prompt tokens that are worth a chunk of their own: below this an engine reads its weights and the request's cache
/// for little work. The rest of a prompt is always worth it.
const USEFUL_CHUNK: i32 = 32;

/// Iteration-level batching. Decode rows come first, because running requests are the oldest; then the prompts of
/// running requests, in order of admission; then admissions, first come, first served, while the step, the request
/// limit and the KV pool allow.
#[derive(Debug, Clone, Copy, Default)]
pub struct InFlight;

impl Scheduler for InFlight {
    /// Offline: longest prompt first, so that what is left at the end is short, and the last steps are few. In the
    /// other scenarios samples are served as they came.
    fn order(&self, scenario: Scenario, arrivals: &mut [WaitingRequest]) {
        if scenario == Scenario::Offline {
            arrivals.sort_by_key(|request| std::cmp::Reverse(request.prompt_tokens));
        }
    }

    fn decide(&self, state: SchedulerState<'_>, limits: &EngineLimits, decision: &mut Decision) {
        decision.decode = true;
        decision.chunks.clear();
        let slots = slots(limits);
        let mut step = Step::new(&state, limits, slots);

        for request in state.running {
            let rest = request.prompt_tokens - request.prefilled_tokens;
            if rest > 0 && !step.give(request.id, rest, decision) {
                return;
            }
        }

        let mut requests = state.running.len();
        let mut blocks: i64 = state.running.iter().map(|r| i64::from(r.kv_blocks)).sum();
        for request in state.waiting {
            requests += 1;
            blocks += i64::from(kv_blocks_for(
                limits,
                request.prompt_tokens,
                request.max_new_tokens,
            ));
            let fits = requests <= slots && blocks <= i64::from(limits.kv_blocks);
            if !fits || !step.give(request.id, request.prompt_tokens, decision) {
                return;
            }
        }
    }
}

/// Requests that may run at once: all of them will decode in one step.
fn slots(limits: &EngineLimits) -> usize {
    let decoding = limits.max_tokens_per_step / limits.beam_width.max(1);
    usize::try_from(limits.max_requests.min(decoding)).unwrap_or(0)
}

/// What is left of a step's tokens.
struct Step {
    spare: i32,
    /// Smallest piece of a longer prompt.
    useful: i32,
}

impl Step {
    fn new(state: &SchedulerState<'_>, limits: &EngineLimits, slots: usize) -> Self {
        let decoding = state
            .running
            .iter()
            .filter(|request| request.prefilled_tokens == request.prompt_tokens)
            .count();
        let rows = |requests: usize| {
            i32::try_from(requests)
                .unwrap_or(i32::MAX)
                .saturating_mul(limits.beam_width)
        };
        // A prompt that has begun must get on even while all others decode, so what is then left is always enough.
        let always_left = limits.max_tokens_per_step - rows(slots.saturating_sub(1));
        Self {
            spare: limits.max_tokens_per_step.saturating_sub(rows(decoding)),
            useful: always_left.clamp(1, USEFUL_CHUNK),
        }
    }

    /// Gives a request its next chunk, out of `rest` tokens that it still needs. False: the step is full.
    fn give(&mut self, id: u64, rest: i32, decision: &mut Decision) -> bool {
        let count = rest.min(self.spare);
        if count < rest && count < self.useful {
            return false;
        }
        decision.chunks.push(PromptChunk { id, count });
        self.spare -= count;
        self.spare > 0
    }
}
