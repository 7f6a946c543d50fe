// A small toolkit for kernel labs: programs that first check a kernel against a reference in double on fresh
// random inputs, and only then time it. Header-only; a lab is one .cu file that includes this.
#pragma once

#include <cuda_fp16.h>
#include <cuda_fp8.h>
#include <cuda_runtime.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <random>
#include <string>
#include <utility>
#include <vector>

namespace gptj::lab {

inline void check(cudaError_t status, const char* call, const char* file, int line) {
  if (status == cudaSuccess) return;
  std::fprintf(stderr, "%s:%d: %s: %s\n", file, line, call, cudaGetErrorString(status));
  std::exit(2);
}

// Every CUDA call of a lab goes through this: prints where and what failed, and ends the program.
#define LAB_CHECK(call) ::gptj::lab::check((call), #call, __FILE__, __LINE__)
// Behind a kernel launch: reports a launch that failed and, by waiting, a kernel that did.
#define LAB_CHECK_KERNEL()              \
  do {                                  \
    LAB_CHECK(cudaGetLastError());      \
    LAB_CHECK(cudaDeviceSynchronize()); \
  } while (false)

// Device memory. It starts as 0xFF bytes, which are NaN in fp16, fp32 and E4M3 and -1 in integers, so that
// what a kernel forgot to write, or reads before it is written, shows.
template <typename T>
class DeviceBuffer {
 public:
  DeviceBuffer() = default;
  explicit DeviceBuffer(std::size_t count) : count_(count) {
    if (count == 0) return;
    LAB_CHECK(cudaMalloc(&data_, bytes()));
    poison();
  }
  explicit DeviceBuffer(const std::vector<T>& values) : DeviceBuffer(values.size()) { upload(values); }
  ~DeviceBuffer() {
    if (data_ != nullptr) LAB_CHECK(cudaFree(data_));
  }
  DeviceBuffer(DeviceBuffer&& other) noexcept
      : data_(std::exchange(other.data_, nullptr)), count_(std::exchange(other.count_, 0)) {}
  DeviceBuffer& operator=(DeviceBuffer&& other) noexcept {
    std::swap(data_, other.data_);
    std::swap(count_, other.count_);
    return *this;
  }

  T* data() const { return static_cast<T*>(data_); }
  std::size_t count() const { return count_; }
  std::size_t bytes() const { return count_ * sizeof(T); }

  void poison() {
    if (count_ > 0) LAB_CHECK(cudaMemset(data_, 0xFF, bytes()));
  }
  void clear() {
    if (count_ > 0) LAB_CHECK(cudaMemset(data_, 0, bytes()));
  }
  void upload(const std::vector<T>& values) {
    if (values.size() > count_) {
      std::fprintf(stderr, "upload of %zu elements into a buffer of %zu\n", values.size(), count_);
      std::exit(2);
    }
    if (!values.empty())
      LAB_CHECK(cudaMemcpy(data_, values.data(), values.size() * sizeof(T), cudaMemcpyHostToDevice));
  }
  std::vector<T> download() const {
    std::vector<T> values(count_);
    if (count_ > 0) LAB_CHECK(cudaMemcpy(values.data(), data_, bytes(), cudaMemcpyDeviceToHost));
    return values;
  }

 private:
  void* data_ = nullptr;
  std::size_t count_ = 0;
};

// Host conversions, the same rounding as the GPU's: to nearest even; E4M3 saturates at +-448 and keeps NaN.
inline __half to_half(float value) { return __float2half_rn(value); }
inline float to_float(__half value) { return __half2float(value); }
inline float to_float(float value) { return value; }
inline std::uint8_t to_e4m3(float value) { return __nv_cvt_float_to_fp8(value, __NV_SATFINITE, __NV_E4M3); }
inline float from_e4m3(std::uint8_t value) {
  return __half2float(__half(__nv_cvt_fp8_to_halfraw(value, __NV_E4M3)));
}

inline std::vector<__half> to_half(const std::vector<float>& values) {
  std::vector<__half> out(values.size());
  for (std::size_t i = 0; i < values.size(); ++i) out[i] = to_half(values[i]);
  return out;
}
inline std::vector<float> to_float(const std::vector<__half>& values) {
  std::vector<float> out(values.size());
  for (std::size_t i = 0; i < values.size(); ++i) out[i] = to_float(values[i]);
  return out;
}
// A stored E4M3 value x stands for x * scale.
inline std::vector<std::uint8_t> to_e4m3(const std::vector<float>& values, float scale = 1.0F) {
  std::vector<std::uint8_t> out(values.size());
  for (std::size_t i = 0; i < values.size(); ++i) out[i] = to_e4m3(values[i] / scale);
  return out;
}
inline std::vector<float> from_e4m3(const std::vector<std::uint8_t>& values, float scale = 1.0F) {
  std::vector<float> out(values.size());
  for (std::size_t i = 0; i < values.size(); ++i) out[i] = from_e4m3(values[i]) * scale;
  return out;
}

class Random {
 public:
  explicit Random(std::uint64_t seed) : engine_(seed) {}

