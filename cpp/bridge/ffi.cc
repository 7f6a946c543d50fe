#include "bridge/ffi.h"

#include <chrono>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "bridge/checkpoint_weights.h"
#include "bridge/convert.h"
#include "bridge/rust_scheduler.h"
#include "cpu/cpu_features.h"
#include "engine/engine_loader.h"
#include "gptj/error.h"
#include "harness/calibrate.h"
#include "harness/decision_check.h"
#include "harness/generate.h"
#include "harness/measure.h"
#include "harness/run.h"
#include "mlperf-gptj/src/bridge.rs.h"

namespace gptj::ffi {
namespace {

template <typename T>
std::vector<T> to_vector(rust::Slice<const T> slice) {
  return std::vector<T>(slice.begin(), slice.end());
}

const Engine& engine_at(const EnginePool& pool, std::size_t index) {
  if (index >= pool.engines().size()) {
    throw Error(ErrorKind::kInvalidArgument,
                "engine " + std::to_string(index) + " of " + std::to_string(pool.engines().size()));
  }
  return *pool.engines()[index];
}

// What the schedulers of both languages are asked about, in this side's types.
struct CoreState {
  CoreState(rust::Slice<const WaitingRequest> waiting_requests,
            rust::Slice<const RunningRequest> running_requests) {
    for (const WaitingRequest& request : waiting_requests) waiting.push_back(to_core(request));
    for (const RunningRequest& request : running_requests) running.push_back(to_core(request));
  }

  SchedulerState view() const { return {.waiting = waiting, .running = running}; }

