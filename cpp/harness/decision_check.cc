#include "harness/decision_check.h"

#include <string>

#include "gptj/error.h"

namespace gptj {
namespace {

[[noreturn]] void refuse(const std::string& rule) {
  throw Error(ErrorKind::kInternal, "the scheduler broke its contract: " + rule);
}

void check_count(const PromptChunk& chunk, std::int32_t outstanding) {
  if (chunk.count < 1 || chunk.count > outstanding) {
    refuse("the chunk of request " + std::to_string(chunk.id) + " has " + std::to_string(chunk.count) +
           " tokens, outside 1.." + std::to_string(outstanding));
  }
}

}  // namespace

DecisionSummary check_decision(const SchedulerState& state, const EngineLimits& limits,
                               const Decision& decision) {
  // Chunks come in the order of the state, running requests first, so one pass over both finds every request.
  auto running = state.running.begin();
  auto chunk = decision.chunks.begin();
  std::int64_t tokens = 0;
  for (; chunk != decision.chunks.end(); ++chunk) {
    auto candidate = running;
    while (candidate != state.running.end() && candidate->id != chunk->id) ++candidate;
    if (candidate == state.running.end()) break;
    check_count(*chunk, candidate->prompt_tokens - candidate->prefilled_tokens);
    tokens += chunk->count;
    running = candidate + 1;
  }

  std::int64_t blocks = 0;
  std::int64_t whole = 0;
  for (const RunningRequest& request : state.running) {
    blocks += request.kv_blocks;
    whole += request.prefilled_tokens == request.prompt_tokens ? 1 : 0;
  }

  DecisionSummary summary;
  for (; chunk != decision.chunks.end(); ++chunk) {
    if (summary.admitted == state.waiting.size() || state.waiting[summary.admitted].id != chunk->id) {
      refuse("the chunk of request " + std::to_string(chunk->id) +
             " names no request of the state, names one twice, or is out of order");
    }
    const WaitingRequest& request = state.waiting[summary.admitted];
    check_count(*chunk, request.prompt_tokens);
    tokens += chunk->count;
    blocks += kv_blocks_for(limits, request.prompt_tokens, request.max_new_tokens);
    ++summary.admitted;
  }

  const std::int64_t rows = decision.decode ? whole * limits.beam_width : 0;
  if (tokens + rows > limits.max_tokens_per_step) {
    refuse(std::to_string(tokens) + " prompt tokens and " + std::to_string(rows) + " decode rows exceed " +
           std::to_string(limits.max_tokens_per_step) + " tokens per step");
  }
  const std::size_t requests = state.running.size() + summary.admitted;
  if (requests > static_cast<std::size_t>(limits.max_requests)) {
    refuse(std::to_string(requests) +
           " requests exceed max_requests = " + std::to_string(limits.max_requests));
  }
  if (summary.admitted > 0 && blocks > limits.kv_blocks) {
    refuse(std::to_string(blocks) + " KV blocks exceed the pool of " + std::to_string(limits.kv_blocks));
  }
  if (tokens == 0 && rows == 0 && (!state.waiting.empty() || !state.running.empty())) {
    refuse("the step does nothing although " + std::to_string(state.waiting.size()) + " requests wait and " +
           std::to_string(state.running.size()) + " run");
  }
  summary.prompt_tokens = static_cast<std::int32_t>(tokens);
  summary.decode_rows = static_cast<std::int32_t>(rows);
  return summary;
}

}  // namespace gptj
