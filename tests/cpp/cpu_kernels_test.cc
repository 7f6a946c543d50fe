// The kernels of every instruction set that this processor has, against the definitions in double: an engine
// only ever uses the best one, the others run on older machines.
#include "cpu/kernels.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <random>
#include <string>
#include <vector>

#include "engine/vector_math.h"

namespace gptj::cpu {
namespace {

std::vector<const Kernels*> tables() {
  std::vector<const Kernels*> out = {&kKernelsBaseline};
#if defined(__x86_64__)
  __builtin_cpu_init();
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) out.push_back(&kKernelsAvx2);
  if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
      __builtin_cpu_supports("avx512vl")) {
    out.push_back(&kKernelsAvx512);
  }
#endif
  return out;
}

class KernelTable : public ::testing::TestWithParam<const Kernels*> {
 protected:
  std::vector<float> normal(std::size_t count, float mean = 0.0F, float scale = 1.0F) {
    std::normal_distribution<float> distribution(mean, scale);
    std::vector<float> out(count);
    for (float& value : out) value = distribution(random_);
    return out;
  }

  const std::uint32_t seed_ = std::random_device{}();
  std::mt19937 random_{seed_};
};

template <typename Element>
double value_of(Element element) {
  if constexpr (sizeof(Element) == 2) return static_cast<double>(from_bf16(element));
  return static_cast<double>(element);
}

template <typename Element>
Element element_of(float value) {
  if constexpr (sizeof(Element) == 2) return to_bf16(value);
  return static_cast<Element>(value);
}

// How far an output may be off: values are of order 1 and weights sum to 1, so that sums in float are off by
// far less than `absolute`; rounding to bfloat16 takes half a unit in the last of 8 places, at most 2^-8 of
// the value.
template <typename Element>
double attention_tolerance(double expected) {
  constexpr double absolute = 2e-5;
  return sizeof(Element) == 2 ? absolute + std::abs(expected) / 256.0 : absolute;
}

template <typename Element>
void expect_attention(void (*attend)(const AttentionTask<Element>&), int queries, int head_dim, int tiles,
                      std::mt19937& random) {
  SCOPED_TRACE(std::to_string(queries) + " queries, heads of " + std::to_string(head_dim) + ", " +
               std::to_string(tiles) + " tiles");
  std::normal_distribution<float> normal;
  const auto rows = static_cast<std::size_t>(tiles) * kRowsPerTile;
  const auto size = static_cast<std::size_t>(head_dim);
  std::vector<Element> keys(rows * size);
  std::vector<Element> values(rows * size);
  for (Element& key : keys) key = element_of<Element>(normal(random));
  for (Element& value : values) value = element_of<Element>(normal(random));
  std::vector<float> query(static_cast<std::size_t>(queries) * size);
  for (float& value : query) value = 2.0F * normal(random);
  std::vector<Element> out(query.size());
  std::vector<float> scores(static_cast<std::size_t>(queries) * rows, 0.0F);
  std::bernoulli_distribution hidden(0.4);
  for (std::size_t i = 0; i < scores.size(); ++i) {
    // Row 0 is always seen: a query sees itself at least.
    if (i % rows != 0 && hidden(random)) scores[i] = -std::numeric_limits<float>::infinity();
  }
  const std::vector<float> mask = scores;
  std::vector<KvTile<Element>> tile_list;
  for (std::size_t tile = 0; tile < static_cast<std::size_t>(tiles); ++tile) {
    tile_list.push_back(
        {keys.data() + tile * kRowsPerTile * size, values.data() + tile * kRowsPerTile * size});
  }
  AttentionTask<Element> task;
  task.queries = queries;
  task.head_dim = head_dim;
  task.scale = 1.0F / std::sqrt(static_cast<float>(head_dim));
  task.tiles = tile_list.data();
  task.tile_count = tiles;
  task.scores = scores.data();
  for (int q = 0; q < queries; ++q) {
    task.query[q] = query.data() + static_cast<std::size_t>(q) * size;
    task.out[q] = out.data() + static_cast<std::size_t>(q) * size;
  }
  attend(task);

  for (std::size_t q = 0; q < static_cast<std::size_t>(queries); ++q) {
    std::vector<double> expected(size, 0.0);
    double total = 0.0;
    for (std::size_t row = 0; row < rows; ++row) {
      if (mask[q * rows + row] < 0.0F) {
        ASSERT_EQ(scores[q * rows + row], 0.0F) << "a hidden row has weight";
        continue;
      }
      double score = 0.0;
      for (std::size_t d = 0; d < size; ++d) {
        const std::size_t at = (row / 16 * size + d) * 16 + row % 16;
        score += static_cast<double>(query[q * size + d]) * value_of(keys[at]);
      }
      const double weight = std::exp(score / std::sqrt(static_cast<double>(head_dim)));
      total += weight;
      for (std::size_t d = 0; d < size; ++d) expected[d] += weight * value_of(values[row * size + d]);
    }
    for (std::size_t d = 0; d < size; ++d) {
      const double mean = expected[d] / total;
      ASSERT_NEAR(value_of(out[q * size + d]), mean, attention_tolerance<Element>(mean))
          << "query " << q << ", " << d;
    }
  }
}

