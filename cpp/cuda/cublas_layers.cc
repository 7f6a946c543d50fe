#include "cuda/cublas_layers.h"

#include <algorithm>

#include "cuda/carver.h"
#include "cuda/gemm.h"
#include "cuda/kernels/pointwise.h"
#include "cuda/memory.h"
#include "cuda/products.h"

namespace gptj::cuda {
namespace {

struct Parts {
  void* normed;        // [rows, hidden]
  void* qkv;           // fp16 [rows, 3 * hidden]
  void* joined;        // [rows, hidden + inner]: attention's output, then GELU's
  void* inner;         // fp16 [rows, inner], where GELU is not fused
  void* final_normed;  // fp16 [logit rows, hidden]
  std::size_t bytes;
};

Parts carve(const NetworkShape& shape, void* memory) {
  const auto rows = static_cast<std::size_t>(shape.limits.max_tokens_per_step + kSpareRows);
  const auto logit_rows = static_cast<std::size_t>(shape.max_logit_rows() + kSpareRows);
  const auto hidden = static_cast<std::size_t>(shape.model.n_embd);
  const auto inner = static_cast<std::size_t>(shape.model.n_inner);
  const std::size_t element = element_bytes(shape.type);
  Carver carver(memory);
  Parts parts{};
  parts.normed = carver.take(element * rows * hidden);
  parts.qkv = carver.take(2 * rows * 3 * hidden);
  parts.joined = carver.take(element * rows * (hidden + inner));
  parts.inner = carver.take(2 * rows * inner);
  parts.final_normed = carver.take(2 * logit_rows * hidden);
  parts.bytes = carver.used();
  return parts;
}

class CublasLayers final : public Layers {
 public:
  explicit CublasLayers(const LayersContext& context)
      : context_(context), workspace_(carve(context.shape, nullptr).bytes, "activations") {
    parts_ = carve(context.shape, workspace_.as<>());
    GPTJ_CUDA_CHECK(cudaMemset(workspace_.as<>(), 0, workspace_.bytes()));
    gelu_is_fused_ = gemm_.supports(mlp_product(context_, 0, {}).shape, max_rows());
  }

  void tune(cudaStream_t stream) override;
  void forward(const StepInputs& inputs, cudaStream_t stream) override;
  std::string report() const override {
    return "products without a tuned algorithm: " + std::to_string(gemm_.untuned()) + "\n";
  }

 private:
  std::int64_t max_rows() const { return context_.shape.limits.max_tokens_per_step; }
  void* activated() const {
    return static_cast<std::byte*>(parts_.joined) +
           static_cast<std::size_t>(context_.dims.hidden) * element_bytes(context_.shape.type);
  }
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
  Parts parts_{};
  bool gelu_is_fused_ = true;  // the library's product ends with GELU in this precision
};

void CublasLayers::tune(cudaStream_t stream) {
  const auto tune_one = [&](const Product& product) { gemm_.tune(product.shape, product.operands, stream); };
  // Calls `each` with every row count that has a plan of its own.
  const auto buckets = [](std::int64_t most, const auto& each) {
    for (std::int64_t m = std::min(Gemm::bucket_of(1), most);; m = std::min(Gemm::bucket_of(m + 1), most)) {
      each(m);
      if (m == most) return;
    }
  };
  buckets(max_rows(), [&](std::int64_t m) {
    tune_one(qkv_product(context_, 0, rows(m, parts_.normed, parts_.qkv)));
    tune_one(gelu_is_fused_ ? mlp_product(context_, 0, rows(m, parts_.normed, activated()))
                            : plain_mlp_product(context_, 0, rows(m, parts_.normed, parts_.inner)));
    tune_one(
        joined_product(context_, 0, rows(m, parts_.joined, context_.residual), context_.residual));
  });
  buckets(context_.shape.max_logit_rows(), [&](std::int64_t m) {
    tune_one(lm_head_product(context_, rows(m, parts_.final_normed, context_.logits)));
  });
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
  return carve(shape, nullptr).bytes + Gemm::workspace_bytes();
}

std::unique_ptr<Layers> CublasLayersSource::make(const LayersContext& context) const {
  return std::make_unique<CublasLayers>(context);
}

}  // namespace gptj::cuda
