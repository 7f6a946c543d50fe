// GPT-J's matrix products by themselves: each size checked against the CPU on sampled elements, then timed
// through the same plans that the engine uses, at the row counts of steps. Prints TFLOP/s; the sustained
// ceiling of FP8 on an H100 is 1,250, of FP16 630, limited by the card's power.
//
//     gemm_lab [ROWS ...]
#include <cuda_fp16.h>
#include <cuda_fp8.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <random>
#include <string>
#include <vector>

#include "cuda/gemm.h"
#include "cuda/kernels/pointwise.h"
#include "cuda/memory.h"
#include "gptj/error.h"

namespace gptj::cuda {
namespace {

constexpr std::int64_t kHidden = 4096;
constexpr std::int64_t kInner = 16384;
constexpr std::int64_t kVocab = 50432;
constexpr int kTimedRuns = 20;
constexpr float kSpread = 20.0F;  // of biases and of what is added: about as large as the products
constexpr int kWeightSets = 4;    // more than the L2 holds, so that weights come from memory as in a step

struct Case {
  const char* name;
  GemmShape shape;
  bool is_in_place = false;  // an accumulating product is added to what its result takes the place of
};

std::vector<Case> cases(ElementType type) {
  const OutputType activated = type == ElementType::kF16 ? OutputType::kF16 : OutputType::kF8E4M3;
  const GemmShape back{
      .n = kHidden, .k = kHidden + kInner, .input = type, .epilogue = Epilogue::kBias, .accumulate = true};
  return {
      {"Q, K, V", {.n = 3 * kHidden, .k = kHidden, .input = type}},
      {"MLP, plain", {.n = kInner, .k = kHidden, .input = type}},
      {"MLP, bias, GELU",
       {.n = kInner,
        .k = kHidden,
        .input = type,
        .output = activated,
        .epilogue = Epilogue::kBiasGelu,
        .output_stride = kHidden + kInner}},
      {"back, bias, residual", back},
      {"the same in place", back, true},
  };
}

class Bench {
 public:
  explicit Bench(std::int64_t most_rows)
      : activations_(2 * static_cast<std::size_t>(most_rows * (kHidden + kInner)), "activations"),
        out_(4 * static_cast<std::size_t>(most_rows) * static_cast<std::size_t>(kVocab), "outputs"),
        weights_(2 * static_cast<std::size_t>(kWeightSets) *
                     static_cast<std::size_t>(kHidden * (kHidden + kInner)),
                 "weights"),
        bias_(4 * static_cast<std::size_t>(kVocab), "a bias"),
        scale_(256, "a scale") {
    const float one = 1.0F;
    GPTJ_CUDA_CHECK(cudaMemcpy(scale_.as<>(), &one, sizeof one, cudaMemcpyHostToDevice));
    fill_random(bias_.as<>(), static_cast<std::int64_t>(bias_.bytes() / 2), std::random_device{}(), kSpread,
                stream_.get());
    check_launch("fill_random");
  }

  // Random fp16, or the same rounded to E4M3.
  void fill(DeviceBuffer& buffer, ElementType type, std::uint64_t seed) {
    const auto count = static_cast<std::int64_t>(buffer.bytes() / 2);
    fill_random(buffer.as<>(), count, seed, 0.5F, stream_.get());
    if (type == ElementType::kF8E4M3) {
      DeviceBuffer rounded(buffer.bytes() / 2, "rounded values");
      quantise(buffer.as<>(), false, count, scale_.as<float>(), rounded.as<>(), stream_.get());
      GPTJ_CUDA_CHECK(cudaMemcpyAsync(buffer.as<>(), rounded.as<>(), rounded.bytes(),
                                      cudaMemcpyDeviceToDevice, stream_.get()));
      GPTJ_CUDA_CHECK(cudaMemcpyAsync(buffer.as<std::byte>() + rounded.bytes(), rounded.as<>(),
                                      rounded.bytes(), cudaMemcpyDeviceToDevice, stream_.get()));
      GPTJ_CUDA_CHECK(cudaStreamSynchronize(stream_.get()));
    }
    check_launch("fill");
  }

