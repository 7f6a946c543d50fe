// How fast the CPU engine is on two shapes of GPT-J with random weights, whole prompts and answers of a fixed
// length. No harness and no LoadGen: what is measured is the engine.
//
//     cpu_engine_bench [THREADS [PRECISION ...]]      default: every core, f32 and bf16
//
// Prints for each shape and precision the best of three rounds, and how its time divides.
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "cpu/cpu_engine.h"
#include "cpu/cpu_features.h"
#include "gptj/error.h"
#include "synthetic_model.h"

namespace gptj {
namespace {

struct Workload {
  const char* name = "";
  ModelConfig model;
  std::int32_t requests = 0;
  std::int32_t prompt = 0;
  std::int32_t answer = 0;
};

// The second one has the shape of models/gptj-mini and the lengths of its evaluation set.
const Workload kWorkloads[] = {
    {"204M", {50400, 8, 1024, 4, 4096, 512, 64}, 16, 400, 64},
    {"mini", {2048, 4, 512, 2, 1024, 512, 64}, 32, 350, 60},
};

struct Timing {
  double prefill = 0.0;  // seconds of the steps that read prompts
  double decode = 0.0;   // seconds of the others
};

Timing run(Engine& engine, const Workload& workload) {
  using Clock = std::chrono::steady_clock;
  std::mt19937 random(1);
  std::vector<std::vector<TokenId>> prompts(static_cast<std::size_t>(workload.requests));
  for (auto& prompt : prompts) {
    prompt.resize(static_cast<std::size_t>(workload.prompt));
    for (TokenId& token : prompt)
      token = static_cast<TokenId>(random() % static_cast<std::uint32_t>(workload.model.vocab_size));
  }
  Timing timing;
  StepOutcome outcome;
  const auto step = [&](const StepWork& work, double& seconds) {
    const auto start = Clock::now();
    engine.enqueue(work);
    engine.collect(outcome);
    seconds += std::chrono::duration<double>(Clock::now() - start).count();
  };
  // As many whole prompts in a step as its tokens allow, then decoding of all together.
  const std::int32_t at_once = std::max(1, engine.limits().max_tokens_per_step / workload.prompt);
  std::int32_t finished = 0;
  for (std::int32_t first = 0; first < workload.requests; first += at_once) {
    std::vector<NewRequest> admitted;
    std::vector<PromptChunk> chunks;
    for (std::int32_t i = first; i < std::min(first + at_once, workload.requests); ++i) {
      const auto id = static_cast<RequestId>(i);
      admitted.push_back({id, prompts[static_cast<std::size_t>(i)], workload.answer, workload.answer});
      chunks.push_back({id, workload.prompt});
    }
    step({.admitted = admitted, .chunks = chunks, .decode = false}, timing.prefill);
    finished += static_cast<std::int32_t>(outcome.finished.size());
  }
  while (finished < workload.requests) {
    step({.admitted = {}, .chunks = {}, .decode = true}, timing.decode);
    finished += static_cast<std::int32_t>(outcome.finished.size());
  }
  return timing;
}

void measure(const Workload& workload, const std::string& precision, std::int32_t threads) {
  GenerationConfig generation;
  generation.min_new_tokens = workload.answer;
  generation.max_new_tokens = workload.answer;
  generation.eos_token = 0;
  EngineOptions options;
  options.precision = precision;
  options.threads = threads;
  options.max_requests = workload.requests;
  options.max_tokens_per_step = 2048;
  options.max_prompt_tokens = workload.prompt;
  std::unique_ptr<Engine> engine;
  {
    const testing::SyntheticModel weights(workload.model, 1);
    engine = create_cpu_engine(options, workload.model, generation, weights);
  }
  Timing best;
  for (int round = 0; round < 3; ++round) {
    const Timing timing = run(*engine, workload);
    if (round == 0 || timing.prefill + timing.decode < best.prefill + best.decode) best = timing;
  }
  const double total = best.prefill + best.decode;
  const double generated = static_cast<double>(workload.requests) * workload.answer;
  std::printf(
      "%s %-4s %8.3f samples/s  prompts %7.3f s (%8.0f tokens/s)  decoding %7.3f s (%7.0f tokens/s)\n",
      workload.name, precision.c_str(), workload.requests / total, best.prefill,
      static_cast<double>(workload.requests) * workload.prompt / best.prefill, best.decode,
      generated / best.decode);
  std::fflush(stdout);
}

int run_all(int argc, char** argv) {
  const std::int32_t threads = argc > 1 ? std::atoi(argv[1]) : 0;
  std::vector<std::string> precisions(argv + std::min(argc, 2), argv + argc);
  if (precisions.empty()) {
    precisions.emplace_back("f32");
    if (cpu_supports("bf16")) precisions.emplace_back("bf16");
  }
  for (const Workload& workload : kWorkloads) {
    for (const std::string& precision : precisions) measure(workload, precision, threads);
  }
  return 0;
}

}  // namespace
}  // namespace gptj

int main(int argc, char** argv) {
  try {
    return gptj::run_all(argc, argv);
  } catch (const gptj::Error& error) {
    std::fprintf(stderr, "error: %s\n", error.what());
    return 1;
  }
}
