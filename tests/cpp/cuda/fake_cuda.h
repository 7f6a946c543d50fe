// A CUDA runtime, a cuBLASLt and kernels of the tests' own, linked in place of the real ones: memory is the
// host's, and everything is done when a call returns. What is real is all of the engine around them, so that
// its steps, blocks and tables, and every failure of the libraries, can be had on any machine.
#pragma once

#include <cuda_runtime_api.h>

#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <vector>

namespace gptj::testing {

struct FakeGpu {
  std::string name = "Fake GPU";
  int major = 9;
  int minor = 0;
  std::size_t memory = std::size_t{1} << 30;
};

struct FakeCuda {
  // Whether kernels and products compute; if not, requests still end, when they are as long as they may be.
  bool computes = false;

  // What the driver says before anything is asked of a GPU.
  cudaError_t availability = cudaSuccess;
  int driver_version = CUDART_VERSION;
  std::vector<FakeGpu> gpus{FakeGpu{}};

  // Counted from 1 over all calls that can fail and all launches: the one that fails; 0: none.
  std::uint64_t failing_call = 0;
  cudaError_t failure = cudaErrorLaunchFailure;
  bool failure_is_sticky = false;  // every later call fails too, as when a kernel broke the context
  bool logits_are_nan = false;

  std::uint64_t calls = 0;
  std::string failed_call;            // its name
  std::map<void*, std::size_t> held;  // memory, streams, events and handles that are not given back

  cudaError_t last_error = cudaSuccess;
  bool broken = false;

  // To be asked at the begin of every function that can fail.
  cudaError_t call(const char* name);
  // The same for a kernel: what went wrong is told by cudaGetLastError(). Whether the kernel is to compute.
  bool launch(const char* name);
  void* take(std::size_t bytes);
  void give_back(void* handle);
};

// The one that the functions work on; every test begins with a fresh one.
FakeCuda& fake_cuda();

}  // namespace gptj::testing
