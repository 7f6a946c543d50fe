// The scheduler contract over random states, for the schedulers of this side, so that sanitizers see them
// too. The full suite, over the schedulers of both languages, is tests/scheduler_conformance.rs.
#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <memory>
#include <random>

#include "gptj/error.h"
#include "harness/decision_check.h"
#include "harness/static_batcher.h"

namespace gptj {
namespace {

using Make = std::function<std::unique_ptr<Scheduler>()>;

struct Named {
  const char* name;
  Make make;
};

class SchedulerConformance : public ::testing::TestWithParam<Named> {};

class RandomState {
 public:
  explicit RandomState(std::uint32_t seed) : random_(seed) {
    limits = EngineLimits{.max_requests = in(1, 12),
                          .max_tokens_per_step = 0,
                          .kv_blocks = 0,
                          .kv_block_size = in(1, 20),
                          .max_prompt_tokens = in(1, 120),
                          .max_new_tokens = in(1, 24),
                          .beam_width = in(1, 6),
                          .vocab_size = 100,
                          .max_steps_in_flight = 1};
    limits.max_tokens_per_step = limits.beam_width + in(0, 300);
    limits.kv_blocks = kv_blocks_for(limits, limits.max_prompt_tokens, limits.max_new_tokens) + in(0, 400);

    const std::int32_t slots = std::min(limits.max_requests, limits.max_tokens_per_step / limits.beam_width);
    const std::int32_t most_running = in(0, slots);
    std::int32_t blocks = 0;
    for (std::int32_t i = 0; i < most_running; ++i) {
      RunningRequest request{.id = static_cast<RequestId>(i) + 1,
                             .prompt_tokens = in(1, limits.max_prompt_tokens),
                             .prefilled_tokens = 0,
                             .max_new_tokens = in(1, limits.max_new_tokens),
                             .kv_blocks = 0};
      request.prefilled_tokens = in(0, 1) == 0 ? request.prompt_tokens : in(1, request.prompt_tokens);
      request.kv_blocks = kv_blocks_for(limits, request.prompt_tokens, request.max_new_tokens);
      blocks += request.kv_blocks;
      if (blocks > limits.kv_blocks) break;
      running.push_back(request);
    }
    const std::int32_t most_waiting = in(0, limits.max_requests);
    for (std::int32_t i = 0; i < most_waiting; ++i) {
      waiting.push_back({.id = static_cast<RequestId>(i) + 100,
                         .prompt_tokens = in(1, limits.max_prompt_tokens),
                         .max_new_tokens = in(1, limits.max_new_tokens)});
    }
  }

  SchedulerState view() const { return {.waiting = waiting, .running = running}; }

  EngineLimits limits;
  std::vector<WaitingRequest> waiting;
  std::vector<RunningRequest> running;

 private:
  std::int32_t in(std::int32_t low, std::int32_t high) {
    return std::uniform_int_distribution<std::int32_t>(low, high)(random_);
  }

