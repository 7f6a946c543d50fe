// Conversions between E4M3 bytes and the types attention computes in, for every architecture: cuda_fp8.h
// falls back to integer code where there is no instruction (before sm_89).
#pragma once

#include <cuda_fp16.h>
#include <cuda_fp8.h>

#include <cstdint>

namespace gptj::cuda {

// Two E4M3 bytes (low byte first) to two halves, exactly.
__device__ __forceinline__ std::uint32_t e4m3x2_to_half2(std::uint16_t pair) {
  const __half2_raw raw = __nv_cvt_fp8x2_to_halfraw2(pair, __NV_E4M3);
  return static_cast<std::uint32_t>(raw.x) | (static_cast<std::uint32_t>(raw.y) << 16);
}

// Four E4M3 bytes of a word to two words of halves, in order.
__device__ __forceinline__ uint2 e4m3x4_to_half4(std::uint32_t word) {
  return make_uint2(e4m3x2_to_half2(static_cast<std::uint16_t>(word & 0xFFFFU)),
                    e4m3x2_to_half2(static_cast<std::uint16_t>(word >> 16)));
}

// Rounded to nearest even, saturating at +-448.
__device__ __forceinline__ std::uint16_t to_e4m3x2(float low, float high) {
  return __nv_cvt_float2_to_fp8x2(make_float2(low, high), __NV_SATFINITE, __NV_E4M3);
}

}  // namespace gptj::cuda
