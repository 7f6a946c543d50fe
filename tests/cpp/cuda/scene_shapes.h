// Scenes for the suites that run cuda::Network by itself: a case of type and head size, the rest drawn anew.
// GPTJ_TEST_SEED repeats one, GPTJ_TEST_SMALL=1 keeps them small.
#pragma once

#include <cuda_runtime_api.h>
#include <gtest/gtest.h>

#include <cstdint>
#include <cstdlib>
#include <ostream>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "cuda/gpu.h"
#include "cuda/network_scene.h"

namespace gptj::testing {

inline bool is_small() {
#ifdef GPTJ_SIMULATED_GPU
  return true;
#else
  const char* small = std::getenv("GPTJ_TEST_SMALL");
  return small != nullptr && std::string(small) == "1";
#endif
}

// Why there is no GPU here; empty when there is one.
inline std::string missing_gpu() {
  int count = 0;
  const cudaError_t status = cudaGetDeviceCount(&count);
  if (status != cudaSuccess) return std::string("there is no GPU: ") + cudaGetErrorString(status);
  return count > 0 ? "" : "there is no GPU";
}

inline std::uint32_t fresh_seed() {
  const char* given = std::getenv("GPTJ_TEST_SEED");
  return given != nullptr ? static_cast<std::uint32_t>(std::strtoul(given, nullptr, 10))
                          : std::random_device{}();
}

struct NetworkCase {
  std::string name;
  cuda::ElementType type = cuda::ElementType::kF16;
  std::int32_t head_dim = 0;
  std::int32_t vocab = 0;  // 0: drawn
  bool is_mini = false;    // gptj-mini's shape, and steps as full as its own
};

inline void PrintTo(const NetworkCase& network, std::ostream* out) { *out << network.name; }

// Both types with every head size that has kernels.
inline std::vector<NetworkCase> network_cases() {
  std::vector<NetworkCase> cases;
  for (const auto& [type, name] :
       {std::pair(cuda::ElementType::kF16, "fp16"), std::pair(cuda::ElementType::kF8E4M3, "fp8")}) {
    for (const std::int32_t head_dim : {64, 128, 256}) {
      cases.push_back({std::string(name) + "_heads_of_" + std::to_string(head_dim), type, head_dim, 0});
    }
  }
  return cases;
}

// The same, and steps of thousands of rows, for which libraries choose other algorithms than for a few.
inline std::vector<NetworkCase> network_cases_of_all_sizes() {
  std::vector<NetworkCase> cases = network_cases();
  if (is_small()) return cases;
  cases.push_back(
      {.name = "fp16_of_gptj_mini", .type = cuda::ElementType::kF16, .head_dim = 256, .is_mini = true});
  cases.push_back(
      {.name = "fp8_of_gptj_mini", .type = cuda::ElementType::kF8E4M3, .head_dim = 256, .is_mini = true});
  return cases;
}

// Skipped where there is no GPU, or none that has the case's type.
class NetworkTest : public ::testing::TestWithParam<NetworkCase> {
 protected:
  void SetUp() override {
    GPTJ_SKIP_WITHOUT_GPU(missing_gpu());
    int major = 0;
    int minor = 0;
    GPTJ_CUDA_CHECK(cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, 0));
    GPTJ_CUDA_CHECK(cudaDeviceGetAttribute(&minor, cudaDevAttrComputeCapabilityMinor, 0));
    if (GetParam().type == cuda::ElementType::kF8E4M3 && 10 * major + minor < 89) {
      GTEST_SKIP() << "this GPU has no FP8";
    }
  }

  static SceneShape draw_shape(std::mt19937& random, std::int32_t layers) {
    const auto draw = [&](std::int32_t least, std::int32_t most) {
      return std::uniform_int_distribution<std::int32_t>(least, most)(random);
    };
    if (GetParam().is_mini) return mini_shape();
    SceneShape shape;
    ModelConfig& model = shape.model;
    model.n_layer = layers;
    // Double precision takes its time over a large vocabulary.
    const bool is_large = GetParam().vocab != 0;
    if (is_large) shape.requests = 3;
    if (is_small()) shape.longest_prompt = 50;
    model.n_head = is_large || is_small() ? 1 : draw(1, 512 / GetParam().head_dim);
    model.n_embd = model.n_head * GetParam().head_dim;
    model.n_inner = 16 * draw(4, is_small() ? 24 : 64);
    model.rotary_dim = 2 * draw(1, GetParam().head_dim / 2);
    // Deviations are told in units of the logits' own, which over a handful of them is a matter of luck.
    model.vocab_size = GetParam().vocab != 0 ? GetParam().vocab : draw(64, is_small() ? 300 : 1200);
    shape.type = GetParam().type;
    shape.kv_block_size = 16 * draw(1, 4);
    shape.generation.beam_width = draw(0, 2) == 0 ? draw(1, 3) : 4;
    shape.generation.min_new_tokens = draw(0, 8);
    shape.generation.max_new_tokens = 9;
    shape.generation.eos_token = draw(0, model.vocab_size - 1);
    model.n_positions = shape.longest_prompt + shape.generation.max_new_tokens;
    return shape;
  }

  static SceneShape mini_shape() {
    SceneShape shape;
    shape.model.n_layer = 4;
    shape.model.n_head = 2;
    shape.model.n_embd = 512;
    shape.model.n_inner = 1024;
    shape.model.rotary_dim = 64;
    shape.model.vocab_size = 2048;
    shape.type = GetParam().type;
    shape.requests = 64;
    shape.admitted_per_step = 24;
    shape.tokens_per_step = 4096;
    shape.longest_prompt = 300;
    shape.generation.beam_width = 4;
    shape.generation.min_new_tokens = 8;
    shape.generation.max_new_tokens = 9;
    shape.generation.eos_token = 1;
    shape.model.n_positions = shape.longest_prompt + shape.generation.max_new_tokens;
    return shape;
  }

  static std::string to_text(const SceneShape& shape) {
    const ModelConfig& model = shape.model;
    return std::to_string(model.n_layer) + " layers, " + std::to_string(model.n_head) + " heads, inner " +
           std::to_string(model.n_inner) + ", rotary " + std::to_string(model.rotary_dim) + ", vocabulary " +
           std::to_string(model.vocab_size) + ", blocks of " + std::to_string(shape.kv_block_size) + ", " +
           std::to_string(shape.generation.beam_width) + " beams";
  }
};

}  // namespace gptj::testing
