// Calibration of a random GPT-J against its definition in double precision.
#include "harness/calibrate.h"

#include <gtest/gtest.h>
#include <omp.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <random>
#include <string>
#include <vector>

#include "cpu/cpu_features.h"
#include "greedy_scheduler.h"
#include "harness_fixture.h"
#include "reference_gptj.h"
#include "synthetic_model.h"

namespace gptj::testing {
namespace {

using cpu::Activation;
using cpu::ActivationRange;
using Prompts = std::vector<std::vector<TokenId>>;
using Ranges = std::vector<ActivationRange>;

constexpr ModelConfig kModel{503, 3, 128, 2, 320, 96, 32};
constexpr TokenId kEnd = 0;
constexpr const char* kNames[] = {"normed", "joined", "keys", "values"};

CalibrationOptions options_for(std::int32_t beam_width, std::int32_t new_tokens) {
  CalibrationOptions options;
  options.engine.engine = "cpu";
  options.engine.precision = "f32";
  options.engine.threads = 2;
  options.engine.max_requests = 4;
  options.engine.max_tokens_per_step = 64;
  options.engine.max_prompt_tokens = 60;
  options.model = kModel;
  options.generation = {.beam_width = beam_width,
                        .min_new_tokens = new_tokens,
                        .max_new_tokens = new_tokens,
                        .eos_token = kEnd};
  return options;
}

Prompts random_prompts(std::size_t count) {
  std::mt19937 random(17);
  std::uniform_int_distribution<TokenId> token(1, kModel.vocab_size - 1);
  std::uniform_int_distribution<std::size_t> length(1, 60);
  Prompts prompts(count);
  for (auto& prompt : prompts) {
    prompt.resize(length(random));
    for (TokenId& each : prompt) each = token(random);
  }
  return prompts;
}

SampleSet sample_set(const Prompts& prompts) {
  std::vector<TokenId> tokens;
  std::vector<std::uint64_t> offsets{0};
  for (const auto& prompt : prompts) {
    tokens.insert(tokens.end(), prompt.begin(), prompt.end());
    offsets.push_back(tokens.size());
  }
  return SampleSet(tokens, offsets, {}, {});
}

Ranges calibrated(const CalibrationOptions& options, const SyntheticModel& weights, const Prompts& prompts) {
  Progress progress;
  return calibrate(options, weights, kGreedy, sample_set(prompts), progress);
}

// The tokens that greedy search, which is a beam of one, puts behind a prompt. The end token is forbidden as
// long as the least is not reached, and here that is the most.
std::vector<TokenId> greedy(const SyntheticModel& weights, std::vector<TokenId> tokens, std::int32_t count) {
  ReferenceGptJ reference(kModel, weights);
  for (std::int32_t i = 0; i < count; ++i) {
    const auto& logits = reference.logits(tokens);
    tokens.push_back(
        static_cast<TokenId>(std::max_element(logits.begin() + 1, logits.end()) - logits.begin()));
  }
  return tokens;
}

// Every magnitude that the definition computes for these sequences, by layer and name.
class Magnitudes {
 public:
  Magnitudes(const SyntheticModel& weights, const Prompts& sequences) {
    for (const auto& sequence : sequences) {
      ReferenceGptJ reference(kModel, weights);  // which reads what sequences have in common only once
      reference.watch([this](std::int32_t layer, std::string_view name, const std::vector<double>& row) {
        auto& all = seen_[{layer, std::string(name)}];
        for (const double value : row) all.push_back(std::abs(value));
      });
      reference.logits(sequence);
    }
    for (auto& [key, all] : seen_) std::sort(all.begin(), all.end());
  }

  const std::vector<double>& sorted(std::int32_t layer, const std::string& name) const {
    return seen_.at({layer, name});
  }

