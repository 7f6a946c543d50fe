#include "cpu/cpu_features.h"

#include <gtest/gtest.h>

namespace gptj {
namespace {

TEST(CpuFeatures, F32IsAlwaysThere) { EXPECT_TRUE(cpu_supports("f32")); }

TEST(CpuFeatures, GpuPrecisionsAreNot) {
  EXPECT_FALSE(cpu_supports("fp8"));
  EXPECT_FALSE(cpu_supports(""));
}

}  // namespace
}  // namespace gptj
