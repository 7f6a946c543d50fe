// The engine on one NVIDIA GPU.
#pragma once

#include <memory>

#include "gptj/engine.h"
#include "gptj/engine_options.h"

namespace gptj::cuda {

// Throws Error(kUnsupported) for a GPU, a driver or a shape that it cannot use, Error(kOutOfMemory) with the
// arithmetic, Error(kModel) for weights that are missing or wrong.
std::unique_ptr<Engine> create_cuda_engine(const EngineOptions& options, const ModelConfig& model,
                                           const GenerationConfig& generation, const WeightStore& weights);

}  // namespace gptj::cuda
