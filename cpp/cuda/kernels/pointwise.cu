// Embedding, layer norm, rotary embedding with the append to the KV cache, and bias with GELU. Each thread
// moves vectors of eight elements; loads of one thread are issued together, ahead of their first use.
#include "cuda/kernels/pointwise.h"

#include <algorithm>

#include "cuda/kernels/elements.cuh"

namespace gptj::cuda {
namespace {

constexpr int kWarp = 32;

constexpr int whole_warps(int threads) { return (threads + kWarp - 1) / kWarp * kWarp; }

// ---------------------------------------------------------------------------------------------------- embed

constexpr int kEmbedLoads = 4;

// Grid: one block a row.
__global__ void embed_kernel(Embed work) {
  const int row = static_cast<int>(blockIdx.x);
  const int vectors = work.dims.hidden / kVector;
  std::int32_t token = work.rows.token[row];
  if (token < 0) token = work.next_tokens[work.rows.slot[row] * kMaxBeams + (-1 - token)];
  const std::int64_t to = static_cast<std::int64_t>(row) * vectors;
  auto* residual = static_cast<HalfVector*>(work.residual);

  // Nothing but a defect leads here. NaN runs through the network to the search, which reports the row; a
  // read outside the table could break the context for every request.
  if (token < 0 || token >= work.dims.vocab) {
    const float nan = __int_as_float(0x7FFFFFFF);
    const float values[kVector] = {nan, nan, nan, nan, nan, nan, nan, nan};
    for (int i = static_cast<int>(threadIdx.x); i < vectors; i += static_cast<int>(blockDim.x))
      residual[to + i] = pack_half(values);
    return;
  }

  const std::int64_t from = static_cast<std::int64_t>(token) * vectors;
  const int step = static_cast<int>(blockDim.x);
  for (int first = static_cast<int>(threadIdx.x); first < vectors; first += step * kEmbedLoads) {
    HalfVector loaded[kEmbedLoads];
#pragma unroll
    for (int i = 0; i < kEmbedLoads; ++i)
      if (first + i * step < vectors) loaded[i] = load_half(work.embedding, from + first + i * step);
#pragma unroll
    for (int i = 0; i < kEmbedLoads; ++i)
      if (first + i * step < vectors) residual[to + first + i * step] = loaded[i];
  }
}

// ----------------------------------------------------------------------------------------------- layer norm

// Sum over the block. `scratch` has one float for each warp and is used by one call only, so that one barrier
// is enough.
template <int kThreads>
__device__ float block_sum(float value, float* scratch) {
#pragma unroll
  for (int offset = kWarp / 2; offset > 0; offset /= 2) value += __shfl_xor_sync(~0U, value, offset);
  if constexpr (kThreads == kWarp) return value;
  constexpr int kWarps = kThreads / kWarp;
  if (threadIdx.x % kWarp == 0) scratch[threadIdx.x / kWarp] = value;
  __syncthreads();
  float total = 0.0F;
#pragma unroll
  for (int i = 0; i < kWarps; ++i) total += scratch[i];
  return total;
}

// Grid: one block a row. The row stays in registers as floats, kVectors vectors a thread, so that the
// variance is taken around the exact mean without a second read. Weight and bias are asked for before the
// first barrier, behind which nothing waits for memory any more. With kWhole every thread has all its
// vectors.
template <int kThreads, int kVectors, bool kWhole, ElementType kType>
__global__ void __launch_bounds__(kThreads, 1)
    layer_norm_kernel(LayerNorm work, float inverse_hidden, float inverse_scale) {
  __shared__ float scratch[2][kThreads / kWarp];
  const int row = static_cast<int>(blockIdx.x);
  const int vectors = work.hidden / kVector;
  const std::int64_t source = work.row_index != nullptr ? work.row_index[row] : row;
  const int thread = static_cast<int>(threadIdx.x);
  const auto mine = [&](int i) { return kWhole || thread + i * kThreads < vectors; };

  HalfVector loaded[kVectors];
  HalfVector weights[kVectors];
  HalfVector biases[kVectors];
#pragma unroll
  for (int i = 0; i < kVectors; ++i)
    if (mine(i)) loaded[i] = load_half(work.in, source * vectors + thread + i * kThreads);
#pragma unroll
  for (int i = 0; i < kVectors; ++i) {
    if (!mine(i)) continue;
    weights[i] = load_half(work.weight, thread + i * kThreads);
    biases[i] = load_half(work.bias, thread + i * kThreads);
  }

  float x[kVectors][kVector];
  float sum = 0.0F;
#pragma unroll
  for (int i = 0; i < kVectors; ++i) {
    if (!mine(i)) continue;
    unpack(loaded[i], x[i]);
    sum += ((x[i][0] + x[i][1]) + (x[i][2] + x[i][3])) + ((x[i][4] + x[i][5]) + (x[i][6] + x[i][7]));
  }
  const float mean = block_sum<kThreads>(sum, scratch[0]) * inverse_hidden;

  float squares = 0.0F;
#pragma unroll
  for (int i = 0; i < kVectors; ++i) {
    if (!mine(i)) continue;
#pragma unroll
    for (int j = 0; j < kVector; ++j) {
      x[i][j] -= mean;
      squares += x[i][j] * x[i][j];
    }
  }
  const float variance = block_sum<kThreads>(squares, scratch[1]) * inverse_hidden;
  const float factor = rsqrtf(variance + work.epsilon);

#pragma unroll
  for (int i = 0; i < kVectors; ++i) {
    if (!mine(i)) continue;
    float weight[kVector];
    float bias[kVector];
    unpack(weights[i], weight);
    unpack(biases[i], bias);
#pragma unroll
    for (int j = 0; j < kVector; ++j) x[i][j] = x[i][j] * factor * weight[j] + bias[j];
    store<kType>(work.out, static_cast<std::int64_t>(row) * vectors + thread + i * kThreads, x[i],
                 inverse_scale);
  }
}

template <int kThreads, int kVectors, bool kWhole>
void launch_layer_norm(const LayerNorm& work, cudaStream_t stream) {
  const auto grid = static_cast<unsigned>(work.rows);
  const float inverse_hidden = 1.0F / static_cast<float>(work.hidden);
  if (work.out_type == ElementType::kF16)
    layer_norm_kernel<kThreads, kVectors, kWhole, ElementType::kF16>
        <<<grid, kThreads, 0, stream>>>(work, inverse_hidden, 1.0F);
  else
    layer_norm_kernel<kThreads, kVectors, kWhole, ElementType::kF8E4M3>
        <<<grid, kThreads, 0, stream>>>(work, inverse_hidden, 1.0F / work.out_scale);
}

template <int kThreads, int kVectors>
void launch_layer_norm(const LayerNorm& work, cudaStream_t stream) {
  if (work.hidden == kThreads * kVectors * kVector)
    launch_layer_norm<kThreads, kVectors, true>(work, stream);
  else
    launch_layer_norm<kThreads, kVectors, false>(work, stream);
}

// ---------------------------------------------------------------------------------------- rotate and append

// Rotates what of a vector's four pairs lies below rotary_dim. `dim` is the vector's first dimension in its
// head.
__device__ __forceinline__ HalfVector rotate(const HalfVector& vector, int dim, int rotary_dim,
                                             const float2* sin_cos) {
  float x[kVector];
  unpack(vector, x);
#pragma unroll
  for (int i = 0; i < 4; ++i) {
    if (dim + 2 * i >= rotary_dim) continue;
    const float2 turn = sin_cos[dim / 2 + i];
    const float even = x[2 * i];
    const float odd = x[2 * i + 1];
    x[2 * i] = even * turn.y - odd * turn.x;
    x[2 * i + 1] = odd * turn.y + even * turn.x;
  }
  return pack_half(x);
}

template <ElementType kType>
__device__ __forceinline__ void append(void* cache, std::int64_t vector, const HalfVector& value,
                                       float inverse_scale) {
  if constexpr (kType == ElementType::kF16) {
    static_cast<HalfVector*>(cache)[vector] = value;
  } else {
    float x[kVector];
    unpack(value, x);
    store<kType>(cache, vector, x, inverse_scale);
  }
}

constexpr int kAppendVectors = 2;

// Grid: (row, part of the row); a thread takes the same kAppendVectors vectors of Q, K and V. Of Q only what
// is rotated is touched. With an E4M3 cache K is rounded to fp16 before it is scaled, as V and Q are.
template <ElementType kType>
__global__ void rotate_and_append_kernel(RotateAndAppend work, float inverse_key_scale,
                                         float inverse_value_scale) {
  const int row = static_cast<int>(blockIdx.x);
  const int hidden_vectors = work.dims.hidden / kVector;
  const int head_vectors = work.dims.head_dim / kVector;
  const int first =
      static_cast<int>(blockIdx.y * blockDim.x) * kAppendVectors + static_cast<int>(threadIdx.x);
  const int step = static_cast<int>(blockDim.x);
  auto* qkv = static_cast<HalfVector*>(work.qkv) + static_cast<std::int64_t>(row) * 3 * hidden_vectors;

  HalfVector queries[kAppendVectors];
  HalfVector keys[kAppendVectors];
  HalfVector values[kAppendVectors];
#pragma unroll
  for (int i = 0; i < kAppendVectors; ++i) {
    const int vector = first + i * step;
    if (vector >= hidden_vectors) continue;
    keys[i] = qkv[hidden_vectors + vector];
    values[i] = qkv[2 * hidden_vectors + vector];
    if (vector % head_vectors * kVector < work.dims.rotary_dim) queries[i] = qkv[vector];
  }
  const int cache_row = work.rows.cache_row[row];
  const int block = cache_row / work.cache.block_size;
  const int offset = cache_row % work.cache.block_size;
  const auto* sin_cos = static_cast<const float2*>(work.sin_cos) +
                        static_cast<std::int64_t>(work.rows.position[row]) * (work.dims.rotary_dim / 2);

#pragma unroll
  for (int i = 0; i < kAppendVectors; ++i) {
    const int vector = first + i * step;
    if (vector >= hidden_vectors) continue;
    const int head = vector / head_vectors;
    const int head_vector = vector % head_vectors;
    const int dim = head_vector * kVector;
    if (dim < work.dims.rotary_dim) {
      qkv[vector] = rotate(queries[i], dim, work.dims.rotary_dim, sin_cos);
      keys[i] = rotate(keys[i], dim, work.dims.rotary_dim, sin_cos);
    }
    const std::int64_t cache_head = static_cast<std::int64_t>(block) * work.dims.heads + head;
    const std::int64_t to = (cache_head * work.cache.block_size + offset) * head_vectors + head_vector;
    append<kType>(work.cache.keys, to, keys[i], inverse_key_scale);
    append<kType>(work.cache.values, to, values[i], inverse_value_scale);
  }
}

// The angle is rounded to float before its sine is taken, as the reference implementation does; the sine and
// the cosine themselves are those of that float.
__global__ void sin_cos_kernel(float2* table, int positions, int pairs) {
  const auto at = static_cast<std::int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  if (at >= static_cast<std::int64_t>(positions) * pairs) return;
  const auto pair = static_cast<int>(at % pairs);
  const auto position = static_cast<int>(at / pairs);
  const float exponent = static_cast<float>(2 * pair) / static_cast<float>(2 * pairs);
  const float frequency = 1.0F / static_cast<float>(pow(10000.0, static_cast<double>(exponent)));
  const double angle = static_cast<float>(position) * frequency;
  table[at] = make_float2(static_cast<float>(sin(angle)), static_cast<float>(cos(angle)));
}

// ------------------------------------------------------------------------------------------- bias and GELU

// x / 2 (1 + tanh u) = x / (1 + e^(-2u)) with u = sqrt(2 / pi) (x + 0.044715 x^3): one exponential and one
// division, both to a few units in the last place of a float, and no cancellation for negative x.
__device__ __forceinline__ float gelu_new(float x) {
  constexpr float kMinusTwiceRoot = -1.5957691216057308F;
  const float minus_two_u = kMinusTwiceRoot * (x + 0.044715F * x * x * x);
  return __fdividef(x, 1.0F + __expf(minus_two_u));
}

constexpr int kGeluRows = 2;
constexpr int kGeluThreads = 256;

// Grid: (part of the columns, kGeluRows rows); a thread takes one vector of columns in each of its rows.
template <ElementType kType>
__global__ void __launch_bounds__(kGeluThreads, 1) bias_gelu_kernel(BiasGelu work, float inverse_scale) {
  const int vectors = work.columns / kVector;
  const int vector = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x);
  if (vector >= vectors) return;
  const int first = static_cast<int>(blockIdx.y) * kGeluRows;

