// Seam between the harness and a batching policy. A scheduler is a pure function: from what waits, what runs
// and what the engine can take, to the work of the next step. It keeps no state between calls, so a recorded
// trace replays.
//
// The Rust trait `mlperf_gptj::scheduler::Scheduler` is the same contract, word for word; keep in sync with
// src/scheduler.rs. One conformance suite (tests/cpp/scheduler_conformance_test.cc) runs every
// implementation.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "gptj/types.h"

namespace gptj {

// What an engine can take. Never changes during an engine's life.
struct EngineLimits {
  std::int32_t max_requests = 0;  // requests between their first prompt chunk and their last token
  std::int32_t max_tokens_per_step =
      0;                           // prompt tokens plus decode rows (beam_width for each decoding request)
  std::int32_t kv_blocks = 0;      // blocks of the KV pool
  std::int32_t kv_block_size = 0;  // tokens in a block
  std::int32_t max_prompt_tokens = 0;
  std::int32_t max_new_tokens = 0;
  std::int32_t beam_width = 0;
  std::int32_t vocab_size = 0;
  std::int32_t max_steps_in_flight = 1;  // steps that may be enqueued before the oldest one is collected
};

// KV blocks that a request holds from its first chunk to its end, counted so that it can always run to its
// limit: the prompt is stored once for all beams, then every beam writes one token a step. The last generated
// token is never fed back, so max_new_tokens - 1 steps write to the cache.
constexpr std::int32_t kv_blocks_for(const EngineLimits& limits, std::int32_t prompt_tokens,
                                     std::int32_t max_new_tokens) {
  const std::int64_t size = limits.kv_block_size;
  const std::int64_t prompt = (static_cast<std::int64_t>(prompt_tokens) + size - 1) / size;
  const std::int64_t suffix_rows = static_cast<std::int64_t>(max_new_tokens - 1) * limits.beam_width;
  return static_cast<std::int32_t>(prompt + (suffix_rows + size - 1) / size);
}

struct WaitingRequest {
  RequestId id = 0;
  std::int32_t prompt_tokens = 0;
  std::int32_t max_new_tokens = 0;
};

// A request that the engine holds. It decodes in a step when prefilled_tokens == prompt_tokens before that
// step.
struct RunningRequest {
  RequestId id = 0;
  std::int32_t prompt_tokens = 0;
  std::int32_t prefilled_tokens = 0;  // prompt tokens given to the engine in earlier steps
  std::int32_t max_new_tokens = 0;
  std::int32_t kv_blocks = 0;  // kv_blocks_for() of it, counted against EngineLimits::kv_blocks
};

// `count` prompt tokens of request `id`, following those given in earlier steps. The first chunk of a waiting
// request admits it.
struct PromptChunk {
  RequestId id = 0;
  std::int32_t count = 0;
};

struct SchedulerState {
  std::span<const WaitingRequest>
      waiting;  // head of the queue, in queue order; at most limits.max_requests of them
  std::span<const RunningRequest> running;  // in order of admission
};

struct Decision {
  std::vector<PromptChunk>
      chunks;          // first for running requests, then for waiting ones, each in the order given
  bool decode = true;  // whether the requests that are wholly prefilled take a decode step
};

enum class Scenario : std::uint8_t { kOffline, kServer, kSingleStream };

class Scheduler {
 public:
  virtual ~Scheduler() = default;

  // Orders the samples of one arriving query before they join the end of the queue. Must only permute
  // `arrivals`.
  virtual void order(Scenario scenario, std::span<WaitingRequest> arrivals) const = 0;

  // The next step. Contract, checked by the conformance suite and again by the harness:
  //  - chunks name requests of `state`, each at most once, with 1 <= count <= prompt tokens still to be
  //  given;
  //  - waiting requests are admitted in queue order, without gaps;
  //  - sum of counts + (decode ? beam_width * wholly prefilled requests : 0) <= max_tokens_per_step;
  //  - running + admitted <= max_requests, and their kv_blocks_for() together <= kv_blocks;
  //  - progress: if anything waits or runs, the step has a chunk or decodes at least one request, given that
  //    every waiting request alone fits the limits.
  virtual void decide(const SchedulerState& state, const EngineLimits& limits, Decision& decision) const = 0;
};

}  // namespace gptj