  void run(const Case& one, ElementType type, std::int64_t rows) {
    if (!gemm_.supports(one.shape, rows)) {
      std::printf("%-4s %-22s %6lld  not supported by the library\n", name(type), one.name,
                  static_cast<long long>(rows));
      return;
    }
    GemmOperands operands{.m = rows,
                          .activations = activations_.as<>(),
                          .weights = weights_.as<>(),
                          .bias = bias_.as<>(),
                          .source = source(),
                          .out = out_.as<>(),
                          .activation_scale = scale_.as<float>(),
                          .weight_scale = scale_.as<float>(),
                          .output_scale_inverse = scale_.as<float>()};
    fill_source();
    gemm_.tune(one.shape, operands, operands.m, stream_.get());
    if (one.is_in_place) operands.source = nullptr;
    const double error = check(one, type, operands);
    const std::size_t set =
        static_cast<std::size_t>(one.shape.n) * static_cast<std::size_t>(one.shape.k) * element_bytes(type);
    const std::size_t sets = std::max<std::size_t>(1, weights_.bytes() / set);
    const Event begin(true);
    const Event end(true);
    GPTJ_CUDA_CHECK(cudaEventRecord(begin.get(), stream_.get()));
    for (int i = 0; i < kTimedRuns; ++i) {
      operands.weights = weights_.as<std::byte>() + set * (static_cast<std::size_t>(i) % sets);
      gemm_.run(one.shape, operands, stream_.get());
    }
    GPTJ_CUDA_CHECK(cudaEventRecord(end.get(), stream_.get()));
    GPTJ_CUDA_CHECK(cudaEventSynchronize(end.get()));
    float milliseconds = 0.0F;
    GPTJ_CUDA_CHECK(cudaEventElapsedTime(&milliseconds, begin.get(), end.get()));
    const double each = milliseconds / kTimedRuns;
    const double flop =
        2.0 * static_cast<double>(rows) * static_cast<double>(one.shape.n) * static_cast<double>(one.shape.k);
    std::printf("%-4s %-22s %6lld  %8.1f us  %7.0f TFLOP/s  error %.1e\n", name(type), one.name,
                static_cast<long long>(rows), each * 1e3, flop / each * 1e-9, error);
    if (!(error < tolerance(one.shape))) failed_ = true;
  }

  bool failed() const { return failed_; }

 private:
  static const char* name(ElementType type) { return type == ElementType::kF16 ? "fp16" : "fp8"; }

  // Of check()'s error, some twice what was measured on an H100. Stored as E4M3, a value is off by up to 1/16
  // of itself. Stored as fp16, it is off by 2^-12 of itself on the average; sums of fp16 products are floats
  // and add nothing to that. FP8's fast accumulators cut every partial sum to 14 bits behind the leading one:
  // each of the k / 32 additions is off by a part of the sum, and both the sum and the number of additions
  // grow with k, so that the relative error grows as its root (measured: 1.6e-3 at 4096, 4.2e-3 at 20480).
  static double tolerance(const GemmShape& shape) {
    if (shape.output == OutputType::kF8E4M3) return 4e-2;
    if (shape.input == ElementType::kF16) return 5e-4;
    return 5e-5 * std::sqrt(static_cast<double>(shape.k));
  }

  static double value(const std::vector<std::byte>& bytes, std::size_t index, ElementType type) {
    if (type == ElementType::kF16) return __half2float(reinterpret_cast<const __half*>(bytes.data())[index]);
    return static_cast<float>(reinterpret_cast<const __nv_fp8_e4m3*>(bytes.data())[index]);
  }

  static double half_at(const void* data, std::size_t index) {
    __half value;
    GPTJ_CUDA_CHECK(
        cudaMemcpy(&value, static_cast<const __half*>(data) + index, sizeof value, cudaMemcpyDeviceToHost));
    return __half2float(value);
  }

  // What is added to the product, behind the results.
  void* source() { return out_.as<std::byte>() + out_.bytes() / 2; }
  void fill_source() {
    fill_random(source(), static_cast<std::int64_t>(out_.bytes() / 4), std::random_device{}(), kSpread,
                stream_.get());
    check_launch("fill_random");
  }

