// Read-only view of a checkpoint: names, shapes, element types and bytes. Rust maps the files; C++ never
// opens one.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

#include "gptj/types.h"

namespace gptj {

// One tensor, row-major, little-endian. `data` is only guaranteed the alignment of one byte: checkpoints do
// not align tensors, so an engine copies or converts rather than casting.
struct TensorView {
  std::string_view name;
  DType dtype = DType::kF32;
  std::span<const std::int64_t> shape;
  std::span<const std::byte> data;
};

class WeightStore {
 public:
  virtual ~WeightStore() = default;

  // The tensor of that name, or nullptr. The view lives as long as the store.
  virtual const TensorView* find(std::string_view name) const = 0;
};

}  // namespace gptj
