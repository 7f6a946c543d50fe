#include "cuda/products.h"

#include <algorithm>

#include "cuda/carver.h"
#include "cuda/check.h"
#include "cuda/kernels/pointwise.h"

namespace gptj::cuda {

Product qkv_product(const LayersContext& context, std::int32_t layer, const Rows& rows) {
  const LayerWeights& weights = context.weights->layer(layer);
  const std::int64_t hidden = context.dims.hidden;
  return {{.n = 3 * hidden, .k = hidden, .input = context.shape.type},
          {.m = rows.count,
           .activations = rows.in,
           .weights = weights.qkv,
           .out = rows.out,
           .activation_scale = weights.normed_scale,
           .weight_scale = weights.qkv_scale}};
}

Product plain_mlp_product(const LayersContext& context, std::int32_t layer, const Rows& rows) {
  const LayerWeights& weights = context.weights->layer(layer);
  return {{.n = context.shape.model.n_inner, .k = context.dims.hidden, .input = context.shape.type},
          {.m = rows.count,
           .activations = rows.in,
           .weights = weights.fc_in,
           .out = rows.out,
           .activation_scale = weights.normed_scale,
           .weight_scale = weights.fc_in_scale}};
}

Product mlp_product(const LayersContext& context, std::int32_t layer, const Rows& rows) {
  const LayerWeights& weights = context.weights->layer(layer);
  Product product = plain_mlp_product(context, layer, rows);
  product.shape.output = context.shape.type == ElementType::kF8E4M3 ? OutputType::kF8E4M3 : OutputType::kF16;
  product.shape.epilogue = Epilogue::kBiasGelu;
  product.shape.output_stride = joined_stride(context);
  product.operands.bias = weights.fc_in_bias;
  product.operands.output_scale_inverse = weights.activation_joined_inverse;
  return product;
}

Product joined_product(const LayersContext& context, std::int32_t layer, const Rows& rows,
                       const void* residual) {
  const LayerWeights& weights = context.weights->layer(layer);
  return {{.n = context.dims.hidden,
           .k = joined_stride(context),
           .input = context.shape.type,
           .epilogue = Epilogue::kBias,
           .accumulate = true},
          {.m = rows.count,
           .activations = rows.in,
           .weights = weights.joined,
           .bias = weights.joined_bias,
           .source = residual,
           .out = rows.out,
           .activation_scale = weights.activation_joined_scale,
           .weight_scale = weights.joined_scale}};
}

Product lm_head_product(const LayersContext& context, const Rows& rows) {
  return {{.n = padded_vocab(context.shape.model),
           .k = context.dims.hidden,
           .output = OutputType::kF32,
           .epilogue = Epilogue::kBias},
          {.m = rows.count,
           .activations = rows.in,
           .weights = context.weights->lm_head(),
           .bias = context.weights->lm_head_bias(),
           .out = rows.out}};
}

ProductBuffers carve_products(const NetworkShape& shape, void* memory) {
  const auto rows = static_cast<std::size_t>(shape.limits.max_tokens_per_step + kSpareRows);
  const auto logit_rows = static_cast<std::size_t>(shape.max_logit_rows() + kSpareRows);
  const auto hidden = static_cast<std::size_t>(shape.model.n_embd);
  const auto inner = static_cast<std::size_t>(shape.model.n_inner);
  const std::size_t element = element_bytes(shape.type);
  Carver carver(memory);
  ProductBuffers buffers;
  buffers.normed = carver.take(element * rows * hidden);
  buffers.qkv = carver.take(2 * rows * 3 * hidden);
  buffers.joined = carver.take(element * rows * (hidden + inner));
  buffers.inner = carver.take(2 * rows * inner);
  buffers.residual = carver.take(2 * rows * hidden);
  buffers.final_normed = carver.take(2 * logit_rows * hidden);
  buffers.bytes = carver.used();
  return buffers;
}

void run_mlp(Gemm& gemm, const LayersContext& context, std::int32_t layer, const Rows& rows, void* inner,
             cudaStream_t stream) {
  if (inner == nullptr) {
    const Rows fused{.count = rows.count, .in = rows.in, .out = gelu_part(context, rows.out)};
    run(gemm, mlp_product(context, layer, fused), stream);
    return;
  }
  run(gemm, plain_mlp_product(context, layer, {.count = rows.count, .in = rows.in, .out = inner}), stream);
  activate(context, layer, {.count = rows.count, .in = inner, .out = rows.out}, stream);
}

bool gelu_is_fused(Gemm& gemm, const LayersContext& context) {
  return gemm.supports(mlp_product(context, 0, {}).shape, context.shape.limits.max_tokens_per_step);
}

namespace {

// Any numbers of a sensible size, of the layers' type.
void fill(const LayersContext& context, void* to, std::int64_t count, const ProductBuffers& buffers,
          cudaStream_t stream) {
  constexpr std::uint64_t kSeed = 20;
  if (context.shape.type == ElementType::kF16) {
    fill_random(to, count, kSeed, 1.0F, stream);
    check_launch("fill_random");
    return;
  }
  const std::int64_t at_once =
      std::int64_t{context.shape.limits.max_tokens_per_step} * context.shape.model.n_inner;
  fill_random(buffers.inner, at_once, kSeed, 1.0F, stream);
  for (std::int64_t done = 0; done < count; done += at_once) {
    quantise(buffers.inner, false, std::min(at_once, count - done), context.weights->layer(0).normed_scale,
             static_cast<std::byte*>(to) + done, stream);
  }
  check_launch("quantise");
}

}  // namespace

void tune_products(Gemm& gemm, const LayersContext& context, const ProductBuffers& buffers,
                   TunedProducts which, cudaStream_t stream) {
  const auto tune = [&](const Product& product, std::int64_t rows) {
    gemm.tune(product.shape, product.operands, rows, stream);
  };
  // Calls `each` with every row count that has a plan of its own.
  const auto buckets = [](std::int64_t most, const auto& each) {
    for (std::int64_t m = std::min(Gemm::bucket_of(1), most);; m = std::min(Gemm::bucket_of(m + 1), most)) {
      each(m);
      if (m == most) return;
    }
  };
  const std::int64_t rows = context.shape.limits.max_tokens_per_step;
  if (which == TunedProducts::kAll) {
    const bool is_fused = gelu_is_fused(gemm, context);
    fill(context, buffers.normed, rows * context.dims.hidden, buffers, stream);
    fill(context, buffers.joined, rows * joined_stride(context), buffers, stream);
    // Not zeros: whether an algorithm rounds before or after it adds these would not show.
    fill_random(context.residual, rows * context.dims.hidden, 22, 1.0F, stream);
    check_launch("fill_random");
    buckets(rows, [&](std::int64_t m) {
      tune(qkv_product(context, 0, {.count = m, .in = buffers.normed, .out = buffers.qkv}), rows);
      if (is_fused) {
        const Rows gelu{.count = m, .in = buffers.normed, .out = gelu_part(context, buffers.joined)};
        tune(mlp_product(context, 0, gelu), rows);
      } else {
        const Rows plain{.count = m, .in = buffers.normed, .out = buffers.inner};
        tune(plain_mlp_product(context, 0, plain), rows);
      }
      const Rows back{.count = m, .in = buffers.joined, .out = buffers.residual};
      tune(joined_product(context, 0, back, context.residual), rows);
    });
    GPTJ_CUDA_CHECK(cudaMemsetAsync(context.residual, 0,
                                    static_cast<std::size_t>(2 * rows * context.dims.hidden), stream));
  }
  const std::int64_t logit_rows = context.shape.max_logit_rows();
  fill_random(buffers.final_normed, logit_rows * context.dims.hidden, 21, 1.0F, stream);
  check_launch("fill_random");
  buckets(logit_rows, [&](std::int64_t m) {
    const Rows last{.count = m, .in = buffers.final_normed, .out = context.logits};
    tune(lm_head_product(context, last), logit_rows);
  });
}

}  // namespace gptj::cuda
