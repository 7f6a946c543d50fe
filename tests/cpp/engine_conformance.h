// What every engine must do, whatever computes inside it. Include it in one test file for each engine and
// INSTANTIATE_TEST_SUITE_P(NAME, EngineConformance, ::testing::Values(...)).
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <memory>
#include <optional>
#include <random>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "engine_jobs.h"
#include "gptj/engine_options.h"
#include "gptj/error.h"
#include "near_ties.h"

namespace gptj::testing {

struct EngineUnderTest {
  std::string name;
  // A new engine of a model that stays the same from call to call: at least 128 positions, a vocabulary of at
  // least 32 tokens.
  std::function<std::unique_ptr<Engine>(const EngineOptions&, const GenerationConfig&)> create;
  std::int32_t vocab_size = 0;
  std::int32_t kv_block_size = 16;
  // Unset: an answer is the same, bit for bit, whatever runs beside it. Set for engines that sum in another
  // order when a step has another size: a different answer must be one that rounding explains (near_ties.h).
  std::optional<Rounding> rounding = std::nullopt;
};

inline void PrintTo(const EngineUnderTest& engine, std::ostream* out) { *out << engine.name; }

class EngineConformance : public ::testing::TestWithParam<EngineUnderTest> {
 protected:
  static constexpr std::int32_t kMaxPrompt = 60;
  static constexpr std::int32_t kMaxNew = 24;

  static GenerationConfig generation() {
    GenerationConfig generation;
    generation.min_new_tokens = 3;
    generation.max_new_tokens = kMaxNew;
    generation.eos_token = 7;
    return generation;
  }

  static EngineOptions options() {
    EngineOptions options;
    options.threads = 2;
    options.max_requests = 8;
    options.max_tokens_per_step = 200;
    options.kv_block_size = GetParam().kv_block_size;
    options.max_prompt_tokens = kMaxPrompt;
    return options;
  }

  static std::unique_ptr<Engine> create(const EngineOptions& options) {
    return GetParam().create(options, generation());
  }

  static std::vector<Job> random_jobs(int count, std::uint32_t seed) {
    std::mt19937 random(seed);
    const auto draw = [&](std::int32_t least, std::int32_t most) {
      return least + static_cast<std::int32_t>(random() % static_cast<std::uint32_t>(most - least + 1));
    };
    std::vector<Job> jobs;
    for (int i = 0; i < count; ++i) {
      Job job;
      job.id = static_cast<RequestId>(i) * 0x9e3779b97f4a7c15U + 5;  // an id is only compared
      job.prompt.resize(static_cast<std::size_t>(draw(1, kMaxPrompt)));
      for (TokenId& token : job.prompt) token = draw(0, GetParam().vocab_size - 1);
      job.min_new_tokens = draw(0, 6);
      job.max_new_tokens = draw(std::max(1, job.min_new_tokens), kMaxNew);
      jobs.push_back(std::move(job));
    }
    return jobs;
  }

  // Each job by itself, its prompt in one piece: what every other way must give too.
  static Answers one_by_one(Engine& engine, const std::vector<Job>& jobs) {
    return run_jobs(engine, jobs, {.running = 1});
  }

  // `answers` to `jobs` are those that are `expected`, up to what rounding explains where it may.
  static void expect_same(const std::vector<Job>& jobs, const Answers& answers, const Answers& expected,
                          const std::string& what) {
    const std::optional<Rounding>& rounding = GetParam().rounding;
    if (!rounding) {
      EXPECT_EQ(answers, expected) << what;
      return;
    }
    ASSERT_EQ(answers.size(), expected.size()) << what;
    std::unique_ptr<ReferenceGptJ> reference;  // made when the first answer differs
    for (const Job& job : jobs) {
      const std::vector<TokenId>& one = answers.at(job.id);
      const std::vector<TokenId>& other = expected.at(job.id);
      if (one == other) continue;
      if (!reference) {
        reference =
            std::make_unique<ReferenceGptJ>(rounding->model, *rounding->weights, rounding->arithmetic);
      }
      NearTies ties(*reference, generation());
      for (const std::vector<TokenId>* answer : {&one, &other}) {
        EXPECT_TRUE(ties.explain(job, *answer, rounding->slack))
            << what << ": rounding does not explain " << ::testing::PrintToString(*answer) << " of score "
            << ties.score(job, *answer) << " (" << ties.why_not() << "); the answers were "
            << ::testing::PrintToString(one) << " of score " << ties.score(job, one) << " and "
            << ::testing::PrintToString(other) << " of score " << ties.score(job, other);
      }
    }
  }

