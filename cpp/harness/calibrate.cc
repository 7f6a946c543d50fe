#include "harness/calibrate.h"

#include "cpu/cpu_engine.h"
#include "gptj/error.h"
#include "harness/engine_pool.h"
#include "harness/generate.h"

namespace gptj {

std::vector<cpu::ActivationRange> calibrate(const CalibrationOptions& options, const WeightStore& weights,
                                            const Scheduler& scheduler, const SampleSet& samples,
                                            Progress& progress) {
  if (options.engine.engine != "cpu") {
    throw Error(ErrorKind::kInvalidArgument,
                "calibration runs on the engine `cpu`, not on `" + options.engine.engine + "`");
  }
  cpu::ActivationRanges seen(options.model.n_layer);
  EnginePool pool;  // uses `seen`, so it goes first
  pool.add(create_cpu_engine(options.engine, options.model, options.generation, weights, &seen));
  generate(options.generation, pool, scheduler, samples, progress);
  return seen.ranges();
}

}  // namespace gptj
