// The judge of answers: it takes what rounding does, and nothing else.
#include "near_ties.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "cpu/cpu_engine.h"
#include "cpu/cpu_features.h"
#include "cuda/tolerances.h"
#include "reference_answer.h"
#include "synthetic_model.h"

namespace gptj::testing {
namespace {

const ModelConfig kModel{67, 2, 128, 2, 256, 128, 16};
constexpr TokenId kEnd = 7;

GenerationConfig generation_of(BeamLength beam_length) {
  GenerationConfig generation;
  generation.max_new_tokens = 16;
  generation.beam_length = beam_length;
  generation.eos_token = kEnd;
  return generation;
}

std::vector<Job> random_jobs(int count) {
  std::mt19937 random(51);
  const auto draw = [&](int least, int most) {
    return std::uniform_int_distribution<int>(least, most)(random);
  };
  std::vector<Job> jobs;
  for (int i = 0; i < count; ++i) {
    Job job;
    job.id = static_cast<RequestId>(i);
    job.prompt.resize(static_cast<std::size_t>(draw(4, 40)));
    for (TokenId& token : job.prompt) token = draw(0, kModel.vocab_size - 1);
    job.min_new_tokens = draw(0, 5);
    job.max_new_tokens = draw(std::max(1, job.min_new_tokens), 16);
    jobs.push_back(std::move(job));
  }
  return jobs;
}

class NearTiesTest : public ::testing::TestWithParam<BeamLength> {
 protected:
  NearTiesTest() : weights_(kModel, 11, kEnd, 2.5F), generation_(generation_of(GetParam())) {}

