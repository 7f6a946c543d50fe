// Drives one engine from the shared queue: one thread for each engine, one scheduler decision for each step.
#pragma once

#include <atomic>
#include <cstdint>
#include <vector>

#include "gptj/engine.h"
#include "gptj/progress.h"
#include "gptj/scheduler.h"
#include "harness/completion_thread.h"
#include "harness/decision_check.h"
#include "harness/first_failure.h"
#include "harness/request_queue.h"
#include "harness/sample_set.h"

namespace gptj {

// Largest values over all engines of a run.
struct Peaks {
  std::atomic<std::uint32_t> running{0};
  std::atomic<std::uint32_t> kv_blocks{0};
};

// What the drivers of a run share.
struct DriverContext {
  const Scheduler& scheduler;
  const SampleSet& samples;
  RequestQueue& queue;
  CompletionThread& completions;
  FirstFailure& failure;
  Progress& progress;
  Peaks& peaks;

  // Nothing more is computed: something failed, or the user asked to stop.
  bool draining() const noexcept {
    return failure.happened() || progress.stop_requested.load(std::memory_order_relaxed);
  }
};

// Sums over the steps of one engine.
struct DriverStats {
  std::uint64_t steps = 0;
  std::uint64_t prompt_tokens = 0;
  double step_fill = 0;       // of tokens in the step / max_tokens_per_step
  std::uint64_t running = 0;  // of requests in flight
};

class EngineDriver {
 public:
  EngineDriver(Engine& engine, const DriverContext& context);

  // The thread's body: serves until the queue is closed and empty. When the run drains, answers what this
  // engine holds, and from then on whatever is pushed, with nothing.
  void run() noexcept;

  // Only after run().
  const DriverStats& stats() const { return stats_; }

  // Whether the engine still holds requests or uncollected steps: it was left in the middle of a run.
  bool abandoned() const { return abandoned_; }

 private:
  // A request that the engine holds; ids ascend, because admission is first come, first served.
  struct Active {
    Request request;
    std::int32_t prefilled = 0;  // prompt tokens enqueued so far
    std::int32_t kv_blocks = 0;
    std::int32_t steps_left = 0;  // steps that may still give it a token
  };

  void serve();
  bool plan_step();
  void admit(std::size_t count, RequestQueue::Admission& admission);
  bool gains_nothing() const;
  void enqueue(const DecisionSummary& summary);
  void collect();
  void finish_requests();
  void report_running();
  void abandon();
  void answer_queue();

  Engine& engine_;
  DriverContext context_;
  std::vector<Active> active_;  // in order of admission
  std::int32_t steps_in_flight_ = 0;
  std::uint32_t reported_running_ = 0;
  std::uint32_t reported_blocks_ = 0;
  bool abandoned_ = false;
  DriverStats stats_;

  // Reused from step to step.
  std::vector<WaitingRequest> window_;
  std::vector<RunningRequest> running_;
  std::vector<Request> taken_;
  std::vector<NewRequest> admitted_;
  std::vector<Answer> answers_;
  Decision decision_;
  StepOutcome outcome_;
};

}  // namespace gptj
