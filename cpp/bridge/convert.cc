#include "bridge/convert.h"

#include <string>
#include <utility>

#include "gptj/error.h"

namespace gptj::ffi {
namespace {

// Shared enums are open integers: any value may come from the other side.
[[noreturn]] void unknown(const char* type, int value) {
  throw Error(ErrorKind::kInvalidArgument, std::string(type) + " has no value " + std::to_string(value));
}

}  // namespace

gptj::Scenario to_core(Scenario scenario) {
  switch (scenario) {
    case Scenario::Offline:
      return gptj::Scenario::kOffline;
    case Scenario::Server:
      return gptj::Scenario::kServer;
    case Scenario::SingleStream:
      return gptj::Scenario::kSingleStream;
  }
  unknown("Scenario", static_cast<int>(scenario));
}

Scenario to_bridge(gptj::Scenario scenario) {
  switch (scenario) {
    case gptj::Scenario::kOffline:
      return Scenario::Offline;
    case gptj::Scenario::kServer:
      return Scenario::Server;
    case gptj::Scenario::kSingleStream:
      return Scenario::SingleStream;
  }
  unknown("Scenario", static_cast<int>(scenario));
}

static gptj::TestMode to_core(TestMode mode) {
  switch (mode) {
    case TestMode::PerformanceOnly:
      return gptj::TestMode::kPerformanceOnly;
    case TestMode::AccuracyOnly:
      return gptj::TestMode::kAccuracyOnly;
    case TestMode::SubmissionRun:
      return gptj::TestMode::kSubmissionRun;
    case TestMode::FindPeakPerformance:
      return gptj::TestMode::kFindPeakPerformance;
  }
  unknown("TestMode", static_cast<int>(mode));
}

gptj::DType to_core(DType dtype) {
  switch (dtype) {
    case DType::F32:
      return gptj::DType::kF32;
    case DType::F16:
      return gptj::DType::kF16;
    case DType::BF16:
      return gptj::DType::kBF16;
    case DType::F8E4M3:
      return gptj::DType::kF8E4M3;
    case DType::I8:
      return gptj::DType::kI8;
  }
  unknown("DType", static_cast<int>(dtype));
}

static gptj::BeamLength to_core(BeamLength length) {
  switch (length) {
    case BeamLength::PromptAndGenerated:
      return gptj::BeamLength::kPromptAndGenerated;
    case BeamLength::Generated:
      return gptj::BeamLength::kGenerated;
  }
  unknown("BeamLength", static_cast<int>(length));
}

gptj::ModelConfig to_core(const ModelShape& shape) {
  return gptj::ModelConfig{
      .vocab_size = shape.vocab_size,
      .n_layer = shape.n_layer,
      .n_embd = shape.n_embd,
      .n_head = shape.n_head,
      .n_inner = shape.n_inner,
      .n_positions = shape.n_positions,
      .rotary_dim = shape.rotary_dim,
      .layer_norm_epsilon = shape.layer_norm_epsilon,
  };
}

gptj::GenerationConfig to_core(const Generation& generation) {
  return gptj::GenerationConfig{
      .beam_width = generation.beam_width,
      .min_new_tokens = generation.min_new_tokens,
      .max_new_tokens = generation.max_new_tokens,
      .length_penalty = generation.length_penalty,
      .beam_length = to_core(generation.beam_length),
      .eos_token = generation.eos_token,
  };
}

gptj::EngineOptions to_core(const EngineSettings& settings) {
  gptj::EngineOptions options;
  options.engine = std::string(settings.engine);
  options.precision = std::string(settings.precision);
  options.plan_path = std::string(settings.plan_path);
  for (const rust::String& dir : settings.library_dirs) options.library_dirs.emplace_back(dir);
  options.device = settings.device;
  options.threads = settings.threads;
  options.max_requests = settings.max_requests;
  options.max_tokens_per_step = settings.max_tokens_per_step;
  options.kv_blocks = settings.kv_blocks;
  options.kv_block_size = settings.kv_block_size;
  options.memory_fraction = settings.memory_fraction;
  options.max_prompt_tokens = settings.max_prompt_tokens;
  options.verbose = settings.verbose;
  options.profile = settings.profile;
  options.gemm_plugin = settings.gemm_plugin;
  options.synthetic_seed = settings.synthetic_seed;
  options.fake_step_us = settings.fake_step_us;
  options.fake_seed = settings.fake_seed;
  options.fake_fault = std::string(settings.fake_fault);
  options.fake_max_steps_in_flight = settings.fake_max_steps_in_flight;
  return options;
}

gptj::EngineLimits to_core(const EngineLimits& limits) {
  return gptj::EngineLimits{
      .max_requests = limits.max_requests,
      .max_tokens_per_step = limits.max_tokens_per_step,
      .kv_blocks = limits.kv_blocks,
      .kv_block_size = limits.kv_block_size,
      .max_prompt_tokens = limits.max_prompt_tokens,
      .max_new_tokens = limits.max_new_tokens,
      .beam_width = limits.beam_width,
      .vocab_size = limits.vocab_size,
      .max_steps_in_flight = limits.max_steps_in_flight,
  };
}

EngineLimits to_bridge(const gptj::EngineLimits& limits) {
  return EngineLimits{
      .max_requests = limits.max_requests,
      .max_tokens_per_step = limits.max_tokens_per_step,
      .kv_blocks = limits.kv_blocks,
      .kv_block_size = limits.kv_block_size,
      .max_prompt_tokens = limits.max_prompt_tokens,
      .max_new_tokens = limits.max_new_tokens,
      .beam_width = limits.beam_width,
      .vocab_size = limits.vocab_size,
      .max_steps_in_flight = limits.max_steps_in_flight,
  };
}

gptj::TestOptions to_core(const RunSettings& settings) {
  gptj::TestOptions options;
  options.scenario = to_core(settings.scenario);
  options.mode = to_core(settings.mode);
  options.loadgen_model = std::string(settings.loadgen_model);
  options.sut_name = std::string(settings.sut_name);
  options.qsl_name = std::string(settings.qsl_name);
  options.user_conf = std::string(settings.user_conf);
  options.log.dir = std::string(settings.log_dir);
  options.log.prefix = std::string(settings.log_prefix);
  options.log.suffix = std::string(settings.log_suffix);
  options.log.prefix_with_datetime = settings.log_prefix_with_datetime;
  options.log.copy_detail_to_stdout = settings.log_copy_detail_to_stdout;
  options.log.copy_summary_to_stdout = settings.log_copy_summary_to_stdout;
  options.log.enable_trace = settings.log_enable_trace;
  options.seeds.qsl = settings.qsl_rng_seed;
  options.seeds.sample_index = settings.sample_index_rng_seed;
  options.seeds.schedule = settings.schedule_rng_seed;
  options.performance_sample_count = settings.performance_sample_count;
  options.server_coalesce_queries = settings.server_coalesce_queries;
  options.server_num_issue_query_threads = settings.server_num_issue_query_threads;
  return options;
}

gptj::WaitingRequest to_core(const WaitingRequest& request) {
  return {.id = request.id, .prompt_tokens = request.prompt_tokens, .max_new_tokens = request.max_new_tokens};
}

WaitingRequest to_bridge(const gptj::WaitingRequest& request) {
  return {.id = request.id, .prompt_tokens = request.prompt_tokens, .max_new_tokens = request.max_new_tokens};
}

gptj::RunningRequest to_core(const RunningRequest& request) {
  return {.id = request.id,
          .prompt_tokens = request.prompt_tokens,
          .prefilled_tokens = request.prefilled_tokens,
          .max_new_tokens = request.max_new_tokens,
          .kv_blocks = request.kv_blocks};
}

RunningRequest to_bridge(const gptj::RunningRequest& request) {
  return {.id = request.id,
          .prompt_tokens = request.prompt_tokens,
          .prefilled_tokens = request.prefilled_tokens,
          .max_new_tokens = request.max_new_tokens,
          .kv_blocks = request.kv_blocks};
}

static Activation to_bridge(cpu::Activation activation) {
  switch (activation) {
    case cpu::Activation::kNormed:
      return Activation::Normed;
    case cpu::Activation::kJoined:
      return Activation::Joined;
    case cpu::Activation::kKeys:
      return Activation::Keys;
    case cpu::Activation::kValues:
      return Activation::Values;
  }
  unknown("Activation", static_cast<int>(activation));
}

ActivationRange to_bridge(const cpu::ActivationRange& range) {
  return ActivationRange{
      .layer = range.layer,
      .activation = to_bridge(range.activation),
      .elements = range.elements,
      .maximum = range.maximum,
      .p99_9 = range.p99_9,
      .p99_99 = range.p99_99,
  };
}

PlanFacts to_bridge(const gptj::PlanFacts& facts) {
  // Lossy: names come from libraries and drivers.
  return PlanFacts{
      .builder_version = rust::String::lossy(facts.builder_version),
      .gpu = rust::String::lossy(facts.gpu),
      .compute_capability = facts.compute_capability,
      .precision = rust::String::lossy(facts.precision),
  };
}

PlanReport to_bridge(const gptj::PlanReport& report) {
  return PlanReport{
      .plan_bytes = report.plan_bytes,
      .network_seconds = report.network_seconds,
      .build_seconds = report.build_seconds,
      .timings_reused = report.timings_reused,
  };
}

RunOutcome to_bridge(const gptj::PipelineStats& stats) {
  rust::Vec<std::uint64_t> latencies;
  latencies.reserve(stats.latencies_ns.size());
  for (const std::uint64_t latency : stats.latencies_ns) latencies.push_back(latency);
  return RunOutcome{
      .samples_completed = stats.samples_completed,
      .prompt_tokens = stats.prompt_tokens,
      .generated_tokens = stats.generated_tokens,
      .steps = stats.steps,
      .peak_running = stats.peak_running,
      .peak_waiting = stats.peak_waiting,
      .peak_kv_blocks = stats.peak_kv_blocks,
      .mean_step_fill = stats.mean_step_fill,
      .mean_running = stats.mean_running,
      .seconds = stats.seconds,
      .latencies_ns = std::move(latencies),
      .interrupted = stats.interrupted,
  };
}

}  // namespace gptj::ffi
