// Engines by name, and libraries that are not what they should be.
#include "engine/engine_loader.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
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

void expect_refused(const EngineOptions& options, ErrorKind kind, const std::vector<std::string>& said) {
  try {
    create(options);
    ADD_FAILURE() << options.engine << " was not refused";
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), kind) << error.what();
    for (const std::string& text : said) {
      EXPECT_NE(std::string(error.what()).find(text), std::string::npos)
          << text << " is not in: " << error.what();
    }
  }
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
       std::string(GPTJ_TEST_LIBRARY_DIR) + "/libgptj_missing.so", "the loader's path", "`cpu` runs"});
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

TEST(EngineLoader, ANameThatIsNoNameIsRefused) {
  for (const char* name : {"", "../good", "Good", "a b"}) {
    expect_refused(options(name), ErrorKind::kUnsupported, {"is no name of an engine"});
  }
}

}  // namespace
}  // namespace gptj::testing
