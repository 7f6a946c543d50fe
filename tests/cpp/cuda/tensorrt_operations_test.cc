// The operations of TensorRT's plans, one after the other without TensorRT: they have to give the logits of
// the CUDA engine's own layers, bit for bit, since they are the same kernels and products.
#include <gtest/gtest.h>

#include <cstddef>
#include <cstdint>
#include <exception>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "cuda/gemm.h"
#include "cuda/memory.h"
#include "cuda/products.h"
#include "cuda/same_logits.h"
#include "cuda/scene_shapes.h"
#include "tensorrt/operation.h"

namespace gptj::testing {
namespace {

using tensorrt::OperationKind;

// As a plan runs them: on whole tiles of rows, every tensor with memory of its own.
class OperationLayers final : public cuda::Layers {
 public:
  explicit OperationLayers(const cuda::LayersContext& context)
      : context_(context),
        memory_(cuda::carve_products(context.shape, nullptr).bytes, "tensors"),
        parts_(cuda::carve_products(context.shape, memory_.as<>())),
        no_row_(sizeof(std::int32_t), "a row number") {
    const auto rows = static_cast<std::size_t>(context.shape.limits.max_tokens_per_step + cuda::kSpareRows);
    for (cuda::DeviceBuffer& residual : residuals_) {
      residual = cuda::DeviceBuffer(2 * rows * static_cast<std::size_t>(context.dims.hidden), "residuals");
    }
    GPTJ_CUDA_CHECK(cudaMemset(no_row_.as<>(), 0, no_row_.bytes()));
    is_fused_ = cuda::gelu_is_fused(gemm_, context_);
  }

  void tune(cudaStream_t stream) override {
    cuda::tune_products(gemm_, context_, parts_, cuda::TunedProducts::kAll, stream);
    // NaN: rows that no operation has written must not matter.
    GPTJ_CUDA_CHECK(cudaMemsetAsync(memory_.as<>(), 0xFF, memory_.bytes(), stream));
    for (const cuda::DeviceBuffer& residual : residuals_) {
      GPTJ_CUDA_CHECK(cudaMemsetAsync(residual.as<>(), 0xFF, residual.bytes(), stream));
    }
  }

  void forward(const cuda::StepInputs& inputs, cudaStream_t stream) override {
    tensorrt::StepScope scope{.context = context_,
                              .inputs = inputs,
                              .gemm = gemm_,
                              .inner = is_fused_ ? nullptr : parts_.inner,
                              .failure = {}};
    const tensorrt::ScopeGuard guard(scope);
    const std::int64_t rows = cuda::Gemm::padded_rows(inputs.rows.rows);
    const auto run = [&](OperationKind kind, std::int32_t layer, std::int64_t count,
                         const std::vector<const void*>& from, void* to) {
      const tensorrt::OperationTensors tensors{.rows = count, .inputs = from.data(), .output = to};
      if (run_operation({.kind = kind, .layer = layer}, tensors, stream)) return;
      std::rethrow_exception(scope.failure);
    };
    void* residual = context_.residual;
    for (std::int32_t layer = 0; layer < context_.shape.model.n_layer; ++layer) {
      void* const next = residuals_[layer % 2].as<>();
      run(OperationKind::kNorm, layer, rows, {residual}, parts_.normed);
      run(OperationKind::kQkvProduct, layer, rows, {parts_.normed}, parts_.qkv);
      run(OperationKind::kAttentionAndMlp, layer, rows, {parts_.qkv, parts_.normed}, parts_.joined);
      run(OperationKind::kJoinedProduct, layer, rows, {parts_.joined, residual}, next);
      residual = next;
    }
    const bool has_logits = inputs.logit_row_count > 0;
    const std::int64_t logit_rows = has_logits ? inputs.logit_row_count : 1;
    const void* const which = has_logits ? inputs.logit_rows : no_row_.as<std::int32_t>();
    run(OperationKind::kFinalNorm, 0, logit_rows, {residual, which}, parts_.final_normed);
    run(OperationKind::kLmHead, 0, logit_rows, {parts_.final_normed}, context_.logits);
  }

 private:
  cuda::LayersContext context_;
  cuda::Gemm gemm_;
  cuda::DeviceBuffer memory_;
  cuda::ProductBuffers parts_;
  cuda::DeviceBuffer residuals_[2];
  cuda::DeviceBuffer no_row_;
  bool is_fused_ = false;
};

class OperationSource final : public cuda::LayersSource {
 public:
  std::string name() const override { return "operations"; }
  std::size_t workspace_bytes(const cuda::NetworkShape&) const override { return 0; }
  std::unique_ptr<cuda::Layers> make(const cuda::LayersContext& context) const override {
    return std::make_unique<OperationLayers>(context);
  }
};

class TensorrtOperations : public NetworkTest {
 protected:
  static void expect_bits_of_cuda(const cuda::LayersSource& source) {
    for (const std::int32_t layers : GetParam().is_mini ? std::vector{4} : std::vector{1, 3}) {
      const std::uint32_t seed = fresh_seed();
      std::mt19937 random(seed);
      const SceneShape shape = draw_shape(random, layers);
      SCOPED_TRACE("GPTJ_TEST_SEED=" + std::to_string(seed) + ": " + to_text(shape));
      expect_same_logits(shape, seed, source);
      if (HasFailure()) return;
    }
  }
};

TEST_P(TensorrtOperations, GiveTheBitsOfTheCudaEnginesLayers) { expect_bits_of_cuda(OperationSource()); }

// Tells, where the test above fails, whether it is because tuning takes other algorithms each time.
TEST_P(TensorrtOperations, AreNoWorseThanTheCudaEnginesLayersTunedAgain) {
  expect_bits_of_cuda(cuda::CublasLayersSource());
}

INSTANTIATE_TEST_SUITE_P(OnTheGpu, TensorrtOperations, ::testing::ValuesIn(network_cases_of_all_sizes()),
                         [](const auto& info) { return info.param.name; });

}  // namespace
}  // namespace gptj::testing
