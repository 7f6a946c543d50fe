#include "tensorrt/plan_layers.h"

#include <array>
#include <utility>

#include "cuda/gemm.h"
#include "cuda/memory.h"
#include "cuda/products.h"
#include "gptj/error.h"
#include "tensorrt/files.h"
#include "tensorrt/network_builder.h"
#include "tensorrt/operation.h"
#include "tensorrt/plugin.h"
#include "tensorrt/runtime_library.h"
#include "tensorrt/versions.h"

namespace gptj::tensorrt {
namespace {

// A plan in memory; what is destroyed first is last.
struct LoadedPlan {
  explicit LoadedPlan(bool verbose) : logger(verbose) {}

  Logger logger;
  std::unique_ptr<nvinfer1::IRuntime> runtime;
  std::unique_ptr<nvinfer1::ICudaEngine> engine;
};

// fp16 [rows, inner]: what the MLP's product needs where the library does not fuse GELU into it.
std::size_t plain_mlp_bytes(const cuda::NetworkShape& shape) {
  return 2 * static_cast<std::size_t>(shape.limits.max_tokens_per_step + cuda::kSpareRows) *
         static_cast<std::size_t>(shape.model.n_inner);
}

// Whether TensorRT multiplies: then the layers' matrices are inputs.
bool has_own_products(const nvinfer1::ICudaEngine& engine) {
  const std::string matrix = weight_name(0, LayerMatrix::kQkv);
  for (std::int32_t index = 0; index < engine.getNbIOTensors(); ++index) {
    if (engine.getIOTensorName(index) == matrix) return true;
  }
  return false;
}

std::string remedy(const std::string& path) {
  return "; build it again with `run_harness generate-engines`, after removing " + path;
}

class PlanLayers final : public cuda::Layers {
 public:
  PlanLayers(const cuda::LayersContext& context, std::shared_ptr<LoadedPlan> plan)
      : context_(context),
        plan_(std::move(plan)),
        has_own_products_(has_own_products(*plan_->engine)),
        memory_(device_bytes(*plan_->engine), "the plan's activations"),
        no_row_(sizeof(std::int32_t), "a row number"),
        execution_(create_context(*plan_->engine)) {
    if (!execution_) {
      throw Error(ErrorKind::kInternal, "TensorRT gives no execution context" + plan_->logger.reason());
    }
    give_memory(*execution_, memory_.as<>(), memory_.bytes());
    GPTJ_CUDA_CHECK(cudaMemset(memory_.as<>(), 0, memory_.bytes()));
    GPTJ_CUDA_CHECK(cudaMemset(no_row_.as<>(), 0, no_row_.bytes()));
    bind(kResidual, context_.residual);
    bind(kLogits, context_.logits);
    if (has_own_products_) {
      bind_weights();
    } else if (!cuda::gelu_is_fused(gemm_, context_)) {
      inner_ = cuda::DeviceBuffer(plain_mlp_bytes(context_.shape), "the MLP's product");
    }
  }

  void tune(cudaStream_t stream) override;
  void forward(const cuda::StepInputs& inputs, cudaStream_t stream) override;
  std::string report() const override {
    return gemm_.report() + "; Q, K, V and the MLP's product are one part where TensorRT computes them\n";
  }

 private:
  void bind(const std::string& name, const void* address) {
    if (!execution_->setTensorAddress(name.c_str(), const_cast<void*>(address))) {
      throw Error(ErrorKind::kInternal, "the plan has no tensor " + name + plan_->logger.reason());
    }
  }

  void bind_weights() {
    for (std::int32_t layer = 0; layer < context_.shape.model.n_layer; ++layer) {
      const cuda::LayerWeights& weights = context_.weights->layer(layer);
      const std::array<const void*, 4> addresses{weights.qkv, weights.fc_in, weights.joined,
                                                 weights.joined_bias};
      for (const LayerMatrix matrix : kLayerMatrices) {
        bind(weight_name(layer, matrix), addresses[static_cast<std::size_t>(matrix)]);
      }
    }
  }

  void set_rows(const char* name, const nvinfer1::Dims& size) {
    if (!execution_->setInputShape(name, size)) {
      throw Error(ErrorKind::kInvalidArgument, "a step of " + std::to_string(size.d[0]) +
                                                   " rows is outside of the plan's range for " + name +
                                                   plan_->logger.reason());
    }
  }

