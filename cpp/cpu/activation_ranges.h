// The ranges of every layer's activations, collected while an engine runs.
#pragma once

#include <cstdint>
#include <vector>

#include "cpu/activation_observer.h"
#include "cpu/magnitude_histogram.h"

namespace gptj::cpu {

// Magnitudes of one activation of one layer.
struct ActivationRange {
  std::int32_t layer = 0;
  Activation activation = Activation::kNormed;
  std::uint64_t elements = 0;  // that were seen
  float maximum = 0.0F;
  float p99_9 = 0.0F;   // MagnitudeHistogram::bound(1000)
  float p99_99 = 0.0F;  // MagnitudeHistogram::bound(10000)
};

// 128 KiB for each layer and activation, however much is seen.
class ActivationRanges final : public ActivationObserver {
 public:
  explicit ActivationRanges(std::int32_t layers);

  // Throws Error(kNumeric) naming layer and activation when there is a NaN or an infinity.
  void observe(std::int32_t layer, Activation activation, const ActivationRows& rows) override;

  // By layer, and in the order of Activation.
  std::vector<ActivationRange> ranges() const;

 private:
  std::vector<MagnitudeHistogram> histograms_;  // [layers, kActivationCount]
  std::vector<MagnitudeHistogram> scratch_;     // one for each thread, of one call
};

}  // namespace gptj::cpu
