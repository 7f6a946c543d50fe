// The plugin for TensorRT 10 and later: IPluginV3 with its three capabilities.
#include <cstring>
#include <new>
#include <vector>

#include "gptj/error.h"
#include "tensorrt/plugin.h"

namespace gptj::tensorrt {
namespace {

using nvinfer1::DimsExprs;
using nvinfer1::DynamicPluginTensorDesc;
using nvinfer1::PluginTensorDesc;

constexpr const char* kOperationField = "operation";

class OperationPlugin final : public nvinfer1::IPluginV3,
                              public nvinfer1::IPluginV3OneCore,
                              public nvinfer1::IPluginV3OneBuild,
                              public nvinfer1::IPluginV3OneRuntime {
 public:
  explicit OperationPlugin(const Operation& operation) : operation_(operation) {}
  OperationPlugin(const OperationPlugin& other) : OperationPlugin(other.operation_) {}
  OperationPlugin& operator=(const OperationPlugin&) = delete;

  // IPluginV3
  nvinfer1::IPluginCapability* getCapabilityInterface(nvinfer1::PluginCapabilityType type) noexcept override {
    switch (type) {
      case nvinfer1::PluginCapabilityType::kCORE:
        return static_cast<nvinfer1::IPluginV3OneCore*>(this);
      case nvinfer1::PluginCapabilityType::kBUILD:
        return static_cast<nvinfer1::IPluginV3OneBuild*>(this);
      case nvinfer1::PluginCapabilityType::kRUNTIME:
        return static_cast<nvinfer1::IPluginV3OneRuntime*>(this);
    }
    return nullptr;
  }
  nvinfer1::IPluginV3* clone() noexcept override { return new (std::nothrow) OperationPlugin(operation_); }

  // Core
  const char* getPluginName() const noexcept override { return kPluginName; }
  const char* getPluginVersion() const noexcept override { return kPluginVersion; }
  const char* getPluginNamespace() const noexcept override { return kPluginNamespace; }

  // Build
  std::int32_t configurePlugin(const DynamicPluginTensorDesc*, std::int32_t, const DynamicPluginTensorDesc*,
                               std::int32_t) noexcept override {
    return 0;
  }
  std::int32_t getOutputDataTypes(nvinfer1::DataType* types, std::int32_t, const nvinfer1::DataType*,
                                  std::int32_t) const noexcept override {
    types[0] = to_tensorrt(operation_.type);
    return 0;
  }
  std::int32_t getOutputShapes(const DimsExprs* inputs, std::int32_t, const DimsExprs*, std::int32_t,
                               DimsExprs* outputs, std::int32_t,
                               nvinfer1::IExprBuilder& builder) noexcept override {
    outputs[0].nbDims = 2;
    outputs[0].d[0] = inputs[operation_.rows_from].d[0];
    outputs[0].d[1] = builder.constant(operation_.columns);
    return 0;
  }
  bool supportsFormatCombination(std::int32_t position, const DynamicPluginTensorDesc* tensors,
                                 std::int32_t inputs, std::int32_t) noexcept override {
    return accepts(operation_, tensors[position].desc, position == inputs);
  }
  std::int32_t getNbOutputs() const noexcept override { return 1; }

  // Runtime
  std::int32_t onShapeChange(const PluginTensorDesc*, std::int32_t, const PluginTensorDesc*,
                             std::int32_t) noexcept override {
    return 0;
  }
  std::int32_t enqueue(const PluginTensorDesc*, const PluginTensorDesc* outputs, const void* const* inputs,
                       void* const* output, void*, cudaStream_t stream) noexcept override {
    const OperationTensors tensors{.rows = outputs[0].dims.d[0], .inputs = inputs, .output = output[0]};
    return run_operation(operation_, tensors, stream) ? 0 : 1;
  }
  nvinfer1::IPluginV3* attachToContext(nvinfer1::IPluginResourceContext*) noexcept override {
    return clone();
  }
  const nvinfer1::PluginFieldCollection* getFieldsToSerialize() noexcept override {
    field_ = nvinfer1::PluginField(kOperationField, &operation_, nvinfer1::PluginFieldType::kUNKNOWN,
                                   static_cast<std::int32_t>(sizeof operation_));
    fields_ = {.nbFields = 1, .fields = &field_};
    return &fields_;
  }

 private:
  Operation operation_;
  nvinfer1::PluginField field_;
  nvinfer1::PluginFieldCollection fields_{};
};

class OperationCreator final : public nvinfer1::IPluginCreatorV3One {
 public:
  const char* getPluginName() const noexcept override { return kPluginName; }
  const char* getPluginVersion() const noexcept override { return kPluginVersion; }
  const char* getPluginNamespace() const noexcept override { return kPluginNamespace; }
  const nvinfer1::PluginFieldCollection* getFieldNames() noexcept override { return &names_; }
  nvinfer1::IPluginV3* createPlugin(const char*, const nvinfer1::PluginFieldCollection* fields,
                                    nvinfer1::TensorRTPhase) noexcept override {
    for (std::int32_t i = 0; fields != nullptr && i < fields->nbFields; ++i) {
      const nvinfer1::PluginField& field = fields->fields[i];
      Operation operation;
      if (std::strcmp(field.name, kOperationField) != 0 || field.length != sizeof operation) continue;
      std::memcpy(&operation, field.data, sizeof operation);
      return new (std::nothrow) OperationPlugin(operation);
    }
    return nullptr;
  }

 private:
  nvinfer1::PluginField name_{kOperationField, nullptr, nvinfer1::PluginFieldType::kUNKNOWN,
                              static_cast<std::int32_t>(sizeof(Operation))};
  nvinfer1::PluginFieldCollection names_{.nbFields = 1, .fields = &name_};
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
  nvinfer1::IPluginV3Layer* const layer =
      network.addPluginV3(inputs.data(), static_cast<std::int32_t>(inputs.size()), nullptr, 0, plugin);
  if (layer == nullptr) throw Error(ErrorKind::kInternal, "TensorRT refused the operation " + name);
  layer->setName(name.c_str());
  return *layer->getOutput(0);
}

}  // namespace gptj::tensorrt
