#include "bridge/rust_scheduler.h"

#include <string_view>

#include "bridge/convert.h"
#include "harness/static_batcher.h"

namespace gptj::ffi {
namespace {

// Both sides of a decision, kept from step to step; a thread drives one engine at a time.
struct Scratch {
  std::vector<WaitingRequest> waiting;
  std::vector<RunningRequest> running;
  Decision decision;
};

template <typename From, typename To>
rust::Slice<const To> convert(std::span<const From> from, std::vector<To>& to) {
  to.clear();
  for (const From& value : from) to.push_back(to_bridge(value));
  return {to.data(), to.size()};
}

}  // namespace

void RustSchedulerAdapter::order(gptj::Scenario scenario, std::span<gptj::WaitingRequest> arrivals) const {
  std::vector<WaitingRequest> requests;
  convert(std::span<const gptj::WaitingRequest>(arrivals), requests);
  scheduler_->order(to_bridge(scenario), {requests.data(), requests.size()});
  for (std::size_t i = 0; i < arrivals.size(); ++i) arrivals[i] = to_core(requests[i]);
}

void RustSchedulerAdapter::decide(const gptj::SchedulerState& state, const gptj::EngineLimits& limits,
                                  gptj::Decision& decision) const {
  thread_local Scratch scratch;
  scheduler_->decide(convert(state.waiting, scratch.waiting), convert(state.running, scratch.running),
                     to_bridge(limits), scratch.decision);
  decision.chunks.clear();
  for (const PromptChunk& chunk : scratch.decision.chunks) {
    decision.chunks.push_back(gptj::PromptChunk{.id = chunk.id, .count = chunk.count});
  }
  decision.decode = scratch.decision.decode;
}

std::unique_ptr<gptj::Scheduler> make_scheduler(const SchedulerSettings& settings) {
  if (std::string_view(settings.name.data(), settings.name.size()) == "static") {
    return std::make_unique<gptj::StaticBatcher>(gptj::StaticBatcherOptions{
        .enable_sort = settings.enable_sort, .num_sort_segments = settings.num_sort_segments});
  }
  return std::make_unique<RustSchedulerAdapter>(settings.name);
}

}  // namespace gptj::ffi
