// Two kinds of layers that claim to compute the same, bit for bit, in one scene.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <random>
#include <vector>

#include "cuda/network_scene.h"
#include "synthetic_model.h"

namespace gptj::testing {

// Plays the scene that `seed` gives with the CUDA engine's own layers and with those of `other`.
inline void expect_same_logits(const SceneShape& shape, std::uint32_t seed, const cuda::LayersSource& other) {
  const SyntheticModel weights(shape.model, seed, shape.generation.eos_token, 1.0F);
  std::mt19937 own_random(seed);
  std::mt19937 other_random(seed);
  NetworkScene own_scene(shape, weights, own_random);
  NetworkScene other_scene(shape, weights, other_random, other);
  std::size_t rows = 0;
  for (int step = 1; !own_scene.is_done(); ++step) {
    const std::vector<NetworkScene::Row> own = own_scene.step();
    const std::vector<NetworkScene::Row> others = other_scene.step();
    ASSERT_FALSE(::testing::Test::HasFatalFailure());
    ASSERT_EQ(own.size(), others.size());
    for (std::size_t row = 0; row < own.size(); ++row) {
      ASSERT_EQ(own[row].text, others[row].text) << "step " << step << ", row " << row;
      std::size_t different = 0;
      float farthest = 0.0F;
      for (std::size_t i = 0; i < own[row].logits.size(); ++i) {
        const float a = own[row].logits[i];
        const float b = others[row].logits[i];
        if (std::memcmp(&a, &b, sizeof a) == 0) continue;
        ++different;
        farthest = std::max(farthest, std::abs(a - b));
      }
      ASSERT_EQ(different, 0U) << "of " << own[row].logits.size() << " logits in step " << step << ", row "
                               << row << ", by " << farthest << " at most";
    }
    rows += own.size();
  }
  EXPECT_TRUE(other_scene.is_done());
  EXPECT_GE(rows, static_cast<std::size_t>(2 * shape.requests));
}

}  // namespace gptj::testing
