#include "tensorrt/network_builder.h"

#include <chrono>
#include <vector>

#include "cuda/gemm.h"
#include "cuda/gpu_engine.h"
#include "cuda/weights.h"
#include "gptj/error.h"
#include "tensorrt/files.h"
#include "tensorrt/plugin.h"
#include "tensorrt/runtime_library.h"
#include "tensorrt/versions.h"

namespace gptj::tensorrt {
namespace {

using nvinfer1::ITensor;

// What TensorRT's own products may use beside their tensors.
constexpr std::size_t kTacticBytes = std::size_t{256} << 20;

double seconds_since(std::chrono::steady_clock::time_point begin) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
}

class NetworkBuilder {
 public:
  NetworkBuilder(nvinfer1::INetworkDefinition& network, const cuda::NetworkShape& shape, bool gemm_plugin)
      : network_(network),
        hidden_(shape.model.n_embd),
        inner_(shape.model.n_inner),
        shape_(shape),
        is_fp8_(shape.type == cuda::ElementType::kF8E4M3),
        has_own_products_(!gemm_plugin && !is_fp8_) {}

  void build() {
    ITensor* residual = input(kResidual, nvinfer1::DataType::kHALF, {-1, hidden_});
    ITensor* const logit_rows = input(kLogitRows, nvinfer1::DataType::kINT32, {-1});
    for (std::int32_t layer = 0; layer < shape_.model.n_layer; ++layer) {
      residual = has_own_products_ ? tensor_layer(layer, residual) : operation_layer(layer, residual);
    }
    ITensor* const normed = add({.kind = OperationKind::kFinalNorm,
                                 .columns = narrow(hidden_),
                                 .type = ValueType::kHalf,
                                 .rows_from = 1},
                                {residual, logit_rows}, "final norm");
    ITensor* const logits = add({.kind = OperationKind::kLmHead,
                                 .columns = narrow(cuda::padded_vocab(shape_.model)),
                                 .type = ValueType::kFloat},
                                {normed}, "LM head");
    logits->setName(kLogits);
    network_.markOutput(*logits);
  }

 private:
  static std::int32_t narrow(std::int64_t value) { return static_cast<std::int32_t>(value); }

  ITensor* input(const std::string& name, nvinfer1::DataType type,
                 std::initializer_list<std::int64_t> sizes) {
    ITensor* const tensor = network_.addInput(name.c_str(), type, dims(sizes));
    if (tensor == nullptr) throw Error(ErrorKind::kInternal, "TensorRT refused the input " + name);
    tensor->setAllowedFormats(1U << static_cast<std::uint32_t>(nvinfer1::TensorFormat::kLINEAR));
    return tensor;
  }

  ITensor* add(const Operation& operation, const std::vector<ITensor*>& inputs, const std::string& name) {
    return &add_operation(network_, operation, inputs, name);
  }

  // Gives rows of `columns` elements of the layers' type. E4M3 ones are int32 rows of a quarter of them.
  Operation typed(OperationKind kind, std::int32_t layer, std::int64_t columns) const {
    if (!is_fp8_) return half(kind, layer, columns);
    return {.kind = kind, .layer = layer, .columns = narrow(columns / 4), .type = ValueType::kInt32};
  }
  Operation half(OperationKind kind, std::int32_t layer, std::int64_t columns) const {
    return {.kind = kind, .layer = layer, .columns = narrow(columns), .type = ValueType::kHalf};
  }

  ITensor* operation_layer(std::int32_t layer, ITensor* residual) {
    const std::string name = "layer " + std::to_string(layer) + " ";
    ITensor* const normed = add(typed(OperationKind::kNorm, layer, hidden_), {residual}, name + "norm");
    ITensor* const qkv =
        add(half(OperationKind::kQkvProduct, layer, 3 * hidden_), {normed}, name + "Q, K, V");
    ITensor* const joined = add(typed(OperationKind::kAttentionAndMlp, layer, hidden_ + inner_),
                                {qkv, normed}, name + "attention and MLP");
    return add(half(OperationKind::kJoinedProduct, layer, hidden_), {joined, residual}, name + "back");
  }

  ITensor* tensor_layer(std::int32_t layer, ITensor* residual) {
    const std::string name = "layer " + std::to_string(layer) + " ";
    ITensor* const normed = add(half(OperationKind::kNorm, layer, hidden_), {residual}, name + "norm");
    ITensor* const qkv = product(normed, layer, LayerMatrix::kQkv, {3 * hidden_, hidden_});
    ITensor* const inner = product(normed, layer, LayerMatrix::kFcIn, {inner_, hidden_});
    ITensor* const joined = add(half(OperationKind::kAttentionAndGelu, layer, hidden_ + inner_), {qkv, inner},
                                name + "attention and GELU");
    ITensor* const back = product(joined, layer, LayerMatrix::kJoined, {hidden_, hidden_ + inner_});
    ITensor* const bias =
        input(weight_name(layer, LayerMatrix::kJoinedBias), nvinfer1::DataType::kHALF, {1, hidden_});
    return sum(*sum(*back, *bias, name + "bias"), *residual, name + "residual");
  }

  // x W^T with W [out, in] an input of the network.
  ITensor* product(ITensor* x, std::int32_t layer, LayerMatrix matrix,
                   std::initializer_list<std::int64_t> sizes) {
    const std::string name = weight_name(layer, matrix);
    ITensor* const weights = input(name, nvinfer1::DataType::kHALF, sizes);
    nvinfer1::IMatrixMultiplyLayer* const made = network_.addMatrixMultiply(
        *x, nvinfer1::MatrixOperation::kNONE, *weights, nvinfer1::MatrixOperation::kTRANSPOSE);
    if (made == nullptr) throw Error(ErrorKind::kInternal, "TensorRT refused the product with " + name);
    made->setName(("product with " + name).c_str());
    keep_half(*made);
    return made->getOutput(0);
  }

