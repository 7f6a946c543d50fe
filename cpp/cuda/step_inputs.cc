#include "cuda/step_inputs.h"

#include <algorithm>
#include <cstring>

#include "cuda/carver.h"
#include "gptj/error.h"

namespace gptj::cuda {

void StepPlan::clear() {
  token.clear();
  slot.clear();
  position.clear();
  cache_row.clear();
  decoding.clear();
  chunks.clear();
  logits.clear();
  logit_rows.clear();
  admitted.clear();
  admitted_blocks.clear();
}

StepUpload::StepUpload(std::size_t capacity)
    : host_(capacity, "the work of a step"), device_(capacity, "the work of a step") {}

std::size_t StepUpload::bytes_for(std::int32_t max_rows, std::int32_t max_requests,
                                  std::int32_t table_stride) {
  const auto rows = static_cast<std::size_t>(max_rows);
  const auto requests = static_cast<std::size_t>(max_requests);
  return 5 * aligned(rows * sizeof(std::int32_t)) + aligned(requests * sizeof(DecodeItem)) +
         aligned(requests * sizeof(ChunkItem)) + aligned(requests * sizeof(LogitItem)) +
         aligned(requests * sizeof(AdmitItem)) +
         aligned(requests * static_cast<std::size_t>(table_stride) * sizeof(std::int32_t));
}

template <typename T>
const T* StepUpload::pack(std::span<const T> values) {
  const std::size_t bytes = values.size_bytes();
  if (used_ + bytes > host_.bytes()) throw Error(ErrorKind::kInternal, "a step is larger than any can be");
  if (bytes > 0) std::memcpy(host_.as<std::byte>() + used_, values.data(), bytes);
  const auto* on_gpu = reinterpret_cast<const T*>(device_.as<std::byte>() + used_);
  used_ += aligned(bytes);
  return on_gpu;
}

StepInputs StepUpload::upload(const StepPlan& plan, cudaStream_t stream) {
  used_ = 0;
  StepInputs inputs;
  inputs.rows.rows = plan.rows();
  inputs.rows.token = pack(std::span(plan.token));
  inputs.rows.slot = pack(std::span(plan.slot));
  inputs.rows.position = pack(std::span(plan.position));
  inputs.rows.cache_row = pack(std::span(plan.cache_row));
  inputs.decoding = pack(std::span(plan.decoding));
  inputs.decoding_count = static_cast<int>(plan.decoding.size());
  inputs.chunks = pack(std::span(plan.chunks));
  inputs.chunk_count = static_cast<int>(plan.chunks.size());
  for (const ChunkItem& chunk : plan.chunks)
    inputs.longest_chunk = std::max(inputs.longest_chunk, chunk.count);
  inputs.logits = pack(std::span(plan.logits));
  inputs.logit_count = static_cast<int>(plan.logits.size());
  inputs.logit_rows = pack(std::span(plan.logit_rows));
  inputs.logit_row_count = static_cast<int>(plan.logit_rows.size());
  inputs.admitted = pack(std::span(plan.admitted));
  inputs.admitted_count = static_cast<int>(plan.admitted.size());
  inputs.admitted_blocks = pack(std::span(plan.admitted_blocks));
  inputs.admitted_on_host = plan.admitted;
  GPTJ_CUDA_CHECK(cudaMemcpyAsync(device_.as<>(), host_.as<>(), used_, cudaMemcpyHostToDevice, stream));
  return inputs;
}

}  // namespace gptj::cuda
