// An engine without a model: answers follow from a seed and the prompt alone. It checks every rule of the
// engine seam strictly, so that a harness that runs on it asks for nothing that a real engine could not do.
#pragma once

#include <memory>

#include "gptj/engine.h"
#include "gptj/engine_options.h"

namespace gptj {

// Throws Error(kInvalidArgument) for options outside their range or an unknown fault.
std::unique_ptr<Engine> create_fake_engine(const EngineOptions& options, const ModelConfig& model,
                                           const GenerationConfig& generation);

}  // namespace gptj
