// The runtime's functions that the engine calls; see fake_cuda.h.
#include <cuda_runtime_api.h>

#include <cstdlib>
#include <cstring>
#include <mutex>
#include <new>

#include "fake_cuda.h"

namespace gptj::testing {

namespace {

std::mutex mutex;  // engines may be used in several threads

}  // namespace

FakeCuda& fake_cuda() {
  static FakeCuda fake;
  return fake;
}

cudaError_t FakeCuda::call(const char* name) {
  const std::lock_guard lock(mutex);
  ++calls;
  if (broken) return last_error = failure;
  if (calls != failing_call) return cudaSuccess;
  failed_call = name;
  broken = failure_is_sticky;
  return last_error = failure;
}

bool FakeCuda::launch(const char* name) { return call(name) == cudaSuccess && computes; }

// Zero, so that a run is the same each time; large memory that is not used costs nothing.
void* FakeCuda::take(std::size_t bytes) {
  void* memory = std::calloc(bytes > 0 ? bytes : 1, 1);
  if (memory == nullptr) throw std::bad_alloc();
  const std::lock_guard lock(mutex);
  held.emplace(memory, bytes);
  return memory;
}

void FakeCuda::give_back(void* handle) {
  const std::lock_guard lock(mutex);
  if (handle != nullptr && held.erase(handle) == 1) std::free(handle);
}

}  // namespace gptj::testing

using gptj::testing::fake_cuda;

namespace {

cudaError_t allocate(void** memory, std::size_t bytes, const char* name) {
  const cudaError_t status = fake_cuda().call(name);
  if (status == cudaSuccess) *memory = fake_cuda().take(bytes);
  return status;
}

template <typename Handle>
cudaError_t create(Handle* handle, const char* name) {
  void* memory = nullptr;
  const cudaError_t status = allocate(&memory, 1, name);
  if (status == cudaSuccess) *handle = static_cast<Handle>(memory);
  return status;
}

}  // namespace

extern "C" {

cudaError_t cudaGetDeviceCount(int* count) {
  if (fake_cuda().availability != cudaSuccess) return fake_cuda().availability;
  *count = static_cast<int>(fake_cuda().gpus.size());
  return cudaSuccess;
}

cudaError_t cudaDriverGetVersion(int* version) {
  *version = fake_cuda().driver_version;
  return cudaSuccess;
}

cudaError_t cudaGetLastError() {
  const cudaError_t error = fake_cuda().last_error;
  if (!fake_cuda().broken) fake_cuda().last_error = cudaSuccess;
  return error;
}

const char* cudaGetErrorString(cudaError_t error) {
  return error == cudaErrorMemoryAllocation ? "out of memory" : "something went wrong";
}

const char* cudaGetErrorName(cudaError_t error) {
  switch (error) {
    case cudaErrorMemoryAllocation:
      return "cudaErrorMemoryAllocation";
    case cudaErrorLaunchFailure:
      return "cudaErrorLaunchFailure";
    default:
      return "cudaErrorOther";
  }
}

cudaError_t cudaSetDevice(int) { return fake_cuda().call("cudaSetDevice"); }

cudaError_t cudaDeviceGetAttribute(int* value, cudaDeviceAttr attribute, int device) {
  const auto& gpu = fake_cuda().gpus.at(static_cast<std::size_t>(device));
  *value = attribute == cudaDevAttrComputeCapabilityMajor ? gpu.major : gpu.minor;
  return fake_cuda().call("cudaDeviceGetAttribute");
}

cudaError_t cudaGetDeviceProperties(cudaDeviceProp* properties, int device) {
  const auto& gpu = fake_cuda().gpus.at(static_cast<std::size_t>(device));
  gpu.name.copy(properties->name, sizeof properties->name - 1);
  return fake_cuda().call("cudaGetDeviceProperties");
}

cudaError_t cudaMemGetInfo(std::size_t* free, std::size_t* total) {
  *free = *total = fake_cuda().gpus.front().memory;
  return fake_cuda().call("cudaMemGetInfo");
}

cudaError_t cudaMalloc(void** memory, std::size_t bytes) { return allocate(memory, bytes, "cudaMalloc"); }
cudaError_t cudaMallocHost(void** memory, std::size_t bytes) {
  return allocate(memory, bytes, "cudaMallocHost");
}
cudaError_t cudaFree(void* memory) {
  fake_cuda().give_back(memory);
  return cudaSuccess;
}
cudaError_t cudaFreeHost(void* memory) { return cudaFree(memory); }

cudaError_t cudaMemcpyAsync(void* to, const void* from, std::size_t bytes, cudaMemcpyKind, cudaStream_t) {
  const cudaError_t status = fake_cuda().call("cudaMemcpyAsync");
  if (status == cudaSuccess) std::memcpy(to, from, bytes);
  return status;
}

cudaError_t cudaMemcpy(void* to, const void* from, std::size_t bytes, cudaMemcpyKind kind) {
  return cudaMemcpyAsync(to, from, bytes, kind, nullptr);
}

cudaError_t cudaMemset(void* memory, int value, std::size_t bytes) {
  const cudaError_t status = fake_cuda().call("cudaMemset");
  if (status == cudaSuccess) std::memset(memory, value, bytes);
  return status;
}

cudaError_t cudaMemsetAsync(void* memory, int value, std::size_t bytes, cudaStream_t) {
  return cudaMemset(memory, value, bytes);
}

cudaError_t cudaStreamCreateWithFlags(cudaStream_t* stream, unsigned) {
  return create(stream, "cudaStreamCreateWithFlags");
}
cudaError_t cudaStreamDestroy(cudaStream_t stream) { return cudaFree(stream); }
cudaError_t cudaStreamSynchronize(cudaStream_t) { return fake_cuda().call("cudaStreamSynchronize"); }
cudaError_t cudaDeviceSynchronize() { return fake_cuda().call("cudaDeviceSynchronize"); }

cudaError_t cudaEventCreateWithFlags(cudaEvent_t* event, unsigned) {
  return create(event, "cudaEventCreateWithFlags");
}
cudaError_t cudaEventDestroy(cudaEvent_t event) { return cudaFree(event); }
cudaError_t cudaEventRecord(cudaEvent_t, cudaStream_t) { return fake_cuda().call("cudaEventRecord"); }
cudaError_t cudaEventSynchronize(cudaEvent_t) { return fake_cuda().call("cudaEventSynchronize"); }
cudaError_t cudaEventElapsedTime(float* milliseconds, cudaEvent_t, cudaEvent_t) {
  *milliseconds = 1.0F;
  return fake_cuda().call("cudaEventElapsedTime");
}
}
