// The CPU engine and the fake engine under the suite that holds for every engine.
#include "cpu/cpu_engine.h"
#include "cpu/cpu_features.h"
#include "engine/fake_engine.h"
#include "engine_conformance.h"
#include "synthetic_model.h"

namespace gptj::testing {
namespace {

constexpr std::int32_t kVocab = 67;  // no multiple of a vector

ModelConfig tiny_model() {
  ModelConfig model;
  model.vocab_size = kVocab;
  model.n_layer = 2;
  model.n_embd = 64;
  model.n_head = 2;
  model.n_inner = 96;
  model.n_positions = 128;
  model.rotary_dim = 16;
  return model;
}

EngineUnderTest cpu_engine(const std::string& precision) {
  return {.name = "cpu_" + precision,
          .create =
              [precision](EngineOptions options, const GenerationConfig& generation) {
                const SyntheticModel weights(tiny_model(), 11, generation.eos_token, 2.5F);
                options.precision = precision;
                return create_cpu_engine(options, tiny_model(), generation, weights);
              },
          .vocab_size = kVocab};
}

EngineUnderTest fake_engine(std::int32_t steps_in_flight) {
  return {.name = "fake_" + std::to_string(steps_in_flight),
          .create =
              [steps_in_flight](EngineOptions options, const GenerationConfig& generation) {
                options.fake_max_steps_in_flight = steps_in_flight;
                return create_fake_engine(options, tiny_model(), generation);
              },
          .vocab_size = kVocab,
          .kv_block_size = 5};
}

std::vector<EngineUnderTest> engines() {
  std::vector<EngineUnderTest> engines{fake_engine(1), fake_engine(3), cpu_engine("f32")};
  if (cpu_supports("bf16")) engines.push_back(cpu_engine("bf16"));
  return engines;
}

INSTANTIATE_TEST_SUITE_P(OnThisMachine, EngineConformance, ::testing::ValuesIn(engines()),
                         [](const auto& info) { return info.param.name; });

}  // namespace
}  // namespace gptj::testing
