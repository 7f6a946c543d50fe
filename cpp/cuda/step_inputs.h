// What one step tells the GPU: rows, work lists and block tables, packed into one pinned buffer and copied at
// once.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "cuda/kernels/search.h"
#include "cuda/kernels/types.h"
#include "cuda/memory.h"

namespace gptj::cuda {

// A step as the host builds it.
struct StepPlan {
  std::vector<std::int32_t> token;      // [rows] see StepRows
  std::vector<std::int32_t> slot;       // [rows]
  std::vector<std::int32_t> position;   // [rows]
  std::vector<std::int32_t> cache_row;  // [rows]
  std::vector<DecodeItem> decoding;
  std::vector<ChunkItem> chunks;
  std::vector<LogitItem> logits;
  std::vector<std::int32_t> logit_rows;  // rows of the step whose logits are needed
  std::vector<AdmitItem> admitted;
  std::vector<std::int32_t> admitted_blocks;  // [admitted, stride of the block tables]

  void clear();
  int rows() const { return static_cast<int>(token.size()); }
};

// The same on the GPU.
struct StepInputs {
  StepRows rows;
  const DecodeItem* decoding = nullptr;
  int decoding_count = 0;
  const ChunkItem* chunks = nullptr;
  int chunk_count = 0;
  int longest_chunk = 0;
  const LogitItem* logits = nullptr;
  int logit_count = 0;
  const std::int32_t* logit_rows = nullptr;
  int logit_row_count = 0;
  const AdmitItem* admitted = nullptr;
  int admitted_count = 0;
  const std::int32_t* admitted_blocks = nullptr;
  std::span<const AdmitItem> admitted_on_host;  // the plan's own
};

// Room for one step, on both sides.
class StepUpload {
 public:
  // `capacity` bytes; see bytes_for().
  explicit StepUpload(std::size_t capacity);

  // The most that a step can take.
  static std::size_t bytes_for(std::int32_t max_rows, std::int32_t max_requests, std::int32_t table_stride);

  // Packs the plan and starts the copy. The buffer is free again when the stream has come past it.
  StepInputs upload(const StepPlan& plan, cudaStream_t stream);

 private:
  template <typename T>
  const T* pack(std::span<const T> values);

  PinnedBuffer host_;
  DeviceBuffer device_;
  std::size_t used_ = 0;
};

}  // namespace gptj::cuda
