// What an engine is created with, and how a shared library offers one.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "gptj/engine.h"
#include "gptj/types.h"
#include "gptj/weights.h"

namespace gptj {

// One engine instance. Zero means "derive it" where the comment says so.
struct EngineOptions {
  std::string engine;                     // "cpu", "fake", or NAME of a library libgptj_NAME.so
  std::string precision = "f32";          // "f32", "bf16", "fp16", "fp8"
  std::string plan_path;                  // of an engine that needs a plan; see plan.h
  std::vector<std::string> library_dirs;  // searched for the engine's library before the loader's own path
  std::int32_t device = 0;                // GPU index; ignored by CPU engines
  std::int32_t threads = 0;               // of a CPU engine; 0: one for each core that the process may use
  std::int32_t max_requests = 1;
  std::int32_t max_tokens_per_step = 0;
  std::int32_t kv_blocks = 0;  // 0: as many as max_requests requests of the longest kind need
  std::int32_t kv_block_size = 16;
  double memory_fraction = 0.95;  // GPU engines: share of the free memory that may be taken
  std::int32_t max_prompt_tokens = 0;

  bool verbose = false;     // says on stderr how memory is divided
  bool profile = false;     // GPU engines: time the parts of every step, and say so on stderr at the end
  bool gemm_plugin = true;  // TensorRT, fp16: multiply with the CUDA engine's products, as fp8 always does
  std::uint64_t synthetic_seed = 0;  // GPU engines; not 0: weights are drawn from it, the store is not read

  // The fake engine alone.
  std::int32_t fake_step_us = 0;  // time that a step takes, whatever the work
  std::uint64_t fake_seed = 0;    // of its answers
  std::string fake_fault;         // empty, "throw:N" or "nan:N": what step N, counted from 1, shows
  std::int32_t fake_max_steps_in_flight = 1;
};

// The limits that the options ask for, checked: every value in range, prompt and new tokens within
// n_positions, and at least one request of the longest kind in the KV pool. For engines that take whatever
// they are asked for. Throws Error(kInvalidArgument).
EngineLimits limits_for(const EngineOptions& options, const ModelConfig& model,
                        const GenerationConfig& generation);

// What a library libgptj_NAME.so exports, with C linkage. Raise the version with every change to a type that
// crosses: EngineOptions, ModelConfig, GenerationConfig, WeightStore, Engine and what these contain.
inline constexpr std::uint32_t kEngineAbiVersion = 6;
inline constexpr const char* kEngineAbiVersionSymbol = "gptj_engine_abi_version";
inline constexpr const char* kCreateEngineSymbol = "gptj_create_engine";

extern "C" {
using EngineAbiVersionFunction = std::uint32_t();
// Gives a new engine, which the caller deletes; throws gptj::Error.
using CreateEngineFunction = Engine*(const EngineOptions*, const ModelConfig*, const GenerationConfig*,
                                     const WeightStore*);
}

}  // namespace gptj
