// Between the bridge's flat structs and the harness' own types. Values are checked again on this side where
// the C++ code relies on them.
#pragma once

#include "bridge/ffi.h"
#include "cpu/activation_ranges.h"
#include "gptj/engine_options.h"
#include "gptj/plan.h"
#include "gptj/types.h"
#include "harness/measure.h"
#include "harness/run.h"
#include "mlperf-gptj/src/bridge.rs.h"

namespace gptj::ffi {

gptj::Scenario to_core(Scenario scenario);
gptj::ModelConfig to_core(const ModelShape& shape);
gptj::GenerationConfig to_core(const Generation& generation);
gptj::EngineOptions to_core(const EngineSettings& settings);
gptj::EngineLimits to_core(const EngineLimits& limits);
gptj::TestOptions to_core(const RunSettings& settings);
gptj::WaitingRequest to_core(const WaitingRequest& request);
gptj::RunningRequest to_core(const RunningRequest& request);
gptj::DType to_core(DType dtype);

Scenario to_bridge(gptj::Scenario scenario);
EngineLimits to_bridge(const gptj::EngineLimits& limits);
WaitingRequest to_bridge(const gptj::WaitingRequest& request);
RunningRequest to_bridge(const gptj::RunningRequest& request);
ActivationRange to_bridge(const cpu::ActivationRange& range);
PlanFacts to_bridge(const gptj::PlanFacts& facts);
PlanReport to_bridge(const gptj::PlanReport& report);
RunOutcome to_bridge(const gptj::PipelineStats& stats);

}  // namespace gptj::ffi