 private:
  std::map<std::pair<std::int32_t, std::string>, std::vector<double>> seen_;
};

void expect_ranges(const Ranges& ranges, const Magnitudes& expected) {
  ASSERT_EQ(ranges.size(), 4U * static_cast<std::size_t>(kModel.n_layer));
  constexpr double kRounding = 1e-4;  // of float against double
  for (std::size_t i = 0; i < ranges.size(); ++i) {
    const ActivationRange& range = ranges[i];
    ASSERT_EQ(range.layer, static_cast<std::int32_t>(i / 4));
    ASSERT_EQ(static_cast<std::size_t>(range.activation), i % 4);
    SCOPED_TRACE(std::string(kNames[i % 4]) + " of layer " + std::to_string(range.layer));
    const auto& sorted = expected.sorted(range.layer, kNames[i % 4]);
    ASSERT_EQ(range.elements, sorted.size());
    EXPECT_NEAR(range.maximum, sorted.back(), sorted.back() * kRounding);
    const auto expect_percentile = [&](double bound, std::size_t one_in) {
      const double percentile = sorted[sorted.size() - sorted.size() / one_in - 1];
      EXPECT_GE(bound, percentile * (1 - kRounding));
      EXPECT_LE(bound, percentile * (1 + 0x1p-8) * (1 + kRounding));
    };
    expect_percentile(range.p99_9, 1000);
    expect_percentile(range.p99_99, 10000);
    EXPECT_LE(range.p99_9, range.p99_99);
    EXPECT_LE(range.p99_99, range.maximum);
  }
}

void expect_same(const Ranges& a, const Ranges& b) {
  ASSERT_EQ(a.size(), b.size());
  for (std::size_t i = 0; i < a.size(); ++i) {
    EXPECT_EQ(a[i].elements, b[i].elements) << i;
    EXPECT_EQ(a[i].maximum, b[i].maximum) << i;
    EXPECT_EQ(a[i].p99_9, b[i].p99_9) << i;
    EXPECT_EQ(a[i].p99_99, b[i].p99_99) << i;
  }
}

TEST(Calibrate, RangesOfPromptsAreThoseOfTheDefinition) {
  const SyntheticModel weights(kModel, 41);
  const Prompts prompts = random_prompts(9);
  // One new token comes from the prompt's last row: nothing is decoded.
  expect_ranges(calibrated(options_for(4, 1), weights, prompts), Magnitudes(weights, prompts));
}

TEST(Calibrate, GeneratedTokensAreSeenToo) {
  constexpr std::int32_t kNewTokens = 7;
  const SyntheticModel weights(kModel, 42);
  const Prompts prompts = random_prompts(5);
  Prompts sequences;
  for (const auto& prompt : prompts) sequences.push_back(greedy(weights, prompt, kNewTokens - 1));
  expect_ranges(calibrated(options_for(1, kNewTokens), weights, prompts), Magnitudes(weights, sequences));
}

TEST(Calibrate, EveryBeamIsSeen) {
  const SyntheticModel weights(kModel, 43);
  const Prompts prompts = random_prompts(6);
  std::size_t rows = 0;
  for (const auto& prompt : prompts) rows += prompt.size() + 4 * (7 - 1);
  for (const ActivationRange& range : calibrated(options_for(4, 7), weights, prompts)) {
    const std::size_t joined = range.activation == Activation::kJoined ? kModel.n_inner : 0;
    EXPECT_EQ(range.elements, rows * (static_cast<std::size_t>(kModel.n_embd) + joined));
  }
}

TEST(Calibrate, BatchingAndThreadsChangeNothing) {
  const SyntheticModel weights(kModel, 44);
  const Prompts prompts = random_prompts(12);
  CalibrationOptions options = options_for(4, 5);
  const Ranges expected = calibrated(options, weights, prompts);
  options.engine.threads = 1;
  expect_same(calibrated(options, weights, prompts), expected);
  options.engine.threads = 3;
  options.engine.max_requests = 1;
  options.engine.max_tokens_per_step = 7;
  expect_same(calibrated(options, weights, prompts), expected);
}

TEST(Calibrate, AnotherEngineOrPrecisionIsRefused) {
  const SyntheticModel weights(kModel, 45);
  CalibrationOptions options = options_for(4, 2);
  options.engine.engine = "fake";
  const auto refused = [&] {
    return error_of([&] { calibrated(options, weights, random_prompts(1)); }, ErrorKind::kInvalidArgument);
  };
  EXPECT_NE(refused().find("`fake`"), std::string::npos);
  options.engine.engine = "cpu";
  options.engine.precision = "bf16";
  EXPECT_NE(refused().find("`bf16`"), std::string::npos);
}

TEST(Calibrate, AStopIsAnError) {
  const SyntheticModel weights(kModel, 46);
  Progress progress;
  progress.stop_requested = true;
  error_of([&] { calibrate(options_for(4, 2), weights, kGreedy, sample_set(random_prompts(3)), progress); },
           ErrorKind::kInterrupted);
}

TEST(Calibrate, NaNIsNamedWithItsLayer) {
  SyntheticModel weights(kModel, 47);
  weights.set("transformer.h.1.attn.v_proj.weight", 5, std::numeric_limits<float>::quiet_NaN());
  const std::string message =
      error_of([&] { calibrated(options_for(4, 2), weights, random_prompts(2)); }, ErrorKind::kNumeric);
  EXPECT_NE(message.find("layer 1: NaN or infinity in the values"), std::string::npos) << message;
}

}  // namespace
}  // namespace gptj::testing
