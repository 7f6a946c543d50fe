// The path of a sample through the harness: drivers, several engines, failures.
#include <gtest/gtest.h>

#include <functional>
#include <mutex>
#include <numeric>
#include <optional>
#include <set>
#include <thread>

#include "gptj/error.h"
#include "greedy_scheduler.h"
#include "harness/generate.h"
#include "harness/pipeline.h"
#include "harness_fixture.h"

namespace gptj::testing {
namespace {

// A policy made from two functions; what is not given behaves as a batcher that takes one request at a time.
class TestScheduler final : public Scheduler {
 public:
  std::function<void(std::span<WaitingRequest>)> order_with;
  std::function<void(const SchedulerState&, Decision&)> decide_with;

  void order(Scenario, std::span<WaitingRequest> arrivals) const override {
    if (order_with) order_with(arrivals);
  }
  void decide(const SchedulerState& state, const EngineLimits& limits, Decision& decision) const override {
    one_.decide(state, limits, decision);
    if (decide_with) decide_with(state, decision);
  }

 private:
  StaticBatcher one_{StaticBatcherOptions{}};
};

class Counting final : public AnswerSink {
 public:
  void answer(std::span<const Answer> answers) override {
    const std::lock_guard lock(mutex_);
    for (const Answer& answer : answers) {
      EXPECT_TRUE(seen_.insert(answer.response).second) << "answered twice: " << answer.response;
      order_.push_back(answer.response);
    }
  }
  std::size_t size() {
    const std::lock_guard lock(mutex_);
    return seen_.size();
  }
  const std::vector<std::uintptr_t>& order() const { return order_; }

 private:
  std::mutex mutex_;
  std::set<std::uintptr_t> seen_;
  std::vector<std::uintptr_t> order_;
};

struct TestRun {
  explicit TestRun(const std::vector<EngineOptions>& options, const Scheduler& scheduler, std::size_t count)
      : pool(pool_of(options)), samples(random_samples(count)) {
    pipeline.emplace(PipelineConfig{.scenario = Scenario::kServer,
                                    .generation = generation,
                                    .engines = pool.engines(),
                                    .scheduler = scheduler,
                                    .samples = samples},
                     sink, progress);
  }
  void submit(std::size_t first, std::size_t last) {
    std::vector<Query> queries;
    for (std::size_t i = first; i < last; ++i) queries.push_back({.response = i + 1, .sample = i});
    pipeline->submit(queries);
  }

