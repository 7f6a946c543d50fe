// One LoadGen test, from its settings to what the harness counted.
#pragma once

#include <cstdint>
#include <string>

#include "gptj/progress.h"
#include "gptj/scheduler.h"
#include "gptj/types.h"
#include "harness/engine_pool.h"
#include "harness/pipeline.h"
#include "harness/sample_set.h"

namespace gptj {

enum class TestMode : std::uint8_t { kPerformanceOnly, kAccuracyOnly, kSubmissionRun, kFindPeakPerformance };

struct LogOptions {
  std::string dir;  // must exist and be writable
  std::string prefix = "mlperf_log_";
  std::string suffix;
  bool prefix_with_datetime = false;
  bool copy_detail_to_stdout = false;
  bool copy_summary_to_stdout = false;
  bool enable_trace = false;
};

// Seeds of a round; 0 leaves what LoadGen's embedded mlperf.conf says.
struct Seeds {
  std::uint64_t qsl = 0;
  std::uint64_t sample_index = 0;
  std::uint64_t schedule = 0;
};

struct TestOptions {
  Scenario scenario = Scenario::kOffline;
  TestMode mode = TestMode::kPerformanceOnly;
  std::string loadgen_model = "gptj";  // first part of the keys in user.conf and mlperf.conf
  std::string sut_name;
  std::string qsl_name;
  std::string user_conf;  // path
  LogOptions log;
  Seeds seeds;
  std::uint64_t performance_sample_count = 0;  // 0: all
  bool server_coalesce_queries = true;
  std::uint64_t server_num_issue_query_threads = 0;  // 0: LoadGen's own one
};

// Runs the test. One call for each process: LoadGen keeps process-global state, and a second call throws
// Error(kLoadGen). When something fails, the remaining samples are answered empty, so that LoadGen ends by
// itself, and the first failure is thrown after that; `progress.failed` says so earlier.
PipelineStats run_test(const TestOptions& options, const GenerationConfig& generation, EnginePool& pool,
                       const Scheduler& scheduler, const SampleSet& samples, Progress& progress);

}  // namespace gptj