  HalfVector loaded[kGeluRows];
#pragma unroll
  for (int i = 0; i < kGeluRows; ++i)
    if (first + i < work.rows)
      loaded[i] = load_half(work.in, static_cast<std::int64_t>(first + i) * vectors + vector);
  float bias[kVector];
  unpack(load_half(work.bias, vector), bias);

#pragma unroll
  for (int i = 0; i < kGeluRows; ++i) {
    if (first + i >= work.rows) continue;
    float x[kVector];
    unpack(loaded[i], x);
#pragma unroll
    for (int j = 0; j < kVector; ++j) x[j] = gelu_new(x[j] + bias[j]);
    store<kType>(work.out, (first + i) * (work.out_stride / kVector) + vector, x, inverse_scale);
  }
}

}  // namespace

void embed(const Embed& work, cudaStream_t stream) {
  if (work.rows.rows == 0) return;
  const int threads = std::min(whole_warps(work.dims.hidden / kVector), 128);
  embed_kernel<<<static_cast<unsigned>(work.rows.rows), threads, 0, stream>>>(work);
}

void layer_norm(const LayerNorm& work, cudaStream_t stream) {
  if (work.rows == 0) return;
  const int vectors = work.hidden / kVector;
  if (vectors <= 32)
    launch_layer_norm<32, 1>(work, stream);
  else if (vectors <= 128)
    launch_layer_norm<128, 1>(work, stream);
  else if (vectors <= 256)
    launch_layer_norm<256, 1>(work, stream);
  else if (vectors <= 512)
    launch_layer_norm<256, 2>(work, stream);
  else
    launch_layer_norm<256, 4>(work, stream);
}

