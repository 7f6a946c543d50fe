#include "cuda/gemm.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cstddef>
#include <string>

#include "cuda/kernels/checksum.h"
#include "gptj/error.h"

namespace gptj::cuda {
namespace {

constexpr std::size_t kWorkspaceBytes = std::size_t{64} << 20;
// Beyond this many rows, counts are rounded up to its multiples for the choice of an algorithm; below it to
// powers of two.
constexpr std::int64_t kRowStep = 128;
// Of the bias, in bytes: the widest load that a kernel makes of it.
constexpr std::size_t kBiasAlignment = 16;
constexpr int kGuesses = 8;
constexpr int kTimedRuns = 3;

void check_lt(cublasStatus_t status, const std::string& attempt) {
  if (status == CUBLAS_STATUS_SUCCESS) return;
  const ErrorKind kind =
      status == CUBLAS_STATUS_ALLOC_FAILED ? ErrorKind::kOutOfMemory : ErrorKind::kInternal;
  throw Error(kind, attempt + " failed: " + cublasLtGetStatusString(status));
}

cudaDataType_t to_cuda(ElementType type) { return type == ElementType::kF16 ? CUDA_R_16F : CUDA_R_8F_E4M3; }

cudaDataType_t to_cuda(OutputType type) {
  switch (type) {
    case OutputType::kF16:
      return CUDA_R_16F;
    case OutputType::kF32:
      return CUDA_R_32F;
    case OutputType::kF8E4M3:
      return CUDA_R_8F_E4M3;
  }
  return CUDA_R_16F;
}

class Layout {
 public:
  Layout(cudaDataType_t type, std::int64_t rows, std::int64_t columns, std::int64_t stride) {
    check_lt(cublasLtMatrixLayoutCreate(&layout_, type, static_cast<std::uint64_t>(rows),
                                        static_cast<std::uint64_t>(columns), stride),
             "cublasLtMatrixLayoutCreate");
  }
  ~Layout() { cublasLtMatrixLayoutDestroy(layout_); }
  Layout(const Layout&) = delete;
  Layout& operator=(const Layout&) = delete;

  cublasLtMatrixLayout_t get() const { return layout_; }

  void set_columns(std::int64_t columns) {
    const auto count = static_cast<std::uint64_t>(columns);
    check_lt(cublasLtMatrixLayoutSetAttribute(layout_, CUBLASLT_MATRIX_LAYOUT_COLS, &count, sizeof count),
             "cublasLtMatrixLayoutSetAttribute");
  }

 private:
  cublasLtMatrixLayout_t layout_ = nullptr;
};

class Description {
 public:
  Description() {
    check_lt(cublasLtMatmulDescCreate(&description_, CUBLAS_COMPUTE_32F, CUDA_R_32F),
             "cublasLtMatmulDescCreate");
  }
  ~Description() { cublasLtMatmulDescDestroy(description_); }
  Description(const Description&) = delete;
  Description& operator=(const Description&) = delete;

  cublasLtMatmulDesc_t get() const { return description_; }

  template <typename T>
  void set(cublasLtMatmulDescAttributes_t attribute, const T& value) {
    check_lt(cublasLtMatmulDescSetAttribute(description_, attribute, &value, sizeof value),
             "cublasLtMatmulDescSetAttribute");
  }

