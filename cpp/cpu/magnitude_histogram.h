// How large the elements of a tensor are, over as many of them as there may be, in bounded memory.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace gptj::cpu {

// Counts |x| in bins that are as wide as floats with 8 bits of mantissa are apart, 1/256 of a binade, from
// 2^-32 to 2^32; the first bin also takes what is smaller, the last one what is larger. The maximum is exact.
// Sums of counts do not depend on their order, so a tensor may be added in any parts and by any number of
// threads.
class MagnitudeHistogram {
 public:
  MagnitudeHistogram() : counts_(kBins, 0) {}

  void add(std::span<const float> values);
  void add(const MagnitudeHistogram& other);
  void clear();

  std::uint64_t count() const { return count_; }
  // Whether every value was a number and no infinity; the figures below mean nothing otherwise.
  bool finite() const { return largest_ < kInfinity; }
  float maximum() const;

  // A bound that at most one in `one_in` magnitudes exceeds: 1000 gives the 99.9th percentile. With n
  // magnitudes in ascending order the percentile is number n - floor(n / one_in), counted from 1; the bound
  // is the upper edge of that one's bin, or the maximum where that is less. It is never below the
  // percentile, and above it by a share of at most 2^-8 (between 2^-32 and 2^32). 0 of no values.
  float bound(std::uint64_t one_in) const;

 private:
  // A float's bits without the sign order like its magnitude. A bin takes those that agree in the exponent
  // and the leading 8 bits of the mantissa.
  static constexpr int kDroppedBits = 15;
  static constexpr std::uint32_t kInfinity = 0x7F800000U;
  static constexpr std::uint32_t kFirstEdge = (127U - 32U) << 8;  // 2^-32
  static constexpr std::size_t kBins = 64U * 256U;

  std::vector<std::uint64_t> counts_;  // [kBins]
  std::uint64_t count_ = 0;
  std::uint32_t largest_ = 0;  // bits of the largest magnitude; those of NaN are above infinity's
};

}  // namespace gptj::cpu
