// Tensors of a checkpoint as floats.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <string>
#include <vector>

#include "gptj/weights.h"

namespace gptj {

// The tensor `name`, converted to float. Throws Error(kModel) when it is missing, has another shape, or an
// element type that is no floating-point type of checkpoints.
std::vector<float> read_tensor(const WeightStore& weights, const std::string& name,
                               std::initializer_list<std::int64_t> shape);

}  // namespace gptj
