// Operations as TensorRT's plugins. The one place that knows the plugin interface: plugin_v2.cc implements it
// for TensorRT 8.6, plugin_v3.cc for 10 and later.
#pragma once

#include <NvInfer.h>

#include <span>
#include <string>

#include "tensorrt/operation.h"

namespace gptj::tensorrt {

inline constexpr const char* kPluginName = "GptjOperation";
inline constexpr const char* kPluginVersion = "1";
inline constexpr const char* kPluginNamespace = "";

// Makes the plugin known, so that the runtime that has this registry can read plans with operations. Once for
// each runtime: every one has a registry of its own.
void register_operations(nvinfer1::IPluginRegistry& registry);

// Adds the operation to the network and gives its output.
nvinfer1::ITensor& add_operation(nvinfer1::INetworkDefinition& network, const Operation& operation,
                                 std::span<nvinfer1::ITensor* const> inputs, const std::string& name);

inline nvinfer1::DataType to_tensorrt(ValueType type) {
  switch (type) {
    case ValueType::kHalf:
      return nvinfer1::DataType::kHALF;
    case ValueType::kFloat:
      return nvinfer1::DataType::kFLOAT;
    case ValueType::kInt32:
      return nvinfer1::DataType::kINT32;
  }
  return nvinfer1::DataType::kHALF;
}

// Whether the operation takes, or gives, a tensor of this type and format: rows as they are, none converted.
inline bool accepts(const Operation& operation, const nvinfer1::PluginTensorDesc& tensor, bool is_output) {
  if (tensor.format != nvinfer1::TensorFormat::kLINEAR) return false;
  if (is_output) return tensor.type == to_tensorrt(operation.type);
  return tensor.type == nvinfer1::DataType::kHALF || tensor.type == nvinfer1::DataType::kINT32;
}

}  // namespace gptj::tensorrt
