// The kernels of every instruction set that this processor has, against plain double precision: an engine
// only ever uses the best one, the others run on older machines.
#include "cpu/kernels.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstdint>
#include <limits>
#include <random>
#include <string>
#include <type_traits>
#include <vector>

#include "engine/vector_math.h"

namespace gptj::cpu {
namespace {

std::vector<const Kernels*> tables() {
  std::vector<const Kernels*> tables{&kKernelsBaseline};
#if defined(__x86_64__)
  __builtin_cpu_init();
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) tables.push_back(&kKernelsAvx2);
  if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
      __builtin_cpu_supports("avx512vl")) {
    tables.push_back(&kKernelsAvx512);
  }
#endif
  return tables;
}

float widen(float value) { return value; }
float widen(std::uint16_t value) { return from_bf16(value); }
void narrow(float from, float& to) { to = from; }
void narrow(float from, std::uint16_t& to) { to = to_bf16(from); }

constexpr float kHidden = -std::numeric_limits<float>::infinity();

// Random queries over tiles that lie apart; query q sees every row but those where (row + q) % 5 == 0.
template <typename Element>
struct Problem {
  Problem(std::int32_t queries, std::int32_t head_dim, std::ptrdiff_t tile_count) {
    std::mt19937 random(static_cast<std::uint32_t>(queries * 1000 + head_dim));
    std::normal_distribution<float> normal;
    const auto dim = static_cast<std::size_t>(head_dim);
    const auto rows = static_cast<std::size_t>(tile_count) * kRowsPerTile;
    keys.resize(rows * dim);
    values.resize(rows * dim);
    for (Element& key : keys) narrow(normal(random), key);
    for (Element& value : values) narrow(normal(random), value);
    query.resize(static_cast<std::size_t>(queries) * dim);
    for (float& value : query) value = 2.0F * normal(random);
    out.resize(query.size());
    scores.resize(static_cast<std::size_t>(queries) * rows);
    for (std::size_t q = 0; q < static_cast<std::size_t>(queries); ++q) {
      for (std::size_t row = 0; row < rows; ++row)
        scores[q * rows + row] = (row + q) % 5 == 0 ? kHidden : 0.0F;
    }
    for (std::ptrdiff_t tile = 0; tile < tile_count; ++tile) {
      const std::ptrdiff_t start = tile * kRowsPerTile * head_dim;
      tiles.push_back({keys.data() + start, values.data() + start});
    }
    task.queries = queries;
    task.head_dim = head_dim;
    task.scale = 1.0F / std::sqrt(static_cast<float>(head_dim));
    task.tiles = tiles.data();
    task.tile_count = tile_count;
    task.scores = scores.data();
    for (std::int32_t q = 0; q < queries; ++q) {
      task.query[q] = query.data() + static_cast<std::ptrdiff_t>(q) * head_dim;
      task.out[q] = out.data() + static_cast<std::ptrdiff_t>(q) * head_dim;
    }
  }

  std::vector<double> expected(std::size_t q) const {
    const auto dim = static_cast<std::size_t>(task.head_dim);
    const std::size_t rows = keys.size() / dim;
    std::vector<double> result(dim, 0.0);
    double total = 0.0;
    for (std::size_t row = 0; row < rows; ++row) {
      if ((row + q) % 5 == 0) continue;
      double product = 0.0;
      for (std::size_t d = 0; d < dim; ++d) {
        const std::size_t at = (row / kRowsPerTile * dim + d) * kRowsPerTile + row % kRowsPerTile;
        product += static_cast<double>(widen(keys[at])) * static_cast<double>(query[q * dim + d]);
      }
      const double weight = std::exp(product * static_cast<double>(task.scale));
      total += weight;
      for (std::size_t d = 0; d < dim; ++d)
        result[d] += weight * static_cast<double>(widen(values[row * dim + d]));
    }
    for (double& value : result) value /= total;
    return result;
  }

  std::vector<Element> keys, values, out;
  std::vector<float> query, scores;
  std::vector<KvTile<Element>> tiles;
  AttentionTask<Element> task;
};

