//! The scheduler's contract, rule by rule, as its documentation words it.

use std::collections::HashSet;

use mlperf_gptj::scheduler::{Decision, EngineLimits, SchedulerState, kv_blocks_for};

/// The first rule that `decision` breaks.
pub fn check(
    state: SchedulerState<'_>,
    limits: &EngineLimits,
    decision: &Decision,
) -> Result<(), String> {
    let running = |id: u64| state.running.iter().position(|request| request.id == id);
    let waiting = |id: u64| state.waiting.iter().position(|request| request.id == id);

    let mut seen = HashSet::new();
    for chunk in &decision.chunks {
        let outstanding = match (running(chunk.id), waiting(chunk.id)) {
            (Some(i), _) => state.running[i].prompt_tokens - state.running[i].prefilled_tokens,
            (None, Some(i)) => state.waiting[i].prompt_tokens,
            (None, None) => return Err(format!("chunk of unknown request {}", chunk.id)),
        };
        if !seen.insert(chunk.id) {
            return Err(format!("two chunks of request {}", chunk.id));
        }
        if chunk.count < 1 || chunk.count > outstanding {
            return Err(format!(
                "{} tokens of {outstanding} for request {}",
                chunk.count, chunk.id
            ));
        }
    }

    // Position in the order given: running requests first.
    let place = |id: u64| running(id).or_else(|| Some(state.running.len() + waiting(id)?));
    let places: Vec<_> = decision
        .chunks
        .iter()
        .map(|chunk| place(chunk.id))
        .collect();
    if !places.is_sorted() {
        return Err("chunks are out of order".to_owned());
    }
    let admitted: Vec<_> = decision
        .chunks
        .iter()
        .filter_map(|chunk| waiting(chunk.id))
        .collect();
    if admitted.iter().enumerate().any(|(i, &place)| i != place) {
        return Err(format!("admitted {admitted:?}, which leaves a gap"));
    }

    let chunk_tokens: i64 = decision.chunks.iter().map(|c| i64::from(c.count)).sum();
    let whole = state
        .running
        .iter()
        .filter(|request| request.prefilled_tokens == request.prompt_tokens)
        .count() as i64;
    let rows = if decision.decode {
        whole * i64::from(limits.beam_width)
    } else {
        0
    };
    if chunk_tokens + rows > i64::from(limits.max_tokens_per_step) {
        return Err(format!("{chunk_tokens} + {rows} tokens in the step"));
    }

    if state.running.len() + admitted.len() > limits.max_requests as usize {
        return Err(format!("{} more requests", admitted.len()));
    }
    let held: i64 = state.running.iter().map(|r| i64::from(r.kv_blocks)).sum();
    let more: i64 = admitted
        .iter()
        .map(|&i| &state.waiting[i])
        .map(|w| i64::from(kv_blocks_for(limits, w.prompt_tokens, w.max_new_tokens)))
        .sum();
    if held + more > i64::from(limits.kv_blocks) {
        return Err(format!("{held} + {more} KV blocks"));
    }

    let something = !state.waiting.is_empty() || !state.running.is_empty();
    if something && chunk_tokens + rows == 0 {
        return Err("no progress".to_owned());
    }
    Ok(())
}
