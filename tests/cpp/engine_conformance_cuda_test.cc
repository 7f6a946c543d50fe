// The CUDA engine under the suite that holds for every engine, opened as the program opens it. Without a GPU
// every test is skipped; with GPTJ_REQUIRE_GPU=1 that is a failure.
#include <cstdlib>
#include <memory>
#include <string>
#include <vector>

#include "engine/engine_loader.h"
#include "engine_conformance.h"
#include "gptj/error.h"
#include "synthetic_model.h"

namespace gptj::testing {
namespace {

constexpr std::int32_t kVocab = 67;

ModelConfig tiny_model() {
  ModelConfig model;
  model.vocab_size = kVocab;
  model.n_layer = 2;
  model.n_embd = 128;
  model.n_head = 2;
  model.n_inner = 256;
  model.n_positions = 128;
  model.rotary_dim = 16;
  return model;
}

std::unique_ptr<Engine> create(EngineOptions options, const GenerationConfig& generation,
                               const std::string& precision) {
  const SyntheticModel weights(tiny_model(), 11, generation.eos_token, 2.5F);
  options.engine = "cuda";
  options.precision = precision;
  options.library_dirs = {GPTJ_ENGINE_LIBRARY_DIR};
  return create_engine(options, tiny_model(), generation, weights);
}

// Why there is no engine here; empty when there is one.
const std::string& missing() {
  static const std::string reason = [] {
    EngineOptions options;
    options.max_requests = 1;
    options.max_tokens_per_step = 16;
    options.max_prompt_tokens = 16;
    try {
      create(options, GenerationConfig{.min_new_tokens = 1, .max_new_tokens = 4, .eos_token = 7}, "fp16");
    } catch (const Error& error) {
      return std::string(error.what());
    }
    return std::string();
  }();
  return reason;
}

EngineUnderTest cuda_engine(const std::string& precision) {
  return {.name = "cuda_" + precision,
          .create =
              [precision](const EngineOptions& options, const GenerationConfig& generation) {
                return create(options, generation, precision);
              },
          .vocab_size = kVocab};
}

std::vector<EngineUnderTest> engines() {
  if (!missing().empty()) return {};
  return {cuda_engine("fp16"), cuda_engine("fp8")};
}

INSTANTIATE_TEST_SUITE_P(OnTheGpu, EngineConformance, ::testing::ValuesIn(engines()),
                         [](const auto& info) { return info.param.name; });
GTEST_ALLOW_UNINSTANTIATED_PARAMETERIZED_TEST(EngineConformance);

TEST(CudaEngine, IsThere) {
  if (missing().empty()) return;
  const char* required = std::getenv("GPTJ_REQUIRE_GPU");
  if (required == nullptr || std::string(required) != "1") GTEST_SKIP() << missing();
  FAIL() << "GPTJ_REQUIRE_GPU is 1, but there is no CUDA engine here: " << missing();
}

}  // namespace
}  // namespace gptj::testing
