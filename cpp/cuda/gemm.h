// Matrix products through cuBLASLt. All of GPT-J's are out[m, n] = activations[m, k] * weights[n, k]^T, as a
// PyTorch Linear has them, with what follows fused where the library can.
#pragma once

#include <cublasLt.h>
#include <cuda_runtime_api.h>

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <tuple>
#include <vector>

#include "cuda/kernels/types.h"
#include "cuda/memory.h"

namespace gptj::cuda {

enum class Epilogue : std::uint8_t {
  kNone,
  kBias,      // + bias[n]
  kBiasGelu,  // gelu_new(x + bias[n]), the tanh form
};

enum class OutputType : std::uint8_t { kF16, kF32, kF8E4M3 };

// One of the model's products; m varies from step to step. What runs is padded_rows(m) rows, so activations
// and out have room for as many; what is in the rows behind m does not matter, before and after.
struct GemmShape {
  std::int64_t n = 0;
  std::int64_t k = 0;
  ElementType input = ElementType::kF16;  // of activations and weights alike
  OutputType output = OutputType::kF16;
  Epilogue epilogue = Epilogue::kNone;
  bool accumulate = false;         // out = source + product: the residual stream
  std::int64_t input_stride = 0;   // elements between rows of activations; 0: k
  std::int64_t output_stride = 0;  // elements between rows of out; 0: n

  std::int64_t input_row() const { return input_stride != 0 ? input_stride : k; }
  std::int64_t output_row() const { return output_stride != 0 ? output_stride : n; }
};

struct GemmOperands {
  std::int64_t m = 0;
  const void* activations = nullptr;  // [m, k]
  const void* weights = nullptr;      // [n, k]
  const void* bias = nullptr;         // [n], of the output's type, fp16 when that is E4M3; 16-byte aligned
  const void* source = nullptr;       // [m, n]: what an accumulating product is added to; null: out
  void* out = nullptr;                // [m, n]
  // On the GPU, for E4M3: what a stored element of activations or weights stands for; what the output is
  // multiplied with before it is stored.
  const float* activation_scale = nullptr;
  const float* weight_scale = nullptr;
  const float* output_scale_inverse = nullptr;
};

// Plans and runs products on one device and one stream.
class Gemm {
 public:
  Gemm();
  ~Gemm();
  Gemm(const Gemm&) = delete;
  Gemm& operator=(const Gemm&) = delete;

  // Bytes of the library's workspace, part of the memory plan.
  static std::size_t workspace_bytes();

  // Whether the library has an algorithm for it on this GPU.
  bool supports(const GemmShape& shape, std::int64_t m);

  // Times the library's best guesses for these operands and keeps the fastest of those that give the bits of
  // the first, so that a run's results do not hang on a clock; waits for the stream. Bits are compared over
  // `rows` rows of activations and source, operands.m at a time: algorithms that round otherwise may still
  // agree on a few. Overwrites `out`; what is added to an accumulating product has to lie elsewhere, and
  // neither that nor activations should be zeros, with which many roundings are the same.
  void tune(const GemmShape& shape, const GemmOperands& operands, std::int64_t rows, cudaStream_t stream);

  // Rows that a product of `m` rows runs on. Many kernels take only whole tiles of rows, those that take any
  // count are slower, and below 64 rows, where weights are what takes time, the library chooses worse ones.
  static constexpr std::int64_t padded_rows(std::int64_t m) { return m <= 64 ? 64 : (m + 15) / 16 * 16; }

  // Row counts that share a plan are rounded up to the same number; a plan is tuned at it.
  static std::int64_t bucket_of(std::int64_t m);

  void run(const GemmShape& shape, const GemmOperands& operands, cudaStream_t stream);

  // How tuning went, and how many products ran without a tuned algorithm; for people.
  std::string report() const;

 private:
  struct Plan;
  using Key = std::tuple<std::int64_t, std::int64_t, std::int64_t, ElementType, OutputType, Epilogue, bool,
                         std::int64_t, std::int64_t>;

  // A plan made for exactly `m` rows, null when there is no algorithm. The same each time.
  Plan* plan_for(const GemmShape& shape, std::int64_t m);
  // Whether the algorithm runs on the operands' own count of rows; throws for every other failure.
  bool try_launch(Plan& plan, const cublasLtMatmulAlgo_t& algorithm, const GemmShape& shape,
                  const GemmOperands& operands, cudaStream_t stream);

  // Of what the algorithm makes of `rows` rows, see tune(); nothing when it does not run.
  std::optional<std::uint64_t> bits_of(Plan& plan, const cublasLtMatmulAlgo_t& algorithm,
                                       const GemmShape& shape, const GemmOperands& operands,
                                       std::int64_t rows, cudaStream_t stream);

  cublasLtHandle_t handle_ = nullptr;
  DeviceBuffer workspace_;
  DeviceBuffer checksum_;  // one std::uint64_t
  std::map<Key, std::unique_ptr<Plan>> plans_;
  std::uint64_t untuned_ = 0;
  std::uint64_t tried_ = 0;       // by tune()
  std::uint64_t other_bits_ = 0;  // of these, left out for them
};

}  // namespace gptj::cuda
