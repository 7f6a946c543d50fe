// An engine for GPUs under the suite that holds for every engine, opened as the program opens it. Compiled
// once for each, with its name in GPTJ_CONFORMANCE_ENGINE. Without a GPU every test is skipped; with
// GPTJ_REQUIRE_GPU=1 that is a failure.
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "cuda/gpu.h"
#include "cuda/tolerances.h"
#include "engine/engine_loader.h"
#include "engine_conformance.h"
#include "scratch_file.h"
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

constexpr TokenId kEnd = 7;

const std::shared_ptr<const SyntheticModel>& weights() {
  static const auto weights = std::make_shared<const SyntheticModel>(tiny_model(), 11, kEnd, 2.5F);
  return weights;
}

// What an engine computes in, and with.
struct Kind {
  std::string precision;
  bool gemm_plugin = true;
};

EngineOptions with_kind(EngineOptions options, const Kind& kind) {
  options.engine = GPTJ_CONFORMANCE_ENGINE;
  options.precision = kind.precision;
  options.gemm_plugin = kind.gemm_plugin;
  options.library_dirs = engine_library_dirs();
  return options;
}

// The plan for these settings, built when they first come: the start of TensorRT takes longer than most
// tests.
std::string plan_for(const EngineOptions& options, const GenerationConfig& generation) {
  using Key = std::tuple<std::string, bool, std::int32_t, std::int32_t, std::int32_t, std::int32_t,
                         std::int32_t, std::int32_t>;
  static std::map<Key, std::unique_ptr<const ScratchFile>> plans;
  const Key key{options.precision,           options.gemm_plugin,      options.max_requests,
                options.max_tokens_per_step, options.kv_block_size,    options.max_prompt_tokens,
                generation.beam_width,       generation.max_new_tokens};
  if (const auto found = plans.find(key); found != plans.end()) return found->second->path;
  auto plan = std::make_unique<const ScratchFile>(".plan");
  EngineOptions with_path = options;
  with_path.plan_path = plan->path;
  build_plan(
      {.options = with_path, .model = tiny_model(), .generation = generation, .timing_cache_path = ""});
  return plans.emplace(key, std::move(plan)).first->second->path;
}

std::unique_ptr<Engine> create(const EngineOptions& wanted, const GenerationConfig& generation,
                               const Kind& kind) {
  EngineOptions options = with_kind(wanted, kind);
  if (has_plans(options)) options.plan_path = plan_for(options, generation);
  return create_engine(options, tiny_model(), generation, *weights());
}

// An engine of the least size.
std::unique_ptr<Engine> create_small(const Kind& kind) {
  EngineOptions options;
  options.max_requests = 1;
  options.max_tokens_per_step = 16;
  options.max_prompt_tokens = 16;
  return create(options, GenerationConfig{.min_new_tokens = 1, .max_new_tokens = 4, .eos_token = kEnd}, kind);
}

// Why there is no engine here; empty when there is one.
const std::string& missing() {
  static const std::string reason = why_not([] { create_small({.precision = "fp16"}); });
  return reason;
}

// The library may take another kernel, which sums in another order, for a step of another size, and in fp8 a
// sum's last bit decides what is stored.
EngineUnderTest gpu_engine(const Kind& kind, const Tolerance& tolerance) {
  const std::string products = kind.gemm_plugin ? "" : "_no_gemm_plugin";
  return {.name = std::string(GPTJ_CONFORMANCE_ENGINE) + "_" + kind.precision + products,
          .create = [kind](const EngineOptions& options,
                           const GenerationConfig& generation) { return create(options, generation, kind); },
          .vocab_size = kVocab,
          .rounding = Rounding{.model = tiny_model(),
                               .weights = weights(),
                               .arithmetic = tolerance.arithmetic,
                               .slack = tolerance.slack}};
}

std::vector<EngineUnderTest> engines() {
  if (!missing().empty()) return {};
  const Kind fp16{.precision = "fp16"};
  const Kind fp8{.precision = "fp8"};
  std::vector<EngineUnderTest> engines{gpu_engine(fp16, kFp16)};
  // Without plans there is nobody else to multiply; where fp8 falls back to fp16 there is nothing else to
  // test.
  if (has_plans(with_kind({}, fp16))) {
    engines.push_back(gpu_engine({.precision = "fp16", .gemm_plugin = false}, kFp16));
  }
  if (create_small(fp8)->name().find("fp8") != std::string::npos) engines.push_back(gpu_engine(fp8, kFp8));
  return engines;
}

INSTANTIATE_TEST_SUITE_P(OnTheGpu, EngineConformance, ::testing::ValuesIn(engines()),
                         [](const auto& info) { return info.param.name; });
GTEST_ALLOW_UNINSTANTIATED_PARAMETERIZED_TEST(EngineConformance);

TEST(GPTJ_CONFORMANCE_SUITE, IsThere) { GPTJ_SKIP_WITHOUT_GPU(missing()); }

}  // namespace
}  // namespace gptj::testing