  float uniform(float low, float high) { return std::uniform_real_distribution<float>(low, high)(engine_); }
  // Both ends included.
  int integer(int low, int high) { return std::uniform_int_distribution<int>(low, high)(engine_); }
  bool chance(double probability) { return std::bernoulli_distribution(probability)(engine_); }
  std::uint64_t bits() { return engine_(); }

  std::vector<float> uniform(std::size_t count, float low, float high) {
    std::vector<float> values(count);
    std::uniform_real_distribution<float> draw(low, high);
    for (float& value : values) value = draw(engine_);
    return values;
  }
  std::vector<float> normal(std::size_t count, float mean, float deviation) {
    std::vector<float> values(count);
    std::normal_distribution<float> draw(mean, deviation);
    for (float& value : values) value = draw(engine_);
    return values;
  }
  template <typename T>
  void shuffle(std::vector<T>& values) {
    std::shuffle(values.begin(), values.end(), engine_);
  }

 private:
  std::mt19937_64 engine_;
};

// ||out - ref|| / ||ref||. Infinite when anything in either is NaN or infinite, or the sizes differ, so that
// no limit lets it pass.
template <typename Out, typename Ref>
double relative_error(const std::vector<Out>& out, const std::vector<Ref>& ref) {
  if (out.size() != ref.size()) return std::numeric_limits<double>::infinity();
  double difference = 0.0;
  double norm = 0.0;
  for (std::size_t i = 0; i < ref.size(); ++i) {
    const auto a = static_cast<double>(out[i]);
    const auto b = static_cast<double>(ref[i]);
    if (!std::isfinite(a) || !std::isfinite(b)) return std::numeric_limits<double>::infinity();
    difference += (a - b) * (a - b);
    norm += b * b;
  }
  if (norm == 0.0) return difference == 0.0 ? 0.0 : std::numeric_limits<double>::infinity();
  return std::sqrt(difference / norm);
}

// Counts checks; a lab's main() returns finish(), which is not 0 when one failed or none was made.
class Checks {
 public:
  bool within(const std::string& what, double error, double limit) {
    const bool good = error <= limit;  // false for NaN
    if (!good) std::printf("FAILED  %s: error %.3e, limit %.3e\n", what.c_str(), error, limit);
    worst_ = good ? std::max(worst_, error) : worst_;
    return count(good);
  }
  bool that(const std::string& what, bool good) {
    if (!good) std::printf("FAILED  %s\n", what.c_str());
    return count(good);
  }
  // Prints and restarts the largest error among within()'s checks since the last call.
  void report(const char* group) {
    std::printf("%-28s %6d checks, %d failed, largest error %.2e\n", group, group_, group_failed_, worst_);
    std::fflush(stdout);
    worst_ = 0.0;
    group_ = group_failed_ = 0;
  }
  bool all_good() const { return failed_ == 0; }
  int finish() const {
    std::printf("%d checks, %d failed\n", made_, failed_);
    return failed_ == 0 && made_ > 0 ? 0 : 1;
  }

 private:
  bool count(bool good) {
    ++made_;
    ++group_;
    failed_ += good ? 0 : 1;
    group_failed_ += good ? 0 : 1;
    return good;
  }

  int made_ = 0;
  int failed_ = 0;
  int group_ = 0;
  int group_failed_ = 0;
  double worst_ = 0.0;
};

struct Timing {
  double median_ms = 0.0;
  double fastest_ms = 0.0;
  double slowest_ms = 0.0;
};

struct TimingPlan {
  int warm_up = 5;
  int repeats = 30;
  // Input sets that launch(set) rotates among: enough of them that one round exceeds the L2 cache (50 MB).
  int sets = 1;
  // Launches between two events: more than 1 hides the events' own few microseconds for short kernels.
  int launches = 1;
};

// Times launch(set, stream) with events, after a warm-up; the result is for one launch.
template <typename Launch>
Timing time_kernel(const TimingPlan& plan, Launch&& launch, cudaStream_t stream = nullptr) {
  cudaEvent_t begin = nullptr;
  cudaEvent_t end = nullptr;
  LAB_CHECK(cudaEventCreate(&begin));
  LAB_CHECK(cudaEventCreate(&end));
  int set = 0;
  const auto next = [&] {
    launch(set, stream);
    set = (set + 1) % plan.sets;
  };
  for (int i = 0; i < plan.warm_up; ++i) next();
  LAB_CHECK(cudaGetLastError());
  LAB_CHECK(cudaStreamSynchronize(stream));
  std::vector<double> times;
  for (int i = 0; i < plan.repeats; ++i) {
    LAB_CHECK(cudaEventRecord(begin, stream));
    for (int j = 0; j < plan.launches; ++j) next();
    LAB_CHECK(cudaEventRecord(end, stream));
    LAB_CHECK(cudaGetLastError());
    LAB_CHECK(cudaEventSynchronize(end));
    float elapsed = 0.0F;
    LAB_CHECK(cudaEventElapsedTime(&elapsed, begin, end));
    times.push_back(static_cast<double>(elapsed) / plan.launches);
  }
  LAB_CHECK(cudaEventDestroy(begin));
  LAB_CHECK(cudaEventDestroy(end));
  std::sort(times.begin(), times.end());
  return {times[times.size() / 2], times.front(), times.back()};
}

// How many input sets of `bytes` each keep a round of them out of a 50 MB L2 cache.
inline int sets_beyond_cache(std::size_t bytes, int most = 32) {
  const std::size_t sets = (std::size_t{150} << 20) / std::max<std::size_t>(bytes, 1) + 1;
  return static_cast<int>(std::min<std::size_t>(sets, static_cast<std::size_t>(most)));
}

// --seed N, --repeats N, --only NAME, --checks-only, --times-only. The seed depends on the time unless it is
// given, and is always printed, so that a failure can be repeated.
struct CommandLine {
  std::uint64_t seed = 0;
  int repeats = 30;
  std::string only;
  bool checks = true;
  bool times = true;

