// The check of a step's work that engines make before anything changes.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>

#include "gptj/engine.h"

namespace gptj {

// What an engine holds when the work comes in.
struct HeldWork {
  std::size_t requests = 0;
  std::int32_t decoding = 0;  // requests whose whole prompt was given
  std::int32_t free_blocks = 0;
  // Prompt tokens still to be given of a request that the engine holds; nothing for any other id.
  std::function<std::optional<std::int32_t>(RequestId)> open_tokens;
};

// Throws Error(kInvalidArgument) naming what is wrong.
void check_step(const StepWork& work, const EngineLimits& limits, const HeldWork& held);

}  // namespace gptj
