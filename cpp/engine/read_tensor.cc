#include "engine/read_tensor.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <span>

#include "engine/vector_math.h"
#include "gptj/error.h"

namespace gptj {
namespace {

std::string to_text(std::span<const std::int64_t> shape) {
  std::string text = "[";
  for (std::size_t i = 0; i < shape.size(); ++i) text += (i == 0 ? "" : ", ") + std::to_string(shape[i]);
  return text + "]";
}

float from_f16(std::uint16_t half) {
  const std::uint32_t sign = static_cast<std::uint32_t>(half & 0x8000U) << 16;
  const std::uint32_t exponent = (half >> 10) & 0x1FU;
  const std::uint32_t mantissa = half & 0x3FFU;
  if (exponent == 0) {  // zero or subnormal: mantissa * 2^-24
    const float magnitude = static_cast<float>(mantissa) * 0x1p-24F;
    return sign != 0 ? -magnitude : magnitude;
  }
  const std::uint32_t wide = exponent == 0x1FU ? 0xFFU : exponent + 112U;
  return std::bit_cast<float>(sign | (wide << 23) | (mantissa << 13));
}

template <typename Stored, typename Convert>
void convert_all(std::span<const std::byte> bytes, std::vector<float>& out, Convert convert) {
  for (std::size_t i = 0; i < out.size(); ++i) {
    Stored stored;
    std::memcpy(&stored, bytes.data() + i * sizeof stored, sizeof stored);
    out[i] = convert(stored);
  }
}

}  // namespace

std::vector<float> read_tensor(const WeightStore& weights, const std::string& name,
                               std::initializer_list<std::int64_t> shape) {
  const TensorView* tensor = weights.find(name);
  if (tensor == nullptr) throw Error(ErrorKind::kModel, "the checkpoint has no tensor `" + name + "`");
  const std::span<const std::int64_t> expected(shape.begin(), shape.size());
  if (!std::ranges::equal(tensor->shape, expected)) {
    throw Error(ErrorKind::kModel, "tensor `" + name + "` has the shape " + to_text(tensor->shape) +
                                       ", config.json asks for " + to_text(expected));
  }
  std::size_t count = 1;
  for (const std::int64_t extent : shape) count *= static_cast<std::size_t>(extent);
  if (tensor->data.size() != count * size_of(tensor->dtype)) {
    throw Error(ErrorKind::kModel, "tensor `" + name + "` has " + std::to_string(tensor->data.size()) +
                                       " bytes, its shape and type ask for " +
                                       std::to_string(count * size_of(tensor->dtype)));
  }
  std::vector<float> out(count);
  switch (tensor->dtype) {
    case DType::kF32:
      std::memcpy(out.data(), tensor->data.data(), tensor->data.size());
      return out;
    case DType::kF16:
      convert_all<std::uint16_t>(tensor->data, out, from_f16);
      return out;
    case DType::kBF16:
      convert_all<std::uint16_t>(tensor->data, out, [](std::uint16_t half) { return from_bf16(half); });
      return out;
    case DType::kF8E4M3:
    case DType::kI8:
      break;
  }
  throw Error(ErrorKind::kModel,
              "tensor `" + name + "` has a quantised type; engines read f32, f16 and bf16");
}

}  // namespace gptj
