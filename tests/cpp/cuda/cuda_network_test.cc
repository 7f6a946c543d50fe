// The CUDA engine's forward pass: logits of random models, prompts, pieces and beams against double
// precision. Every run draws anew; GPTJ_TEST_SEED repeats one.
#include <cuda_runtime_api.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <limits>
#include <random>
#include <string>
#include <vector>

#include "cuda/gpu.h"
#include "cuda/network_scene.h"
#include "cuda/tolerances.h"
#include "reference_gptj.h"
#include "synthetic_model.h"

namespace gptj::testing {
namespace {

bool is_small() {
#ifdef GPTJ_SIMULATED_GPU
  return true;
#else
  const char* small = std::getenv("GPTJ_TEST_SMALL");
  return small != nullptr && std::string(small) == "1";
#endif
}

std::string missing() {
  int count = 0;
  const cudaError_t status = cudaGetDeviceCount(&count);
  if (status != cudaSuccess) return std::string("there is no GPU: ") + cudaGetErrorString(status);
  return count > 0 ? "" : "there is no GPU";
}

std::uint32_t fresh_seed() {
  const char* given = std::getenv("GPTJ_TEST_SEED");
  return given != nullptr ? static_cast<std::uint32_t>(std::strtoul(given, nullptr, 10))
                          : std::random_device{}();
}

struct NetworkCase {
  std::string name;
  cuda::ElementType type = cuda::ElementType::kF16;
  std::int32_t head_dim = 0;
  std::int32_t vocab = 0;  // 0: drawn
};

void PrintTo(const NetworkCase& network, std::ostream* out) { *out << network.name; }

std::vector<NetworkCase> cases() {
  std::vector<NetworkCase> cases;
  for (const auto& [type, name] :
       {std::pair(cuda::ElementType::kF16, "fp16"), std::pair(cuda::ElementType::kF8E4M3, "fp8")}) {
    for (const std::int32_t head_dim : {64, 128, 256}) {
      const std::string base = std::string(name) + "_heads_of_" + std::to_string(head_dim);
      cases.push_back({base, type, head_dim, 0});
      if (is_small()) continue;
      cases.push_back({base + "_vocab_50401", type, head_dim, 50401});  // one more than GPT-J's
    }
  }
  return cases;
}

// Differences of logits in units of their standard deviation, over all rows of a scene.
struct Deviation {
  double rms = 0.0;  // of the worst row
  double max = 0.0;

  void add(const std::vector<float>& logits, const std::vector<double>& expected) {
    const auto count = static_cast<double>(expected.size());
    double mean = 0.0;
    for (const double value : expected) mean += value / count;
    double variance = 0.0;
    for (const double value : expected) variance += (value - mean) * (value - mean) / count;
    double squares = 0.0;
    for (std::size_t i = 0; i < expected.size(); ++i) {
      double off = std::abs(static_cast<double>(logits[i]) - expected[i]) / std::sqrt(variance);
      if (std::isnan(off)) off = std::numeric_limits<double>::infinity();
      max = std::max(max, off);
      squares += off * off / count;
    }
    rms = std::max(rms, std::sqrt(squares));
  }
};

class CudaNetwork : public ::testing::TestWithParam<NetworkCase> {
 protected:
  void SetUp() override {
    GPTJ_SKIP_WITHOUT_GPU(missing());
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

  static std::string to_text(const SceneShape& shape) {
    const ModelConfig& model = shape.model;
    return std::to_string(model.n_layer) + " layers, " + std::to_string(model.n_head) + " heads, inner " +
           std::to_string(model.n_inner) + ", rotary " + std::to_string(model.rotary_dim) + ", vocabulary " +
           std::to_string(model.vocab_size) + ", blocks of " + std::to_string(shape.kv_block_size) + ", " +
           std::to_string(shape.generation.beam_width) + " beams";
  }
};

TEST_P(CudaNetwork, LogitsAreThoseOfDoublePrecision) {
  const Tolerance& tolerance = GetParam().type == cuda::ElementType::kF16 ? kFp16 : kFp8;
  const bool is_large = GetParam().vocab != 0;
  for (const std::int32_t layers : is_large ? std::vector{1} : std::vector{1, 3}) {
    const std::uint32_t seed = fresh_seed();
    std::mt19937 random(seed);
    const SceneShape shape = draw_shape(random, layers);
    SCOPED_TRACE("GPTJ_TEST_SEED=" + std::to_string(seed) + ": " + to_text(shape));
    const SyntheticModel weights(shape.model, random(), shape.generation.eos_token, 1.0F);
    ReferenceGptJ exact(shape.model, weights);
    ReferenceGptJ rounded(shape.model, weights, tolerance.arithmetic);
    Deviation from_exact, from_rounded;
    std::size_t rows = 0;
    for (NetworkScene scene(shape, weights, random); !scene.is_done();) {
      for (const NetworkScene::Row& row : scene.step()) {
        from_exact.add(row.logits, exact.logits(row.text));
        if (layers == 1) from_rounded.add(row.logits, rounded.logits(row.text));
        ++rows;
      }
      ASSERT_FALSE(HasFatalFailure());
    }
    std::printf("%s, %d layers: %zu rows, off by %.1e rms and %.1e at most", GetParam().name.c_str(), layers,
                rows, from_exact.rms, from_exact.max);
    if (layers == 1) std::printf("; from rounding alike %.1e and %.1e", from_rounded.rms, from_rounded.max);
    std::printf("\n");
    EXPECT_GE(rows, static_cast<std::size_t>(2 * shape.requests));
    EXPECT_LE(from_exact.rms, tolerance.exact_rms);
    EXPECT_LE(from_exact.max, tolerance.exact_max);
    if (layers == 1) {
      EXPECT_LE(from_rounded.rms, tolerance.same_rms);
      EXPECT_LE(from_rounded.max, tolerance.same_max);
    }
    // A tolerance that any arithmetic stays below would prove nothing.
    EXPECT_GE(from_exact.rms, tolerance.exact_rms / 50.0);
  }
}

INSTANTIATE_TEST_SUITE_P(OnTheGpu, CudaNetwork, ::testing::ValuesIn(cases()),
                         [](const auto& info) { return info.param.name; });

}  // namespace
}  // namespace gptj::testing
