// Whether two results have the same bits, without keeping either.
#pragma once

#include <cuda_runtime_api.h>

#include <cstdint>

namespace gptj::cuda {

struct ChecksumRows {
  const void* data = nullptr;  // 4-byte aligned
  std::int64_t rows = 0;
  std::int64_t row_bytes = 0;       // a multiple of 4
  std::int64_t stride_bytes = 0;    // between rows
  std::uint64_t* result = nullptr;  // on the GPU; added to, so it starts at 0
};

// Adds a 64-bit hash of every (row, place, word): the sum does not depend on the order of blocks.
void checksum(const ChecksumRows& work, cudaStream_t stream);

}  // namespace gptj::cuda
