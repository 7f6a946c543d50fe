// How both attention kernels store their results.
#pragma once

#include <cstdint>

#include "cuda/kernels/attention.h"
#include "cuda/kernels/fp8.cuh"
#include "cuda/kernels/mma.cuh"

namespace gptj::cuda {

// Four neighbouring columns, the first of them a multiple of 4.
__device__ __forceinline__ void store_four(const AttentionOutput& output, std::int64_t row, int column,
                                           const float4& v) {
  const std::int64_t index = row * output.row_stride + column;
  if (output.type == ElementType::kF16) {
    *reinterpret_cast<uint2*>(static_cast<__half*>(output.data) + index) =
        make_uint2(pack_half2(v.x, v.y), pack_half2(v.z, v.w));
  } else {
    const float inverse = 1.0F / output.scale;
    const std::uint32_t low = to_e4m3x2(v.x * inverse, v.y * inverse);
    const std::uint32_t high = to_e4m3x2(v.z * inverse, v.w * inverse);
    *reinterpret_cast<std::uint32_t*>(static_cast<std::uint8_t*>(output.data) + index) = low | (high << 16);
  }
}

}  // namespace gptj::cuda
