// The C++ side of src/bridge.rs. Shared structs are only declared here; the generated header defines them.
#pragma once

#include <cstdint>
#include <memory>

#include "bridge/trycatch.h"
#include "gptj/progress.h"
#include "gptj/scheduler.h"
#include "harness/engine_pool.h"
#include "harness/sample_set.h"
#include "rust/cxx.h"

namespace gptj::ffi {

// Opaque to Rust: the harness' own types.
using EnginePool = gptj::EnginePool;
using SampleSet = gptj::SampleSet;
using Progress = gptj::Progress;
using CppScheduler = gptj::Scheduler;

struct ActivationRange;
struct CalibrationSettings;
struct Checkpoint;
struct Decision;
struct EngineLimits;
struct EngineSettings;
struct GeneratedSample;
struct Generation;
struct MeasureSettings;
struct Measured;
struct ModelShape;
struct PlanFacts;
struct PlanReport;
struct ProgressSnapshot;
struct RunOutcome;
struct RunSettings;
struct RunningRequest;
struct SchedulerSettings;
struct WaitingRequest;
enum class Scenario : std::uint8_t;

// Engines
// -------------------------------------------------------------------------------------------------------------
std::unique_ptr<EnginePool> new_engine_pool();
void add_engine(EnginePool& pool, const EngineSettings& settings, const ModelShape& shape,
                const Generation& generation, const Checkpoint& checkpoint);
std::size_t engine_count(const EnginePool& pool);
rust::String engine_name(const EnginePool& pool, std::size_t index);
EngineLimits engine_limits(const EnginePool& pool, std::size_t index);
bool cpu_supports(rust::Str precision);

// Engine libraries and plans
// ---------------------------------------------------------------------------------------------------
rust::String engine_library(const EngineSettings& settings);
bool has_plans(const EngineSettings& settings);
PlanFacts plan_facts(const EngineSettings& settings);
PlanReport build_plan(const EngineSettings& settings, const ModelShape& shape, const Generation& generation,
                      rust::Str timing_cache);

// Samples and progress
// ------------------------------------------------------------------------------------------------
std::unique_ptr<SampleSet> new_sample_set(rust::Slice<const std::int32_t> tokens,
                                          rust::Slice<const std::uint64_t> offsets,
                                          rust::Slice<const std::int32_t> min_new_tokens,
                                          rust::Slice<const std::int32_t> max_new_tokens);
std::shared_ptr<Progress> new_progress();
ProgressSnapshot snapshot(const Progress& progress);
rust::String failure_message(const Progress& progress);
void request_stop(const Progress& progress);

// Schedulers of this side, for Rust's conformance suite
// ---------------------------------------------------------------
std::unique_ptr<CppScheduler> new_cpp_scheduler(const SchedulerSettings& settings);
void cpp_order(const CppScheduler& scheduler, Scenario scenario, rust::Slice<WaitingRequest> arrivals);
void cpp_decide(const CppScheduler& scheduler, rust::Slice<const WaitingRequest> waiting,
                rust::Slice<const RunningRequest> running, const EngineLimits& limits, Decision& decision);
void cpp_check_decision(rust::Slice<const WaitingRequest> waiting, rust::Slice<const RunningRequest> running,
                        const EngineLimits& limits, const Decision& decision);

// Runs
// ----------------------------------------------------------------------------------------------------------------
RunOutcome run_test(const RunSettings& settings, const Generation& generation, EnginePool& pool,
                    const SampleSet& samples, const std::shared_ptr<Progress>& progress);
rust::Vec<GeneratedSample> generate(const SchedulerSettings& scheduler, const Generation& generation,
                                    EnginePool& pool, const SampleSet& samples,
                                    const std::shared_ptr<Progress>& progress);
Measured measure(const MeasureSettings& settings, const Generation& generation, EnginePool& pool,
                 const SampleSet& samples, const std::shared_ptr<Progress>& progress);
rust::Vec<ActivationRange> calibrate(const CalibrationSettings& settings, const Checkpoint& checkpoint,
                                     const SampleSet& samples, const std::shared_ptr<Progress>& progress);

}  // namespace gptj::ffi
