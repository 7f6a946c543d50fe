// The CPU engine against a double-precision GPT-J, and what it refuses.
#include "cpu/cpu_engine.h"

#include <gtest/gtest.h>

#include <limits>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "cpu/cpu_features.h"
#include "engine_jobs.h"
#include "gptj/error.h"
#include "reference_answer.h"
#include "reference_gptj.h"
#include "synthetic_model.h"

namespace gptj::testing {
namespace {

struct Shape {
  std::string name;
  ModelConfig model;
};

void PrintTo(const Shape& shape, std::ostream* out) { *out << shape.name; }

// Heads of 64, 128 and 256; rotary dimensions fewer than and as many as a head has; MLPs wider and narrower
// than four times the model; vocabularies that no vector divides.
std::vector<Shape> shapes() {
  return {
      {"heads_of_64", {503, 2, 128, 2, 512, 96, 32}},
      {"one_head_of_128", {101, 3, 128, 1, 176, 96, 128}},
      {"heads_of_256", {257, 1, 512, 2, 320, 96, 64}},
      {"heads_of_16", {64, 2, 48, 3, 200, 96, 2, 1e-3F}},
  };
}

constexpr TokenId kEnd = 9;

GenerationConfig generation_of(BeamLength beam_length) {
  GenerationConfig generation;
  generation.min_new_tokens = 2;
  generation.max_new_tokens = 14;
  generation.beam_length = beam_length;
  generation.eos_token = kEnd;
  return generation;
}

EngineOptions options_of(const std::string& precision) {
  EngineOptions options;
  options.precision = precision;
  options.threads = 2;
  options.max_requests = 4;
  options.max_tokens_per_step = 64;
  options.kv_block_size = 16;
  options.max_prompt_tokens = 50;
  return options;
}

std::vector<Job> jobs_for(const ModelConfig& model, const GenerationConfig& generation) {
  std::mt19937 random(5);
  std::vector<Job> jobs;
  for (const std::size_t tokens : {1U, 16U, 17U, 41U}) {
    Job job;
    job.id = tokens;
    job.min_new_tokens = generation.min_new_tokens;
    job.max_new_tokens = generation.max_new_tokens;
    for (std::size_t i = 0; i < tokens; ++i) {
      job.prompt.push_back(static_cast<TokenId>(random() % static_cast<std::uint32_t>(model.vocab_size)));
    }
    jobs.push_back(std::move(job));
  }
  return jobs;
}

class CpuEngineShapes : public ::testing::TestWithParam<Shape> {};

TEST_P(CpuEngineShapes, GivesTheTokensOfTheReference) {
  const ModelConfig& model = GetParam().model;
  const SyntheticModel weights(model, 21, kEnd, 3.0F);
  ReferenceGptJ reference(model, weights);
  std::size_t ended = 0;
  for (const BeamLength beam_length : {BeamLength::kPromptAndGenerated, BeamLength::kGenerated}) {
    const GenerationConfig generation = generation_of(beam_length);
    const auto engine = create_cpu_engine(options_of("f32"), model, generation, weights);
    const std::vector<Job> jobs = jobs_for(model, generation);
    const Answers answers = run_jobs(*engine, jobs, {.chunk = 13});
    for (const Job& job : jobs) {
      const std::vector<TokenId> expected = reference_answer(reference, generation, job);
      EXPECT_EQ(answers.at(job.id), expected) << "prompt of " << job.prompt.size() << " tokens";
      ended += expected.back() == kEnd ? 1 : 0;
    }
  }
  EXPECT_GE(ended, 1U);
}

// Weights of the checkpoint's other types are converted without loss.
TEST_P(CpuEngineShapes, ReadsHalfPrecisionCheckpoints) {
  const ModelConfig& model = GetParam().model;
  const GenerationConfig generation = generation_of(BeamLength::kGenerated);
  for (const DType dtype : {DType::kF16, DType::kBF16}) {
    SyntheticModel weights(model, 22, kEnd, 3.0F);
    weights.store_as(dtype);
    SyntheticModel widened = weights;
    widened.store_as(DType::kF32);
    const std::vector<Job> jobs = jobs_for(model, generation);
    const auto half = create_cpu_engine(options_of("f32"), model, generation, weights);
    const auto full = create_cpu_engine(options_of("f32"), model, generation, widened);
    EXPECT_EQ(run_jobs(*half, jobs), run_jobs(*full, jobs));
  }
}

INSTANTIATE_TEST_SUITE_P(Shapes, CpuEngineShapes, ::testing::ValuesIn(shapes()),
                         [](const auto& info) { return info.param.name; });

ModelConfig small_model() { return {67, 2, 64, 2, 96, 96, 16}; }

// What creating or using an engine of these weights throws.
template <typename Action>
Error error_of(const Action& action) {
  try {
    action();
  } catch (const Error& error) {
    return error;
  }
  ADD_FAILURE() << "nothing was thrown";
  return {ErrorKind::kInternal, ""};
}

Error creation_error(const SyntheticModel& weights, const ModelConfig& model = small_model(),
                     const EngineOptions& options = options_of("f32")) {
  return error_of([&] { create_cpu_engine(options, model, generation_of(BeamLength::kGenerated), weights); });
}

void expect_message(const Error& error, ErrorKind kind, const std::vector<std::string>& parts) {
  EXPECT_EQ(error.kind(), kind) << error.what();
  for (const std::string& part : parts) {
    EXPECT_NE(std::string(error.what()).find(part), std::string::npos)
        << part << " is not in: " << error.what();
  }
}

TEST(CpuEngine, NamesTheTensorThatIsMissing) {
  for (const std::string name :
       {"transformer.wte.weight", "transformer.h.1.attn.k_proj.weight", "transformer.h.0.mlp.fc_out.bias",
        "transformer.ln_f.bias", "lm_head.bias"}) {
    SyntheticModel weights(small_model(), 1);
    weights.remove(name);
    expect_message(creation_error(weights), ErrorKind::kModel, {name});
  }
}

TEST(CpuEngine, NamesTheTensorOfAnotherShape) {
  SyntheticModel weights(small_model(), 1);
  weights.reshape("transformer.h.1.mlp.fc_in.weight", {96, 65});
  expect_message(creation_error(weights), ErrorKind::kModel,
                 {"transformer.h.1.mlp.fc_in.weight", "[96, 65]", "[96, 64]"});
}

TEST(CpuEngine, NamesTheTensorOfAQuantisedType) {
  SyntheticModel weights(small_model(), 1);
  weights.store_as(DType::kI8);
  expect_message(creation_error(weights), ErrorKind::kModel, {"transformer.wte.weight", "f32, f16 and bf16"});
}

TEST(CpuEngine, RefusesWhatItCannotCompute) {
  const SyntheticModel weights(small_model(), 1);
  EngineOptions fp8 = options_of("fp8");
  expect_message(creation_error(weights, small_model(), fp8), ErrorKind::kUnsupported, {"fp8", "bf16"});
  if (!cpu_supports("bf16")) {
    expect_message(creation_error(weights, small_model(), options_of("bf16")), ErrorKind::kUnsupported,
                   {"bf16"});
  }
  ModelConfig odd = small_model();
  odd.n_head = 8;  // heads of 8
  expect_message(creation_error(weights, odd), ErrorKind::kUnsupported, {"16", "64"});
  ModelConfig turned = small_model();
  turned.rotary_dim = 34;
  expect_message(creation_error(weights, turned), ErrorKind::kModel, {"rotary_dim", "34", "32"});
  EngineOptions blocks = options_of("f32");
  blocks.kv_block_size = 24;
  expect_message(creation_error(weights, small_model(), blocks), ErrorKind::kInvalidArgument,
                 {"kv_block_size", "24"});
}

// A weight that is no number spoils one token's logit, and the engine says whose and when.
TEST(CpuEngine, NamesTheRequestWhoseLogitsAreNoNumbers) {
  for (const float bad : {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity()}) {
    SyntheticModel weights(small_model(), 1);
    weights.set("lm_head.bias", 41, bad);
    const GenerationConfig generation = generation_of(BeamLength::kGenerated);
    const auto engine = create_cpu_engine(options_of("f32"), small_model(), generation, weights);
    const Job job{.id = 1234, .prompt = {1, 2, 3}, .min_new_tokens = 1, .max_new_tokens = 4};
    const std::vector<NewRequest> requests{job.request()};
    StepOutcome outcome;
    const std::vector<PromptChunk> part{{1234, 2}};
    engine->enqueue({.admitted = requests, .chunks = part, .decode = true});
    engine->collect(outcome);  // no logits yet
    const std::vector<PromptChunk> rest{{1234, 1}};
    engine->enqueue({.admitted = {}, .chunks = rest, .decode = true});
    expect_message(error_of([&] { engine->collect(outcome); }), ErrorKind::kNumeric,
                   {"step 2", "request 1234", "token 41"});
    // What the failed step left behind is not computed upon.
    expect_message(error_of([&] { engine->enqueue({.admitted = {}, .chunks = {}, .decode = true}); }),
                   ErrorKind::kInvalidArgument, {"failed"});
  }
}

}  // namespace
}  // namespace gptj::testing
