// An engine library as it should be: it offers the fake engine.
#include "engine/fake_engine.h"
#include "gptj/engine_options.h"

extern "C" {

std::uint32_t gptj_engine_abi_version() { return gptj::kEngineAbiVersion; }

gptj::Engine* gptj_create_engine(const gptj::EngineOptions* options, const gptj::ModelConfig* model,
                                 const gptj::GenerationConfig* generation, const gptj::WeightStore*) {
  return gptj::create_fake_engine(*options, *model, *generation).release();
}
}