  ITensor* sum(ITensor& a, ITensor& b, const std::string& name) {
    nvinfer1::IElementWiseLayer* const made =
        network_.addElementWise(a, b, nvinfer1::ElementWiseOperation::kSUM);
    if (made == nullptr) throw Error(ErrorKind::kInternal, "TensorRT refused the sum " + name);
    made->setName(name.c_str());
    keep_half(*made);
    return made->getOutput(0);
  }

  nvinfer1::INetworkDefinition& network_;
  std::int64_t hidden_;
  std::int64_t inner_;
  const cuda::NetworkShape& shape_;
  bool is_fp8_;
  bool has_own_products_;  // TensorRT's layers
};

void set_range(nvinfer1::IOptimizationProfile& profile, const char* name, const nvinfer1::Dims& least,
               const nvinfer1::Dims& most) {
  using nvinfer1::OptProfileSelector;
  // Tuned for full steps, which is where throughput is made.
  if (!profile.setDimensions(name, OptProfileSelector::kMIN, least) ||
      !profile.setDimensions(name, OptProfileSelector::kOPT, most) ||
      !profile.setDimensions(name, OptProfileSelector::kMAX, most)) {
    throw Error(ErrorKind::kInternal, "TensorRT refused the range of " + std::string(name));
  }
}

struct Timings {
  std::unique_ptr<nvinfer1::ITimingCache> cache;  // lives until the plan is built
  bool are_known = false;
};

// Those of earlier builds, unless TensorRT refuses them for being of another version or GPU; then none.
Timings use_timings(nvinfer1::IBuilderConfig& config, const std::vector<char>& known) {
  Timings timings;
  if (!known.empty()) {
    timings.cache.reset(config.createTimingCache(known.data(), known.size()));
    timings.are_known = timings.cache && config.setTimingCache(*timings.cache, false);
  }
  if (timings.are_known) return timings;
  timings.cache.reset(config.createTimingCache(nullptr, 0));
  if (timings.cache && !config.setTimingCache(*timings.cache, false)) timings.cache.reset();
  return timings;
}

}  // namespace

std::string weight_name(std::int32_t layer, LayerMatrix matrix) {
  static constexpr const char* kNames[] = {"qkv", "fc_in", "joined", "joined_bias"};
  return "layer." + std::to_string(layer) + "." + kNames[static_cast<std::size_t>(matrix)];
}

std::int64_t plan_rows(const cuda::NetworkShape& shape) {
  return cuda::Gemm::padded_rows(shape.limits.max_tokens_per_step);
}

std::int64_t plan_logit_rows(const cuda::NetworkShape& shape) {
  return cuda::Gemm::padded_rows(shape.max_logit_rows());
}

PlanReport build_plan(const PlanRequest& request) {
  PlanReport report;
  const auto begin = std::chrono::steady_clock::now();
  const cuda::NetworkShape shape = cuda::network_shape(request.options, request.model, request.generation);
  Logger logger(request.options.verbose);
  const RuntimeLibrary& library = RuntimeLibrary::open();
  const auto builder = library.builder(logger);
  const std::unique_ptr<nvinfer1::INetworkDefinition> network(create_network(*builder));
  const std::unique_ptr<nvinfer1::IBuilderConfig> config(builder->createBuilderConfig());
  if (!network || !config) throw Error(ErrorKind::kInternal, "TensorRT gives no network" + logger.reason());
  NetworkBuilder(*network, shape, request.options.gemm_plugin).build();

  nvinfer1::IOptimizationProfile* const profile = builder->createOptimizationProfile();
  const std::int64_t hidden = shape.model.n_embd;
  set_range(*profile, kResidual, dims({1, hidden}), dims({plan_rows(shape), hidden}));
  set_range(*profile, kLogitRows, dims({1}), dims({plan_logit_rows(shape)}));
  config->addOptimizationProfile(profile);
  allow_half(*config);
  // Its own kernels alone: cuBLAS and cuDNN of the version that it wants need not be on this machine.
  config->setTacticSources(0);
  config->setMemoryPoolLimit(nvinfer1::MemoryPoolType::kWORKSPACE, kTacticBytes);
  const std::vector<char> known =
      request.timing_cache_path.empty() ? std::vector<char>() : read_if_there(request.timing_cache_path);
  const auto timings = use_timings(*config, known);
  report.network_seconds = seconds_since(begin);

  const auto start = std::chrono::steady_clock::now();
  const std::unique_ptr<nvinfer1::IHostMemory> plan(builder->buildSerializedNetwork(*network, *config));
  if (!plan) {
    throw Error(ErrorKind::kInternal,
                "TensorRT " + library.version() + " could not build a plan for GPU " +
                    std::to_string(request.options.device) + logger.reason() +
                    ". If memory ran out: end what else runs on the GPU, or use a smaller "
                    "max_tokens_per_step");
  }
  report.build_seconds = seconds_since(start);
  write_whole(request.options.plan_path, plan->data(), plan->size());
  report.plan_bytes = plan->size();
  // TensorRT 8.6 reads a part of the cache only now, and starts afresh where it does not like it.
  if (timings.are_known && !logger.refused_timings()) report.timings_reused = known.size();
  if (timings.cache && !request.timing_cache_path.empty()) {
    const std::unique_ptr<nvinfer1::IHostMemory> blob(config->getTimingCache()->serialize());
    if (blob) write_whole(request.timing_cache_path, blob->data(), blob->size());
  }
  return report;
}

}  // namespace gptj::tensorrt
