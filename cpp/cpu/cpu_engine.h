// GPT-J on the CPU: matrix products from oneDNN, everything else from this folder.
#pragma once

#include <memory>

#include "cpu/activation_observer.h"
#include "gptj/engine.h"
#include "gptj/engine_options.h"
#include "gptj/types.h"
#include "gptj/weights.h"

namespace gptj {

// Precisions: "f32"; "bf16" where cpu_supports("bf16"). Weights are read during the call only.
// Throws Error(kInvalidArgument) for options out of range, Error(kModel) for a checkpoint that does not fit
// `model`, Error(kUnsupported) for a precision or a shape that it cannot compute, Error(kOutOfMemory).
//
// A request's tokens do not depend on what else runs, nor on how its prompt is cut into chunks: each row of a
// product and each query of an attention is computed in the same order whatever stands beside it.
//
// `observer`, if there is one, sees every row of every step in "f32", and lives as long as the engine.
std::unique_ptr<Engine> create_cpu_engine(const EngineOptions& options, const ModelConfig& model,
                                          const GenerationConfig& generation, const WeightStore& weights,
                                          cpu::ActivationObserver* observer = nullptr);

}  // namespace gptj
