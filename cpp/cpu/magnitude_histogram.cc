#include "cpu/magnitude_histogram.h"

#include <algorithm>
#include <bit>

namespace gptj::cpu {

void MagnitudeHistogram::add(std::span<const float> values) {
  std::uint32_t largest = largest_;
  for (const float value : values) {
    const std::uint32_t bits = std::bit_cast<std::uint32_t>(value) & 0x7FFFFFFFU;
    largest = std::max(largest, bits);
    const std::uint32_t bin = std::max(bits >> kDroppedBits, kFirstEdge) - kFirstEdge;
    ++counts_[std::min<std::size_t>(bin, kBins - 1)];
  }
  largest_ = largest;
  count_ += values.size();
}

void MagnitudeHistogram::add(const MagnitudeHistogram& other) {
  for (std::size_t bin = 0; bin < kBins; ++bin) counts_[bin] += other.counts_[bin];
  count_ += other.count_;
  largest_ = std::max(largest_, other.largest_);
}

void MagnitudeHistogram::clear() {
  std::fill(counts_.begin(), counts_.end(), 0);
  count_ = 0;
  largest_ = 0;
}

float MagnitudeHistogram::maximum() const { return std::bit_cast<float>(largest_); }

float MagnitudeHistogram::bound(std::uint64_t one_in) const {
  const std::uint64_t rank = count_ - count_ / one_in;
  std::uint64_t below = 0;
  for (std::uint32_t bin = 0; bin + 1 < kBins; ++bin) {
    below += counts_[bin];
    if (below >= rank) {
      const float edge = std::bit_cast<float>((kFirstEdge + bin + 1) << kDroppedBits);
      return std::min(edge, maximum());
    }
  }
  return maximum();
}

}  // namespace gptj::cpu
