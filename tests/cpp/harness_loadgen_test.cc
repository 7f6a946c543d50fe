// The harness through the real LoadGen, with fake engines. LoadGen keeps process-global state, so ctest runs
// every test in a process of its own.
#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <set>
#include <thread>

#include "gptj/error.h"
#include "harness/generate.h"
#include "harness_fixture.h"

namespace gptj::testing {
namespace {

using Clock = std::chrono::steady_clock;

bool contains(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

TEST(HarnessLoadGen, OfflineIsValid) {
  LoadGenRun run(Scenario::kOffline, TestMode::kPerformanceOnly);
  EngineOptions engine = small_engine();
  engine.fake_step_us = 2000;  // or the run would be shorter than its minimum
  EnginePool pool = pool_of({engine});
  const SampleSet samples = random_samples(60);
  const PipelineStats stats = run.run(pool, samples);
  EXPECT_TRUE(contains(run.summary(), "Result is : VALID")) << run.summary();
  EXPECT_TRUE(contains(run.summary(), "SUT name : test system")) << run.summary();
  EXPECT_EQ(stats.samples_completed, run.progress.samples_issued.load());
  EXPECT_EQ(stats.samples_completed % 60, 0U);  // whole permutations, as mlperf.conf asks for gptj
  EXPECT_GE(stats.samples_completed, 220U);     // 1.1 * 0.2 s * 1000 samples/s
  EXPECT_GT(stats.generated_tokens, stats.samples_completed);
  EXPECT_LE(stats.peak_running, 8U);
  EXPECT_GT(stats.mean_step_fill, 0.0);
  EXPECT_LE(stats.mean_step_fill, 1.0);
  EXPECT_FALSE(stats.interrupted);
}

TEST(HarnessLoadGen, ServerIsValid) {
  LoadGenRun run(Scenario::kServer, TestMode::kPerformanceOnly);
  EnginePool pool = pool_of({small_engine()});
  const SampleSet samples = random_samples(60);
  const PipelineStats stats = run.run(pool, samples);
  EXPECT_TRUE(contains(run.summary(), "Scenario : Server")) << run.summary();
  EXPECT_TRUE(contains(run.summary(), "Result is : VALID")) << run.summary();
  EXPECT_EQ(stats.samples_completed, run.progress.samples_issued.load());
}

TEST(HarnessLoadGen, ServerIssuesFromThreadsOfOurs) {
  LoadGenRun run(Scenario::kServer, TestMode::kPerformanceOnly);
  run.options.server_num_issue_query_threads = 2;
  EnginePool pool = pool_of({small_engine()});
  run.run(pool, random_samples(60));
  EXPECT_TRUE(contains(run.summary(), "Result is : VALID")) << run.summary();
  EXPECT_TRUE(contains(run.detail(), "Registered IssueQueryThread[1]"));
}

TEST(HarnessLoadGen, SingleStreamIsValid) {
  LoadGenRun run(Scenario::kSingleStream, TestMode::kPerformanceOnly);
  EngineOptions engine = small_engine();
  engine.fake_step_us = 500;
  EnginePool pool = pool_of({engine});
  const PipelineStats stats = run.run(pool, random_samples(60));
  EXPECT_TRUE(contains(run.summary(), "Result is : VALID")) << run.summary();
  EXPECT_EQ(stats.peak_running, 1U);
}

TEST(HarnessLoadGen, AccuracyLogHoldsEveryAnswerAsInt32) {
  const SampleSet samples = random_samples(60);
  EnginePool reference_pool = pool_of({small_engine()});
  Progress progress;
  const StaticBatcher scheduler{StaticBatcherOptions{}};
  const auto expected = generate(short_generation(), reference_pool, scheduler, samples, progress);

  LoadGenRun run(Scenario::kOffline, TestMode::kAccuracyOnly);
  EnginePool pool = pool_of({small_engine()});
  run.run(pool, samples);
  const auto lines = run.accuracy();
  ASSERT_EQ(lines.size(), 60U);
  std::set<std::size_t> seen;
  for (const auto& [sample, tokens] : lines) {
    EXPECT_TRUE(seen.insert(sample).second) << sample;
    EXPECT_EQ(tokens, expected.at(sample)) << sample;
  }
}

TEST(HarnessLoadGen, TokenCountsAreReported) {
  LoadGenRun run(Scenario::kOffline, TestMode::kAccuracyOnly, "*.*.use_token_latencies = 1\n");
  EnginePool pool = pool_of({small_engine()});
  run.run(pool, random_samples(60));
  const std::string text = read(run.dir.path() / "mlperf_log_accuracy.json");
  const std::regex line(R"re("data" : "([0-9A-F]+)", "token_count" : (\d+))re");
  std::size_t lines = 0;
  for (auto it = std::sregex_iterator(text.begin(), text.end(), line); it != std::sregex_iterator(); ++it) {
    EXPECT_EQ((*it)[1].length() / 8, std::stol((*it)[2]));
    ++lines;
  }
  EXPECT_EQ(lines, 60U);
}

TEST(HarnessLoadGen, SeedsOfTheRoundReachLoadGen) {
  LoadGenRun run(Scenario::kOffline, TestMode::kPerformanceOnly);
  run.options.seeds = {.qsl = 6023615788873153749U, .sample_index = 15036839855038426416U, .schedule = 11};
  EnginePool pool = pool_of({small_engine()});
  run.run(pool, random_samples(60));
  EXPECT_TRUE(contains(run.summary(), "qsl_rng_seed : 6023615788873153749")) << run.summary();
  EXPECT_TRUE(contains(run.summary(), "sample_index_rng_seed : 15036839855038426416"));
  EXPECT_TRUE(contains(run.summary(), "schedule_rng_seed : 11"));
}

TEST(HarnessLoadGen, SeveralEnginesServeOneQueue) {
  LoadGenRun run(Scenario::kOffline, TestMode::kAccuracyOnly);
  EngineOptions slow = small_engine();
  slow.fake_step_us = 2000;
  EngineOptions fast = small_engine();
  fast.fake_step_us = 200;
  EnginePool pool = pool_of({slow, fast});
  const SampleSet samples = random_samples(300);
  run.run(pool, samples);
  EXPECT_EQ(run.accuracy().size(), 300U);
  for (const auto& line : run.accuracy()) EXPECT_FALSE(line.second.empty());
}

TEST(HarnessLoadGen, AnEngineThatThrowsEndsTheRunWithItsError) {
  LoadGenRun run(Scenario::kOffline, TestMode::kPerformanceOnly);
  EngineOptions options = small_engine();
  options.fake_fault = "throw:5";
  EnginePool pool = pool_of({options});
  const SampleSet samples = random_samples(60);
  const std::string message = error_of([&] { run.run(pool, samples); }, ErrorKind::kInternal);
  EXPECT_TRUE(contains(message, "step 5")) << message;
  EXPECT_TRUE(run.progress.failed.load());
  EXPECT_TRUE(contains(run.progress.failure, "internal: fake engine")) << run.progress.failure;
  // LoadGen got an answer, if an empty one, for every sample that it asked for.
  EXPECT_EQ(run.progress.samples_completed.load(), run.progress.samples_issued.load());
  error_of([&] { pool.check_usable(); }, ErrorKind::kInvalidArgument);
}

TEST(HarnessLoadGen, AHealthyEngineDoesNotHideThatAnotherFailed) {
  LoadGenRun run(Scenario::kOffline, TestMode::kPerformanceOnly);
  EngineOptions healthy = small_engine();
  healthy.fake_step_us = 500;  // so that the other one gets its share
  EngineOptions broken = healthy;
  broken.fake_fault = "throw:3";
  EnginePool pool = pool_of({healthy, broken});
  const SampleSet samples = random_samples(400);
  error_of([&] { run.run(pool, samples); }, ErrorKind::kInternal);
  EXPECT_EQ(run.progress.samples_completed.load(), run.progress.samples_issued.load());
}

TEST(HarnessLoadGen, NanInServerIsANumericError) {
  LoadGenRun run(Scenario::kServer, TestMode::kPerformanceOnly);
  EngineOptions options = small_engine();
  options.fake_fault = "nan:4";
  EnginePool pool = pool_of({options});
  error_of([&] { run.run(pool, random_samples(60)); }, ErrorKind::kNumeric);
  EXPECT_EQ(run.progress.samples_completed.load(), run.progress.samples_issued.load());
}

TEST(HarnessLoadGen, AFailureIsSeenBeforeTheServerScheduleEnds) {
  LoadGenRun run(Scenario::kServer, TestMode::kPerformanceOnly, "*.*.min_duration = 3000\n");
  EngineOptions options = small_engine();
  options.fake_fault = "throw:4";
  EnginePool pool = pool_of({options});
  const auto begin = Clock::now();
  std::chrono::duration<double> seen{};
  std::jthread watcher([&](std::stop_token stop) {
    while (!run.progress.failed.load() && !stop.stop_requested()) {
      std::this_thread::sleep_for(std::chrono::milliseconds(5));
    }
    seen = Clock::now() - begin;
  });
  error_of([&] { run.run(pool, random_samples(60)); }, ErrorKind::kInternal);
  watcher.join();
  EXPECT_LT(seen.count(), 2.0);
}

TEST(HarnessLoadGen, AStopRequestEndsTheRun) {
  LoadGenRun run(Scenario::kOffline, TestMode::kPerformanceOnly, "*.Offline.target_qps = 100000\n");
  EngineOptions options = small_engine();
  options.fake_step_us = 5000;  // minutes for all samples
  EnginePool pool = pool_of({options});
  const SampleSet samples = random_samples(60);
  std::thread stopper([&] {
    while (run.progress.samples_completed.load() < 5) {
      std::this_thread::sleep_for(std::chrono::milliseconds(2));
    }
    run.progress.stop_requested.store(true);
  });
  const PipelineStats stats = run.run(pool, samples);
  stopper.join();
  EXPECT_TRUE(stats.interrupted);
  EXPECT_EQ(stats.samples_completed, run.progress.samples_issued.load());
  EXPECT_LT(stats.seconds, 20.0);
}

TEST(HarnessLoadGen, AMissingLogFolderIsAnError) {
  LoadGenRun run(Scenario::kOffline, TestMode::kPerformanceOnly);
  run.options.log.dir += "/missing";
  EnginePool pool = pool_of({small_engine()});
  const std::string message = error_of([&] { run.run(pool, random_samples(60)); }, ErrorKind::kIo);
  EXPECT_TRUE(contains(message, run.options.log.dir)) << message;
}

TEST(HarnessLoadGen, AFileInPlaceOfTheLogFolderIsAnError) {
  LoadGenRun run(Scenario::kOffline, TestMode::kPerformanceOnly);
  run.options.log.dir = run.options.user_conf;
  EnginePool pool = pool_of({small_engine()});
  error_of([&] { run.run(pool, random_samples(60)); }, ErrorKind::kIo);
}

TEST(HarnessLoadGen, AMissingUserConfIsAnError) {
  LoadGenRun run(Scenario::kOffline, TestMode::kPerformanceOnly);
  fs::remove(run.options.user_conf);
  EnginePool pool = pool_of({small_engine()});
  error_of([&] { run.run(pool, random_samples(60)); }, ErrorKind::kIo);
}

TEST(HarnessLoadGen, AUserConfThatLoadGenCannotReadIsAnError) {
  LoadGenRun run(Scenario::kOffline, TestMode::kPerformanceOnly, "*.*.min_duration = soon\n");
  EnginePool pool = pool_of({small_engine()});
  const std::string message = error_of([&] { run.run(pool, random_samples(60)); }, ErrorKind::kLoadGen);
  EXPECT_TRUE(contains(message, run.options.user_conf)) << message;
}

TEST(HarnessLoadGen, ASecondRunInOneProcessIsRefused) {
  LoadGenRun first(Scenario::kOffline, TestMode::kPerformanceOnly);
  EnginePool pool = pool_of({small_engine()});
  const SampleSet samples = random_samples(60);
  first.run(pool, samples);
  LoadGenRun second(Scenario::kOffline, TestMode::kPerformanceOnly);
  error_of([&] { second.run(pool, samples); }, ErrorKind::kLoadGen);
}

TEST(HarnessLoadGen, ASampleThatDoesNotFitIsRefusedBeforeTheRun) {
  LoadGenRun run(Scenario::kOffline, TestMode::kPerformanceOnly);
  EngineOptions options = small_engine();
  options.max_prompt_tokens = 10;
  EnginePool pool = pool_of({options});
  const std::string message =
      error_of([&] { run.run(pool, random_samples(60)); }, ErrorKind::kInvalidArgument);
  EXPECT_TRUE(contains(message, "takes at most 10")) << message;
  EXPECT_EQ(run.progress.samples_issued.load(), 0U);
}

TEST(HarnessLoadGen, APoolWithoutEnginesIsRefused) {
  LoadGenRun run(Scenario::kOffline, TestMode::kPerformanceOnly);
  EnginePool pool;
  error_of([&] { run.run(pool, random_samples(60)); }, ErrorKind::kInvalidArgument);
}

}  // namespace
}  // namespace gptj::testing
