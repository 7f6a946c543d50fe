// The plugin for TensorRT 8.6: IPluginV2DynamicExt.
#include <cstring>
#include <memory>

#include "gptj/error.h"
#include "tensorrt/plugin.h"

namespace gptj::tensorrt {
namespace {

using nvinfer1::DimsExprs;
using nvinfer1::DynamicPluginTensorDesc;
using nvinfer1::PluginTensorDesc;

class OperationPlugin final : public nvinfer1::IPluginV2DynamicExt {
 public:
  explicit OperationPlugin(const Operation& operation) : operation_(operation) {}

  // IPluginV2
  const char* getPluginType() const noexcept override { return kPluginName; }
  const char* getPluginVersion() const noexcept override { return kPluginVersion; }
  std::int32_t getNbOutputs() const noexcept override { return 1; }
  std::int32_t initialize() noexcept override { return 0; }
  void terminate() noexcept override {}
  std::size_t getSerializationSize() const noexcept override { return sizeof operation_; }
  void serialize(void* buffer) const noexcept override {
    std::memcpy(buffer, &operation_, sizeof operation_);
  }
  void destroy() noexcept override { delete this; }
  void setPluginNamespace(const char*) noexcept override {}
  const char* getPluginNamespace() const noexcept override { return kPluginNamespace; }

  // IPluginV2Ext
  nvinfer1::DataType getOutputDataType(std::int32_t, const nvinfer1::DataType*,
                                       std::int32_t) const noexcept override {
    return to_tensorrt(operation_.type);
  }

  // IPluginV2DynamicExt
  IPluginV2DynamicExt* clone() const noexcept override {
    return new (std::nothrow) OperationPlugin(operation_);
  }
  DimsExprs getOutputDimensions(std::int32_t, const DimsExprs* inputs, std::int32_t,
                                nvinfer1::IExprBuilder& builder) noexcept override {
    DimsExprs out{};
    out.nbDims = 2;
    out.d[0] = inputs[operation_.rows_from].d[0];
    out.d[1] = builder.constant(operation_.columns);
    return out;
  }
  bool supportsFormatCombination(std::int32_t position, const PluginTensorDesc* tensors, std::int32_t inputs,
                                 std::int32_t) noexcept override {
    return accepts(operation_, tensors[position], position == inputs);
  }
  void configurePlugin(const DynamicPluginTensorDesc*, std::int32_t, const DynamicPluginTensorDesc*,
                       std::int32_t) noexcept override {}
  std::size_t getWorkspaceSize(const PluginTensorDesc*, std::int32_t, const PluginTensorDesc*,
                               std::int32_t) const noexcept override {
    return 0;
  }
  std::int32_t enqueue(const PluginTensorDesc*, const PluginTensorDesc* outputs, const void* const* inputs,
                       void* const* output, void*, cudaStream_t stream) noexcept override {
    const OperationTensors tensors{.rows = outputs[0].dims.d[0], .inputs = inputs, .output = output[0]};
    return run_operation(operation_, tensors, stream) ? 0 : 1;
  }

 private:
  Operation operation_;
};

class OperationCreator final : public nvinfer1::IPluginCreator {
 public:
  const char* getPluginName() const noexcept override { return kPluginName; }
  const char* getPluginVersion() const noexcept override { return kPluginVersion; }
  const nvinfer1::PluginFieldCollection* getFieldNames() noexcept override { return &fields_; }
  // Networks are made with add_operation() alone.
  nvinfer1::IPluginV2* createPlugin(const char*, const nvinfer1::PluginFieldCollection*) noexcept override {
    return nullptr;
  }
  nvinfer1::IPluginV2* deserializePlugin(const char*, const void* data, std::size_t bytes) noexcept override {
    Operation operation;
    if (bytes != sizeof operation) return nullptr;
    std::memcpy(&operation, data, sizeof operation);
    return new (std::nothrow) OperationPlugin(operation);
  }
  void setPluginNamespace(const char*) noexcept override {}
  const char* getPluginNamespace() const noexcept override { return kPluginNamespace; }

 private:
  nvinfer1::PluginFieldCollection fields_{};
};

}  // namespace

void register_operations(nvinfer1::IPluginRegistry& registry) {
  static OperationCreator creator;  // outlives every runtime
  if (registry.registerCreator(creator, kPluginNamespace)) return;
  throw Error(ErrorKind::kInternal, "TensorRT refused the plugin " + std::string(kPluginName));
}

nvinfer1::ITensor& add_operation(nvinfer1::INetworkDefinition& network, const Operation& operation,
                                 std::span<nvinfer1::ITensor* const> inputs, const std::string& name) {
  OperationPlugin plugin(operation);  // the network takes a copy
  nvinfer1::IPluginV2Layer* const layer =
      network.addPluginV2(inputs.data(), static_cast<std::int32_t>(inputs.size()), plugin);
  if (layer == nullptr) throw Error(ErrorKind::kInternal, "TensorRT refused the operation " + name);
  layer->setName(name.c_str());
  return *layer->getOutput(0);
}

}  // namespace gptj::tensorrt
