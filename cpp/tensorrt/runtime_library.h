// libnvinfer, opened at run time, and its messages.
#pragma once

#include <NvInfer.h>

#include <atomic>
#include <memory>
#include <mutex>
#include <string>

namespace gptj::tensorrt {

// TensorRT's messages on stderr, with their severity: warnings and errors always, the rest when it is asked
// for. The last error is kept, to become part of ours.
class Logger final : public nvinfer1::ILogger {
 public:
  explicit Logger(bool verbose) : verbose_(verbose) {}

  void log(Severity severity, const char* text) noexcept override;
  // ": " and the last error; empty when there was none.
  std::string reason() const;
  // Whether TensorRT said that it does not use the timings it was given.
  bool refused_timings() const { return refused_timings_; }

 private:
  bool verbose_;
  std::atomic<bool> refused_timings_ = false;
  mutable std::mutex mutex_;
  std::string last_error_;
};

class RuntimeLibrary {
 public:
  // Opens it once for the process: TENSORRT_ROOT/lib first, then wherever the loader looks. Throws
  // Error(kUnsupported) naming what was looked for and where when it is missing or of another major version
  // than this engine was built for.
  static const RuntimeLibrary& open();

  // "8.6.0"
  const std::string& version() const { return version_; }

  std::unique_ptr<nvinfer1::IBuilder> builder(Logger& logger) const;
  std::unique_ptr<nvinfer1::IRuntime> runtime(Logger& logger) const;

 private:
  RuntimeLibrary();
  void* create(const char* function, Logger& logger) const;

  void* handle_ = nullptr;
  std::string folder_;  // where it was found; empty: by the loader
  std::string version_;
};

}  // namespace gptj::tensorrt