  // ||out - reference|| / ||reference|| over sampled elements, the reference in double.
  double check(const Case& one, ElementType type, const GemmOperands& operands) {
    GPTJ_CUDA_CHECK(cudaMemsetAsync(out_.as<>(), 0xFF, out_.bytes() / 2, stream_.get()));
    if (one.is_in_place) {
      GPTJ_CUDA_CHECK(cudaMemcpyAsync(out_.as<>(), source(), 2 * operands.m * one.shape.n,
                                      cudaMemcpyDeviceToDevice, stream_.get()));
    }
    gemm_.run(one.shape, operands, stream_.get());
    GPTJ_CUDA_CHECK(cudaStreamSynchronize(stream_.get()));
    std::mt19937_64 random(std::random_device{}());
    const std::size_t row_bytes = static_cast<std::size_t>(one.shape.k) * element_bytes(type);
    const ElementType out_type =
        one.shape.output == OutputType::kF8E4M3 ? ElementType::kF8E4M3 : ElementType::kF16;
    double difference = 0.0;
    double size = 0.0;
    for (int sample = 0; sample < 64; ++sample) {
      const auto row = static_cast<std::size_t>(random() % static_cast<std::uint64_t>(operands.m));
      const auto column = static_cast<std::size_t>(random() % static_cast<std::uint64_t>(one.shape.n));
      std::vector<std::byte> a(row_bytes);
      std::vector<std::byte> b(row_bytes);
      std::vector<std::byte> out(element_bytes(out_type));
      GPTJ_CUDA_CHECK(cudaMemcpy(a.data(), activations_.as<std::byte>() + row * row_bytes, row_bytes,
                                 cudaMemcpyDeviceToHost));
      GPTJ_CUDA_CHECK(cudaMemcpy(b.data(), weights_.as<std::byte>() + column * row_bytes, row_bytes,
                                 cudaMemcpyDeviceToHost));
      GPTJ_CUDA_CHECK(cudaMemcpy(
          out.data(),
          out_.as<std::byte>() +
              (row * static_cast<std::size_t>(one.shape.output_row()) + column) * element_bytes(out_type),
          out.size(), cudaMemcpyDeviceToHost));
      double sum = 0.0;
      for (std::size_t i = 0; i < static_cast<std::size_t>(one.shape.k); ++i) {
        sum += value(a, i, type) * value(b, i, type);
      }
      if (one.shape.epilogue != Epilogue::kNone) sum += half_at(bias_.as<>(), column);
      if (one.shape.accumulate) {
        sum += half_at(source(), row * static_cast<std::size_t>(one.shape.n) + column);
      }
      if (one.shape.epilogue == Epilogue::kBiasGelu) {
        sum = 0.5 * sum * (1.0 + std::tanh(std::sqrt(2.0 / M_PI) * (sum + 0.044715 * sum * sum * sum)));
      }
      const double got = value(out, 0, out_type);
      difference += (got - sum) * (got - sum);
      size += sum * sum;
    }
    return std::sqrt(difference / size);
  }

  Stream stream_;
  Gemm gemm_;
  DeviceBuffer activations_;
  DeviceBuffer out_;
  DeviceBuffer weights_;
  DeviceBuffer bias_;
  DeviceBuffer scale_;
  bool failed_ = false;

 public:
  DeviceBuffer& activations() { return activations_; }
  DeviceBuffer& weights() { return weights_; }
};

int run_all(int argc, char** argv) {
  std::vector<std::int64_t> rows;
  for (int i = 1; i < argc; ++i) rows.push_back(std::atoll(argv[i]));
  if (rows.empty()) rows = {4, 64, 256, 512, 832, 1024, 2048, 2816, 3584, 4096};
  std::int64_t most = 16;
  for (const std::int64_t count : rows) most = std::max(most, count);
  Bench bench(most);
  for (const ElementType type : {ElementType::kF8E4M3, ElementType::kF16}) {
    bench.fill(bench.activations(), type, std::random_device{}());
    bench.fill(bench.weights(), type, std::random_device{}());
    for (const Case& one : cases(type)) {
      for (const std::int64_t count : rows) bench.run(one, type, count);
    }
  }
  std::printf(bench.failed() ? "FAILED: an error is too large\n" : "all products are right\n");
  return bench.failed() ? 1 : 0;
}

}  // namespace
}  // namespace gptj::cuda

int main(int argc, char** argv) {
  try {
    return gptj::cuda::run_all(argc, argv);
  } catch (const gptj::Error& error) {
    std::fprintf(stderr, "error: %s\n", error.what());
    return 1;
  }
}
