// LoadGen's query sample library over a SampleSet. All samples are in memory for the whole run, so that
// loading and unloading have nothing to do.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include <query_sample_library.h>
#include "harness/sample_set.h"

namespace gptj {

class SampleLibrary final : public mlperf::QuerySampleLibrary {
 public:
  // `performance_samples` of 0 stands for all.
  SampleLibrary(std::string name, const SampleSet& samples, std::size_t performance_samples);

  const std::string& Name() override { return name_; }
  std::size_t TotalSampleCount() override { return total_; }
  std::size_t PerformanceSampleCount() override { return performance_; }
  void LoadSamplesToRam(const std::vector<mlperf::QuerySampleIndex>&) override {}
  void UnloadSamplesFromRam(const std::vector<mlperf::QuerySampleIndex>&) override {}

 private:
  std::string name_;
  std::size_t total_;
  std::size_t performance_;
};

}  // namespace gptj
