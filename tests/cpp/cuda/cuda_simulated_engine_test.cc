// The CUDA engine on a simulated GPU under the suite that holds for every engine. Its sums do not depend on
// the size of a step, so that answers have to be the same bit for bit: what this tests is how the engine
// packs steps, divides blocks and follows beams, on machines without a GPU.
#include <memory>
#include <string>
#include <vector>

#include "cuda/answers.h"
#include "cuda/cublas_layers.h"
#include "cuda/gpu_engine.h"
#include "engine_conformance.h"
#include "synthetic_model.h"

namespace gptj::testing {
namespace {

constexpr std::int32_t kVocab = 67;
const ModelConfig kModel{kVocab, 2, 64, 1, 64, 128, 16};

std::unique_ptr<Engine> create(const EngineOptions& options, const ModelConfig& model,
                               const GenerationConfig& generation, const SyntheticModel& weights) {
  return cuda::create_gpu_engine(options, model, generation, weights,
                                 [](const EngineOptions&, const cuda::NetworkShape&) {
                                   return std::make_unique<cuda::CublasLayersSource>();
                                 });
}

EngineUnderTest simulated_engine(const std::string& precision) {
  return {.name = "simulated_" + precision,
          .create =
              [precision](EngineOptions options, const GenerationConfig& generation) {
                options.precision = precision;
                return create(options, kModel, generation,
                              SyntheticModel(kModel, 11, generation.eos_token, 2.5F));
              },
          .vocab_size = kVocab};
}

INSTANTIATE_TEST_SUITE_P(OnASimulatedGpu, EngineConformance,
                         ::testing::Values(simulated_engine("fp16"), simulated_engine("fp8")),
                         [](const auto& info) { return info.param.name; });

TEST(SimulatedEngine, AnswersAreThoseOfDoublePrecisionUpToRounding) {
  const auto create_small = [](EngineOptions options, const ModelConfig& model,
                               const GenerationConfig& generation, const SyntheticModel& weights) {
    options.max_tokens_per_step = 40;  // the simulation takes its time over every row
    return create(options, model, generation, weights);
  };
  expect_answers_of_double_precision(create_small, "fp16", kFp16);
  expect_answers_of_double_precision(create_small, "fp8", kFp8);
}

}  // namespace
}  // namespace gptj::testing
