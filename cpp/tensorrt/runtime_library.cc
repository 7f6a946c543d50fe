#include "tensorrt/runtime_library.h"

#include <dlfcn.h>

#include <cstdio>
#include <cstdlib>
#include <string_view>

#include "gptj/error.h"
#include "tensorrt/versions.h"

namespace gptj::tensorrt {
namespace {

std::string name_of(const char* library, const std::string& version) {
  return "lib" + std::string(library) + ".so." + version;
}

std::string version_text(int version) {
  const int major = version / kVersionSteps[0];
  const int minor = version % kVersionSteps[0] / kVersionSteps[1];
  return std::to_string(major) + "." + std::to_string(minor) + "." +
         std::to_string(version % kVersionSteps[1]);
}

// What TensorRT 8 calls an error when it cannot read back the timings that it wrote itself, as it cannot
// where its own compiler has a part in them; docs/engines.md. It measures anew, so that nothing is wrong.
bool refuses_timings(std::string_view text) {
  const auto says = [&](std::string_view part) { return text.find(part) != std::string_view::npos; };
  return says("timing cache will not be used") || (says("yelinCache") && says("deserializeFromBuffer"));
}

}  // namespace

void Logger::log(Severity severity, const char* text) noexcept {
  if (severity <= Severity::kERROR && refuses_timings(text)) {
    refused_timings_ = true;
    severity = Severity::kINFO;
  }
  const char* name = "info";
  switch (severity) {
    case Severity::kINTERNAL_ERROR:
    case Severity::kERROR:
      name = "error";
      break;
    case Severity::kWARNING:
      name = "warning";
      break;
    case Severity::kINFO:
      if (!verbose_) return;
      break;
    default:
      return;
  }
  try {
    const std::lock_guard lock(mutex_);
    if (severity <= Severity::kERROR) last_error_ = text;
    std::fprintf(stderr, "TensorRT %s: %s\n", name, text);
  } catch (...) {  // a message is not worth the run
  }
}

std::string Logger::reason() const {
  const std::lock_guard lock(mutex_);
  return last_error_.empty() ? std::string() : ": " + last_error_;
}

RuntimeLibrary::RuntimeLibrary() {
  const std::string name = name_of("nvinfer", std::to_string(NV_TENSORRT_MAJOR));
  std::string tried;
  const auto attempt = [&](const std::string& path, const std::string& folder) {
    if (handle_ != nullptr) return;
    handle_ = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
    if (handle_ != nullptr) {
      folder_ = folder;
    } else {
      tried += "\n  " + std::string(dlerror());
    }
  };
  if (const char* root = std::getenv("TENSORRT_ROOT"); root != nullptr && *root != '\0') {
    const std::string folder = std::string(root) + "/lib/";
    attempt(folder + name, folder);
  }
  attempt(name, "");
  if (handle_ == nullptr) {
    throw Error(ErrorKind::kUnsupported,
                "TensorRT " + std::to_string(NV_TENSORRT_MAJOR) + " is not here; looked for " + name +
                    " in TENSORRT_ROOT/lib and in the loader's path:" + tried +
                    "\nSet TENSORRT_ROOT or LD_LIBRARY_PATH to it, or use --engine=cuda");
  }
  using VersionFunction = std::int32_t();
  const auto version = reinterpret_cast<VersionFunction*>(dlsym(handle_, "getInferLibVersion"));
  if (version == nullptr) {
    throw Error(ErrorKind::kUnsupported, name + " is no TensorRT: it has no getInferLibVersion");
  }
  version_ = version_text(version());
  if (version() / kVersionSteps[0] != NV_TENSORRT_MAJOR) {
    throw Error(ErrorKind::kUnsupported,
                folder_ + name + " is TensorRT " + version_ + ", and this engine was built for " +
                    std::to_string(NV_TENSORRT_MAJOR) + "." + std::to_string(NV_TENSORRT_MINOR));
  }
}

const RuntimeLibrary& RuntimeLibrary::open() {
  static const RuntimeLibrary library;
  return library;
}

void* RuntimeLibrary::create(const char* function, Logger& logger) const {
  using CreateFunction = void*(void*, std::int32_t);
  const auto make = reinterpret_cast<CreateFunction*>(dlsym(handle_, function));
  void* const made =
      make == nullptr ? nullptr : make(static_cast<nvinfer1::ILogger*>(&logger), NV_TENSORRT_VERSION);
  if (made == nullptr) {
    throw Error(ErrorKind::kUnsupported,
                "TensorRT " + version_ + " does not start" + logger.reason() + " (" + function + ")");
  }
  return made;
}

std::unique_ptr<nvinfer1::IBuilder> RuntimeLibrary::builder(Logger& logger) const {
  // TensorRT opens its builder's resources by name; it finds them beside itself when they are open already.
  const std::string resources = folder_ + name_of("nvinfer_builder_resource", version_);
  if (!folder_.empty()) (void)dlopen(resources.c_str(), RTLD_NOW | RTLD_LOCAL);
  return std::unique_ptr<nvinfer1::IBuilder>(
      static_cast<nvinfer1::IBuilder*>(create("createInferBuilder_INTERNAL", logger)));
}

std::unique_ptr<nvinfer1::IRuntime> RuntimeLibrary::runtime(Logger& logger) const {
  return std::unique_ptr<nvinfer1::IRuntime>(
      static_cast<nvinfer1::IRuntime*>(create("createInferRuntime_INTERNAL", logger)));
}

}  // namespace gptj::tensorrt
