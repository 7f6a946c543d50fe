#include "harness/pipeline.h"

#include <string>
#include <utility>

#include "gptj/error.h"

namespace gptj {
namespace {

[[noreturn]] void refuse(const std::string& message) { throw Error(ErrorKind::kInvalidArgument, message); }

// The contract of schedulers asks that every waiting request alone fits the limits; that is seen to here,
// once.
void check_sample(std::size_t index, const PipelineConfig& config, const Engine& engine) {
  const EngineLimits& limits = engine.limits();
  const auto prompt = static_cast<std::int64_t>(config.samples.prompt(index).size());
  const NewTokenRange range = config.samples.new_tokens(index, config.generation);
  const auto sample = [&] { return "sample " + std::to_string(index); };
  const auto engine_takes = [&] { return "; engine `" + engine.name() + "` takes at most "; };
  if (prompt > limits.max_prompt_tokens) {
    refuse(sample() + " has " + std::to_string(prompt) + " prompt tokens" + engine_takes() +
           std::to_string(limits.max_prompt_tokens));
  }
  if (range.min < 0 || range.max < 1 || range.min > range.max) {
    refuse(sample() + " asks for " + std::to_string(range.min) + ".." + std::to_string(range.max) +
           " new tokens, which is no range");
  }
  if (range.max > limits.max_new_tokens) {
    refuse(sample() + " asks for up to " + std::to_string(range.max) + " new tokens" + engine_takes() +
           std::to_string(limits.max_new_tokens));
  }
  const std::int32_t blocks = kv_blocks_for(limits, static_cast<std::int32_t>(prompt), range.max);
  if (blocks > limits.kv_blocks) {
    refuse(sample() + " needs " + std::to_string(blocks) + " KV blocks; engine `" + engine.name() +
           "` has only " + std::to_string(limits.kv_blocks));
  }
  for (const TokenId token : config.samples.prompt(index)) {
    if (token < 0 || token >= limits.vocab_size) {
      refuse(sample() + " has token " + std::to_string(token) + ", outside the model's vocabulary of " +
             std::to_string(limits.vocab_size) + "; the samples were tokenised for another model");
    }
  }
}

void check_engine(const Engine& engine) {
  const EngineLimits& limits = engine.limits();
  if (limits.max_requests < 1 || limits.beam_width < 1 || limits.kv_block_size < 1 ||
      limits.max_tokens_per_step < limits.beam_width) {
    refuse("engine `" + engine.name() + "` takes " + std::to_string(limits.max_requests) + " requests and " +
           std::to_string(limits.max_tokens_per_step) + " tokens per step with " +
           std::to_string(limits.beam_width) + " beams, which lets no request run");
  }
}

// What both schedulers need at least: order() must not lose, double or invent a sample.
void check_permutation(std::span<const WaitingRequest> arrivals) {
  std::vector<bool> seen(arrivals.size(), false);
  for (const WaitingRequest& arrival : arrivals) {
    if (arrival.id >= seen.size() || seen[arrival.id]) {
      throw Error(ErrorKind::kInternal, "the scheduler broke its contract: order() must only permute");
    }
    seen[arrival.id] = true;
  }
}

}  // namespace

Pipeline::Pipeline(const PipelineConfig& config, AnswerSink& sink, Progress& progress)
    : config_(config),
      progress_(progress),
      completed_before_(progress.samples_completed.load()),
      tokens_before_(progress.tokens_generated.load()),
      failure_(progress),
      queue_(progress),
      completions_(sink, failure_, progress),
      context_{.scheduler = config.scheduler,
               .samples = config.samples,
               .queue = queue_,
               .completions = completions_,
               .failure = failure_,
               .progress = progress,
               .peaks = peaks_} {
  if (config.engines.empty()) refuse("a run needs at least one engine");
  if (failure_.happened()) refuse("this progress is that of a run that failed; every run needs its own");
  for (const std::unique_ptr<Engine>& engine : config.engines) {
    check_engine(*engine);
    for (std::size_t i = 0; i < config.samples.size(); ++i) check_sample(i, config, *engine);
    drivers_.push_back(std::make_unique<EngineDriver>(*engine, context_));
  }
  try {
    for (const auto& driver : drivers_) threads_.emplace_back([&driver = *driver] { driver.run(); });
  } catch (...) {
    close();
    throw;
  }
}

Pipeline::~Pipeline() { close(); }

void Pipeline::submit(std::span<const Query> queries) noexcept {
  const Clock::time_point issued = Clock::now();
  Clock::rep unset = 0;
  if (first_query_.compare_exchange_strong(unset, issued.time_since_epoch().count())) {
    progress_.first_query.store(issued.time_since_epoch().count(), std::memory_order_relaxed);
  }
  progress_.samples_issued.fetch_add(queries.size(), std::memory_order_relaxed);
  if (context_.draining()) {
    answer_empty(queries, issued);
    return;
  }
  try {
    enqueue(queries, issued);
  } catch (...) {
    failure_.capture(std::current_exception());
    answer_empty(queries, issued);
  }
}

void Pipeline::enqueue(std::span<const Query> queries, Clock::time_point issued) {
  std::vector<WaitingRequest> arrivals(queries.size());
  for (std::size_t i = 0; i < queries.size(); ++i) {
    if (queries[i].sample >= config_.samples.size()) {
      throw Error(ErrorKind::kInternal, "sample " + std::to_string(queries[i].sample) +
                                            " was asked for; the set has " +
                                            std::to_string(config_.samples.size()));
    }
    arrivals[i] = WaitingRequest{
        .id = i,
        .prompt_tokens = static_cast<std::int32_t>(config_.samples.prompt(queries[i].sample).size()),
        .max_new_tokens = config_.samples.new_tokens(queries[i].sample, config_.generation).max,
    };
  }
  if (arrivals.size() > 1) {
    config_.scheduler.order(config_.scenario, arrivals);
    check_permutation(arrivals);
  }
  std::vector<Request> requests(arrivals.size());
  for (std::size_t i = 0; i < arrivals.size(); ++i) {
    const Query& query = queries[arrivals[i].id];
    const NewTokenRange range = config_.samples.new_tokens(query.sample, config_.generation);
    requests[i] = Request{
        .id = 0,
        .response = query.response,
        .sample = query.sample,
        .prompt_tokens = static_cast<std::int32_t>(config_.samples.prompt(query.sample).size()),
        .min_new_tokens = range.min,
        .max_new_tokens = range.max,
        .issued = issued,
    };
  }
  queue_.push(requests);
}

void Pipeline::answer_empty(std::span<const Query> queries, Clock::time_point issued) {
  std::vector<Answer> answers(queries.size());
  for (std::size_t i = 0; i < queries.size(); ++i)
    answers[i] = Answer{.response = queries[i].response, .issued = issued, .tokens = {}};
  completions_.push(answers);
}

void Pipeline::close() {
  queue_.close();
  for (std::thread& thread : threads_) thread.join();
  threads_.clear();
  completions_.finish();
}

PipelineStats Pipeline::finish() {
  close();
  PipelineStats all = stats();
  all.latencies_ns = completions_.take_latencies();
  return all;
}

PipelineStats Pipeline::stats() const {
  PipelineStats stats;
  stats.samples_completed = progress_.samples_completed.load() - completed_before_;
  stats.generated_tokens = progress_.tokens_generated.load() - tokens_before_;
  double fill = 0;
  std::uint64_t running = 0;
  for (const auto& driver : drivers_) {
    stats.steps += driver->stats().steps;
    stats.prompt_tokens += driver->stats().prompt_tokens;
    fill += driver->stats().step_fill;
    running += driver->stats().running;
    stats.abandoned |= driver->abandoned();
  }
  if (stats.steps > 0) {
    stats.mean_step_fill = fill / static_cast<double>(stats.steps);
    stats.mean_running = static_cast<double>(running) / static_cast<double>(stats.steps);
  }
  stats.peak_running = peaks_.running.load();
  stats.peak_waiting = static_cast<std::uint32_t>(queue_.peak());
  stats.peak_kv_blocks = peaks_.kv_blocks.load();
  const Clock::rep first = first_query_.load();
  if (first != 0 && stats.samples_completed > 0) {
    const Clock::time_point start{Clock::duration(first)};
    stats.seconds = std::chrono::duration<double>(completions_.last_answer() - start).count();
  }
  stats.interrupted = progress_.stop_requested.load();
  return stats;
}

}  // namespace gptj