  SyntheticModel weights_;
  GenerationConfig generation_;
};

TEST_P(NearTiesTest, TheReferencesOwnAnswersNeedNoSlack) {
  ReferenceGptJ reference(kModel, weights_);
  NearTies ties(reference, generation_);
  for (const Job& job : random_jobs(12)) {
    const std::vector<TokenId> answer = reference_answer(reference, generation_, job);
    // Beam search on the host adds floats.
    EXPECT_TRUE(ties.explain(job, answer, 1e-5)) << "job " << job.id << ", " << ties.why_not();
  }
}

// The engine is what cuda/tolerances.h says of it: the reference's rounding, and sums that are off at random.
TEST_P(NearTiesTest, WhatRoundingDoesIsExplained) {
  for (const Tolerance* tolerance : {&kFp16, &kFp8}) {
    ReferenceGptJ reference(kModel, weights_, tolerance->arithmetic);
    ReferenceGptJ engine(kModel, weights_, tolerance->arithmetic.with_noise(tolerance->noise, 52));
    NearTies ties(reference, generation_);
    for (const Job& job : random_jobs(24)) {
      const std::vector<TokenId> answer = reference_answer(engine, generation_, job);
      EXPECT_TRUE(ties.explain(job, answer, tolerance->slack))
          << (tolerance == &kFp16 ? "fp16" : "fp8") << ", job " << job.id << ", " << ties.why_not();
    }
  }
}

// Engines that read a wrong token, lose the first ones of a prompt, or answer another request. Not every
// answer shows a small defect, and in fp8 few ways are far from the right one: what counts is that a suite of
// two dozen requests shows it.
TEST_P(NearTiesTest, WhatADefectDoesIsNotExplained) {
  struct Expected {
    const Tolerance& tolerance;
    int wrong_token, lost_tokens, other_request;
  };
  const std::vector<Job> jobs = random_jobs(24);
  for (const Expected& least : {Expected{kFp16, 8, 8, 22}, Expected{kFp8, 1, 1, 18}}) {
    ReferenceGptJ reference(kModel, weights_, least.tolerance.arithmetic);
    NearTies ties(reference, generation_);
    int wrong_token = 0, lost_tokens = 0, other_request = 0;
    for (const Job& job : jobs) {
      const auto is_caught = [&](const std::vector<TokenId>& prompt) {
        Job read = job;
        read.prompt = prompt;
        const std::vector<TokenId> answer = reference_answer(reference, generation_, read);
        return ties.explain(job, answer, least.tolerance.slack) ? 0 : 1;
      };
      std::vector<TokenId> prompt = job.prompt;
      prompt[prompt.size() / 2] = (prompt[prompt.size() / 2] + 1) % kModel.vocab_size;
      wrong_token += is_caught(prompt);
      lost_tokens += is_caught({job.prompt.begin() + 3, job.prompt.end()});
      other_request += is_caught(jobs[(job.id + 1) % jobs.size()].prompt);
    }
    EXPECT_GE(wrong_token, least.wrong_token);
    EXPECT_GE(lost_tokens, least.lost_tokens);
    EXPECT_GE(other_request, least.other_request);
  }
}

TEST_P(NearTiesTest, AnAnswerWithAnotherTokenIsNotExplained) {
  ReferenceGptJ reference(kModel, weights_);
  NearTies ties(reference, generation_);
  for (const Job& job : random_jobs(6)) {
    const std::vector<TokenId> answer = reference_answer(reference, generation_, job);
    for (std::size_t i = 0; i < answer.size(); ++i) {
      std::vector<TokenId> other = answer;
      other[i] = (other[i] + 1) % kModel.vocab_size;
      EXPECT_FALSE(ties.explain(job, other, kFp16.slack)) << "job " << job.id << ", token " << i;
    }
    std::vector<TokenId> shorter = answer;
    shorter.pop_back();
    if (!shorter.empty()) {
      EXPECT_FALSE(ties.explain(job, shorter, kFp16.slack)) << "job " << job.id;
    }
  }
}

// An answer that an H100 gave in fp8: a tenth of the slack explains it, and with all of it there are more
// ways than can be followed.
TEST_P(NearTiesTest, WhatALittleSlackExplainsIsFoundAmongTheManyWaysOfALot) {
  const ModelConfig model{503, 2, 128, 2, 512, 96, 32};
  const SyntheticModel weights(model, 21, 9, 3.0F);
  ReferenceGptJ reference(model, weights, kFp8.arithmetic);
  generation_.eos_token = 9;
  NearTies ties(reference, generation_);
  const Job job{.id = 9,
                .prompt = {134, 81, 333, 347, 218, 76,  258, 155, 284, 371, 17,  90,  438, 17,  176, 408, 271,
                           433, 3,  215, 24,  194, 469, 209, 106, 143, 364, 408, 200, 399, 370, 404, 327, 167,
                           465, 78, 308, 173, 18,  161, 58,  112, 380, 158, 227, 182, 304, 316, 434},
                .min_new_tokens = 2,
                .max_new_tokens = 6};
  EXPECT_TRUE(ties.explain(job, {184, 471, 326, 78, 176, 312}, kFp8.slack)) << ties.why_not();
}

// Two tokens of the same row of the LM head, one of them 0.1 better by its bias: with a slack of 0.05 for
// each they may change places, with less they may not.
TEST_P(NearTiesTest, ATieIsAsCloseAsTheSlackSays) {
  constexpr std::size_t kBetter = 20, kWorse = 30;
  for (std::size_t i = 0; i < static_cast<std::size_t>(kModel.n_embd); ++i) {
    const auto width = static_cast<std::size_t>(kModel.n_embd);
    weights_.set("lm_head.weight", kWorse * width + i,
                 weights_.floats("lm_head.weight")[kBetter * width + i]);
  }
  weights_.set("lm_head.bias", kBetter, 20.1F);
  weights_.set("lm_head.bias", kWorse, 20.0F);
  ReferenceGptJ reference(kModel, weights_);
  NearTies ties(reference, generation_);
  const Job job{.id = 1, .prompt = {1, 2, 3}, .min_new_tokens = 0, .max_new_tokens = 1};
  const std::vector<TokenId> better{kBetter}, worse{kWorse}, far{40};
  EXPECT_TRUE(ties.explain(job, better, 0.0));
  EXPECT_FALSE(ties.explain(job, worse, 0.049));
  EXPECT_TRUE(ties.explain(job, worse, 0.051));
  EXPECT_TRUE(ties.explain(job, better, 0.051));
  EXPECT_FALSE(ties.explain(job, far, 0.051));
  const double length = GetParam() == BeamLength::kGenerated ? 1.0 : 4.0;
  EXPECT_NEAR(ties.score(job, better) - ties.score(job, worse), 0.1 / length, 1e-4);
}

// A real engine of low precision.
TEST_P(NearTiesTest, AnswersOfTheCpuEngineInBf16AreExplained) {
  if (!cpu_supports("bf16")) GTEST_SKIP() << "this CPU has no bf16";
  EngineOptions options;
  options.precision = "bf16";
  options.threads = 2;
  options.max_requests = 8;
  options.max_tokens_per_step = 64;
  options.max_prompt_tokens = 40;
  const auto engine = create_cpu_engine(options, kModel, generation_, weights_);
  const std::vector<Job> jobs = random_jobs(24);
  const Answers answers = run_jobs(*engine, jobs);
  ReferenceGptJ reference(kModel, weights_, Arithmetic::bf16());
  NearTies ties(reference, generation_);
  for (const Job& job : jobs) {
    EXPECT_TRUE(ties.explain(job, answers.at(job.id), 0.04)) << "job " << job.id << ", " << ties.why_not();
  }
}

INSTANTIATE_TEST_SUITE_P(BeamLengths, NearTiesTest,
                         ::testing::Values(BeamLength::kPromptAndGenerated, BeamLength::kGenerated),
                         [](const auto& info) {
                           return info.param == BeamLength::kGenerated ? "generated" : "prompt_and_generated";
                         });

}  // namespace
}  // namespace gptj::testing