  CommandLine(int argc, char** argv) {
    seed = static_cast<std::uint64_t>(std::chrono::system_clock::now().time_since_epoch().count());
    for (int i = 1; i < argc; ++i) {
      const std::string argument = argv[i];
      const bool has_value = i + 1 < argc;
      if (argument == "--seed" && has_value) {
        seed = std::strtoull(argv[++i], nullptr, 10);
      } else if (argument == "--repeats" && has_value) {
        repeats = std::max(1, std::atoi(argv[++i]));
      } else if (argument == "--only" && has_value) {
        only = argv[++i];
      } else if (argument == "--checks-only") {
        times = false;
      } else if (argument == "--times-only") {
        checks = false;
      } else {
        std::fprintf(stderr,
                     "usage: %s [--seed N] [--repeats N] [--only NAME] [--checks-only | --times-only]\n",
                     argv[0]);
        std::exit(2);
      }
    }
    std::printf("seed %llu\n", static_cast<unsigned long long>(seed));
  }

  bool wants(const std::string& name) const { return only.empty() || name.find(only) != std::string::npos; }
};

inline void print_device() {
  int device = 0;
  cudaDeviceProp properties{};
  LAB_CHECK(cudaGetDevice(&device));
  LAB_CHECK(cudaGetDeviceProperties(&properties, device));
  std::printf("%s, %d multiprocessors, L2 %d MiB\n", properties.name, properties.multiProcessorCount,
              properties.l2CacheSize >> 20);
}

// A result table: rows are collected and printed last, aligned.
class Table {
 public:
  explicit Table(std::vector<std::string> header) : rows_{std::move(header)} {}

  void row(std::vector<std::string> cells) { rows_.push_back(std::move(cells)); }
  bool empty() const { return rows_.size() < 2; }
  void print() const {
    std::vector<std::size_t> widths;
    for (const auto& row : rows_) {
      widths.resize(std::max(widths.size(), row.size()), 0);
      for (std::size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], row[i].size());
    }
    for (const auto& row : rows_) {
      for (std::size_t i = 0; i < row.size(); ++i)
        std::printf(i == 0 ? "%-*s" : "  %*s", static_cast<int>(widths[i]), row[i].c_str());
      std::printf("\n");
    }
    std::fflush(stdout);
  }

 private:
  std::vector<std::vector<std::string>> rows_;
};

// printf into a string, for table cells and names of checks.
template <typename... Values>
std::string format(const char* pattern, Values... values) {
  char text[256];
  std::snprintf(text, sizeof text, pattern, values...);
  return text;
}
inline std::string format(const char* text) { return text; }

// What a table says of a kernel bound by memory: time, rate, and its share of a large copy's 3.0 TB/s.
inline constexpr double kCopyBytesPerSecond = 3.0e12;
inline std::vector<std::string> bandwidth_cells(const std::string& name, const Timing& timing, double bytes) {
  const double rate = bytes / (timing.median_ms * 1e-3);
  return {name,
          format("%.1f", timing.median_ms * 1e3),
          format("%.1f", timing.fastest_ms * 1e3),
          format("%.2f", bytes / 1e6),
          format("%.0f", rate / 1e9),
          format("%.0f", 100.0 * rate / kCopyBytesPerSecond)};
}
inline std::vector<std::string> bandwidth_header() {
  return {"kernel", "median us", "fastest us", "MB", "GB/s", "% of copy"};
}

}  // namespace gptj::lab
