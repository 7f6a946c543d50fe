#include "cpu/activation_ranges.h"

#include <omp.h>

#include <cstddef>
#include <string>

#include "gptj/error.h"

namespace gptj::cpu {
namespace {

std::size_t index_of(std::int32_t layer, Activation activation) {
  return static_cast<std::size_t>(layer) * kActivationCount + static_cast<std::size_t>(activation);
}

const char* name_of(Activation activation) {
  switch (activation) {
    case Activation::kNormed:
      return "the layer norm's output";
    case Activation::kJoined:
      return "attention's and GELU's output";
    case Activation::kKeys:
      return "the keys";
    case Activation::kValues:
      return "the values";
  }
  return "an activation";
}

}  // namespace

ActivationRanges::ActivationRanges(std::int32_t layers)
    : histograms_(static_cast<std::size_t>(layers) * kActivationCount) {}

void ActivationRanges::observe(std::int32_t layer, Activation activation, const ActivationRows& rows) {
  MagnitudeHistogram& all = histograms_[index_of(layer, activation)];
  const auto threads = static_cast<std::size_t>(omp_get_max_threads());
  if (scratch_.size() < threads) scratch_.resize(threads);
#pragma omp parallel
  {
    MagnitudeHistogram& own = scratch_[static_cast<std::size_t>(omp_get_thread_num())];
    own.clear();
#pragma omp for schedule(static)
    for (std::int32_t row = 0; row < rows.rows; ++row) {
      own.add(std::span(rows.data + row * rows.stride, static_cast<std::size_t>(rows.columns)));
    }
#pragma omp critical(gptj_activation_ranges)
    all.add(own);
  }
  if (!all.finite()) {
    throw Error(ErrorKind::kNumeric,
                "layer " + std::to_string(layer) + ": NaN or infinity in " + name_of(activation));
  }
}

std::vector<ActivationRange> ActivationRanges::ranges() const {
  std::vector<ActivationRange> ranges;
  ranges.reserve(histograms_.size());
  for (std::size_t index = 0; index < histograms_.size(); ++index) {
    const MagnitudeHistogram& histogram = histograms_[index];
    ranges.push_back({.layer = static_cast<std::int32_t>(index / kActivationCount),
                      .activation = static_cast<Activation>(index % kActivationCount),
                      .elements = histogram.count(),
                      .maximum = histogram.maximum(),
                      .p99_9 = histogram.bound(1000),
                      .p99_99 = histogram.bound(10000)});
  }
  return ranges;
}

}  // namespace gptj::cpu