  static void expect_refused(Engine& engine, const StepWork& work, const std::string& why) {
    try {
      engine.enqueue(work);
      ADD_FAILURE() << "not refused: " << why;
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), ErrorKind::kInvalidArgument) << why << ": " << error.what();
      EXPECT_GT(std::string(error.what()).size(), 10U) << why;
    }
  }
};

TEST_P(EngineConformance, HasTheLimitsThatWereAskedFor) {
  const auto engine = create(options());
  const EngineLimits& limits = engine->limits();
  EXPECT_FALSE(engine->name().empty());
  EXPECT_EQ(limits.max_requests, 8);
  EXPECT_EQ(limits.max_tokens_per_step, 200);
  EXPECT_EQ(limits.kv_block_size, GetParam().kv_block_size);
  EXPECT_EQ(limits.max_prompt_tokens, kMaxPrompt);
  EXPECT_EQ(limits.max_new_tokens, kMaxNew);
  EXPECT_EQ(limits.beam_width, 4);
  EXPECT_EQ(limits.vocab_size, GetParam().vocab_size);
  EXPECT_GE(limits.max_steps_in_flight, 1);
  EXPECT_GE(limits.kv_blocks, kv_blocks_for(limits, kMaxPrompt, kMaxNew));
}

TEST_P(EngineConformance, AnswersStayInTheirRange) {
  const auto engine = create(options());
  const std::vector<Job> jobs = random_jobs(24, 1);
  const Answers answers = run_jobs(*engine, jobs);
  ASSERT_EQ(answers.size(), jobs.size());
  std::vector<std::vector<TokenId>> distinct;
  for (const Job& job : jobs) {
    const std::vector<TokenId>& tokens = answers.at(job.id);
    distinct.push_back(tokens);
    const auto count = static_cast<std::int32_t>(tokens.size());
    EXPECT_GE(count, std::max(1, job.min_new_tokens));
    EXPECT_LE(count, job.max_new_tokens);
    for (std::int32_t i = 0; i < count; ++i) {
      const TokenId token = tokens[static_cast<std::size_t>(i)];
      EXPECT_TRUE(token >= 0 && token < GetParam().vocab_size) << token;
      if (i + 1 < count) {
        EXPECT_NE(token, generation().eos_token) << "inside the answer, at " << i;
      }
    }
    if (count < job.max_new_tokens) {
      EXPECT_EQ(tokens.back(), generation().eos_token);
    }
  }
  std::ranges::sort(distinct);
  EXPECT_GE(std::ranges::unique(distinct).begin() - distinct.begin(), 12) << "answers ignore their prompts";
}

TEST_P(EngineConformance, AnAnswerDoesNotDependOnWhatRunsBeside) {
  const auto engine = create(options());
  const std::vector<Job> jobs = random_jobs(30, 2);
  const Answers expected = one_by_one(*engine, jobs);
  expect_same(jobs, run_jobs(*engine, jobs), expected, "all at once");
  expect_same(jobs, run_jobs(*engine, jobs, {.running = 3}), expected, "three at a time");
  expect_same(jobs, run_jobs(*engine, jobs, {.admit_a_step = 1}), expected, "one more a step");
  expect_same(jobs, run_jobs(*engine, jobs, {.in_flight = 4}), expected, "steps in flight");
  std::vector<Job> shuffled = jobs;
  std::ranges::shuffle(shuffled, std::mt19937(3));
  expect_same(jobs, run_jobs(*engine, shuffled, {.running = 5}), expected, "shuffled");
}

TEST_P(EngineConformance, AnAnswerDoesNotDependOnHowThePromptIsCut) {
  const auto engine = create(options());
  const std::vector<Job> jobs = random_jobs(16, 4);
  const Answers expected = one_by_one(*engine, jobs);
  for (const std::int32_t chunk : {1, 3, 8, 17, 33}) {
    const std::string what = "chunks of " + std::to_string(chunk);
    expect_same(jobs, run_jobs(*engine, jobs, {.chunk = chunk}), expected, what);
    expect_same(jobs, run_jobs(*engine, jobs, {.chunk = chunk, .decode_every = 3, .in_flight = 2}), expected,
                what + ", decoding every third step");
  }
}