TEST_P(KernelTable, AttendsLikeTheDefinition) {
  SCOPED_TRACE("seed " + std::to_string(seed_));
  for (const int head_dim : {16, 48, 64, 256}) {
    for (int queries = 1; queries <= kQueriesPerTask; ++queries) {
      for (const int tiles : {1, 2, 7}) {
        expect_attention<float>(GetParam()->attend_f32, queries, head_dim, tiles, random_);
        expect_attention<std::uint16_t>(GetParam()->attend_bf16, queries, head_dim, tiles, random_);
      }
    }
  }
}

TEST_P(KernelTable, NormalisesLikeTheDefinition) {
  SCOPED_TRACE("seed " + std::to_string(seed_));
  for (const std::int32_t width : {16, 64, 208, 4096}) {
    SCOPED_TRACE(width);
    const auto count = static_cast<std::size_t>(width);
    const auto x = normal(count, 3.0F, 2.0F);
    const auto weight = normal(count, 1.0F, 0.2F);
    const auto bias = normal(count, 0.0F, 0.2F);
    std::vector<float> out(count);
    std::vector<std::uint16_t> half(count);
    GetParam()->layer_norm_f32(x.data(), weight.data(), bias.data(), 1e-5F, width, out.data());
    GetParam()->layer_norm_bf16(x.data(), weight.data(), bias.data(), 1e-5F, width, half.data());
    double mean = 0.0;
    for (const float value : x) mean += static_cast<double>(value) / width;
    double variance = 0.0;
    for (const float value : x) variance += std::pow(static_cast<double>(value) - mean, 2) / width;
    for (std::size_t i = 0; i < count; ++i) {
      const double expected =
          (static_cast<double>(x[i]) - mean) / std::sqrt(variance + 1e-5) * static_cast<double>(weight[i]) +
          static_cast<double>(bias[i]);
      ASSERT_NEAR(static_cast<double>(out[i]), expected, 1e-5);
      ASSERT_EQ(half[i], to_bf16(out[i]));
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Tables, KernelTable, ::testing::ValuesIn(tables()),
                         [](const auto& info) { return std::string(info.param->name); });

TEST(BestKernels, AreTheLastThatThisProcessorRuns) { EXPECT_EQ(&best_kernels(), tables().back()); }

TEST(VectorMath, ExpIsAccurateOverTheWholeRange) {
  double worst = 0.0;
  for (std::int32_t i = 0; i < 87 * 16384; i += kLanes) {
    float x[kLanes];
    float y[kLanes];
    for (int lane = 0; lane < kLanes; ++lane) x[lane] = static_cast<float>(-(i + lane)) / 16384.0F;
    store(y, exp_nonpositive(load(x)));
    for (int lane = 0; lane < kLanes; ++lane) {
      const double exact = std::exp(static_cast<double>(x[lane]));
      worst = std::max(worst, std::abs(static_cast<double>(y[lane]) - exact) / exact);
    }
  }
  EXPECT_LT(worst, 2e-7);
  float edge[kLanes] = {0.0F, -88.0F, -1e30F, -std::numeric_limits<float>::infinity(),
                        std::numeric_limits<float>::quiet_NaN()};
  store(edge, exp_nonpositive(load(edge)));
  EXPECT_EQ(edge[0], 1.0F);
  EXPECT_EQ(edge[1], 0.0F);
  EXPECT_EQ(edge[2], 0.0F);
  EXPECT_EQ(edge[3], 0.0F);
  EXPECT_TRUE(std::isnan(edge[4]));
}

TEST(VectorMath, Bfloat16RoundsToNearestEven) {
  EXPECT_EQ(from_bf16(to_bf16(1.0F)), 1.0F);
  EXPECT_EQ(to_bf16(1.0F + 0x1p-8F), 0x3F80);            // a tie, to the even neighbour below
  EXPECT_EQ(to_bf16(1.0F + 0x1p-7F + 0x1p-8F), 0x3F82);  // a tie, to the even neighbour above
  EXPECT_EQ(to_bf16(1.0F + 0x1p-8F + 0x1p-20F), 0x3F81);
  EXPECT_EQ(to_bf16(-std::numeric_limits<float>::infinity()), 0xFF80);
  EXPECT_TRUE(std::isnan(from_bf16(to_bf16(std::numeric_limits<float>::signaling_NaN()))));
}

}  // namespace
}  // namespace gptj::cpu
