// The CPU engine's forward pass: its logits against double precision, and bit for bit against itself.
#include "cpu/network.h"

#include <gtest/gtest.h>
#include <omp.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "cpu/cpu_features.h"
#include "cpu/kernels.h"
#include "reference_gptj.h"
#include "synthetic_model.h"

namespace gptj::testing {
namespace {

using cpu::ComputeType;

constexpr std::int32_t kBlock = 16;
constexpr std::int32_t kMaxRows = 192;

struct NetworkCase {
  std::string name;
  ModelConfig model;
  ComputeType compute = ComputeType::kF32;
  double tolerance = 0.0;  // of a logit; they have a deviation of about 2
};

void PrintTo(const NetworkCase& network, std::ostream* out) { *out << network.name; }

std::vector<NetworkCase> cases() {
  const ModelConfig heads_of_64{503, 3, 128, 2, 512, 96, 32};
  const ModelConfig heads_of_256{257, 2, 512, 2, 320, 96, 64};
  std::vector<NetworkCase> cases{{"f32_heads_of_64", heads_of_64, ComputeType::kF32, 1e-4},
                                 {"f32_heads_of_256", heads_of_256, ComputeType::kF32, 1e-4}};
  if (cpu_supports("bf16")) {
    cases.push_back({"bf16_heads_of_64", heads_of_64, ComputeType::kBf16, 0.25});
    cases.push_back({"bf16_heads_of_256", heads_of_256, ComputeType::kBf16, 0.25});
  }
  return cases;
}

// A prompt that is being read.
struct Reading {
  std::vector<TokenId> tokens;
  std::vector<std::int32_t> blocks;
  std::int32_t read = 0;
};

class CpuNetwork : public ::testing::TestWithParam<NetworkCase> {
 protected:
  CpuNetwork() : weights_(GetParam().model, 31) {
    omp_set_num_threads(2);
    const ModelConfig& model = GetParam().model;
    network_ = cpu::make_network(model, weights_,
                                 {.compute = GetParam().compute,
                                  .max_rows = kMaxRows,
                                  .max_logit_rows = kMaxRows,
                                  .max_cache_rows = model.n_positions,
                                  .beam_width = 4});
    const std::size_t bytes = GetParam().compute == ComputeType::kF32 ? 4 : 2;
    cache_ = std::make_unique<cpu::KvCache>(cpu::KvCacheShape{.layers = model.n_layer,
                                                              .heads = model.n_head,
                                                              .head_dim = model.head_dim(),
                                                              .blocks = 40,
                                                              .block_size = kBlock,
                                                              .element_bytes = bytes});
  }

  Reading prompt(std::size_t tokens, std::uint32_t seed) {
    std::mt19937 random(seed);
    Reading reading;
    for (std::size_t i = 0; i < tokens; ++i) {
      reading.tokens.push_back(
          static_cast<TokenId>(random() % static_cast<std::uint32_t>(GetParam().model.vocab_size)));
    }
    reading.blocks = cache_->take(static_cast<std::int32_t>((tokens + kBlock - 1) / kBlock));
    return reading;
  }

  // Adds the next `count` tokens, and asks for the logits of each.
  static void add(cpu::Batch& batch, Reading& reading, std::int32_t count) {
    while (count > 0) {
      const std::int32_t queries = std::min<std::int32_t>(count, cpu::kQueriesPerTask);
      cpu::QueryGroup group;
      group.first_row = batch.rows();
      group.count = queries;
      group.blocks = reading.blocks;
      group.prompt_blocks = static_cast<std::int32_t>(reading.blocks.size());
      group.visible_prompt = reading.read + 1;
      group.causal = true;
      batch.groups.push_back(group);
      for (std::int32_t i = 0; i < queries; ++i) {
        const std::int32_t position = reading.read++;
        batch.logit_rows.push_back(batch.rows());
        batch.tokens.push_back(reading.tokens[static_cast<std::size_t>(position)]);
        batch.positions.push_back(position);
        batch.cache_rows.push_back(
            {reading.blocks[static_cast<std::size_t>(position / kBlock)], position % kBlock});
      }
      count -= queries;
    }
  }

  std::vector<float> forward(const cpu::Batch& batch) {
    const auto logits = network_->forward(batch, *cache_);
    return {logits.begin(), logits.end()};
  }

