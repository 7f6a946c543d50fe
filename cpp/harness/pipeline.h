// The path of a sample through the harness, without LoadGen: queue, drivers, completion. LoadGen's system
// under test, generate() and measure() all put their samples into one of these.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <memory>
#include <span>
#include <thread>
#include <vector>

#include "gptj/engine.h"
#include "gptj/progress.h"
#include "gptj/scheduler.h"
#include "gptj/types.h"
#include "harness/completion_thread.h"
#include "harness/engine_driver.h"
#include "harness/first_failure.h"
#include "harness/request_queue.h"
#include "harness/sample_set.h"

namespace gptj {

// One sample that somebody wants answered.
struct Query {
  std::uintptr_t response = 0;  // comes back with the answer
  std::size_t sample = 0;       // index into the sample set
};

// What a pipeline serves, and with what. Everything outlives the pipeline.
struct PipelineConfig {
  Scenario scenario = Scenario::kOffline;
  const GenerationConfig& generation;
  std::span<const std::unique_ptr<Engine>> engines;
  const Scheduler& scheduler;
  const SampleSet& samples;
};

struct PipelineStats {
  std::uint64_t samples_completed = 0;
  std::uint64_t prompt_tokens = 0;
  std::uint64_t generated_tokens = 0;
  std::uint64_t steps = 0;
  std::uint32_t peak_running = 0;
  std::uint32_t peak_waiting = 0;
  std::uint32_t peak_kv_blocks = 0;
  double mean_step_fill = 0;
  double mean_running = 0;
  double seconds = 0;                       // from the first query to the last answer
  std::vector<std::uint64_t> latencies_ns;  // of each sample, from its issue to its answer, in answers' order
  bool interrupted = false;                 // somebody asked to stop before the end
  bool abandoned = false;  // an engine was left in the middle of its work and cannot be used again
};

class Pipeline {
 public:
  // Checks that every sample fits every engine, then starts the threads. Throws Error(kInvalidArgument).
  Pipeline(const PipelineConfig& config, AnswerSink& sink, Progress& progress);
  ~Pipeline();
  Pipeline(const Pipeline&) = delete;
  Pipeline& operator=(const Pipeline&) = delete;

  // Queues the samples of one query, in the scheduler's order. Any thread may call it until finish(). What
  // goes wrong is kept for rethrow_failure(), and the samples are answered empty.
  void submit(std::span<const Query> queries) noexcept;

  // Waits until everything that was submitted is answered, and ends the threads.
  PipelineStats finish();

  // Keeps a failure of the caller's, from a place that must not throw; the run drains.
  void fail(std::exception_ptr failure) noexcept { failure_.capture(std::move(failure)); }

  // Throws the first failure of the run, if there was one. After finish().
  void rethrow_failure() const { failure_.rethrow(); }

 private:
  using Clock = std::chrono::steady_clock;

  void enqueue(std::span<const Query> queries, Clock::time_point issued);
  void answer_empty(std::span<const Query> queries, Clock::time_point issued);
  void close();
  PipelineStats stats() const;

  PipelineConfig config_;
  Progress& progress_;
  std::uint64_t completed_before_ = 0;  // the progress may count on from an earlier run
  std::uint64_t tokens_before_ = 0;
  Peaks peaks_;
  FirstFailure failure_;
  RequestQueue queue_;
  CompletionThread completions_;
  DriverContext context_;
  std::vector<std::unique_ptr<EngineDriver>> drivers_;
  std::atomic<Clock::rep> first_query_{0};  // of this pipeline; the progress may have one of an earlier run
  std::vector<std::thread> threads_;        // last: they use all of the above
};

}  // namespace gptj
