// What libgptj_cuda.so exports; see gptj/engine_options.h.
#include "cuda/cublas_layers.h"
#include "cuda/gpu_engine.h"
#include "gptj/engine_options.h"

extern "C" {

[[gnu::visibility("default")]] std::uint32_t gptj_engine_abi_version() { return gptj::kEngineAbiVersion; }

[[gnu::visibility("default")]] gptj::Engine* gptj_create_engine(const gptj::EngineOptions* options,
                                                                const gptj::ModelConfig* model,
                                                                const gptj::GenerationConfig* generation,
                                                                const gptj::WeightStore* weights) {
  const auto cublas = [](const gptj::EngineOptions&, const gptj::cuda::NetworkShape&) {
    return std::make_unique<gptj::cuda::CublasLayersSource>();
  };
  return gptj::cuda::create_gpu_engine(*options, *model, *generation, *weights, cublas).release();
}
}
