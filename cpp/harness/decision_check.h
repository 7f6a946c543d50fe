// The scheduler's contract as a check: the harness runs it on every decision before an engine sees it.
#pragma once

#include <cstddef>

#include "gptj/scheduler.h"

namespace gptj {

// What a valid decision amounts to.
struct DecisionSummary {
  std::size_t admitted = 0;        // leading requests of `waiting` that get their first chunk
  std::int32_t prompt_tokens = 0;  // in chunks
  std::int32_t decode_rows = 0;    // beam rows of requests that decode
};

// Throws Error(kInternal), naming the rule that `decision` breaks; see Scheduler::decide().
DecisionSummary check_decision(const SchedulerState& state, const EngineLimits& limits,
                               const Decision& decision);

}  // namespace gptj
