// A short run without LoadGen, to find out what rate the engines hold.
#pragma once

#include <cstdint>

#include "gptj/progress.h"
#include "gptj/scheduler.h"
#include "gptj/types.h"
#include "harness/engine_pool.h"
#include "harness/sample_set.h"

namespace gptj {

struct MeasureOptions {
  Scenario scenario = Scenario::kOffline;
  double seconds = 1.0;  // to run at least, after the warm-up
};

struct Measured {
  std::uint64_t samples = 0;  // completed in the time below
  double seconds = 0;
  double samples_per_second = 0;
  double single_sample_seconds = 0;  // latency of a sample that runs alone
};

// Warms every engine up with one sample, times samples that run alone, then keeps the queue longer than the
// engines can take until the time is over. Counting starts once as many samples are done as fit the engines
// at once, so that neither their filling nor their draining is counted. Throws Error(kInterrupted) when
// somebody asked to stop.
Measured measure(const MeasureOptions& options, const GenerationConfig& generation, EnginePool& pool,
                 const Scheduler& scheduler, const SampleSet& samples, Progress& progress);

}  // namespace gptj
