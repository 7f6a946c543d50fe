// Engines by name. Those of this program are linked in; others are libraries opened at run time, so that the
// program itself starts on any machine.
#pragma once

#include <memory>
#include <string>

#include "gptj/engine.h"
#include "gptj/engine_options.h"
#include "gptj/plan.h"
#include "gptj/types.h"
#include "gptj/weights.h"

namespace gptj {

// `weights` is only read during the call. For a name that is not linked in, libgptj_<name>.so is looked for
// in options.library_dirs, beside the executable, in ../lib from there, and where the loader looks. Throws
// what the engine throws, and Error(kUnsupported) with everything that was tried when there is no such
// library.
std::unique_ptr<Engine> create_engine(const EngineOptions& options, const ModelConfig& model,
                                      const GenerationConfig& generation, const WeightStore& weights);

// The file of the engine's library, which is opened to see that it can be; empty when the engine is linked
// in. Throws as create_engine does when there is no such library.
std::string engine_library(const EngineOptions& options);

// Whether the engine runs from a plan, which is what a library says by exporting the symbols of plan.h.
bool has_plans(const EngineOptions& options);

// Both throw what the library throws, and Error(kUnsupported) when the engine has no plans.
PlanFacts plan_facts(const EngineOptions& options);
PlanReport build_plan(const PlanRequest& request);

}  // namespace gptj
