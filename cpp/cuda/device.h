// The GPU that an engine runs on: there at all, and able to do what is asked of it.
#pragma once

#include <cstdint>
#include <string>

#include "cuda/kernels/types.h"
#include "gptj/engine_options.h"
#include "gptj/types.h"

namespace gptj::cuda {

// Makes the device current and decides in what it computes: `fp16`, or `fp8` where it has FP8 tensor cores
// (8.9 and later); elsewhere fp8 becomes fp16, and stderr says so. Throws Error(kUnsupported) without a
// driver, for a driver that is too old, a device that is not there or older than 8.0, or another precision.
ElementType use_device(std::int32_t device, const std::string& precision);

// `NVIDIA H100 80GB HBM3`.
std::string device_name(std::int32_t device);

// 90 for 9.0.
std::int32_t compute_capability(std::int32_t device);

// Throws Error(kUnsupported) for what the kernels have no room for.
void check_shape(const ModelConfig& model, const GenerationConfig& generation, const EngineOptions& options);

}  // namespace gptj::cuda
