// One linear layer on oneDNN: y = x W^T + b, with what follows it fused in.
#pragma once

#include <cstdint>
#include <memory>
#include <span>

namespace gptj::cpu {

enum class ComputeType : std::uint8_t { kF32, kBf16 };

enum class After : std::uint8_t {
  kNothing,
  kGelu,  // GPT-J's gelu_new, the tanh form
  kAdd,   // y += x W^T + b
};

struct LinearShape {
  std::int32_t in = 0;
  std::int32_t out = 0;
  ComputeType compute = ComputeType::kF32;  // of x and W
  bool f32_output = true;                   // y in float, or in the compute type
  After after = After::kNothing;
};

class Linear {
 public:
  // weight: [out, in] floats, as checkpoints store it. bias: [out] or empty. Weights are packed once;
  // `weight` is not needed afterwards.
  Linear(const LinearShape& shape, std::span<const float> weight, std::span<const float> bias);
  Linear(Linear&&) noexcept;
  Linear& operator=(Linear&&) noexcept;
  ~Linear();

  // x: [rows, in] in the compute type, y: [rows, out]. Both have room for padded_rows(rows) rows: up to that
  // many are read and written, so that few different sizes occur.
  void run(const void* x, void* y, std::int32_t rows);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

// The next size for which a matrix product is prepared: never more than 1/8 above `rows`, beyond the first
// few.
std::int32_t padded_rows(std::int32_t rows);

}  // namespace gptj::cpu