template <typename Element>
void expect_attention(const Kernels& kernels, double tolerance) {
  for (const std::int32_t head_dim : {16, 48, 64, 256}) {
    for (std::int32_t queries = 1; queries <= kQueriesPerTask; ++queries) {
      Problem<Element> problem(queries, head_dim, 1 + queries % 3);
      if constexpr (std::is_same_v<Element, float>) {
        kernels.attend_f32(problem.task);
      } else {
        kernels.attend_bf16(problem.task);
      }
      for (std::size_t q = 0; q < static_cast<std::size_t>(queries); ++q) {
        const std::vector<double> expected = problem.expected(q);
        for (std::size_t d = 0; d < expected.size(); ++d) {
          const double got = static_cast<double>(widen(problem.task.out[q][d]));
          ASSERT_NEAR(got, expected[d], tolerance)
              << kernels.name << ", heads of " << head_dim << ", query " << q << " of " << queries;
        }
      }
    }
  }
}

TEST(CpuKernels, AttentionIsThatOfDoublePrecision) {
  for (const Kernels* kernels : tables()) {
    expect_attention<float>(*kernels, 2e-5);
    expect_attention<std::uint16_t>(*kernels, 0.02);  // half a unit in the last place of a value near 4
  }
}

TEST(CpuKernels, LayerNormIsThatOfDoublePrecision) {
  constexpr std::int32_t kWidth = 112;
  constexpr float kEpsilon = 1e-5F;
  std::mt19937 random(3);
  std::normal_distribution<float> normal(0.5F, 3.0F);
  std::vector<float> x(kWidth), weight(kWidth), bias(kWidth);
  for (std::vector<float>* values : {&x, &weight, &bias}) {
    for (float& value : *values) value = normal(random);
  }
  double mean = 0.0;
  for (const float value : x) mean += static_cast<double>(value) / kWidth;
  double variance = 0.0;
  for (const float value : x) {
    const double centred = static_cast<double>(value) - mean;
    variance += centred * centred / kWidth;
  }
  for (const Kernels* kernels : tables()) {
    std::vector<float> wide(kWidth);
    std::vector<std::uint16_t> half(kWidth);
    kernels->layer_norm_f32(x.data(), weight.data(), bias.data(), kEpsilon, kWidth, wide.data());
    kernels->layer_norm_bf16(x.data(), weight.data(), bias.data(), kEpsilon, kWidth, half.data());
    for (std::size_t i = 0; i < x.size(); ++i) {
      const double expected = (static_cast<double>(x[i]) - mean) /
                                  std::sqrt(variance + static_cast<double>(kEpsilon)) *
                                  static_cast<double>(weight[i]) +
                              static_cast<double>(bias[i]);
      EXPECT_NEAR(static_cast<double>(wide[i]), expected, 1e-5 * (1.0 + std::abs(expected))) << kernels->name;
      EXPECT_EQ(half[i], to_bf16(wide[i])) << kernels->name;
    }
  }
}

TEST(CpuKernels, TheBestOfThisProcessorIsUsed) { EXPECT_EQ(&best_kernels(), tables().back()); }

TEST(VectorMath, ExponentialIsWithinTwoUnits) {
  for (float x = 0.0F; x > -86.9F; x -= 0.00371F) {
    const auto exact = static_cast<float>(std::exp(static_cast<double>(x)));
    const float unit = std::nextafter(exact, std::numeric_limits<float>::infinity()) - exact;
    ASSERT_NEAR(exp_nonpositive(splat(x))[5], exact, 2.0F * unit) << x;
  }
  EXPECT_EQ(exp_nonpositive(splat(0.0F))[0], 1.0F);
  EXPECT_EQ(exp_nonpositive(splat(-88.0F))[0], 0.0F);
  EXPECT_EQ(exp_nonpositive(splat(kHidden))[0], 0.0F);
  EXPECT_TRUE(std::isnan(exp_nonpositive(splat(std::numeric_limits<float>::quiet_NaN()))[0]));
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
