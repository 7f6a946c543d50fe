#include "cuda/step_profile.h"

#include <cstdio>

namespace gptj::cuda {
namespace {

const char* to_text(Part part) {
  switch (part) {
    case Part::kEmbedding:
      return "embedding";
    case Part::kNorm:
      return "layer norm";
    case Part::kQkvProduct:
      return "product of Q, K, V";
    case Part::kRotary:
      return "rotary embedding, append";
    case Part::kDecodeAttention:
      return "decode attention";
    case Part::kPrefillAttention:
      return "prefill attention";
    case Part::kMlpProduct:
      return "product into the MLP, GELU";
    case Part::kJoinedProduct:
      return "product back";
    case Part::kLmHead:
      return "LM head";
    case Part::kSearch:
      return "beam search";
    case Part::kIdle:
      return "between steps";
  }
  return "?";
}

float between(const Event& begin, const Event& end) {
  float milliseconds = 0.0F;
  GPTJ_CUDA_CHECK(cudaEventElapsedTime(&milliseconds, begin.get(), end.get()));
  return milliseconds;
}

}  // namespace

void StepProfile::begin(std::size_t depth, int rows, cudaStream_t stream) {
  // One more than are open, so that the gap in front of the oldest one can be read too.
  if (steps_.empty()) steps_.resize(depth + 1);
  Step& step = steps_[begun_ % steps_.size()];
  if (begun_ >= depth) {
    const Step* before = begun_ > depth ? &step : nullptr;
    const Step& oldest = steps_[(begun_ + 1) % steps_.size()];
    add_up(oldest, before);
  }
  step.used = 0;
  step.parts.clear();
  step.rows = rows;
  record(step, stream);
  ++begun_;
}

void StepProfile::mark(Part part, cudaStream_t stream) {
  Step& step = steps_[(begun_ - 1) % steps_.size()];
  step.parts.push_back(part);
  record(step, stream);
}

void StepProfile::record(Step& step, cudaStream_t stream) {
  if (step.used == step.events.size()) step.events.push_back(std::make_unique<Event>(true));
  GPTJ_CUDA_CHECK(cudaEventRecord(step.events[step.used]->get(), stream));
  ++step.used;
}

void StepProfile::add_up(const Step& step, const Step* before) {
  for (std::size_t i = 0; i + 1 < step.used; ++i) {
    milliseconds_[static_cast<std::size_t>(step.parts[i])] += between(*step.events[i], *step.events[i + 1]);
  }
  if (before != nullptr && before->used > 0 && step.used > 0) {
    milliseconds_[static_cast<std::size_t>(Part::kIdle)] +=
        between(*before->events[before->used - 1], *step.events[0]);
  }
  ++counted_;
  rows_ += static_cast<std::uint64_t>(step.rows);
}

std::string StepProfile::to_text() const {
  if (counted_ == 0) return "no step was timed\n";
  double total = 0.0;
  for (const double part : milliseconds_) total += part;
  const auto steps = static_cast<double>(counted_);
  std::array<char, 128> line{};
  std::snprintf(line.data(), line.size(), "%llu steps of %.0f rows, %.2f ms each:\n",
                static_cast<unsigned long long>(counted_), static_cast<double>(rows_) / steps, total / steps);
  std::string text = line.data();
  for (std::size_t i = 0; i < kParts; ++i) {
    std::snprintf(line.data(), line.size(), "  %-27s %8.3f ms  %5.1f %%\n",
                  cuda::to_text(static_cast<Part>(i)), milliseconds_[i] / steps,
                  total > 0.0 ? 100.0 * milliseconds_[i] / total : 0.0);
    text += line.data();
  }
  return text;
}

}  // namespace gptj::cuda
