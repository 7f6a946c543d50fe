// Generation and measurement without LoadGen, on the path that LoadGen's samples take.
#include <gtest/gtest.h>

#include <chrono>
#include <numeric>

#include "greedy_scheduler.h"
#include "harness/generate.h"
#include "harness/measure.h"
#include "harness_fixture.h"

namespace gptj::testing {
namespace {

using Tokens = std::vector<std::vector<TokenId>>;

Tokens generate_with(const Scheduler& scheduler, EnginePool& pool, const SampleSet& samples) {
  Progress progress;
  return generate(short_generation(), pool, scheduler, samples, progress);
}

TEST(Generate, AnswersDependOnThePromptAlone) {
  const SampleSet samples = random_samples(120);
  EngineOptions tight = small_engine();
  tight.max_requests = 3;
  tight.max_tokens_per_step = 17;
  tight.kv_block_size = 5;
  EnginePool wide_pool = pool_of({small_engine()});
  EnginePool tight_pool = pool_of({tight});
  EnginePool greedy_pool = pool_of({tight, small_engine()});
  const StaticBatcher batcher({});
  const Tokens expected = generate_with(batcher, wide_pool, samples);
  EXPECT_EQ(expected.size(), 120U);
  EXPECT_EQ(generate_with(batcher, tight_pool, samples), expected);
  EXPECT_EQ(generate_with(kGreedy, greedy_pool, samples), expected);
  // A pool can be used again after a run that ended well.
  EXPECT_EQ(generate_with(kGreedy, wide_pool, samples), expected);
}

TEST(Generate, PipelinedStepsGiveTheSameTokens) {
  const SampleSet samples = random_samples(120);
  EnginePool reference = pool_of({small_engine()});
  const Tokens expected = generate_with(kGreedy, reference, samples);
  for (const std::int32_t depth : {2, 3, 8}) {
    EngineOptions options = small_engine();
    options.fake_max_steps_in_flight = depth;
    options.fake_step_us = 50;  // steps pile up, and requests end inside uncollected ones
    EnginePool pool = pool_of({options});
    EXPECT_EQ(generate_with(kGreedy, pool, samples), expected) << depth;
    EXPECT_EQ(generate_with(StaticBatcher({}), pool, samples), expected) << depth;
  }
}

TEST(Generate, SamplesMayHaveRangesOfTheirOwn) {
  std::vector<TokenId> tokens(40);
  std::iota(tokens.begin(), tokens.end(), 1);
  const SampleSet samples(tokens, {0, 10, 20, 30, 40}, {1, 4, 9, 2}, {1, 4, 9, 3});
  EnginePool pool = pool_of({small_engine()});
  const Tokens results = generate_with(kGreedy, pool, samples);
  EXPECT_EQ(results[0].size(), 1U);
  EXPECT_EQ(results[1].size(), 4U);
  EXPECT_EQ(results[2].size(), 9U);
  EXPECT_LE(results[3].size(), 3U);
}

TEST(Generate, AStopIsAnErrorBecauseResultsAreMissing) {
  EnginePool pool = pool_of({small_engine()});
  Progress progress;
  progress.stop_requested = true;
  error_of([&] { generate(short_generation(), pool, kGreedy, random_samples(10), progress); },
           ErrorKind::kInterrupted);
}

TEST(Generate, AProgressOfAFailedRunIsRefused) {
  EnginePool pool = pool_of({small_engine()});
  Progress progress;
  progress.failed = true;
  error_of([&] { generate(short_generation(), pool, kGreedy, random_samples(10), progress); },
           ErrorKind::kInvalidArgument);
}

TEST(Measure, TellsTheRateThatTheEnginesHold) {
  EngineOptions options = small_engine();
  options.fake_step_us = 1000;
  EnginePool pool = pool_of({options, options});
  Progress progress;
  const Measured measured = measure({.scenario = Scenario::kServer, .seconds = 0.8}, short_generation(), pool,
                                    kGreedy, random_samples(40), progress);
  EXPECT_GE(measured.samples, 16U);
  EXPECT_GT(measured.seconds, 0.0);
  EXPECT_NEAR(measured.samples_per_second, static_cast<double>(measured.samples) / measured.seconds, 1e-6);
  // Alone, a sample takes at least one step for each token, of at least two.
  EXPECT_GE(measured.single_sample_seconds, 0.002);
  EXPECT_LT(measured.single_sample_seconds, 0.5);

  // The figure holds: the same engines do as many samples in a run of their own, give or take what filling
  // costs.
  Progress again;
  const SampleSet many = random_samples(400);
  const auto begin = std::chrono::steady_clock::now();
  generate(short_generation(), pool, kGreedy, many, again);
  const double rate = 400 / std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  EXPECT_GT(measured.samples_per_second, 0.5 * rate);
  EXPECT_LT(measured.samples_per_second, 2.0 * rate);
}

TEST(Measure, AFailureIsThrown) {
  EngineOptions options = small_engine();
  options.fake_fault = "throw:30";
  EnginePool pool = pool_of({options});
  Progress progress;
  error_of(
      [&] {
        measure({.scenario = Scenario::kOffline, .seconds = 5}, short_generation(), pool, kGreedy,
                random_samples(40), progress);
      },
      ErrorKind::kInternal);
  error_of([&] { pool.check_usable(); }, ErrorKind::kInvalidArgument);
}

TEST(Measure, NeedsTime) {
  EnginePool pool = pool_of({small_engine()});
  Progress progress;
  error_of([&] { measure({.seconds = 0}, short_generation(), pool, kGreedy, random_samples(4), progress); },
           ErrorKind::kInvalidArgument);
}

TEST(SampleSet, RefusesWhatIsNoSampleSet) {
  const auto message = [](std::vector<std::uint64_t> offsets, std::vector<std::int32_t> max) {
    return error_of([&] { SampleSet({1, 2, 3}, offsets, {}, max); }, ErrorKind::kInvalidArgument);
  };
  EXPECT_NE(message({}, {}).find("empty"), std::string::npos);
  EXPECT_NE(message({0}, {}).find("empty"), std::string::npos);
  EXPECT_NE(message({1, 3}, {}).find("token 0"), std::string::npos);
  EXPECT_NE(message({0, 2, 2, 3}, {}).find("sample 1 has no tokens"), std::string::npos);
  EXPECT_NE(message({0, 2, 4}, {}).find("token 4"), std::string::npos);
  EXPECT_NE(message({0, 1, 3}, {5}).find("1 values for 2 samples"), std::string::npos);
}

}  // namespace
}  // namespace gptj::testing
