// Aligned parts of one allocation.
#pragma once

#include <cstddef>

namespace gptj::cuda {

// `bytes` and what lies between them and the next part.
constexpr std::size_t aligned(std::size_t bytes) {
  constexpr std::size_t kAlignment = 256;
  return (bytes + kAlignment - 1) / kAlignment * kAlignment;
}

// Hands them out.
class Carver {
 public:
  // Without memory it only counts.
  explicit Carver(void* memory) : memory_(static_cast<std::byte*>(memory)) {}

  template <typename T = void>
  T* take(std::size_t bytes) {
    std::byte* part = memory_ == nullptr ? nullptr : memory_ + used_;
    used_ += aligned(bytes);
    return reinterpret_cast<T*>(part);
  }
  std::size_t used() const { return used_; }

 private:
  std::byte* memory_;
  std::size_t used_ = 0;
};

}  // namespace gptj::cuda
