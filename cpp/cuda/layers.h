// The seam between what every GPU engine shares (cache, beam search, memory, steps) and what computes the
// layers: cuBLASLt's products with our kernels, or a TensorRT plan.
#pragma once

#include <cuda_runtime_api.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

#include "cuda/kernels/attention.h"
#include "cuda/kernels/types.h"
#include "cuda/network_shape.h"
#include "cuda/step_inputs.h"
#include "cuda/step_profile.h"
#include "cuda/weights.h"

namespace gptj::cuda {

// What layers work on. Everything is the network's and stays where it is; pointers are device pointers.
struct LayersContext {
  NetworkShape shape;
  ModelDims dims;
  const ModelWeights* weights = nullptr;
  std::byte* kv = nullptr;  // of all layers
  std::size_t kv_bytes = 0;
  const std::int32_t* block_tables = nullptr;  // [max_requests, shape.table_stride]
  const std::uint8_t* beam_table = nullptr;    // see DecodeAttention
  const std::int32_t* finished = nullptr;      // [max_requests]
  const void* sin_cos = nullptr;               // see RotateAndAppend
  void* residual = nullptr;                    // fp16 [rows, hidden]: the embedded tokens on the way in
  float* logits = nullptr;                     // [logit rows, padded_vocab] on the way out
  StepProfile* profile = nullptr;              // null: nothing is timed

  KvLayer cache(std::int32_t layer) const;
  void mark(Part part, cudaStream_t stream) const {
    if (profile != nullptr) profile->mark(part, stream);
  }
};

// What a part of a layer reads and writes.
struct Rows {
  std::int64_t count = 0;
  const void* in = nullptr;
  void* out = nullptr;
};

// A layer's norm: from the residual stream to `out` [count, hidden] of the layers' type.
void normalise(const LayersContext& context, std::int32_t layer, const Rows& rows, cudaStream_t stream);

// The norm behind the last layer, of the rows that `row_index` [count] names: to fp16 [count, hidden].
void normalise_last(const LayersContext& context, const std::int32_t* row_index, const Rows& rows,
                    cudaStream_t stream);

// Elements from one row to the next of what both projections back read: attention's output, then GELU's.
std::int64_t joined_stride(const LayersContext& context);
// Where GELU's part of a row of `joined` begins.
void* gelu_part(const LayersContext& context, void* joined);

// From the plain product into the MLP, fp16 [count, inner], to GELU's part of `joined`, which is rows.out.
void activate(const LayersContext& context, std::int32_t layer, const Rows& rows, cudaStream_t stream);

// The rows of a layer's attention: Q, K and V of all rows of the step on the way in, and where the
// result goes.
struct AttentionRows {
  void* qkv = nullptr;     // fp16 [rows, 3 * hidden]; Q is rotated in place
  void* joined = nullptr;  // its first part takes the result
};

// Rotary embedding, the append to the cache, and attention of decode rows and prompt chunks.
void attention(const LayersContext& context, std::int32_t layer, const StepInputs& inputs,
               const AttentionRows& rows, cudaStream_t stream);

class Layers {
 public:
  virtual ~Layers() = default;
  // Before the first step; may take seconds.
  virtual void tune(cudaStream_t stream) = 0;
  // From the residual stream to the logits of inputs.logit_rows; enqueues, and waits for nothing.
  virtual void forward(const StepInputs& inputs, cudaStream_t stream) = 0;
  // What there is to say about a run, for people, with a line feed at the end.
  virtual std::string report() const { return {}; }
};

// How an engine comes by its layers.
class LayersSource {
 public:
  virtual ~LayersSource() = default;
  // "cuda", "tensorrt"
  virtual std::string name() const = 0;
  // Device memory that the layers will take for themselves, part of the memory plan.
  virtual std::size_t workspace_bytes(const NetworkShape& shape) const = 0;
  virtual std::unique_ptr<Layers> make(const LayersContext& context) const = 0;
};

}  // namespace gptj::cuda
