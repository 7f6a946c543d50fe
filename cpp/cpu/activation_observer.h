// What calibration sees of a forward pass: the activations that an 8-bit engine stores.
#pragma once

#include <cstddef>
#include <cstdint>

namespace gptj::cpu {

// In the order of the CUDA engine's ActivationScales (cpp/cuda/weights.h) and of `fp8.activation_ranges`.
enum class Activation : std::uint8_t {
  kNormed,  // output of the layer norm: input of Q, K, V and of the MLP
  kJoined,  // output of attention, and of GELU: input of both projections back
  kKeys,    // after the rotary embedding, as they go to the cache
  kValues,
};
inline constexpr std::size_t kActivationCount = 4;

// A matrix with `stride` elements from one row to the next.
struct ActivationRows {
  const float* data = nullptr;
  std::int32_t rows = 0;
  std::int32_t columns = 0;
  std::int64_t stride = 0;
};

class ActivationObserver {
 public:
  virtual ~ActivationObserver() = default;

  // Called in the middle of a forward pass, from the thread that runs it. An activation may come in several
  // parts: kJoined comes twice.
  virtual void observe(std::int32_t layer, Activation activation, const ActivationRows& rows) = 0;
};

}  // namespace gptj::cpu
