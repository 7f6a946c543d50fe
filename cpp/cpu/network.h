// GPT-J's forward pass over a packed batch.
#pragma once

#include <cstdint>
#include <memory>
#include <span>

#include "cpu/activation_observer.h"
#include "cpu/batch.h"
#include "cpu/kv_cache.h"
#include "cpu/linear.h"
#include "gptj/types.h"
#include "gptj/weights.h"

namespace gptj::cpu {

struct NetworkOptions {
  ComputeType compute = ComputeType::kF32;
  std::int32_t max_rows = 0;        // rows in one batch
  std::int32_t max_logit_rows = 0;  // logit rows in one batch
  std::int32_t max_cache_rows = 0;  // rows that one request can hold, blocks counted whole
  std::int32_t beam_width = 0;
  ActivationObserver* observer = nullptr;  // kF32 only; lives as long as the network
};

class Network {
 public:
  virtual ~Network() = default;

  // Runs the batch, writes its keys and values into the cache. Returns the logits of batch.logit_rows,
  // [logit rows, vocab], valid until the next call.
  virtual std::span<const float> forward(const Batch& batch, KvCache& cache) = 0;
};

// Reads and packs the weights. Throws Error(kModel) naming the tensor that is missing or of the wrong shape
// or type.
std::unique_ptr<Network> make_network(const ModelConfig& model, const WeightStore& weights,
                                      const NetworkOptions& options);

}  // namespace gptj::cpu
