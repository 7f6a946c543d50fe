#include "cuda/kernels/checksum.h"

namespace gptj::cuda {
namespace {

constexpr int kThreads = 256;

// The finaliser of SplitMix64 (Steele, Lea and Flood, 2014).
__device__ __forceinline__ std::uint64_t scramble(std::uint64_t x) {
  x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9ULL;
  x = (x ^ (x >> 27)) * 0x94D049BB133111EBULL;
  return x ^ (x >> 31);
}

// Grid: rows in strides.
__global__ void __launch_bounds__(kThreads) checksum_kernel(ChecksumRows work) {
  const std::int64_t words = work.row_bytes / 4;
  std::uint64_t sum = 0;
  for (std::int64_t row = blockIdx.x; row < work.rows; row += gridDim.x) {
    const auto* from = reinterpret_cast<const std::uint32_t*>(static_cast<const std::byte*>(work.data) +
                                                              row * work.stride_bytes);
    for (std::int64_t word = threadIdx.x; word < words; word += kThreads) {
      const auto place = static_cast<std::uint64_t>(row * words + word);
      sum += scramble(scramble(place + 1) ^ from[word]);
    }
  }
#pragma unroll
  for (int offset = 16; offset > 0; offset /= 2) sum += __shfl_xor_sync(~0U, sum, offset);
  if (threadIdx.x % 32 == 0) atomicAdd(reinterpret_cast<unsigned long long*>(work.result), sum);
}

}  // namespace

void checksum(const ChecksumRows& work, cudaStream_t stream) {
  if (work.rows == 0) return;
  const auto blocks = static_cast<unsigned>(work.rows < 1056 ? work.rows : 1056);
  checksum_kernel<<<blocks, kThreads, 0, stream>>>(work);
}

}  // namespace gptj::cuda
