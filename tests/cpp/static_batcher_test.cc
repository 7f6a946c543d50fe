// The batching of the v3.1 harness, from tables. The contract itself is the business of the conformance
// suites.
#include "harness/static_batcher.h"

#include <gtest/gtest.h>

#include <vector>

#include "gptj/error.h"

namespace gptj {
namespace {

EngineLimits limits() {
  return EngineLimits{.max_requests = 4,
                      .max_tokens_per_step = 100,
                      .kv_blocks = 60,
                      .kv_block_size = 16,
                      .max_prompt_tokens = 200,
                      .max_new_tokens = 9,
                      .beam_width = 4,
                      .vocab_size = 1000,
                      .max_steps_in_flight = 1};
}

std::vector<WaitingRequest> arrivals(const std::vector<std::int32_t>& lengths) {
  std::vector<WaitingRequest> requests;
  for (const std::int32_t length : lengths) {
    requests.push_back({.id = requests.size(), .prompt_tokens = length, .max_new_tokens = 9});
  }
  return requests;
}

std::vector<std::int32_t> ordered(const StaticBatcher& batcher, const std::vector<std::int32_t>& lengths) {
  std::vector<WaitingRequest> requests = arrivals(lengths);
  batcher.order(Scenario::kOffline, requests);
  std::vector<std::int32_t> result;
  for (const WaitingRequest& request : requests) result.push_back(request.prompt_tokens);
  return result;
}

TEST(StaticBatcher, UpToTwentySamplesAreOneSegment) {
  const StaticBatcher batcher({.enable_sort = true, .num_sort_segments = 2});
  EXPECT_EQ(ordered(batcher, {3, 9, 1, 7}), (std::vector<std::int32_t>{9, 7, 3, 1}));
}

TEST(StaticBatcher, MoreAreEqualSegmentsAndTheLastTakesTheRemainder) {
  const StaticBatcher batcher({.enable_sort = true, .num_sort_segments = 2});
  std::vector<std::int32_t> lengths;
  for (std::int32_t i = 1; i <= 21; ++i) lengths.push_back(i);
  const std::vector<std::int32_t> expected{10, 9,  8,  7,  6,  5,  4,  3,  2,  1, 21,
                                           20, 19, 18, 17, 16, 15, 14, 13, 12, 11};
  EXPECT_EQ(ordered(batcher, lengths), expected);
}

TEST(StaticBatcher, SortingCanBeSwitchedOff) {
  const StaticBatcher batcher({.enable_sort = false, .num_sort_segments = 2});
  EXPECT_EQ(ordered(batcher, {3, 9, 1, 7}), (std::vector<std::int32_t>{3, 9, 1, 7}));
}

TEST(StaticBatcher, SortsInServerToo) {
  const StaticBatcher batcher({.enable_sort = true, .num_sort_segments = 2});
  std::vector<WaitingRequest> requests = arrivals({1, 2});
  batcher.order(Scenario::kServer, requests);
  EXPECT_EQ(requests.front().prompt_tokens, 2);
}

TEST(StaticBatcher, MoreSegmentsThanSamplesLeaveTheOrder) {
  const StaticBatcher batcher({.enable_sort = true, .num_sort_segments = 50});
  std::vector<std::int32_t> lengths(21, 5);
  lengths[0] = 1;
  // All but the last segment are empty; the last one takes all.
  EXPECT_EQ(ordered(batcher, lengths).back(), 1);
}

TEST(StaticBatcher, NeedsASegment) { EXPECT_THROW(StaticBatcher({.num_sort_segments = 0}), Error); }

struct Case {
  const char* name;
  std::vector<RunningRequest> running;
  std::vector<WaitingRequest> waiting;
  std::vector<std::pair<RequestId, std::int32_t>> chunks;
  bool decode;
};

RunningRequest running(RequestId id, std::int32_t prompt, std::int32_t prefilled) {
  return {.id = id,
          .prompt_tokens = prompt,
          .prefilled_tokens = prefilled,
          .max_new_tokens = 9,
          .kv_blocks = kv_blocks_for(limits(), prompt, 9)};
}

WaitingRequest waiting(RequestId id, std::int32_t prompt) {
  return {.id = id, .prompt_tokens = prompt, .max_new_tokens = 9};
}

TEST(StaticBatcher, StateTables) {
  const std::vector<Case> cases = {
      {"a batch is whatever waits", {}, {waiting(1, 5), waiting(2, 7)}, {{1, 5}, {2, 7}}, false},
      {"no more than max_requests",
       {},
       {waiting(1, 5), waiting(2, 5), waiting(3, 5), waiting(4, 5), waiting(5, 5)},
       {{1, 5}, {2, 5}, {3, 5}, {4, 5}},
       false},
      {"every member gets a token in the first step",
       {},
       {waiting(1, 150), waiting(2, 60), waiting(3, 1)},
       {{1, 98}, {2, 1}, {3, 1}},
       false},
      {"no more than the KV pool holds",
       {},
       {waiting(1, 200), waiting(2, 200), waiting(3, 200), waiting(4, 200), waiting(5, 1)},
       {{1, 97}, {2, 1}, {3, 1}, {4, 1}},
       false},
      {"the batch is prefilled before it decodes, and nothing joins",
       {running(1, 150, 150), running(2, 60, 1), running(3, 90, 1)},
       {waiting(4, 5)},
       {{2, 59}, {3, 41}},
       false},
      {"then it decodes, and nothing joins",
       {running(1, 150, 150), running(2, 60, 60)},
       {waiting(4, 5)},
       {},
       true},
      {"also when members have left", {running(2, 60, 60)}, {waiting(4, 5)}, {}, true},
  };
  const StaticBatcher batcher({});
  for (const Case& c : cases) {
    Decision decision;
    batcher.decide({.waiting = c.waiting, .running = c.running}, limits(), decision);
    std::vector<std::pair<RequestId, std::int32_t>> chunks;
    for (const PromptChunk& chunk : decision.chunks) chunks.emplace_back(chunk.id, chunk.count);
    EXPECT_EQ(chunks, c.chunks) << c.name;
    EXPECT_EQ(decision.decode, c.decode) << c.name;
  }
}

TEST(StaticBatcher, ABatchIsNoLargerThanWhatDecodesInOneStep) {
  EngineLimits few = limits();
  few.max_tokens_per_step = 10;
  const StaticBatcher batcher({});
  const std::vector<WaitingRequest> queue{waiting(1, 30), waiting(2, 30), waiting(3, 30)};
  Decision decision;
  batcher.decide({.waiting = queue, .running = {}}, few, decision);
  EXPECT_EQ(decision.chunks.size(), 2U);
}

}  // namespace
}  // namespace gptj