TEST_P(EngineConformance, AnAnswerDoesNotDependOnTheLimits) {
  const std::vector<Job> jobs = random_jobs(16, 5);
  const Answers expected = one_by_one(*create(options()), jobs);
  EngineOptions tight = options();
  tight.max_requests = 3;
  tight.max_tokens_per_step = 13;
  tight.threads = 1;
  expect_same(jobs, run_jobs(*create(tight), jobs), expected, "tight limits");
  // The smallest pool: one request of the longest kind at a time, or a few short ones.
  EngineOptions scarce = options();
  scarce.kv_blocks = kv_blocks_for(create(options())->limits(), kMaxPrompt, kMaxNew);
  expect_same(jobs, run_jobs(*create(scarce), jobs), expected, "few blocks");
}

TEST_P(EngineConformance, EveryRequestHasARangeOfItsOwn) {
  const auto engine = create(options());
  std::vector<Job> jobs = random_jobs(8, 6);
  for (std::size_t i = 0; i < jobs.size(); ++i) {
    jobs[i].max_new_tokens = static_cast<std::int32_t>(3 * i + 1);
    jobs[i].min_new_tokens = jobs[i].max_new_tokens;  // no room to end early
  }
  const Answers answers = run_jobs(*engine, jobs);
  for (const Job& job : jobs) {
    EXPECT_EQ(static_cast<std::int32_t>(answers.at(job.id).size()), job.max_new_tokens);
  }
}

TEST_P(EngineConformance, ServesManyRequestsOneAfterTheOther) {
  EngineOptions small = options();
  small.max_requests = 3;
  const auto engine = create(small);
  const std::vector<Job> jobs = random_jobs(100, 7);
  const Answers first = run_jobs(*engine, jobs);
  EXPECT_EQ(first.size(), jobs.size());
  // Ids are free again after their requests have ended, and nothing of the first round is left behind: the
  // same steps give the same bits on every engine.
  EXPECT_EQ(run_jobs(*engine, jobs), first);
}

TEST_P(EngineConformance, DecodingWaitsWhenItIsToldTo) {
  const auto engine = create(options());
  std::vector<Job> jobs = random_jobs(2, 8);
  jobs[1].prompt.resize(10, 1);
  for (Job& job : jobs) job.min_new_tokens = job.max_new_tokens = 5;
  const Answers expected = one_by_one(*engine, jobs);

  StepOutcome outcome;
  const std::vector<NewRequest> first{jobs[0].request()};
  const std::vector<PromptChunk> whole{{jobs[0].id, static_cast<std::int32_t>(jobs[0].prompt.size())}};
  engine->enqueue({.admitted = first, .chunks = whole, .decode = true});
  engine->collect(outcome);
  EXPECT_EQ(outcome.decode_rows, 0);  // decodes from the next step on
  for (std::int32_t i = 0; i < 10; ++i) {
    const std::vector<NewRequest> second{jobs[1].request()};
    const std::vector<PromptChunk> piece{{jobs[1].id, 1}};
    engine->enqueue({.admitted = i == 0 ? std::span(second) : std::span<const NewRequest>(),
                     .chunks = piece,
                     .decode = false});
    engine->collect(outcome);
    EXPECT_EQ(outcome.decode_rows, 0);
    EXPECT_EQ(outcome.prompt_tokens, 1);
    EXPECT_TRUE(outcome.finished.empty());
  }
  Answers answers;
  for (std::int32_t i = 0; i < 4; ++i) {
    EXPECT_TRUE(answers.empty());
    engine->enqueue({.admitted = {}, .chunks = {}, .decode = true});
    engine->collect(outcome);
    EXPECT_EQ(outcome.decode_rows, 8);
    for (const FinishedRequest& finished : outcome.finished) answers.emplace(finished.id, finished.tokens);
  }
  expect_same(jobs, answers, expected, "decoding that waited");
  EXPECT_EQ(outcome.kv_blocks_used, 0);
}

