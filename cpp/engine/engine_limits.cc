#include <string>

#include "gptj/engine_options.h"
#include "gptj/error.h"

namespace gptj {
namespace {

[[noreturn]] void refuse(const std::string& message) { throw Error(ErrorKind::kInvalidArgument, message); }

void check_at_least(const char* name, std::int64_t value, std::int64_t least) {
  if (value < least) {
    refuse(std::string(name) + " is " + std::to_string(value) + "; it must be at least " +
           std::to_string(least));
  }
}

}  // namespace

EngineLimits limits_for(const EngineOptions& options, const ModelConfig& model,
                        const GenerationConfig& generation) {
  check_at_least("beam_width", generation.beam_width, 1);
  check_at_least("max_new_tokens", generation.max_new_tokens, 1);
  check_at_least("max_requests", options.max_requests, 1);
  check_at_least("kv_block_size", options.kv_block_size, 1);
  check_at_least("kv_blocks", options.kv_blocks, 0);
  check_at_least("max_prompt_tokens", options.max_prompt_tokens, 1);
  check_at_least("vocab_size", model.vocab_size, 1);
  // Every request that runs decodes in the same step.
  check_at_least("max_tokens_per_step", options.max_tokens_per_step, generation.beam_width);
  const std::int64_t longest =
      static_cast<std::int64_t>(options.max_prompt_tokens) + generation.max_new_tokens;
  if (longest > model.n_positions) {
    refuse("max_prompt_tokens " + std::to_string(options.max_prompt_tokens) + " and max_new_tokens " +
           std::to_string(generation.max_new_tokens) + " together exceed the model's n_positions " +
           std::to_string(model.n_positions));
  }

  EngineLimits limits{
      .max_requests = options.max_requests,
      .max_tokens_per_step = options.max_tokens_per_step,
      .kv_blocks = options.kv_blocks,
      .kv_block_size = options.kv_block_size,
      .max_prompt_tokens = options.max_prompt_tokens,
      .max_new_tokens = generation.max_new_tokens,
      .beam_width = generation.beam_width,
      .vocab_size = model.vocab_size,
      .max_steps_in_flight = 1,
  };
  const std::int32_t each = kv_blocks_for(limits, limits.max_prompt_tokens, limits.max_new_tokens);
  if (limits.kv_blocks == 0) limits.kv_blocks = each * limits.max_requests;
  if (limits.kv_blocks < each) {
    refuse("kv_blocks is " + std::to_string(limits.kv_blocks) + "; one request of the longest kind needs " +
           std::to_string(each));
  }
  return limits;
}

}  // namespace gptj
