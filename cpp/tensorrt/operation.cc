#include "tensorrt/operation.h"

#include "cuda/products.h"
#include "gptj/error.h"

namespace gptj::tensorrt {
namespace {

thread_local StepScope* current = nullptr;

void dispatch(const Operation& operation, const OperationTensors& tensors, cudaStream_t stream) {
  const cuda::LayersContext& context = current->context;
  const cuda::Rows rows{.count = tensors.rows, .in = tensors.inputs[0], .out = tensors.output};
  // The tensor of Q, K and V has this one consumer, so that Q may be rotated where it is.
  const cuda::AttentionRows attention{.qkv = const_cast<void*>(tensors.inputs[0]), .joined = tensors.output};
  // Only some operations have a second input.
  const auto second = [&] {
    return cuda::Rows{.count = tensors.rows, .in = tensors.inputs[1], .out = tensors.output};
  };
  switch (operation.kind) {
    case OperationKind::kNorm:
      cuda::normalise(context, operation.layer, rows, stream);
      return;
    case OperationKind::kFinalNorm:
      cuda::normalise_last(context, static_cast<const std::int32_t*>(tensors.inputs[1]), rows, stream);
      return;
    case OperationKind::kQkvProduct:
      run(current->gemm, cuda::qkv_product(context, operation.layer, rows), stream);
      context.mark(cuda::Part::kQkvProduct, stream);
      return;
    case OperationKind::kAttentionAndGelu:
      // TensorRT's own products since the last mark: Q, K, V and the one into the MLP.
      context.mark(cuda::Part::kMlpProduct, stream);
      cuda::attention(context, operation.layer, current->inputs, attention, stream);
      cuda::activate(context, operation.layer, second(), stream);
      context.mark(cuda::Part::kMlpProduct, stream);
      return;
    case OperationKind::kAttentionAndMlp:
      cuda::attention(context, operation.layer, current->inputs, attention, stream);
      cuda::run_mlp(current->gemm, context, operation.layer, second(), current->inner, stream);
      context.mark(cuda::Part::kMlpProduct, stream);
      return;
    case OperationKind::kJoinedProduct:
      run(current->gemm, cuda::joined_product(context, operation.layer, rows, tensors.inputs[1]), stream);
      context.mark(cuda::Part::kJoinedProduct, stream);
      return;
    case OperationKind::kLmHead:
      run(current->gemm, cuda::lm_head_product(context, rows), stream);
      context.mark(cuda::Part::kLmHead, stream);
      return;
  }
  throw Error(ErrorKind::kInternal, "a plan asks for operation " +
                                        std::to_string(static_cast<std::int32_t>(operation.kind)) +
                                        ", which this engine does not know");
}

}  // namespace

ScopeGuard::ScopeGuard(StepScope& scope) { current = &scope; }
ScopeGuard::~ScopeGuard() { current = nullptr; }

bool run_operation(const Operation& operation, const OperationTensors& tensors,
                   cudaStream_t stream) noexcept {
  if (current == nullptr) return true;
  try {
    dispatch(operation, tensors, stream);
    return true;
  } catch (...) {
    if (!current->failure) current->failure = std::current_exception();
    return false;
  }
}

}  // namespace gptj::tensorrt
