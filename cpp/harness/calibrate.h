// Calibration for 8-bit engines: how large each layer's activations are, seen by the CPU engine in float.
#pragma once

#include <vector>

#include "cpu/activation_ranges.h"
#include "gptj/engine_options.h"
#include "gptj/progress.h"
#include "gptj/scheduler.h"
#include "gptj/types.h"
#include "gptj/weights.h"
#include "harness/sample_set.h"

namespace gptj {

struct CalibrationOptions {
  EngineOptions engine;  // the engine "cpu" in "f32"
  ModelConfig model;
  GenerationConfig generation;
};

// Generates for every sample of the set and looks at each row that is computed on the way: the tokens of the
// prompts once, and every beam's tokens. How requests are batched does not change what is seen. Throws
// Error(kInvalidArgument) for another engine or precision, what the engine throws, Error(kNumeric) for NaN or
// infinity in an activation, and Error(kInterrupted) when somebody asked to stop before the end.
std::vector<cpu::ActivationRange> calibrate(const CalibrationOptions& options, const WeightStore& weights,
                                            const Scheduler& scheduler, const SampleSet& samples,
                                            Progress& progress);

}  // namespace gptj
