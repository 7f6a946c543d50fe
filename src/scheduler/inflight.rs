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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scheduler::RunningRequest;

    fn limits() -> EngineLimits {
        EngineLimits {
            max_requests: 4,
            max_tokens_per_step: 100,
            kv_blocks: 60,
            kv_block_size: 16,
            max_prompt_tokens: 200,
            max_new_tokens: 9,
            beam_width: 4,
            vocab_size: 1000,
            max_steps_in_flight: 1,
        }
    }

    /// Running requests as (id, prompt, prefilled); waiting ones as (id, prompt).
    struct Case {
        name: &'static str,
        limits: EngineLimits,
        running: &'static [(u64, i32, i32)],
        waiting: &'static [(u64, i32)],
        chunks: &'static [(u64, i32)],
    }

    fn decide(case: &Case) -> Vec<(u64, i32)> {
        let running: Vec<_> = case
            .running
            .iter()
            .map(|&(id, prompt_tokens, prefilled_tokens)| RunningRequest {
                id,
                prompt_tokens,
                prefilled_tokens,
                max_new_tokens: 9,
                kv_blocks: kv_blocks_for(&case.limits, prompt_tokens, 9),
            })
            .collect();
        let waiting: Vec<_> = case
            .waiting
            .iter()
            .map(|&(id, prompt_tokens)| WaitingRequest {
                id,
                prompt_tokens,
                max_new_tokens: 9,
            })
            .collect();
        let state = SchedulerState {
            waiting: &waiting,
            running: &running,
        };
        let mut decision = Decision::default();
        InFlight.decide(state, &case.limits, &mut decision);
        assert!(decision.decode, "{}", case.name);
        decision.chunks.iter().map(|c| (c.id, c.count)).collect()
    }

    #[test]
    fn state_tables() {
        let tight = EngineLimits {
            kv_blocks: 12,
            ..limits()
        };
        let few_tokens = EngineLimits {
            max_tokens_per_step: 10,
            ..limits()
        };
        let cases = [
            Case {
                name: "nothing to do",
                limits: limits(),
                running: &[],
                waiting: &[],
                chunks: &[],
            },
            Case {
                name: "whole prompts while the step has room, then a piece",
                limits: limits(),
                running: &[],
                waiting: &[(1, 30), (2, 20), (3, 120), (4, 5)],
                chunks: &[(1, 30), (2, 20), (3, 50)],
            },
            Case {
                name: "a fragment is not worth it, nor may a later request overtake",
                limits: limits(),
                running: &[],
                waiting: &[(1, 80), (2, 40), (3, 5)],
                chunks: &[(1, 80)],
            },
            Case {
                name: "a short rest of a prompt is always worth it",
                limits: limits(),
                running: &[(1, 150, 145)],
                waiting: &[(2, 92), (3, 3)],
                chunks: &[(1, 5), (2, 92), (3, 3)],
            },
            Case {
                name: "decode rows come first, then begun prompts",
                limits: limits(),
                running: &[(1, 10, 10), (2, 120, 60), (3, 90, 1)],
                waiting: &[(4, 5)],
                chunks: &[(2, 60), (3, 36)],
            },
            Case {
                name: "no more than max_requests",
                limits: limits(),
                running: &[(1, 5, 5), (2, 5, 5), (3, 5, 5)],
                waiting: &[(4, 5), (5, 5)],
                chunks: &[(4, 5)],
            },
            Case {
                name: "no more than the KV pool holds, for the whole of each request's life",
                limits: tight,
                // 2 blocks for each prompt and 2 for its beams: three fit.
                running: &[(1, 30, 30)],
                waiting: &[(2, 30), (3, 30), (4, 30)],
                chunks: &[(2, 30), (3, 30)],
            },
            Case {
                name: "no more requests than can decode in one step",
                limits: few_tokens,
                running: &[(1, 5, 5), (2, 5, 5)],
                waiting: &[(3, 2)],
                chunks: &[],
            },
            Case {
                name: "a begun prompt gets on with the little that is always left",
                limits: few_tokens,
                running: &[(1, 5, 5), (2, 50, 1)],
                waiting: &[],
                chunks: &[(2, 6)],
            },
        ];
        for case in &cases {
            assert_eq!(decide(case), case.chunks, "{}", case.name);
        }
    }

    #[test]
    fn only_offline_is_sorted() {
        let request = |id, prompt_tokens| WaitingRequest {
            id,
            prompt_tokens,
            max_new_tokens: 9,
        };
        let original = [request(0, 3), request(1, 9), request(2, 3), request(3, 12)];
        let ordered = |scenario| {
            let mut arrivals = original;
            InFlight.order(scenario, &mut arrivals);
            arrivals.map(|request| request.id)
        };
        assert_eq!(ordered(Scenario::Offline), [3, 1, 0, 2]);
        assert_eq!(ordered(Scenario::Server), [0, 1, 2, 3]);
        assert_eq!(ordered(Scenario::SingleStream), [0, 1, 2, 3]);
    }

    #[test]
    fn kv_blocks_count_the_prompt_once_and_every_beam() {
        let mut limits = limits();
        assert_eq!(kv_blocks_for(&limits, 16, 9), 1 + 2);
        assert_eq!(kv_blocks_for(&limits, 17, 1), 2);
        limits.kv_block_size = 1;
        assert_eq!(kv_blocks_for(&limits, i32::MAX, i32::MAX), i32::MAX);
    }
}
