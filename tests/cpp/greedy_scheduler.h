// A scheduler for tests of the harness.
#pragma once

#include <algorithm>
#include <cstdint>
#include <span>

#include "gptj/scheduler.h"

namespace gptj::testing {

// Admits greedily, a prompt piece each, and decodes all the time: every step has work for a pipelined engine.
class Greedy final : public Scheduler {
 public:
  void order(Scenario, std::span<WaitingRequest>) const override {}
  void decide(const SchedulerState& state, const EngineLimits& limits, Decision& decision) const override {
    decision.chunks.clear();
    decision.decode = true;
    std::int32_t spare = limits.max_tokens_per_step;
    std::int64_t blocks = 0;
    for (const RunningRequest& request : state.running) {
      blocks += request.kv_blocks;
      if (request.prefilled_tokens == request.prompt_tokens) spare -= limits.beam_width;
    }
    for (const RunningRequest& request : state.running) {
      const std::int32_t count = std::min(spare, request.prompt_tokens - request.prefilled_tokens);
      if (count > 0) decision.chunks.push_back({request.id, count});
      spare -= std::max(0, count);
    }
    auto requests = static_cast<std::int32_t>(state.running.size());
    for (const WaitingRequest& request : state.waiting) {
      blocks += kv_blocks_for(limits, request.prompt_tokens, request.max_new_tokens);
      ++requests;
      if (spare < 1 || blocks > limits.kv_blocks ||
          requests * limits.beam_width > limits.max_tokens_per_step) {
        return;
      }
      const std::int32_t count = std::min(spare, request.prompt_tokens);
      decision.chunks.push_back({request.id, count});
      spare -= count;
    }
  }
};

inline const Greedy kGreedy;

}  // namespace gptj::testing
