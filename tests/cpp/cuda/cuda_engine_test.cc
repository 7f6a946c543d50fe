// The CUDA engine, opened as the program opens it: its answers against double precision, several of it on one
// GPU, and what it says of models and memory that do not fit.
#include <cuda_runtime_api.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <limits>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "cuda/answers.h"
#include "cuda/gpu.h"
#include "cuda/tolerances.h"
#include "engine/engine_loader.h"
#include "engine_jobs.h"
#include "gptj/error.h"
#include "near_ties.h"
#include "synthetic_model.h"

namespace gptj::testing {
namespace {

const ModelConfig kSmall{67, 2, 128, 2, 256, 96, 16};

std::unique_ptr<Engine> create(EngineOptions options, const SyntheticModel& weights,
                               const ModelConfig& model = kSmall,
                               const GenerationConfig& generation = generation_of(BeamLength::kGenerated)) {
  options.library_dirs = engine_library_dirs();
  return create_engine(options, model, generation, weights);
}

// Why there is no engine here; empty when there is one.
const std::string& missing() {
  static const std::string reason = why_not([] { create(options_of("fp16"), SyntheticModel(kSmall, 1)); });
  return reason;
}

// What it throws; a test fails that expects something and nothing is thrown.
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

void expect_error(const Error& error, ErrorKind kind, const std::vector<std::string>& parts) {
  EXPECT_EQ(error.kind(), kind) << error.what();
  for (const std::string& part : parts) {
    EXPECT_NE(std::string(error.what()).find(part), std::string::npos)
        << part << " is not in: " << error.what();
  }
}

class CudaEngineTest : public ::testing::Test {
 protected:
  void SetUp() override { GPTJ_SKIP_WITHOUT_GPU(missing()); }
};

TEST_F(CudaEngineTest, AnswersAreThoseOfDoublePrecisionUpToRounding) {
  const auto create_for = [](const EngineOptions& options, const ModelConfig& model,
                             const GenerationConfig& generation, const SyntheticModel& weights) {
    return create(options, weights, model, generation);
  };
  expect_answers_of_double_precision(create_for, "fp16", kFp16);
  const bool has_fp8 =
      create(options_of("fp8"), SyntheticModel(kSmall, 1))->name().find("fp8") != std::string::npos;
  if (has_fp8) expect_answers_of_double_precision(create_for, "fp8", kFp8);
}

// Two engines, each with two fifths of the memory, in two threads at once.
TEST_F(CudaEngineTest, TwoEnginesShareAGpu) {
  const SyntheticModel weights(kSmall, 31, kEnd, 3.0F);
  const std::vector<Job> jobs = random_jobs(60, kSmall.vocab_size, 32);
  const Answers expected = run_jobs(*create(options_of("fp16"), weights), jobs);

  std::size_t free = 0;
  std::size_t total = 0;
  ASSERT_EQ(cudaMemGetInfo(&free, &total), cudaSuccess);
  EngineOptions options = options_of("fp16");
  const std::size_t block = 2U * 2U * 128U * 16U * 2U;  // K and V, layers, width, tokens, fp16
  options.kv_blocks = static_cast<std::int32_t>(
      std::min<std::size_t>(free / 5 * 2 / block, std::numeric_limits<std::int32_t>::max()));
  std::vector<std::unique_ptr<Engine>> engines;
  for (int i = 0; i < 2; ++i) engines.push_back(create(options, weights));
  for (const auto& engine : engines) EXPECT_EQ(engine->limits().kv_blocks, options.kv_blocks);
  // There is no room for a third.
  expect_error(error_of([&] { create(options, weights); }), ErrorKind::kOutOfMemory,
               {"GPU 0", "too little memory", "blocks fit"});
  std::vector<Answers> answers(engines.size());
  {
    std::vector<std::jthread> threads;
    for (std::size_t i = 0; i < engines.size(); ++i) {
      threads.emplace_back([&, i] { answers[i] = run_jobs(*engines[i], jobs, {.in_flight = 2}); });
    }
  }
  ReferenceGptJ reference(kSmall, weights, kFp16.arithmetic);
  NearTies ties(reference, generation_of(BeamLength::kGenerated));
  for (const Job& job : jobs) {
    for (const Answers& of_engine : answers) {
      const std::vector<TokenId>& answer = of_engine.at(job.id);
      // Each engine chooses its own algorithms.
      if (answer == expected.at(job.id)) continue;
      EXPECT_TRUE(ties.explain(job, answer, kFp16.slack))
          << ::testing::PrintToString(answer) << " instead of "
          << ::testing::PrintToString(expected.at(job.id)) << ": " << ties.why_not();
    }
  }
}

TEST_F(CudaEngineTest, MemoryThatAnotherHoldsIsMissedBeforeTheRun) {
  const SyntheticModel weights(kSmall, 33);
  std::size_t free = 0;
  std::size_t total = 0;
  ASSERT_EQ(cudaMemGetInfo(&free, &total), cudaSuccess);
  // All but a little, as little as the driver allows; cuBLASLt's workspace alone takes 64 MiB.
  void* held = nullptr;
  for (std::size_t left = 16; left <= 56 && held == nullptr; left += 8) {
    if (cudaMalloc(&held, free - (left << 20)) != cudaSuccess) (void)cudaGetLastError();
  }
  ASSERT_NE(held, nullptr);
  const Error error = error_of([&] { create(options_of("fp16"), weights); });
  ASSERT_EQ(cudaFree(held), cudaSuccess);
  expect_error(error, ErrorKind::kOutOfMemory, {"GPU 0", "too little memory"});
  // Nothing of it is left.
  EXPECT_EQ(run_jobs(*create(options_of("fp16"), weights), random_jobs(3, kSmall.vocab_size, 34)).size(), 3U);
}

TEST_F(CudaEngineTest, BlocksThatDoNotFitAreRefusedWithTheArithmetic) {
  EngineOptions options = options_of("fp16");
  options.kv_blocks = std::numeric_limits<std::int32_t>::max();
  expect_error(error_of([&] { create(options, SyntheticModel(kSmall, 35)); }), ErrorKind::kOutOfMemory,
               {"GPU 0", "2147483647 blocks", "blocks fit", "Leave kv_blocks out"});
}

TEST_F(CudaEngineTest, AModelThatGivesNoNumbersIsFoundBeforeTheRun) {
  SyntheticModel weights(kSmall, 36);
  weights.set("lm_head.bias", 3, std::numeric_limits<float>::infinity());
  for (const char* precision : {"fp16", "fp8"}) {
    expect_error(error_of([&] { create(options_of(precision), weights); }), ErrorKind::kNumeric,
                 {"GPU 0: trial step 1", "NaN or infinity"});
  }
}

// Infinity in the embedding of one token spoils whatever reads it, and nothing else.
TEST_F(CudaEngineTest, LogitsThatAreNoNumbersNameStepGpuAndRequest) {
  SyntheticModel weights(kSmall, 37, kEnd, 3.0F);
  for (std::size_t i = 0; i < 4; ++i) {
    weights.set("transformer.wte.weight", static_cast<std::size_t>(kBad * kSmall.n_embd) + i,
                std::numeric_limits<float>::infinity());
  }
  for (const char* precision : {"fp16", "fp8"}) {
    SCOPED_TRACE(precision);
    const auto engine = create(options_of(precision), weights);
    std::vector<Job> jobs = random_jobs(3, kSmall.vocab_size, 38);
    for (Job& job : jobs) {
      job.id += 501;
      job.prompt.resize(20, 5);
    }
    jobs[1].prompt[15] = kBad;
    std::vector<NewRequest> admitted;
    for (const Job& job : jobs) admitted.push_back(job.request());
    const std::vector<PromptChunk> begin{{501, 20}, {502, 10}, {503, 20}};
    const std::vector<PromptChunk> rest{{502, 10}};
    StepOutcome outcome;
    engine->enqueue({.admitted = admitted, .chunks = begin, .decode = true});
    engine->enqueue({.admitted = {}, .chunks = rest, .decode = true});
    engine->collect(outcome);
    expect_error(error_of([&] { engine->collect(outcome); }), ErrorKind::kNumeric,
                 {"step 2 on GPU 0 (requests 501, 503, 502): ", "the logits of request 502"});
    expect_error(error_of([&] { engine->enqueue({}); }), ErrorKind::kInvalidArgument,
                 {"after a step had failed"});
  }
}

}  // namespace
}  // namespace gptj::testing
