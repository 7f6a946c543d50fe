#include "harness/sample_library.h"

#include <algorithm>
#include <utility>

namespace gptj {

SampleLibrary::SampleLibrary(std::string name, const SampleSet& samples, std::size_t performance_samples)
    : name_(std::move(name)),
      total_(samples.size()),
      performance_(performance_samples == 0 ? samples.size()
                                            : std::min(performance_samples, samples.size())) {}

}  // namespace gptj
