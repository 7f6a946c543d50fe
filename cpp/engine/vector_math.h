// Sixteen floats at a time, through the compiler's vector extension: one register with AVX-512, two with
// AVX2, four with SSE2. The same source compiles for each instruction set; every lane's arithmetic is the
// same in all of them up to fused multiply-add.
//
// Everything here is inlined by force: files compiled for different instruction sets include it, and the
// linker must not pick one file's copy of a function for all of them.
#pragma once

#include <cstdint>
#include <cstring>

// Vectors wider than the target's registers have no stable calling convention; nothing here is ever called.
#pragma GCC diagnostic ignored "-Wpsabi"

#define GPTJ_INLINE [[gnu::always_inline]] static inline

namespace gptj {

using Float16 = float __attribute__((vector_size(64)));
using Int16 = std::int32_t __attribute__((vector_size(64)));
using Short16 = std::uint16_t __attribute__((vector_size(32)));

inline constexpr int kLanes = 16;

GPTJ_INLINE Float16 load(const float* from) {
  Float16 value;
  std::memcpy(&value, from, sizeof value);
  return value;
}

GPTJ_INLINE void store(float* to, Float16 value) { std::memcpy(to, &value, sizeof value); }

// bfloat16 is the upper half of a float.
GPTJ_INLINE Float16 load(const std::uint16_t* from) {
  Short16 halves;
  std::memcpy(&halves, from, sizeof halves);
  const Int16 bits = __builtin_convertvector(halves, Int16) << 16;
  Float16 value;
  std::memcpy(&value, &bits, sizeof value);
  return value;
}

// Rounds to nearest, ties to even. NaN stays NaN: the rounding carry cannot clear an all-ones exponent with a
// mantissa whose quiet bit is set, and the arithmetic here produces quiet NaNs only.
GPTJ_INLINE std::uint16_t to_bf16(float value) {
  std::uint32_t bits;
  std::memcpy(&bits, &value, sizeof bits);
  if ((bits & 0x7FFFFFFFU) > 0x7F800000U) return static_cast<std::uint16_t>((bits >> 16) | 0x40U);
  return static_cast<std::uint16_t>((bits + 0x7FFFU + ((bits >> 16) & 1U)) >> 16);
}

GPTJ_INLINE float from_bf16(std::uint16_t half) {
  const std::uint32_t bits = static_cast<std::uint32_t>(half) << 16;
  float value;
  std::memcpy(&value, &bits, sizeof value);
  return value;
}

GPTJ_INLINE Float16 splat(float value) { return Float16{} + value; }

GPTJ_INLINE Float16 max(Float16 a, Float16 b) { return a > b ? a : b; }

GPTJ_INLINE float sum(Float16 value) {
  float total = 0.0F;
  for (int lane = 0; lane < kLanes; ++lane) total += value[lane];
  return total;
}

GPTJ_INLINE float max(Float16 value) {
  float largest = value[0];
  for (int lane = 1; lane < kLanes; ++lane) largest = value[lane] > largest ? value[lane] : largest;
  return largest;
}

// e^x for x <= 0 (the softmax's range), within 2 units in the last place; 0 below the smallest normal result.
// x = n ln 2 + r with |r| <= ln 2 / 2, e^r by its Taylor polynomial of degree 7, 2^n by the exponent bits.
GPTJ_INLINE Float16 exp_nonpositive(Float16 x) {
  const Float16 lowest = splat(-87.0F);
  const auto underflow = x < lowest;
  const Float16 clamped = underflow ? lowest : x;
  const Float16 scaled = clamped * 1.44269504088896341F - 0.5F;
  const Int16 n =
      __builtin_convertvector(scaled, Int16);  // towards zero, which rounds these non-positive to nearest
  const Float16 nf = __builtin_convertvector(n, Float16);
  // ln 2 in two parts, so that n ln 2 is exact to more bits than a float has.
  const Float16 r = (clamped - nf * 0.693359375F) + nf * 2.12194440e-4F;
  Float16 p = splat(1.0F / 5040.0F);
  p = p * r + 1.0F / 720.0F;
  p = p * r + 1.0F / 120.0F;
  p = p * r + 1.0F / 24.0F;
  p = p * r + 1.0F / 6.0F;
  p = p * r + 0.5F;
  p = p * r + 1.0F;
  p = p * r + 1.0F;
  const Int16 exponent = (n + 127) << 23;
  Float16 power;
  std::memcpy(&power, &exponent, sizeof power);
  const Float16 result = p * power;
  // NaN compares false with everything above and comes out as NaN through r.
  return underflow ? Float16{} : result;
}

}  // namespace gptj
