// Where an engine of lower precision rounds, for a double-precision reference that rounds in the same places:
// what then still differs is the order of sums, and what that order makes of a value between two others.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <vector>

namespace gptj::testing {

enum class NumberFormat : std::uint8_t { kExact, kF16, kBf16, kE4M3 };

// `significant` bits, one of them implicit; below 2^`lowest` the distance of two numbers stays the same.
inline double round_to(double x, int significant, int lowest) {
  if (x == 0.0 || !std::isfinite(x)) return x;
  const double step = std::ldexp(1.0, std::max(std::ilogb(x), lowest) - significant + 1);
  return std::nearbyint(x / step) * step;  // to nearest, halves to even
}

inline double round_to(double x, NumberFormat format) {
  switch (format) {
    case NumberFormat::kExact:
      return x;
    case NumberFormat::kF16:
      return round_to(x, 11, -14);
    case NumberFormat::kBf16:
      return round_to(x, 8, -126);
    case NumberFormat::kE4M3:  // saturates, as the engine's conversions do
      return round_to(std::clamp(x, -448.0, 448.0), 4, -6);
  }
  return x;
}

// What stored numbers stand for: E4M3 numbers are multiplied with a scale, so that 448 stands for `range`.
struct Stored {
  NumberFormat format = NumberFormat::kExact;
  double range = 448.0;

  double operator()(double x) const {
    if (format != NumberFormat::kE4M3) return round_to(x, format);
    const double scale = range / 448.0;
    return round_to(x / scale, format) * scale;
  }
};

// The names are those of GPT-J's parts in cpp/cuda/weights.h; matrices in E4M3 have the range of their
// largest element.
struct Arithmetic {
  NumberFormat vocabulary = NumberFormat::kExact;  // embedding, LM head, and the norm in front of it
  NumberFormat residual = NumberFormat::kExact;    // with Q, K and V as their product gives them, and vectors
  NumberFormat matrix = NumberFormat::kExact;      // of the layers
  Stored normed;                                   // what Q, K, V and the MLP are computed from
  Stored joined;                                   // what the two projections back are computed from
  Stored keys;
  Stored values;
  // Each sum of a product is off by this times the root of its summands' squares, at random: sums in another
  // order, in accumulators of few bits.
  double noise = 0.0;
  std::uint32_t noise_seed = 0;

  static Arithmetic exact() { return {}; }

  // The CUDA engine's fp16.
  static Arithmetic fp16() {
    constexpr Stored kHalf{.format = NumberFormat::kF16};
    return {.vocabulary = NumberFormat::kF16,
            .residual = NumberFormat::kF16,
            .matrix = NumberFormat::kF16,
            .normed = kHalf,
            .joined = kHalf,
            .keys = kHalf,
            .values = kHalf};
  }

  // The CUDA engine's fp8 with the ranges that it takes without a calibration.
  static Arithmetic fp8() {
    const auto e4m3 = [](double range) { return Stored{.format = NumberFormat::kE4M3, .range = range}; };
    return {.vocabulary = NumberFormat::kF16,
            .residual = NumberFormat::kF16,
            .matrix = NumberFormat::kE4M3,
            .normed = e4m3(64.0),
            .joined = e4m3(112.0),
            .keys = e4m3(64.0),
            .values = e4m3(32.0)};
  }

  // The CPU engine's bf16: products and cache in bf16, the residual stream in float.
  static Arithmetic bf16() {
    constexpr Stored kBf16{.format = NumberFormat::kBf16};
    return {.vocabulary = NumberFormat::kBf16,
            .matrix = NumberFormat::kBf16,
            .normed = kBf16,
            .joined = kBf16,
            .keys = kBf16,
            .values = kBf16};
  }

  Arithmetic with_noise(double size, std::uint32_t seed) const {
    Arithmetic noisy = *this;
    noisy.noise = size;
    noisy.noise_seed = seed;
    return noisy;
  }
};

}  // namespace gptj::testing