TEST_P(EngineConformance, WorkThatDoesNotFitIsRefusedAndStartsNothing) {
  const auto engine = create(options());
  const std::vector<Job> jobs = random_jobs(20, 9);
  const Answers expected = one_by_one(*engine, jobs);

  // One request runs while all the wrong work comes in.
  Job resident = jobs[0];
  resident.id = 1;
  resident.prompt.resize(20, 2);
  const std::vector<NewRequest> admitted{resident.request()};
  const std::vector<PromptChunk> part{{1, 12}};
  StepOutcome outcome;
  engine->enqueue({.admitted = admitted, .chunks = part, .decode = true});
  engine->collect(outcome);
  const std::int32_t held = outcome.kv_blocks_used;

  const auto refuse_one = [&](const std::string& why, const Job& job, std::int32_t count) {
    const std::vector<NewRequest> request{job.request()};
    const std::vector<PromptChunk> chunks{{job.id, count}};
    expect_refused(*engine, {.admitted = request, .chunks = chunks, .decode = true}, why);
  };
  const Job good{.id = 2, .prompt = {1, 2, 3, 4}, .min_new_tokens = 1, .max_new_tokens = 4};
  const auto changed = [&](const std::function<void(Job&)>& change) {
    Job job = good;
    change(job);
    return job;
  };
  refuse_one("an empty prompt", changed([](Job& job) { job.prompt.clear(); }), 1);
  refuse_one("a prompt too long", changed([](Job& job) { job.prompt.assign(kMaxPrompt + 1, 1); }), 4);
  refuse_one("no new tokens", changed([](Job& job) { job.min_new_tokens = job.max_new_tokens = 0; }), 4);
  refuse_one("too many new tokens", changed([](Job& job) { job.max_new_tokens = kMaxNew + 1; }), 4);
  refuse_one("more at least than at most", changed([](Job& job) { job.min_new_tokens = 5; }), 4);
  refuse_one("a negative minimum", changed([](Job& job) { job.min_new_tokens = -1; }), 4);
  refuse_one("a negative token", changed([](Job& job) { job.prompt[2] = -1; }), 4);
  refuse_one("an unknown token", changed([](Job& job) { job.prompt[2] = GetParam().vocab_size; }), 4);
  refuse_one("an id that runs", changed([](Job& job) { job.id = 1; }), 4);
  refuse_one("a chunk longer than the prompt", good, 5);
  refuse_one("an empty chunk", good, 0);

  const std::vector<NewRequest> twice{good.request(), good.request()};
  const std::vector<PromptChunk> good_chunk{{2, 4}};
  expect_refused(*engine, {.admitted = twice, .chunks = good_chunk, .decode = true}, "one id twice");
  const std::vector<NewRequest> once{good.request()};
  const std::vector<PromptChunk> two_chunks{{2, 2}, {2, 2}};
  expect_refused(*engine, {.admitted = once, .chunks = two_chunks, .decode = true},
                 "two chunks of one request");
  expect_refused(*engine, {.admitted = once, .chunks = part, .decode = true}, "admitted without a chunk");
  const std::vector<PromptChunk> stranger{{77, 1}};
  expect_refused(*engine, {.admitted = {}, .chunks = stranger, .decode = true}, "a chunk of an unknown id");
  const std::vector<PromptChunk> overrun{{1, 9}};
  expect_refused(*engine, {.admitted = {}, .chunks = overrun, .decode = true},
                 "more than is left of a prompt");

  const auto refuse_many = [&](const std::string& why, int count, std::size_t prompt) {
    std::vector<Job> many(static_cast<std::size_t>(count), good);
    std::vector<NewRequest> requests;
    std::vector<PromptChunk> chunks;
    for (std::size_t i = 0; i < many.size(); ++i) {
      many[i].id = 100 + i;
      many[i].prompt.assign(prompt, 1);
      requests.push_back(many[i].request());
      chunks.push_back({many[i].id, static_cast<std::int32_t>(prompt)});
    }
    expect_refused(*engine, {.admitted = requests, .chunks = chunks, .decode = true}, why);
  };
  refuse_many("too many requests", 8, 2);
  refuse_many("too many tokens", 4, 51);

  // Nothing of that was started: what ran goes on, what comes next is as good as ever.
  const std::vector<PromptChunk> rest{{1, 8}};
  engine->enqueue({.admitted = {}, .chunks = rest, .decode = true});
  engine->collect(outcome);
  EXPECT_EQ(outcome.prompt_tokens, 8);
  std::vector<TokenId> tokens;
  if (outcome.finished.empty()) {
    EXPECT_EQ(outcome.kv_blocks_used, held);
  }
  for (int i = 0; i <= kMaxNew && tokens.empty(); ++i) {
    if (!outcome.finished.empty()) {
      tokens = outcome.finished.front().tokens;
      break;
    }
    engine->enqueue({.admitted = {}, .chunks = {}, .decode = true});
    engine->collect(outcome);
  }
  EXPECT_EQ(outcome.kv_blocks_used, 0);
  expect_same({resident}, {{resident.id, tokens}}, one_by_one(*engine, {resident}), "what ran meanwhile");
  expect_same(jobs, run_jobs(*engine, jobs), expected, "what came next");
}

