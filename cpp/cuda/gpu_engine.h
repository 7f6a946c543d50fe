// The engine on one NVIDIA GPU: requests, KV blocks and steps. What computes the layers is given to it.
#pragma once

#include <functional>
#include <memory>

#include "cuda/layers.h"
#include "cuda/network_shape.h"
#include "gptj/engine.h"
#include "gptj/engine_options.h"

namespace gptj::cuda {

// Sizes for these options on their device, which becomes the thread's; kv_blocks is still as asked for.
// Throws Error(kUnsupported) for a GPU, a driver or a shape that there are no kernels for.
NetworkShape network_shape(const EngineOptions& options, const ModelConfig& model,
                           const GenerationConfig& generation);

using MakeLayersSource =
    std::function<std::unique_ptr<LayersSource>(const EngineOptions&, const NetworkShape&)>;

// Throws as network_shape(), Error(kOutOfMemory) with the arithmetic, Error(kModel) for weights that are
// missing or wrong.
std::unique_ptr<Engine> create_gpu_engine(const EngineOptions& options, const ModelConfig& model,
                                          const GenerationConfig& generation, const WeightStore& weights,
                                          const MakeLayersSource& make_source);

}  // namespace gptj::cuda
