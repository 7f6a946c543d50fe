// A checkpoint that Rust has mapped, as engines see it.
#pragma once

#include <string_view>
#include <unordered_map>

#include "bridge/ffi.h"
#include "gptj/weights.h"
#include "mlperf-gptj/src/bridge.rs.h"

namespace gptj::ffi {

// Valid as long as the checkpoint.
class CheckpointWeights final : public gptj::WeightStore {
 public:
  explicit CheckpointWeights(const Checkpoint& checkpoint);

  const gptj::TensorView* find(std::string_view name) const override;

 private:
  std::unordered_map<std::string_view, gptj::TensorView> tensors_;
};

}  // namespace gptj::ffi
