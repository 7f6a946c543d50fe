// A plan, built and run by TensorRT: with gemm_plugin it has to give the logits of the CUDA engine's own
// layers, bit for bit. Skipped where there is no GPU or no TensorRT.
#include <gtest/gtest.h>

#include <cstdint>
#include <filesystem>
#include <random>
#include <string>

#include "cuda/same_logits.h"
#include "cuda/scene_shapes.h"
#include "gptj/plan.h"
#include "scratch_file.h"
#include "tensorrt/network_builder.h"
#include "tensorrt/plan_layers.h"
#include "tensorrt/runtime_library.h"

namespace gptj::testing {
namespace {

// Why there is no TensorRT here; empty when there is one.
const std::string& missing_tensorrt() {
  static const std::string reason = why_not([] { tensorrt::RuntimeLibrary::open(); });
  return reason;
}

class TensorrtNetwork : public NetworkTest {
 protected:
  void SetUp() override {
    NetworkTest::SetUp();
    if (IsSkipped() || HasFatalFailure()) return;
    GPTJ_SKIP_WITHOUT_GPU(missing_tensorrt());
  }

  static EngineOptions options(const SceneShape& shape, const std::string& plan) {
    EngineOptions options;
    options.engine = "tensorrt";
    options.precision = shape.type == cuda::ElementType::kF16 ? "fp16" : "fp8";
    options.plan_path = plan;
    options.max_requests = shape.requests;
    options.max_tokens_per_step = shape.tokens_per_step;
    options.kv_block_size = shape.kv_block_size;
    options.max_prompt_tokens = shape.longest_prompt;
    return options;
  }
};

TEST_P(TensorrtNetwork, GivesTheBitsOfTheCudaEnginesLayers) {
  const std::uint32_t seed = fresh_seed();
  std::mt19937 random(seed);
  const SceneShape shape = draw_shape(random, 3);
  SCOPED_TRACE("GPTJ_TEST_SEED=" + std::to_string(seed) + ": " + to_text(shape));
  const ScratchFile plan(".plan");
  const EngineOptions with_plan = options(shape, plan.path);
  tensorrt::build_plan(
      {.options = with_plan, .model = shape.model, .generation = shape.generation, .timing_cache_path = ""});
  const auto source = tensorrt::read_plan(with_plan, NetworkScene::network_shape(shape));
  expect_same_logits(shape, seed, *source);
}

INSTANTIATE_TEST_SUITE_P(OnTheGpu, TensorrtNetwork, ::testing::ValuesIn(network_cases_of_all_sizes()),
                         [](const auto& info) { return info.param.name; });

}  // namespace
}  // namespace gptj::testing
