#include "cuda/cublas_layers.h"

#include "cuda/gemm.h"
#include "cuda/kernels/pointwise.h"
#include "cuda/memory.h"
#include "cuda/products.h"

namespace gptj::cuda {
namespace {

class CublasLayers final : public Layers {
 public:
  explicit CublasLayers(const LayersContext& context)
      : context_(context), workspace_(carve_products(context.shape, nullptr).bytes, "activations") {
    parts_ = carve_products(context.shape, workspace_.as<>());
    GPTJ_CUDA_CHECK(cudaMemset(workspace_.as<>(), 0, workspace_.bytes()));
    gelu_is_fused_ = gemm_.supports(mlp_product(context_, 0, {}).shape, max_rows());
  }

  void tune(cudaStream_t stream) override;
  void forward(const StepInputs& inputs, cudaStream_t stream) override;
  std::string report() const override { return gemm_.report() + "\n"; }

 private:
  std::int64_t max_rows() const { return context_.shape.limits.max_tokens_per_step; }
  void* activated() const { return gelu_part(context_, parts_.joined); }
  ProductRows rows(std::int64_t count, const void* in, void* out) const {
    return {.count = count, .in = in, .out = out};
  }
  void run(const Product& product, cudaStream_t stream) {
    gemm_.run(product.shape, product.operands, stream);
  }
  void layer(std::int32_t index, const StepInputs& inputs, cudaStream_t stream);
  void mlp(std::int32_t index, std::int64_t count, cudaStream_t stream);
  void head(const StepInputs& inputs, cudaStream_t stream);

  LayersContext context_;
  Gemm gemm_;
  DeviceBuffer workspace_;
  ProductBuffers parts_;
  bool gelu_is_fused_ = true;  // the library's product ends with GELU in this precision
};

void CublasLayers::tune(cudaStream_t stream) {
  tune_products(gemm_, context_, parts_, TunedProducts::kAll, stream);
  // Rows that no step has written are read by whole tiles.
  GPTJ_CUDA_CHECK(cudaMemsetAsync(workspace_.as<>(), 0, workspace_.bytes(), stream));
}

void CublasLayers::mlp(std::int32_t index, std::int64_t count, cudaStream_t stream) {
  if (gelu_is_fused_) {
    run(mlp_product(context_, index, rows(count, parts_.normed, activated())), stream);
    return;
  }
  run(plain_mlp_product(context_, index, rows(count, parts_.normed, parts_.inner)), stream);
  const LayerWeights& weights = context_.weights->layer(index);
  bias_gelu({.rows = static_cast<int>(count),
             .columns = context_.shape.model.n_inner,
             .in = parts_.inner,
             .bias = weights.fc_in_bias,
             .out = activated(),
             .out_stride = context_.dims.hidden + context_.shape.model.n_inner,
             .out_type = context_.shape.type,
             .out_scale = weights.scales.joined},
            stream);
  check_launch("bias_gelu");
}

// x += attention(norm(x)) W_o + gelu(norm(x) W_in + b_in) W_out + b_out, with both projections back in one
// product.
void CublasLayers::layer(std::int32_t index, const StepInputs& inputs, cudaStream_t stream) {
  const LayerWeights& weights = context_.weights->layer(index);
  const std::int64_t count = inputs.rows.rows;
  layer_norm({.rows = inputs.rows.rows,
              .hidden = context_.dims.hidden,
              .in = context_.residual,
              .weight = weights.norm_weight,
              .bias = weights.norm_bias,
              .epsilon = context_.shape.model.layer_norm_epsilon,
              .out = parts_.normed,
              .out_type = context_.shape.type,
              .out_scale = weights.scales.normed},
             stream);
  check_launch("layer_norm");
  context_.mark(Part::kNorm, stream);
  run(qkv_product(context_, index, rows(count, parts_.normed, parts_.qkv)), stream);
  context_.mark(Part::kQkvProduct, stream);
  attention(context_, index, inputs,
            {.qkv = parts_.qkv,
             .out = parts_.joined,
             .out_stride = context_.dims.hidden + context_.shape.model.n_inner},
            stream);
  mlp(index, count, stream);
  context_.mark(Part::kMlpProduct, stream);
  run(joined_product(context_, index, rows(count, parts_.joined, context_.residual), context_.residual),
      stream);
  context_.mark(Part::kJoinedProduct, stream);
}

void CublasLayers::head(const StepInputs& inputs, cudaStream_t stream) {
  layer_norm({.rows = inputs.logit_row_count,
              .hidden = context_.dims.hidden,
              .in = context_.residual,
              .row_index = inputs.logit_rows,
              .weight = context_.weights->final_norm_weight(),
              .bias = context_.weights->final_norm_bias(),
              .epsilon = context_.shape.model.layer_norm_epsilon,
              .out = parts_.final_normed},
             stream);
  check_launch("layer_norm");
  context_.mark(Part::kNorm, stream);
  run(lm_head_product(context_, rows(inputs.logit_row_count, parts_.final_normed, context_.logits)), stream);
  context_.mark(Part::kLmHead, stream);
}

void CublasLayers::forward(const StepInputs& inputs, cudaStream_t stream) {
  for (std::int32_t index = 0; index < context_.shape.model.n_layer; ++index) layer(index, inputs, stream);
  if (inputs.logit_row_count > 0) head(inputs, stream);
}

}  // namespace

std::size_t CublasLayersSource::workspace_bytes(const NetworkShape& shape) const {
  return carve_products(shape, nullptr).bytes + Gemm::workspace_bytes();
}

std::unique_ptr<Layers> CublasLayersSource::make(const LayersContext& context) const {
  return std::make_unique<CublasLayers>(context);
}

}  // namespace gptj::cuda
