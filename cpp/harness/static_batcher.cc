#include "harness/static_batcher.h"

#include <algorithm>
#include <string>

#include "gptj/error.h"

namespace gptj {
namespace {

constexpr std::size_t kLargestSingleSegment = 20;

// Leading waiting requests that make up the next batch.
std::size_t batch_size(std::span<const WaitingRequest> waiting, const EngineLimits& limits) {
  // All members decode in one step, and all get a token of their prompt in the first one.
  const std::int32_t most = std::min(limits.max_requests, limits.max_tokens_per_step / limits.beam_width);
  std::size_t count = 0;
  std::int64_t blocks = 0;
  while (count < waiting.size() && count < static_cast<std::size_t>(most)) {
    const WaitingRequest& request = waiting[count];
    blocks += kv_blocks_for(limits, request.prompt_tokens, request.max_new_tokens);
    if (blocks > limits.kv_blocks) break;
    ++count;
  }
  return count;
}

void start_batch(std::span<const WaitingRequest> batch, const EngineLimits& limits, Decision& decision) {
  // One token each is set aside; what is left of the step goes to the first members.
  std::int64_t spare = limits.max_tokens_per_step - static_cast<std::int64_t>(batch.size());
  for (const WaitingRequest& request : batch) {
    const auto extra = static_cast<std::int32_t>(std::min<std::int64_t>(spare, request.prompt_tokens - 1));
    decision.chunks.push_back(PromptChunk{.id = request.id, .count = 1 + extra});
    spare -= extra;
  }
}

void continue_prompts(std::span<const RunningRequest> running, const EngineLimits& limits,
                      Decision& decision) {
  std::int32_t spare = limits.max_tokens_per_step;
  for (const RunningRequest& request : running) {
    const std::int32_t count = std::min(spare, request.prompt_tokens - request.prefilled_tokens);
    if (count > 0) decision.chunks.push_back(PromptChunk{.id = request.id, .count = count});
    spare -= count;
  }
}

}  // namespace

StaticBatcher::StaticBatcher(const StaticBatcherOptions& options) : options_(options) {
  if (options.num_sort_segments < 1) {
    throw Error(
        ErrorKind::kInvalidArgument,
        "num_sort_segments is " + std::to_string(options.num_sort_segments) + "; it must be at least 1");
  }
}

void StaticBatcher::order(Scenario, std::span<WaitingRequest> arrivals) const {
  if (!options_.enable_sort) return;
  const auto segments =
      arrivals.size() > kLargestSingleSegment ? static_cast<std::size_t>(options_.num_sort_segments) : 1;
  const std::size_t length = arrivals.size() / segments;
  for (std::size_t i = 0; i < segments; ++i) {
    const std::size_t count = i + 1 == segments ? arrivals.size() - i * length : length;
    const std::span<WaitingRequest> segment = arrivals.subspan(i * length, count);
    // Stable, so that equal inputs give equal runs.
    std::stable_sort(segment.begin(), segment.end(), [](const WaitingRequest& a, const WaitingRequest& b) {
      return a.prompt_tokens > b.prompt_tokens;
    });
  }
}

void StaticBatcher::decide(const SchedulerState& state, const EngineLimits& limits,
                           Decision& decision) const {
  decision.chunks.clear();
  if (state.running.empty()) {
    start_batch(state.waiting.first(batch_size(state.waiting, limits)), limits, decision);
    decision.decode = false;
    return;
  }
  continue_prompts(state.running, limits, decision);
  decision.decode = decision.chunks.empty();
}

}  // namespace gptj
