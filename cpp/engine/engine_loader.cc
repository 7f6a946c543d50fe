#include "engine/engine_loader.h"

#include <dlfcn.h>

#include <algorithm>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "cpu/cpu_engine.h"
#include "engine/fake_engine.h"
#include "gptj/error.h"

namespace gptj {
namespace {

namespace fs = std::filesystem;

[[noreturn]] void unsupported(const std::string& message) { throw Error(ErrorKind::kUnsupported, message); }

// Letters, digits and underscores: the name becomes part of a file name.
bool is_plain(std::string_view name) {
  return !name.empty() && std::all_of(name.begin(), name.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_';
  });
}

std::vector<fs::path> candidates(const EngineOptions& options, const std::string& file) {
  std::vector<fs::path> paths;
  for (const std::string& dir : options.library_dirs) paths.push_back(fs::path(dir) / file);
  std::error_code failed;
  const fs::path executable = fs::read_symlink("/proc/self/exe", failed);
  if (!failed) {
    paths.push_back(executable.parent_path() / file);
    paths.push_back(executable.parent_path().parent_path() / "lib" / file);
  }
  return paths;
}

std::string loader_message() {
  const char* message = dlerror();
  return message != nullptr ? message : "no reason given";
}

struct Library {
  void* handle = nullptr;
  std::string path;
};

// RTLD_NODELETE: types and exceptions of the library may outlive the engine.
void* open(const std::string& path) { return dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE); }

Library open_library(const EngineOptions& options) {
  const std::string file = "libgptj_" + options.engine + ".so";
  std::string tried;
  for (const fs::path& path : candidates(options, file)) {
    std::error_code ignored;
    if (!fs::exists(path, ignored)) {
      tried += "\n  " + path.string() + ": no such file";
      continue;
    }
    if (void* handle = open(path.string())) return {handle, path.string()};
    // A file that is there but cannot be opened is the one that was meant: another one would only hide why.
    unsupported("engine `" + options.engine + "`: cannot open " + path.string() + ": " + loader_message() +
                "; install what it is linked against, or rebuild it on this machine");
  }
  if (void* handle = open(file)) return {handle, file};
  tried += "\n  the loader's path: " + loader_message();
  unsupported(
      "engine `" + options.engine + "` needs " + file + ", which was not found. Tried:" + tried +
      "\nBuild the program where that engine's toolkit is installed, or name the folder of the library in "
      "library_dirs; `cpu` runs on any machine");
}

void* symbol(const Library& library, const char* name) {
  if (void* address = dlsym(library.handle, name)) return address;
  unsupported(library.path + " has no symbol `" + name + "`: it is no engine library of this program");
}

std::unique_ptr<Engine> create_from_library(const EngineOptions& options, const ModelConfig& model,
                                            const GenerationConfig& generation, const WeightStore& weights) {
  const Library library = open_library(options);
  const auto abi_version =
      reinterpret_cast<EngineAbiVersionFunction*>(symbol(library, kEngineAbiVersionSymbol));
  if (const std::uint32_t version = abi_version(); version != kEngineAbiVersion) {
    unsupported(library.path + " was built for version " + std::to_string(version) +
                " of the engine interface; this program has version " + std::to_string(kEngineAbiVersion) +
                ". Rebuild both from the same source");
  }
  const auto create = reinterpret_cast<CreateEngineFunction*>(symbol(library, kCreateEngineSymbol));
  std::unique_ptr<Engine> engine(create(&options, &model, &generation, &weights));
  if (!engine) throw Error(ErrorKind::kInternal, library.path + " created no engine and gave no reason");
  return engine;
}

}  // namespace

std::unique_ptr<Engine> create_engine(const EngineOptions& options, const ModelConfig& model,
                                      const GenerationConfig& generation, const WeightStore& weights) {
  if (options.engine == "cpu") return create_cpu_engine(options, model, generation, weights);
  if (options.engine == "fake") return create_fake_engine(options, model, generation);
  if (!is_plain(options.engine)) {
    unsupported("engine `" + options.engine +
                "` is no name of an engine; it consists of lower-case letters, digits and underscores");
  }
  return create_from_library(options, model, generation, weights);
}

}  // namespace gptj
