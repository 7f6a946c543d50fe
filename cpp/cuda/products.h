// GPT-J's matrix products on the weights of a layer.
#pragma once

#include <cstdint>

#include "cuda/gemm.h"
#include "cuda/layers.h"

namespace gptj::cuda {

struct Product {
  GemmShape shape;
  GemmOperands operands;
};

// What a product reads and writes; both have room for Gemm::padded_rows(count) rows.
struct ProductRows {
  std::int64_t count = 0;
  const void* in = nullptr;
  void* out = nullptr;
};

// From normed rows [count, hidden] to fp16 [count, 3 * hidden].
Product qkv_product(const LayersContext& context, std::int32_t layer, const ProductRows& rows);

// From normed rows to gelu_new(x + bias), [count, inner] of the layers' type in rows of hidden + inner
// elements.
Product mlp_product(const LayersContext& context, std::int32_t layer, const ProductRows& rows);

// The same without bias and GELU, to fp16 [count, inner].
Product plain_mlp_product(const LayersContext& context, std::int32_t layer, const ProductRows& rows);

// From [count, hidden + inner], attention's output and GELU's, to fp16 [count, hidden] with both projections
// back, added to `residual`, which may be out itself.
Product joined_product(const LayersContext& context, std::int32_t layer, const ProductRows& rows,
                       const void* residual);

// From normed fp16 rows to float [count, padded_vocab].
Product lm_head_product(const LayersContext& context, const ProductRows& rows);

}  // namespace gptj::cuda