  cuda::LayersContext context_;
  std::shared_ptr<LoadedPlan> plan_;
  bool has_own_products_;
  cuda::Gemm gemm_;
  cuda::DeviceBuffer memory_;
  cuda::DeviceBuffer no_row_;  // what a step without logits asks for: row 0, which nobody looks at
  cuda::DeviceBuffer inner_;   // only where the library does not fuse GELU
  std::unique_ptr<nvinfer1::IExecutionContext> execution_;
};

// The buffers are only needed here, and small beside what the memory plan leaves to the driver.
void PlanLayers::tune(cudaStream_t stream) {
  const cuda::DeviceBuffer memory(cuda::carve_products(context_.shape, nullptr).bytes, "tuning");
  GPTJ_CUDA_CHECK(cudaMemsetAsync(memory.as<>(), 0, memory.bytes(), stream));
  cuda::tune_products(gemm_, context_, cuda::carve_products(context_.shape, memory.as<>()),
                      has_own_products_ ? cuda::TunedProducts::kLmHead : cuda::TunedProducts::kAll, stream);
  GPTJ_CUDA_CHECK(cudaStreamSynchronize(stream));
}

void PlanLayers::forward(const cuda::StepInputs& inputs, cudaStream_t stream) {
  StepScope scope{
      .context = context_, .inputs = inputs, .gemm = gemm_, .inner = inner_.as<>(), .failure = {}};
  const ScopeGuard guard(scope);
  set_rows(kResidual, dims({cuda::Gemm::padded_rows(inputs.rows.rows), context_.dims.hidden}));
  const bool has_logits = inputs.logit_row_count > 0;
  set_rows(kLogitRows, dims({has_logits ? inputs.logit_row_count : 1}));
  bind(kLogitRows, has_logits ? inputs.logit_rows : no_row_.as<std::int32_t>());
  if (execution_->enqueueV3(stream)) return;
  if (scope.failure) std::rethrow_exception(scope.failure);
  throw Error(ErrorKind::kInternal, "TensorRT did not take the step" + plan_->logger.reason());
}

class PlanSource final : public cuda::LayersSource {
 public:
  PlanSource(std::shared_ptr<LoadedPlan> plan) : plan_(std::move(plan)) {}

  std::string name() const override { return "tensorrt " + RuntimeLibrary::open().version(); }
  std::size_t workspace_bytes(const cuda::NetworkShape& shape) const override {
    // Only a library that is at work tells whether it fuses GELU: the worst is counted.
    const std::size_t mlp = has_own_products(*plan_->engine) ? 0 : plain_mlp_bytes(shape);
    return device_bytes(*plan_->engine) + cuda::Gemm::workspace_bytes() + mlp;
  }
  std::unique_ptr<cuda::Layers> make(const cuda::LayersContext& context) const override {
    return std::make_unique<PlanLayers>(context, plan_);
  }

 private:
  std::shared_ptr<LoadedPlan> plan_;
};

// The tensor's largest size in the plan's one profile.
std::int64_t most_rows(const nvinfer1::ICudaEngine& engine, const char* name) {
  const nvinfer1::Dims most = engine.getProfileShape(name, 0, nvinfer1::OptProfileSelector::kMAX);
  return most.nbDims > 0 ? static_cast<std::int64_t>(most.d[0]) : -1;
}

void check_range(const nvinfer1::ICudaEngine& engine, const std::string& path, const char* name,
                 std::int64_t wanted) {
  const std::int64_t most = most_rows(engine, name);
  if (most == wanted) return;
  throw Error(ErrorKind::kInvalidArgument, "the plan " + path + " has " + std::to_string(most) + " rows of " +
                                               name + ", and these settings need " + std::to_string(wanted) +
                                               remedy(path));
}

}  // namespace

std::unique_ptr<cuda::LayersSource> read_plan(const EngineOptions& options, const cuda::NetworkShape& shape) {
  const std::vector<char> bytes = read_if_there(options.plan_path);
  if (bytes.empty()) {
    throw Error(ErrorKind::kIo,
                "there is no plan " + options.plan_path + "; build it with `run_harness generate-engines`");
  }
  auto plan = std::make_shared<LoadedPlan>(options.verbose);
  plan->runtime = RuntimeLibrary::open().runtime(plan->logger);
  register_operations(plan->runtime->getPluginRegistry());
  plan->engine.reset(plan->runtime->deserializeCudaEngine(bytes.data(), bytes.size()));
  if (!plan->engine) {
    throw Error(ErrorKind::kInvalidArgument, "TensorRT " + RuntimeLibrary::open().version() +
                                                 " cannot use the plan " + options.plan_path +
                                                 plan->logger.reason() + remedy(options.plan_path));
  }
  check_range(*plan->engine, options.plan_path, kResidual, plan_rows(shape));
  check_range(*plan->engine, options.plan_path, kLogitRows, plan_logit_rows(shape));
  return std::make_unique<PlanSource>(std::move(plan));
}

}  // namespace gptj::tensorrt
