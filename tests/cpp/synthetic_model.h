// A GPT-J of any shape with random weights, in memory.
#pragma once

#include <bit>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <map>
#include <random>
#include <string>
#include <string_view>
#include <vector>

#include "gptj/types.h"
#include "gptj/weights.h"

namespace gptj::testing {

class SyntheticModel final : public WeightStore {
 public:
  // Logits are spread over a few units, so that tokens are decided by more than rounding; `end_bias` is added
  // to those of the end token.
  SyntheticModel(const ModelConfig& config, std::uint32_t seed, TokenId end_token = 0, float end_bias = 0.0F)
      : random_(seed) {
    const std::int64_t embd = config.n_embd;
    const auto width = static_cast<float>(embd);
    const float inner = static_cast<float>(config.n_inner);
    add("transformer.wte.weight", {config.vocab_size, embd}, 1.0F);
    for (std::int32_t layer = 0; layer < config.n_layer; ++layer) {
      const std::string prefix = "transformer.h." + std::to_string(layer) + ".";
      add(prefix + "ln_1.weight", {embd}, 0.2F, 1.0F);
      add(prefix + "ln_1.bias", {embd}, 0.2F);
      // Queries and keys large enough for attention to choose.
      add(prefix + "attn.q_proj.weight", {embd, embd}, 1.5F / std::sqrt(width));
      add(prefix + "attn.k_proj.weight", {embd, embd}, 1.5F / std::sqrt(width));
      add(prefix + "attn.v_proj.weight", {embd, embd}, 1.0F / std::sqrt(width));
      add(prefix + "attn.out_proj.weight", {embd, embd}, 1.0F / std::sqrt(width));
      add(prefix + "mlp.fc_in.weight", {config.n_inner, embd}, 1.0F / std::sqrt(width));
      add(prefix + "mlp.fc_in.bias", {config.n_inner}, 0.2F);
      add(prefix + "mlp.fc_out.weight", {embd, config.n_inner}, 1.0F / std::sqrt(inner));
      add(prefix + "mlp.fc_out.bias", {embd}, 0.2F);
    }
    add("transformer.ln_f.weight", {embd}, 0.2F, 1.0F);
    add("transformer.ln_f.bias", {embd}, 0.2F);
    add("lm_head.weight", {config.vocab_size, embd}, 2.0F / std::sqrt(width));
    add("lm_head.bias", {config.vocab_size}, 0.2F);
    set("lm_head.bias", static_cast<std::size_t>(end_token), end_bias);
  }

  SyntheticModel(const SyntheticModel& other) : random_(other.random_), tensors_(other.tensors_) {
    for (auto& [name, tensor] : tensors_) refresh(name, tensor);  // views of its own
  }
  SyntheticModel& operator=(const SyntheticModel&) = delete;

  const TensorView* find(std::string_view name) const override {
    const auto found = tensors_.find(name);
    return found == tensors_.end() ? nullptr : &found->second.view;
  }

  const std::vector<float>& floats(std::string_view name) const { return tensors_.find(name)->second.values; }

  void remove(std::string_view name) { tensors_.erase(tensors_.find(name)); }

  void set(std::string_view name, std::size_t index, float value) {
    const auto found = tensors_.find(name);
    found->second.values[index] = value;
    refresh(found->first, found->second);
  }

  void reshape(std::string_view name, std::vector<std::int64_t> shape) {
    const auto found = tensors_.find(name);
    Tensor& tensor = found->second;
    tensor.shape = std::move(shape);
    std::size_t count = 1;
    for (const std::int64_t extent : tensor.shape) count *= static_cast<std::size_t>(extent);
    tensor.values.resize(count);
    refresh(found->first, tensor);
  }

  // Stores every tensor in another type, truncated to what it can hold; floats() gives what is left. Bytes
  // then start at an odd address, as they may in a checkpoint.
  void store_as(DType dtype) {
    for (auto& [name, tensor] : tensors_) {
      tensor.dtype = dtype;
      refresh(name, tensor);
    }
  }

 private:
  struct Tensor {
    std::vector<float> values;
    std::vector<std::int64_t> shape;
    std::vector<std::byte> bytes;  // one unused byte, then the data
    DType dtype = DType::kF32;
    TensorView view;
  };

  void add(const std::string& name, std::vector<std::int64_t> shape, float deviation, float mean = 0.0F) {
    std::size_t count = 1;
    for (const std::int64_t extent : shape) count *= static_cast<std::size_t>(extent);
    std::normal_distribution<float> normal(mean, deviation);
    const auto place = tensors_.try_emplace(name).first;
    Tensor& tensor = place->second;
    tensor.shape = std::move(shape);
    tensor.values.resize(count);
    for (float& value : tensor.values) value = normal(random_);
    refresh(place->first, tensor);
  }

  // Half precision with the excess mantissa cut off; tiny values become zero.
  static std::uint16_t cut_to_f16(float value) {
    const auto bits = std::bit_cast<std::uint32_t>(value);
    const auto sign = static_cast<std::uint16_t>((bits >> 16) & 0x8000U);
    const std::int32_t exponent = static_cast<std::int32_t>((bits >> 23) & 0xFFU) - 112;
    if (exponent < 1 || exponent > 30) return sign;
    return static_cast<std::uint16_t>(sign | (static_cast<std::uint32_t>(exponent) << 10) |
                                      ((bits >> 13) & 0x3FFU));
  }

  static void refresh(const std::string& name, Tensor& tensor) {
    const std::size_t size = size_of(tensor.dtype);
    tensor.bytes.assign(1 + tensor.values.size() * size, std::byte{0});
    for (std::size_t i = 0; i < tensor.values.size(); ++i) {
      float& value = tensor.values[i];
      std::byte* to = tensor.bytes.data() + 1 + i * size;
      if (tensor.dtype == DType::kF16) {
        const std::uint16_t half = cut_to_f16(value);
        std::memcpy(to, &half, sizeof half);
        const bool zero = (half & 0x7FFFU) == 0;
        value = zero ? 0.0F : std::bit_cast<float>(std::bit_cast<std::uint32_t>(value) & 0xFFFFE000U);
      } else if (tensor.dtype == DType::kBF16) {
        const auto bits = std::bit_cast<std::uint32_t>(value) & 0xFFFF0000U;
        const auto half = static_cast<std::uint16_t>(bits >> 16);
        std::memcpy(to, &half, sizeof half);
        value = std::bit_cast<float>(bits);
      } else {
        std::memcpy(to, &value, std::min(size, sizeof value));
      }
    }
    tensor.view.name = name;
    tensor.view.dtype = tensor.dtype;
    tensor.view.shape = tensor.shape;
    tensor.view.data = std::span(tensor.bytes).subspan(1);
  }

  std::mt19937 random_;
  std::map<std::string, Tensor, std::less<>> tensors_;
};

}  // namespace gptj::testing
