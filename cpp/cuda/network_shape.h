// The sizes that everything on the GPU follows from.
#pragma once

#include <cstddef>
#include <cstdint>

#include "cuda/kernels/types.h"
#include "gptj/engine.h"
#include "gptj/types.h"

namespace gptj::cuda {

struct NetworkShape {
  ModelConfig model;
  GenerationConfig generation;
  EngineLimits limits;
  ElementType type = ElementType::kF16;  // of the layers' products and of the KV cache
  std::int32_t table_stride = 0;         // KV blocks that one request may hold
  bool profile = false;                  // time the parts of every step

  // Rows whose logits one step may ask for.
  std::int32_t max_logit_rows() const;
  // Device memory of what all engines have: residual stream, logits and search, without the KV cache.
  std::size_t shared_bytes() const;
  // Device memory of one KV block, all layers.
  std::size_t kv_block_bytes() const;
};

// Products may read and write whole tiles of rows: so many rows behind the last one are there.
inline constexpr std::int64_t kSpareRows = 128;

}  // namespace gptj::cuda
