#include "cuda/cublas_layers.h"

#include <utility>

#include "cuda/gemm.h"
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
    if (!gelu_is_fused(gemm_, context_)) inner_ = parts_.inner;
  }

  void tune(cudaStream_t stream) override;
  void forward(const StepInputs& inputs, cudaStream_t stream) override;
  std::string report() const override { return gemm_.report() + "\n"; }

 private:
  // Both from the residual stream that they read; a layer leaves its own in `out`.
  void layer(std::int32_t index, const StepInputs& inputs, const void* residual, void* out,
             cudaStream_t stream);
  void head(const StepInputs& inputs, const void* residual, cudaStream_t stream);

  LayersContext context_;
  Gemm gemm_;
  DeviceBuffer workspace_;
  ProductBuffers parts_;
  void* inner_ = nullptr;  // see run_mlp()
};

void CublasLayers::tune(cudaStream_t stream) {
  tune_products(gemm_, context_, parts_, TunedProducts::kAll, stream);
  // Rows that no step has written are read by whole tiles.
  GPTJ_CUDA_CHECK(cudaMemsetAsync(workspace_.as<>(), 0, workspace_.bytes(), stream));
}

// x + attention(norm(x)) W_o + gelu(norm(x) W_in + b_in) W_out + b_out, with both projections back in one
// product.
void CublasLayers::layer(std::int32_t index, const StepInputs& inputs, const void* residual, void* out,
                         cudaStream_t stream) {
  const std::int64_t count = inputs.rows.rows;
  normalise(context_, index, {.count = count, .in = residual, .out = parts_.normed}, stream);
  run(gemm_, qkv_product(context_, index, {.count = count, .in = parts_.normed, .out = parts_.qkv}), stream);
  context_.mark(Part::kQkvProduct, stream);
  attention(context_, index, inputs, {.qkv = parts_.qkv, .joined = parts_.joined}, stream);
  run_mlp(gemm_, context_, index, {.count = count, .in = parts_.normed, .out = parts_.joined}, inner_,
          stream);
  context_.mark(Part::kMlpProduct, stream);
  const Rows back{.count = count, .in = parts_.joined, .out = out};
  run(gemm_, joined_product(context_, index, back, residual), stream);
  context_.mark(Part::kJoinedProduct, stream);
}

void CublasLayers::head(const StepInputs& inputs, const void* residual, cudaStream_t stream) {
  const std::int64_t count = inputs.logit_row_count;
  normalise_last(context_, inputs.logit_rows, {.count = count, .in = residual, .out = parts_.final_normed},
                 stream);
  run(gemm_, lm_head_product(context_, {.count = count, .in = parts_.final_normed, .out = context_.logits}),
      stream);
  context_.mark(Part::kLmHead, stream);
}

void CublasLayers::forward(const StepInputs& inputs, cudaStream_t stream) {
  void* residual = context_.residual;
  void* other = parts_.residual;
  for (std::int32_t index = 0; index < context_.shape.model.n_layer; ++index) {
    layer(index, inputs, residual, other, stream);
    std::swap(residual, other);
  }
  if (inputs.logit_row_count > 0) head(inputs, residual, stream);
}

}  // namespace

std::size_t CublasLayersSource::workspace_bytes(const NetworkShape& shape) const {
  return carve_products(shape, nullptr).bytes + Gemm::workspace_bytes();
}

std::unique_ptr<Layers> CublasLayersSource::make(const LayersContext& context) const {
  return std::make_unique<CublasLayers>(context);
}

}  // namespace gptj::cuda
