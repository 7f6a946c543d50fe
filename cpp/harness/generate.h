// Generation for a whole sample set without LoadGen, on the path that LoadGen's samples take.
#pragma once

#include <vector>

#include "gptj/progress.h"
#include "gptj/scheduler.h"
#include "gptj/types.h"
#include "harness/engine_pool.h"
#include "harness/sample_set.h"

namespace gptj {

// The generated tokens of every sample, in the order of the set. Throws what an engine threw, and
// Error(kInterrupted) when somebody asked to stop before the end.
std::vector<std::vector<TokenId>> generate(const GenerationConfig& generation, EnginePool& pool,
                                           const Scheduler& scheduler, const SampleSet& samples,
                                           Progress& progress);

}  // namespace gptj
