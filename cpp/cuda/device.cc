#include "cuda/device.h"

#include <cuda_runtime_api.h>

#include <cstdio>
#include <cstdlib>

#include "cuda/check.h"
#include "gptj/error.h"

namespace gptj::cuda {
namespace {

[[noreturn]] void unsupported(const std::string& message) { throw Error(ErrorKind::kUnsupported, message); }

std::string version_text(int version) {
  return std::to_string(version / 1000) + "." + std::to_string(version % 1000 / 10);
}

// What hides GPUs from this process, if anything does.
std::string visible_devices() {
  const char* visible = std::getenv("CUDA_VISIBLE_DEVICES");
  return visible == nullptr ? std::string() : std::string(" (CUDA_VISIBLE_DEVICES is `") + visible + "`)";
}

int device_count() {
  int count = 0;
  const cudaError_t status = cudaGetDeviceCount(&count);
  if (status == cudaSuccess) return count;
  (void)cudaGetLastError();
  int driver = 0;
  (void)cudaDriverGetVersion(&driver);
  if (status == cudaErrorInsufficientDriver && driver == 0) {
    unsupported("there is no NVIDIA driver here; install it, or use the cpu engine");
  }
  if (status == cudaErrorInsufficientDriver) {
    unsupported("the NVIDIA driver is for CUDA " + version_text(driver) +
                ", this program was built with CUDA " + version_text(CUDART_VERSION) +
                "; install a newer driver");
  }
  if (status == cudaErrorNoDevice) return 0;
  unsupported(std::string("the NVIDIA driver does not work here: ") + cudaGetErrorString(status) + " (" +
              cudaGetErrorName(status) + "); see what nvidia-smi says, or use the cpu engine");
}

}  // namespace

std::string device_name(std::int32_t device) {
  cudaDeviceProp properties{};
  check(cudaGetDeviceProperties(&properties, device),
        "asking GPU " + std::to_string(device) + " for its name");
  return properties.name;
}

std::int32_t compute_capability(std::int32_t device) {
  int major = 0;
  int minor = 0;
  const std::string attempt = "asking GPU " + std::to_string(device) + " for its compute capability";
  check(cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, device), attempt);
  check(cudaDeviceGetAttribute(&minor, cudaDevAttrComputeCapabilityMinor, device), attempt);
  return 10 * major + minor;
}

ElementType use_device(std::int32_t device, const std::string& precision) {
  if (precision != "fp16" && precision != "fp8") {
    unsupported("the cuda engine computes in fp16 or fp8, not in `" + precision + "`");
  }
  const int count = device_count();
  if (count == 0) {
    unsupported("there is an NVIDIA driver here, but no GPU that it can use" + visible_devices() +
                "; see what nvidia-smi says, or use the cpu engine");
  }
  if (device < 0 || device >= count) {
    unsupported("GPU " + std::to_string(device) + " was asked for; this process has " +
                std::to_string(count) + ", counted from 0" + visible_devices());
  }
  check(cudaSetDevice(device), "the use of GPU " + std::to_string(device));
  const std::int32_t capability = compute_capability(device);
  const std::string what = "GPU " + std::to_string(device) + " (" + device_name(device) +
                           ", compute capability " + std::to_string(capability / 10) + "." +
                           std::to_string(capability % 10) + ")";
  if (capability < 80) unsupported(what + " is too old: the cuda engine needs 8.0 or later");
  if (precision == "fp16") return ElementType::kF16;
  if (capability >= 89) return ElementType::kF8E4M3;
  std::fprintf(stderr, "note: %s has no FP8 tensor cores; using fp16\n", what.c_str());
  return ElementType::kF16;
}

void check_shape(const ModelConfig& model, const GenerationConfig& generation, const EngineOptions& options) {
  const auto text = [](const char* name, std::int64_t value) {
    return std::string(name) + " is " + std::to_string(value) + "; the cuda engine ";
  };
  const std::int32_t head = model.n_head > 0 ? model.head_dim() : 0;
  if (head * model.n_head != model.n_embd || (head != 64 && head != 128 && head != 256)) {
    unsupported("heads of " + std::to_string(head) +
                " dimensions; the cuda engine has kernels for 64, 128 and 256");
  }
  if (model.rotary_dim < 2 || model.rotary_dim % 2 != 0 || model.rotary_dim > head) {
    throw Error(ErrorKind::kModel, "rotary_dim is " + std::to_string(model.rotary_dim) +
                                       "; it must be even, and at most the head size " +
                                       std::to_string(head));
  }
  if (model.n_embd > 8192) unsupported(text("n_embd", model.n_embd) + "takes at most 8192");
  if (model.n_inner % 16 != 0) unsupported(text("n_inner", model.n_inner) + "needs a multiple of 16");
  if (generation.beam_width > kMaxBeams) {
    unsupported(text("beam_width", generation.beam_width) + "takes at most " + std::to_string(kMaxBeams));
  }
  if (model.vocab_size <= 2 * generation.beam_width) {
    unsupported(text("vocab_size", model.vocab_size) + "needs more than two candidates for each beam");
  }
  if (options.kv_block_size % 16 != 0) {
    throw Error(ErrorKind::kInvalidArgument,
                text("kv_block_size", options.kv_block_size) + "needs a multiple of 16");
  }
}

}  // namespace gptj::cuda
