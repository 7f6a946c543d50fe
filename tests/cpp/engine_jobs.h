// Drives an engine without the harness: requests in, steps of a chosen kind, tokens out.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <deque>
#include <map>
#include <span>
#include <vector>

#include "gptj/engine.h"

namespace gptj::testing {

struct Job {
  RequestId id = 0;
  std::vector<TokenId> prompt;
  std::int32_t min_new_tokens = 0;
  std::int32_t max_new_tokens = 0;

  NewRequest request() const {
    return {.id = id, .prompt = prompt, .min_new_tokens = min_new_tokens, .max_new_tokens = max_new_tokens};
  }
};

// How jobs become steps.
struct Pace {
  std::int32_t chunk = 1 << 20;    // most prompt tokens of one request in a step
  std::int32_t running = 1 << 20;  // most requests at a time
  std::int32_t admit_a_step = 1 << 20;
  std::int32_t decode_every = 1;  // steps between decoding ones, while prompts are being read
  std::int32_t in_flight = 1;     // uncollected steps, if the engine takes so many
};

using Answers = std::map<RequestId, std::vector<TokenId>>;

// Checks on the way that every step reports what it was given, and that exactly the blocks of the requests
// that run are held.
class JobRunner {
 public:
  JobRunner(Engine& engine, const Pace& pace) : engine_(engine), pace_(pace) {}

  Answers run(std::span<const Job> jobs) {
    waiting_.assign(jobs.begin(), jobs.end());
    while (!waiting_.empty() || !running_.empty() || !given_.empty()) {
      const auto depth =
          static_cast<std::size_t>(std::min(pace_.in_flight, engine_.limits().max_steps_in_flight));
      if (given_.size() < depth && (!waiting_.empty() || !running_.empty())) {
        enqueue();
      } else {
        collect();
      }
      if (++steps_ > 100000) {
        ADD_FAILURE() << "the engine makes no progress";
        break;
      }
    }
    return answers_;
  }

 private:
  struct Running {
    Job job;
    std::int32_t read = 0;  // prompt tokens in enqueued steps

    bool decodes() const { return read == static_cast<std::int32_t>(job.prompt.size()); }
  };

  struct Given {
    std::int32_t prompt_tokens = 0;
    std::int32_t decode_rows = 0;
  };

  std::int32_t blocks_of(const Job& job) const {
    return kv_blocks_for(engine_.limits(), static_cast<std::int32_t>(job.prompt.size()), job.max_new_tokens);
  }

  void enqueue() {
    const EngineLimits& limits = engine_.limits();
    Given given;
    const bool reading =
        !waiting_.empty() || std::ranges::any_of(running_, [](const Running& r) { return !r.decodes(); });
    const bool decode = !reading || ++decisions_ % pace_.decode_every == 0;
    std::int32_t blocks = 0;
    for (const Running& running : running_) {
      blocks += blocks_of(running.job);
      if (decode && running.decodes()) given.decode_rows += limits.beam_width;
    }
    std::int32_t spare = limits.max_tokens_per_step - given.decode_rows;
    std::vector<PromptChunk> chunks;
    const auto add_chunk = [&](Running& running) {
      const auto open = static_cast<std::int32_t>(running.job.prompt.size()) - running.read;
      const std::int32_t count = std::min({open, pace_.chunk, spare});
      if (count < 1) return;
      chunks.push_back({running.job.id, count});
      running.read += count;
      spare -= count;
      given.prompt_tokens += count;
    };
    for (Running& running : running_) add_chunk(running);
    std::vector<Job> admitted;
    const std::int32_t most =
        std::min({pace_.running, limits.max_requests, limits.max_tokens_per_step / limits.beam_width});
    while (!waiting_.empty() && spare > 0 && static_cast<std::int32_t>(running_.size()) < most &&
           static_cast<std::int32_t>(admitted.size()) < pace_.admit_a_step &&
           blocks + blocks_of(waiting_.front()) <= limits.kv_blocks) {
      blocks += blocks_of(waiting_.front());
      admitted.push_back(waiting_.front());
      running_.push_back({waiting_.front(), 0});
      waiting_.pop_front();
      add_chunk(running_.back());
    }
    std::vector<NewRequest> requests;
    for (const Job& job : admitted) requests.push_back(job.request());
    if (chunks.empty() && given.decode_rows == 0) return;  // a step that neither reads nor decodes
    engine_.enqueue({.admitted = requests, .chunks = chunks, .decode = decode});
    given_.push_back(given);
  }

  void collect() {
    engine_.collect(outcome_);
    const Given given = given_.front();
    given_.pop_front();
    EXPECT_EQ(outcome_.prompt_tokens, given.prompt_tokens);
    // An engine may mask what an earlier uncollected step finished.
    EXPECT_LE(outcome_.decode_rows, given.decode_rows);
    if (engine_.limits().max_steps_in_flight == 1) {
      EXPECT_EQ(outcome_.decode_rows, given.decode_rows);
    }
    for (const FinishedRequest& finished : outcome_.finished) {
      const auto found =
          std::ranges::find_if(running_, [&](const Running& r) { return r.job.id == finished.id; });
      ASSERT_NE(found, running_.end()) << "request " << finished.id << " does not run";
      running_.erase(found);
      EXPECT_TRUE(answers_.emplace(finished.id, finished.tokens).second);
    }
    if (!given_.empty()) return;
    std::int32_t held = 0;
    for (const Running& running : running_) held += blocks_of(running.job);
    EXPECT_EQ(outcome_.kv_blocks_used, held);
  }

  Engine& engine_;
  Pace pace_;
  std::deque<Job> waiting_;
  std::vector<Running> running_;
  std::deque<Given> given_;  // enqueued and not collected
  StepOutcome outcome_;
  Answers answers_;
  std::int64_t steps_ = 0;
  std::int64_t decisions_ = 0;
};

inline Answers run_jobs(Engine& engine, std::span<const Job> jobs, const Pace& pace = {}) {
  return JobRunner(engine, pace).run(jobs);
}

}  // namespace gptj::testing
