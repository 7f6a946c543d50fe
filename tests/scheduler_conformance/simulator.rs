//! Drives a scheduler over a workload to its end, without an engine: what an engine would do to the state is done here.

use std::collections::VecDeque;

use mlperf_gptj::scheduler::{
    Decision, EngineLimits, RunningRequest, Scheduler, SchedulerState, WaitingRequest,
    kv_blocks_for,
};

use crate::contract;

/// A request that joins the queue before a step; steps count from 0.
#[derive(Debug, Clone, Copy)]
pub struct Arrival {
    pub step: usize,
    pub prompt_tokens: i32,
    pub max_new_tokens: i32,
}

/// What came of a workload.
#[derive(Debug, Default)]
pub struct Outcome {
    /// Requests that got all their tokens.
    pub finished: usize,
    pub steps: usize,
    /// Ids, from 1, admitted in each step that admitted any.
    pub admissions: Vec<Vec<u64>>,
}

struct Held {
    request: RunningRequest,
    tokens_left: i32,
}

/// Serves `workload`, given in order of arrival, to its end. `seed` decides how many tokens each request generates.
/// Checks every decision against the contract, that requests are admitted in order of arrival, and that no step count
/// is exceeded that a scheduler without any batching would keep.
pub fn run(
    scheduler: &dyn Scheduler,
    limits: &EngineLimits,
    workload: &[Arrival],
    seed: u64,
) -> Result<Outcome, String> {
    let mut outcome = Outcome::default();
    let mut arrivals = workload.iter().zip(1u64..).peekable();
    let mut queue: VecDeque<WaitingRequest> = VecDeque::new();
    let mut held: Vec<Held> = Vec::new();
    let mut decision = Decision::default();
    let mut next_admitted = 1;
    // One request after the other, one prompt token a step, and idle steps before the last arrival.
    let patience: usize = workload.last().map_or(0, |last| last.step)
        + workload
            .iter()
            .map(|arrival| (arrival.prompt_tokens + arrival.max_new_tokens) as usize)
            .sum::<usize>();

    let mut now = 0;
    while outcome.finished < workload.len() {
        while let Some((arrival, id)) = arrivals.next_if(|(arrival, _)| arrival.step <= now) {
            queue.push_back(WaitingRequest {
                id,
                prompt_tokens: arrival.prompt_tokens,
                max_new_tokens: arrival.max_new_tokens,
            });
        }
        now += 1;
        if now > patience + 1 {
            return Err(format!(
                "{} of {} after {now} steps",
                outcome.finished,
                workload.len()
            ));
        }
        if queue.is_empty() && held.is_empty() {
            continue;
        }
        let waiting: Vec<_> = queue
            .iter()
            .take(limits.max_requests as usize)
            .copied()
            .collect();
        let running: Vec<_> = held.iter().map(|each| each.request).collect();
        let state = SchedulerState {
            waiting: &waiting,
            running: &running,
        };
        scheduler.decide(state, limits, &mut decision);
        contract::check(state, limits, &decision)?;
        outcome.steps += 1;

        if decision.decode {
            for each in held.iter_mut().filter(|each| is_whole(&each.request)) {
                each.tokens_left -= 1;
            }
        }
        let mut admitted = Vec::new();
        for chunk in &decision.chunks {
            if !held.iter().any(|each| each.request.id == chunk.id) {
                let request = queue.pop_front().ok_or("admitted from an empty queue")?;
                if request.id != next_admitted {
                    return Err(format!("admitted {} before {next_admitted}", request.id));
                }
                next_admitted += 1;
                admitted.push(request.id);
                held.push(admit(&request, limits, seed));
            }
            let each = held
                .iter_mut()
                .find(|each| each.request.id == chunk.id)
                .ok_or("a chunk of nobody")?;
            each.request.prefilled_tokens += chunk.count;
            if is_whole(&each.request) {
                each.tokens_left -= 1;
            }
        }
        if !admitted.is_empty() {
            outcome.admissions.push(admitted);
        }
        let before = held.len();
        held.retain(|each| each.tokens_left > 0);
        outcome.finished += before - held.len();
    }
    Ok(outcome)
}

fn is_whole(request: &RunningRequest) -> bool {
    request.prefilled_tokens == request.prompt_tokens
}

fn admit(request: &WaitingRequest, limits: &EngineLimits, seed: u64) -> Held {
    // Any spread of lengths will do; a multiplicative hash gives one that depends on the request alone.
    let hash = (request.id ^ seed).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 33;
    Held {
        request: RunningRequest {
            id: request.id,
            prompt_tokens: request.prompt_tokens,
            prefilled_tokens: 0,
            max_new_tokens: request.max_new_tokens,
            kv_blocks: kv_blocks_for(limits, request.prompt_tokens, request.max_new_tokens),
        },
        tokens_left: 1 + (hash % request.max_new_tokens as u64) as i32,
    }
}
