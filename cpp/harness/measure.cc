#include "harness/measure.h"

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <mutex>
#include <span>
#include <string>
#include <vector>

#include "gptj/error.h"
#include "harness/pipeline.h"

namespace gptj {
namespace {

using Clock = std::chrono::steady_clock;

double seconds_between(Clock::time_point begin, Clock::time_point end) {
  return std::chrono::duration<double>(end - begin).count();
}

// Counts answers, and when the last ones came.
class Counter final : public AnswerSink {
 public:
  struct Count {
    std::uint64_t samples = 0;
    Clock::time_point at;  // when the last of them was answered
  };

  void answer(std::span<const Answer> answers) override {
    {
      const std::lock_guard lock(mutex_);
      count_.samples += answers.size();
      count_.at = Clock::now();
    }
    changed_.notify_one();
  }

  // Waits for an answer beyond the first `samples` ones, but not past `deadline`.
  Count wait_beyond(std::uint64_t samples, Clock::time_point deadline) {
    std::unique_lock lock(mutex_);
    changed_.wait_until(lock, deadline, [&] { return count_.samples > samples; });
    return count_;
  }

  Count count() {
    const std::lock_guard lock(mutex_);
    return count_;
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  Count count_;
};

class Measurement {
 public:
  Measurement(const MeasureOptions& options, const GenerationConfig& generation, EnginePool& pool,
              const Scheduler& scheduler, const SampleSet& samples, Progress& progress)
      : options_(options),
        generation_(generation),
        pool_(pool),
        scheduler_(scheduler),
        samples_(samples),
        progress_(progress) {}

  // One sample after the other, alone in one engine; gives the mean latency.
  double run_alone(std::span<const std::unique_ptr<Engine>> engine, std::span<const std::size_t> indices) {
    double sum = 0;
    for (const std::size_t index : indices) {
      Counter counter;
      Pipeline pipeline(config(engine), counter, progress_);
      const Query query{.response = 0, .sample = index};
      const Clock::time_point begin = Clock::now();
      pipeline.submit(std::span(&query, 1));
      finish(pipeline);
      sum += seconds_between(begin, counter.count().at);
    }
    return sum / static_cast<double>(indices.size());
  }

  Measured run_loaded() {
    std::uint64_t slots = 0;
    for (const auto& engine : pool_.engines())
      slots += static_cast<std::uint64_t>(engine->limits().max_requests);
    Counter counter;
    Pipeline pipeline(config(pool_.engines()), counter, progress_);
    const Clock::time_point start = Clock::now();
    const Clock::time_point deadline =
        start + std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double>(options_.seconds));

    Counter::Count first{};  // the engines were full by then
    Counter::Count last{};
    std::uint64_t submitted = 0;
    while (Clock::now() < deadline && !stopped()) {
      // Twice what fits: however the engines share it, none runs dry before the next look.
      submitted += top_up(pipeline, submitted, last.samples + 2 * slots);
      last = counter.wait_beyond(last.samples, std::min(deadline, Clock::now() + kLook));
      if (first.samples == 0 && last.samples >= slots) first = last;
    }
    finish(pipeline);
    // A run too short to fill the engines twice is counted whole, with filling and draining: a cautious
    // figure.
    if (first.samples == 0 || last.samples < first.samples + slots) {
      first = {.samples = 0, .at = start};
      last = counter.count();
    }
    Measured measured;
    measured.samples = last.samples - first.samples;
    measured.seconds = seconds_between(first.at, last.at);
    if (measured.seconds > 0) {
      measured.samples_per_second = static_cast<double>(measured.samples) / measured.seconds;
    }
    return measured;
  }

 private:
  // How long the loop may take to notice a request to stop.
  static constexpr std::chrono::milliseconds kLook{50};

  PipelineConfig config(std::span<const std::unique_ptr<Engine>> engines) const {
    return PipelineConfig{.scenario = options_.scenario,
                          .generation = generation_,
                          .engines = engines,
                          .scheduler = scheduler_,
                          .samples = samples_};
  }

  bool stopped() const { return progress_.stop_requested.load() || progress_.failed.load(); }

  // Submits, one query each, until `target` samples were submitted in all; gives how many that took.
  std::uint64_t top_up(Pipeline& pipeline, std::uint64_t submitted, std::uint64_t target) {
    std::vector<Query> queries;
    for (std::uint64_t i = submitted; i < target; ++i) {
      queries.push_back(Query{.response = i, .sample = static_cast<std::size_t>(i % samples_.size())});
    }
    if (!queries.empty()) pipeline.submit(queries);
    return queries.size();
  }

  void finish(Pipeline& pipeline) {
    const PipelineStats stats = pipeline.finish();
    if (stats.abandoned) pool_.mark_abandoned();
    pipeline.rethrow_failure();
    if (stats.interrupted) throw Error(ErrorKind::kInterrupted, "the measurement was stopped before its end");
  }

  const MeasureOptions& options_;
  const GenerationConfig& generation_;
  EnginePool& pool_;
  const Scheduler& scheduler_;
  const SampleSet& samples_;
  Progress& progress_;
};

}  // namespace

Measured measure(const MeasureOptions& options, const GenerationConfig& generation, EnginePool& pool,
                 const Scheduler& scheduler, const SampleSet& samples, Progress& progress) {
  pool.check_usable();
  if (!(options.seconds > 0)) {
    throw Error(ErrorKind::kInvalidArgument,
                "a measurement of " + std::to_string(options.seconds) + " seconds measures nothing");
  }
  Measurement measurement(options, generation, pool, scheduler, samples, progress);
  const std::size_t first[] = {0};
  const std::span engines(pool.engines());
  for (std::size_t i = 0; i < engines.size(); ++i) measurement.run_alone(engines.subspan(i, 1), first);

  const std::size_t spread[] = {0, samples.size() / 2, samples.size() - 1};
  const double alone = measurement.run_alone(engines.first(1), spread);
  Measured measured = measurement.run_loaded();
  measured.single_sample_seconds = alone;
  return measured;
}

}  // namespace gptj