void rotate_and_append(const RotateAndAppend& work, cudaStream_t stream) {
  if (work.rows.rows == 0) return;
  const int vectors = work.dims.hidden / kVector;
  const int threads = std::min(whole_warps((vectors + kAppendVectors - 1) / kAppendVectors), 256);
  const dim3 grid(
      static_cast<unsigned>(work.rows.rows),
      static_cast<unsigned>((vectors + threads * kAppendVectors - 1) / (threads * kAppendVectors)));
  if (work.cache.type == ElementType::kF16)
    rotate_and_append_kernel<ElementType::kF16><<<grid, threads, 0, stream>>>(work, 1.0F, 1.0F);
  else
    rotate_and_append_kernel<ElementType::kF8E4M3>
        <<<grid, threads, 0, stream>>>(work, 1.0F / work.cache.key_scale, 1.0F / work.cache.value_scale);
}

void make_sin_cos(void* table, int positions, int rotary_dim, cudaStream_t stream) {
  const int pairs = rotary_dim / 2;
  const std::int64_t entries = static_cast<std::int64_t>(positions) * pairs;
  if (entries == 0) return;
  constexpr int kThreads = 128;
  const auto blocks = static_cast<unsigned>((entries + kThreads - 1) / kThreads);
  sin_cos_kernel<<<blocks, kThreads, 0, stream>>>(static_cast<float2*>(table), positions, pairs);
}

void bias_gelu(const BiasGelu& work, cudaStream_t stream) {
  if (work.rows == 0) return;
  const int vectors = work.columns / kVector;
  const int threads = std::min(whole_warps(vectors), kGeluThreads);
  const dim3 grid(static_cast<unsigned>((vectors + threads - 1) / threads),
                  static_cast<unsigned>((work.rows + kGeluRows - 1) / kGeluRows));
  if (work.out_type == ElementType::kF16)
    bias_gelu_kernel<ElementType::kF16><<<grid, threads, 0, stream>>>(work, 1.0F);
  else
    bias_gelu_kernel<ElementType::kF8E4M3><<<grid, threads, 0, stream>>>(work, 1.0F / work.out_scale);
}

}  // namespace gptj::cuda
