// The CUDA engine's forward pass: logits of random models, prompts, pieces and beams against double
// precision. Every run draws anew; GPTJ_TEST_SEED repeats one.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <limits>
#include <random>
#include <string>
#include <vector>

#include "cuda/scene_shapes.h"
#include "cuda/tolerances.h"
#include "reference_gptj.h"
#include "synthetic_model.h"

namespace gptj::testing {
namespace {

std::vector<NetworkCase> cases() {
  std::vector<NetworkCase> cases = network_cases();
  if (is_small()) return cases;
  for (NetworkCase network : network_cases()) {
    network.name += "_vocab_50401";  // one more than GPT-J's
    network.vocab = 50401;
    cases.push_back(network);
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

class CudaNetwork : public NetworkTest {};

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
