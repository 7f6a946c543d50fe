// The CUDA engine's own layers: cuBLASLt's products, with what lies between them in our kernels.
#pragma once

#include "cuda/layers.h"

namespace gptj::cuda {

class CublasLayersSource final : public LayersSource {
 public:
  std::string name() const override { return "cuda"; }
  std::size_t workspace_bytes(const NetworkShape& shape) const override;
  std::unique_ptr<Layers> make(const LayersContext& context) const override;
};

}  // namespace gptj::cuda