  std::vector<gptj::WaitingRequest> waiting;
  std::vector<gptj::RunningRequest> running;
};

}  // namespace

// Engines
// -------------------------------------------------------------------------------------------------------------

std::unique_ptr<EnginePool> new_engine_pool() { return std::make_unique<EnginePool>(); }

void add_engine(EnginePool& pool, const EngineSettings& settings, const ModelShape& shape,
                const Generation& generation, const Checkpoint& checkpoint) {
  const CheckpointWeights weights(checkpoint);
  pool.add(create_engine(to_core(settings), to_core(shape), to_core(generation), weights));
}

std::size_t engine_count(const EnginePool& pool) { return pool.engines().size(); }

rust::String engine_name(const EnginePool& pool, std::size_t index) { return engine_at(pool, index).name(); }

EngineLimits engine_limits(const EnginePool& pool, std::size_t index) {
  return to_bridge(engine_at(pool, index).limits());
}

bool cpu_supports(rust::Str precision) {
  return gptj::cpu_supports(std::string_view(precision.data(), precision.size()));
}

// Engine libraries and plans
// ---------------------------------------------------------------------------------------------------

rust::String engine_library(const EngineSettings& settings) {
  // Lossy: the folder that the program or the loader found may have any bytes in its name.
  return rust::String::lossy(gptj::engine_library(to_core(settings)));
}

bool has_plans(const EngineSettings& settings) { return gptj::has_plans(to_core(settings)); }

PlanFacts plan_facts(const EngineSettings& settings) {
  return to_bridge(gptj::plan_facts(to_core(settings)));
}

PlanReport build_plan(const EngineSettings& settings, const ModelShape& shape, const Generation& generation,
                      rust::Str timing_cache) {
  return to_bridge(gptj::build_plan({.options = to_core(settings),
                                     .model = to_core(shape),
                                     .generation = to_core(generation),
                                     .timing_cache_path = std::string(timing_cache)}));
}

// Samples and progress
// ------------------------------------------------------------------------------------------------

std::unique_ptr<SampleSet> new_sample_set(rust::Slice<const std::int32_t> tokens,
                                          rust::Slice<const std::uint64_t> offsets,
                                          rust::Slice<const std::int32_t> min_new_tokens,
                                          rust::Slice<const std::int32_t> max_new_tokens) {
  return std::make_unique<SampleSet>(to_vector(tokens), to_vector(offsets), to_vector(min_new_tokens),
                                     to_vector(max_new_tokens));
}

std::shared_ptr<Progress> new_progress() { return std::make_shared<Progress>(); }

ProgressSnapshot snapshot(const Progress& progress) {
  using Clock = std::chrono::steady_clock;
  const Clock::duration first{progress.first_query.load(std::memory_order_relaxed)};
  const std::chrono::duration<double> elapsed = Clock::now() - Clock::time_point(first);
  return ProgressSnapshot{
      .seconds = first.count() == 0 ? 0.0 : elapsed.count(),
      .samples_issued = progress.samples_issued.load(std::memory_order_relaxed),
      .samples_completed = progress.samples_completed.load(std::memory_order_relaxed),
      .tokens_generated = progress.tokens_generated.load(std::memory_order_relaxed),
      .prompt_tokens = progress.prompt_tokens.load(std::memory_order_relaxed),
      .steps = progress.steps.load(std::memory_order_relaxed),
      .waiting = progress.waiting.load(std::memory_order_relaxed),
      .running = progress.running.load(std::memory_order_relaxed),
      .kv_blocks_used = progress.kv_blocks_used.load(std::memory_order_relaxed),
      .failed = progress.failed.load(std::memory_order_acquire),
  };
}

rust::String failure_message(const Progress& progress) {
  // Lossy, because this function is not declared to throw and a message may quote any bytes.
  return progress.failed.load(std::memory_order_acquire) ? rust::String::lossy(progress.failure)
                                                         : rust::String();
}

void request_stop(const Progress& progress) {
  progress.stop_requested.store(true, std::memory_order_relaxed);
}

// Schedulers of this side
// ---------------------------------------------------------------------------------------------

std::unique_ptr<CppScheduler> new_cpp_scheduler(const SchedulerSettings& settings) {
  return make_scheduler(settings);
}

void cpp_order(const CppScheduler& scheduler, Scenario scenario, rust::Slice<WaitingRequest> arrivals) {
  std::vector<gptj::WaitingRequest> requests;
  for (const WaitingRequest& request : arrivals) requests.push_back(to_core(request));
  scheduler.order(to_core(scenario), requests);
  for (std::size_t i = 0; i < requests.size(); ++i) arrivals[i] = to_bridge(requests[i]);
}

void cpp_decide(const CppScheduler& scheduler, rust::Slice<const WaitingRequest> waiting,
                rust::Slice<const RunningRequest> running, const EngineLimits& limits, Decision& decision) {
  const CoreState state(waiting, running);
  gptj::Decision made;
  scheduler.decide(state.view(), to_core(limits), made);
  decision.chunks.clear();
  for (const gptj::PromptChunk& chunk : made.chunks) {
    decision.chunks.push_back(PromptChunk{.id = chunk.id, .count = chunk.count});
  }
  decision.decode = made.decode;
}

void cpp_check_decision(rust::Slice<const WaitingRequest> waiting, rust::Slice<const RunningRequest> running,
                        const EngineLimits& limits, const Decision& decision) {
  const CoreState state(waiting, running);
  gptj::Decision made;
  for (const PromptChunk& chunk : decision.chunks) made.chunks.push_back({chunk.id, chunk.count});
  made.decode = decision.decode;
  check_decision(state.view(), to_core(limits), made);
}

// Runs
// ----------------------------------------------------------------------------------------------------------------

RunOutcome run_test(const RunSettings& settings, const Generation& generation, EnginePool& pool,
                    const SampleSet& samples, const std::shared_ptr<Progress>& progress) {
  const std::unique_ptr<gptj::Scheduler> scheduler = make_scheduler(settings.scheduler);
  return to_bridge(
      gptj::run_test(to_core(settings), to_core(generation), pool, *scheduler, samples, *progress));
}

rust::Vec<GeneratedSample> generate(const SchedulerSettings& settings, const Generation& generation,
                                    EnginePool& pool, const SampleSet& samples,
                                    const std::shared_ptr<Progress>& progress) {
  const std::unique_ptr<gptj::Scheduler> scheduler = make_scheduler(settings);
  rust::Vec<GeneratedSample> results;
  for (const auto& tokens : gptj::generate(to_core(generation), pool, *scheduler, samples, *progress)) {
    GeneratedSample sample;
    sample.tokens.reserve(tokens.size());
    for (const TokenId token : tokens) sample.tokens.push_back(token);
    results.push_back(std::move(sample));
  }
  return results;
}

Measured measure(const MeasureSettings& settings, const Generation& generation, EnginePool& pool,
                 const SampleSet& samples, const std::shared_ptr<Progress>& progress) {
  const std::unique_ptr<gptj::Scheduler> scheduler = make_scheduler(settings.scheduler);
  const gptj::MeasureOptions options{.scenario = to_core(settings.scenario), .seconds = settings.seconds};
  const gptj::Measured measured =
      gptj::measure(options, to_core(generation), pool, *scheduler, samples, *progress);
  return Measured{
      .samples = measured.samples,
      .seconds = measured.seconds,
      .samples_per_second = measured.samples_per_second,
      .single_sample_seconds = measured.single_sample_seconds,
  };
}

rust::Vec<ActivationRange> calibrate(const CalibrationSettings& settings, const Checkpoint& checkpoint,
                                     const SampleSet& samples, const std::shared_ptr<Progress>& progress) {
  const std::unique_ptr<gptj::Scheduler> scheduler = make_scheduler(settings.scheduler);
  const CheckpointWeights weights(checkpoint);
  const CalibrationOptions options{.engine = to_core(settings.engine),
                                   .model = to_core(settings.shape),
                                   .generation = to_core(settings.generation)};
  rust::Vec<ActivationRange> ranges;
  for (const cpu::ActivationRange& range :
       gptj::calibrate(options, weights, *scheduler, samples, *progress)) {
    ranges.push_back(to_bridge(range));
  }
  return ranges;
}

}  // namespace gptj::ffi
