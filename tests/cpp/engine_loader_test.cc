// Engines by name, and libraries that are not what they should be.
#include "engine/engine_loader.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>

#include "engine_jobs.h"
#include "gptj/error.h"
#include "synthetic_model.h"

namespace gptj::testing {
namespace {

ModelConfig model() {
  ModelConfig model;
  model.vocab_size = 67;
  model.n_layer = 1;
  model.n_embd = 32;
  model.n_head = 2;
  model.n_inner = 32;
  model.n_positions = 128;
  model.rotary_dim = 16;
  return model;
}

GenerationConfig generation() {
  GenerationConfig generation;
  generation.min_new_tokens = 3;
  generation.max_new_tokens = 8;
  generation.eos_token = 7;
  return generation;
}

EngineOptions options(const std::string& engine) {
  EngineOptions options;
  options.engine = engine;
  options.library_dirs = {"/nonexistent/first", GPTJ_TEST_LIBRARY_DIR};
  options.max_requests = 4;
  options.max_tokens_per_step = 64;
  options.max_prompt_tokens = 32;
  return options;
}

std::unique_ptr<Engine> create(const EngineOptions& options) {
  const SyntheticModel weights(model(), 1, generation().eos_token);
  return create_engine(options, model(), generation(), weights);
}

template <typename Call>
void expect_error(ErrorKind kind, const std::vector<std::string>& said, const Call& call) {
  try {
    call();
    ADD_FAILURE() << "nothing was thrown that says " << said.front();
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), kind) << error.what();
    for (const std::string& text : said) {
      EXPECT_NE(std::string(error.what()).find(text), std::string::npos)
          << text << " is not in: " << error.what();
    }
  }
}

void expect_refused(const EngineOptions& options, ErrorKind kind, const std::vector<std::string>& said) {
  expect_error(kind, said, [&] { create(options); });
}

TEST(EngineLoader, LibrariesAreOpenedByName) {
  const auto linked = create(options("fake"));
  const auto loaded = create(options("good"));
  EXPECT_EQ(loaded->name(), linked->name());
  const std::vector<Job> jobs{{.id = 1, .prompt = {1, 2, 3}, .min_new_tokens = 3, .max_new_tokens = 8}};
  EXPECT_EQ(run_jobs(*loaded, jobs), run_jobs(*linked, jobs));
}

TEST(EngineLoader, WhatALibraryThrowsArrivesAsWhatItIs) {
  EngineOptions wrong = options("good");
  wrong.max_requests = 0;
  expect_refused(wrong, ErrorKind::kInvalidArgument, {"max_requests is 0"});
}

TEST(EngineLoader, AMissingLibraryNamesEveryPlaceThatWasTried) {
  expect_refused(
      options("missing"), ErrorKind::kUnsupported,
      {"libgptj_missing.so", "/nonexistent/first/libgptj_missing.so: no such file",
       std::string(GPTJ_TEST_LIBRARY_DIR) + "/libgptj_missing.so", "the loader's path", "--engine=cpu runs"});
}

TEST(EngineLoader, ALibraryOfAnotherVersionIsRefused) {
  expect_refused(options("stale"), ErrorKind::kUnsupported,
                 {"libgptj_stale.so", "version " + std::to_string(kEngineAbiVersion + 1),
                  "has version " + std::to_string(kEngineAbiVersion), "Rebuild"});
}

TEST(EngineLoader, ALibraryThatIsNoEngineIsRefused) {
  expect_refused(options("stranger"), ErrorKind::kUnsupported,
                 {"libgptj_stranger.so", kEngineAbiVersionSymbol});
}

TEST(EngineLoader, ALibraryThatCreatesNothingIsRefused) {
  expect_refused(options("empty"), ErrorKind::kInternal, {"libgptj_empty.so", "created no engine"});
}

TEST(EngineLoader, AFileThatIsNoLibraryIsNamedAndNotPassedOver) {
  const std::filesystem::path folder = std::filesystem::path(::testing::TempDir()) / "engine_loader_test";
  std::filesystem::create_directories(folder);
  std::ofstream(folder / "libgptj_good.so") << "no library";
  EngineOptions broken = options("good");
  broken.library_dirs = {folder.string(), GPTJ_TEST_LIBRARY_DIR};
  expect_refused(broken, ErrorKind::kUnsupported, {"cannot open", (folder / "libgptj_good.so").string()});
  std::filesystem::remove_all(folder);
}

TEST(EngineLoader, ALibraryWithoutItsToolkitNamesTheToolkitAndWhereItWasLookedFor) {
  const char* variable = std::getenv("LD_LIBRARY_PATH");
  expect_refused(options("orphan"), ErrorKind::kUnsupported,
                 {"libgptj_orphan.so", "libgptj_toolkit.so.8", "LD_LIBRARY_PATH",
                  variable != nullptr ? variable : "not set", "rebuild"});
}

