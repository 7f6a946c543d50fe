// The kernels of pointwise.h as their comments say, and the checksum; see fake_cuda.h.
#include "cuda/kernels/pointwise.h"

#include <algorithm>
#include <cmath>

#include "cuda/kernels/checksum.h"
#include "fake_cuda.h"
#include "fake_elements.h"

namespace gptj::cuda {

using testing::element_at;
using testing::fake_cuda;
using testing::half_at;
using testing::put_element;
using testing::put_half;

void embed(const Embed& work, cudaStream_t) {
  if (!fake_cuda().launch("embed")) return;
  const auto hidden = static_cast<std::size_t>(work.dims.hidden);
  for (int row = 0; row < work.rows.rows; ++row) {
    std::int32_t token = work.rows.token[row];
    if (token < 0) token = work.next_tokens[work.rows.slot[row] * kMaxBeams + (-1 - token)];
    const auto* from = static_cast<const __half*>(work.embedding) + static_cast<std::size_t>(token) * hidden;
    std::copy(from, from + hidden,
              static_cast<__half*>(work.residual) + static_cast<std::size_t>(row) * hidden);
  }
}

void layer_norm(const LayerNorm& work, cudaStream_t) {
  if (!fake_cuda().launch("layer_norm")) return;
  const auto hidden = static_cast<std::size_t>(work.hidden);
  const auto count = static_cast<float>(work.hidden);
  for (int row = 0; row < work.rows; ++row) {
    const int source = work.row_index != nullptr ? work.row_index[row] : row;
    const std::size_t from = static_cast<std::size_t>(source) * hidden;
    float mean = 0.0F;
    for (std::size_t i = 0; i < hidden; ++i) mean += half_at(work.in, from + i);
    mean /= count;
    float variance = 0.0F;
    for (std::size_t i = 0; i < hidden; ++i) {
      const float off = half_at(work.in, from + i) - mean;
      variance += off * off;
    }
    const float factor = 1.0F / std::sqrt(variance / count + work.epsilon);
    for (std::size_t i = 0; i < hidden; ++i) {
      const float value =
          (half_at(work.in, from + i) - mean) * factor * half_at(work.weight, i) + half_at(work.bias, i);
      put_element(work.out, static_cast<std::size_t>(row) * hidden + i, value / work.out_scale,
                  work.out_type);
    }
  }
}

void make_sin_cos(void* table, int positions, int rotary_dim, cudaStream_t) {
  if (!fake_cuda().launch("make_sin_cos")) return;
  auto* entry = static_cast<float2*>(table);
  for (int position = 0; position < positions; ++position) {
    for (int i = 0; i < rotary_dim; i += 2) {
      const double angle = position * std::pow(10000.0, -static_cast<double>(i) / rotary_dim);
      *entry++ = {static_cast<float>(std::sin(angle)), static_cast<float>(std::cos(angle))};
    }
  }
}

void rotate_and_append(const RotateAndAppend& work, cudaStream_t) {
  if (!fake_cuda().launch("rotate_and_append")) return;
  const auto hidden = static_cast<std::size_t>(work.dims.hidden);
  const auto head_dim = static_cast<std::size_t>(work.dims.head_dim);
  const auto heads = static_cast<std::size_t>(work.dims.heads);
  const auto block_size = static_cast<std::size_t>(work.cache.block_size);
  for (int row = 0; row < work.rows.rows; ++row) {
    const std::size_t first = static_cast<std::size_t>(row) * 3 * hidden;
    const auto* turns = static_cast<const float2*>(work.sin_cos) +
                        static_cast<std::ptrdiff_t>(work.rows.position[row]) * (work.dims.rotary_dim / 2);
    for (std::size_t start = first; start < first + 2 * hidden; start += head_dim) {  // Q, then K
      for (std::size_t i = 0; i < static_cast<std::size_t>(work.dims.rotary_dim); i += 2) {
        const float2 turn = turns[i / 2];
        const float even = half_at(work.qkv, start + i);
        const float odd = half_at(work.qkv, start + i + 1);
        put_half(work.qkv, start + i, even * turn.y - odd * turn.x);
        put_half(work.qkv, start + i + 1, odd * turn.y + even * turn.x);
      }
    }
    const auto cache_row = static_cast<std::size_t>(work.rows.cache_row[row]);
    for (std::size_t i = 0; i < hidden; ++i) {
      const std::size_t head = cache_row / block_size * heads + i / head_dim;
      const std::size_t to = (head * block_size + cache_row % block_size) * head_dim + i % head_dim;
      const float key = half_at(work.qkv, first + hidden + i);
      const float value = half_at(work.qkv, first + 2 * hidden + i);
      put_element(work.cache.keys, to, key / work.cache.key_scale, work.cache.type);
      put_element(work.cache.values, to, value / work.cache.value_scale, work.cache.type);
    }
  }
}

void bias_gelu(const BiasGelu& work, cudaStream_t) {
  if (!fake_cuda().launch("bias_gelu")) return;
  const auto columns = static_cast<std::size_t>(work.columns);
  for (std::size_t row = 0; row < static_cast<std::size_t>(work.rows); ++row) {
    for (std::size_t i = 0; i < columns; ++i) {
      const float x = half_at(work.in, row * columns + i) + half_at(work.bias, i);
      const float gelu = 0.5F * x * (1.0F + std::tanh(0.7978845608F * (x + 0.044715F * x * x * x)));
      put_element(work.out, row * static_cast<std::size_t>(work.out_stride) + i, gelu / work.out_scale,
                  work.out_type);
    }
  }
}

void absolute_maximum(const void* data, bool is_float, std::int64_t count, float* result, cudaStream_t) {
  if (!fake_cuda().launch("absolute_maximum")) return;
  for (std::size_t i = 0; i < static_cast<std::size_t>(count); ++i) {
    const float value = is_float ? static_cast<const float*>(data)[i] : half_at(data, i);
    *result = std::max(*result, std::abs(value));
  }
}

void quantise(const void* in, bool is_float, std::int64_t count, const float* scale, void* out,
              cudaStream_t) {
  if (!fake_cuda().launch("quantise")) return;
  for (std::size_t i = 0; i < static_cast<std::size_t>(count); ++i) {
    const float value = is_float ? static_cast<const float*>(in)[i] : half_at(in, i);
    put_element(out, i, value / *scale, ElementType::kF8E4M3);
  }
}

// Weights are never drawn in the tests that compute, and what is drawn for tuning does not matter.
void fill_random(void*, std::int64_t, std::uint64_t, float, cudaStream_t) {
  fake_cuda().launch("fill_random");
}

// Products have one algorithm, whose bits are its own.
void checksum(const ChecksumRows&, cudaStream_t) { fake_cuda().launch("checksum"); }

}  // namespace gptj::cuda