  GenerationConfig generation = short_generation();
  EnginePool pool;
  SampleSet samples;
  Counting sink;
  Progress progress;
  std::optional<Pipeline> pipeline;
};

TEST(Pipeline, TheFasterOfTwoEnginesDoesMore) {
  EngineOptions slow = small_engine();
  slow.fake_step_us = 4000;
  EngineOptions fast = small_engine();
  fast.fake_step_us = 400;
  TestRun alone({slow}, kGreedy, 150);
  alone.submit(0, 150);
  const double slow_seconds = alone.pipeline->finish().seconds;
  TestRun both({slow, fast}, kGreedy, 150);
  both.submit(0, 150);
  const PipelineStats stats = both.pipeline->finish();
  EXPECT_EQ(both.sink.size(), 150U);
  // Ten times as fast: with a fair share by number instead of speed, half the time would be the best.
  EXPECT_LT(stats.seconds, 0.35 * slow_seconds);
  EXPECT_GT(stats.peak_running, 8U);
}

TEST(Pipeline, CountsWhatItDid) {
  TestRun run({small_engine()}, kGreedy, 50);
  run.submit(0, 30);
  run.submit(30, 50);
  const PipelineStats stats = run.pipeline->finish();
  std::uint64_t prompt_tokens = 0;
  for (std::size_t i = 0; i < 50; ++i) prompt_tokens += run.samples.prompt(i).size();
  EXPECT_EQ(stats.samples_completed, 50U);
  EXPECT_EQ(stats.prompt_tokens, prompt_tokens);
  EXPECT_EQ(stats.prompt_tokens, run.progress.prompt_tokens.load());
  EXPECT_EQ(stats.steps, run.progress.steps.load());
  EXPECT_GE(stats.generated_tokens, 100U);
  EXPECT_LE(stats.peak_running, 8U);
  EXPECT_GT(stats.peak_kv_blocks, 0U);
  EXPECT_LE(stats.mean_step_fill, 1.0);
  EXPECT_GT(stats.mean_running, 0.0);
  EXPECT_GT(stats.seconds, 0.0);
  EXPECT_EQ(run.progress.waiting.load(), 0U);
  EXPECT_EQ(run.progress.running.load(), 0U);
  EXPECT_EQ(run.progress.kv_blocks_used.load(), 0U);
  EXPECT_FALSE(stats.abandoned);
  EXPECT_NE(run.progress.first_query.load(), 0);
  ASSERT_EQ(stats.latencies_ns.size(), 50U);
  for (const std::uint64_t latency : stats.latencies_ns) {
    EXPECT_GT(latency, 0U);
    EXPECT_LE(static_cast<double>(latency), 1e9 * stats.seconds);
  }
}

TEST(Pipeline, AnswersInOrderWhenOneAtATime) {
  EngineOptions options = small_engine();
  options.max_requests = 1;
  TestRun run({options}, kGreedy, 30);
  run.submit(0, 30);
  run.pipeline->finish();
  std::vector<std::uintptr_t> expected(30);
  std::iota(expected.begin(), expected.end(), 1);
  EXPECT_EQ(run.sink.order(), expected);
}

TEST(Pipeline, AFailureAnswersEverythingEmptyAndIsKept) {
  EngineOptions options = small_engine();
  options.fake_fault = "nan:4";
  options.fake_max_steps_in_flight = 2;
  TestRun run({options}, kGreedy, 100);
  run.submit(0, 50);
  while (!run.progress.failed.load()) std::this_thread::yield();
  run.submit(50, 100);  // after the failure
  const PipelineStats stats = run.pipeline->finish();
  EXPECT_EQ(run.sink.size(), 100U);
  EXPECT_TRUE(stats.abandoned);
  EXPECT_EQ(run.progress.running.load(), 0U);
  EXPECT_EQ(run.progress.kv_blocks_used.load(), 0U);
  const std::string message = error_of([&] { run.pipeline->rethrow_failure(); }, ErrorKind::kNumeric);
  EXPECT_EQ(run.progress.failure, "numeric: " + message);
}

TEST(Pipeline, AStopAnswersWhatIsOutstanding) {
  EngineOptions options = small_engine();
  options.fake_step_us = 1000;
  TestRun run({options}, kGreedy, 200);
  run.submit(0, 200);
  run.progress.stop_requested = true;
  const PipelineStats stats = run.pipeline->finish();
  EXPECT_EQ(run.sink.size(), 200U);
  EXPECT_TRUE(stats.interrupted);
  EXPECT_NO_THROW(run.pipeline->rethrow_failure());
}

TEST(Pipeline, AnUnknownSampleIsAnErrorNotACrash) {
  TestRun run({small_engine()}, kGreedy, 10);
  run.submit(5, 12);
  run.pipeline->finish();
  EXPECT_EQ(run.sink.size(), 7U);
  error_of([&] { run.pipeline->rethrow_failure(); }, ErrorKind::kInternal);
}

TEST(Pipeline, ASchedulerThatBreaksItsContractIsNamed) {
  TestScheduler scheduler;
  scheduler.decide_with = [](const SchedulerState&, Decision& decision) {
    decision.chunks.push_back({.id = 123456, .count = 1});
  };
  TestRun run({small_engine()}, scheduler, 10);
  run.submit(0, 10);
  run.pipeline->finish();
  EXPECT_EQ(run.sink.size(), 10U);
  const std::string message = error_of([&] { run.pipeline->rethrow_failure(); }, ErrorKind::kInternal);
  EXPECT_NE(message.find("request 123456"), std::string::npos) << message;
}

TEST(Pipeline, AnOrderThatLosesASampleIsRefused) {
  TestScheduler scheduler;
  scheduler.order_with = [](std::span<WaitingRequest> arrivals) { arrivals[0] = arrivals[1]; };
  TestRun run({small_engine()}, scheduler, 10);
  run.submit(0, 10);
  run.pipeline->finish();
  EXPECT_EQ(run.sink.size(), 10U);
  error_of([&] { run.pipeline->rethrow_failure(); }, ErrorKind::kInternal);
}

// An engine that breaks its side of the contract, in one way or another, from its third step on.
class Unreliable final : public Engine {
 public:
  explicit Unreliable(std::function<void(StepOutcome&)> fault)
      : inner_(create_fake_engine(small_engine(), small_model(), short_generation())),
        fault_(std::move(fault)) {}

  const std::string& name() const override { return name_; }
  const EngineLimits& limits() const override { return inner_->limits(); }
  void enqueue(const StepWork& work) override { inner_->enqueue(work); }
  void collect(StepOutcome& outcome) override {
    inner_->collect(outcome);
    if (++steps_ >= 3) fault_(outcome);
  }

 private:
  std::string name_ = "unreliable";
  std::unique_ptr<Engine> inner_;
  std::function<void(StepOutcome&)> fault_;
  int steps_ = 0;
};

void expect_caught(const std::function<void(StepOutcome&)>& fault, const std::string& part,
                   const GenerationConfig& generation = short_generation()) {
  EnginePool pool;
  pool.add(std::make_unique<Unreliable>(fault));
  Progress progress;
  const std::string message = error_of(
      [&] { generate(generation, pool, kGreedy, random_samples(20), progress); }, ErrorKind::kInternal);
  EXPECT_NE(message.find("`unreliable` " + part), std::string::npos) << message;
}

TEST(Pipeline, AnEngineThatFinishesWhatItDoesNotHoldIsCaught) {
  expect_caught([](StepOutcome& outcome) { outcome.finished.push_back({.id = 999999, .tokens = {1}}); },
                "finished request 999999");
}

TEST(Pipeline, AnEngineThatFinishesTwiceIsCaught) {
  expect_caught(
      [](StepOutcome& outcome) {
        if (!outcome.finished.empty()) outcome.finished.push_back({outcome.finished.front().id, {1}});
      },
      "finished request");
}

TEST(Pipeline, AnEmptyAnswerIsCaught) {
  expect_caught(
      [](StepOutcome& outcome) {
        for (FinishedRequest& finished : outcome.finished) finished.tokens.clear();
      },
      "answered sample");
}

TEST(Pipeline, AnEngineThatNeverFinishesIsCaught) {
  // Answers of full length: the inner engine still holds every request when the last of its steps is
  // collected.
  GenerationConfig generation = short_generation();
  generation.min_new_tokens = generation.max_new_tokens;
  expect_caught([](StepOutcome& outcome) { outcome.finished.clear(); }, "did not finish request", generation);
}

}  // namespace
}  // namespace gptj::testing
