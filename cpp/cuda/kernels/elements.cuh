// Eight elements at a time, the unit of every pointwise kernel: 16 bytes of fp16, 8 bytes of E4M3.
#pragma once

#include <cuda_fp16.h>
#include <cuda_fp8.h>

#include <cstdint>

#include "cuda/kernels/types.h"

namespace gptj::cuda {

inline constexpr int kVector = 8;

struct alignas(16) HalfVector {
  __half2 pair[4];
};

struct alignas(8) Fp8Vector {
  __nv_fp8x2_storage_t pair[4];
};

// The largest magnitude of E4M3 is 448; what exceeds it is stored as that, NaN as NaN. Infinity, which E4M3
// does not have, becomes NaN as well (infinity * 0 is NaN, any finite value * 0 is 0): it comes from an
// overflow before this store, and saturation must not hide it.
__device__ __forceinline__ __nv_fp8x2_storage_t to_e4m3(float low, float high) {
  const float2 values = make_float2(fmaf(low, 0.0F, low), fmaf(high, 0.0F, high));
  return __nv_cvt_float2_to_fp8x2(values, __NV_SATFINITE, __NV_E4M3);
}

__device__ __forceinline__ HalfVector load_half(const void* from, std::int64_t vector) {
  return static_cast<const HalfVector*>(from)[vector];
}

__device__ __forceinline__ void unpack(const HalfVector& vector, float (&out)[kVector]) {
#pragma unroll
  for (int i = 0; i < 4; ++i) {
    const float2 pair = __half22float2(vector.pair[i]);
    out[2 * i] = pair.x;
    out[2 * i + 1] = pair.y;
  }
}

__device__ __forceinline__ HalfVector pack_half(const float (&values)[kVector]) {
  HalfVector out;
#pragma unroll
  for (int i = 0; i < 4; ++i) out.pair[i] = __floats2half2_rn(values[2 * i], values[2 * i + 1]);
  return out;
}

// Stores eight values at vector index `vector` of `to`, times `inverse_scale` when stored as E4M3.
template <ElementType kType>
__device__ __forceinline__ void store(void* to, std::int64_t vector, const float (&values)[kVector],
                                      float inverse_scale) {
  if constexpr (kType == ElementType::kF16) {
    static_cast<HalfVector*>(to)[vector] = pack_half(values);
  } else {
    Fp8Vector out;
#pragma unroll
    for (int i = 0; i < 4; ++i)
      out.pair[i] = to_e4m3(values[2 * i] * inverse_scale, values[2 * i + 1] * inverse_scale);
    static_cast<Fp8Vector*>(to)[vector] = out;
  }
}

}  // namespace gptj::cuda