TEST_P(EngineConformance, BlocksThatAreNotThereAreRefused) {
  EngineOptions scarce = options();
  scarce.kv_blocks = kv_blocks_for(create(options())->limits(), kMaxPrompt, kMaxNew);
  const auto engine = create(scarce);
  std::vector<Job> jobs = random_jobs(2, 10);
  for (Job& job : jobs) {
    job.prompt.resize(kMaxPrompt, 1);
    job.max_new_tokens = kMaxNew;
  }
  const std::vector<NewRequest> requests{jobs[0].request(), jobs[1].request()};
  const std::vector<PromptChunk> chunks{{jobs[0].id, 1}, {jobs[1].id, 1}};
  expect_refused(*engine, {.admitted = requests, .chunks = chunks, .decode = true}, "too many blocks");
  EXPECT_EQ(run_jobs(*engine, jobs).size(), 2U);
}

TEST_P(EngineConformance, TakesAsManyUncollectedStepsAsItSays) {
  const auto engine = create(options());
  std::vector<Job> jobs = random_jobs(1, 11);
  jobs[0].min_new_tokens = jobs[0].max_new_tokens = kMaxNew;
  const Answers expected = one_by_one(*engine, jobs);
  const std::vector<NewRequest> requests{jobs[0].request()};
  const std::vector<PromptChunk> chunks{{jobs[0].id, static_cast<std::int32_t>(jobs[0].prompt.size())}};
  engine->enqueue({.admitted = requests, .chunks = chunks, .decode = true});
  const std::int32_t depth = engine->limits().max_steps_in_flight;
  for (std::int32_t i = 1; i < depth; ++i) engine->enqueue({.admitted = {}, .chunks = {}, .decode = true});
  expect_refused(*engine, {.admitted = {}, .chunks = {}, .decode = true}, "one step too many");
  StepOutcome outcome;
  for (std::int32_t i = 0; i < depth; ++i) engine->collect(outcome);
  while (outcome.finished.empty()) {
    engine->enqueue({.admitted = {}, .chunks = {}, .decode = true});
    engine->collect(outcome);
  }
  expect_same(jobs, {{jobs[0].id, outcome.finished.front().tokens}}, expected, "steps in flight");
  EXPECT_THROW(engine->collect(outcome), Error) << "nothing is uncollected";
}

TEST_P(EngineConformance, EnginesWorkSideBySide) {
  const std::vector<Job> jobs = random_jobs(12, 12);
  const Answers expected = run_jobs(*create(options()), jobs);
  std::vector<Answers> answers(2);
  {
    std::vector<std::jthread> threads;  // each engine is made in one thread and used in another
    std::vector<std::unique_ptr<Engine>> engines;
    for (std::size_t i = 0; i < answers.size(); ++i) engines.push_back(create(options()));
    for (std::size_t i = 0; i < answers.size(); ++i) {
      threads.emplace_back([&, i, engine = std::move(engines[i])] { answers[i] = run_jobs(*engine, jobs); });
    }
  }
  expect_same(jobs, answers[0], expected, "the first engine");
  expect_same(jobs, answers[1], expected, "the second engine");
}

TEST_P(EngineConformance, RefusesOptionsOutOfRange) {
  const auto expect_bad = [](const std::string& why, const std::function<void(EngineOptions&)>& change) {
    EngineOptions bad = options();
    change(bad);
    try {
      create(bad);
      ADD_FAILURE() << "not refused: " << why;
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), ErrorKind::kInvalidArgument) << why << ": " << error.what();
    }
  };
  expect_bad("no requests", [](EngineOptions& o) { o.max_requests = 0; });
  expect_bad("no room for the beams", [](EngineOptions& o) { o.max_tokens_per_step = 3; });
  expect_bad("too few blocks", [](EngineOptions& o) { o.kv_blocks = 1; });
  expect_bad("no prompt", [](EngineOptions& o) { o.max_prompt_tokens = 0; });
  expect_bad("beyond the positions", [](EngineOptions& o) { o.max_prompt_tokens = 1 << 20; });
}

}  // namespace gptj::testing
