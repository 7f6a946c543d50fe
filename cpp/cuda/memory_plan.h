// What goes where on the GPU, computed before anything is allocated.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

#include "cuda/network_shape.h"

namespace gptj::cuda {

struct MemoryPlan {
  std::size_t total = 0;  // of the device
  std::size_t free = 0;   // before the engine
  std::size_t weights = 0;
  std::size_t workspace = 0;  // activations, logits, search, what the layers need
  std::size_t block = 0;      // one KV block, all layers
  std::int32_t blocks = 0;
  std::int32_t longest = 0;  // blocks of one request of the longest kind

  // In GiB and in requests, for people.
  std::string to_text() const;
};

struct MemoryRequest {
  std::int32_t device = 0;
  double fraction = 0.0;  // of the free memory that may be taken; the rest stays for the driver's own needs
  std::size_t layers_bytes = 0;  // what the layers take for themselves
};

// `shape` with its limits as asked for; with limits.kv_blocks 0 the pool takes what is left. Sets
// limits.kv_blocks. Throws Error(kOutOfMemory) with the arithmetic when one request of the longest kind does
// not fit.
MemoryPlan plan_memory(NetworkShape& shape, const MemoryRequest& request);

}  // namespace gptj::cuda
