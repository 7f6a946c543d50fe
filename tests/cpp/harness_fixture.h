// What the suites of the harness share: fake engines, sample sets, log folders, and what LoadGen wrote into
// them.
#pragma once

#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdint>
#include <filesystem>
#include <fstream>
#include <functional>
#include <memory>
#include <random>
#include <regex>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include "engine/fake_engine.h"
#include "gptj/error.h"
#include "harness/engine_pool.h"
#include "harness/run.h"
#include "harness/sample_set.h"
#include "harness/static_batcher.h"

namespace gptj::testing {

namespace fs = std::filesystem;

class TempDir {
 public:
  TempDir() {
    std::string name = (fs::temp_directory_path() / "gptj_harness_XXXXXX").string();
    if (mkdtemp(name.data()) == nullptr) throw std::runtime_error("mkdtemp failed for " + name);
    path_ = name;
  }
  ~TempDir() {
    std::error_code ignored;
    fs::remove_all(path_, ignored);
  }
  TempDir(const TempDir&) = delete;
  TempDir& operator=(const TempDir&) = delete;

  const fs::path& path() const { return path_; }

 private:
  fs::path path_;
};

inline ModelConfig small_model() {
  ModelConfig model;
  model.vocab_size = 997;
  model.n_positions = 2048;
  return model;
}

inline GenerationConfig short_generation() {
  GenerationConfig generation;
  generation.min_new_tokens = 2;
  generation.max_new_tokens = 9;
  generation.eos_token = 996;
  return generation;
}

inline EngineOptions small_engine() {
  EngineOptions options;
  options.engine = "fake";
  options.max_requests = 8;
  options.max_tokens_per_step = 96;
  options.kv_block_size = 8;
  options.max_prompt_tokens = 200;
  options.fake_seed = 7;
  return options;
}

inline SampleSet random_samples(std::size_t count, std::uint32_t seed = 1) {
  std::mt19937 random(seed);
  std::vector<TokenId> tokens;
  std::vector<std::uint64_t> offsets{0};
  for (std::size_t i = 0; i < count; ++i) {
    const std::size_t length = 1 + random() % 200;
    for (std::size_t j = 0; j < length; ++j) tokens.push_back(static_cast<TokenId>(random() % 996));
    offsets.push_back(tokens.size());
  }
  return SampleSet(std::move(tokens), std::move(offsets), {}, {});
}

inline EnginePool pool_of(const std::vector<EngineOptions>& options,
                          const GenerationConfig& generation = short_generation()) {
  EnginePool pool;
  for (const EngineOptions& each : options) pool.add(create_fake_engine(each, small_model(), generation));
  return pool;
}

inline std::string read(const fs::path& path) {
  std::ifstream file(path);
  std::stringstream text;
  text << file.rdbuf();
  return text.str();
}

// Expects that `call` throws an Error of that kind; gives its message.
inline std::string error_of(const std::function<void()>& call, ErrorKind kind) {
  try {
    call();
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), kind) << error.what();
    return error.what();
  }
  ADD_FAILURE() << "no error was thrown";
  return "";
}

// One LoadGen test in a folder of its own. `extra` goes into user.conf.
struct LoadGenRun {
  explicit LoadGenRun(Scenario scenario, TestMode mode, const std::string& extra = "") {
    options.scenario = scenario;
    options.mode = mode;
    options.sut_name = "test system";
    options.qsl_name = "test library";
    options.user_conf = (dir.path() / "user.conf").string();
    options.log.dir = dir.path().string();
    std::ofstream(options.user_conf) << "*.*.min_duration = 200\n"
                                        "*.Offline.min_query_count = 50\n"
                                        "*.Server.min_query_count = 500\n"
                                        "*.SingleStream.min_query_count = 100\n"
                                        "*.Offline.target_qps = 1000\n"
                                        "*.Server.target_qps = 1000\n"
                                        "*.SingleStream.target_latency = 1\n"
                                     << extra;
  }

  PipelineStats run(EnginePool& pool, const SampleSet& samples) {
    const StaticBatcher scheduler{StaticBatcherOptions{}};
    return run_test(options, short_generation(), pool, scheduler, samples, progress);
  }

  std::string summary() const { return read(dir.path() / "mlperf_log_summary.txt"); }
  std::string detail() const { return read(dir.path() / "mlperf_log_detail.txt"); }

  // Sample index and response of every line of the accuracy log.
  std::vector<std::pair<std::size_t, std::vector<TokenId>>> accuracy() const {
    std::vector<std::pair<std::size_t, std::vector<TokenId>>> lines;
    const std::string text = read(dir.path() / "mlperf_log_accuracy.json");
    const std::regex line(R"re("qsl_idx" : (\d+), "data" : "([0-9A-F]*)")re");
    for (auto it = std::sregex_iterator(text.begin(), text.end(), line); it != std::sregex_iterator(); ++it) {
      lines.emplace_back(std::stoull((*it)[1]), decode((*it)[2]));
    }
    return lines;
  }

  TempDir dir;
  TestOptions options;
  Progress progress;

 private:
  // Hexadecimal bytes of little-endian 32-bit tokens.
  static std::vector<TokenId> decode(const std::string& hex) {
    std::vector<TokenId> tokens;
    for (std::size_t i = 0; i + 8 <= hex.size(); i += 8) {
      std::uint32_t token = 0;
      for (std::size_t byte = 0; byte < 4; ++byte) {
        token |= static_cast<std::uint32_t>(std::stoul(hex.substr(i + 2 * byte, 2), nullptr, 16))
                 << (8 * byte);
      }
      tokens.push_back(static_cast<TokenId>(token));
    }
    return tokens;
  }
};

}  // namespace gptj::testing