 private:
  cublasLtMatmulDesc_t description_ = nullptr;
};

std::string to_text(const GemmShape& shape, std::int64_t m) {
  return "the product [" + std::to_string(m) + ", " + std::to_string(shape.k) + "] x [" +
         std::to_string(shape.k) + ", " + std::to_string(shape.n) + "]" +
         (shape.input == ElementType::kF16 ? " in fp16" : " in fp8");
}

}  // namespace

// cuBLASLt counts columns first: what it computes is out^T [n, m] = weights [n, k] * activations^T [k, m],
// both inputs contiguous along k, which is the one form that its fp8 kernels take.
struct Gemm::Plan {
  Plan(const GemmShape& shape, std::int64_t m)
      : weights(to_cuda(shape.input), shape.k, shape.n, shape.k),
        activations(to_cuda(shape.input), shape.k, m, shape.input_row()),
        source(shape.output == OutputType::kF8E4M3 ? CUDA_R_16F : to_cuda(shape.output), shape.n, m,
               shape.output_row()),
        out(to_cuda(shape.output), shape.n, m, shape.output_row()) {
    description.set(CUBLASLT_MATMUL_DESC_TRANSA, CUBLAS_OP_T);
    if (shape.input == ElementType::kF8E4M3) {
      // Partial sums stay in the tensor cores' own accumulators.
      description.set(CUBLASLT_MATMUL_DESC_FAST_ACCUM, std::int8_t{1});
    }
    if (shape.epilogue != Epilogue::kNone) {
      description.set(CUBLASLT_MATMUL_DESC_EPILOGUE, shape.epilogue == Epilogue::kBias
                                                         ? CUBLASLT_EPILOGUE_BIAS
                                                         : CUBLASLT_EPILOGUE_GELU_BIAS);
      const cudaDataType_t bias = shape.output == OutputType::kF32 ? CUDA_R_32F : CUDA_R_16F;
      description.set(CUBLASLT_MATMUL_DESC_BIAS_DATA_TYPE, bias);
    }
  }

