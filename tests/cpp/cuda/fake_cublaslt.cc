// cuBLASLt's functions that the engine calls, for the one form of product that it asks for; see fake_cuda.h.
// Every product has one algorithm.
#include <cublasLt.h>

#include <cmath>
#include <cstring>
#include <new>
#include <vector>

#include "fake_cuda.h"
#include "fake_elements.h"

using gptj::cuda::ElementType;
using gptj::testing::element_at;
using gptj::testing::fake_cuda;
using gptj::testing::half_at;
using gptj::testing::put_element;

namespace {

// What the library's opaque descriptions hold here.
struct Layout {
  cudaDataType_t type = CUDA_R_16F;
  std::uint64_t rows = 0;  // contiguous
  std::uint64_t columns = 0;
  std::int64_t stride = 0;
};
struct Description {
  cublasLtEpilogue_t epilogue = CUBLASLT_EPILOGUE_DEFAULT;
  const void* bias = nullptr;
  cudaDataType_t bias_type = CUDA_R_16F;
  const float* weight_scale = nullptr;
  const float* activation_scale = nullptr;
  const float* out_scale = nullptr;
};

const Layout& layout_of(cublasLtMatrixLayout_t layout) { return *reinterpret_cast<const Layout*>(layout); }

cublasStatus_t call(const char* name) {
  const cudaError_t status = fake_cuda().call(name);
  if (status == cudaSuccess) return CUBLAS_STATUS_SUCCESS;
  return status == cudaErrorMemoryAllocation ? CUBLAS_STATUS_ALLOC_FAILED : CUBLAS_STATUS_EXECUTION_FAILED;
}

template <typename Content, typename Handle>
cublasStatus_t create(Handle* handle, const Content& content, const char* name) {
  const cublasStatus_t status = call(name);
  if (status != CUBLAS_STATUS_SUCCESS) return status;
  *handle = reinterpret_cast<Handle>(new (fake_cuda().take(sizeof(Content))) Content(content));
  return status;
}

cublasStatus_t destroy(void* handle) {
  fake_cuda().give_back(handle);
  return CUBLAS_STATUS_SUCCESS;
}

float value_at(const void* data, std::size_t index, cudaDataType_t type) {
  if (type == CUDA_R_32F) return static_cast<const float*>(data)[index];
  return element_at(data, index, type == CUDA_R_16F ? ElementType::kF16 : ElementType::kF8E4M3);
}

std::vector<float> row_of(const void* data, const Layout& layout, std::size_t row) {
  std::vector<float> values(layout.rows);
  const std::size_t first = row * static_cast<std::size_t>(layout.stride);
  for (std::size_t i = 0; i < values.size(); ++i) values[i] = value_at(data, first + i, layout.type);
  return values;
}

float gelu(float x) { return 0.5F * x * (1.0F + std::tanh(0.7978845608F * (x + 0.044715F * x * x * x))); }

}  // namespace

