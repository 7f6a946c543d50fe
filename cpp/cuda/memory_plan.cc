#include "cuda/memory_plan.h"

#include <algorithm>
#include <array>
#include <cstdio>
#include <limits>

#include "cuda/check.h"
#include "cuda/weights.h"
#include "gptj/error.h"

namespace gptj::cuda {
namespace {

std::string gib(std::size_t bytes) {
  std::array<char, 32> text{};
  std::snprintf(text.data(), text.size(), "%.2f GiB", static_cast<double>(bytes) / (1 << 30));
  return text.data();
}

}  // namespace

std::string MemoryPlan::to_text() const {
  const std::size_t pool = block * static_cast<std::size_t>(blocks);
  return gib(weights) + " of weights, " + gib(workspace) + " of workspace, " + gib(pool) + " of KV cache (" +
         std::to_string(blocks) + " blocks, " + std::to_string(longest > 0 ? blocks / longest : 0) +
         " requests of the longest kind) of " + gib(free) + " free, " + gib(total) + " in all";
}

MemoryPlan plan_memory(NetworkShape& shape, const MemoryRequest& request) {
  const double fraction = request.fraction;
  if (!(fraction > 0.0 && fraction <= 1.0)) {
    throw Error(ErrorKind::kInvalidArgument,
                "memory_fraction is " + std::to_string(fraction) + "; it is above 0 and at most 1");
  }
  MemoryPlan plan;
  check(cudaMemGetInfo(&plan.free, &plan.total),
        "asking GPU " + std::to_string(request.device) + " for its memory");
  plan.weights = ModelWeights::bytes(shape.model, shape.type);
  plan.workspace = shape.shared_bytes() + request.layers_bytes;
  plan.block = shape.kv_block_bytes();
  plan.longest = kv_blocks_for(shape.limits, shape.limits.max_prompt_tokens, shape.limits.max_new_tokens);
  const auto usable = static_cast<std::size_t>(static_cast<double>(plan.free) * fraction);
  const std::size_t fixed = plan.weights + plan.workspace;
  const std::size_t rest = usable > fixed ? usable - fixed : 0;
  const std::size_t fitting = rest / plan.block;
  const bool is_given = shape.limits.kv_blocks != 0;
  const auto most = static_cast<std::size_t>(std::numeric_limits<std::int32_t>::max());
  // More than every request at its longest can hold is of no use.
  const std::size_t useful =
      static_cast<std::size_t>(plan.longest) * static_cast<std::size_t>(shape.limits.max_requests);
  const std::size_t wanted =
      is_given ? static_cast<std::size_t>(shape.limits.kv_blocks) : std::min({fitting, useful, most});
  plan.blocks = static_cast<std::int32_t>(wanted);
  if (wanted > fitting || plan.blocks < plan.longest) {
    plan.blocks = static_cast<std::int32_t>(std::max(wanted, static_cast<std::size_t>(plan.longest)));
    throw Error(ErrorKind::kOutOfMemory,
                "GPU " + std::to_string(request.device) + " has too little memory: " + plan.to_text() + "; " +
                    std::to_string(fitting) + " blocks fit" +
                    (is_given ? ". Leave kv_blocks out, or make it smaller"
                              : ". Use a smaller max_tokens_per_step, a larger gpu_memory_fraction (" +
                                    std::to_string(fraction) + " now), or a GPU with more memory"));
  }
  shape.limits.kv_blocks = plan.blocks;
  return plan;
}

}  // namespace gptj::cuda
