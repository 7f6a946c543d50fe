// A scheduler that Rust implements, as C++ sees it.
#pragma once

#include <string>
#include <vector>

#include "bridge/ffi.h"
#include "gptj/scheduler.h"
#include "mlperf-gptj/src/bridge.rs.h"

namespace gptj::ffi {

class RustSchedulerAdapter final : public gptj::Scheduler {
 public:
  explicit RustSchedulerAdapter(rust::Str name) : scheduler_(new_rust_scheduler(name)) {}

  void order(gptj::Scenario scenario, std::span<gptj::WaitingRequest> arrivals) const override;
  void decide(const gptj::SchedulerState& state, const gptj::EngineLimits& limits,
              gptj::Decision& decision) const override;

 private:
  rust::Box<RustScheduler> scheduler_;
};

// The scheduler that the settings name: `static` of this side, any other from Rust.
std::unique_ptr<gptj::Scheduler> make_scheduler(const SchedulerSettings& settings);

}  // namespace gptj::ffi
