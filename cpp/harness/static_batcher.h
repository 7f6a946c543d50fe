// The batching of the v3.1 harness: sorted segments, and batches that run to their end together.
#pragma once

#include <cstdint>

#include "gptj/scheduler.h"

namespace gptj {

struct StaticBatcherOptions {
  bool enable_sort = true;
  std::int32_t num_sort_segments = 2;
};

// A batch is whatever waits when the engine is empty, up to its limits; nothing joins it later. Its prompts
// are prefilled first, over as many steps as they need, then all its requests decode together until the last
// one is done.
//
// decide() keeps no state, so that a batch must be recognisable from what runs: every member gets at least
// one prompt token in the batch's first step.
class StaticBatcher final : public Scheduler {
 public:
  // Throws Error(kInvalidArgument) for a number of segments below 1.
  explicit StaticBatcher(const StaticBatcherOptions& options);

  // Up to 20 samples are one segment, more are num_sort_segments equal ones, of which the last takes the
  // remainder. Each is sorted by descending prompt length, in every scenario.
  void order(Scenario scenario, std::span<WaitingRequest> arrivals) const override;

  void decide(const SchedulerState& state, const EngineLimits& limits, Decision& decision) const override;

 private:
  StaticBatcherOptions options_;
};

}  // namespace gptj
