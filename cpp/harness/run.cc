#include "harness/run.h"

#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <thread>
#include <vector>

#include <loadgen.h>
#include <test_settings.h>
#include "gptj/error.h"
#include "harness/sample_library.h"
#include "harness/system_under_test.h"

namespace gptj {
namespace {

namespace fs = std::filesystem;

const char* loadgen_name(Scenario scenario) {
  switch (scenario) {
    case Scenario::kOffline:
      return "Offline";
    case Scenario::kServer:
      return "Server";
    case Scenario::kSingleStream:
      return "SingleStream";
  }
  throw Error(ErrorKind::kInternal, "unknown scenario");
}

mlperf::TestScenario to_loadgen(Scenario scenario) {
  switch (scenario) {
    case Scenario::kOffline:
      return mlperf::TestScenario::Offline;
    case Scenario::kServer:
      return mlperf::TestScenario::Server;
    case Scenario::kSingleStream:
      return mlperf::TestScenario::SingleStream;
  }
  throw Error(ErrorKind::kInternal, "unknown scenario");
}

mlperf::TestMode to_loadgen(TestMode mode) {
  switch (mode) {
    case TestMode::kPerformanceOnly:
      return mlperf::TestMode::PerformanceOnly;
    case TestMode::kAccuracyOnly:
      return mlperf::TestMode::AccuracyOnly;
    case TestMode::kSubmissionRun:
      return mlperf::TestMode::SubmissionRun;
    case TestMode::kFindPeakPerformance:
      return mlperf::TestMode::FindPeakPerformance;
  }
  throw Error(ErrorKind::kInternal, "unknown test mode");
}

// LoadGen returns silently when it cannot open its logs, with a thread left running that later aborts the
// process. So the folder is tried first, with a file of our own.
void check_log_dir(const std::string& dir) {
  std::error_code ignored;
  if (!fs::is_directory(dir, ignored)) {
    throw Error(ErrorKind::kIo, "log directory `" + dir + "` does not exist; create it before the run");
  }
  const std::string probe = dir + "/.mlperf_log_probe." + std::to_string(getpid());
  std::FILE* file = std::fopen(probe.c_str(), "w");
  const bool written = file != nullptr && std::fputs("probe\n", file) >= 0 && std::fflush(file) == 0;
  const int reason = errno;
  if (file != nullptr) std::fclose(file);
  fs::remove(probe, ignored);
  if (!written) {
    throw Error(ErrorKind::kIo, "cannot write into log directory `" + dir + "`: " + std::strerror(reason));
  }
}

mlperf::TestSettings test_settings(const TestOptions& options, const SampleSet& samples) {
  mlperf::TestSettings settings;
  settings.scenario = to_loadgen(options.scenario);
  if (!fs::is_regular_file(options.user_conf)) {
    throw Error(ErrorKind::kIo, "LoadGen's configuration `" + options.user_conf + "` does not exist");
  }
  // Reads the embedded mlperf.conf first.
  const int status =
      settings.FromConfig(options.user_conf, options.loadgen_model, loadgen_name(options.scenario));
  if (status != 0) {
    throw Error(ErrorKind::kLoadGen, "LoadGen cannot read `" + options.user_conf + "` (" +
                                         std::strerror(-status) + "); it takes lines of the form `" +
                                         options.loadgen_model + ".Offline.target_qps = 1.0`");
  }
  settings.mode = to_loadgen(options.mode);
  if (options.seeds.qsl != 0) settings.qsl_rng_seed = options.seeds.qsl;
  if (options.seeds.sample_index != 0) settings.sample_index_rng_seed = options.seeds.sample_index;
  if (options.seeds.schedule != 0) settings.schedule_rng_seed = options.seeds.schedule;
  settings.server_coalesce_queries = options.server_coalesce_queries;
  settings.server_num_issue_query_threads =
      options.scenario == Scenario::kServer ? options.server_num_issue_query_threads : 0;
  // mlperf.conf asks for the 13,368 samples of CNN/DailyMail. A smaller set has to say so, or LoadGen would
  // draw indices that it does not have.
  if (settings.performance_sample_count_override > samples.size()) {
    settings.performance_sample_count_override = samples.size();
  }
  return settings;
}

mlperf::LogSettings log_settings(const LogOptions& options) {
  mlperf::LogSettings settings;
  settings.log_output.outdir = options.dir;
  settings.log_output.prefix = options.prefix;
  settings.log_output.suffix = options.suffix;
  settings.log_output.prefix_with_datetime = options.prefix_with_datetime;
  settings.log_output.copy_detail_to_stdout = options.copy_detail_to_stdout;
  settings.log_output.copy_summary_to_stdout = options.copy_summary_to_stdout;
  settings.log_mode = mlperf::LoggingMode::AsyncPoll;
  settings.enable_trace = options.enable_trace;
  return settings;
}

// Threads of ours from which LoadGen issues queries. They register before the test and return when it ends.
class IssueThreads {
 public:
  explicit IssueThreads(std::uint64_t count) {
    for (std::uint64_t i = 0; i < count; ++i) threads_.emplace_back(mlperf::RegisterIssueQueryThread);
  }
  ~IssueThreads() {
    for (std::thread& thread : threads_) thread.join();
  }
  IssueThreads(const IssueThreads&) = delete;
  IssueThreads& operator=(const IssueThreads&) = delete;

 private:
  std::vector<std::thread> threads_;
};

void claim_process() {
  static std::atomic_flag claimed;
  if (claimed.test_and_set()) {
    throw Error(
        ErrorKind::kLoadGen,
        "LoadGen keeps process-global state and can run only one test in a process; start another one");
  }
}

}  // namespace

PipelineStats run_test(const TestOptions& options, const GenerationConfig& generation, EnginePool& pool,
                       const Scheduler& scheduler, const SampleSet& samples, Progress& progress) {
  pool.check_usable();
  check_log_dir(options.log.dir);
  claim_process();
  const mlperf::TestSettings settings = test_settings(options, samples);
  const mlperf::LogSettings logs = log_settings(options.log);

  LoadGenSink sink;
  const PipelineConfig config{.scenario = options.scenario,
                              .generation = generation,
                              .engines = pool.engines(),
                              .scheduler = scheduler,
                              .samples = samples};
  Pipeline pipeline(config, sink, progress);
  SystemUnderTest system(options.sut_name, pipeline);
  SampleLibrary library(options.qsl_name, samples, options.performance_sample_count);
  {
    const IssueThreads issue_threads(settings.server_num_issue_query_threads);
    mlperf::StartTest(&system, &library, settings, logs);
  }
  const PipelineStats stats = pipeline.finish();
  if (stats.abandoned) pool.mark_abandoned();
  pipeline.rethrow_failure();
  if (stats.samples_completed == 0) {
    throw Error(ErrorKind::kLoadGen, "LoadGen returned without issuing a sample; its reasons are in `" +
                                         options.log.dir + "/" + options.log.prefix + "detail" +
                                         options.log.suffix + ".txt`");
  }
  return stats;
}

}  // namespace gptj
