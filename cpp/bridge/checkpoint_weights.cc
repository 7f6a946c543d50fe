#include "bridge/checkpoint_weights.h"

#include "bridge/convert.h"

namespace gptj::ffi {

CheckpointWeights::CheckpointWeights(const Checkpoint& checkpoint) {
  const std::size_t count = checkpoint.tensor_count();
  tensors_.reserve(count);
  for (std::size_t i = 0; i < count; ++i) {
    const rust::Str name = checkpoint.tensor_name(i);
    const rust::Slice<const std::int64_t> shape = checkpoint.tensor_shape(i);
    const rust::Slice<const std::uint8_t> bytes = checkpoint.tensor_bytes(i);
    gptj::TensorView view;
    view.name = std::string_view(name.data(), name.size());
    view.dtype = to_core(checkpoint.tensor_dtype(i));
    view.shape = std::span(shape.data(), shape.size());
    view.data = std::as_bytes(std::span(bytes.data(), bytes.size()));
    tensors_.emplace(view.name, view);
  }
}

const gptj::TensorView* CheckpointWeights::find(std::string_view name) const {
  const auto found = tensors_.find(name);
  return found == tensors_.end() ? nullptr : &found->second;
}

}  // namespace gptj::ffi