TEST(EngineLoader, TheFileOfALibraryIsTold) {
  EXPECT_EQ(engine_library(options("good")), std::string(GPTJ_TEST_LIBRARY_DIR) + "/libgptj_good.so");
  EXPECT_EQ(engine_library(options("cpu")), "");
  expect_error(ErrorKind::kUnsupported, {"libgptj_missing.so"}, [] { engine_library(options("missing")); });
}

TEST(EngineLoader, ANameThatIsNoNameIsRefused) {
  for (const char* name : {"", "../good", "Good", "a b"}) {
    expect_refused(options(name), ErrorKind::kUnsupported, {"is no name of an engine"});
  }
}

class Plans : public ::testing::Test {
 protected:
  Plans() {
    std::filesystem::create_directories(folder_);
    request_.options = options("plans");
    request_.options.precision = "fp16";
    request_.options.plan_path = (folder_ / "a.plan").string();
    request_.model = model();
    request_.generation = generation();
    request_.timing_cache_path = (folder_ / "timings").string();
  }

  ~Plans() override {
    std::filesystem::remove_all(folder_);
    unsetenv("FAKE_PLANS_FAULT");
  }

  std::string content() const {
    std::ostringstream text;
    text << std::ifstream(request_.options.plan_path).rdbuf();
    return text.str();
  }

  // Of a process of its own: ctest runs tests side by side.
  std::filesystem::path folder_ =
      std::filesystem::path(::testing::TempDir()) / ("engine_loader_plans_" + std::to_string(getpid()));
  PlanRequest request_;
};

TEST_F(Plans, AnEngineHasThemWhenItsLibraryBuildsThem) {
  EXPECT_TRUE(has_plans(options("plans")));
  for (const char* name : {"cpu", "fake", "good"}) EXPECT_FALSE(has_plans(options(name))) << name;
}

TEST_F(Plans, FactsAreTheLibrarys) {
  const PlanFacts facts = plan_facts(request_.options);
  EXPECT_EQ(facts.builder_version, "1.2.3");
  EXPECT_EQ(facts.gpu, "Fake GPU");
  EXPECT_EQ(facts.compute_capability, 90);
  EXPECT_EQ(facts.precision, "fp16");
}

TEST_F(Plans, TheWholeRequestReachesTheLibrary) {
  const PlanReport report = build_plan(request_);
  EXPECT_EQ(content(),
            "a plan of the fake engine\nprecision fp16\nmax_requests 4\nmax_tokens_per_step 64\n"
            "max_prompt_tokens 32\nn_layer 1\nvocab_size 67\nbeam_width 4\neos_token 7\n");
  EXPECT_EQ(report.plan_bytes, content().size());
  EXPECT_EQ(report.build_seconds, 1.5);
  EXPECT_EQ(report.timings_reused, 0U);
  EXPECT_EQ(build_plan(request_).timings_reused, std::string("a timing\n").size());
  EXPECT_EQ(create(request_.options)->limits().max_requests, 4);
}

TEST_F(Plans, WhatTheLibraryThrowsArrivesAsWhatItIs) {
  setenv("FAKE_PLANS_FAULT", "facts", 1);
  expect_error(ErrorKind::kUnsupported, {"sees no GPU 0"}, [&] { plan_facts(request_.options); });
  setenv("FAKE_PLANS_FAULT", "disk", 1);
  expect_error(ErrorKind::kIo, {request_.options.plan_path, "No space left"}, [&] { build_plan(request_); });
  EXPECT_FALSE(std::filesystem::exists(request_.options.plan_path));
}

TEST_F(Plans, ABuildThatLeavesNoPlanIsToldAsSuch) {
  setenv("FAKE_PLANS_FAULT", "nothing", 1);
  expect_error(ErrorKind::kInternal, {"libgptj_plans.so", request_.options.plan_path},
               [&] { build_plan(request_); });
}

TEST_F(Plans, ThereIsNowhereToWriteWithoutAPath) {
  request_.options.plan_path.clear();
  expect_error(ErrorKind::kInvalidArgument, {"plan_path"}, [&] { build_plan(request_); });
}

TEST_F(Plans, AnEngineWithoutThemIsNamed) {
  request_.options.engine = "good";
  expect_error(ErrorKind::kUnsupported, {"`good` has no plans"}, [&] { plan_facts(request_.options); });
  request_.options.engine = "cpu";
  expect_error(ErrorKind::kUnsupported, {"`cpu` has no plans"}, [&] { build_plan(request_); });
}

TEST_F(Plans, ALibraryWithOneHalfOfThemIsRefused) {
  expect_error(ErrorKind::kUnsupported, {"libgptj_half.so", kBuildPlanSymbol},
               [] { has_plans(options("half")); });
}

TEST_F(Plans, AMissingLibraryIsToldAsForEngines) {
  request_.options.engine = "missing";
  expect_error(ErrorKind::kUnsupported, {"libgptj_missing.so", "Tried:"}, [&] { build_plan(request_); });
  expect_error(ErrorKind::kUnsupported, {"Rebuild both"}, [] { has_plans(options("stale")); });
}

}  // namespace
}  // namespace gptj::testing