  // [tokens, vocab] of a prompt read alone, `chunk` tokens at a time.
  std::vector<float> read_alone(std::size_t tokens, std::uint32_t seed, std::int32_t chunk) {
    Reading reading = prompt(tokens, seed);
    std::vector<float> all;
    while (reading.read < static_cast<std::int32_t>(tokens)) {
      cpu::Batch batch;
      add(batch, reading, std::min(chunk, static_cast<std::int32_t>(tokens) - reading.read));
      const std::vector<float> logits = forward(batch);
      all.insert(all.end(), logits.begin(), logits.end());
    }
    cache_->give_back(reading.blocks);
    return all;
  }

  static bool same_bits(const float* a, const std::vector<float>& b) {
    return std::memcmp(a, b.data(), b.size() * sizeof(float)) == 0;
  }

  SyntheticModel weights_;
  std::unique_ptr<cpu::Network> network_;
  std::unique_ptr<cpu::KvCache> cache_;
};

TEST_P(CpuNetwork, LogitsAreThoseOfTheReference) {
  const auto vocab = static_cast<std::size_t>(GetParam().model.vocab_size);
  ReferenceGptJ reference(GetParam().model, weights_);
  const std::vector<float> logits = read_alone(70, 1, 96);
  const Reading same = prompt(70, 1);
  double worst = 0.0;
  for (const std::size_t position : {0U, 1U, 15U, 16U, 40U, 69U}) {
    const auto& expected = reference.logits(
        {same.tokens.begin(), same.tokens.begin() + static_cast<std::ptrdiff_t>(position) + 1});
    for (std::size_t token = 0; token < vocab; ++token) {
      worst =
          std::max(worst, std::abs(static_cast<double>(logits[position * vocab + token]) - expected[token]));
    }
  }
  EXPECT_LT(worst, GetParam().tolerance);
  // A tolerance that any noise stays below would prove nothing.
  EXPECT_GT(worst, GetParam().tolerance * 1e-3);
}

TEST_P(CpuNetwork, LogitsDoNotDependOnTheCutsOfAPrompt) {
  const std::vector<float> whole = read_alone(70, 1, 96);
  for (const std::int32_t chunk : {1, 2, 5, 8, 13, 16, 33, 64, 69}) {
    EXPECT_TRUE(same_bits(whole.data(), read_alone(70, 1, chunk))) << "chunks of " << chunk;
  }
}

TEST_P(CpuNetwork, LogitsDoNotDependOnWhatSharesTheBatch) {
  const auto vocab = static_cast<std::size_t>(GetParam().model.vocab_size);
  const std::vector<std::size_t> lengths{33, 1, 70, 17, 48};
  std::vector<std::vector<float>> alone;
  for (std::size_t i = 0; i < lengths.size(); ++i)
    alone.push_back(read_alone(lengths[i], static_cast<std::uint32_t>(i), 96));
  std::vector<std::size_t> order{0, 1, 2, 3, 4};
  for (std::uint32_t round = 0; round < 8; ++round) {
    std::ranges::shuffle(order, std::mt19937(round));
    const std::size_t members = 2 + round % 4;
    std::vector<Reading> readings;
    for (std::size_t i = 0; i < members; ++i)
      readings.push_back(prompt(lengths[order[i]], static_cast<std::uint32_t>(order[i])));
    cpu::Batch batch;
    for (Reading& reading : readings) add(batch, reading, static_cast<std::int32_t>(reading.tokens.size()));
    const std::vector<float> together = forward(batch);
    const float* at = together.data();
    for (std::size_t i = 0; i < members; ++i) {
      EXPECT_TRUE(same_bits(at, alone[order[i]])) << "round " << round << ", prompt " << order[i];
      at += lengths[order[i]] * vocab;
    }
    for (const Reading& reading : readings) cache_->give_back(reading.blocks);
  }
}

TEST_P(CpuNetwork, LogitsDoNotDependOnTheNumberOfThreads) {
  const std::vector<float> with_two = read_alone(70, 1, 33);
  omp_set_num_threads(1);
  EXPECT_TRUE(same_bits(with_two.data(), read_alone(70, 1, 33)));
}

INSTANTIATE_TEST_SUITE_P(Cases, CpuNetwork, ::testing::ValuesIn(cases()),
                         [](const auto& info) { return info.param.name; });

}  // namespace
}  // namespace gptj::testing
