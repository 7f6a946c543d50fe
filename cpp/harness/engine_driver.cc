#include "harness/engine_driver.h"

#include <algorithm>
#include <exception>
#include <string>
#include <utility>

#include "gptj/error.h"

namespace gptj {
namespace {

void raise_to(std::atomic<std::uint32_t>& peak, std::uint32_t value) {
  std::uint32_t seen = peak.load(std::memory_order_relaxed);
  while (seen < value && !peak.compare_exchange_weak(seen, value, std::memory_order_relaxed)) {
  }
}

// Replaces one engine's share in a sum over all engines; gives the new sum. Unsigned arithmetic wraps as it
// should.
std::uint32_t replace_share(std::atomic<std::uint32_t>& sum, std::uint32_t& share, std::uint32_t value) {
  const std::uint32_t change = value - share;
  share = value;
  return sum.fetch_add(change, std::memory_order_relaxed) + change;
}

Answer empty_answer(const Request& request) {
  return Answer{.response = request.response, .issued = request.issued, .tokens = {}};
}

}  // namespace

EngineDriver::EngineDriver(Engine& engine, const DriverContext& context)
    : engine_(engine), context_(context) {}

void EngineDriver::run() noexcept {
  try {
    serve();
  } catch (...) {
    context_.failure.capture(std::current_exception());
  }
  abandoned_ = steps_in_flight_ > 0 || !active_.empty();
  abandon();
  // Whoever pushes while the run drains still gets its answers. After a regular end the queue is closed and
  // empty.
  while (context_.queue.wait()) answer_queue();
}

void EngineDriver::serve() {
  const std::int32_t most_in_flight = std::max(1, engine_.limits().max_steps_in_flight);
  while (!context_.draining()) {
    while (steps_in_flight_ < most_in_flight && plan_step()) {
    }
    if (steps_in_flight_ > 0) {
      collect();
      continue;
    }
    if (!active_.empty()) {
      throw Error(ErrorKind::kInternal, "engine `" + engine_.name() + "` did not finish request " +
                                            std::to_string(active_.front().request.id) + " within its " +
                                            std::to_string(active_.front().request.max_new_tokens) +
                                            " tokens");
    }
    if (!context_.queue.wait()) return;
  }
}

// Asks the scheduler and starts one step; false when no step would gain anything now.
bool EngineDriver::plan_step() {
  const EngineLimits& limits = engine_.limits();
  running_.clear();
  for (const Active& active : active_) {
    running_.push_back(RunningRequest{.id = active.request.id,
                                      .prompt_tokens = active.request.prompt_tokens,
                                      .prefilled_tokens = active.prefilled,
                                      .max_new_tokens = active.request.max_new_tokens,
                                      .kv_blocks = active.kv_blocks});
  }
  const std::size_t room = static_cast<std::size_t>(limits.max_requests) - active_.size();
  DecisionSummary summary;
  if (room > 0 && !context_.queue.empty()) {
    RequestQueue::Admission admission(context_.queue);
    admission.peek(room, window_);
    const SchedulerState state{.waiting = window_, .running = running_};
    if (window_.empty() && running_.empty()) return false;
    context_.scheduler.decide(state, limits, decision_);
    summary = check_decision(state, limits, decision_);
    if (decision_.chunks.empty() && gains_nothing()) return false;
    admit(summary.admitted, admission);
  } else {
    if (running_.empty()) return false;
    const SchedulerState state{.waiting = {}, .running = running_};
    context_.scheduler.decide(state, limits, decision_);
    summary = check_decision(state, limits, decision_);
    if (decision_.chunks.empty() && gains_nothing()) return false;
    admitted_.clear();
  }
  enqueue(summary);
  return true;
}

// Whether every request that would decode has been given all the steps it may need: it is finished in a step
// that is not collected yet, and another step would only be masked.
bool EngineDriver::gains_nothing() const {
  return std::none_of(active_.begin(), active_.end(), [](const Active& active) {
    return active.prefilled == active.request.prompt_tokens && active.steps_left > 0;
  });
}

void EngineDriver::admit(std::size_t count, RequestQueue::Admission& admission) {
  taken_.clear();
  admission.take(count, taken_);
  admitted_.clear();
  for (const Request& request : taken_) {
    active_.push_back(Active{
        .request = request,
        .prefilled = 0,
        .kv_blocks = kv_blocks_for(engine_.limits(), request.prompt_tokens, request.max_new_tokens),
        .steps_left = request.max_new_tokens,
    });
    admitted_.push_back(NewRequest{.id = request.id,
                                   .prompt = context_.samples.prompt(request.sample),
                                   .min_new_tokens = request.min_new_tokens,
                                   .max_new_tokens = request.max_new_tokens});
  }
}

void EngineDriver::enqueue(const DecisionSummary& summary) {
  const EngineLimits& limits = engine_.limits();
  engine_.enqueue(StepWork{.admitted = admitted_, .chunks = decision_.chunks, .decode = decision_.decode});
  ++steps_in_flight_;

  if (decision_.decode) {
    for (Active& active : active_) {
      if (active.prefilled == active.request.prompt_tokens && active.steps_left > 0) --active.steps_left;
    }
  }
  auto active = active_.begin();
  for (const PromptChunk& chunk : decision_.chunks) {
    while (active->request.id != chunk.id) ++active;
    active->prefilled += chunk.count;
    // The last prompt token gives the first generated one.
    if (active->prefilled == active->request.prompt_tokens) --active->steps_left;
  }

  ++stats_.steps;
  stats_.running += active_.size();
  stats_.step_fill += static_cast<double>(summary.prompt_tokens + summary.decode_rows) /
                      static_cast<double>(limits.max_tokens_per_step);
  report_running();
}

void EngineDriver::collect() {
  engine_.collect(outcome_);
  --steps_in_flight_;
  stats_.prompt_tokens += static_cast<std::uint64_t>(outcome_.prompt_tokens);
  context_.progress.prompt_tokens.fetch_add(static_cast<std::uint64_t>(outcome_.prompt_tokens),
                                            std::memory_order_relaxed);
  context_.progress.steps.fetch_add(1, std::memory_order_relaxed);
  raise_to(context_.peaks.kv_blocks, replace_share(context_.progress.kv_blocks_used, reported_blocks_,
                                                   static_cast<std::uint32_t>(outcome_.kv_blocks_used)));
  if (!outcome_.finished.empty()) finish_requests();
}

void EngineDriver::finish_requests() {
  constexpr std::int32_t kFinished = -1;  // in kv_blocks: answered, to be removed below
  for (FinishedRequest& finished : outcome_.finished) {
    const auto found =
        std::lower_bound(active_.begin(), active_.end(), finished.id,
                         [](const Active& active, RequestId id) { return active.request.id < id; });
    if (found == active_.end() || found->request.id != finished.id || found->kv_blocks == kFinished) {
      throw Error(ErrorKind::kInternal, "engine `" + engine_.name() + "` finished request " +
                                            std::to_string(finished.id) + ", which it does not hold");
    }
    const auto count = static_cast<std::int64_t>(finished.tokens.size());
    if (count < 1 || count > found->request.max_new_tokens) {
      throw Error(ErrorKind::kInternal, "engine `" + engine_.name() + "` answered sample " +
                                            std::to_string(found->request.sample) + " with " +
                                            std::to_string(count) + " tokens, outside 1.." +
                                            std::to_string(found->request.max_new_tokens));
    }
    answers_.push_back(Answer{.response = found->request.response,
                              .issued = found->request.issued,
                              .tokens = std::move(finished.tokens)});
    found->kv_blocks = kFinished;
  }
  std::erase_if(active_, [](const Active& active) { return active.kv_blocks == kFinished; });
  report_running();
  context_.completions.push(answers_);
}

void EngineDriver::report_running() {
  raise_to(context_.peaks.running, replace_share(context_.progress.running, reported_running_,
                                                 static_cast<std::uint32_t>(active_.size())));
}

void EngineDriver::abandon() {
  // Finished requests whose answers were not handed over yet are answered all the same, and only once.
  for (const Active& active : active_) {
    if (active.kv_blocks >= 0) answers_.push_back(empty_answer(active.request));
  }
  active_.clear();
  report_running();
  replace_share(context_.progress.kv_blocks_used, reported_blocks_, 0);
  context_.completions.push(answers_);
}

void EngineDriver::answer_queue() {
  taken_.clear();
  RequestQueue::Admission(context_.queue).take_all(taken_);
  for (const Request& request : taken_) answers_.push_back(empty_answer(request));
  context_.completions.push(answers_);
}

}  // namespace gptj
