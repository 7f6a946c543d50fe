#include "engine/engine_loader.h"

#include <dlfcn.h>
#include <link.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <optional>
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
  const auto add = [&](const fs::path& dir) {
    const fs::path path = (dir / file).lexically_normal();
    if (std::find(paths.begin(), paths.end(), path) == paths.end()) paths.push_back(path);
  };
  for (const std::string& dir : options.library_dirs) add(dir);
  std::error_code failed;
  const fs::path executable = fs::read_symlink("/proc/self/exe", failed);
  if (!failed) {
    add(executable.parent_path());
    add(executable.parent_path().parent_path() / "lib");
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

// A library that lacks another one, or finds it in another version, is the usual reason why it cannot be
// opened; the loader names the other one, but not where it looked.
std::string where_others_were_looked_for() {
  const char* variable = std::getenv("LD_LIBRARY_PATH");
  const std::string value = variable != nullptr && *variable != '\0' ? variable : "not set";
  return "what it is linked against was looked for in the folders that it names itself, in LD_LIBRARY_PATH "
         "(" +
         value + ") and in the system's";
}

// Where the loader found a library that was named without a folder.
std::string path_of(void* handle, const std::string& file) {
  const link_map* map = nullptr;
  return dlinfo(handle, RTLD_DI_LINKMAP, &map) == 0 ? map->l_name : file;
}

Library find_library(const EngineOptions& options) {
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
                "; " + where_others_were_looked_for() +
                ". Install it there, in the version that is named, or rebuild the engine on this machine");
  }
  if (void* handle = open(file)) return {handle, path_of(handle, file)};
  tried += "\n  the loader's path: " + loader_message();
  unsupported(
      "engine `" + options.engine + "` needs " + file + ", which was not found. Tried:" + tried +
      "\nBuild the program where that engine's toolkit is installed, or name the folder of the library with "
      "--engine_library_dirs; --engine=cpu runs on any machine");
}

void* symbol(const Library& library, const char* name) {
  if (void* address = dlsym(library.handle, name)) return address;
  unsupported(library.path + " has no symbol `" + name + "`: it is no engine library of this program");
}

bool is_linked_in(const EngineOptions& options) {
  return options.engine == "cpu" || options.engine == "fake";
}

// The library of an engine that is not linked in, of this program's version.
Library open_library(const EngineOptions& options) {
  if (!is_plain(options.engine)) {
    unsupported("engine `" + options.engine +
                "` is no name of an engine; it consists of lower-case letters, digits and underscores");
  }
  Library library = find_library(options);
  const auto abi_version =
      reinterpret_cast<EngineAbiVersionFunction*>(symbol(library, kEngineAbiVersionSymbol));
  if (const std::uint32_t version = abi_version(); version != kEngineAbiVersion) {
    unsupported(library.path + " was built for version " + std::to_string(version) +
                " of the engine interface; this program has version " + std::to_string(kEngineAbiVersion) +
                ". Rebuild both from the same source");
  }
  return library;
}

struct PlanLibrary {
  PlanFactsFunction* facts = nullptr;
  BuildPlanFunction* build = nullptr;
  std::string path;
};

std::optional<PlanLibrary> find_plan_library(const EngineOptions& options) {
  if (is_linked_in(options)) return std::nullopt;
  const Library library = open_library(options);
  const bool has_facts = dlsym(library.handle, kPlanFactsSymbol) != nullptr;
  const bool has_build = dlsym(library.handle, kBuildPlanSymbol) != nullptr;
  if (!has_facts && !has_build) return std::nullopt;
  // One without the other is a library built wrongly, which symbol() says.
  return PlanLibrary{.facts = reinterpret_cast<PlanFactsFunction*>(symbol(library, kPlanFactsSymbol)),
                     .build = reinterpret_cast<BuildPlanFunction*>(symbol(library, kBuildPlanSymbol)),
                     .path = library.path};
}

PlanLibrary plan_library(const EngineOptions& options) {
  if (std::optional<PlanLibrary> library = find_plan_library(options)) return *std::move(library);
  unsupported("engine `" + options.engine + "` has no plans: it runs from the weights alone");
}

}  // namespace

std::unique_ptr<Engine> create_engine(const EngineOptions& options, const ModelConfig& model,
                                      const GenerationConfig& generation, const WeightStore& weights) {
  if (options.engine == "cpu") return create_cpu_engine(options, model, generation, weights);
  if (options.engine == "fake") return create_fake_engine(options, model, generation);
  const Library library = open_library(options);
  const auto create = reinterpret_cast<CreateEngineFunction*>(symbol(library, kCreateEngineSymbol));
  std::unique_ptr<Engine> engine(create(&options, &model, &generation, &weights));
  if (!engine) throw Error(ErrorKind::kInternal, library.path + " created no engine and gave no reason");
  return engine;
}

std::string engine_library(const EngineOptions& options) {
  return is_linked_in(options) ? std::string() : open_library(options).path;
}

bool has_plans(const EngineOptions& options) { return find_plan_library(options).has_value(); }

PlanFacts plan_facts(const EngineOptions& options) {
  PlanFacts facts;
  plan_library(options).facts(&options, &facts);
  return facts;
}

PlanReport build_plan(const PlanRequest& request) {
  const std::string& path = request.options.plan_path;
  if (path.empty()) throw Error(ErrorKind::kInvalidArgument, "plan_path is empty: there is nowhere to write");
  const PlanLibrary library = plan_library(request.options);
  PlanReport report;
  library.build(&request, &report);
  std::error_code failed;
  if (const auto bytes = fs::file_size(path, failed); failed || bytes != report.plan_bytes) {
    throw Error(ErrorKind::kInternal, library.path + " says that it wrote a plan of " +
                                          std::to_string(report.plan_bytes) + " bytes to " + path + ", but " +
                                          (failed ? failed.message() : "there are " + std::to_string(bytes)));
  }
  return report;
}

}  // namespace gptj
