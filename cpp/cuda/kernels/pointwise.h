// What lies between the matrix products: embedding, layer norm with quantisation, rotary embedding with the
// append to the KV cache. Every kernel reads and writes its data once; all are bound by memory.
//
// Arrays are 16-byte aligned; hidden, columns and strides are multiples of 8, hidden at most 8192. Whatever
// is stored as E4M3 is rounded to nearest even and saturates at +-448; NaN and infinity are stored as NaN, so
// that saturation hides neither. Where a scale is known to the host, values are multiplied by its reciprocal.
#pragma once

#include <cuda_runtime_api.h>

#include <cstdint>

#include "cuda/kernels/types.h"

namespace gptj::cuda {

// residual[r, :] = embedding[token of row r, :]; decode rows take their token from next_tokens[slot, beam]. A
// token outside the vocabulary gives a row of NaN.
struct Embed {
  ModelDims dims;
  StepRows rows;
  const void* embedding = nullptr;            // fp16 [vocab, hidden]
  const std::int32_t* next_tokens = nullptr;  // [slots, kMaxBeams]
  void* residual = nullptr;                   // fp16 [rows, hidden]
};
void embed(const Embed& work, cudaStream_t stream);

// out[i, :] = layer_norm(in[row_index ? row_index[i] : i, :]) * weight + bias, in float, then divided by
// out_scale and rounded when out_type is kF8E4M3 (saturating at +-448).
struct LayerNorm {
  int rows = 0;
  int hidden = 0;
  const void* in = nullptr;                 // fp16 [*, hidden]
  const std::int32_t* row_index = nullptr;  // [rows] or null
  const void* weight = nullptr;             // fp16 [hidden]
  const void* bias = nullptr;               // fp16 [hidden]
  float epsilon = 1e-5F;
  void* out = nullptr;  // [rows, hidden] of out_type
  ElementType out_type = ElementType::kF16;
  float out_scale = 1.0F;
};
void layer_norm(const LayerNorm& work, cudaStream_t stream);

// Rotates Q and K of every row by its position (GPT-J: interleaved pairs 2i, 2i+1 of the first rotary_dim
// dimensions of each head, angle position / 10000^(2i / rotary_dim)); Q is written back in place, K and V go
// to the cache.
struct RotateAndAppend {
  ModelDims dims;
  StepRows rows;
  void* qkv = nullptr;  // fp16 [rows, 3 * hidden]: Q, K, V, each [heads, head_dim]
  KvLayer cache;
  const void* sin_cos =
      nullptr;  // float2 [positions, rotary_dim / 2]: (sin, cos), made once by make_sin_cos()
};
void rotate_and_append(const RotateAndAppend& work, cudaStream_t stream);

// Fills a table for rotate_and_append: float2 [positions, rotary_dim / 2].
void make_sin_cos(void* table, int positions, int rotary_dim, cudaStream_t stream);

// h = gelu_new(in + bias), for the products whose library epilogue does not do it:
// in fp16 [rows, columns], out [rows, columns] of out_type with its own row stride.
struct BiasGelu {
  int rows = 0;
  int columns = 0;
  const void* in = nullptr;
  const void* bias = nullptr;  // fp16 [columns]
  void* out = nullptr;
  std::int64_t out_stride = 0;  // in elements
  ElementType out_type = ElementType::kF16;
  float out_scale = 1.0F;
};
void bias_gelu(const BiasGelu& work, cudaStream_t stream);

// Largest magnitude of `count` fp16 or float elements, as float, max-ed into *result (which starts at 0); NaN
// when one of them is NaN. For quantisation and calibration. These three take data of any alignment, faster
// when it is 16 bytes.
void absolute_maximum(const void* data, bool is_float, std::int64_t count, float* result,
                      cudaStream_t stream);

// out = saturate(in / scale) in E4M3; `in` fp16 or float. *scale is on the GPU.
void quantise(const void* in, bool is_float, std::int64_t count, const float* scale, void* out,
              cudaStream_t stream);

// Uniform noise in [-amplitude, amplitude] as fp16, a pure function of (seed, index): synthetic weights.
void fill_random(void* out, std::int64_t count, std::uint64_t seed, float amplitude, cudaStream_t stream);

}  // namespace gptj::cuda