  Description description;
  Layout weights;
  Layout activations;
  Layout source;  // what is added to the product; never read unless the product accumulates
  Layout out;
  std::vector<cublasLtMatmulAlgo_t> guesses;  // the library's, best first
  cublasLtMatmulAlgo_t algorithm{};
};

Gemm::Gemm()
    : workspace_(kWorkspaceBytes, "cuBLASLt's workspace"), checksum_(sizeof(std::uint64_t), "a checksum") {
  check_lt(cublasLtCreate(&handle_), "cublasLtCreate");
}

Gemm::~Gemm() {
  plans_.clear();
  cublasLtDestroy(handle_);
}

std::size_t Gemm::workspace_bytes() { return kWorkspaceBytes; }

std::int64_t Gemm::bucket_of(std::int64_t m) {
  if (m > kRowStep) return (m + kRowStep - 1) / kRowStep * kRowStep;
  return std::max(padded_rows(1), static_cast<std::int64_t>(std::bit_ceil(static_cast<std::uint64_t>(m))));
}

Gemm::Plan* Gemm::plan_for(const GemmShape& shape, std::int64_t m) {
  const Key key{m,
                shape.n,
                shape.k,
                shape.input,
                shape.output,
                shape.epilogue,
                shape.accumulate,
                shape.input_stride,
                shape.output_stride};
  if (const auto found = plans_.find(key); found != plans_.end()) return found->second.get();
  auto fresh = std::make_unique<Plan>(shape, m);
  // The library reads nothing there, but chooses by the addresses' alignment: of a bias at an odd multiple of
  // 4 bytes it concludes that out is no better aligned, and what is left is up to ten times as slow. Operands
  // are as well aligned as this.
  alignas(kBiasAlignment) static const std::array<std::byte, kBiasAlignment> kAny{};
  const void* any = kAny.data();
  if (shape.epilogue != Epilogue::kNone) fresh->description.set(CUBLASLT_MATMUL_DESC_BIAS_POINTER, any);
  if (shape.input == ElementType::kF8E4M3) {
    fresh->description.set(CUBLASLT_MATMUL_DESC_A_SCALE_POINTER, any);
    fresh->description.set(CUBLASLT_MATMUL_DESC_B_SCALE_POINTER, any);
    if (shape.output == OutputType::kF8E4M3)
      fresh->description.set(CUBLASLT_MATMUL_DESC_D_SCALE_POINTER, any);
  }
  cublasLtMatmulPreference_t preference = nullptr;
  check_lt(cublasLtMatmulPreferenceCreate(&preference), "cublasLtMatmulPreferenceCreate");
  const std::unique_ptr<std::remove_pointer_t<cublasLtMatmulPreference_t>,
                        cublasStatus_t (*)(cublasLtMatmulPreference_t)>
      owner(preference, cublasLtMatmulPreferenceDestroy);
  const std::size_t workspace = kWorkspaceBytes;
  check_lt(cublasLtMatmulPreferenceSetAttribute(preference, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES,
                                                &workspace, sizeof workspace),
           "cublasLtMatmulPreferenceSetAttribute");
  // No sums that are split over several blocks and added up afterwards: a row's result must not depend on how
  // many rows there are beside it.
  const std::uint32_t unsplit = CUBLASLT_REDUCTION_SCHEME_NONE;
  check_lt(cublasLtMatmulPreferenceSetAttribute(preference, CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK,
                                                &unsplit, sizeof unsplit),
           "cublasLtMatmulPreferenceSetAttribute");
  std::array<cublasLtMatmulHeuristicResult_t, kGuesses> found{};
  int count = 0;
  const cublasStatus_t status = cublasLtMatmulAlgoGetHeuristic(
      handle_, fresh->description.get(), fresh->weights.get(), fresh->activations.get(), fresh->source.get(),
      fresh->out.get(), preference, kGuesses, found.data(), &count);
  std::unique_ptr<Plan>& plan = plans_[key];
  if (status == CUBLAS_STATUS_NOT_SUPPORTED) return nullptr;
  check_lt(status, "the search for an algorithm for " + to_text(shape, m));
  for (int i = 0; i < count; ++i) {
    const cublasLtMatmulHeuristicResult_t& guess = found[static_cast<std::size_t>(i)];
    if (guess.state == CUBLAS_STATUS_SUCCESS) fresh->guesses.push_back(guess.algo);
  }
  if (fresh->guesses.empty()) return nullptr;
  fresh->algorithm = fresh->guesses.front();
  plan = std::move(fresh);
  return plan.get();
}

std::string Gemm::report() const {
  return std::to_string(tried_) + " algorithms tried, " + std::to_string(other_bits_) +
         " left out for other bits; " + std::to_string(untuned_) + " products ran without a tuned one";
}

bool Gemm::supports(const GemmShape& shape, std::int64_t m) {
  return m == 0 || plan_for(shape, bucket_of(m)) != nullptr;
}

bool Gemm::try_launch(Plan& plan, const cublasLtMatmulAlgo_t& algorithm, const GemmShape& shape,
                      const GemmOperands& operands, cudaStream_t stream) {
  const std::int64_t rows = padded_rows(operands.m);
  plan.activations.set_columns(rows);
  plan.source.set_columns(rows);
  plan.out.set_columns(rows);
  if (shape.epilogue != Epilogue::kNone) {
    if (reinterpret_cast<std::uintptr_t>(operands.bias) % kBiasAlignment != 0) {
      throw Error(ErrorKind::kInternal, "the bias of " + to_text(shape, operands.m) + " is not aligned to " +
                                            std::to_string(kBiasAlignment) + " bytes");
    }
    plan.description.set(CUBLASLT_MATMUL_DESC_BIAS_POINTER, operands.bias);
  }
  if (shape.input == ElementType::kF8E4M3) {
    plan.description.set(CUBLASLT_MATMUL_DESC_A_SCALE_POINTER, operands.weight_scale);
    plan.description.set(CUBLASLT_MATMUL_DESC_B_SCALE_POINTER, operands.activation_scale);
    if (shape.output == OutputType::kF8E4M3) {
      plan.description.set(CUBLASLT_MATMUL_DESC_D_SCALE_POINTER, operands.output_scale_inverse);
    }
  }
  const float one = 1.0F;
  const float add = shape.accumulate ? 1.0F : 0.0F;
  const void* added = operands.source != nullptr ? operands.source : operands.out;
  const void* source = shape.accumulate ? added : nullptr;
  const cublasStatus_t status =
      cublasLtMatmul(handle_, plan.description.get(), &one, operands.weights, plan.weights.get(),
                     operands.activations, plan.activations.get(), &add, source, plan.source.get(),
                     operands.out, plan.out.get(), &algorithm, workspace_.as<>(), kWorkspaceBytes, stream);
  if (status == CUBLAS_STATUS_NOT_SUPPORTED) return false;
  check_lt(status, to_text(shape, operands.m));
  return true;
}

void Gemm::run(const GemmShape& shape, const GemmOperands& operands, cudaStream_t stream) {
  if (operands.m == 0) return;
  Plan* plan = plan_for(shape, bucket_of(operands.m));
  if (plan != nullptr && try_launch(*plan, plan->algorithm, shape, operands, stream)) return;
  // What is best for the rounded count may not run on this one.
  ++untuned_;
  plan = plan_for(shape, padded_rows(operands.m));
  if (plan != nullptr) {
    for (const cublasLtMatmulAlgo_t& guess : plan->guesses) {
      if (try_launch(*plan, guess, shape, operands, stream)) return;
    }
  }
  throw Error(ErrorKind::kUnsupported,
              "cuBLASLt has no algorithm for " + to_text(shape, operands.m) + " on this GPU");
}

std::optional<std::uint64_t> Gemm::bits_of(Plan& plan, const cublasLtMatmulAlgo_t& algorithm,
                                           const GemmShape& shape, const GemmOperands& operands,
                                           std::int64_t rows, cudaStream_t stream) {
  const std::int64_t element =
      shape.output == OutputType::kF32 ? 4 : (shape.output == OutputType::kF16 ? 2 : 1);
  const std::int64_t input_row = shape.input_row() * static_cast<std::int64_t>(element_bytes(shape.input));
  const std::int64_t output_row = shape.output_row() * element;
  GPTJ_CUDA_CHECK(cudaMemsetAsync(checksum_.as<>(), 0, checksum_.bytes(), stream));
  GemmOperands part = operands;
  for (std::int64_t done = 0; done == 0 || done + operands.m <= rows; done += operands.m) {
    part.activations = static_cast<const std::byte*>(operands.activations) + done * input_row;
    if (operands.source != nullptr) {
      part.source = static_cast<const std::byte*>(operands.source) + done * output_row;
    }
    if (!try_launch(plan, algorithm, shape, part, stream)) return std::nullopt;
    checksum({.data = part.out,
              .rows = part.m,
              .row_bytes = shape.n * element,
              .stride_bytes = output_row,
              .result = checksum_.as<std::uint64_t>()},
             stream);
    check_launch("checksum");
  }
  std::uint64_t bits = 0;
  GPTJ_CUDA_CHECK(cudaMemcpyAsync(&bits, checksum_.as<>(), sizeof bits, cudaMemcpyDeviceToHost, stream));
  GPTJ_CUDA_CHECK(cudaStreamSynchronize(stream));
  return bits;
}

void Gemm::tune(const GemmShape& shape, const GemmOperands& operands, std::int64_t rows,
                cudaStream_t stream) {
  Plan* const plan = plan_for(shape, bucket_of(operands.m));
  if (plan == nullptr) return;  // run() looks for another one
  const Event begin(true);
  const Event end(true);
  float best = 0.0F;
  std::optional<std::uint64_t> first;
  for (const cublasLtMatmulAlgo_t& guess : plan->guesses) {
    const std::optional<std::uint64_t> bits = bits_of(*plan, guess, shape, operands, rows, stream);
    if (!bits) continue;
    ++tried_;
    if (!first) first = bits;
    if (bits != first) {
      ++other_bits_;
      continue;
    }
    GPTJ_CUDA_CHECK(cudaEventRecord(begin.get(), stream));
    for (int i = 0; i < kTimedRuns; ++i) try_launch(*plan, guess, shape, operands, stream);
    GPTJ_CUDA_CHECK(cudaEventRecord(end.get(), stream));
    GPTJ_CUDA_CHECK(cudaEventSynchronize(end.get()));
    float milliseconds = 0.0F;
    GPTJ_CUDA_CHECK(cudaEventElapsedTime(&milliseconds, begin.get(), end.get()));
    if (best == 0.0F || milliseconds < best) {
      best = milliseconds;
      plan->algorithm = guess;
    }
  }
}

}  // namespace gptj::cuda
