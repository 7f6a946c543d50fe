// What libgptj_tensorrt.so exports; see gptj/engine_options.h and gptj/plan.h.
#include "cuda/device.h"
#include "cuda/gpu_engine.h"
#include "gptj/engine_options.h"
#include "gptj/plan.h"
#include "tensorrt/network_builder.h"
#include "tensorrt/plan_layers.h"
#include "tensorrt/runtime_library.h"

extern "C" {

[[gnu::visibility("default")]] std::uint32_t gptj_engine_abi_version() { return gptj::kEngineAbiVersion; }

[[gnu::visibility("default")]] gptj::Engine* gptj_create_engine(const gptj::EngineOptions* options,
                                                                const gptj::ModelConfig* model,
                                                                const gptj::GenerationConfig* generation,
                                                                const gptj::WeightStore* weights) {
  return gptj::cuda::create_gpu_engine(*options, *model, *generation, *weights, gptj::tensorrt::read_plan)
      .release();
}

[[gnu::visibility("default")]] void gptj_plan_facts(const gptj::EngineOptions* options,
                                                    gptj::PlanFacts* facts) {
  const gptj::cuda::ElementType type = gptj::cuda::use_device(options->device, options->precision);
  facts->builder_version = gptj::tensorrt::RuntimeLibrary::open().version();
  facts->gpu = gptj::cuda::device_name(options->device);
  facts->compute_capability = gptj::cuda::compute_capability(options->device);
  facts->precision = type == gptj::cuda::ElementType::kF16 ? "fp16" : "fp8";
}

[[gnu::visibility("default")]] void gptj_build_plan(const gptj::PlanRequest* request,
                                                    gptj::PlanReport* report) {
  *report = gptj::tensorrt::build_plan(*request);
}
}
