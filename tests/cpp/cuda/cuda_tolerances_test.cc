// The figures of tolerances.h, without a GPU: what rounding where the engine rounds, and sums that are off as
// in its accumulators, do to logits in double precision.
#include "cuda/tolerances.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <random>
#include <string>
#include <vector>

#include "reference_gptj.h"
#include "synthetic_model.h"

namespace gptj::testing {
namespace {

double deviation_of(const std::vector<double>& values) {
  double mean = 0.0;
  for (const double value : values) mean += value / static_cast<double>(values.size());
  double variance = 0.0;
  for (const double value : values)
    variance += (value - mean) * (value - mean) / static_cast<double>(values.size());
  return std::sqrt(variance);
}

double log_total(const std::vector<double>& logits) {
  const double largest = *std::ranges::max_element(logits);
  double total = 0.0;
  for (const double logit : logits) total += std::exp(logit - largest);
  return largest + std::log(total);
}

struct Worst {
  double exact_rms = 0.0, exact_max = 0.0, same_rms = 0.0, same_max = 0.0;
  double log_squares = 0.0;  // of log-probabilities that a search may meet
  double logs = 0.0;

  double log_rms() const { return std::sqrt(log_squares / logs); }
};

void compare(const std::vector<double>& one, const std::vector<double>& other, double& rms, double& max) {
  const double deviation = deviation_of(other);
  double squares = 0.0;
  for (std::size_t i = 0; i < one.size(); ++i) {
    const double off = std::abs(one[i] - other[i]) / deviation;
    max = std::max(max, off);
    squares += off * off / static_cast<double>(one.size());
  }
  rms = std::max(rms, std::sqrt(squares));
}

// Adds what the engine's arithmetic does to a few texts with this model.
void measure(const Tolerance& tolerance, const ModelConfig& model, Worst& worst) {
  const SyntheticModel weights(model, 41);
  ReferenceGptJ exact(model, weights);
  ReferenceGptJ same(model, weights, tolerance.arithmetic);
  ReferenceGptJ engine(model, weights, tolerance.arithmetic.with_noise(tolerance.noise, 42));
  std::mt19937 random(43);
  for (const std::size_t length : {1U, 2U, 9U, 33U}) {
    std::vector<TokenId> text;
    for (std::size_t i = 0; i < length; ++i)
      text.push_back(static_cast<TokenId>(random() % static_cast<std::uint32_t>(model.vocab_size)));
    const std::vector<double>& logits = engine.logits(text);
    compare(logits, exact.logits(text), worst.exact_rms, worst.exact_max);
    if (model.n_layer == 1) compare(logits, same.logits(text), worst.same_rms, worst.same_max);
    if (model.n_layer > 2) continue;  // near ties are judged on two layers
    const std::vector<double>& others = same.logits(text);
    const double total = log_total(logits);
    const double other_total = log_total(others);
    for (std::size_t i = 0; i < logits.size(); ++i) {
      const double log = others[i] - other_total;
      if (log < -6.0) continue;
      const double off = logits[i] - total - log;
      worst.log_squares += off * off;
      worst.logs += 1.0;
    }
  }
}

void expect_derived(const char* what, double tolerance, double measured) {
  EXPECT_LE(measured, tolerance) << what;
  EXPECT_GE(4.0 * measured, tolerance) << what;
}

TEST(Tolerances, AreWhatTheArithmeticGives) {
  const std::vector<ModelConfig> models{
      {101, 1, 128, 2, 256, 64, 16},  {67, 2, 128, 2, 256, 64, 16},   {503, 3, 128, 2, 512, 64, 64},
      {257, 1, 256, 2, 512, 64, 64},  {257, 2, 128, 1, 176, 64, 128}, {101, 3, 256, 2, 512, 64, 64},
      {501, 1, 256, 1, 256, 64, 64},  {101, 2, 256, 1, 320, 64, 64},  {501, 3, 256, 1, 1024, 64, 64},
      {50401, 1, 64, 1, 256, 64, 64}, {5003, 3, 64, 1, 512, 64, 64},
  };
  for (const Tolerance* tolerance : {&kFp16, &kFp8}) {
    SCOPED_TRACE(tolerance == &kFp16 ? "fp16" : "fp8");
    Worst worst;
    for (const ModelConfig& model : models) measure(*tolerance, model, worst);
    expect_derived("exact_rms", tolerance->exact_rms, worst.exact_rms);
    expect_derived("exact_max", tolerance->exact_max, worst.exact_max);
    expect_derived("same_rms", tolerance->same_rms, worst.same_rms);
    expect_derived("same_max", tolerance->same_max, worst.same_max);
    expect_derived("slack", tolerance->slack, 4.0 * worst.log_rms());
  }
}

}  // namespace
}  // namespace gptj::testing
