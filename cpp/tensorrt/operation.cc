#include "tensorrt/operation.h"

#include "cuda/check.h"
#include "cuda/kernels/pointwise.h"
#include "cuda/products.h"
#include "gptj/error.h"

namespace gptj::tensorrt {
namespace {

thread_local StepScope* current = nullptr;

void run(const cuda::Product& product, cudaStream_t stream) {
  current->gemm.run(product.shape, product.operands, stream);
}

// The tensor has this one consumer, so that Q may be rotated where it is.
void run_attention(const Operation& operation, const OperationTensors& tensors, cudaStream_t stream) {
  const cuda::LayersContext& context = current->context;
  cuda::attention(context, operation.layer, current->inputs,
                  {.qkv = const_cast<void*>(tensors.inputs[0]),
                   .out = tensors.output,
                   .out_stride = context.dims.hidden + context.shape.model.n_inner},
                  stream);
}

void run_gelu(const Operation& operation, const OperationTensors& tensors, const void* inner,
              cudaStream_t stream) {
  const cuda::LayersContext& context = current->context;
  const cuda::LayerWeights& weights = context.weights->layer(operation.layer);
  cuda::bias_gelu({.rows = static_cast<int>(tensors.rows),
                   .columns = context.shape.model.n_inner,
                   .in = inner,
                   .bias = weights.fc_in_bias,
                   .out = cuda::gelu_part(context, tensors.output),
                   .out_stride = context.dims.hidden + context.shape.model.n_inner,
                   .out_type = context.shape.type,
                   .out_scale = weights.scales.joined},
                  stream);
  cuda::check_launch("bias_gelu");
}

void run_norm(const Operation& operation, const OperationTensors& tensors, cudaStream_t stream) {
  const cuda::LayersContext& context = current->context;
  const bool is_final = operation.kind == OperationKind::kFinalNorm;
  cuda::LayerNorm work{.rows = static_cast<int>(tensors.rows),
                       .hidden = context.dims.hidden,
                       .in = tensors.inputs[0],
                       .epsilon = context.shape.model.layer_norm_epsilon,
                       .out = tensors.output};
  if (is_final) {
    work.row_index = static_cast<const std::int32_t*>(tensors.inputs[1]);
    work.weight = context.weights->final_norm_weight();
    work.bias = context.weights->final_norm_bias();
  } else {
    const cuda::LayerWeights& weights = context.weights->layer(operation.layer);
    work.weight = weights.norm_weight;
    work.bias = weights.norm_bias;
    work.out_type = context.shape.type;
    work.out_scale = weights.scales.normed;
  }
  cuda::layer_norm(work, stream);
  cuda::check_launch("layer_norm");
  context.mark(cuda::Part::kNorm, stream);
}

void run_mlp(const Operation& operation, const OperationTensors& tensors, cudaStream_t stream) {
  const cuda::LayersContext& context = current->context;
  const void* normed = tensors.inputs[1];
  if (current->inner == nullptr) {
    run(cuda::mlp_product(
            context, operation.layer,
            {.count = tensors.rows, .in = normed, .out = cuda::gelu_part(context, tensors.output)}),
        stream);
  } else {
    run(cuda::plain_mlp_product(context, operation.layer,
                                {.count = tensors.rows, .in = normed, .out = current->inner}),
        stream);
    run_gelu(operation, tensors, current->inner, stream);
  }
}

void dispatch(const Operation& operation, const OperationTensors& tensors, cudaStream_t stream) {
  const cuda::LayersContext& context = current->context;
  const cuda::ProductRows rows{.count = tensors.rows, .in = tensors.inputs[0], .out = tensors.output};
  switch (operation.kind) {
    case OperationKind::kNorm:
    case OperationKind::kFinalNorm:
      run_norm(operation, tensors, stream);
      return;
    case OperationKind::kQkvProduct:
      run(cuda::qkv_product(context, operation.layer, rows), stream);
      context.mark(cuda::Part::kQkvProduct, stream);
      return;
    case OperationKind::kAttentionAndGelu:
      // TensorRT's own products since the last mark: Q, K, V and the one into the MLP.
      context.mark(cuda::Part::kMlpProduct, stream);
      run_attention(operation, tensors, stream);
      run_gelu(operation, tensors, tensors.inputs[1], stream);
      context.mark(cuda::Part::kMlpProduct, stream);
      return;
    case OperationKind::kAttentionAndMlp:
      run_attention(operation, tensors, stream);
      run_mlp(operation, tensors, stream);
      context.mark(cuda::Part::kMlpProduct, stream);
      return;
    case OperationKind::kJoinedProduct:
      run(cuda::joined_product(context, operation.layer, rows, tensors.inputs[1]), stream);
      context.mark(cuda::Part::kJoinedProduct, stream);
      return;
    case OperationKind::kLmHead:
      run(cuda::lm_head_product(context, rows), stream);
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
