// What else differs between TensorRT 8.6 and 10 to 11, beside plugins.
#pragma once

#include <NvInfer.h>

#include <cstddef>
#include <cstdint>
#include <memory>

namespace gptj::tensorrt {

static_assert(NV_TENSORRT_MAJOR == 8 || NV_TENSORRT_MAJOR >= 10, "TensorRT 8.6, 10 and 11 are supported");

#if NV_TENSORRT_MAJOR == 8

// fp16 has to be allowed, and asked for layer by layer.
inline nvinfer1::INetworkDefinition* create_network(nvinfer1::IBuilder& builder) {
  return builder.createNetworkV2(
      1U << static_cast<std::uint32_t>(nvinfer1::NetworkDefinitionCreationFlag::kEXPLICIT_BATCH));
}
inline void allow_half(nvinfer1::IBuilderConfig& config) {
  config.setFlag(nvinfer1::BuilderFlag::kFP16);
  config.setFlag(nvinfer1::BuilderFlag::kPREFER_PRECISION_CONSTRAINTS);
}
inline void keep_half(nvinfer1::ILayer& layer) {
  layer.setPrecision(nvinfer1::DataType::kHALF);
  layer.setOutputType(0, nvinfer1::DataType::kHALF);
}
inline std::size_t device_bytes(const nvinfer1::ICudaEngine& engine) { return engine.getDeviceMemorySize(); }
inline nvinfer1::IExecutionContext* create_context(nvinfer1::ICudaEngine& engine) {
  return engine.createExecutionContextWithoutDeviceMemory();
}
inline void give_memory(nvinfer1::IExecutionContext& context, void* memory, std::size_t) {
  context.setDeviceMemory(memory);
}
// getInferLibVersion() of this release counts as 8603 does for 8.6.3.
inline constexpr int kVersionSteps[] = {1000, 100};

#else

// Networks are strongly typed: layers compute in the type of their inputs.
inline nvinfer1::INetworkDefinition* create_network(nvinfer1::IBuilder& builder) {
#if NV_TENSORRT_MAJOR == 10
  return builder.createNetworkV2(
      1U << static_cast<std::uint32_t>(nvinfer1::NetworkDefinitionCreationFlag::kSTRONGLY_TYPED));
#else
  return builder.createNetworkV2(0U);
#endif
}
inline void allow_half(nvinfer1::IBuilderConfig&) {}
inline void keep_half(nvinfer1::ILayer&) {}
inline std::size_t device_bytes(const nvinfer1::ICudaEngine& engine) {
  return static_cast<std::size_t>(engine.getDeviceMemorySizeV2());
}
inline nvinfer1::IExecutionContext* create_context(nvinfer1::ICudaEngine& engine) {
  return engine.createExecutionContext(nvinfer1::ExecutionContextAllocationStrategy::kUSER_MANAGED);
}
inline void give_memory(nvinfer1::IExecutionContext& context, void* memory, std::size_t bytes) {
  context.setDeviceMemoryV2(memory, static_cast<std::int64_t>(bytes));
}
// 10.3.1 is 100301.
inline constexpr int kVersionSteps[] = {10000, 100};

#endif

inline nvinfer1::Dims dims(std::initializer_list<std::int64_t> sizes) {
  nvinfer1::Dims result{};
  for (const std::int64_t size : sizes) {
    result.d[result.nbDims++] = static_cast<std::remove_reference_t<decltype(result.d[0])>>(size);
  }
  return result;
}

}  // namespace gptj::tensorrt
