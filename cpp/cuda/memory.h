// Owners of device memory, pinned host memory, streams and events.
#pragma once

#include <cuda_runtime_api.h>

#include <cstddef>
#include <memory>
#include <string>

#include "cuda/check.h"

namespace gptj::cuda {

struct OnDevice {
  static constexpr const char* kCall = "cudaMalloc";
  static cudaError_t allocate(void** memory, std::size_t bytes) { return cudaMalloc(memory, bytes); }
  void operator()(void* memory) const noexcept { cudaFree(memory); }
};
struct OnPinnedHost {
  static constexpr const char* kCall = "cudaMallocHost";
  static cudaError_t allocate(void** memory, std::size_t bytes) { return cudaMallocHost(memory, bytes); }
  void operator()(void* memory) const noexcept { cudaFreeHost(memory); }
};

template <typename Place>
class Buffer {
 public:
  Buffer() = default;
  // `what` names it in the error when it does not fit.
  Buffer(std::size_t bytes, const std::string& what) : bytes_(bytes) {
    void* memory = nullptr;
    if (bytes > 0) {
      check(Place::allocate(&memory, bytes),
            std::string(Place::kCall) + " of " + std::to_string(bytes) + " bytes for " + what);
    }
    memory_.reset(memory);
  }

  template <typename T = void>
  T* as() const {
    return static_cast<T*>(memory_.get());
  }
  std::size_t bytes() const { return bytes_; }

 private:
  std::unique_ptr<void, Place> memory_;
  std::size_t bytes_ = 0;
};

// Memory on the GPU, 256-byte aligned.
using DeviceBuffer = Buffer<OnDevice>;
// Page-locked memory on the host: copies from and to it do not wait for the host.
using PinnedBuffer = Buffer<OnPinnedHost>;

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
