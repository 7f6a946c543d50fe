// Owners of device memory, pinned host memory, streams and events.
#pragma once

#include <cuda_runtime_api.h>

#include <cstddef>
#include <memory>
#include <string>

#include "cuda/check.h"

namespace gptj::cuda {

struct DeviceFree {
  void operator()(void* memory) const noexcept { cudaFree(memory); }
};
struct PinnedFree {
  void operator()(void* memory) const noexcept { cudaFreeHost(memory); }
};

// Memory on the GPU, 256-byte aligned.
class DeviceBuffer {
 public:
  DeviceBuffer() = default;
  // `what` names it in the error when it does not fit.
  DeviceBuffer(std::size_t bytes, const std::string& what) : bytes_(bytes) {
    void* memory = nullptr;
    if (bytes > 0) {
      check(cudaMalloc(&memory, bytes), "cudaMalloc of " + std::to_string(bytes) + " bytes for " + what);
    }
    memory_.reset(memory);
  }

  template <typename T = void>
  T* as() const {
    return static_cast<T*>(memory_.get());
  }
  std::size_t bytes() const { return bytes_; }

 private:
  std::unique_ptr<void, DeviceFree> memory_;
  std::size_t bytes_ = 0;
};

// Page-locked memory on the host: copies from and to it do not wait for the host.
class PinnedBuffer {
 public:
  PinnedBuffer() = default;
  explicit PinnedBuffer(std::size_t bytes) : bytes_(bytes) {
    void* memory = nullptr;
    check(cudaMallocHost(&memory, bytes), "cudaMallocHost of " + std::to_string(bytes) + " bytes");
    memory_.reset(memory);
  }

  template <typename T = void>
  T* as() const {
    return static_cast<T*>(memory_.get());
  }
  std::size_t bytes() const { return bytes_; }

 private:
  std::unique_ptr<void, PinnedFree> memory_;
  std::size_t bytes_ = 0;
};

class Stream {
 public:
  Stream() { GPTJ_CUDA_CHECK(cudaStreamCreateWithFlags(&stream_, cudaStreamNonBlocking)); }
  ~Stream() { cudaStreamDestroy(stream_); }
  Stream(const Stream&) = delete;
  Stream& operator=(const Stream&) = delete;

  cudaStream_t get() const { return stream_; }

 private:
  cudaStream_t stream_ = nullptr;
};

// For ordering alone, unless it is asked for times.
class Event {
 public:
  explicit Event(bool timed = false) {
    GPTJ_CUDA_CHECK(cudaEventCreateWithFlags(&event_, timed ? cudaEventDefault : cudaEventDisableTiming));
  }
  ~Event() { cudaEventDestroy(event_); }
  Event(const Event&) = delete;
  Event& operator=(const Event&) = delete;

  cudaEvent_t get() const { return event_; }

 private:
  cudaEvent_t event_ = nullptr;
};

}  // namespace gptj::cuda
