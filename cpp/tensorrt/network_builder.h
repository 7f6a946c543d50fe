// GPT-J as a TensorRT network, and its plan.
//
// Inputs: "residual" fp16 [rows, hidden], the embedded tokens of a packed step; "logit_rows" int32 [logit
// rows]. Output: "logits" float [logit rows, padded vocabulary]. Products are operations, which know their
// weights; or, in fp16 without gemm_plugin, TensorRT multiplies with tuned kernels, and the matrices are
// inputs too, by weight_name(). So a plan has no weights, and one serves every checkpoint of its shape.
#pragma once

#include <cstdint>
#include <string>

#include "cuda/network_shape.h"
#include "gptj/plan.h"

namespace gptj::tensorrt {

inline constexpr const char* kResidual = "residual";
inline constexpr const char* kLogitRows = "logit_rows";
inline constexpr const char* kLogits = "logits";

enum class LayerMatrix : std::int32_t { kQkv, kFcIn, kJoined, kJoinedBias };
inline constexpr LayerMatrix kLayerMatrices[] = {LayerMatrix::kQkv, LayerMatrix::kFcIn, LayerMatrix::kJoined,
                                                 LayerMatrix::kJoinedBias};
std::string weight_name(std::int32_t layer, LayerMatrix matrix);

// Rows that the plan's tensors have room for: whole tiles.
std::int64_t plan_rows(const cuda::NetworkShape& shape);
std::int64_t plan_logit_rows(const cuda::NetworkShape& shape);

// Builds and writes it. Throws Error(kUnsupported, kOutOfMemory, kIo, kInternal), with TensorRT's own reason.
PlanReport build_plan(const PlanRequest& request);

}  // namespace gptj::tensorrt