extern "C" {

const char* cublasLtGetStatusString(cublasStatus_t status) {
  return status == CUBLAS_STATUS_ALLOC_FAILED ? "CUBLAS_STATUS_ALLOC_FAILED"
                                              : "CUBLAS_STATUS_EXECUTION_FAILED";
}

cublasStatus_t cublasLtCreate(cublasLtHandle_t* handle) { return create(handle, 0, "cublasLtCreate"); }
cublasStatus_t cublasLtDestroy(cublasLtHandle_t handle) { return destroy(handle); }

cublasStatus_t cublasLtMatrixLayoutCreate(cublasLtMatrixLayout_t* layout, cudaDataType type, uint64_t rows,
                                          uint64_t columns, int64_t stride) {
  return create(layout, Layout{.type = type, .rows = rows, .columns = columns, .stride = stride},
                "cublasLtMatrixLayoutCreate");
}
cublasStatus_t cublasLtMatrixLayoutDestroy(cublasLtMatrixLayout_t layout) { return destroy(layout); }
cublasStatus_t cublasLtMatrixLayoutSetAttribute(cublasLtMatrixLayout_t layout,
                                                cublasLtMatrixLayoutAttribute_t attribute, const void* value,
                                                size_t) {
  if (attribute != CUBLASLT_MATRIX_LAYOUT_COLS) return CUBLAS_STATUS_INVALID_VALUE;
  std::memcpy(&reinterpret_cast<Layout*>(layout)->columns, value, sizeof(std::uint64_t));
  return call("cublasLtMatrixLayoutSetAttribute");
}

cublasStatus_t cublasLtMatmulDescCreate(cublasLtMatmulDesc_t* description, cublasComputeType_t,
                                        cudaDataType_t) {
  return create(description, Description{}, "cublasLtMatmulDescCreate");
}
cublasStatus_t cublasLtMatmulDescDestroy(cublasLtMatmulDesc_t description) { return destroy(description); }
cublasStatus_t cublasLtMatmulDescSetAttribute(cublasLtMatmulDesc_t handle,
                                              cublasLtMatmulDescAttributes_t attribute, const void* value,
                                              size_t) {
  auto& description = *reinterpret_cast<Description*>(handle);
  const auto set = [&](auto& field) { std::memcpy(&field, value, sizeof field); };
  switch (attribute) {
    case CUBLASLT_MATMUL_DESC_EPILOGUE:
      set(description.epilogue);
      break;
    case CUBLASLT_MATMUL_DESC_BIAS_POINTER:
      set(description.bias);
      break;
    case CUBLASLT_MATMUL_DESC_BIAS_DATA_TYPE:
      set(description.bias_type);
      break;
    case CUBLASLT_MATMUL_DESC_A_SCALE_POINTER:
      set(description.weight_scale);
      break;
    case CUBLASLT_MATMUL_DESC_B_SCALE_POINTER:
      set(description.activation_scale);
      break;
    case CUBLASLT_MATMUL_DESC_D_SCALE_POINTER:
      set(description.out_scale);
      break;
    default:  // of the transposition and the accumulators there is one kind
      break;
  }
  return call("cublasLtMatmulDescSetAttribute");
}

cublasStatus_t cublasLtMatmulPreferenceCreate(cublasLtMatmulPreference_t* preference) {
  return create(preference, 0, "cublasLtMatmulPreferenceCreate");
}
cublasStatus_t cublasLtMatmulPreferenceDestroy(cublasLtMatmulPreference_t preference) {
  return destroy(preference);
}
cublasStatus_t cublasLtMatmulPreferenceSetAttribute(cublasLtMatmulPreference_t,
                                                    cublasLtMatmulPreferenceAttributes_t, const void*,
                                                    size_t) {
  return call("cublasLtMatmulPreferenceSetAttribute");
}

// The library takes the bias's alignment for a promise, and answers a poor one with slow algorithms; here it
// is refused.
cublasStatus_t cublasLtMatmulAlgoGetHeuristic(cublasLtHandle_t, cublasLtMatmulDesc_t handle,
                                              cublasLtMatrixLayout_t, cublasLtMatrixLayout_t,
                                              cublasLtMatrixLayout_t, cublasLtMatrixLayout_t,
                                              cublasLtMatmulPreference_t, int,
                                              cublasLtMatmulHeuristicResult_t results[], int* count) {
  const auto& description = *reinterpret_cast<const Description*>(handle);
  if (reinterpret_cast<std::uintptr_t>(description.bias) % 16 != 0) return CUBLAS_STATUS_INVALID_VALUE;
  *count = 1;
  results[0] = {};
  results[0].state = CUBLAS_STATUS_SUCCESS;
  return call("cublasLtMatmulAlgoGetHeuristic");
}

// out [m, n] = epilogue(activations [m, k] * weights [n, k]^T + source [m, n])
cublasStatus_t cublasLtMatmul(cublasLtHandle_t, cublasLtMatmulDesc_t handle, const void*, const void* weights,
                              cublasLtMatrixLayout_t weight_layout, const void* activations,
                              cublasLtMatrixLayout_t activation_layout, const void* beta, const void* source,
                              cublasLtMatrixLayout_t source_layout, void* out,
                              cublasLtMatrixLayout_t out_layout, const cublasLtMatmulAlgo_t*, void*, size_t,
                              cudaStream_t) {
  const cublasStatus_t status = call("cublasLtMatmul");
  if (status != CUBLAS_STATUS_SUCCESS || !fake_cuda().computes) return status;
  const auto& description = *reinterpret_cast<const Description*>(handle);
  const Layout& to = layout_of(out_layout);
  const Layout& added = layout_of(source_layout);
  float scale = 1.0F;
  if (description.weight_scale != nullptr) scale = *description.weight_scale * *description.activation_scale;
  std::vector<std::vector<float>> rows;
  for (std::size_t m = 0; m < to.columns; ++m)
    rows.push_back(row_of(activations, layout_of(activation_layout), m));
  for (std::size_t n = 0; n < to.rows; ++n) {
    const std::vector<float> weight = row_of(weights, layout_of(weight_layout), n);
    for (std::size_t m = 0; m < to.columns; ++m) {
      double sums[4] = {};  // k is a multiple of 16; one sum alone waits for itself
      for (std::size_t k = 0; k < weight.size(); k += 4) {
        for (std::size_t lane = 0; lane < 4; ++lane)
          sums[lane] += static_cast<double>(weight[k + lane]) * rows[m][k + lane];
      }
      auto value = static_cast<float>(sums[0] + sums[1] + sums[2] + sums[3]) * scale;
      if (*static_cast<const float*>(beta) != 0.0F)
        value += value_at(source, m * static_cast<std::size_t>(added.stride) + n, added.type);
      if (description.epilogue != CUBLASLT_EPILOGUE_DEFAULT)
        value += value_at(description.bias, n, description.bias_type);
      if (description.epilogue == CUBLASLT_EPILOGUE_GELU_BIAS) value = gelu(value);
      const std::size_t at = m * static_cast<std::size_t>(to.stride) + n;
      if (to.type == CUDA_R_32F)
        static_cast<float*>(out)[at] = value;
      else if (to.type == CUDA_R_16F)
        put_element(out, at, value, ElementType::kF16);
      else
        put_element(out, at, value * *description.out_scale, ElementType::kF8E4M3);
    }
  }
  return status;
}
}
