#include "cuda/products.h"

namespace gptj::cuda {

Product qkv_product(const LayersContext& context, std::int32_t layer, const ProductRows& rows) {
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

Product plain_mlp_product(const LayersContext& context, std::int32_t layer, const ProductRows& rows) {
  const LayerWeights& weights = context.weights->layer(layer);
  return {{.n = context.shape.model.n_inner, .k = context.dims.hidden, .input = context.shape.type},
          {.m = rows.count,
           .activations = rows.in,
           .weights = weights.fc_in,
           .out = rows.out,
           .activation_scale = weights.normed_scale,
           .weight_scale = weights.fc_in_scale}};
}

Product mlp_product(const LayersContext& context, std::int32_t layer, const ProductRows& rows) {
  const LayerWeights& weights = context.weights->layer(layer);
  Product product = plain_mlp_product(context, layer, rows);
  product.shape.output =
      context.shape.type == ElementType::kF8E4M3 ? OutputType::kF8E4M3 : OutputType::kF16;
  product.shape.epilogue = Epilogue::kBiasGelu;
  product.shape.output_stride = context.dims.hidden + context.shape.model.n_inner;
  product.operands.bias = weights.fc_in_bias;
  product.operands.output_scale_inverse = weights.activation_joined_inverse;
  return product;
}

Product joined_product(const LayersContext& context, std::int32_t layer, const ProductRows& rows,
                       const void* residual) {
  const LayerWeights& weights = context.weights->layer(layer);
  return {{.n = context.dims.hidden,
           .k = context.dims.hidden + context.shape.model.n_inner,
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

Product lm_head_product(const LayersContext& context, const ProductRows& rows) {
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

}  // namespace gptj::cuda
