// What an engine of the CUDA engine's arithmetic answers, against double precision.
#pragma once

#include <gtest/gtest.h>

#include <functional>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "cuda/tolerances.h"
#include "engine_jobs.h"
#include "gptj/engine_options.h"
#include "near_ties.h"
#include "synthetic_model.h"

namespace gptj::testing {

constexpr TokenId kEnd = 9;
// Never in a prompt of random_jobs().
constexpr TokenId kBad = 41;

inline GenerationConfig generation_of(BeamLength beam_length) {
  GenerationConfig generation;
  generation.min_new_tokens = 2;
  generation.max_new_tokens = 14;
  generation.beam_length = beam_length;
  generation.eos_token = kEnd;
  return generation;
}

inline EngineOptions options_of(const std::string& precision) {
  EngineOptions options;
  options.engine = "cuda";
  options.precision = precision;
  options.max_requests = 8;
  options.max_tokens_per_step = 128;
  options.max_prompt_tokens = 50;
  return options;
}

inline std::vector<Job> random_jobs(int count, std::int32_t vocab, std::uint32_t seed) {
  std::mt19937 random(seed);
  const auto draw = [&](std::int32_t least, std::int32_t most) {
    return std::uniform_int_distribution<std::int32_t>(least, most)(random);
  };
  std::vector<Job> jobs;
  for (int i = 0; i < count; ++i) {
    Job job{.id = static_cast<RequestId>(i), .prompt = {}, .min_new_tokens = 2, .max_new_tokens = 14};
    job.prompt.resize(static_cast<std::size_t>(draw(1, 50)));
    for (TokenId& token : job.prompt) {
      do token = draw(0, vocab - 1);
      while (token == kBad);
    }
    jobs.push_back(std::move(job));
  }
  return jobs;
}

using CreateEngine = std::function<std::unique_ptr<Engine>(const EngineOptions&, const ModelConfig&,
                                                           const GenerationConfig&, const SyntheticModel&)>;

// Models with heads of 64, 128 and 256 and at most two layers (see tolerances.h), both beam lengths.
inline void expect_answers_of_double_precision(const CreateEngine& create, const std::string& precision,
                                               const Tolerance& tolerance) {
  const std::vector<ModelConfig> models{{503, 2, 128, 2, 512, 96, 32},
                                        {101, 2, 128, 1, 176, 96, 128},
                                        {257, 1, 512, 2, 320, 96, 64},
                                        {67, 2, 256, 1, 256, 96, 2}};
  for (const ModelConfig& model : models) {
    const SyntheticModel weights(model, 21, kEnd, 3.0F);
    ReferenceGptJ reference(model, weights, tolerance.arithmetic);
    for (const BeamLength beam_length : {BeamLength::kPromptAndGenerated, BeamLength::kGenerated}) {
      const GenerationConfig generation = generation_of(beam_length);
      const auto engine = create(options_of(precision), model, generation, weights);
      SCOPED_TRACE(engine->name() + ", heads of " + std::to_string(model.head_dim()));
      std::vector<Job> jobs = random_jobs(12, model.vocab_size, 22);
      for (Job& job : jobs) {
        job.max_new_tokens = std::min(job.max_new_tokens, tolerance.longest_answer);
        job.min_new_tokens = std::min(job.min_new_tokens, tolerance.longest_answer);
      }
      const Answers answers = run_jobs(*engine, jobs, {.chunk = 13, .in_flight = 2});
      NearTies ties(reference, generation);
      for (const Job& job : jobs) {
        const std::vector<TokenId>& answer = answers.at(job.id);
        EXPECT_TRUE(ties.explain(job, answer, tolerance.slack))
            << "job " << job.id << ", prompt of " << job.prompt.size()
            << " tokens: " << ::testing::PrintToString(answer) << " is " << ties.why_not();
      }
    }
  }
}

}  // namespace gptj::testing
