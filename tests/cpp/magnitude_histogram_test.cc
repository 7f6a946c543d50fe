// Percentiles of the streaming histogram against sorting everything.
#include "cpu/magnitude_histogram.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <random>
#include <span>
#include <string>
#include <vector>

namespace gptj::testing {
namespace {

using cpu::MagnitudeHistogram;

constexpr std::size_t kSizes[] = {1, 2, 999, 1000, 1001, 1999, 2000, 50000};
constexpr std::uint64_t kOneIn[] = {2, 1000, 10000};
constexpr float kFirstBin = 0x1.01p-32F;  // its upper edge

MagnitudeHistogram of(std::span<const float> values) {
  MagnitudeHistogram histogram;
  histogram.add(values);
  return histogram;
}

// What the histogram stands in for: the smallest magnitude that at most n / one_in others exceed.
float exact(std::vector<float> values, std::uint64_t one_in) {
  for (float& value : values) value = std::abs(value);
  std::sort(values.begin(), values.end());
  return values[values.size() - values.size() / one_in - 1];
}

void expect_close_to_sorting(const std::string& name, const std::function<float()>& draw) {
  for (const std::size_t size : kSizes) {
    std::vector<float> values(size);
    for (float& value : values) value = draw();
    const MagnitudeHistogram histogram = of(values);
    SCOPED_TRACE(name + ", " + std::to_string(size));
    EXPECT_EQ(histogram.count(), size);
    EXPECT_TRUE(histogram.finite());
    const float largest = exact(values, size + 1);
    EXPECT_EQ(histogram.maximum(), largest);
    for (const std::uint64_t one_in : kOneIn) {
      const float percentile = exact(values, one_in);
      EXPECT_GE(histogram.bound(one_in), percentile) << one_in;
      EXPECT_LE(histogram.bound(one_in), std::max(percentile * (1.0F + 0x1p-8F), kFirstBin)) << one_in;
      EXPECT_LE(histogram.bound(one_in), largest) << one_in;
    }
  }
}

TEST(MagnitudeHistogram, PercentilesAreThoseOfSortingUpToTheWidthOfABin) {
  std::mt19937 random(7);
  std::normal_distribution<float> normal(0.3F, 2.0F);
  std::lognormal_distribution<float> heavy(0.0F, 4.0F);
  std::uniform_real_distribution<float> tiny(-1e-20F, 1e-20F);
  std::uniform_int_distribution<int> sparse(0, 1500);
  expect_close_to_sorting("normal", [&] { return normal(random); });
  expect_close_to_sorting("heavy tail", [&] { return -heavy(random); });
  expect_close_to_sorting("below the first edge", [&] { return tiny(random); });
  expect_close_to_sorting("all the same", [] { return -3.0F; });
  expect_close_to_sorting("zero", [] { return 0.0F; });
  expect_close_to_sorting("mostly zero", [&] { return sparse(random) == 0 ? 5.0F : 0.0F; });
}

TEST(MagnitudeHistogram, WhatIsBeyondTheLastEdgeIsBoundByTheMaximum) {
  const std::vector<float> values{1.0F, 0x1p33F, -0x1p100F};
  EXPECT_EQ(of(values).maximum(), 0x1p100F);
  EXPECT_EQ(of(values).bound(1000), 0x1p100F);
  EXPECT_EQ(of(values).bound(2), 0x1p100F) << "2^33 is in the last bin too";
  EXPECT_LE(of(values).bound(1), 1.0F + 0x1p-8F);
}

TEST(MagnitudeHistogram, PartsAddUp) {
  std::mt19937 random(8);
  std::normal_distribution<float> normal;
  std::vector<float> values(30000);
  for (float& value : values) value = normal(random);
  const std::span<const float> all(values);
  MagnitudeHistogram sum = of(all.subspan(20000));
  sum.add(of(all.first(11)));
  sum.add(all.subspan(11, 20000 - 11));
  EXPECT_EQ(sum.count(), 30000U);
  EXPECT_EQ(sum.maximum(), of(all).maximum());
  for (std::uint64_t one_in = 2; one_in < 40000; one_in += one_in / 2 + 1)
    EXPECT_EQ(sum.bound(one_in), of(all).bound(one_in)) << one_in;
  sum.clear();
  EXPECT_EQ(sum.count(), 0U);
  EXPECT_EQ(sum.bound(1000), 0.0F);
}

TEST(MagnitudeHistogram, TellsNaNAndInfinity) {
  constexpr float kInfinity = std::numeric_limits<float>::infinity();
  for (const float bad : {kInfinity, -kInfinity, std::nanf(""), -std::nanf("")}) {
    EXPECT_FALSE(of(std::vector<float>{1.0F, bad, 2.0F}).finite()) << bad;
    MagnitudeHistogram sum = of(std::vector<float>{1.0F});
    sum.add(of(std::vector<float>{bad}));
    EXPECT_FALSE(sum.finite()) << bad;
  }
  EXPECT_TRUE(of(std::vector<float>{std::numeric_limits<float>::max()}).finite());
}

}  // namespace
}  // namespace gptj::testing
