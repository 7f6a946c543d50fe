// Where the time of steps goes on the GPU: events between the parts of a step, added up over a run.
#pragma once

#include <cuda_runtime_api.h>

#include <array>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "cuda/memory.h"

namespace gptj::cuda {

enum class Part : std::uint8_t {
  kEmbedding,
  kNorm,
  kQkvProduct,
  kRotary,
  kDecodeAttention,
  kPrefillAttention,
  kMlpProduct,  // with GELU
  kJoinedProduct,
  kLmHead,
  kSearch,
  kIdle,  // between the end of a step and the begin of the next
};
inline constexpr std::size_t kParts = 11;

class StepProfile {
 public:
  StepProfile() = default;

  // All calls in the order of the stream, by one thread. At most `depth` steps are open at a time: begin() of
  // a step reads the events of the step that was begun `depth` steps before, which must be over.
  void begin(std::size_t depth, int rows, cudaStream_t stream);
  // What was enqueued since the last mark belongs to `part`.
  void mark(Part part, cudaStream_t stream);

  // Milliseconds a step for each part, and its share, for people. Waits for nothing: open steps do not count.
  std::string to_text() const;

 private:
  struct Step {
    std::vector<std::unique_ptr<Event>> events;
    std::vector<Part> parts;  // of the interval that ends with events[i + 1]
    std::size_t used = 0;     // events of the present step
    int rows = 0;
  };

  void record(Step& step, cudaStream_t stream);
  void add_up(const Step& step, const Step* before);

  std::vector<Step> steps_;  // a ring
  std::uint64_t begun_ = 0;
  std::array<double, kParts> milliseconds_{};
  std::uint64_t counted_ = 0;
  std::uint64_t rows_ = 0;
};

}  // namespace gptj::cuda