  std::mt19937 random_;
};

TEST_P(SchedulerConformance, EveryDecisionKeepsTheContract) {
  const auto scheduler = GetParam().make();
  for (std::uint32_t seed = 0; seed < 20000; ++seed) {
    const RandomState state(seed);
    Decision decision;
    scheduler->decide(state.view(), state.limits, decision);
    ASSERT_NO_THROW(check_decision(state.view(), state.limits, decision)) << "seed " << seed;
  }
}

TEST_P(SchedulerConformance, OrderOnlyPermutes) {
  const auto scheduler = GetParam().make();
  for (std::uint32_t seed = 0; seed < 500; ++seed) {
    std::mt19937 random(seed);
    std::vector<WaitingRequest> arrivals(random() % 90);
    for (std::size_t i = 0; i < arrivals.size(); ++i) {
      arrivals[i] = {
          .id = i, .prompt_tokens = static_cast<std::int32_t>(1 + random() % 50), .max_new_tokens = 4};
    }
    const std::vector<WaitingRequest> original = arrivals;
    scheduler->order(Scenario::kOffline, arrivals);
    std::sort(arrivals.begin(), arrivals.end(),
              [](const WaitingRequest& a, const WaitingRequest& b) { return a.id < b.id; });
    for (std::size_t i = 0; i < original.size(); ++i) {
      ASSERT_EQ(arrivals[i].id, original[i].id);
      ASSERT_EQ(arrivals[i].prompt_tokens, original[i].prompt_tokens);
    }
  }
}

INSTANTIATE_TEST_SUITE_P(
    Static, SchedulerConformance,
    ::testing::Values(
        Named{"sorted", [] { return std::make_unique<StaticBatcher>(StaticBatcherOptions{}); }},
        Named{"unsorted",
              [] { return std::make_unique<StaticBatcher>(StaticBatcherOptions{.enable_sort = false}); }}),
    [](const auto& test) { return std::string(test.param.name); });

// The check that the harness relies on refuses each kind of breach.
class DecisionCheck : public ::testing::Test {
 protected:
  void expect_refused(const std::vector<PromptChunk>& chunks, bool decode, const std::string& part) {
    try {
      check_decision({.waiting = waiting_, .running = running_}, limits_,
                     {.chunks = chunks, .decode = decode});
      FAIL() << "accepted, expected: " << part;
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), ErrorKind::kInternal);
      EXPECT_NE(std::string(error.what()).find(part), std::string::npos) << error.what();
    }
  }

  EngineLimits limits_{.max_requests = 4,
                       .max_tokens_per_step = 40,
                       .kv_blocks = 20,
                       .kv_block_size = 8,
                       .max_prompt_tokens = 64,
                       .max_new_tokens = 5,
                       .beam_width = 4,
                       .vocab_size = 10,
                       .max_steps_in_flight = 1};
  // Blocks of a request: its prompt's, and 16 beam rows in 2 more.
  std::vector<RunningRequest> running_{
      {.id = 1, .prompt_tokens = 8, .prefilled_tokens = 8, .max_new_tokens = 5, .kv_blocks = 3},
      {.id = 2, .prompt_tokens = 16, .prefilled_tokens = 4, .max_new_tokens = 5, .kv_blocks = 4}};
  std::vector<WaitingRequest> waiting_{{.id = 5, .prompt_tokens = 8, .max_new_tokens = 5},
                                       {.id = 6, .prompt_tokens = 64, .max_new_tokens = 5},
                                       {.id = 7, .prompt_tokens = 8, .max_new_tokens = 5}};
};

TEST_F(DecisionCheck, AcceptsAndSumsUp) {
  const DecisionSummary summary = check_decision({.waiting = waiting_, .running = running_}, limits_,
                                                 {.chunks = {{2, 12}, {5, 8}, {6, 3}}, .decode = true});
  EXPECT_EQ(summary.admitted, 2U);
  EXPECT_EQ(summary.prompt_tokens, 23);
  EXPECT_EQ(summary.decode_rows, 4);
}

TEST_F(DecisionCheck, RefusesEveryBreach) {
  expect_refused({{9, 1}}, true, "names no request");
  expect_refused({{2, 1}, {2, 1}}, true, "names one twice");
  expect_refused({{5, 1}, {2, 1}}, true, "out of order");
  expect_refused({{6, 1}}, true, "request 6");
  expect_refused({{5, 1}, {7, 1}}, true, "request 7");
  expect_refused({{2, 13}}, true, "13 tokens, outside 1..12");
  expect_refused({{1, 1}}, true, "outside 1..0");
  expect_refused({{2, 0}}, true, "0 tokens");
  expect_refused({{2, -3}}, true, "-3 tokens");
  expect_refused({{5, 9}}, true, "9 tokens, outside 1..8");
  expect_refused({{2, 12}, {5, 8}, {6, 20}}, true, "exceed 40 tokens per step");
  expect_refused({}, false, "does nothing");
  limits_.max_requests = 2;
  expect_refused({{5, 1}}, true, "max_requests = 2");
  limits_.max_requests = 4;
  limits_.kv_blocks = 9;
  expect_refused({{5, 1}}, true, "KV blocks exceed the pool of 9");
}

}  // namespace
}  // namespace gptj
