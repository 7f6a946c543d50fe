// The parts of the network that TensorRT has no layer for, computed by the kernels and products of the CUDA
// engine. One plugin class serves them all; what differs is the operation it carries.
//
// Tensors between operations are fp16. E4M3 rows cross TensorRT as int32, four elements in one, because it
// neither converts nor reorders those.
#pragma once

#include <cuda_runtime_api.h>

#include <cstdint>
#include <exception>

#include "cuda/gemm.h"
#include "cuda/layers.h"
#include "cuda/step_inputs.h"

namespace gptj::tensorrt {

enum class OperationKind : std::int32_t {
  kNorm,              // residual -> normed, of the layers' type
  kFinalNorm,         // residual, logit_rows -> normed fp16 [logit rows, hidden]
  kQkvProduct,        // normed -> qkv fp16
  kAttentionAndMlp,   // qkv, normed -> joined
  kJoinedProduct,     // joined, residual -> residual
  kAttentionAndGelu,  // where TensorRT multiplies: qkv, product into the MLP -> joined
  kLmHead,            // normed fp16 -> logits float
};

enum class ValueType : std::int32_t { kHalf, kFloat, kInt32 };

// Plain data: it is stored in plans as it is.
struct Operation {
  OperationKind kind = OperationKind::kNorm;
  std::int32_t layer = 0;
  std::int32_t columns = 0;           // of the output, in its own elements
  ValueType type = ValueType::kHalf;  // of the output
  std::int32_t rows_from = 0;         // the input whose first dimension counts the output's rows
};

// What an operation finds around it: the engine's, for the step that is being enqueued.
struct StepScope {
  const cuda::LayersContext& context;
  const cuda::StepInputs& inputs;
  cuda::Gemm& gemm;
  void* inner = nullptr;       // fp16 [rows, inner]; not null: GELU is a kernel of its own
  std::exception_ptr failure;  // of the first operation that failed
};

// Sets the scope of this thread for as long as it lives. TensorRT calls plugins on the thread that enqueues.
class ScopeGuard {
 public:
  explicit ScopeGuard(StepScope& scope);
  ~ScopeGuard();
  ScopeGuard(const ScopeGuard&) = delete;
  ScopeGuard& operator=(const ScopeGuard&) = delete;
};

struct OperationTensors {
  std::int64_t rows = 0;  // of the output
  const void* const* inputs = nullptr;
  void* output = nullptr;
};

// Enqueues it; false when it failed, with the reason in the scope. Outside of a scope, which is where the
// builder tries plugins, nothing is done.
bool run_operation(const Operation& operation, const OperationTensors& tensors, cudaStream_t stream) noexcept;

}  // namespace gptj::tensorrt
