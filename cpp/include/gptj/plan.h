// Plans: what an engine library may want built once for a shape of model, limits and GPU, and kept in a file.
// A plan holds no weights; one serves every checkpoint of its shape.
#pragma once

#include <cstdint>
#include <string>

#include "gptj/engine_options.h"
#include "gptj/types.h"

namespace gptj {

// What a plan depends on beyond the request: it only runs with the same.
struct PlanFacts {
  std::string builder_version;          // "8.6.0"
  std::string gpu;                      // name of the device
  std::int32_t compute_capability = 0;  // 90 for 9.0
  std::string precision;  // what the engine will compute in: it may fall back from the one asked for
};

struct PlanRequest {
  EngineOptions options;  // device, precision and limits count; plan_path is where the plan is written
  ModelConfig model;
  GenerationConfig generation;
  std::string timing_cache_path;  // read if it is there, written afterwards; empty: none
};

struct PlanReport {
  std::uint64_t plan_bytes = 0;
  double network_seconds = 0.0;      // start of the library and definition of the network
  double build_seconds = 0.0;        // choice of kernels
  std::uint64_t timings_reused = 0;  // bytes of the timing cache that was read
};

// Exported with C linkage by libraries whose engines need plans, beside those of engine_options.h. Both throw
// gptj::Error. The plan appears under options.plan_path by one rename when it is complete.
inline constexpr const char* kPlanFactsSymbol = "gptj_plan_facts";
inline constexpr const char* kBuildPlanSymbol = "gptj_build_plan";

extern "C" {
using PlanFactsFunction = void(const EngineOptions*, PlanFacts*);
using BuildPlanFunction = void(const PlanRequest*, PlanReport*);
}

}  // namespace gptj
