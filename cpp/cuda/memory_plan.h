// What goes where on the GPU, computed before anything is allocated.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

#include "cuda/network.h"

namespace gptj::cuda {

struct MemoryPlan {
  std::size_t total = 0;  // of the device
  std::size_t free = 0;   // before the engine
  std::size_t weights = 0;
  std::size_t workspace = 0;  // activations, logits, search, cuBLASLt
  std::size_t block = 0;      // one KV block, all layers
  std::int32_t blocks = 0;
  std::int32_t longest = 0;  // blocks of one request of the longest kind

  // In GiB and in requests, for people.
  std::string to_text() const;
};

// `shape` with its limits as asked for; with limits.kv_blocks 0 the pool takes what is left of `fraction` of
// the free memory; the rest stays for the driver's own needs. Sets limits.kv_blocks. Throws
// Error(kOutOfMemory) with the arithmetic when one request of the longest kind does not fit.
MemoryPlan plan_memory(NetworkShape& shape, std::int32_t device, double fraction);

}  // namespace gptj::cuda
