// Seam between the harness and whatever runs GPT-J. An engine owns weights, KV blocks, beams and logits; the
// harness sees requests going in and tokens coming out. One conformance suite
// (tests/cpp/engine_conformance.h) runs every engine.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "gptj/scheduler.h"
#include "gptj/types.h"

namespace gptj {

struct NewRequest {
  RequestId id = 0;
  std::span<const TokenId>
      prompt;  // the whole prompt; the engine copies what it needs before enqueue() returns
  std::int32_t min_new_tokens = 0;
  std::int32_t max_new_tokens = 0;  // 1 <= max_new_tokens <= limits().max_new_tokens
};

// One iteration: prompt chunks to prefill, together with one decode step of every request whose whole prompt
// was given in earlier steps, then one step of beam search for each request that got logits.
struct StepWork {
  std::span<const NewRequest>
      admitted;  // requests seen for the first time; each also has a chunk in `chunks`
  std::span<const PromptChunk> chunks;
  bool decode = true;
};

struct FinishedRequest {
  RequestId id = 0;
  // The best hypothesis: generated tokens only, with the end token last when the hypothesis ended by itself,
  // exactly what Hugging Face generate() returns behind the prompt.
  std::vector<TokenId> tokens;
};

struct StepOutcome {
  std::vector<FinishedRequest> finished;
  std::int32_t prompt_tokens = 0;   // prefilled in this step
  std::int32_t decode_rows = 0;     // beam rows decoded in this step
  std::int32_t kv_blocks_used = 0;  // blocks held after this step
};

class Engine {
 public:
  virtual ~Engine() = default;

  // For messages and results: "cpu (f32)", "fake", ...
  virtual const std::string& name() const = 0;
  virtual const EngineLimits& limits() const = 0;

  // Starts one step. Throws Error(kInvalidArgument) when the work breaks a limit, and then nothing was
  // started. At most limits().max_steps_in_flight steps may be uncollected. A request that an uncollected
  // step will turn out to finish may still be decoded by later ones; the engine masks it.
  virtual void enqueue(const StepWork& work) = 0;

  // Waits for the oldest uncollected step and writes what came of it, replacing the former content of
  // `outcome`. Throws what went wrong in that step; the engine can then only be destroyed.
  virtual void collect(StepOutcome& outcome) = 0;
};

}  // namespace gptj
