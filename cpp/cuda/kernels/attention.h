// Attention over the paged KV cache, for prompt chunks and for the beams of decoding requests.
#pragma once

#include <cuda_runtime_api.h>

#include <cstdint>

#include "cuda/kernels/types.h"

namespace gptj::cuda {

// Where attention writes: row r of the step at out + r * row_stride, heads * head_dim elements of `type`,
// divided by `scale` before they are stored when `type` is kF8E4M3.
struct AttentionOutput {
  void* data = nullptr;
  std::int64_t row_stride = 0;  // in elements
  ElementType type = ElementType::kF16;
  float scale = 1.0F;
};

struct AttentionInput {
  const void* queries = nullptr;  // fp16; row r at r * query_stride: [heads, head_dim], already rotated
  std::int64_t query_stride = 0;  // in elements
  KvLayer cache;
  BlockTables tables;
};

struct PrefillAttention {
  ModelDims dims;
  AttentionInput input;
  AttentionOutput output;
  const ChunkItem* items = nullptr;  // [item_count], on the GPU
  int item_count = 0;
  int longest_chunk = 0;  // max over items of `count`, known to the host
};

struct DecodeAttention {
  ModelDims dims;
  AttentionInput input;
  AttentionOutput output;
  const DecodeItem* items = nullptr;  // [item_count], on the GPU
  int item_count = 0;
  int beam_width = 0;  // 1..kMaxBeams
  // [slots, max_new_tokens] of kMaxBeams bytes: byte b says which beam row holds generated position s of beam
  // b's history. The current position's entry is the identity.
  const std::uint8_t* beam_table = nullptr;
  int max_new_tokens = 0;
  const std::int32_t* finished =
      nullptr;  // [slots] not 0: the request is over, its rows are skipped and not written
};

// Softmax(q k / sqrt(head_dim)) v for every query of the chunks, in float with tensor cores.
void prefill_attention(const PrefillAttention& work, cudaStream_t stream);

// The same for the beams of decoding requests. A prompt's K and V are read once for all beams.
void decode_attention(const DecodeAttention& work, cudaStream_t stream);

}  // namespace gptj::cuda
