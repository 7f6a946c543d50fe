// Elements of fake_cuda.h's memory: what the engine stores as fp16 and E4M3, read and written as floats.
#pragma once

#include <cuda_fp16.h>
#include <cuda_fp8.h>

#include <cstddef>

#include "cuda/kernels/types.h"

namespace gptj::testing {

inline float half_at(const void* data, std::size_t index) {
  return __half2float(static_cast<const __half*>(data)[index]);
}

inline void put_half(void* data, std::size_t index, float value) {
  static_cast<__half*>(data)[index] = __float2half_rn(value);
}

inline float element_at(const void* data, std::size_t index, cuda::ElementType type) {
  if (type == cuda::ElementType::kF16) return half_at(data, index);
  return static_cast<float>(static_cast<const __nv_fp8_e4m3*>(data)[index]);
}

inline void put_element(void* data, std::size_t index, float value, cuda::ElementType type) {
  if (type == cuda::ElementType::kF16)
    put_half(data, index, value);
  else
    static_cast<__nv_fp8_e4m3*>(data)[index] = __nv_fp8_e4m3(value);  // nearest, saturates at +-448
}

}  // namespace gptj::testing
