// Turns CUDA's error codes into the one exception type of the C++ side.
#pragma once

#include <cuda_runtime_api.h>

#include <string>

#include "gptj/error.h"

namespace gptj::cuda {

// `attempt` names what was tried, and for an allocation how many bytes it was for:
// check(cudaMalloc(&cache, bytes), "cudaMalloc of " + std::to_string(bytes) + " bytes for the KV cache").
[[noreturn]] inline void throw_cuda_error(cudaError_t status, const std::string& attempt) {
  // The runtime keeps the code of a failed call for cudaGetLastError(); taken out here, it cannot be blamed
  // on the next launch. Errors that break the context come back by themselves.
  (void)cudaGetLastError();
  const ErrorKind kind = status == cudaErrorMemoryAllocation ? ErrorKind::kOutOfMemory : ErrorKind::kInternal;
  throw Error(kind,
              attempt + " failed: " + cudaGetErrorString(status) + " (" + cudaGetErrorName(status) + ")");
}

inline void check(cudaError_t status, const char* attempt) {
  if (status != cudaSuccess) throw_cuda_error(status, attempt);
}

inline void check(cudaError_t status, const std::string& attempt) {
  if (status != cudaSuccess) throw_cuda_error(status, attempt);
}

// Behind a launch: its configuration was accepted. What goes wrong inside a kernel shows at a later
// synchronisation, under the name of what was waited for.
inline void check_launch(const char* kernel) {
  const cudaError_t status = cudaGetLastError();
  if (status != cudaSuccess) throw_cuda_error(status, std::string("the launch of ") + kernel);
}

}  // namespace gptj::cuda

// check(call) under the call's own text.
#define GPTJ_CUDA_CHECK(call) ::gptj::cuda::check((call), #call)
