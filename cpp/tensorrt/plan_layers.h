// Layers that a TensorRT plan computes.
#pragma once

#include <memory>
#include <string>

#include "cuda/layers.h"
#include "gptj/engine_options.h"

namespace gptj::tensorrt {

// Reads the plan of options.plan_path and checks that it is for `shape`. Throws Error(kIo) when it is
// missing, Error(kInvalidArgument) with the remedy when it is damaged, of another TensorRT or GPU, or for
// another shape.
std::unique_ptr<cuda::LayersSource> read_plan(const EngineOptions& options, const cuda::NetworkShape& shape);

}  // namespace gptj::tensorrt
