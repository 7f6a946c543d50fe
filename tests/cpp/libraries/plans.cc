// An engine library with plans: the fake engine, which wants a plan that holds the request it was built for.
// Tests in other processes tell it what to be by environment variables:
//   FAKE_PLANS_VERSION    version of the builder
//   FAKE_PLANS_GPU        names of the GPUs by index, separated by commas; the last one stands for all others
//   FAKE_PLANS_PRECISION  what the engine falls back to
//   FAKE_PLANS_SECONDS    how long a build takes
//   FAKE_PLANS_FAULT      facts: this machine cannot do it; disk: a plan does not fit; memory: nor does a
//                         build; nothing: builds end without a plan
#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>
#include <thread>

#include "engine/fake_engine.h"
#include "gptj/engine_options.h"
#include "gptj/error.h"
#include "gptj/plan.h"

namespace {

namespace fs = std::filesystem;
using gptj::Error;
using gptj::ErrorKind;

constexpr const char* kFirstLine = "a plan of the fake engine";

std::string told(const char* name, const std::string& otherwise) {
  const char* value = std::getenv(name);
  return value != nullptr ? value : otherwise;
}

std::string gpu(std::int32_t device) {
  std::istringstream names(told("FAKE_PLANS_GPU", "Fake GPU"));
  std::string name;
  for (std::int32_t i = 0; i <= device && std::getline(names, name, ','); ++i) {
  }
  return name;
}

std::string written(const gptj::PlanRequest& request) {
  const gptj::EngineOptions& options = request.options;
  std::ostringstream text;
  text << kFirstLine << "\nprecision " << options.precision << "\nmax_requests " << options.max_requests
       << "\nmax_tokens_per_step " << options.max_tokens_per_step << "\nmax_prompt_tokens "
       << options.max_prompt_tokens << "\nn_layer " << request.model.n_layer << "\nvocab_size "
       << request.model.vocab_size << "\nbeam_width " << request.generation.beam_width << "\neos_token "
       << request.generation.eos_token << "\n";
  return text.str();
}

}  // namespace

extern "C" {

std::uint32_t gptj_engine_abi_version() { return gptj::kEngineAbiVersion; }

void gptj_plan_facts(const gptj::EngineOptions* options, gptj::PlanFacts* facts) {
  if (told("FAKE_PLANS_FAULT", "") == "facts") {
    throw Error(ErrorKind::kUnsupported, "the fake library sees no GPU " + std::to_string(options->device));
  }
  facts->builder_version = told("FAKE_PLANS_VERSION", "1.2.3");
  facts->gpu = gpu(options->device);
  facts->compute_capability = 90;
  facts->precision = told("FAKE_PLANS_PRECISION", options->precision);
}

void gptj_build_plan(const gptj::PlanRequest* request, gptj::PlanReport* report) {
  const std::string& path = request->options.plan_path;
  const std::string fault = told("FAKE_PLANS_FAULT", "");
  std::this_thread::sleep_for(std::chrono::duration<double>(std::stod(told("FAKE_PLANS_SECONDS", "0"))));
  if (fault == "disk") throw Error(ErrorKind::kIo, "cannot write " + path + ": No space left on device");
  if (fault == "memory") throw Error(ErrorKind::kOutOfMemory, "the build needs 90 GB, 80 GB are free");
  if (fault == "nothing") return;

  std::error_code none;
  const auto timings = fs::file_size(request->timing_cache_path, none);
  report->timings_reused = none ? 0 : timings;
  std::ofstream(request->timing_cache_path, std::ios::app) << "a timing\n";

  const std::string text = written(*request);
  std::ofstream(path + ".unfinished") << text;
  fs::rename(path + ".unfinished", path);
  report->plan_bytes = text.size();
  report->network_seconds = 0.25;
  report->build_seconds = 1.5;
}

gptj::Engine* gptj_create_engine(const gptj::EngineOptions* options, const gptj::ModelConfig* model,
                                 const gptj::GenerationConfig* generation, const gptj::WeightStore*) {
  std::ifstream plan(options->plan_path);
  std::string line;
  if (!std::getline(plan, line) || line != kFirstLine) {
    throw Error(ErrorKind::kIo, "`" + options->plan_path + "` is no plan of the fake engine");
  }
  return gptj::create_fake_engine(*options, *model, *generation).release();
}
}
