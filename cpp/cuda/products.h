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
inline void run(Gemm& gemm, const Product& product, cudaStream_t stream) {
  gemm.run(product.shape, product.operands, stream);
}

// Rows of products have room for Gemm::padded_rows(count) of them, on both sides.

// From normed rows [count, hidden] to fp16 [count, 3 * hidden].
Product qkv_product(const LayersContext& context, std::int32_t layer, const Rows& rows);

// From normed rows to gelu_new(x + bias), [count, inner] of the layers' type in rows of hidden + inner
// elements.
Product mlp_product(const LayersContext& context, std::int32_t layer, const Rows& rows);

// The same without bias and GELU, to fp16 [count, inner].
Product plain_mlp_product(const LayersContext& context, std::int32_t layer, const Rows& rows);

// From [count, hidden + inner], attention's output and GELU's, to fp16 [count, hidden] with both projections
// back, added to `residual`, which lies elsewhere: in place cuBLASLt rounds otherwise, and every engine is to
// give the same bits.
Product joined_product(const LayersContext& context, std::int32_t layer, const Rows& rows,
                       const void* residual);

// From normed fp16 rows to float [count, padded_vocab].
Product lm_head_product(const LayersContext& context, const Rows& rows);

// The MLP's first half: from normed rows to GELU's part of `joined`, which is rows.out. `inner`, fp16 [count,
// inner], takes the product where GELU is a kernel of its own; null: the product ends with GELU.
void run_mlp(Gemm& gemm, const LayersContext& context, std::int32_t layer, const Rows& rows, void* inner,
             cudaStream_t stream);

// Whether the library's product of the layers' type ends with GELU on this GPU.
bool gelu_is_fused(Gemm& gemm, const LayersContext& context);

// Room for what the products of a full step read and write.
struct ProductBuffers {
  void* normed = nullptr;        // [rows, hidden]
  void* qkv = nullptr;           // fp16 [rows, 3 * hidden]
  void* joined = nullptr;        // [rows, hidden + inner]: attention's output, then GELU's
  void* inner = nullptr;         // fp16 [rows, inner], where GELU is not fused
  void* residual = nullptr;      // fp16 [rows, hidden], of every other layer; the network has the other one
  void* final_normed = nullptr;  // fp16 [logit rows, hidden]
  std::size_t bytes = 0;
};
// Parts of `memory`; without memory only counted.
ProductBuffers carve_products(const NetworkShape& shape, void* memory);

enum class TunedProducts : std::uint8_t { kAll, kLmHead };

// Chooses the fastest algorithm for every size of step. Overwrites the buffers, and leaves a residual stream
// of zeros.
void tune_products(Gemm& gemm, const LayersContext& context, const ProductBuffers& buffers,
                   TunedProducts which, cudaStream_t stream);

}  // namespace gptj::cuda
