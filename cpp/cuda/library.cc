// What libgptj_cuda.so exports; see gptj/engine_options.h.
#include "cuda/cuda_engine.h"
#include "gptj/engine_options.h"

extern "C" {

[[gnu::visibility("default")]] std::uint32_t gptj_engine_abi_version() { return gptj::kEngineAbiVersion; }

[[gnu::visibility("default")]] gptj::Engine* gptj_create_engine(const gptj::EngineOptions* options,
                                                                const gptj::ModelConfig* model,
                                                                const gptj::GenerationConfig* generation,
                                                                const gptj::WeightStore* weights) {
  return gptj::cuda::create_cuda_engine(*options, *model, *generation, *weights).release();
}
}
