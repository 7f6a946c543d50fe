// What runs once over whole tensors: the largest magnitude, rounding to E4M3, synthetic weights.
#include <algorithm>

#include "cuda/kernels/elements.cuh"
#include "cuda/kernels/pointwise.h"

namespace gptj::cuda {
namespace {

constexpr int kThreads = 256;
constexpr int kMostBlocks = 2048;  // enough to fill any GPU; the rest is the grid-stride loop's

// A thread takes kVector elements at a time. The last, partial vector and data that is not aligned go element
// by element, through the same loop.
unsigned blocks_for(std::int64_t count) {
  const std::int64_t vectors = (count + kVector - 1) / kVector;
  return static_cast<unsigned>(std::min<std::int64_t>((vectors + kThreads - 1) / kThreads, kMostBlocks));
}

bool is_aligned(const void* pointer, std::uintptr_t bytes) {
  return reinterpret_cast<std::uintptr_t>(pointer) % bytes == 0;
}

__device__ __forceinline__ float to_float(__half value) { return __half2float(value); }
__device__ __forceinline__ float to_float(float value) { return value; }

// Eight elements from `index`; what lies behind `count` reads as 0.
template <typename T>
__device__ __forceinline__ void load_eight(const T* data, std::int64_t index, std::int64_t count,
                                           bool aligned, float (&out)[kVector]) {
  if (aligned && index + kVector <= count) {
    if constexpr (sizeof(T) == 2) {
      unpack(load_half(data, index / kVector), out);
    } else {
      const float4 low = reinterpret_cast<const float4*>(data)[index / 4];
      const float4 high = reinterpret_cast<const float4*>(data)[index / 4 + 1];
      out[0] = low.x, out[1] = low.y, out[2] = low.z, out[3] = low.w;
      out[4] = high.x, out[5] = high.y, out[6] = high.z, out[7] = high.w;
    }
    return;
  }
#pragma unroll
  for (int i = 0; i < kVector; ++i) out[i] = index + i < count ? to_float(data[index + i]) : 0.0F;
}

// Magnitudes are compared by their bits, which order like the values and put NaN above infinity: a NaN wins
// and stays.
template <typename T>
__global__ void __launch_bounds__(kThreads)
    absolute_maximum_kernel(const T* data, std::int64_t count, bool aligned, unsigned* result) {
  const std::int64_t step = static_cast<std::int64_t>(gridDim.x) * kThreads * kVector;
  std::int64_t index = (static_cast<std::int64_t>(blockIdx.x) * kThreads + threadIdx.x) * kVector;
  unsigned largest = 0;
  for (; index < count; index += step) {
    float x[kVector];
    load_eight(data, index, count, aligned, x);
#pragma unroll
    for (int i = 0; i < kVector; ++i) largest = max(largest, __float_as_uint(x[i]) & 0x7FFFFFFFU);
  }
#pragma unroll
  for (int offset = 16; offset > 0; offset /= 2)
    largest = max(largest, __shfl_xor_sync(~0U, largest, offset));
  if (threadIdx.x % 32 == 0 && largest > 0) atomicMax(result, largest);
}

template <typename T>
__global__ void __launch_bounds__(kThreads)
    quantise_kernel(const T* in, std::int64_t count, bool aligned, const float* scale, std::uint8_t* out) {
  const float divisor = *scale;
  const std::int64_t step = static_cast<std::int64_t>(gridDim.x) * kThreads * kVector;
  std::int64_t index = (static_cast<std::int64_t>(blockIdx.x) * kThreads + threadIdx.x) * kVector;
  for (; index < count; index += step) {
    float x[kVector];
    load_eight(in, index, count, aligned, x);
    // A real division: weights are rounded once and kept, so they get the nearest E4M3 value of the exact
    // quotient.
#pragma unroll
    for (int i = 0; i < kVector; ++i) x[i] /= divisor;
    if (aligned && index + kVector <= count) {
      store<ElementType::kF8E4M3>(out, index / kVector, x, 1.0F);
      continue;
    }
#pragma unroll
    for (int i = 0; i < kVector; ++i)
      if (index + i < count) out[index + i] = static_cast<std::uint8_t>(to_e4m3(x[i], 0.0F) & 0xFFU);
  }
}

// A bijection of 64-bit words in which every input bit flips about half of the output bits: two rounds of
// multiplication by an odd constant, each between shifted exclusive-ors.
__host__ __device__ __forceinline__ std::uint64_t scramble(std::uint64_t x) {
  x ^= x >> 32;
  x *= 0xCCF7877EDB346D83ULL;
  x ^= x >> 32;
  x *= 0xB0A22DC63357BCDFULL;
  x ^= x >> 32;
  return x;
}

// Elements 4g .. 4g + 3 come from the four 16-bit parts of word g of the seed's sequence: more bits than an
// fp16 keeps. The values are the centres of 65536 equal parts of [-amplitude, amplitude], so their mean is 0.
__global__ void __launch_bounds__(kThreads)
    fill_random_kernel(__half* out, std::int64_t count, bool aligned, std::uint64_t stream, float amplitude) {
  const std::int64_t step = static_cast<std::int64_t>(gridDim.x) * kThreads * kVector;
  std::int64_t index = (static_cast<std::int64_t>(blockIdx.x) * kThreads + threadIdx.x) * kVector;
  for (; index < count; index += step) {
    float x[kVector];
#pragma unroll
    for (int word = 0; word < 2; ++word) {
      const std::uint64_t bits = scramble(stream + static_cast<std::uint64_t>(index / 4 + word));
#pragma unroll
      for (int part = 0; part < 4; ++part) {
        const auto uniform = static_cast<float>((bits >> (16 * part)) & 0xFFFFU);
        x[4 * word + part] = ((uniform + 0.5F) * (1.0F / 32768.0F) - 1.0F) * amplitude;
      }
    }
    if (aligned && index + kVector <= count) {
      store<ElementType::kF16>(out, index / kVector, x, 1.0F);
      continue;
    }
#pragma unroll
    for (int i = 0; i < kVector; ++i)
      if (index + i < count) out[index + i] = __float2half_rn(x[i]);
  }
}

}  // namespace

void absolute_maximum(const void* data, bool is_float, std::int64_t count, float* result,
                      cudaStream_t stream) {
  if (count == 0) return;
  const bool aligned = is_aligned(data, 16);
  auto* bits = reinterpret_cast<unsigned*>(result);
  if (is_float)
    absolute_maximum_kernel<<<blocks_for(count), kThreads, 0, stream>>>(static_cast<const float*>(data),
                                                                        count, aligned, bits);
  else
    absolute_maximum_kernel<<<blocks_for(count), kThreads, 0, stream>>>(static_cast<const __half*>(data),
                                                                        count, aligned, bits);
}

void quantise(const void* in, bool is_float, std::int64_t count, const float* scale, void* out,
              cudaStream_t stream) {
  if (count == 0) return;
  const bool aligned = is_aligned(in, 16) && is_aligned(out, 8);
  auto* bytes = static_cast<std::uint8_t*>(out);
  if (is_float)
    quantise_kernel<<<blocks_for(count), kThreads, 0, stream>>>(static_cast<const float*>(in), count, aligned,
                                                                scale, bytes);
  else
    quantise_kernel<<<blocks_for(count), kThreads, 0, stream>>>(static_cast<const __half*>(in), count,
                                                                aligned, scale, bytes);
}

void fill_random(void* out, std::int64_t count, std::uint64_t seed, float amplitude, cudaStream_t stream) {
  if (count == 0) return;
  // Neighbouring seeds start far apart, so that tensors seeded 1, 2, 3, ... do not share words.
  const std::uint64_t start = scramble(scramble(seed + 0x933832338D60F23DULL) ^ 0xFFD56E3AF7D9355FULL);
  fill_random_kernel<<<blocks_for(count), kThreads, 0, stream>>>(static_cast<__half*>(out), count,
                                                                 is_aligned(out, 16), start, amplitude);
}

}  // namespace gptj::cuda
