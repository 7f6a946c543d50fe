#include "engine/read_tensor.h"

#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <functional>
#include <initializer_list>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "gptj/error.h"
#include "gptj/weights.h"

namespace gptj::testing {
namespace {

// Tensors as bytes of any type, which start at an odd offset, as checkpoints promise no alignment.
class ByteWeights final : public WeightStore {
 public:
  void add(const std::string& name, std::vector<std::int64_t> shape, DType dtype, const void* data,
           std::size_t bytes) {
    const auto place = tensors_.try_emplace(name).first;
    Stored& stored = place->second;
    stored.shape = std::move(shape);
    stored.bytes.resize(bytes + 1);
    std::memcpy(stored.bytes.data() + 1, data, bytes);
    stored.view = {place->first, dtype, stored.shape, std::span<const std::byte>(stored.bytes).subspan(1)};
  }
  void add(const std::string& name, std::vector<std::int64_t> shape, const std::vector<float>& values) {
    add(name, std::move(shape), DType::kF32, values.data(), values.size() * sizeof(float));
  }

  const TensorView* find(std::string_view name) const override {
    const auto found = tensors_.find(name);
    return found == tensors_.end() ? nullptr : &found->second.view;
  }

 private:
  struct Stored {
    std::vector<std::int64_t> shape;
    std::vector<std::byte> bytes;
    TensorView view;
  };
  std::map<std::string, Stored, std::less<>> tensors_;
};

std::string error_of_reading(const WeightStore& weights, const std::string& name,
                             std::initializer_list<std::int64_t> shape) {
  try {
    read_tensor(weights, name, shape);
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::kModel) << error.what();
    return error.what();
  }
  ADD_FAILURE() << "`" << name << "` was read";
  return "";
}

void expect_parts(const std::string& message, std::initializer_list<const char*> parts) {
  for (const char* part : parts)
    EXPECT_NE(message.find(part), std::string::npos) << part << " in: " << message;
}

ByteWeights of_halves(DType dtype, const std::vector<std::uint16_t>& bits) {
  ByteWeights weights;
  weights.add("x", {static_cast<std::int64_t>(bits.size())}, dtype, bits.data(), 2 * bits.size());
  return weights;
}

TEST(LoadWeights, ReadsFloatsFromUnalignedBytes) {
  ByteWeights weights;
  weights.add("x", {2, 3}, {1.0F, -2.5F, 3e-40F, 0.0F, -0.0F, 3e38F});
  const auto values = read_tensor(weights, "x", {2, 3});
  EXPECT_EQ(values, (std::vector<float>{1.0F, -2.5F, 3e-40F, 0.0F, -0.0F, 3e38F}));
  EXPECT_TRUE(std::signbit(values[4]));
}

// Every one of the 65536 bit patterns, against the format's definition.
TEST(LoadWeights, ReadsEveryHalf) {
  std::vector<std::uint16_t> bits(65536);
  for (std::size_t i = 0; i < bits.size(); ++i) bits[i] = static_cast<std::uint16_t>(i);
  const auto values = read_tensor(of_halves(DType::kF16, bits), "x", {65536});
  for (std::size_t i = 0; i < bits.size(); ++i) {
    const int exponent = static_cast<int>((i >> 10) & 31U);
    const int mantissa = static_cast<int>(i & 1023U);
    ASSERT_EQ(std::signbit(values[i]), i >= 32768) << i;
    if (exponent == 31) {
      ASSERT_TRUE(mantissa == 0 ? std::isinf(values[i]) : std::isnan(values[i])) << i;
      continue;
    }
    const double magnitude =
        exponent == 0 ? std::ldexp(mantissa, -24) : std::ldexp(1024 + mantissa, exponent - 25);
    ASSERT_EQ(static_cast<double>(std::abs(values[i])), magnitude) << i;
  }
}

TEST(LoadWeights, ReadsEveryBfloat16) {
  std::vector<std::uint16_t> bits(65536);
  for (std::size_t i = 0; i < bits.size(); ++i) bits[i] = static_cast<std::uint16_t>(i);
  const auto values = read_tensor(of_halves(DType::kBF16, bits), "x", {65536});
  for (std::size_t i = 0; i < bits.size(); ++i) {
    ASSERT_EQ(std::bit_cast<std::uint32_t>(values[i]), static_cast<std::uint32_t>(i) << 16) << i;
  }
}

TEST(LoadWeights, NamesWhatIsWrong) {
  ByteWeights weights;
  weights.add("wide", {2, 3}, std::vector<float>(6, 1.0F));
  weights.add("short", {4}, DType::kF32, "abc", 3);
  weights.add("eighth", {2}, DType::kI8, "ab", 2);
  weights.add("float8", {2}, DType::kF8E4M3, "ab", 2);
  expect_parts(error_of_reading(weights, "transformer.nowhere", {1}), {"`transformer.nowhere`"});
  expect_parts(error_of_reading(weights, "wide", {3, 2}), {"`wide`", "[2, 3]", "[3, 2]"});
  expect_parts(error_of_reading(weights, "wide", {6}), {"`wide`", "[2, 3]", "[6]"});
  expect_parts(error_of_reading(weights, "short", {4}), {"`short`", "3 bytes", "16"});
  expect_parts(error_of_reading(weights, "eighth", {2}), {"`eighth`", "f32, f16 and bf16"});
  expect_parts(error_of_reading(weights, "float8", {2}), {"`float8`", "f32, f16 and bf16"});
}

}  // namespace
}  // namespace gptj::testing
